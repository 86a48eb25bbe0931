//! From the parts to what the decision is made of.

use super::super::FitError;
use super::super::answer::sentence;
use super::super::memory::{MARGIN, UpperBand, sure_batch};
use super::super::settings::Settings;
use super::parts::{Part, Parts, type_of};
use batchwise_estimate::critical::{
    Combined, CriticalBatch, CriticalSource, PhiReading, combine, critical_batch_from_outcome,
    critical_batch_from_tradeoff, read_phi,
};
use batchwise_estimate::decide::{
    Candidate, StepsBelief, TimeBelief, TimeDraw, powers_of_two, time_optimal_batch,
};
use batchwise_estimate::fieller::Ratio;
use batchwise_estimate::grade::Grade;
use batchwise_estimate::memory::{MemoryFit, MemoryPoint, fit_memory};
use batchwise_estimate::outcome::Outcome;
use batchwise_estimate::ridge::{Goal, Options, RidgePoint, fit_ridge, follow_power};
use batchwise_estimate::time::TimeModel;
use batchwise_estimate::tradeoff::TradeoffFit;
use serde::Serialize;
use serde_json::Value;

/// The belief about B_c from every source there is.
pub(super) fn critical(
    parts: &Parts,
    settings: &Settings,
    notes: &mut Vec<String>,
) -> Result<Combined, FitError> {
    let mut beliefs: Vec<CriticalBatch> = Vec::new();
    if let Some(part) = &parts.tradeoff {
        let belief = from_tradeoff(part)?;
        if belief.is_none() {
            let grade = part.text("grade")?.unwrap_or("not identified").replace('_', " ");
            notes.push(format!("The trade-off says nothing about B_c that a decision can use ({grade})."));
        }
        beliefs.extend(belief);
    }
    if let Some(part) = &parts.noise {
        let phi = phi(part)?;
        match read_phi(&phi, settings.calibration) {
            PhiReading::Belief { belief } => beliefs.push(belief),
            PhiReading::TrendOnly { why } => {
                notes.push(sentence(&[format!("the noise scale does not count: {why}")]))
            }
            PhiReading::NotIdentified { .. } => {
                notes.push("The noise scale has neither a number nor a bound.".to_owned());
            }
        }
    }
    let combined = combine(&beliefs);
    for d in &combined.disagreements {
        notes.push(format!(
            "The noise scale says B_c = {:.0} and the trade-off {:.0}, {:.1} times apart: the trade-off is used.",
            d.left_out.median, d.used.median, d.factor
        ));
    }
    Ok(combined)
}

fn from_tradeoff(part: &Part) -> Result<Option<CriticalBatch>, FitError> {
    // The keys that people read are checked even where the fit says more.
    let outcome = part.outcome("b_crit")?;
    if let Some(fit) = part.stored::<TradeoffFit>("fit")? {
        return Ok(critical_batch_from_tradeoff(&fit));
    }
    Ok(critical_batch_from_outcome(&outcome, CriticalSource::Sweep))
}

fn phi(part: &Part) -> Result<Ratio, FitError> {
    Ok(match part.outcome("phi")? {
        Outcome::Measured { value, low, high } => Ratio::Measured { value, low, high },
        Outcome::LowerBound { low } if low > 0.0 => Ratio::LowerBound { low },
        Outcome::NotIdentified { why } => Ratio::NotIdentified { why },
        Outcome::LowerBound { .. } | Outcome::UpperBound { .. } => {
            Ratio::not_identified("it has no bound from below")
        }
    })
}

/// The belief about S_min: that of its interval, and tied to B_c by what is known of E_min.
pub(super) fn steps(parts: &Parts, critical: &CriticalBatch) -> Result<Option<StepsBelief>, FitError> {
    let Some(part) = &parts.tradeoff else { return Ok(None) };
    let Some(median) = part.not_negative("s_min")?.filter(|v| *v > 0.0) else { return Ok(None) };
    // E_min = S_min·B_c is known far better than either factor (theory.md §3.2).
    Ok(Some(StepsBelief { median, ln_sd: critical.ln_sd, correlation: -1.0 }))
}

/// The time of a step, and the largest batch that was timed, where that is known.
pub(super) fn time(
    part: &Part,
    critical: Option<&CriticalBatch>,
    notes: &mut Vec<String>,
) -> Result<Option<(TimeBelief, Option<u64>)>, FitError> {
    let (overhead, per_example) =
        (part.not_negative("overhead_seconds")?, part.not_negative("seconds_per_example")?);
    let candidates = candidates(part)?;
    if !candidates.is_empty() {
        let tried = candidates.iter().map(|c| c.batch).max();
        return Ok(Some((TimeBelief::Measured { candidates }, tried)));
    }
    let name = part.text("model")?;
    let (Some(name), Some(a), Some(c)) = (name, overhead, per_example) else { return Ok(None) };
    let model = match name {
        "sum" => TimeModel::Sum,
        "max" => TimeModel::Max,
        "overlap" => TimeModel::Overlap { gamma: gamma(part)? },
        "quantised" | "two_slopes" | "curve" => {
            let allowed = "this model needs `points`: a list of {\"batch\": ..., \"seconds\": ...}";
            return Err(part.wrong(
                "points",
                format!("the model is `{name}` and there are no points"),
                allowed,
            ));
        }
        other => {
            let allowed = "sum, max, overlap, quantised, two_slopes or curve is allowed";
            return Err(part.wrong("model", format!("found the text `{other}`"), allowed));
        }
    };
    if a <= 0.0 && c <= 0.0 {
        return Err(part.wrong(
            "seconds_per_example",
            "a step that takes no time",
            "one of the two must be above 0",
        ));
    }
    let ridge = if c > 0.0 { a / c } else { f64::INFINITY };
    let middle = critical.map_or(ridge, |b| time_optimal_batch(a, c, b.median));
    // Where a step takes as long whatever its batch, only the steps saved say how far it is worth to look.
    let needed = critical.map_or(4096.0, |b| 64.0 * b.median);
    let reach = if ridge.is_finite() { 16.0 * ridge } else { needed };
    let largest = [reach, 8.0 * middle, 16.0].into_iter().filter(|v| v.is_finite()).fold(16.0, f64::max);
    let batches = powers_of_two(1, largest.min(1e9) as u64);
    notes.push(
        "The answer about speed holds no measured points, so the model is believed as it stands, at any batch size.".to_owned(),
    );
    let draw = TimeDraw { model, overhead_seconds: a, seconds_per_example: c };
    Ok(Some((TimeBelief::Model { batches, draws: vec![draw] }, None)))
}

fn gamma(part: &Part) -> Result<f64, FitError> {
    let allowed = "the model `overlap` needs a number between 1 and 10";
    let gamma = match part.stored::<Value>("gamma")? {
        Some(Value::Number(n)) => n.as_f64(),
        Some(Value::Object(keys)) => keys.get("value").and_then(Value::as_f64),
        _ => None,
    };
    match gamma.filter(|g| (1.0..=10.0).contains(g)) {
        Some(gamma) => Ok(gamma),
        None => Err(part.wrong("gamma", "no such number", allowed)),
    }
}

/// The measured points, each with its error.
fn candidates(part: &Part) -> Result<Vec<Candidate>, FitError> {
    let between = part.not_negative("between_batches")?.unwrap_or(0.0);
    let mut candidates: Vec<Candidate> = Vec::new();
    for (i, point) in part.list("points")?.unwrap_or_default().iter().enumerate() {
        let place = format!("points[{i}]");
        let number = |key: &str| point.get(key).and_then(Value::as_f64).filter(|v| v.is_finite() && *v > 0.0);
        let (Some(batch), Some(seconds)) = (number("batch"), number("seconds")) else {
            return Err(part.wrong(
                &place,
                format!("found {}", type_of(point)),
                "an object with `batch` and `seconds` above 0 is needed",
            ));
        };
        if batch.fract() != 0.0 || 1e15 < batch {
            return Err(part.wrong(&place, format!("batch {batch}"), "a whole number is needed"));
        }
        let batch = batch as u64;
        if candidates.iter().any(|c| c.batch == batch) {
            return Err(part.wrong(&place, format!("batch {batch} again"), "each batch size stands once"));
        }
        let own = number("spread").unwrap_or(0.0) / seconds;
        candidates.push(Candidate { batch, seconds, relative_error: own.hypot(between).clamp(0.0, 1.0) });
    }
    Ok(candidates)
}

/// The largest micro-batch that surely fits, in `bytes` less the margin; `None` where not even one example does.
pub(super) fn largest_micro_batch(part: &Part, bytes: u64) -> Result<Option<Option<u64>>, FitError> {
    let free = (bytes as f64 * (1.0 - MARGIN)) as u64;
    let (fixed, slope) = (part.number("fixed_bytes")?, part.not_negative("bytes_per_example")?);
    if let Some(points) = part.stored::<Vec<MemoryPoint>>("points")? {
        let fit = fit_memory(&points);
        let too_large = part.stored::<u64>("did_not_fit")?;
        return fit.map(|fit| Some(sure_batch(&fit, free, too_large))).map_err(|error| {
            part.wrong("points", error.to_string(), "the peaks of a line that grows are needed")
        });
    }
    let (Some(fixed), Some(slope)) = (fixed, slope.filter(|slope| *slope > 0.0)) else { return Ok(None) };
    let band = match part.stored::<Value>("upper_band")? {
        None => UpperBand { relative: 0.05, grain_bytes: 0.0 },
        Some(Value::Number(n)) => UpperBand { relative: n.as_f64().unwrap_or(-1.0), grain_bytes: 0.0 },
        Some(_) => {
            part.stored::<UpperBand>("upper_band")?.unwrap_or(UpperBand { relative: -1.0, grain_bytes: 0.0 })
        }
    };
    if !(0.0..=10.0).contains(&band.relative) || !(0.0..=1e18).contains(&band.grain_bytes) {
        let allowed = "a share such as 0.05, or {\"relative\": 0.05, \"grain_bytes\": 2097152}, is needed";
        return Err(part.wrong("upper_band", "it is out of range", allowed));
    }
    // The line as two points, the second one beyond the limit, so that the band is that of the measured range.
    let at = |batch: u64| MemoryPoint {
        batch,
        peak_bytes: (fixed + slope * batch as f64).clamp(0.0, 1e18) as u64,
    };
    let beyond = ((free as f64 - fixed) / slope).clamp(1.0, 1e12).ceil() as u64 + 1;
    let fit = MemoryFit {
        fixed_bytes: fixed,
        bytes_per_example: slope,
        segment_from: 1,
        points: vec![at(1), at(beyond)],
        misfit: 0.0,
        band: band.relative,
        grain_bytes: band.grain_bytes,
        upper_bytes_per_example: slope,
    };
    Ok(Some(fit.largest_batch(free)))
}

/// A learning rate for a batch size, and how it came about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Rate {
    pub(super) batch: u64,
    pub(super) lr: f64,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
    pub(super) extrapolated: bool,
    pub(super) how: String,
}

/// The best learning rate at a batch size, by what the ridge says.
pub(super) fn learning_rate(part: &Part, batch: u64) -> Result<Option<Rate>, FitError> {
    let exponent = part.number("exponent")?;
    let mut tried: Vec<Rate> = Vec::new();
    for (i, best) in part.list("best")?.unwrap_or_default().iter().enumerate() {
        let place = format!("best[{i}]");
        let number = |key: &str| best.get(key).and_then(Value::as_f64).filter(|v| v.is_finite() && *v > 0.0);
        let Some(at) = number("batch").filter(|b| b.fract() == 0.0) else {
            return Err(part.wrong(
                &place,
                format!("found {}", type_of(best)),
                "an object with a whole `batch` is needed",
            ));
        };
        // At the edge of its grid the best is not known.
        let at_edge = best.get("at_edge").and_then(Value::as_bool).unwrap_or(false);
        if let (Some(lr), false) = (number("lr"), at_edge) {
            let (low, high) = (number("low"), number("high"));
            tried.push(Rate {
                batch: at as u64,
                lr,
                low,
                high,
                extrapolated: false,
                how: "tuned at this batch size".to_owned(),
            });
        }
    }
    if let Some(rate) = tried.iter().find(|rate| rate.batch == batch) {
        return Ok(Some(rate.clone()));
    }
    if let Some(runs) = part.stored::<Vec<RidgePoint>>("runs")? {
        let goal = part.stored::<Goal>("goal")?.unwrap_or(Goal::Loss);
        let fit = fit_ridge(&runs, &Options { goal, ..Options::default() });
        let fit =
            fit.map_err(|error| part.wrong("runs", error.to_string(), "the runs of a grid are needed"))?;
        let transfer = fit.at(batch);
        if let Some(lr) = transfer.learning_rate.value() {
            let (low, high) = (transfer.learning_rate.low(), transfer.learning_rate.high());
            let how = "by the laws that agree with the best learning rates".to_owned();
            return Ok(Some(Rate { batch, lr, low, high, extrapolated: transfer.extrapolated, how }));
        }
    }
    let distance = |rate: &Rate| (rate.batch as f64 / batch as f64).ln().abs();
    let Some(nearest) = tried.iter().min_by(|a, b| distance(a).total_cmp(&distance(b))) else {
        return Ok(None);
    };
    let Some(p) = exponent else { return Ok(None) };
    let ends = (tried.iter().map(|r| r.batch).min(), tried.iter().map(|r| r.batch).max());
    let extrapolated = ends.0.is_none_or(|low| batch < low) || ends.1.is_none_or(|high| high < batch);
    Ok(follow_power(nearest.lr, nearest.batch as f64, batch as f64, p).map(|lr| Rate {
        batch,
        lr,
        low: None,
        high: None,
        extrapolated,
        how: format!("from batch {} by the exponent {p:.2}", nearest.batch),
    }))
}

/// Grade of the belief about B_c, for a decision that must not look surer than it.
pub(super) fn critical_grade(combined: &Combined, parts: &Parts) -> Result<Option<Grade>, FitError> {
    let mut grade = combined.grade;
    if let Some(part) = &parts.noise
        && part.text("grade")? == Some("approximate")
        && grade == Grade::Measured
        && parts.tradeoff.is_none()
    {
        grade = Grade::Approximate;
    }
    Ok(Some(grade))
}
