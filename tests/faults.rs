//! What goes wrong while the program runs: a full disk, Ctrl-C, a killed parent, a child without memory.

#![cfg(target_os = "linux")]

use std::time::Duration;
use tests::image_set::ImageSet;
use tests::json::{self, list, whole};
use tests::processes::{in_folder, signal, wait, wait_until};
use tests::program::ran;
use tests::{Place, Ran};

const SOON: Duration = Duration::from_secs(10);
const LATER: Duration = Duration::from_secs(60);

fn place() -> Place {
    let place = Place::new();
    ImageSet::SMALL.write(&place.path().join("small"));
    place
}

/// Runs where no file can grow beyond so many blocks of 512 bytes or 1 KiB, as the shell counts.
fn on_a_full_disk(place: &Place, blocks: u32, command: &str) -> Ran {
    let options = "--data small --model mlp --quiet --out out";
    place.shell(&format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$PROGRAM\" {command} {options}"))
}

#[test]
fn a_full_disk_names_the_file_and_leaves_nothing_half_written() {
    for (command, blocks, file) in [
        ("train", 0, "provenance.json"),
        ("train", 8, "weights.safetensors"),
        // A log of more than 8 KiB, which may end early but not within a line.
        ("train --epochs 40 --batch 16", 8, "steps.jsonl"),
        ("memory", 0, "memory.json"),
        ("noise", 0, "noise.json"),
        ("advise", 0, "provenance.json"),
        ("advise", 8, "noise.json"),
        ("advise", 80, "report.html"),
    ] {
        let place = place();
        let ran = on_a_full_disk(&place, blocks, command);
        ran.assert_refused(&format!("{command}, {blocks} blocks"), 1, &["cannot write", file]);
        let names = json::assert_all_parse(&place.path().join("out"));
        // A log keeps the whole lines before the fault; any other file is there whole or not at all.
        assert_eq!(names.contains(&file.to_owned()), file == "steps.jsonl", "{command}: {names:?}");
    }
}

#[test]
fn a_full_disk_under_standard_output_is_no_success() {
    let ran = place().shell("exec \"$PROGRAM\" data --data small --json >/dev/full");
    ran.assert_refused("standard output", 1, &["standard output"]);
}

#[test]
fn a_full_disk_under_standard_error_changes_no_exit_status() {
    let place = place();
    let status = |line: &str| place.shell(&format!("exec \"$PROGRAM\" {line} 2>/dev/full")).status;
    assert_eq!(status("data --data nowhere"), Some(2), "an error that cannot be shown");
    assert_eq!(status("memory --data small --model mlp"), Some(0), "a finding that cannot be shown");
}

/// Starts a command that takes long, waits until it is at work and this file is there, and sends the signal.
fn interrupted(place: &Place, command: &[&str], file: &str, name: &str) -> Ran {
    let child = place.start(&[command, &["--model", "mlp", "--out", "out"]].concat());
    let written = place.path().join("out").join(file);
    wait_until("the command is at work in a child", LATER, || {
        2 <= in_folder(place.path()).len() && written.metadata().is_ok_and(|meta| 0 < meta.len())
    });
    signal(&child, name);
    let ended = ran(&wait(child, SOON));
    wait_until("no child is left", SOON, || in_folder(place.path()).is_empty());
    ended
}

const TRAIN: [&str; 3] = ["train", "--epochs", "1000"];
const ADVISE: [&str; 3] = ["advise", "--examples", "60000"];

#[test]
fn ctrl_c_ends_the_children_and_keeps_what_is_done() {
    for name in ["INT", "TERM"] {
        for (command, file) in [(&ADVISE, "memory.json"), (&TRAIN, "steps.jsonl")] {
            let place = Place::new();
            let ran = interrupted(&place, command, file, name);
            let last = if command[0] == "train" { "go on by train --resume out" } else { "cancelled" };
            ran.assert_refused_last(&format!("{name} on {}", command[0]), last);
            let names = json::assert_all_parse(&place.path().join("out"));
            assert!(names.contains(&file.to_owned()), "{names:?}");
            assert!(!names.contains(&"advice.json".to_owned()), "no advice from half the measurements");
            assert!(!names.contains(&"train.json".to_owned()), "no result of half a training");
        }
    }
}

/// The end of an interrupted run.
trait Interrupted {
    fn assert_refused_last(&self, case: &str, last: &str);
}

impl Interrupted for Ran {
    fn assert_refused_last(&self, case: &str, last: &str) {
        assert_eq!(self.status, Some(130), "{case}: {}", self.stderr);
        let line = self.stderr.lines().last().unwrap_or_default();
        assert!(line.starts_with("error: ") && line.ends_with(last), "{case}: {line}");
        assert_eq!(self.stdout, "", "{case}: no half result");
    }
}

#[test]
fn children_end_by_themselves_when_the_parent_is_killed() {
    for (command, file) in [(&ADVISE, "memory.json"), (&TRAIN, "steps.jsonl")] {
        let place = Place::new();
        let ran = interrupted(&place, command, file, "KILL");
        assert_eq!(ran.status, None, "the signal ended it");
    }
}

#[test]
fn a_child_that_dies_for_memory_bounds_the_micro_batch() {
    let place = place();
    let memory = |extra: &[&str]| {
        let common =
            ["memory", "--data", "small", "--model", "mlp", "--max-batch", "256", "--quiet", "--json"];
        place.run(&[&common, extra].concat()).json()
    };
    let free = memory(&[]);
    assert!(json::at(&free, "/does_not_fit").is_null(), "everything fits: {free}");
    let points = list(&free, "/points");
    let (fixed, largest) = (whole(&free, "/fixed_bytes"), points.len() - 1);
    // Between what 128 and what 256 take.
    let limit = fixed + (whole(&points[largest], "/peak_bytes") - fixed) / 4 * 3;
    let tight = memory(&["--memory", &limit.to_string()]);
    assert_eq!(whole(&tight, "/does_not_fit"), 256, "{tight}");
    let fits = whole(&tight, "/largest_micro_batch");
    assert!(
        (128..256).contains(&fits),
        "three quarters of the memory take at least half the batch, not {fits}"
    );
    assert!(list(&tight, "/points").iter().all(|point| whole(point, "/peak_bytes") <= limit), "{tight}");

    let ran = place.run(&[
        "advise",
        "--data",
        "small",
        "--model",
        "mlp",
        "--quiet",
        "--json",
        "--memory",
        &limit.to_string(),
    ]);
    let advice = ran.json();
    assert!(whole(&advice, "/memory/verified_peak_bytes") <= limit, "{advice}");
    assert_eq!(whole(&advice, "/memory/limit_bytes"), limit);
    assert_eq!(whole(&advice, "/memory/does_not_fit"), 256);
}
