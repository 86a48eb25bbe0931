//! What a run writes and shows beside its weights, as a user sees it.

use serde_json::Value;
use tests::Place;

const RUN: [&str; 9] =
    ["train", "--data", "glyphs:train=2000,test=300", "--model", "mlp", "--batch", "32", "--quiet", "--json"];

fn run(place: &Place, more: &[&str]) -> Value {
    place.run(&[&RUN[..], more].concat()).json()
}

fn number(value: &Value, path: &str) -> f64 {
    let found = value.pointer(path).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("no number at {path} of {value}"))
}

#[test]
fn any_number_of_workers_gives_the_same_bits_and_lines() {
    let place = Place::new();
    let lines = |folder: &str| -> Vec<Value> {
        let line = |line: &str| {
            let mut line: Value = serde_json::from_str(line).expect("a whole line");
            for clock in ["seconds", "examples_per_second", "data_wait_seconds"] {
                line.as_object_mut().expect("an object").remove(clock);
            }
            line
        };
        place.read(&format!("{folder}/steps.jsonl")).lines().map(line).collect()
    };
    let base = ["--examples", "6000", "--micro-batch", "8"];
    let watched = [&base[..], &["--noise", "--evaluate-every", "25%", "--ema", "5%"]].concat();
    let mut seen = Vec::new();
    for workers in ["1", "2", "4", "8"] {
        let more = [&watched[..], &["--workers", workers, "--out", workers]].concat();
        let result = run(&place, &more);
        assert_eq!(number(&result, "/workers").to_string(), workers);
        seen.push((result["weights_sha256"].clone(), result["average"].clone(), lines(workers)));
    }
    assert!(100 < seen[0].2.len() && seen.iter().all(|of_one| *of_one == seen[0]), "not the same");
    // A trainer without workers adds up in another order.
    let alone = run(&place, &[&base[..], &["--out", "alone"]].concat());
    assert!((number(&alone, "/test_loss") - number(&seen[0].1, "/test_loss")).abs() < 0.5);
    // Half by two workers, half by four.
    run(&place, &[&watched[..], &["--workers", "2", "--out", "half", "--max-seconds", "0.05"]].concat());
    let resumed = place.run(&["train", "--resume", "half", "--workers", "4", "--quiet", "--json"]).json();
    assert_eq!(resumed["weights_sha256"], seen[0].0);
    assert!(resumed["resumed_at"].is_number(), "{resumed}");
    assert!(lines("half") == seen[0].2, "the lines of the resumed run are others");
}

#[test]
fn the_best_evaluation_is_kept_and_a_run_that_gets_no_better_ends() {
    let place = Place::new();
    // Thirty passes over 2000 examples: long before the end the test loss gets no better.
    let result = run(
        &place,
        &[
            "--lr",
            "0.02",
            "--evaluate-every",
            "1000ex",
            "--keep-best",
            "loss",
            "--patience",
            "1000ex",
            "--csv",
            "--examples",
            "60000",
            "--out",
            "out",
        ],
    );
    let best = &result["best"];
    let evaluations = place.read("out/evaluations.csv");
    let losses = evaluations.lines().skip(1).map(|row| {
        let cells: Vec<&str> = row.split(',').collect();
        (cells[0].parse::<f64>().expect("examples"), cells[4].parse::<f64>().expect("a loss"))
    });
    let least = losses.clone().fold((0.0, f64::INFINITY), |a, b| if b.1 < a.1 { b } else { a });
    assert_eq!((number(best, "/examples"), number(best, "/value")), least);
    let last = losses.last().expect("evaluations").0;
    assert_eq!(result["ended"]["no_improvement"]["examples"].as_f64(), Some(last - least.0));
    assert!(1000.0 <= last - least.0 && last < 60_000.0, "{result}");
    assert!(place.path().join("out/best.safetensors").exists());
    let kept = std::fs::read_dir(place.path().join("out/checkpoints")).expect("checkpoints").flatten();
    let names: Vec<String> = kept.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    assert!(names.iter().any(|name| name.contains("best")), "{names:?}");
    // It has ended, also for who resumes it.
    let again = place.run(&["train", "--resume", "out", "--quiet", "--json"]).json();
    assert_eq!(
        (&again["weights_sha256"], &again["examples"]),
        (&result["weights_sha256"], &result["examples"])
    );
}

#[test]
fn phases_add_up_and_the_trace_holds_them() {
    let place = Place::new();
    let result = run(
        &place,
        &[
            "--examples",
            "3200",
            "--micro-batch",
            "8",
            "--phases",
            "--trace",
            "traces/trace.json",
            "--ema",
            "10%",
            "--evaluate-every",
            "50%",
        ],
    );
    let phases = result.pointer("/timing/phases/phases").and_then(Value::as_array).expect("phases");
    let find = |name: &str| {
        let phase = phases.iter().find(|phase| phase["name"] == name);
        phase.unwrap_or_else(|| panic!("no {name} in {phases:?}"))
    };
    // 2000 examples are 62 batches of 32 and one of 16; 1200 more are 37 and one of 16.
    let steps = 101.0;
    assert_eq!(number(&result, "/steps"), steps);
    for (name, count) in [
        ("step", steps),
        ("forward", 400.0),
        ("backward", 400.0),
        ("norms", steps),
        ("optimizer", steps),
        ("average", steps),
    ] {
        assert_eq!(number(find(name), "/count"), count, "{name}");
    }
    for name in ["data", "evaluation", "checkpoint", "line"] {
        assert!(0.0 < number(find(name), "/count"), "{name}");
    }
    let own: f64 = phases.iter().map(|phase| number(phase, "/exclusive_seconds")).sum();
    assert!(own <= number(&result, "/timing/phases/elapsed_seconds"), "more than has elapsed");
    let trace: Value = serde_json::from_str(&place.read("traces/trace.json")).expect("a whole trace");
    let events = trace.as_array().expect("events");
    let spans = events.iter().filter(|event| event["ph"] == "X").count();
    assert_eq!(spans as f64, number(&result, "/timing/trace/n_events"));
    assert_eq!(events.iter().filter(|event| event["name"] == "forward").count(), 400);
    let shown = place.run(&["train", "--data", "glyphs:train=200,test=20", "--examples", "64", "--phases"]);
    assert!(shown.stdout.contains("each ms") && shown.stdout.contains("backward"), "{}", shown.stdout);
}

#[test]
fn the_noise_of_examples_and_of_layers_is_that_of_the_whole() {
    let place = Place::new();
    let base = ["--examples", "4000", "--noise"];
    // One micro-batch holds the batch: its examples are the only source. Then the same from eight micro-batches of 1.
    let whole =
        run(&place, &[&base[..], &["examples,layers", "--micro-batch", "32", "--out", "whole"]].concat());
    let single = run(&place, &[&base[..], &["layers", "--micro-batch", "1", "--out", "single"]].concat());
    let auto = run(&place, &[&base[..], &["every=1", "--micro-batch", "32", "--out", "auto"]].concat());
    let lines = |folder: &str| -> Vec<Value> {
        let text = place.read(&format!("{folder}/steps.jsonl"));
        text.lines().map(|line| serde_json::from_str(line).expect("a whole line")).collect()
    };
    let (whole_lines, single_lines) = (lines("whole"), lines("single"));
    assert!(50 < whole_lines.len());
    for (a, b) in whole_lines.iter().zip(&single_lines) {
        for field in ["/g2", "/tr_sigma"] {
            let (a, b) = (number(a, field), number(b, field));
            assert!(
                (a - b).abs() <= 2e-2 * number(&single_lines[0], "/tr_sigma").abs().max(b.abs()),
                "{a} {b}"
            );
        }
        let groups = a["groups"].as_array().expect("groups");
        let sum: f64 = groups.iter().map(|group| group[2].as_f64().expect("a number")).sum();
        assert!((sum - number(a, "/tr_sigma")).abs() <= 1e-9 * sum.abs(), "the parts do not add up");
    }
    assert_eq!(whole["weights_sha256"], auto["weights_sha256"]);
    assert_eq!(whole["noise"]["phi"], auto["noise"]["phi"]);
    let layers = whole.pointer("/noise/layers").and_then(Value::as_array).expect("layers");
    let shares: f64 = layers.iter().map(|layer| number(layer, "/share")).sum();
    assert!((shares - 1.0).abs() < 1e-9 && 3 < layers.len(), "{layers:?}");
    assert!(single["noise"]["cost"].is_null(), "every step measured: there is nothing to compare with");
    let cost = run(&place, &["--examples", "4000", "--noise", "every=5", "--out", "cost"]);
    assert!(number(&cost, "/noise/cost/per_measurement").is_finite(), "{cost}");
}

#[test]
fn the_noise_of_a_preconditioned_step_is_shown_in_both_forms() {
    let place = Place::new();
    let more =
        ["--optimizer", "adamw", "--lr", "0.002", "--examples", "4000", "--micro-batch", "4", "--noise"];
    let result = run(&place, &[&more[..], &["preconditioned"]].concat());
    let forms = result.pointer("/noise/preconditioned").and_then(Value::as_array).expect("forms");
    let names: Vec<&str> = forms.iter().filter_map(|form| form["form"].as_str()).collect();
    assert_eq!(names, ["inverse_curvature", "identity_curvature"]);
    // All readings but the first step's, which is in the first half.
    assert!(forms.iter().all(|form| form["readings"] == result["noise"]["readings"]), "{result}");
    let plain = run(&place, &more);
    assert_eq!(plain["weights_sha256"], result["weights_sha256"], "looking changes nothing");
    assert_eq!(plain["noise"]["phi"], result["noise"]["phi"]);
}

#[test]
fn sharpness_and_curvature_are_measured_after_the_run() {
    let place = Place::new();
    let result = run(&place, &["--examples", "2000", "--generalisation", "100"]);
    assert_eq!(number(&result, "/generalisation/sharpness/n_examples"), 100.0);
    assert!(0.0 < number(&result, "/generalisation/sharpness/value"), "{result}");
    assert!(result.pointer("/generalisation/top_eigenvalue/grade").is_some(), "{result}");
    let gap = number(&result, "/test_loss") - number(&result, "/train_loss");
    assert!((number(&result, "/generalisation/gap/loss") - gap).abs() < 1e-12);
    assert!(0.0 < number(&result, "/generalisation/temperature"));
    // Probes change nothing.
    let without = run(&place, &["--examples", "2000"]);
    assert_eq!(without["weights_sha256"], result["weights_sha256"]);
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let place = Place::new();
    let refused = |more: &[&str], named: &[&str]| {
        place.run(&[&RUN[..], more].concat()).assert_refused(&more.join(" "), 2, named);
    };
    refused(&["--noise", "every=0"], &["every=0", "every=N"]);
    refused(&["--noise", "layer"], &["layer"]);
    refused(&["--workers", "2", "--memory", "1GiB"], &["--memory", "--workers"]);
    refused(&["--workers", "0"], &["--workers"]);
    refused(&["--ema", "0ex"], &["--ema"]);
    refused(&["--patience", "0"], &["--patience"]);
    refused(&["--noise", "preconditioned"], &["two micro-batches", "--micro-batch"]);
    // SGD has no preconditioner.
    refused(&["--noise", "preconditioned", "--micro-batch", "8"], &["optimizer", "Adam"]);
    refused(&["--noise", "preconditioned,examples", "--optimizer", "adamw", "--micro-batch", "8"], &["tap"]);
    refused(&["--resume", "out", "--ema", "5%"], &["--resume", "--ema"]);
}
