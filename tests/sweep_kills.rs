//! Sweeps whose runner and trials are killed at random moments: nothing is lost, nothing is counted twice, and the table
//! in the end is that of a sweep that nobody disturbed. `BATCHWISE_KILLS` sets the number of kills.

#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tests::Place;
use tests::processes::in_folder;
use tests::program::program;

/// Kills unless the environment says otherwise.
const KILLS: u32 = 40;

/// A plan of simulated trainers that takes a few seconds.
fn write_plan(place: &Place, sleep: f64) {
    let exe = program().display();
    let plan = format!(
        "seeds = 3\n[trainer]\ncommand = [\"{exe}\", \"simulate\", \"--batch\", \"{{batch}}\", \"--lr\", \"{{lr}}\", \
         \"--seed\", \"{{seed}}\", \"--examples\", \"{{examples}}\", \"--evaluate-every\", \"{{evaluate_every}}\", \
         \"--modes\", \"20\", \"--sleep\", \"{sleep}\"]\nfiles = []\n[batch]\nvalues = [1, 8, 64]\n\
         [lr]\nstart = 0.4\n[run]\nbudget = \"4000ex\"\nevaluate_every = \"100ex\"\ntarget = \"loss <= 0.3\"\n\
         [limits]\njobs = 2\nretries = 1000000\n"
    );
    std::fs::write(place.path().join("plan.toml"), plan).expect("the plan is written");
}

fn start(place: &Place) -> Child {
    Command::new(program())
        .args(["sweep", "plan.toml", "--out", "root", "--quiet"])
        .current_dir(place.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts")
}

/// All results by trial, byte for byte, and the sweep's file.
fn outcome(place: &Place) -> (BTreeMap<String, String>, String) {
    let root = place.path().join("root");
    let mut results = BTreeMap::new();
    for trial in std::fs::read_dir(root.join("runs")).expect("there are trials").flatten() {
        let name = trial.file_name().to_string_lossy().into_owned();
        let result = std::fs::read_to_string(trial.path().join("result.json"));
        results.insert(name, result.unwrap_or_else(|_| "no result".to_owned()));
        no_leftovers(&trial.path());
    }
    (results, std::fs::read_to_string(root.join("sweeps/plan/sweep.json")).expect("the sweep's file"))
}

/// No trial was given up, and no result has another beside it.
fn no_leftovers(trial: &Path) {
    for entry in std::fs::read_dir(trial).expect("a folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(!name.starts_with("differs-") && name != "failed.json", "{}", entry.path().display());
    }
}

/// Numbers that look random, the same in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[test]
fn kills_lose_nothing_and_double_nothing() {
    let kills: u32 = std::env::var("BATCHWISE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    let undisturbed = Place::new();
    write_plan(&undisturbed, 0.01);
    let begun = Instant::now();
    assert!(start(&undisturbed).wait().expect("it ends").success());
    let took = begun.elapsed();
    let (expected, sweep) = outcome(&undisturbed);
    assert!(expected.values().all(|result| result != "no result"), "{expected:?}");

    let mut random = Random(20_261_129);
    let (mut done, mut of_runner, mut of_trial, mut sweeps) = (0, 0, 0, 0);
    while done < kills {
        let place = Place::new();
        write_plan(&place, 0.01);
        let mut child = start(&place);
        loop {
            std::thread::sleep(Duration::from_secs_f64(0.8 * random.next()));
            if child.try_wait().expect("it can be asked").is_some() {
                break;
            }
            if kills <= done {
                continue;
            }
            done += 1;
            let others: Vec<u32> =
                in_folder(place.path()).into_iter().filter(|pid| *pid != child.id()).collect();
            if random.next() < 0.5 || others.is_empty() {
                of_runner += 1;
                child.kill().expect("it can be killed");
                child.wait().expect("it ends");
                child = start(&place);
            } else {
                of_trial += 1;
                let victim = others[(random.next() * others.len() as f64) as usize % others.len()];
                let _ = Command::new("kill").args(["-9", &victim.to_string()]).stderr(Stdio::null()).status();
            }
        }
        // Whatever the last run of it was, the same command ends it.
        assert!(start(&place).wait().expect("it ends").success());
        sweeps += 1;
        let (found, file) = outcome(&place);
        assert_eq!(found, expected, "results of an undisturbed sweep");
        assert_eq!(file, sweep, "the sweep's file");
        std::thread::sleep(Duration::from_millis(100));
        assert!(in_folder(place.path()).is_empty(), "something still runs");
    }
    println!(
        "{done} kills ({of_runner} of the runner, {of_trial} of trials) in {sweeps} sweeps of {} trials; an undisturbed \
         one took {took:.1?}",
        expected.len()
    );
}
