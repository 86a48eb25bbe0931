//! The command `fit`: files and standard input in, words, JSON and a picture out.

use std::fmt::Write;
use tests::Place;
use tests::json::{at, number, text};

/// t = 2 ms + 10 µs·B, each batch size timed five times.
fn steps() -> String {
    let mut csv = "batch,ms\n".to_owned();
    for k in 0..11 {
        for wobble in [0.99, 1.0, 1.01, 1.004, 0.996] {
            let batch = f64::from(1 << k);
            writeln!(csv, "{batch},{}", (2.0 + 0.01 * batch) * wobble).expect("memory takes it");
        }
    }
    csv
}

/// S = 500·(1 + 400/B) steps, three seeds.
fn runs() -> String {
    let mut csv = "batch;seed;steps\n".to_owned();
    for k in 0..8 {
        for (seed, wobble) in [0.97, 1.0, 1.03].into_iter().enumerate() {
            let batch = f64::from(16 << k);
            writeln!(csv, "{batch};{seed};{}", 500.0 * (1.0 + 400.0 / batch) * wobble)
                .expect("memory takes it");
        }
    }
    csv
}

fn place() -> Place {
    let place = Place::new();
    let write =
        |name: &str, text: &str| std::fs::write(place.path().join(name), text).expect("it can be written");
    write("steps.csv", &steps());
    write("runs.csv", &runs());
    write(
        "norms.jsonl",
        &"{\"batch\": 8, \"micro_batch\": 1, \"micro_norm2\": 15, \"batch_norm2\": 5}\n".repeat(3),
    );
    write("peaks.txt", "batch peak_mib\n1 304\n2 308\n4 316\n8 332\n16 364\n32 428\n64 oom\n");
    write("losses.csv", "batch,lr,loss\n8,0.1,1.2\n8,0.2,1.0\n8,0.4,1.2\n8,0.8,diverged\n");
    place
}

#[test]
fn every_kind_answers_in_words_and_in_json() {
    let place = place();
    for (kind, file, words, keys) in [
        (
            "noise",
            "norms.jsonl",
            "noise scale φ",
            &["phi", "low", "high", "grade", "g2", "tr_sigma", "unit", "measurements"][..],
        ),
        (
            "tradeoff",
            "runs.csv",
            "critical batch B_c",
            &["b_crit", "low", "high", "s_min", "e_min", "grade", "misfit"],
        ),
        ("speed", "steps.csv", "knee at 90 %", &["model", "overhead_seconds", "seconds_per_example", "knee"]),
        ("memory", "peaks.txt", "each example  4 MiB", &["fixed_bytes", "bytes_per_example", "upper_band"]),
        ("ridge", "losses.csv", "exponent", &["exponent", "low", "high", "best"]),
    ] {
        let ran = place.run(&["fit", kind, file]);
        assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""), "{kind}");
        assert!(ran.stdout.contains(words), "{kind}: {}", ran.stdout);
        assert!((4..20).contains(&ran.stdout.lines().count()), "{kind}: {}", ran.stdout);
        let json = place.run(&["fit", kind, file, "--json"]).json();
        assert_eq!(text(&json, "/kind"), kind);
        assert_eq!(text(&json, "/files/0/file"), file);
        for key in keys {
            assert!(json.get(key).is_some(), "{kind}: {key} in {json}");
        }
    }
    let speed = place.run(&["fit", "speed", "steps.csv", "--json"]).json();
    assert!((number(&speed, "/overhead_seconds") - 2e-3).abs() < 5e-5, "{speed}");
    let tradeoff = place.run(&["fit", "tradeoff", "runs.csv", "--json"]).json();
    assert!(number(&tradeoff, "/low") <= 400.0 && 400.0 <= number(&tradeoff, "/high"), "{tradeoff}");
}

#[test]
fn answers_lead_to_a_decision() {
    let place = place();
    let line = "for k in speed:steps.csv tradeoff:runs.csv memory:peaks.txt; do \
                \"$PROGRAM\" fit ${k%%:*} ${k##*:} --json > ${k%%:*}.json; done; \
                exec \"$PROGRAM\" fit decide speed.json tradeoff.json memory.json --memory 600MiB --json --plot choice.svg";
    let json = place.shell(line).json();
    // B_T = √(200·400) = 283.
    assert_eq!(number(&json, "/batch_size"), 256.0, "{json}");
    assert!(number(&json, "/micro_batch") < 80.0);
    for key in ["equivalent_batch_sizes", "binding", "grade", "expected_regret", "next_measurement"] {
        assert!(!at(&json, &format!("/{key}")).is_null(), "{key}");
    }
    assert!(place.read("choice.svg").starts_with("<svg xmlns"));
    let words = place.run(&["fit", "decide", "tradeoff.json"]);
    assert_eq!(words.status, Some(0), "what is missing is no fault: {}", words.stderr);
    assert!(
        words.stdout.contains("not identified") && words.stdout.contains("fit speed"),
        "{}",
        words.stdout
    );
}

#[test]
fn standard_input_is_a_file() {
    let place = place();
    let from_file = place.run(&["fit", "speed", "steps.csv", "--json"]).json();
    let piped = place.shell("exec \"$PROGRAM\" fit speed - --json < steps.csv").json();
    assert_eq!(text(&piped, "/files/0/file"), "standard input");
    assert_eq!(text(&piped, "/files/0/sha256"), text(&from_file, "/files/0/sha256"));
    assert_eq!(at(&piped, "/overhead"), at(&from_file, "/overhead"));
    place.run(&["fit", "decide", "-", "-"]).assert_refused("standard input twice", 2, &["- stands twice"]);
    place.run(&["fit", "speed", "-"]).assert_refused(
        "nothing on standard input",
        2,
        &["standard input", "empty"],
    );
}

#[test]
fn a_picture_loads_nothing_and_overwrites_no_measurements() {
    let place = place();
    let ran = place.run(&["fit", "speed", "steps.csv", "--plot", "speed.svg"]);
    assert!(ran.status == Some(0) && ran.stdout.contains("speed.svg"), "{}{}", ran.stdout, ran.stderr);
    let svg = place.read("speed.svg");
    assert!(svg.contains("<style>") && svg.contains("examples per second"), "{svg}");
    for outside in ["href", "url(", "<script", "@import"] {
        assert!(!svg.contains(outside), "{outside}");
    }
    place.run(&["fit", "speed", "steps.csv", "--plot", "./steps.csv"]).assert_refused(
        "its own file",
        2,
        &["overwrite"],
    );
    assert_eq!(place.read("steps.csv"), steps());
    place.run(&["fit", "speed", "steps.csv", "--plot", "no/where.svg"]).assert_refused(
        "no folder",
        2,
        &["no/where.svg", "--plot"],
    );
}

#[test]
fn wrong_input_is_named_and_ends_with_2() {
    let place = place();
    std::fs::write(place.path().join("wrong.csv"), "batch,seconds\n8,1\n16,fast\n")
        .expect("it can be written");
    let refused = |arguments: &[&str], named: &[&str]| {
        let ran = place.run(arguments);
        ran.assert_refused(&arguments.join(" "), 2, named);
        assert_eq!(ran.stdout, "");
    };
    refused(&["fit", "speed", "wrong.csv"], &["wrong.csv, line 3, column 2 (seconds)", "`fast`"]);
    refused(&["fit", "speed", "wrong.csv", "--json"], &["`fast`"]);
    refused(&["fit", "speed", "nowhere.csv"], &["nowhere.csv", "cannot be opened"]);
    refused(&["fit", "speed", "."], &["folder"]);
    refused(&["fit", "speed", "steps.csv", "--confidence", "1"], &["--confidence"]);
    refused(&["fit", "speed", "steps.csv", "--unit", "s"], &["--unit s"]);
    refused(&["fit", "noise", "norms.jsonl", "--target", "training-set"], &["--dataset-size"]);
    refused(&["fit", "tradeoff", "runs.csv", "--evaluation-period=-1"], &["--evaluation-period"]);
    refused(&["fit", "decide", "steps.csv"], &["no JSON"]);
}

#[test]
fn what_is_not_identified_is_an_answer() {
    let place = Place::new();
    std::fs::write(place.path().join("one.csv"), "batch,seconds\n8,1\n8,1.1\n").expect("it can be written");
    let ran = place.run(&["fit", "speed", "one.csv"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), ""));
    assert!(ran.stdout.contains("not identified") && ran.stdout.contains("measure next"), "{}", ran.stdout);
    let json = place.run(&["fit", "speed", "one.csv", "--json"]).json();
    assert!(at(&json, "/overhead_seconds").is_null() && text(&json, "/grade") == "not_identified", "{json}");
}

#[test]
fn a_million_rows_are_read() {
    let place = Place::new();
    let mut text = String::with_capacity(16 << 20);
    text.push_str("measurement,micro_batch,weight,norm2\n");
    for measurement in 0..10_000 {
        for micro in 0..99 {
            writeln!(text, "{measurement},{micro},1,{}", 200 + (measurement * 31 + micro * 17) % 50)
                .expect("memory takes it");
        }
        writeln!(text, "{measurement},all,99,{}", 3.0 + 0.001 * f64::from(measurement % 100))
            .expect("memory takes it");
    }
    std::fs::write(place.path().join("big.csv"), text).expect("it can be written");
    let json = place.run(&["fit", "noise", "big.csv", "--json"]).json();
    assert_eq!((number(&json, "/files/0/rows"), number(&json, "/measurements")), (1e6, 1e4));
}
