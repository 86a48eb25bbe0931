//! The findings in sentences.

use super::decide::Rule;
use super::measure::{MemoryModel, Series};
use crate::advice::{Confirmation, LearningRateSearch, MemoryAdvice, NoiseAdvice, Score, SpeedAdvice};
use crate::bytes;
use crate::prose::{capitalized, separated};
use batchwise_estimate::decide::Decision;
use batchwise_estimate::fieller::Ratio;
use batchwise_estimate::ridge::{BestLr, Edge};
use batchwise_nn::optim::OptimizerConfig;

/// What the confirmation says about the advice.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    pub(super) text: String,
    /// A batch that was as good in less time, or better in no more.
    pub(super) better: Option<u64>,
}

/// Everything the reasons draw on.
pub(super) struct Grounds<'a> {
    pub(super) speed: &'a SpeedAdvice,
    pub(super) noise: &'a NoiseAdvice,
    pub(super) search: &'a LearningRateSearch,
    pub(super) memory: &'a MemoryAdvice,
    pub(super) decision: &'a Decision,
    pub(super) rule: &'a Rule,
    pub(super) batch_size: u64,
    pub(super) micro_batch: u64,
    pub(super) train_examples: u64,
    pub(super) confirmation: &'a [Confirmation],
    pub(super) verdict: &'a Verdict,
}

/// A faster or better neighbour must be so by more than this, or than the noise.
const CLEARLY_FASTER: f64 = 0.95;

pub(super) fn memory(memory: &MemoryModel) -> String {
    let whole = Series::whole_of(memory);
    match whole.does_not_fit {
        Some(batch) => format!(
            "{} fixed and {} per example; a micro-batch of up to {} fits, {batch} does not",
            bytes::human(whole.fixed_bytes()),
            bytes::human(whole.bytes_per_example() as u64),
            whole.largest(),
        ),
        None => format!(
            "{} fixed and {} per example; every batch tried, up to {}, fits whole",
            bytes::human(whole.fixed_bytes()),
            bytes::human(whole.bytes_per_example() as u64),
            whole.largest(),
        ),
    }
}

pub(super) fn speed(speed: &SpeedAdvice) -> String {
    let best = speed.points.iter().map(|p| p.batch as f64 / p.seconds).fold(0.0, f64::max);
    let knee = format!(
        "{:.0} % of the peak throughput ({} examples/s) is reached at batch {:.0}",
        100.0 * speed.knee_efficiency,
        thousands(best),
        speed.knee.ceil()
    );
    match speed.model.as_str() {
        "measured" => format!("no model of the step time fits, so its measurements are used; {knee}"),
        "two_slopes" => format!(
            "a step takes {} and, for large batches, {} per example (two slopes, misfit {:.0} %); {knee}",
            seconds(speed.overhead_seconds),
            seconds(speed.seconds_per_example),
            100.0 * speed.misfit
        ),
        model => format!(
            "a step takes {} and {} per example ({model} model, misfit {:.0} %); {knee}",
            seconds(speed.overhead_seconds),
            seconds(speed.seconds_per_example),
            100.0 * speed.misfit
        ),
    }
}

pub(super) fn learning_rate(search: &LearningRateSearch) -> String {
    let n_diverged = search.points.iter().filter(|point| point.loss.is_none()).count();
    let tried = format!(
        "of {} tried at batch {} over {} examples{}",
        search.points.len(),
        search.anchor_batch,
        thousands(search.examples as f64),
        if n_diverged == 0 { String::new() } else { format!(", {n_diverged} of which diverged") }
    );
    match &search.best {
        BestLr::Interior { learning_rate, low, high, .. } => {
            format!("best learning rate {learning_rate:.3e}, as good from {low:.1e} to {high:.1e}, {tried}")
        }
        BestLr::AtEdge { learning_rate, edge } => {
            let side = match edge {
                Edge::Low => "smallest",
                Edge::High => "largest",
            };
            format!(
                "the {side} learning rate is the best so far, {learning_rate:.3e}, {tried}: not bracketed"
            )
        }
        BestLr::NotIdentified { why } => format!("no best learning rate: {why}, {tried}"),
    }
}

pub(super) fn noise(noise: &NoiseAdvice) -> String {
    let average = match &noise.average {
        Ratio::Measured { value, low, high } => format!(
            "noise scale φ = {} {unit} ({:.0} % interval {} to {}) on average",
            thousands(*value),
            100.0 * noise.confidence,
            thousands(*low),
            thousands(*high),
            unit = noise.unit
        ),
        Ratio::LowerBound { low } => {
            format!("noise scale φ at least {} {} on average", thousands(*low), noise.unit)
        }
        Ratio::WholeLine | Ratio::NotIdentified { .. } => return "noise scale not identified".to_owned(),
    };
    let seen = noise.points.last().map_or(0, |point| point.examples_seen);
    match &noise.critical_batch {
        None => average,
        Some(critical) if critical.lower_bound_only => format!(
            "{average} over the first {} examples; critical batch at least about {}",
            thousands(seen as f64),
            thousands(critical.low)
        ),
        Some(critical) => format!(
            "{average} over the first {} examples; critical batch about {} (90 % interval {} to {})",
            thousands(seen as f64),
            thousands(critical.median),
            thousands(critical.low),
            thousands(critical.high)
        ),
    }
}

pub(super) fn verified(memory: &MemoryAdvice, micro_batch: u64) -> String {
    let off =
        100.0 * (memory.verified_peak_bytes as f64 / (memory.predicted_peak_bytes as f64).max(1.0) - 1.0);
    let compared = match off {
        off if off.abs() < 0.05 => "as predicted".to_owned(),
        off => format!("{:.1} % {} the prediction", off.abs(), if off < 0.0 { "below" } else { "above" }),
    };
    format!(
        "a micro-batch of {micro_batch} took {}, {compared}, of the {} {}",
        bytes::human(memory.verified_peak_bytes),
        bytes::human(memory.limit_bytes),
        if memory.limit_is_given { "allowed" } else { "free on this machine" }
    )
}

/// Compares the advised batch with half and twice of it, on the same examples.
pub(super) fn verdict(confirmation: &[Confirmation], batch_size: u64, equivalent: (u64, u64)) -> Verdict {
    let Some(advised) = Mean::of(confirmation, batch_size) else {
        return Verdict {
            text: format!(
                "the short training at batch {batch_size} diverged: the advised learning rate is too large"
            ),
            better: Some(batch_size / 2),
        };
    };
    let mut parts = Vec::new();
    let mut better = None;
    for (name, batch) in [("half", batch_size / 2), ("twice", batch_size * 2)] {
        let tried = confirmation.iter().any(|trial| trial.batch == batch);
        let Some(other) = Mean::of(confirmation, batch) else {
            if tried {
                parts.push(format!("{name} of it diverged"));
            }
            continue;
        };
        let noise = 2.0 * advised.error.hypot(other.error);
        // Positive where the other is better.
        let gain = (other.value - advised.value) * if advised.is_accuracy { 1.0 } else { -1.0 };
        let time = other.seconds / advised.seconds;
        let quality = match (gain.abs() <= noise, advised.is_accuracy) {
            (true, true) => "as accurate within the error".to_owned(),
            (true, false) => "as good within the error".to_owned(),
            (false, true) => format!("{:+.2} points of accuracy", 100.0 * gain),
            (false, false) => format!("{:+.4} in test loss", -gain),
        };
        parts.push(format!("{name} of it was {quality} in {time:.2} times the time"));
        let dominates =
            (-noise <= gain && time < CLEARLY_FASTER) || (noise < gain && time <= 1.0 / CLEARLY_FASTER);
        if dominates {
            better = Some(batch);
        }
    }
    let reached = match advised.is_accuracy {
        true => format!("{:.2} ± {:.2} % test accuracy", 100.0 * advised.value, 100.0 * advised.error),
        false => format!("a test loss of {:.4} ± {:.4}", advised.value, advised.error),
    };
    let head = format!("batch {batch_size} reached {reached} in {}", seconds(advised.seconds));
    let tail = match better {
        None => "this agrees with the advice".to_owned(),
        Some(batch) if (equivalent.0..=equivalent.1).contains(&batch) => {
            format!("this run favours batch {batch}, which the advice holds to be as good")
        }
        Some(batch) => format!(
            "this run favours batch {batch}, against the advice; it is short, and a target loss was not raced for"
        ),
    };
    Verdict { text: format!("{head}; {}; {tail}", parts.join("; ")), better }
}

pub(super) fn reasons(grounds: &Grounds<'_>) -> Vec<String> {
    let Grounds { speed, noise, search, memory, decision, rule, batch_size, micro_batch, .. } = *grounds;
    let mut reasons = Vec::new();
    let mut say = |text: String| reasons.push(sentence(&text));
    say(self::noise(noise));
    if noise.critical_batch.is_some() {
        say("the critical batch follows from φ by the ratio that published supervised tasks had (McCandlish et al. \
             2018, table 1; 3.0, within a factor of 4.9 in 90 %), so it is an order of size, not a measurement"
            .to_owned());
    }
    if matches!(rule.optimizer, OptimizerConfig::Adam(_) | OptimizerConfig::AdamW(_)) {
        say("that ratio was mostly seen with SGD; for Adam it is less certain still".to_owned());
    }
    say(self::speed(speed));
    let (low, high) = decision.equivalent;
    say(if low == high {
        format!(
            "the expected time to a target, t(B)·(1 + B_c/B), is least at batch {batch_size}; no other size tried is \
             within 5 % of it"
        )
    } else {
        format!(
            "the expected time to a target, t(B)·(1 + B_c/B), is within 5 % of its least from batch {low} to {high}; \
             {batch_size} is the smallest of these, which needs the fewest examples"
        )
    });
    if memory.accumulating {
        say(format!(
            "a batch of {batch_size} does not fit in {} at once, so it is taken in micro-batches of {micro_batch}, \
             which changes memory and speed but not the result",
            bytes::human(memory.limit_bytes)
        ));
        if memory.limit_is_given {
            say(format!(
                "the batch size is the one for all the memory that is free, because memory must not change what is \
                 trained{}",
                slowdown(grounds).map_or_else(String::new, |times| format!(
                    "; in these micro-batches a step took {times:.2} times as long as with the whole batch at once"
                ))
            ));
        }
    }
    say(self::verified(memory, micro_batch));
    say(self::learning_rate(search));
    let kappa = batch_size as f64 / rule.anchor_batch as f64;
    if kappa != 1.0 {
        say(format!(
            "the learning rate was carried from batch {} to {batch_size} by the {} rule{}",
            rule.anchor_batch,
            rule.scaling(),
            if kappa.log2().abs() <= 1.0 { "" } else { "; at this distance a sweep should check it" }
        ));
    }
    if let Some(slowest) = speed.points.iter().find(|point| point.batch == batch_size)
        && 0.1 < slowest.data_wait
    {
        say(format!(
            "at this batch {:.0} % of a step is spent waiting for data: the loader, not the model, sets the pace",
            100.0 * slowest.data_wait
        ));
    }
    if grounds.train_examples < 10 * batch_size * 2 {
        say("batches above a tenth of the data set were not considered".to_owned());
    }
    say(format!("confirmation: {}", grounds.verdict.text));
    reasons
}

/// How much longer a step of the confirmation took than the same batch taken at once.
fn slowdown(grounds: &Grounds<'_>) -> Option<f64> {
    let at_once = grounds
        .speed
        .points
        .iter()
        .find(|point| point.batch == grounds.batch_size && point.micro_batch == point.batch)?;
    let trial =
        grounds.confirmation.iter().find(|trial| trial.batch == grounds.batch_size && 0 < trial.steps)?;
    Some(trial.seconds / trial.steps as f64 / at_once.seconds)
}

/// What would shrink the uncertainty most.
pub(super) fn next_measurement(
    search: &LearningRateSearch,
    noise: &NoiseAdvice,
    verdict: &Verdict,
    decision: &Decision,
) -> String {
    let batch_size = decision.batch_size;
    match (&search.best, verdict.better, &noise.average) {
        (BestLr::AtEdge { learning_rate, .. }, _, _) => format!(
            "Search the learning rate beyond {learning_rate:.2e} at batch {}: its best is not bracketed.",
            search.anchor_batch
        ),
        (_, Some(other), _) => format!(
            "Train to the loss you want at batch {other} and {batch_size}, each with its own learning rate and three \
             seeds: the short confirmation favoured {other}."
        ),
        (_, _, Ratio::LowerBound { .. }) => format!(
            "Measure the noise later in training, or on more examples: φ is only bounded from below, so batches above \
             {batch_size} may be better still."
        ),
        _ => match &decision.next_measurement {
            Some(worth) => format!(
                "{} On average that would save {:.1} % of the time to the target.",
                worth.words,
                100.0 * worth.value
            ),
            None => format!(
                "Nothing that could be measured is expected to save more than {:.1} % of the time to the target; to check \
                 the answer itself, measure steps to a target loss at batch {}, {batch_size} and {}, with the learning \
                 rate tuned at each.",
                100.0 * batchwise_estimate::decide::WORTHWHILE,
                (batch_size / 4).max(1),
                batch_size * 4
            ),
        },
    }
}

/// Means over the seeds of one batch size, if none diverged.
struct Mean {
    /// Of the score.
    value: f64,
    error: f64,
    is_accuracy: bool,
    seconds: f64,
}

impl Mean {
    fn of(confirmation: &[Confirmation], batch: u64) -> Option<Self> {
        let trials: Vec<&Confirmation> = confirmation.iter().filter(|trial| trial.batch == batch).collect();
        let n = trials.len() as f64;
        let scores: Vec<Score> = trials.iter().map(|trial| trial.score()).collect::<Option<_>>()?;
        let is_accuracy = scores.first()?.is_accuracy;
        let value = scores.iter().map(|score| score.value).sum::<f64>() / n;
        // The test set is the same for all seeds, so its error does not shrink with them; the seeds' does.
        let sampling = scores.iter().map(|score| score.error).sum::<f64>() / n;
        let between =
            scores.iter().map(|score| (score.value - value).powi(2)).sum::<f64>() / (n - 1.0).max(1.0) / n;
        Some(Self {
            value,
            error: sampling.hypot(between.sqrt()),
            is_accuracy,
            seconds: trials.iter().map(|trial| trial.seconds).sum::<f64>() / n,
        })
    }
}

fn sentence(text: &str) -> String {
    format!("{}.", capitalized(text))
}

/// A duration in the unit that suits it.
fn seconds(value: f64) -> String {
    match value {
        v if v < 1e-3 => format!("{:.1} µs", v * 1e6),
        v if v < 1.0 => format!("{:.2} ms", v * 1e3),
        v => format!("{v:.1} s"),
    }
}

/// A count with separators between thousands.
fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let text = separated(&digits);
    if value < 0.0 && digits != "0" { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_readable() {
        assert_eq!(thousands(1_234_567.4), "1,234,567");
        assert_eq!(thousands(999.0), "999");
        assert_eq!(thousands(-1000.0), "-1,000");
        assert_eq!(seconds(0.000_012_3), "12.3 µs");
        assert_eq!(seconds(0.0123), "12.30 ms");
        assert_eq!(sentence("a b"), "A b.");
    }

    fn trial(batch: u64, accuracy: Option<f64>, seconds: f64) -> Confirmation {
        Confirmation {
            batch,
            learning_rate: 0.1,
            seed: 0,
            examples: 100,
            steps: 10,
            train_loss: accuracy.map(|a| 1.0 - a),
            test_loss: accuracy.map(|a| 1.0 - a),
            test_loss_error: accuracy.map(|_| 0.004),
            test_accuracy: accuracy,
            test_accuracy_error: accuracy.map(|_| 0.004),
            seconds,
        }
    }

    #[test]
    fn without_classes_the_loss_decides() {
        let of = |batch, loss: f64, seconds| Confirmation {
            test_accuracy: None,
            test_accuracy_error: None,
            test_loss: Some(loss),
            ..trial(batch, Some(0.5), seconds)
        };
        let said = verdict(&[of(32, 1.5, 10.0), of(64, 1.6, 10.0), of(128, 1.7, 5.0)], 64, (64, 64));
        assert_eq!(said.better, Some(32));
        for part in ["a test loss of 1.6000 ± 0.0040", "half of it was -0.1000 in test loss", "+0.1000"] {
            assert!(said.text.contains(part), "{}", said.text);
        }
    }

    #[test]
    fn the_verdict_also_contradicts() {
        let of = |half, twice| verdict(&[half, trial(64, Some(0.80), 10.0), twice], 64, (64, 64));
        // Half is slower and no better, twice is faster but worse: as advised.
        let agree = of(trial(32, Some(0.805), 14.0), trial(128, Some(0.75), 8.0));
        assert_eq!(agree.better, None);
        assert!(agree.text.contains("agrees"), "{}", agree.text);
        // Twice is as accurate and clearly faster.
        let faster = of(trial(32, Some(0.80), 14.0), trial(128, Some(0.798), 8.0));
        assert_eq!(faster.better, Some(128));
        assert!(faster.text.contains("against the advice"), "{}", faster.text);
        // Half is better at no cost.
        assert_eq!(of(trial(32, Some(0.85), 10.0), trial(128, Some(0.7), 10.0)).better, Some(32));
        // A neighbour that diverged is said to.
        let diverged = of(trial(32, Some(0.80), 14.0), trial(128, None, 2.0));
        assert!(
            diverged.better.is_none() && diverged.text.contains("twice of it diverged"),
            "{}",
            diverged.text
        );
        // The advised setting itself diverged.
        let bad = verdict(&[trial(64, None, 1.0), trial(32, Some(0.8), 3.0)], 64, (64, 64));
        assert!(bad.text.contains("diverged") && bad.better == Some(32));
    }
}
