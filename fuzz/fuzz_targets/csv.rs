//! A CSV file; the first two bytes choose the settings.
#![no_main]

mod common;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [task, missing, table @ ..] = input else { return };
    let task = ["", ",task=class", ",task=values"][usize::from(task % 3)];
    let missing = ["refuse", "drop", "mean", "zero"][usize::from(missing % 4)];
    common::open_files(&[("table.csv", table)], "table.csv", &format!("target=y,missing={missing}{task}"));
});
