//! Sweeps of a world that is known beforehand, and sweeps of which little or nothing is left.

use super::world::{OVERHEAD, PER_EXAMPLE, TARGET, World, fail, forget, prune};
use super::{Fate, Group, Reading, SweepAnswer, answer};
use crate::sweep::SweepFile;
use crate::trial::{EndKind, TrialRecord};
use batchwise_estimate::grade::Grade;
use std::sync::OnceLock;

fn answered(world: &World) -> SweepAnswer {
    let (file, records) = world.sweep();
    answer(&file, &records, &Reading::default())
}

fn leading(answer: &SweepAnswer) -> &Group {
    answer.groups.first().unwrap()
}

/// All that a reader can see of it must be writable and readable.
fn check_round_trip(answer: &SweepAnswer) {
    let text = serde_json::to_string(answer).unwrap();
    let back: SweepAnswer = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&back).unwrap().len(), text.len());
}

#[test]
fn the_intervals_hold_the_truth() {
    let world = World::usual();
    let answer = answered(&world);
    let group = leading(&answer);
    let steps = group.steps.as_ref().unwrap();
    assert_eq!(steps.fit.grade, Grade::Measured, "{:?}", steps.lines);
    assert_eq!(
        steps.fit.b_crit.holds(world.b_crit()),
        Some(true),
        "{} {:?}",
        world.b_crit(),
        steps.fit.b_crit
    );
    let mut held = 0;
    for batch in &group.batches {
        let truth = world.best(batch.batch as f64);
        held += u32::from(batch.rate.best.holds(truth.learning_rate) == Some(true));
        let best = batch.rate.best.value().unwrap() / truth.learning_rate;
        assert!(
            (0.75..1.35).contains(&best) && batch.rate.at_edge.is_none(),
            "batch {}: {best}",
            batch.batch
        );
        let seen = batch.examples.unwrap().mean / (batch.batch as f64 * truth.crossing);
        assert!((0.9..1.25).contains(&seen), "batch {}: {seen}", batch.batch);
    }
    // Of 9 intervals of 95 % one may miss.
    assert!(8 <= held, "{held} of {}", group.batches.len());
    assert_eq!(group.batches[0].rate.widened, Some(1));
    let time = group.time.as_ref().unwrap().fit.as_ref().unwrap();
    assert_eq!(time.overhead_seconds.holds(OVERHEAD), Some(true));
    assert_eq!(time.seconds_per_example.holds(PER_EXAMPLE), Some(true));
    assert!(group.memory.as_ref().unwrap().fit.is_some());
    // The fastest batch is near √(a·B_c/c), and its learning rate is known.
    let chosen = group.choice.batch_size.unwrap();
    let fastest = (OVERHEAD * world.b_crit() / PER_EXAMPLE).sqrt();
    assert!((fastest / 4.0..=fastest * 2.0).contains(&(chosen as f64)), "{chosen} {fastest}");
    let rate = group.choice.learning_rate.as_ref().unwrap();
    let truth = world.best(chosen as f64).learning_rate;
    assert!(rate.low.unwrap() <= truth && truth <= rate.high.unwrap(), "{rate:?} {truth}");
    assert!(group.choice.decision.as_ref().unwrap().expected_regret < 0.1);
    assert!(steps.luck.is_some() && group.notes.iter().any(|note| note.contains("lucky")));
    check_round_trip(&answer);
}

#[test]
fn a_budget_that_ends_too_early_leaves_bounds() {
    let mut world = World::usual();
    world.budget = 3.0;
    let answer = answered(&world);
    let group = leading(&answer);
    let largest = group.batches.last().unwrap();
    let examples = largest.examples.unwrap();
    assert!(examples.none_got_there() && examples.sd.is_none(), "{examples:?}");
    let steps = group.steps.as_ref().unwrap();
    assert!(steps.fit.runs.censored > 0);
    // Few batch sizes are left, on one side of B_c, where the hyperbola is 15 % off.
    let (low, high) = (steps.fit.b_crit.low(), steps.fit.b_crit.high());
    let truth = world.b_crit();
    let holds = low.is_none_or(|low| low < 1.15 * truth) && high.is_none_or(|high| truth < 1.15 * high);
    assert!(holds, "{truth} {:?}", steps.fit.b_crit);
    check_round_trip(&answer);
}

#[test]
fn runs_that_diverge_bound_the_learning_rate() {
    let mut world = World::usual();
    (world.batches, world.reach) = (vec![128, 256, 512], 6);
    let answer = answered(&world);
    let group = leading(&answer);
    assert!(group.fates.diverged > 0);
    for batch in &group.batches {
        assert_eq!(
            batch.rate.best.holds(world.best(batch.batch as f64).learning_rate),
            Some(true),
            "{batch:?}"
        );
    }
    assert!(
        answer.troubles.iter().any(|t| t.fate == Fate::Diverged && t.reason.contains("no longer finite"))
    );
}

#[test]
fn rates_that_end_too_early_are_said_to() {
    let (file, records) = World::usual_sweep();
    // Batch 64 keeps its two smallest rates: the best is the outermost.
    let mut rates: Vec<f64> =
        records.iter().filter(|r| r.spec.batch == 64).map(|r| r.spec.learning_rate).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    let kept: Vec<TrialRecord> =
        records.into_iter().filter(|r| r.spec.batch != 64 || r.spec.learning_rate <= rates[1]).collect();
    let answer = answer(&file, &kept, &Reading::default());
    let group = leading(&answer);
    let edge = group.batches.iter().find(|b| b.batch == 64).unwrap();
    assert!(edge.rate.at_edge.is_some());
    assert_eq!(group.steps.as_ref().unwrap().fit.grade, Grade::NotIdentified);
    assert!(group.next.iter().any(|next| next.contains("batch 64")), "{:?}", group.next);
    assert!(answer.notes.iter().any(|note| note.contains("could not be found")));
}

#[test]
fn without_a_target_the_values_are_compared() {
    let mut world = World::usual();
    (world.has_target, world.budget) = (false, 1.5);
    let answer = answered(&world);
    let group = leading(&answer);
    assert!(group.steps.is_none() && group.choice.batch_size.is_none());
    assert!(group.next.iter().any(|next| next.contains("`loss <= ")), "{:?}", group.next);
    let (examples, steps) = (group.equal.examples.unwrap(), group.equal.steps.unwrap());
    assert!(0 < steps && steps < examples);
    for batch in &group.batches {
        let (end, equal) = (batch.value_at_end.unwrap(), batch.value_at_equal_examples.unwrap());
        assert!(end.n == 3 && end.mean <= equal.mean * 1.001);
    }
    // At equal steps the larger batch is the better one.
    let at_steps: Vec<f64> =
        group.batches.iter().filter_map(|b| Some(b.value_at_equal_steps?.mean)).collect();
    assert!(1 < at_steps.len() && at_steps.last() < at_steps.first(), "{at_steps:?}");
    check_round_trip(&answer);
}

#[test]
fn settings_are_judged_apart_and_the_best_leads() {
    let mut world = World::usual();
    (world.parameter, world.batches, world.seeds) =
        (Some(("slowness", vec![2.0, 1.0])), vec![4, 16, 64, 256], 2);
    let answer = answered(&world);
    let settings: Vec<&str> = answer.groups.iter().map(|group| group.setting.as_str()).collect();
    assert_eq!(settings, ["slowness=1", "slowness=2"]);
    assert_eq!(answer.groups[1].batches[0].rate.widened, Some(0));
    let about = crate::sweep::words(&answer).remove(0);
    assert!(about.lines.iter().any(|line| line.contains("fewest examples")), "{about:?}");
}

#[test]
fn runs_that_were_stopped_early_count_as_bounds() {
    let (file, mut records) = World::usual_sweep();
    for record in records.iter_mut().filter(|r| r.spec.seed == 3) {
        prune(record, 0.3);
    }
    let answer = answer(&file, &records, &Reading::default());
    let group = leading(&answer);
    assert!(0 < group.fates.pruned && group.steps.is_some());
    assert!(answer.troubles.iter().any(|t| t.fate == Fate::Pruned && t.reason.contains("rung")));
    check_round_trip(&answer);
}

/// Sweeps of which little is left: each must be answered, and say what is missing.
fn poor() -> Vec<(&'static str, SweepFile, Vec<TrialRecord>)> {
    let (file, records) = World::usual_sweep();
    let of = |change: &dyn Fn(&mut TrialRecord)| {
        let mut all = records.clone();
        all.iter_mut().for_each(change);
        all
    };
    let mut odd = of(&|record| {
        if let Some(result) = &mut record.result {
            (result.steps, result.examples, result.loss) = (0, 0, Some(f64::NAN));
            result.evaluations.clear();
            if let Some(reached) = &mut result.reached {
                (reached.steps.value, reached.steps.high) = (f64::INFINITY, f64::NAN);
            }
        }
        if let Some(measured) = &mut record.measured {
            (measured.seconds, measured.step_seconds) = (f64::NAN, Some(0.0));
            (measured.seconds_to_target, measured.peak_bytes, measured.noise_scale) =
                (Some(-1.0), Some(0), Some(f64::NAN));
        }
    });
    odd[0].spec.batch = 0;
    odd[1].spec.learning_rate = f64::NAN;
    odd[2].spec.learning_rate = -1.0;
    odd[3].spec.batch = u64::MAX;
    let one_batch: Vec<TrialRecord> = records.iter().filter(|r| r.spec.batch == 64).cloned().collect();
    let mut one_seed: Vec<TrialRecord> = records.iter().filter(|r| r.spec.seed == 1).cloned().collect();
    one_seed.iter_mut().for_each(|r| r.measured = None);
    vec![
        ("no trials", SweepFile { trials: Vec::new(), ..file.clone() }, Vec::new()),
        ("no records", file.clone(), Vec::new()),
        ("nothing done", SweepFile { is_complete: false, ..file.clone() }, of(&forget)),
        ("all failed", file.clone(), of(&|r| fail(r, EndKind::Memory, "it took 3 GiB and was given 2 GiB"))),
        ("all given up", file.clone(), of(&|r| fail(r, EndKind::Cancelled, "by the user"))),
        ("all stopped early", file.clone(), of(&|r| prune(r, 0.2))),
        ("one trial", file.clone(), vec![records[5].clone()]),
        ("one batch size", file.clone(), one_batch),
        ("one seed, no clock", file.clone(), one_seed),
        ("odd numbers", file.clone(), odd),
        ("twice the same", file.clone(), [records.clone(), records].concat()),
    ]
}

/// What those sweeps say.
pub(crate) fn poor_answers() -> &'static [(&'static str, SweepAnswer)] {
    static ANSWERS: OnceLock<Vec<(&str, SweepAnswer)>> = OnceLock::new();
    let all = || {
        poor().into_iter().map(|(name, file, records)| (name, answer(&file, &records, &Reading::default())))
    };
    ANSWERS.get_or_init(|| all().collect())
}

#[test]
fn nothing_is_said_of_what_is_not_there() {
    for (name, answer) in poor_answers() {
        check_round_trip(answer);
        let group = answer.groups.first();
        if answer.fates.results() == 0 {
            assert!(answer.notes.iter().any(|note| note.contains("nothing can be said")), "{name}");
        }
        if !["twice the same", "one seed, no clock"].contains(name) {
            assert!(group.is_none_or(|group| group.choice.batch_size.is_none()), "{name}");
        }
        assert!(group.is_none_or(|group| !group.next.is_empty()), "{name}");
    }
}

#[test]
fn the_target_is_told_by_the_trials() {
    let mut world = World::usual();
    world.batches = vec![8, 16];
    let answer = answered(&world);
    assert_eq!(answer.plan.targets, [format!("loss <= {TARGET}")]);
    assert_eq!(answer.plan.batches, [8, 16]);
    assert_eq!(answer.plan.seeds, [1, 2, 3]);
}
