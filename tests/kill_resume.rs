//! A run killed at any instant and resumed ends with the bits of one that was not.

use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use tests::processes::{in_folder, signal, wait, wait_until};
use tests::program::{program, ran};
use tests::{Place, Ran};

/// A run long enough to be killed in, with all that a checkpoint must hold: momentum, a batch size and learning rate that
/// change, readings of the noise, evaluations, an average of the weights, the best of them, tables, an event file.
const RUN: [&str; 27] = [
    "train",
    "--data",
    "glyphs:train=2000,test=200",
    "--model",
    "mlp",
    "--optimizer",
    "adamw",
    "--batch",
    "8 doubling at 30%,60%",
    "--micro-batch",
    "8",
    "--lr",
    "0.002 warmup 5% then cosine to 0",
    "--examples",
    "12000",
    "--checkpoint-every",
    "500ex",
    "--evaluate-every",
    "1700ex",
    "--noise",
    "every=3,layers",
    "--ema",
    "500ex",
    "--keep-best",
    "--csv",
    "--tensorboard",
    "events",
];
const OUT: [&str; 4] = ["--quiet", "--json", "--out", "out"];
const RESUME: [&str; 5] = ["train", "--resume", "out", "--quiet", "--json"];
const LONG: Duration = Duration::from_secs(120);

/// All that does not tell the time: the weights' hash, the lines, and the lengths of the events.
#[derive(Debug, PartialEq)]
struct End {
    weights: String,
    result: Value,
    lines: Vec<Value>,
    events: Vec<u64>,
    tables: Vec<Vec<String>>,
    files: Vec<Vec<u8>>,
}

/// The rows of a table without the columns that tell the time.
fn rows(text: &str) -> Vec<String> {
    let clocks = ["seconds", "examples_per_second", "data_wait_seconds"];
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let row = |line: &str| {
        let cells = line.split(',').zip(&head).filter(|(_, name)| !clocks.contains(name));
        cells.map(|(cell, _)| cell).collect::<Vec<_>>().join(",")
    };
    lines.map(row).collect()
}

fn without_clocks(mut value: Value, clocks: &[&str]) -> Value {
    if let Some(map) = value.as_object_mut() {
        clocks.iter().for_each(|clock| drop(map.remove(*clock)));
    }
    value
}

/// The lengths of the records of an event file: 8 bytes of length, 4 of checksum, the record, 4 of checksum.
fn events(folder: &Path) -> Vec<u64> {
    let files: Vec<_> = std::fs::read_dir(folder).expect("events").flatten().collect();
    assert_eq!(files.len(), 1, "one event file, whatever happened");
    let bytes = std::fs::read(files[0].path()).expect("it can be read");
    let (mut at, mut lengths) = (0, Vec::new());
    while at < bytes.len() {
        let length = u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        lengths.push(length);
        at += 16 + length as usize;
    }
    assert_eq!(at, bytes.len(), "no half event");
    lengths
}

fn end(place: &Place, last: &Ran) -> End {
    let result = last.json();
    let line = |line: &str| {
        let line = serde_json::from_str(line).expect("a whole line");
        without_clocks(line, &["seconds", "examples_per_second", "data_wait_seconds"])
    };
    // What the run took, and where it was resumed, are not its result.
    let mut result = without_clocks(result, &["seconds", "memory", "provenance", "resumed_at"]);
    for (part, clock) in [("noise", "cost"), ("best", "seconds")] {
        result[part].as_object_mut().expect("it was asked for").remove(clock);
    }
    let bytes = |name: &str| std::fs::read(place.path().join("out").join(name)).expect("it was written");
    End {
        weights: result["weights_sha256"].as_str().expect("a hash").to_owned(),
        result,
        lines: place.read("out/steps.jsonl").lines().map(line).collect(),
        events: events(&place.path().join("events")),
        tables: ["steps.csv", "evaluations.csv"].map(|name| rows(&place.read(&format!("out/{name}")))).into(),
        files: ["average.safetensors", "best.safetensors"].map(bytes).into(),
    }
}

fn uninterrupted() -> (End, f64) {
    let place = Place::new();
    // Built before, if it must be: what follows is timed.
    program();
    let start = std::time::Instant::now();
    let ran = place.run(&[&RUN[..], &OUT].concat());
    let seconds = start.elapsed().as_secs_f64();
    (end(&place, &ran), seconds)
}

/// Runs until it ends, or for so many seconds; whether it ended.
fn run_for(place: &Place, arguments: &[&str], seconds: f64) -> Option<Ran> {
    let mut child = place.start(arguments);
    std::thread::sleep(Duration::from_secs_f64(seconds));
    if child.try_wait().expect("the process can be asked").is_none() {
        signal(&child, "KILL");
    }
    let ran = ran(&wait(child, LONG));
    wait_until("the training has ended too", LONG, || in_folder(place.path()).is_empty());
    ran.status.map(|_| ran)
}

/// How often: `BATCHWISE_KILLS`, or a few.
fn kills() -> u64 {
    std::env::var("BATCHWISE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(8)
}

#[test]
fn a_killed_and_resumed_run_ends_with_the_same_bits() {
    let (whole, seconds) = uninterrupted();
    assert!(100 < whole.lines.len() && 100 < whole.events.len());
    let (n, mut killed) = (kills(), 0);
    for i in 0..n {
        let place = Place::new();
        // The golden ratio's multiples cover the run evenly, whatever their number.
        let part = |k: u64| ((i * 3 + k) as f64 * 0.618_033_988_75).fract();
        let mut ran = run_for(&place, &[&RUN[..], &OUT].concat(), seconds * part(0));
        killed += u64::from(ran.is_none());
        // Every third is killed again while it goes on.
        if ran.is_none() && i % 3 == 0 && place.path().join("out/run.json").exists() {
            ran = run_for(&place, &RESUME, seconds * part(1) * 0.5);
            killed += u64::from(ran.is_none());
        }
        let last = match ran {
            Some(ran) => ran,
            None if place.path().join("out/run.json").exists() => place.run(&RESUME),
            // It was killed before anything was written.
            None => place.run(&[&RUN[..], &OUT, &["--force"]].concat()),
        };
        let found = end(&place, &last);
        assert_eq!(found.weights, whole.weights, "kill {i}");
        assert!(found == whole, "kill {i}: the weights are the same, the files are not");
        println!("{} of {n} runs, {killed} kills, no mismatch", i + 1);
    }
    assert!(n / 3 <= killed, "{killed} of {n} runs were killed before their end");
}

#[test]
fn a_run_that_is_asked_to_stop_stores_where_it_is() {
    for name in ["INT", "TERM"] {
        let place = Place::new();
        let child = place.start(&[&RUN[..], &OUT].concat());
        wait_until("it has written a line", LONG, || {
            place.path().join("out/steps.jsonl").metadata().is_ok_and(|file| 0 < file.len())
        });
        signal(&child, name);
        let stopped = ran(&wait(child, LONG));
        assert_eq!(stopped.status, Some(130), "{}", stopped.stderr);
        assert!(stopped.stderr.contains("train --resume out"), "{}", stopped.stderr);
        assert!(!place.path().join("out/train.json").exists(), "no result of half a run");
        let last = place.run(&RESUME);
        assert!(last.json()["resumed_at"].as_u64().is_some_and(|at| 0 < at), "it began anew");
        assert!(end(&place, &last) == uninterrupted().0, "{name}: another end");
    }
}

#[test]
fn a_run_whose_time_is_over_stores_where_it_is() {
    let place = Place::new();
    let ran = place.run(&[&RUN[..], &OUT, &["--max-seconds", "0.2"]].concat());
    let result = ran.json();
    assert_eq!(result["stopped"], "time");
    assert!(result["examples"].as_u64().is_some_and(|n| 0 < n && n < 12_000), "{result}");
    let last = place.run(&RESUME);
    assert!(end(&place, &last) == uninterrupted().0);
}

#[test]
fn a_target_that_was_reached_is_not_passed_by_resuming() {
    let place = Place::new();
    let ran = place.run(&[&RUN[..], &OUT, &["--until", "accuracy=0.3"]].concat());
    let reached = end(&place, &ran);
    assert!(reached.result["reached_target_at"]["examples"].is_number(), "{}", reached.result);
    assert!(ran.json()["examples"].as_u64().is_some_and(|n| n < 12_000), "{}", ran.stdout);
    let again = place.run(&RESUME);
    assert!(end(&place, &again) == reached, "{}", again.stdout);
}

#[test]
fn a_run_does_not_go_on_from_what_is_not_its_own() {
    let place = Place::new();
    place.run(&[&RUN[..], &OUT].concat());
    let path = place.path().join("out/run.json");
    let text = place.read("out/run.json");
    let refused = |from: &str, to: &str, named: &[&str]| {
        assert!(text.contains(from), "{from} in {text}");
        std::fs::write(&path, text.replacen(from, to, 1)).expect("it can be written");
        place.run(&RESUME).assert_refused(from, 2, named);
    };
    refused("glyphs:train=2000,test=200", "glyphs:train=2000,test=200,label_noise=0.1", &["data set"]);
    refused("\"optimizer\": \"adamw\"", "\"optimizer\": \"sgd\"", &["optimizer"]);
    refused("\"schema\": 1", "\"schema\": 9", &["run.json", "9"]);
    refused("\"seed\": 1", "\"seed\": 2", &["seed"]);
    refused("{", "", &["run.json"]);
    // The newest checkpoint damaged: the one before is taken, and it is said.
    std::fs::write(&path, &text).expect("it can be written");
    let mut checkpoints: Vec<_> = std::fs::read_dir(place.path().join("out/checkpoints"))
        .expect("checkpoints")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "safetensors"))
        .collect();
    checkpoints.sort();
    let newest = checkpoints.pop().expect("there is one");
    let mut bytes = std::fs::read(&newest).expect("it can be read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&newest, bytes).expect("it can be written");
    let last = place.run(&RESUME);
    assert!(last.stderr.contains("damaged"), "{}", last.stderr);
    assert!(end(&place, &last) == uninterrupted().0);
    let nowhere = place.run(&["train", "--resume", "nowhere"]);
    nowhere.assert_refused("nowhere", 2, &["nowhere"]);
}
