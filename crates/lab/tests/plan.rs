//! Plans: what is read, what is refused and where, and which trials follow.

use batchwise_lab::plan::{Plan, PlanFile, Score, World};
use batchwise_lab::trial::{TrainerSpec, TrialSpec};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};

const WHOLE: &str = r#"
seeds = [1, 2, 3]
[trainer]
model = "mlp"
data = "fashion-mnist"
optimizer = "sgd"
[batch]
from = 16
to = 256
[lr]
start = 0.1
rule = "sqrt"
at_batch = 64
[parameters]
momentum = [0.0, 0.9]
[run]
target = "accuracy >= 0.88"
budget = "10 epochs"
evaluate_every = "1 epoch"
schedule = "warmup 5% then constant"
[limits]
jobs = 2
memory = "2GiB"
"#;

fn read(text: &str) -> Result<Plan, String> {
    PlanFile::read("plan.toml", text, "plan").map_err(|error| error.to_string())
}

fn world() -> World {
    World {
        trainer: TrainerSpec::Command { command: vec!["x".to_owned()], files: BTreeMap::new() },
        dataset_examples: Some(60_000),
        tokens_per_example: None,
        code: "1".to_owned(),
        examples_per_second: BTreeMap::new(),
    }
}

#[test]
fn a_whole_plan_asks_for_its_grid() {
    let plan = read(WHOLE).unwrap();
    let generated = plan.generate(&world(), &mut |_| None).unwrap();
    // 5 batch sizes, 2 momenta, 3 learning rates to begin with, 3 seeds.
    assert_eq!(generated.trials.len(), 5 * 2 * 3 * 3);
    assert!(generated.may_grow);
    let ids: BTreeSet<String> = generated.trials.iter().map(|spec| spec.id().unwrap()).collect();
    assert_eq!(ids.len(), 90);
    let at = |batch: u64| -> Vec<f64> {
        let of = generated.trials.iter().filter(|spec| spec.batch == batch && spec.seed == 1);
        of.map(|spec| spec.learning_rate).take(3).collect()
    };
    assert_eq!(at(64), [0.05, 0.1, 0.2]);
    assert_eq!(at(256), [0.1, 0.2, 0.4], "the square root of 4");
    let spec = &generated.trials[0];
    assert_eq!((spec.examples, spec.evaluate_examples), (600_000, Some(60_000)));
}

#[test]
fn what_is_wrong_is_named_by_line_and_key() {
    let cases: &[(&str, &str, &str)] = &[
        ("budget = \"10 epochs\"", "budget = \"ten\"", "plan.toml:18: `run.budget`: "),
        ("budget = \"10 epochs\"", "budget = \"10%\"", "a part of what?"),
        ("budget = \"10 epochs\"", "budget = \"0 steps\"", "nothing would be trained"),
        ("from = 16", "from = 0", "plan.toml:8: `batch.from`: 0 to 256 is no range"),
        ("from = 16", "frm = 16", "plan.toml:8: "),
        ("from = 16", "values = [16]", "plan.toml:7: `batch`: give `values`, or `from` and `to`"),
        ("start = 0.1", "start = -0.1", "plan.toml:11: `lr.start`: -0.1 is no learning rate"),
        ("start = 0.1", "start = \"high\"", "plan.toml:11: "),
        ("start = 0.1", "values = []", "there must be at least 1"),
        ("rule = \"sqrt\"", "rule = \"cube\"", "`cube` is no rule"),
        ("rule = \"sqrt\"", "rule = \"power\"", "plan.toml:10: `lr.exponent`: the rule `power` needs one"),
        ("rule = \"sqrt\"", "", "`lr.at_batch`: it belongs to a `rule`"),
        ("seeds = [1, 2, 3]", "seeds = [1, 1]", "plan.toml:2: `seeds`: one of them stands twice"),
        ("seeds = [1, 2, 3]", "seeds = 0", "`seeds`: there must be at least 1"),
        ("seeds = [1, 2, 3]", "seeds = \"three\"", "a number of seeds such as 3"),
        (
            "target = \"accuracy >= 0.88\"",
            "target = \"bleu > 3\"",
            "plan.toml:17: `run.target`: `bleu` is nothing that is judged",
        ),
        ("target = \"accuracy >= 0.88\"", "judge = \"speed\"", "`run.judge`: "),
        (
            "evaluate_every = \"1 epoch\"",
            "evaluate_every = \"100 steps\"",
            "steps would depend on the batch size",
        ),
        ("schedule = \"warmup 5% then constant\"", "schedule = \"wobble\"", "plan.toml:20: `run.schedule`: "),
        (
            "schedule = \"warmup 5% then constant\"",
            "schedule = \"0.1 cosine to 0\"",
            "a schedule here has no peak",
        ),
        ("momentum = [0.0, 0.9]", "momentum = []", "`parameters.momentum`: "),
        ("momentum = [0.0, 0.9]", "momentum = [0.9, 0.9]", "a value stands twice"),
        ("momentum = [0.0, 0.9]", "lr = [0.9]", "none that a plan has already"),
        ("momentum = [0.0, 0.9]", "momentum = { from = 0.0, to = 0.9 }", "a range is for sampled points"),
        ("jobs = 2", "jobs = 0", "plan.toml:22: `limits.jobs`: it must be at least 1"),
        ("memory = \"2GiB\"", "memory = \"2 apples\"", "plan.toml:23: `limits.memory`: "),
        ("memory = \"2GiB\"", "first = \"red\"", "`red` is no order"),
        ("memory = \"2GiB\"", "[prune]\nfirst = \"50 steps\"", "steps would favour large batches"),
        ("memory = \"2GiB\"", "[prune]\nfirst = \"1 epoch\"\nfactor = 1", "it must lie above 1"),
        ("model = \"mlp\"", "unit = \"tokens\"", "it belongs to a `command`"),
        ("model = \"mlp\"", "command = [\"x\"]", "a `command` brings its own"),
        ("[trainer]", "name = \"a b\"\n[trainer]", "`a b` is no name of a sweep"),
    ];
    for (from, to, want) in cases {
        let text = WHOLE.replacen(from, to, 1);
        assert_ne!(text, WHOLE, "{from}");
        let error = read(&text).unwrap_err();
        assert!(error.contains(want), "{to}: {error}");
    }
}

#[test]
fn a_command_must_hear_of_what_varies() {
    let plan = |command: &str, more: &str| {
        read(&format!(
            "seeds = 2\n[trainer]\ncommand = {command}\n[batch]\nvalues = [1]\n[lr]\nvalues = [1]\n[run]\nbudget = \"9ex\"\n{more}"
        ))
    };
    assert!(plan(r#"["t", "{batch}", "{lr}", "{seed}"]"#, "").is_ok());
    for (command, more, want) in [
        (r#"["t", "{lr}", "{seed}"]"#, "", "no argument holds {batch}"),
        (r#"["t", "{batch}", "{seed}"]"#, "", "no argument holds {lr}"),
        (r#"["t", "{batch}", "{lr}"]"#, "", "no argument holds {seed}"),
        (r#"["t", "{batch}", "{lr}", "{seed}", "{width}"]"#, "", "nothing fills {width}"),
        (r#"["t", "{batch}", "{lr}", "{seed}"]"#, "[parameters]\nwidth = 3", "no argument holds {width}"),
        ("[]", "", "it is empty"),
        (r#"[""]"#, "", "it is empty"),
    ] {
        let error = plan(command, more).unwrap_err();
        assert!(error.contains("`trainer.command`") && error.contains(want), "{command}: {error}");
    }
}

#[test]
fn a_budget_in_seconds_has_no_parts() {
    let plan = |placeholder: &str, more: &str| {
        read(&format!(
            "[trainer]\ncommand = [\"t\", \"{{batch}}\", \"{{lr}}\", \"{placeholder}\"]\n[batch]\nvalues = [1]\n[lr]\nvalues = [1]\n\
             [run]\nbudget = \"60 s\"\n{more}"
        ))
    };
    assert!(plan("{seconds}", "evaluate_every = \"100ex\"").is_ok());
    for (placeholder, more, want) in [
        ("{evaluate_every}", "", "`run.evaluate_every`"),
        ("{seconds}", "evaluate_every = \"5%\"", "`run.evaluate_every`"),
        ("{seconds}", "patience = \"5%\"", "`run.patience`"),
        ("{examples}", "", "use {seconds}"),
    ] {
        let error = plan(placeholder, more).unwrap_err();
        assert!(error.contains(want), "{placeholder} {more}: {error}");
    }
}

#[test]
fn a_plan_by_flags_reads_back_from_its_toml() {
    let file = PlanFile::parse("plan.toml", WHOLE).unwrap();
    let again = PlanFile::parse("plan.toml", &file.to_toml().unwrap()).unwrap();
    assert_eq!(again, file);
}

#[test]
fn the_example_is_a_plan() {
    let text = include_str!("../../batchwise/examples/pytorch/plan.toml");
    let generated = read(text).unwrap().generate(&world(), &mut |_| None).unwrap();
    assert_eq!(generated.trials.len(), 4 * 3 * 2);
}

#[test]
fn the_schema_names_every_key() {
    let schema: serde_json::Value = serde_json::from_str(batchwise_lab::plan::SCHEMA).unwrap();
    // Every key that the schema knows is read, and an unknown one is not: the reader's own list of what it expects.
    for (table, keys) in [
        ("", vec!["properties"]),
        ("batch", vec![]),
        ("lr", vec![]),
        ("run", vec![]),
        ("limits", vec![]),
        ("trainer", vec![]),
        ("prune", vec![]),
        ("sample", vec![]),
    ] {
        let _ = keys;
        let place =
            if table.is_empty() { &schema["properties"] } else { &schema["properties"][table]["properties"] };
        let mut known: Vec<String> = place.as_object().unwrap().keys().cloned().collect();
        known.sort();
        let text = match table {
            "" => format!("no_such_key = 1\n{WHOLE}"),
            "prune" | "sample" => format!("{WHOLE}\n[{table}]\nno_such_key = 1\n"),
            _ => WHOLE.replacen(&format!("[{table}]"), &format!("[{table}]\nno_such_key = 1"), 1),
        };
        let error = read(&text).unwrap_err();
        let expected: BTreeSet<String> = error
            .split('`')
            .skip(3)
            .step_by(2)
            .map(str::to_owned)
            .filter(|key| key != "no_such_key")
            .collect();
        assert_eq!(expected.into_iter().collect::<Vec<_>>(), known, "{table}: {error}");
    }
}

#[test]
fn sampled_points_stay_in_their_ranges_and_spread() {
    let text = WHOLE
        .replacen("momentum = [0.0, 0.9]", "momentum = { from = 0.5, to = 0.99 }", 1)
        .replacen("start = 0.1", "from = 0.01\nto = 1.0", 1)
        .replacen("[run]", "[sample]\npoints = 64\n[run]", 1);
    let generated = read(&text).unwrap().generate(&world(), &mut |_| None).unwrap();
    assert_eq!(generated.trials.len(), 64 * 3);
    let mut batches = BTreeMap::new();
    for spec in &generated.trials {
        let follow = (spec.batch as f64 / 64.0).sqrt();
        assert!((0.01 * follow * 0.999..=follow * 1.001).contains(&spec.learning_rate), "{}", spec.label());
        *batches.entry(spec.batch).or_insert(0) += 1;
    }
    assert_eq!(batches.len(), 5);
    assert!(batches.values().all(|n| (24..=54).contains(n)), "{batches:?}");
}

/// The best learning rate at a batch size, and how many examples another one takes.
fn truth(spec: &TrialSpec, best: f64, top: f64) -> Score {
    if top <= spec.learning_rate {
        return Score::Diverged;
    }
    let off = (spec.learning_rate / best).ln();
    let examples = 1000.0 * (1.0 + off * off);
    if examples < 30_000.0 { Score::Value(examples) } else { Score::NotReached(examples) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Wherever the best learning rate lies, a bracket finds it, and in whatever order trials end it asks for the same.
    #[test]
    fn brackets_find_the_best_in_any_order(power in -9.0..9.0_f64, gap in 0.4..4.0_f64, seed in 0_u64..1000) {
        let text = WHOLE.replacen("momentum = [0.0, 0.9]", "momentum = 0.9", 1).replacen("to = 256", "to = 32", 1).replacen("rule = \"sqrt\"\nat_batch = 64", "", 1);
        let plan = read(&text).unwrap();
        let best = 0.1 * 2f64.powf(power);
        let top = best * 2f64.powf(gap);
        let run = |shuffle: bool| {
            let mut known: HashMap<String, Score> = HashMap::new();
            let mut state = seed;
            loop {
                let generated = plan.generate(&world(), &mut |id| known.get(id).copied()).unwrap();
                let mut missing: Vec<&TrialSpec> =
                    generated.trials.iter().filter(|spec| !known.contains_key(&spec.id().unwrap())).collect();
                if missing.is_empty() {
                    return generated;
                }
                // One at a time in some order, or all at once.
                if shuffle {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let i = (state >> 33) as usize % missing.len();
                    missing = vec![missing[i]];
                }
                for spec in missing {
                    known.insert(spec.id().unwrap(), truth(spec, best, top));
                }
            }
        };
        let (one, other) = (run(false), run(true));
        let ids = |g: &batchwise_lab::plan::Generated| -> BTreeSet<String> { g.trials.iter().map(|s| s.id().unwrap()).collect() };
        prop_assert_eq!(ids(&one), ids(&other));
        prop_assert!(!one.may_grow);
        for bracket in &one.brackets {
            prop_assert!(!bracket.at_edge);
            let (low, high) = (bracket.rates[0], bracket.rates[bracket.rates.len() - 1]);
            prop_assert!(low <= best && best <= high * 1.42, "{low} {best} {high}");
            let beyond = ((power.abs() - 1.0).max(0.0)).ceil() as u64;
            prop_assert!(beyond <= bracket.widened && bracket.widened <= beyond + 3, "{} for {power}", bracket.widened);
        }
    }
}
