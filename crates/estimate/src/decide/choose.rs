//! From draws to a choice: regrets, what is equivalent, and the smallest of it.

use super::answer::{Band, Standing};
use super::limits::Setting;
use super::problem::{Objective, Problem, Rule};
use super::sample::{Sample, Scene, costs_into, least, regrets_into};
use super::{EQUIVALENT, closed_form};
use crate::robust::quantile_of_sorted;

/// The quantile that is reported where none is asked for.
const REPORTED_QUANTILE: f64 = 0.95;

/// The choice among the settings that `allowed` names; every index is one of the scene's settings.
pub(super) struct Choice {
    pub(super) chosen: usize,
    /// Those on the chosen number of devices, ascending in the batch.
    pub(super) alike: Vec<usize>,
    /// Those of `alike` within [`EQUIVALENT`] of the least regret.
    pub(super) equivalent: Vec<usize>,
    pub(super) time_optimal: usize,
    /// Per entry of `allowed`.
    pub(super) expected: Vec<f64>,
    pub(super) quantile: Vec<f64>,
    pub(super) probability_best: Vec<f64>,
}

/// `allowed` is not empty and ascends in the devices and then in the batch.
pub(super) fn choose(scene: &Scene<'_>, sample: &Sample, allowed: &[usize]) -> Choice {
    let Problem { objective, rule, critical, n_draws, .. } = scene.problem;
    let settings: Vec<Setting> = allowed.iter().map(|i| scene.settings[*i]).collect();
    let n = allowed.len();
    let mut columns = vec![Vec::with_capacity(*n_draws); n];
    let (mut expected, mut best) = (vec![0.0; n], vec![0usize; n]);
    let (mut seconds, mut regret) = (vec![0.0; n], Vec::with_capacity(n));
    for (row, critical) in sample.seconds.iter().zip(&sample.critical) {
        seconds.iter_mut().zip(allowed).for_each(|(s, i)| *s = row[*i]);
        let least = regrets_into(*objective, &settings, &seconds, *critical, &mut regret);
        best[least] += 1;
        for i in 0..n {
            expected[i] += regret[i] / *n_draws as f64;
            columns[i].push(regret[i]);
        }
    }
    columns.iter_mut().for_each(|c| c.sort_by(f64::total_cmp));
    let p = match rule {
        Rule::Expected => REPORTED_QUANTILE,
        Rule::Minimax { quantile } => *quantile,
    };
    let quantile: Vec<f64> = columns.iter().map(|c| quantile_of_sorted(c, p).unwrap_or(0.0)).collect();
    let judged = match rule {
        Rule::Expected => &expected,
        Rule::Minimax { .. } => &quantile,
    };
    let limit = judged[least(judged)] + EQUIVALENT;
    // Fewest devices first: a device that gains next to nothing is better used elsewhere.
    let devices = (0..n).find(|i| judged[*i] <= limit).map_or(1, |i| settings[i].devices);
    let alike: Vec<usize> = (0..n).filter(|i| settings[*i].devices == devices).collect();
    let equivalent: Vec<usize> = alike.iter().copied().filter(|i| judged[*i] <= limit).collect();
    let middle: Vec<f64> = allowed.iter().map(|i| scene.relative(scene.middle[*i])).collect();
    let mut times = Vec::with_capacity(n);
    costs_into(Objective::TimeToTarget, &settings, &middle, critical.median, &mut times);
    let time_optimal =
        alike.iter().copied().min_by(|&i, &j| times[i].total_cmp(&times[j])).unwrap_or(alike[0]);
    let smallest = equivalent.first().copied().unwrap_or(time_optimal);
    let chosen = match objective {
        // With a budget of examples a larger batch is always faster; only the tolerance limits it.
        Objective::ExamplesBudget { .. } => smallest,
        _ => smallest.min(time_optimal),
    };
    Choice {
        chosen: allowed[chosen],
        alike: alike.iter().map(|i| allowed[*i]).collect(),
        equivalent: equivalent.iter().map(|i| allowed[*i]).collect(),
        time_optimal: allowed[time_optimal],
        expected,
        quantile,
        probability_best: best.iter().map(|k| *k as f64 / *n_draws as f64).collect(),
    }
}

/// Time and examples of every allowed setting, with the regrets of the choice.
pub(super) fn standings(
    scene: &Scene<'_>,
    sample: &Sample,
    allowed: &[usize],
    choice: &Choice,
) -> Vec<Standing> {
    let absolute = scene.problem.steps.is_some();
    let mut times: Vec<Band> = allowed.iter().map(|i| time(scene, sample, *i, absolute)).collect();
    if !absolute {
        let unit = times.iter().map(|b| b.median).min_by(f64::total_cmp).unwrap_or(1.0);
        for Band { median, low, high } in &mut times {
            let over = |x: f64| (x / unit).min(f64::MAX);
            (*median, *low, *high) = (over(*median), over(*low), over(*high));
        }
    }
    let standing = |(j, time): (usize, Band)| {
        let setting = scene.settings[allowed[j]];
        let examples = |k: usize| {
            let share = closed_form::examples_to_target_relative(setting.batch as f64, sample.critical[k]);
            if absolute {
                // E_min = S_min·B_c.
                bounded(share.ln() + sample.ln_steps[k] + sample.critical[k].ln())
            } else {
                share
            }
        };
        Standing {
            batch: setting.batch,
            devices: setting.devices,
            expected_regret: choice.expected[j],
            quantile_regret: choice.quantile[j],
            probability_best: choice.probability_best[j],
            time,
            examples: band((0..sample.critical.len()).map(examples).collect()),
        }
    };
    times.into_iter().enumerate().map(standing).collect()
}

/// Time to target of the scene's setting `i`; relative to the scene's unit and S_min unless absolute.
fn time(scene: &Scene<'_>, sample: &Sample, i: usize, absolute: bool) -> Band {
    let batch = scene.settings[i].batch as f64;
    let at = |k: usize| {
        let relative = closed_form::time_to_target_relative(sample.seconds[k][i], batch, sample.critical[k]);
        if absolute { bounded(relative.ln() + sample.ln_unit + sample.ln_steps[k]) } else { relative }
    };
    band((0..sample.critical.len()).map(at).collect())
}

/// e^x, held inside the range of f64.
fn bounded(ln: f64) -> f64 {
    ln.clamp(-690.0, 690.0).exp()
}

fn band(mut values: Vec<f64>) -> Band {
    values.sort_by(f64::total_cmp);
    let at = |p: f64| quantile_of_sorted(&values, p).unwrap_or(0.0);
    Band { median: at(0.5), low: at(0.05), high: at(0.95) }
}
