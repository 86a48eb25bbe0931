//! Sweeps as a user runs them: by plan and by options, again, paused, pruned, with the built-in models.

#![cfg(target_os = "linux")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tests::Place;
use tests::image_set::ImageSet;
use tests::json;
use tests::processes::{in_folder, wait, wait_until};
use tests::program::program;

const LATER: Duration = Duration::from_secs(60);

/// A plan of simulated trainers, with more lines of its tables.
fn plan(place: &Place, sleep: f64, more: &str) {
    let exe = program().display();
    let text = format!(
        "seeds = 2\n[trainer]\ncommand = [\"{exe}\", \"simulate\", \"--batch\", \"{{batch}}\", \"--lr\", \"{{lr}}\", \
         \"--seed\", \"{{seed}}\", \"--examples\", \"{{examples}}\", \"--evaluate-every\", \"{{evaluate_every}}\", \
         \"--modes\", \"20\", \"--sleep\", \"{sleep}\"]\nfiles = []\n[batch]\nvalues = [1, 8, 64]\n\
         [lr]\nstart = 0.4\n[run]\nbudget = \"4000ex\"\nevaluate_every = \"100ex\"\ntarget = \"loss <= 0.3\"\n{more}"
    );
    std::fs::write(place.path().join("plan.toml"), text).expect("the plan is written");
}

fn results(place: &Place) -> BTreeMap<String, String> {
    let runs = std::fs::read_dir(place.path().join("root/runs")).expect("there are trials").flatten();
    let read =
        |path: std::path::PathBuf| std::fs::read_to_string(path.join("result.json")).unwrap_or_default();
    runs.map(|run| (run.file_name().to_string_lossy().into_owned(), read(run.path()))).collect()
}

#[test]
fn a_sweep_ends_in_tables_a_page_and_a_store() {
    let place = Place::new();
    plan(&place, 0.0, "");
    let ran = place.run(&["sweep", "plan.toml", "--out", "root", "--quiet"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    for part in ["Best learning rate", "critical batch B_c", "Time of a step", "Report: "] {
        assert!(ran.stdout.contains(part), "`{part}` is missing in: {}", ran.stdout);
    }
    let page = place.read("root/sweeps/plan/report.html");
    assert!(page.contains("<svg") && page.contains("default-src 'none'"));
    json::parse("answer.json", &place.read("root/sweeps/plan/answer.json"));

    let before = results(&place);
    let again = place.run(&["sweep", "plan.toml", "--out", "root", "--quiet"]);
    assert!(again.stdout.contains(" 0 ran now"), "{}", again.stdout);
    assert_eq!(results(&place), before);

    let listed = place.run(&["runs", "list", "--out", "root", "--json"]).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(before.len()));
    let show = place.run(&["runs", "show", "plan", "--out", "root"]);
    assert!(show.stdout.contains("Best learning rate"), "{}", show.stdout);
    let trial = before.keys().next().expect("a trial");
    let show = place.run(&["runs", "show", &trial[..10], "--out", "root"]);
    assert!(show.stdout.contains(trial), "{}", show.stdout);

    let answer = place.run(&["runs", "show", "plan", "--out", "root", "--json"]).json();
    std::fs::remove_file(place.path().join("root/store.sqlite")).expect("the store is there");
    assert_eq!(place.run(&["runs", "rebuild", "--out", "root"]).status, Some(0));
    assert_eq!(place.run(&["runs", "list", "--out", "root", "--json"]).json(), listed);
    assert_eq!(place.run(&["runs", "show", "plan", "--out", "root", "--json"]).json(), answer);

    let advised = place.run(&["advise", "plan.toml", "--out", "root", "--quiet", "--json"]).json();
    assert_eq!(advised, answer);

    // More seeds: what was there is not run again, and the two sweeps stand side by side.
    let more = place.read("plan.toml").replace("seeds = 2", "seeds = 3");
    std::fs::write(place.path().join("more.toml"), more).expect("the plan is written");
    let ran = place.run(&["sweep", "more.toml", "--out", "root", "--quiet"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    for (trial, result) in &before {
        assert_eq!(results(&place).get(trial), Some(result));
    }
    let diff = place.run(&["report", "diff", "plan", "more", "--out", "root", "--to", "diff.html"]);
    assert_eq!(diff.status, Some(0), "{}", diff.stderr);
    assert!(place.read("diff.html").contains("<table"));
    for format in ["csv", "jsonl", "parquet"] {
        let to = format!("trials.{format}");
        let ran = place.run(&["runs", "export", "--out", "root", "--sweep", "plan", "--to", &to]);
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    }
    let csv = place.read("trials.csv");
    assert_eq!(csv.lines().count(), 1 + before.len());
}

#[test]
fn a_plan_may_be_typed() {
    let place = Place::new();
    let exe = program().display().to_string();
    let options = [
        "sweep",
        "--batches",
        "8,64",
        "--lrs",
        "0.4,0.8",
        "--seeds",
        "2",
        "--until",
        "loss <= 0.3",
        "--budget",
        "4000ex",
        "--evaluate-every",
        "100ex",
        "--out",
        "root",
        "--quiet",
    ];
    let command = [
        "--",
        &exe,
        "simulate",
        "--batch",
        "{batch}",
        "--lr",
        "{lr}",
        "--seed",
        "{seed}",
        "--examples",
        "{examples}",
    ];
    let printed = place.run(&[&options[..], &["--print-plan"], &command[..]].concat());
    assert_eq!(printed.status, Some(0), "{}", printed.stderr);
    let ran = place.run(&[&options[..], &command[..]].concat());
    assert_eq!((ran.status, results(&place).len()), (Some(0), 8), "{}", ran.stderr);
    std::fs::write(place.path().join("sweep.toml"), &printed.stdout).expect("the plan is written");
    let again = place.run(&["sweep", "sweep.toml", "--out", "root", "--quiet"]);
    assert!(again.stdout.contains(" 0 ran now"), "the same plan: {} {}", again.stdout, again.stderr);
    json::parse("the schema", &place.run(&["sweep", "--schema"]).stdout);
}

#[test]
fn what_is_wrong_with_a_plan_is_told_before_anything_runs() {
    let place = Place::new();
    let cases: [(&str, &str, &[&str]); 5] = [
        ("budget = \"4000ex\"", "budget = \"much\"", &["plan.toml:10", "`run.budget`", "10 epochs"]),
        ("start = 0.4", "begin = 0.4", &["plan.toml:8", "begin"]),
        ("values = [1, 8, 64]", "values = [1, 8, 8]", &["plan.toml:6", "`batch.values`", "stands twice"]),
        ("budget = \"4000ex\"", "budget = \"2 epochs\"", &["`run.budget`", "dataset_size"]),
        ("files = []", "files = [\"no-such-file.py\"]", &["`trainer.files`", "no-such-file.py is no file"]),
    ];
    for (from, to, named) in cases {
        plan(&place, 0.0, "");
        let text = place.read("plan.toml").replacen(from, to, 1);
        std::fs::write(place.path().join("plan.toml"), text).expect("the plan is written");
        place.run(&["sweep", "plan.toml", "--out", "root", "--quiet"]).assert_refused(to, 2, named);
    }
    place.run(&["sweep", "nowhere.toml"]).assert_refused("no plan", 2, &["nowhere.toml cannot be read"]);
    place.run(&["sweep"]).assert_refused("nothing", 2, &["--batches"]);
    place.run(&["report", "nothing", "--out", "root"]).assert_refused("no sweep", 2, &["no sweep `nothing`"]);
}

#[test]
fn a_dry_run_runs_no_trial() {
    let place = Place::new();
    plan(&place, 0.0, "[limits]\nmemory = \"1GiB\"\n");
    let found = place.run(&["sweep", "plan.toml", "--dry-run", "--out", "root", "--quiet", "--json"]).json();
    assert_eq!(found["trials"].as_array().map(Vec::len), Some(18));
    assert_eq!(found["prediction"]["unknown"], 0, "{found}");
    assert!(!place.path().join("root/runs").exists());
    let shown = place.run(&["sweep", "plan.toml", "--dry-run", "--out", "root", "--quiet"]);
    assert!(
        shown.stdout.contains("18 trials to run") && shown.stdout.contains("memory at most"),
        "{}",
        shown.stdout
    );
}

#[test]
fn runs_that_are_behind_are_stopped_and_count_as_bounds() {
    let place = Place::new();
    plan(&place, 0.002, "[limits]\njobs = 2\nfirst = \"plan\"\n[prune]\nfirst = \"300ex\"\nfactor = 2\n");
    let ran = place.run(&["sweep", "plan.toml", "--out", "root", "--quiet", "--json"]);
    let answer = ran.json();
    let ends: Vec<String> = results(&place).into_values().collect();
    let pruned: Vec<Value> = ends
        .iter()
        .map(|text| json::parse("a result", text))
        .filter(|result| result["end"]["how"] == "pruned")
        .collect();
    assert!(!pruned.is_empty(), "none of {} trials", ends.len());
    for result in &pruned {
        // Cut at the evaluation that met the rung, however late the word came.
        let (rung, examples) = (json::number(result, "/end/rung"), json::number(result, "/examples"));
        assert!(rung <= examples && examples < rung + 200.0, "{result}");
        assert!(result["reached"].is_null());
    }
    let fates = &answer["groups"][0]["fates"];
    assert_eq!(json::whole(fates, "/pruned") as usize, pruned.len(), "{fates}");
}

#[test]
fn a_sweep_is_paused_resumed_and_cancelled_from_elsewhere() {
    let place = Place::new();
    plan(&place, 0.02, "");
    let child = place.start(&["sweep", "plan.toml", "--out", "root", "--quiet"]);
    let n_done = || match place.path().join("root/runs").exists() {
        true => results(&place).values().filter(|result| !result.is_empty()).count(),
        false => 0,
    };
    wait_until("some are done", LATER, || 2 <= n_done());
    assert_eq!(place.run(&["runs", "pause", "plan", "--out", "root"]).status, Some(0));
    wait_until("nothing but the runner is left", LATER, || in_folder(place.path()).len() == 1);
    let paused_at = n_done();
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(n_done(), paused_at, "nothing begins");
    assert_eq!(place.run(&["runs", "resume", "plan", "--out", "root"]).status, Some(0));
    wait_until("it goes on", LATER, || paused_at < n_done());
    assert_eq!(place.run(&["runs", "cancel", "plan", "--out", "root"]).status, Some(0));
    let output = wait(child, LATER);
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    let again = place.run(&["sweep", "plan.toml", "--out", "root", "--quiet"]);
    assert_eq!(again.status, Some(0), "{}", again.stderr);
    assert!(results(&place).values().all(|result| !result.is_empty()));
    // Nothing is left that could be paused.
    assert_eq!(place.run(&["runs", "pause", "plan", "--out", "root"]).status, Some(0));
    assert_eq!(place.run(&["sweep", "plan.toml", "--out", "root", "--quiet"]).status, Some(0));
}

#[test]
fn built_in_models_are_swept_and_resume_to_the_same_bits() {
    let plan = "seeds = 1\n[trainer]\nmodel = \"mlp\"\ndata = \"small\"\noptimizer = \"sgd\"\ndevice = \"cpu\"\n\
                [batch]\nvalues = [4, 16]\n[lr]\nvalues = [0.01, 0.05]\n[parameters]\nmomentum = [0.0, 0.9]\n\
                [run]\nbudget = \"40 epochs\"\njudge = \"accuracy\"\nevaluate_every = \"10 epochs\"\n\
                schedule = \"warmup 10% then cosine to 0\"\n";
    let place = |name: &str| {
        let place = Place::new();
        ImageSet::SMALL.write(&place.path().join("small"));
        std::fs::write(place.path().join(name), plan).expect("the plan is written");
        place
    };
    let undisturbed = place("plan.toml");
    let ran = undisturbed.run(&["sweep", "plan.toml", "--out", "root", "--quiet", "--no-pilots"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let expected = results(&undisturbed);
    assert_eq!(expected.len(), 8);
    assert!(
        expected
            .values()
            .all(|result| result.contains("\"finished\"") && result.contains("weights_sha256\":\""))
    );

    let disturbed = place("plan.toml");
    for pause in [100, 250, 400, 600] {
        let mut child = disturbed.start(&["sweep", "plan.toml", "--out", "root", "--quiet", "--no-pilots"]);
        std::thread::sleep(Duration::from_millis(pause));
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }
    let ran = disturbed.run(&["sweep", "plan.toml", "--out", "root", "--quiet"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(results(&disturbed), expected);

    let unknown = plan.replace("momentum = [0.0, 0.9]", "wobble = 1");
    std::fs::write(disturbed.path().join("wrong.toml"), unknown).expect("the plan is written");
    let ran = disturbed.run(&["sweep", "wrong.toml", "--out", "root", "--no-pilots"]);
    assert!(ran.stdout.contains("`wobble` is no hyper-parameter"), "{}", ran.stdout);
}

#[test]
fn a_job_array_makes_single_attempts() {
    let place = Place::new();
    plan(&place, 0.0, "");
    assert_eq!(place.run(&["sweep", "plan.toml", "--out", "root", "--quiet"]).status, Some(0));
    let before = results(&place);
    let first = place.run(&["trial", "--sweep", "plan", "--index", "0", "--out", "root"]);
    assert!(first.stdout.contains("has a result already"), "{}", first.stdout);
    let sweep = json::parse("sweep.json", &place.read("root/sweeps/plan/sweep.json"));
    let trial = sweep["trials"][3].as_str().expect("a name").to_owned();
    std::fs::remove_file(place.path().join(format!("root/runs/{trial}/result.json"))).expect("it is there");
    let ran = place.run(&["trial", "--sweep", "plan", "--index", "3", "--out", "root"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(results(&place), before, "the same bytes without a runner");
    place.run(&["trial", "--sweep", "plan", "--index", "999", "--out", "root"]).assert_refused(
        "an index beyond",
        2,
        &["--index 999"],
    );
}
