//! What keeps the batch from being larger.

use super::answer::{Binding, in_words};
use super::choose::{Choice, choose};
use super::limits::{Limit, Memory, limits, settings};
use super::problem::{Objective, Problem, TimeBelief};
use super::sample::{Sample, Scene};

/// The binding limit and a sentence about it.
///
/// A limit binds where the choice without limits is larger; the tightest of them is named. Otherwise the choice is
/// the problem's own: at the largest candidate nothing larger could be chosen, and below it either examples per
/// second or steps have run out. Which of the two is nearer to its end decides: throughput (t(B)/B against the least
/// over the candidates) or steps (B/(B+B_c), the share S_min/S(B)). For t = a + cB at B_T these shares are z/(1+z) and
/// 1/(1+z), z = √(cB_c/a): the knee binds where B_c is above a/c, the noise scale where it is below.
pub(super) fn binding(scene: &Scene<'_>, sample: &Sample, choice: &Choice) -> (Binding, String) {
    let chosen = scene.settings[choice.chosen];
    let in_force: Vec<Limit> = limits(scene.problem, chosen.devices);
    if let Some(found) = limit_that_binds(scene, sample, chosen.batch, &in_force) {
        return found;
    }
    let alike: Vec<usize> =
        (0..scene.settings.len()).filter(|i| scene.settings[*i].devices == chosen.devices).collect();
    let batch = chosen.batch;
    let next = alike.iter().map(|i| scene.settings[*i].batch).find(|b| *b > batch);
    let Some(next) = next else {
        return (
            Binding::Tried,
            format!("Batch {batch} is the largest candidate; larger ones may be better."),
        );
    };
    let critical = scene.problem.critical.median;
    let known = in_words(critical);
    if let Objective::ExamplesBudget { tau } = scene.problem.objective {
        let overhead = in_words((100.0 * next as f64 / critical).min(f64::MAX));
        if next as f64 > tau * critical {
            let tolerated = in_words((100.0 * tau).min(f64::MAX));
            let reason = format!(
                "Batch {next} would waste {overhead} % of the examples, above the {tolerated} % that are \
                 tolerated (critical batch {known})."
            );
            return (Binding::NoiseScale, reason);
        }
    }
    let ln_rate = |i: &usize| scene.middle[*i] - (scene.settings[*i].batch as f64).ln();
    let fastest = alike.iter().map(ln_rate).min_by(f64::total_cmp).unwrap_or(0.0);
    let throughput = (fastest - ln_rate(&choice.chosen)).min(0.0).exp();
    let steps = batch as f64 / (batch as f64 + critical);
    let percent = |share: f64| (100.0 * share).round();
    let both = format!(
        "Batch {batch} reaches {} % of the best examples per second, and takes {} times the least steps \
         (critical batch {known})",
        percent(throughput),
        few((1.0 + critical / batch as f64).min(f64::MAX))
    );
    if throughput >= steps {
        (Binding::Knee, format!("{both}: a larger batch would hardly process examples faster."))
    } else {
        (Binding::NoiseScale, format!("{both}: a larger batch would hardly save steps."))
    }
}

fn limit_that_binds(
    scene: &Scene<'_>,
    sample: &Sample,
    chosen: u64,
    in_force: &[Limit],
) -> Option<(Binding, String)> {
    let all: Vec<usize> = (0..scene.settings.len()).collect();
    let excluded = scene.settings.iter().any(|s| in_force.iter().any(|l| s.batch > l.largest));
    // Accumulated micro-batches each pay the overhead again, which a model of one micro-batch knows.
    let slowed = matches!(scene.problem.time, TimeBelief::Model { .. })
        && scene.settings.iter().any(|s| s.accumulation_steps > 1);
    let free = if slowed {
        let problem = Problem { memory: Memory::Unlimited, ..scene.problem.clone() };
        let scene = Scene::of(&problem, settings(&problem));
        let sample = scene.sample();
        scene.settings[choose(&scene, &sample, &all).chosen].batch
    } else if excluded {
        scene.settings[choose(scene, sample, &all).chosen].batch
    } else {
        return None;
    };
    if free <= chosen {
        return None;
    }
    let tightest = in_force.iter().filter(|l| l.largest < free).min_by_key(|l| l.largest);
    let (binding, reason) = match tightest {
        Some(limit) => (limit.binding, limit.reason.clone()),
        None => (Binding::Memory, scene.problem.memory.in_words()),
    };
    Some((binding, format!("Without limits the choice would be batch {free}, but {reason}.")))
}

/// A ratio in a sentence: two decimals while they say something.
fn few(ratio: f64) -> String {
    if ratio < 100.0 { format!("{ratio:.2}") } else { in_words(ratio) }
}
