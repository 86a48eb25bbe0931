//! What to measure next.

use super::types::{BatchSummary, Fates, StepTimes};
use crate::report::text::{count, digits, int, num};
use crate::trial::{Judge, Target};
use batchwise_estimate::grade::Grade;
use batchwise_estimate::ridge::Next;
use batchwise_estimate::tradeoff::TradeoffFit;

/// What is known so far.
pub(super) struct Known<'a> {
    pub(super) fates: Fates,
    pub(super) judge: Judge,
    pub(super) target: Option<Target>,
    pub(super) batches: &'a [BatchSummary],
    pub(super) steps: Option<&'a TradeoffFit>,
    pub(super) times: Option<&'a StepTimes>,
    pub(super) is_chosen: bool,
    /// What the decision asks for.
    pub(super) after: Option<&'a str>,
}

/// What to measure next, the most needed first; never empty.
pub(super) fn next(known: &Known<'_>) -> Vec<String> {
    let mut all = Vec::new();
    let fates = known.fates;
    if 0 < fates.waiting {
        let verb = if fates.waiting == 1 { "has" } else { "have" };
        all.push(format!("Let the sweep finish: {} {verb} no result yet.", count(fates.waiting, "trial")));
    }
    if fates.results() == 0 {
        if 0 < fates.failed + fates.cancelled {
            let text = "No run has a result: see the reasons under the trials that went wrong, mend them, and run the \
                        sweep again; it runs only what is missing.";
            all.push(text.to_owned());
        }
        return all;
    }
    all.extend(rates(known.batches));
    match (known.target, known.steps) {
        (None, _) => all.push(wanted_target(known)),
        (Some(_), None) => {}
        (Some(_), Some(fit)) => {
            let at_edge = known.batches.iter().any(|batch| batch.rate.at_edge.is_some());
            all.extend(steps(fit, at_edge));
        }
    }
    if known.times.is_none_or(|times| times.fit.is_none()) {
        all.push(
            "Time steps at three batch sizes or more: without the time of a step no batch size is the fastest.".to_owned(),
        );
    }
    if known.is_chosen
        && let Some(words) = known.after.filter(|words| !words.starts_with("Nothing"))
    {
        all.push(words.to_owned());
    }
    if all.is_empty() {
        all.push("Nothing: no measurement is expected to gain half a per cent of the time.".to_owned());
    }
    all
}

/// Batch sizes named in a sentence; a table names the others.
const NAMED: usize = 4;

/// Learning rates to try, where the grid ends too early first.
fn rates(batches: &[BatchSummary]) -> Vec<String> {
    let list = |rates: &[f64]| rates.iter().map(|v| num(*v)).collect::<Vec<_>>().join(" and ");
    let (mut edges, mut finer, mut seeds) = (Vec::new(), Vec::new(), Vec::new());
    for batch in batches {
        let at = int(batch.batch);
        match &batch.rate.next {
            Next::Enough => {}
            Next::Extend { learning_rates, .. } if !learning_rates.is_empty() => {
                edges.push(format!("{} at batch {at}", list(learning_rates)));
            }
            Next::Refine { learning_rates } if !learning_rates.is_empty() => {
                finer.push(format!("{} at batch {at}", list(learning_rates)));
            }
            Next::MoreSeeds { learning_rates } if !learning_rates.is_empty() => {
                seeds.push(format!("{} at batch {at}", list(learning_rates)));
            }
            _ => {}
        }
    }
    let sentence = |verb: &str, mut all: Vec<String>| {
        let more = all.len().saturating_sub(NAMED);
        all.truncate(NAMED);
        let more = if more == 0 {
            String::new()
        } else {
            format!(" (and at {} more batch sizes)", int(more as u64))
        };
        (!all.is_empty()).then(|| format!("{verb} {}{more}.", all.join(", ")))
    };
    let all = [
        sentence("Try learning rates beyond the edge of those tried:", edges),
        sentence("For a narrower interval of the best learning rate try", finer),
        sentence("For a narrower interval of the best learning rate run another seed of", seeds),
    ];
    all.into_iter().flatten().collect()
}

fn steps(fit: &TradeoffFit, at_edge: bool) -> Option<String> {
    let reached = || fit.batches.iter().filter(|b| b.steps.is_some()).map(|b| b.batch);
    let (smallest, largest) = (reached().fold(f64::INFINITY, f64::min), reached().fold(0.0, f64::max));
    Some(match fit.grade {
        Grade::Measured if fit.seed_sd.is_none() => {
            "Run a second seed at each batch size: the seeds tell how sure each point is.".to_owned()
        }
        Grade::Measured => return None,
        Grade::LowerBound => format!(
            "Run larger batch sizes, up to {} and beyond: all those tried scale nearly perfectly.",
            digits(4.0 * largest, 7)
        ),
        Grade::UpperBound => format!(
            "Run smaller batch sizes, down to {}: all those tried are saturated.",
            digits((smallest / 8.0).max(1.0).floor(), 7)
        ),
        Grade::Untuned => "Tune the learning rate at each batch size: one rate for all confounds the curve.".to_owned(),
        Grade::ModelMisfit => {
            "Look at the steps to the target: tune the learning rate where a point is off the curve, or run that batch \
             size with more seeds."
                .to_owned()
        }
        _ if reached().next().is_none() => {
            "No run reached the target: raise the budget, or lower the target.".to_owned()
        }
        // The learning rates at the edge are asked for already.
        _ if at_edge => return None,
        _ => "Run more batch sizes, from where doubling the batch halves the steps to where it buys nothing, 2 seeds each."
            .to_owned(),
    })
}

/// A target that the best run at every batch size reaches.
fn wanted_target(known: &Known<'_>) -> String {
    let judge = known.judge;
    let ends: Vec<f64> = known.batches.iter().filter_map(|b| Some(b.value_at_end?.mean)).collect();
    let worst = ends.iter().copied().reduce(|a, b| if judge.is_better(a, b) { b } else { a });
    match worst {
        Some(worst) => {
            let sign = if judge.more_is_better { ">=" } else { "<=" };
            format!(
                "Give the plan a target, such as `{} {sign} {}`, which the best runs at every batch size reach about: steps \
                 to a target give B_c, and with it the batch size that trains fastest.",
                judge.name(),
                digits(worst, 3).replace('−', "-").replace(',', "")
            )
        }
        None => "Give the plan a target: steps to a target give B_c, and with it the batch size that trains fastest."
            .to_owned(),
    }
}
