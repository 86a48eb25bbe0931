//! A sweep of the simulated trainer, whose best learning rates and steps are known in closed form, through the whole
//! program: plan, brackets, line protocol, fits, answer.

use batchwise_estimate::oracle::Optimizer;
use batchwise_estimate::tradeoff::{End, Options, Run, fit_tradeoff};
use batchwise_lab::simulate::Simulation;
use batchwise_lab::sweep::SweepAnswer;
use std::process::Command;

const BATCHES: [u64; 7] = [4, 16, 64, 256, 1024, 4096, 16_384];
/// A world whose steps lie on the hyperbola within some per cent, which the model of constant learning rates need not.
const WORLD: Simulation = Simulation {
    batch: 1,
    learning_rate: 0.1,
    seed: 1,
    examples: 1,
    evaluate_examples: 1,
    modes: 30,
    power: 1.5,
    noise: 3.0,
    luck: Some(0.03),
    step_seconds: 0.01,
    example_seconds: 0.0005,
};
/// 3 % of the loss at the start.
const TARGET: f64 = 0.034;

fn plan() -> String {
    let program = env!("CARGO_BIN_EXE_batchwise");
    let Simulation { modes, power, noise, .. } = WORLD;
    format!(
        r#"
name = "simulated"
seeds = 3
[trainer]
command = ["{program}", "simulate", "--batch", "{{batch}}", "--lr", "{{lr}}", "--seed", "{{seed}}",
           "--examples", "{{examples}}", "--evaluate-every", "{{evaluate_every}}", "--modes", "{modes}",
           "--power", "{power}", "--noise", "{noise}", "--luck", "0.03"]
files = []
[batch]
values = {BATCHES:?}
[lr]
start = 0.02
factor = 1.6
points = 4
rule = "sqrt"
[run]
budget = "1500000ex"
target = "loss <= {TARGET}"
evaluate_every = "64ex"
"#
    )
}

/// B_c of the same target from the closed form: the steps of the best learning rate at each batch size.
fn true_critical_batch(tuned: &[batchwise_estimate::oracle::Tuned]) -> f64 {
    let runs: Vec<Run> = tuned
        .iter()
        .map(|t| Run { batch: t.batch, seed: None, end: End::Reached { steps: t.crossing, period: None } })
        .collect();
    let fit = fit_tradeoff(&runs, &Options::default()).expect("a fit");
    fit.b_crit.value().expect("a number")
}

#[test]
fn a_sweep_of_a_known_world_holds_its_truth() {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("plan.toml"), plan()).expect("the plan is written");
    let sweep = |command: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_batchwise"))
            .args([command, "plan.toml", "--out", "root", "--quiet", "--json"])
            .current_dir(dir.path())
            .output()
            .expect("the program starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<SweepAnswer>(&output.stdout).expect("an answer")
    };
    let answer = sweep("sweep");
    let group = &answer.groups[0];

    let world = WORLD.world().expect("a world");
    let batches: Vec<f64> = BATCHES.iter().map(|b| *b as f64).collect();
    let tuned: Vec<_> = world
        .tuned(Optimizer::Sgd, &batches, TARGET, 10_000_000)
        .expect("tuned")
        .into_iter()
        .map(|t| t.expect("the target can be reached"))
        .collect();
    let truth = true_critical_batch(&tuned);
    let critical = &group.steps.as_ref().expect("steps to the target").fit.b_crit;
    println!("B_c {critical:?}, in truth {truth:.1}");
    let (low, high) = (critical.low().expect("a lower end"), critical.high().expect("an upper end"));
    assert!(low <= truth && truth <= high, "B_c {low} to {high}, but {truth}");

    assert_eq!(group.batches.len(), BATCHES.len());
    let mut held = 0;
    for (found, tuned) in group.batches.iter().zip(&tuned) {
        let best = &found.rate.best;
        println!("batch {}: best learning rate {best:?}, in truth {:.4}", found.batch, tuned.learning_rate);
        let above = best.low().is_none_or(|low| low <= tuned.learning_rate);
        let below = best.high().is_none_or(|high| tuned.learning_rate <= high);
        held += usize::from(above && below);
        assert_eq!(found.rate.at_edge, None, "batch {}", found.batch);
    }
    // Of seven 95 % intervals one may miss.
    assert!(BATCHES.len() - 1 <= held, "{held} of {} intervals hold the best learning rate", BATCHES.len());

    // The same plan again runs nothing, and `advise` chooses by what is there.
    assert_eq!(sweep("advise"), answer);
}
