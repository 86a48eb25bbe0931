//! The commands that list, show, compare, export and tidy up the trials of a folder.

use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};
use tests::Place;
use tests::json::{list, text, whole};

const ONE: &str = "aa00000000000001";
const TWO: &str = "aa00000000000002";
const LONE: &str = "bb00000000000003";

fn write(path: &Path, lines: &[Value]) {
    fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("a folder");
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(path, text).expect("it can be written");
}

fn write_trial(root: &Path, id: &str, batch: u64, loss: Option<f64>) {
    let folder = root.join("runs").join(id);
    let judge = json!({"field": "loss", "more_is_better": false});
    let spec = json!({
        "version": 1, "trainer": {"kind": "command", "command": ["train"], "files": {}}, "batch": batch,
        "learning_rate": 0.1, "seed": 1, "parameters": {"note": "a \"quoted\", word"}, "schedule": "constant",
        "examples": 1000, "evaluate_examples": 100, "judge": judge, "target": null, "confirm": 1,
        "patience_examples": null, "pruning": null, "code": "1",
    });
    write(&folder.join("trial.json"), &[spec]);
    let begin = json!({
        "line": "begin", "at": 1, "pid": 1, "host": "here", "runner": null, "micro_batch": 8, "threads": 2,
        "resumed_at": null,
    });
    let step = json!({"line": "step", "examples": 50, "steps": 5, "seconds": 0.5, "train_loss": 1.5});
    let evaluation =
        json!({"line": "evaluation", "examples": 100, "steps": 10, "seconds": 1.0, "loss": 1.25});
    let end = json!({"line": "end", "seconds": 1.0, "wall_seconds": 2.0});
    let log = [vec![begin, step, evaluation], loss.map(|_| end).into_iter().collect()].concat();
    write(&folder.join("log-0.1.1.jsonl"), &log);
    if let Some(loss) = loss {
        let result = json!({
            "version": 1, "trial": id, "end": {"how": "finished"}, "examples": 1000, "steps": 100,
            "train_loss": null, "loss": loss, "metric": null, "reached": null, "evaluations": [],
            "weights_sha256": null,
        });
        write(&folder.join("result.json"), &[result]);
    } else {
        let end = json!({"at": 5, "kind": "memory", "reason": "took 3 GiB"});
        write(&folder.join("end-log-0.1.1.json"), &[end]);
    }
    write(&folder.join("checkpoints/1"), &[json!("weights")]);
}

/// A place with two trials that are done, of one sweep, and one that no sweep names.
fn place() -> Place {
    let place = Place::new();
    let root = place.path().join("batchwise-out/store");
    write_trial(&root, ONE, 8, Some(0.5));
    write_trial(&root, TWO, 16, Some(0.25));
    write_trial(&root, LONE, 32, None);
    let sweep = json!({
        "version": 1, "name": "first", "trainer": "train", "unit": "examples", "dataset_examples": null,
        "trials": [TWO, ONE], "brackets": [], "is_complete": true, "machine": {},
    });
    write(&root.join("sweeps/first/sweep.json"), &[sweep]);
    place
}

#[test]
fn trials_are_listed_and_shown() {
    let place = place();
    let all = place.run(&["runs", "list"]);
    assert_eq!((all.status, all.stderr.as_str()), (Some(0), ""));
    for part in [ONE, TWO, LONE, "3 trials: 1 waiting, 2 done"] {
        assert!(all.stdout.contains(part), "{part}: {}", all.stdout);
    }
    let some = place.run(&["runs", "list", "--sweep", "first", "--state", "done", "--json"]).json();
    assert_eq!((text(&some, "/0/id"), text(&some, "/1/id")), (TWO, ONE));
    let sweep = place.run(&["runs", "show", "first"]);
    for part in ["2 trials (2 finished)", "Best learning rate", "runs list --sweep first"] {
        assert!(sweep.stdout.contains(part), "{part}: {}", sweep.stdout);
    }
    let trial = place.run(&["runs", "show", "bb"]);
    for part in [LONE, "memory: took 3 GiB", "a \"quoted\", word", "1.25"] {
        assert!(trial.stdout.contains(part), "{part}: {}", trial.stdout);
    }
    let trial = place.run(&["runs", "show", ONE, "--json"]).json();
    assert_eq!((text(&trial, "/state"), text(&trial, "/sweeps/0")), ("done", "first"));
    assert_eq!(list(&trial, "/evaluations").len(), 1);
    let names = ["runs", "show", "aa"];
    place.run(&names).assert_refused("two begin so", 2, &["names of 2 trials", ONE, TWO]);
    place.run(&["runs", "list", "--sweep", "second"]).assert_refused(
        "no such sweep",
        2,
        &["there are first"],
    );
    Place::new().run(&["runs", "list"]).assert_refused("nothing there", 2, &["batchwise-out/store", "--out"]);
}

#[test]
fn trials_are_compared() {
    let place = place();
    let both = place.run(&["runs", "compare", ONE, TWO, "--json"]).json();
    assert_eq!((list(&both, "/configuration").len(), text(&both, "/configuration/0/name")), (1, "batch"));
    let loss = list(&both, "/results").iter().find(|outcome| text(outcome, "/name") == "loss");
    assert_eq!(loss.map(|loss| loss["differences"].clone()), Some(json!([0.0, -0.25])));
    let both = place.run(&["runs", "compare", ONE, TWO]);
    assert!(both.stdout.contains("0.25 (-0.25)"), "{}", both.stdout);
}

#[test]
fn trials_are_exported() {
    let place = place();
    let exported = place.run(&["runs", "export", "--sweep", "first", "--to", "t.csv", "--json"]).json();
    assert_eq!((text(&exported, "/format"), whole(&exported, "/rows")), ("csv", 2));
    let csv = place.read("t.csv");
    assert!(csv.starts_with("trial,trainer,batch") && csv.contains("\"a \"\"quoted\"\", word\""), "{csv}");
    assert_eq!(place.run(&["runs", "export", "--what", "metrics", "--to", "m.jsonl"]).status, Some(0));
    assert_eq!(place.read("m.jsonl").lines().count(), 6);
    assert_eq!(place.run(&["runs", "export", "--to", "t.parquet"]).status, Some(0));
    let bytes = fs::read(place.path().join("t.parquet")).expect("it was written");
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    place.run(&["runs", "export", "--to", "t.txt"]).assert_refused("no form", 2, &["t.txt", ".parquet"]);
    place.run(&["runs", "export", "--to", "no/t.csv"]).assert_refused("no folder", 2, &["no/t.csv", "--to"]);
}

#[test]
fn only_what_nobody_needs_is_removed() {
    let place = place();
    let root = place.path().join("batchwise-out/store");
    let young = place.run(&["runs", "gc", "--yes", "--json"]).json();
    assert_eq!((young["items"].clone(), whole(&young, "/n_too_young")), (json!([]), 3));
    age(&root);
    let would = place.run(&["runs", "gc"]);
    assert!(would.stdout.contains(LONE) && would.stdout.contains("--yes"), "{}", would.stdout);
    assert!(root.join("runs").join(LONE).exists());
    let gone = place.run(&["runs", "gc", "--yes", "--json"]).json();
    assert_eq!(list(&gone, "/items").len(), 3);
    assert!(!root.join("runs").join(LONE).exists());
    let left = place.run(&["runs", "list", "--json"]).json();
    assert_eq!(list(&left, "").len(), 2);
    assert!(root.join("runs").join(ONE).join("result.json").exists());
    assert!(!root.join("runs").join(ONE).join("checkpoints").exists());
}

/// Makes all below a folder two hours old.
fn age(path: &Path) {
    if path.is_dir() {
        let entries = fs::read_dir(path).expect("a folder").flatten();
        entries.for_each(|entry| age(&entry.path()));
    }
    let then = SystemTime::now() - Duration::from_secs(7200);
    File::open(path).and_then(|file| file.set_modified(then)).expect("its time can be set");
}

#[test]
fn a_damaged_store_is_named_and_made_anew() {
    let place = place();
    let before = place.run(&["runs", "list"]).stdout;
    fs::write(place.path().join("batchwise-out/store/store.sqlite"), "no database")
        .expect("it can be written");
    place.run(&["runs", "list"]).assert_refused("damaged", 2, &["store.sqlite", "runs rebuild"]);
    let rebuilt = place.run(&["runs", "rebuild", "--json"]).json();
    assert_eq!(
        (whole(&rebuilt, "/trials"), whole(&rebuilt, "/sweeps"), whole(&rebuilt, "/lines")),
        (3, 1, 6)
    );
    assert_eq!(place.run(&["runs", "list"]).stdout, before);
}
