//! What the program says when asked: help, usage errors, exit statuses, and where it writes what.

use tests::Place;
use tests::image_set::ImageSet;
use tests::json::{self, list, text};

const COMMANDS: [&str; 17] = [
    "advise", "memory", "speed", "noise", "train", "change", "schedule", "data", "fit", "devices", "audit",
    "check", "runs", "sweep", "report", "trial", "simulate",
];
const KINDS: [&str; 6] = ["noise", "tradeoff", "speed", "memory", "ridge", "decide"];

/// A place with the data set `small`.
fn place() -> Place {
    let place = Place::new();
    ImageSet::SMALL.write(&place.path().join("small"));
    place
}

#[test]
fn help_tells_what_there_is() {
    let place = Place::new();
    let ran = place.run(&["--help"]);
    assert_eq!(ran.status, Some(0));
    assert_eq!(ran.stderr, "");
    insta::assert_snapshot!("help", ran.stdout);
    assert!(!ran.stdout.contains("probe"), "the children's command is hidden");
    for command in COMMANDS {
        let ran = place.run(&[command, "--help"]);
        assert_eq!(ran.status, Some(0), "{command}");
        insta::assert_snapshot!(format!("help of {command}"), ran.stdout);
    }
    for kind in KINDS {
        let ran = place.run(&["fit", kind, "--help"]);
        assert_eq!(ran.status, Some(0), "{kind}");
        insta::assert_snapshot!(format!("help of fit {kind}"), ran.stdout);
    }
}

#[test]
fn version_is_that_of_the_workspace() {
    let ran = Place::new().run(&["--version"]);
    assert_eq!((ran.status, ran.stdout.trim()), (Some(0), concat!("batchwise ", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn devices_lists_the_cpu() {
    let place = Place::new();
    let ran = place.run(&["devices"]);
    assert_eq!(ran.status, Some(0));
    insta::with_settings!({ filters => vec![
        (r"cpu  .*, \d+ threads?", "cpu  [MODEL], [N] threads"),
        (r"\d+(\.\d+)? [KMGT]?i?B", "[BYTES]"),
    ] }, { insta::assert_snapshot!("devices", ran.stdout); });
    let devices = place.run(&["devices", "--json"]).json();
    assert_eq!(text(&devices, "/0/device"), "cpu");
    assert!(json::whole(&devices, "/0/available_bytes") <= json::whole(&devices, "/0/total_bytes"));
}

#[test]
fn audit_shows_both_tables() {
    let place = Place::new();
    let ran = place.run(&["audit"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""), "candle's failures change no status");
    assert!(ran.stdout.contains("x: scaled by 0.25"), "{}", ran.stdout);
    assert!(ran.stdout.contains("cases of ours are right."), "{}", ran.stdout);
    let audit = place.run(&["audit", "--json"]).json();
    let failing = list(&audit, "/stock").iter().filter(|row| row["is_right"] == false).count();
    assert!(10 < failing, "{failing}");
    assert!(list(&audit, "/ours").iter().all(|row| row["is_right"] == true));
}

#[test]
fn check_accumulation_proves_the_built_in_models() {
    let place = place();
    let check = ["check", "accumulation", "--data", "small", "--model", "mlp", "--batch", "12"];
    let ran = place.run(&check);
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""), "{}", ran.stdout);
    assert!(ran.stdout.contains("Accumulation is exact for mlp"), "{}", ran.stdout);
    let report = place.run(&[&check[..], &["--micro-batches", "6,5", "--json"]].concat()).json();
    assert_eq!((&report["ok"], &report["cause"]), (&true.into(), &serde_json::Value::Null));
    let rows = list(&report, "/rows").iter();
    let rows: Vec<_> = rows.map(|row| (text(row, "/dtype"), json::whole(row, "/micro_batch"))).collect();
    assert_eq!(rows, [("f32", 6), ("f32", 5), ("f64", 6), ("f64", 5)]);
    let ran = place.run(&["check", "accumulation", "--data", "small", "--batch", "1000000"]);
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("from 2 to the length of the data set"), "{}", ran.stderr);
}

#[test]
fn wrong_usage_is_explained() {
    let place = Place::new();
    let cases: [(&str, &[&str]); 9] = [
        ("no command", &[]),
        ("an unknown command", &["advice"]),
        ("an unknown option", &["train", "--learning-rate", "1"]),
        ("no memory size", &["advise", "--memory", "2XB"]),
        ("no device", &["train", "--device", "tpu"]),
        ("no optimizer", &["train", "--optimizer", "adagrad"]),
        ("no batch", &["train", "--batch", "0"]),
        ("two lengths", &["train", "--epochs", "1", "--examples", "1"]),
        ("an unknown model", &["train", "--model", "vit"]),
    ];
    for (name, arguments) in cases {
        let ran = place.run(arguments);
        assert_eq!(ran.status, Some(2), "{name}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{name}: usage errors go to standard error");
        insta::assert_snapshot!(format!("usage, {name}"), ran.stderr);
    }
    assert_eq!(std::fs::read_dir(place.path()).expect("the place is there").count(), 0, "nothing is written");
}

#[test]
fn exit_statuses_tell_what_happened() {
    let place = place();
    let status = |arguments: &[&str]| place.run(arguments).status;
    assert_eq!(status(&["data", "--data", "small"]), Some(0), "done");
    assert_eq!(status(&["data", "--data", "nowhere"]), Some(2), "wrong input");
    let diverging = ["train", "--data", "small", "--model", "mlp", "--lr", "1e20"];
    assert_eq!(status(&diverging), Some(3), "no result can be given");
}

#[test]
fn json_is_all_there_is_on_standard_output() {
    let place = place();
    for command in ["data", "devices", "memory", "speed", "noise", "train", "audit"] {
        let ran = place.run(&[command, "--data", "small", "--model", "mlp", "--json"]);
        let value = ran.json();
        assert!(value.is_object() || value.is_array(), "{command}: {value}");
    }
}

#[test]
fn quiet_leaves_standard_error_empty() {
    let place = place();
    for command in ["data", "devices", "memory", "speed", "noise", "train"] {
        let ran = place.run(&[command, "--data", "small", "--model", "mlp", "--quiet"]);
        assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""), "{command}");
        assert!(!ran.stdout.is_empty(), "{command} still answers");
    }
    let ran = place.run(&["memory", "--data", "small", "--model", "mlp"]);
    assert!(ran.stderr.contains("per example"), "without --quiet the finding is told: {}", ran.stderr);
}

#[test]
fn the_log_is_written_as_json_lines() {
    let place = place();
    let ran =
        place.run(&["memory", "--data", "small", "--model", "mlp", "--quiet", "--log-json", "log.jsonl"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let log = place.read("log.jsonl");
    let lines: Vec<_> = log.lines().map(|line| json::parse("a line of the log", line)).collect();
    assert!(2 < lines.len(), "{log}");
    for line in &lines {
        for field in ["/timestamp", "/level", "/target", "/fields/message"] {
            text(line, field);
        }
    }
    assert!(lines.iter().any(|line| line["fields"]["message"] == "phase begins"), "{log}");
    place.run(&["data", "--log-json", "nowhere/log"]).assert_refused("a bad log", 2, &["nowhere/log"]);
}

#[test]
fn each_result_says_where_it_comes_from() {
    let place = place();
    for command in ["memory", "noise", "train"] {
        let arguments = [
            command, "--data", "small", "--model", "mlp", "--quiet", "--seed", "5", "--json", "--out",
            command,
        ];
        let printed = place.run(&arguments).json();
        let written = json::read(&place.path().join(command).join(format!("{command}.json")));
        assert_eq!(printed, written, "{command}: the file holds what was printed");
        assert_eq!(json::whole(&printed, "/provenance/seed"), 5);
        assert_eq!(list(&printed, "/provenance/command")[0], command);
    }
}

#[test]
fn data_is_found_in_the_data_folder_and_by_its_variable() {
    let place = place();
    let hash = |line: &str| {
        let value = place.shell(line).json();
        text(&value, "/train_hash").to_owned()
    };
    let here = hash("exec \"$PROGRAM\" data --data small --json");
    std::fs::create_dir(place.path().join("sets")).expect("a folder can be made");
    std::fs::rename(place.path().join("small"), place.path().join("sets/tiny")).expect("it can be moved");
    assert_eq!(hash("exec \"$PROGRAM\" data --data tiny --data-dir sets --json"), here);
    assert_eq!(hash("BATCHWISE_DATA=sets exec \"$PROGRAM\" data --data tiny --json"), here);
    assert_eq!(hash("exec \"$PROGRAM\" data --data sets/tiny --json"), here);
}
