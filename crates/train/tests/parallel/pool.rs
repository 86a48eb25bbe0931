//! The bits of a step while other work runs, and with other numbers of threads in the pool.

use crate::common::{Kind, SGD, glyphs, hash, run, train};
use batchwise_train::{Run, Tap};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

fn outcome(kind: Kind, world: usize) -> String {
    let run = Run { tap: Tap::Norms, ..run("64", 32, 192, 192, SGD) };
    let (finished, steps) = train(world, kind, &glyphs(192), &run).unwrap();
    format!("{} {:?}", hash(&finished.task), steps.last().unwrap().noise.as_ref().unwrap().total)
}

#[test]
fn a_busy_machine_changes_no_bit() {
    let stop = AtomicBool::new(false);
    for kind in [Kind::Mlp, Kind::Cnn] {
        let quiet = outcome(kind, 2);
        stop.store(false, Relaxed);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    // Uses the same pool.
                    while !stop.load(Relaxed) {
                        outcome(kind, 1);
                    }
                });
            }
            let busy: Vec<String> = (0..3).map(|_| outcome(kind, 2)).collect();
            stop.store(true, Relaxed);
            assert!(busy.iter().all(|busy| *busy == quiet), "{kind:?}: {busy:?} {quiet}");
        });
    }
}

/// Prints what runs end with, for the test below, which starts it with pools of several sizes.
#[test]
#[ignore = "only of use to the other test"]
fn print_the_outcome() {
    for kind in [Kind::Mlp, Kind::Cnn] {
        for world in [1, 4] {
            println!("ends with {kind:?} {}", outcome(kind, world));
        }
    }
}

/// Whatever the size of the pool, it is the same for all ranks, and worlds agree. (Pools of different sizes may differ:
/// a matrix product is split by their threads.)
#[test]
fn worlds_agree_in_a_pool_of_any_size() {
    for threads in ["1", "2", "3", "8"] {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "pool::print_the_outcome", "--ignored", "--nocapture"])
            .env("RAYON_NUM_THREADS", threads)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let ends: Vec<&str> = text.lines().filter_map(|l| l.find("ends with").map(|at| &l[at..])).collect();
        assert_eq!(ends.len(), 4, "{text}");
        assert_eq!((ends[0], ends[2]), (ends[1], ends[3]), "{threads} threads");
    }
}
