//! The commands `change` and `schedule`, and runs whose batch size changes.

use tests::Place;
use tests::json::{at, number, text};

fn json(place: &Place, arguments: &[&str]) -> serde_json::Value {
    let ran = place.run(arguments);
    assert_eq!(ran.status, Some(0), "{arguments:?}: {}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{arguments:?}: {e} in {}", ran.stdout))
}

const CHANGE: [&str; 19] = [
    "change",
    "--from",
    "256",
    "--to",
    "4096",
    "--optimizer",
    "adamw",
    "--lr",
    "3e-4",
    "--beta2",
    "0.999",
    "--weight-decay",
    "0.1",
    "--warmup",
    "10000ex",
    "--dataset-size",
    "60000",
    "--noise-scale",
    "1500",
];

#[test]
fn a_change_is_told_in_words_in_json_and_in_code() {
    let place = Place::new();
    let found = json(&place, &[&CHANGE[..], &["--json"]].concat());
    let changes = at(&found, "/changes").as_array().expect("a list").clone();
    let names: Vec<&str> = changes.iter().map(|c| text(c, "/name")).collect();
    assert_eq!(names, ["lr", "beta2", "weight_decay", "warmup"]);
    for change in &changes {
        for key in ["name", "old", "new", "rule", "source", "caveat"] {
            assert!(change.get(key).is_some(), "{key} in {change}");
        }
    }
    // 3e-4·√(16·(1500 + 256)/(1500 + 4096)), 0.999^16, and λκη/η′.
    let lr = 3e-4 * (16.0f64 * 1756.0 / 5596.0).sqrt();
    assert!((number(&changes[0], "/new") / lr - 1.0).abs() < 1e-12);
    assert!((number(&changes[1], "/new") - 0.999f64.powi(16)).abs() < 1e-12);
    assert!((number(&changes[2], "/new") - 0.1 * 16.0 * 3e-4 / lr).abs() < 1e-12);
    assert_eq!(at(&found, "/refused").as_array().map(Vec::len), Some(0));
    let words = place.run(&CHANGE);
    assert!(
        words.stdout.contains("batch 256 -> 4096 (×16), adamw") && words.stdout.contains("Doubtful:"),
        "{}",
        words.stdout
    );
    let torch = place.run(&[&CHANGE[..], &["--pytorch"]].concat());
    assert!(
        torch.stdout.contains("torch.optim.AdamW(model.parameters(), lr=0.000672, betas="),
        "{}",
        torch.stdout
    );
}

#[test]
fn what_a_change_cannot_do_is_refused_or_named() {
    let place = Place::new();
    let refused = json(
        &place,
        &[
            "change",
            "--from",
            "64",
            "--to",
            "1024",
            "--optimizer",
            "sgd",
            "--lr",
            "0.1",
            "--rule",
            "linear",
            "--noise-scale",
            "500",
            "--json",
        ],
    );
    let reasons = at(&refused, "/refused").to_string();
    assert!(reasons.contains("1024 is above φ = 500") && reasons.contains("warmup"), "{reasons}");
    for (arguments, words) in [
        (&["change", "--from", "64", "--to", "128", "--lr", "0.1"][..], "--optimizer"),
        (&["change", "--to", "128", "--optimizer", "sgd"], "--from"),
        (
            &["change", "--from", "64", "--to", "128", "--optimizer", "sgd", "--lr", "-1"],
            "the learning rate is -1",
        ),
        (&["change", "--from", "64", "--to", "128", "--optimizer", "sgd", "--beta2", "1"], "β₂ is 1"),
        (&["change", "--from", "64", "--to", "0", "--optimizer", "sgd"], "--to"),
        (&["change", "--from", "64", "--to", "128", "--optimizer", "sgd", "--warmup", "500"], "500 steps"),
        (
            &["change", "--from", "64", "--to", "128", "--optimizer", "sgd", "--rule", "noise-scale"],
            "--noise-scale",
        ),
        (&["change", "--to", "128", "--advice", "none.json", "--optimizer", "sgd"], "none.json"),
    ] {
        place.run(arguments).assert_refused(&arguments.join(" "), 2, &[words]);
    }
}

#[test]
fn a_schedule_is_shown_before_its_run() {
    let place = Place::new();
    let spec = "0.1 warmup 10% then cosine to 0; batch 50 doubling at 50%";
    let found = json(&place, &["schedule", spec, "--examples", "10000", "--rows", "4", "--json"]);
    assert_eq!(number(&found, "/steps"), 150.0);
    let rows = at(&found, "/rows").as_array().expect("a list").clone();
    let batches: Vec<f64> = rows.iter().map(|row| number(row, "/batch")).collect();
    assert_eq!(batches, [50.0, 50.0, 100.0, 100.0, 100.0]);
    let csv = place.run(&["schedule", spec, "--examples", "10000", "--csv", "--plot", "course.svg"]);
    assert_eq!(csv.stdout.lines().next(), Some("examples,step,batch,learning_rate,temperature"));
    let svg = std::fs::read_to_string(place.path().join("course.svg")).expect("the picture is there");
    assert!(svg.starts_with("<svg") && svg.contains("batch size"));
    for (arguments, words) in [
        (["schedule", "warmup 5% than cosine to 0", "--examples", "100"], "column 11"),
        (
            ["schedule", "0.1 warmup 60% then cosine to 0 over 60%", "--examples", "100"],
            "takes 120 examples, the run has 100",
        ),
        (["schedule", "batch 64 max 32", "--examples", "100"], "is not one of those allowed"),
        (["schedule", "batch 64 adaptive noise-scale", "--examples", "100"], "no course"),
        (["schedule", "0.1; 0.2", "--examples", "100"], "given already"),
        (["schedule", "0.1", "--examples", "0"], "--examples"),
    ] {
        place.run(&arguments).assert_refused(arguments[1], 2, &[words]);
    }
}

#[test]
fn a_run_follows_its_schedules_and_draws_its_course() {
    let place = Place::new();
    let common = ["train", "--data", "glyphs:train=2000,test=100", "--model", "mlp", "--quiet", "--json"];
    let lr = "0.02 warmup 10% then linear to 0";
    let doubling =
        [&common[..], &["--batch", "20 doubling at 40%,80%", "--lr", lr, "--out", "doubling"]].concat();
    let found = json(&place, &doubling);
    let changes: Vec<(f64, f64)> = at(&found, "/changes")
        .as_array()
        .expect("a list")
        .iter()
        .map(|c| (number(c, "/examples"), number(c, "/after")))
        .collect();
    assert_eq!(changes, [(800.0, 40.0), (1600.0, 80.0)]);
    assert_eq!((number(&found, "/examples"), number(&found, "/steps")), (2000.0, 65.0));
    assert_eq!(text(&found, "/learning_rate_schedule"), lr);
    let adaptive = [
        &common[..],
        &[
            "--batch",
            "16 adaptive noise-scale dwell 1% max 128",
            "--lr",
            lr,
            "--examples",
            "6000",
            "--out",
            "adaptive",
        ],
    ]
    .concat();
    let found = json(&place, &adaptive);
    let after = at(&found, "/changes").as_array().expect("a list").clone();
    assert!(after.iter().all(|c| (1.0..=128.0).contains(&number(c, "/after")) && c.get("phi").is_some()));
    for name in ["doubling", "adaptive"] {
        let svg = std::fs::read_to_string(place.path().join(name).join("course.svg"))
            .expect("the picture is there");
        assert!(svg.contains("learning rate"), "{name}");
    }
    let bad =
        [&common[..], &["--batch", "20 doubling at 40%", "--lr", "0.1 warmup 5%", "--schedule", "cosine"]]
            .concat();
    place.run(&bad).assert_refused("two schedules", 2, &["--schedule"]);
}
