//! Batch sizes and learning rates of a plan.

use super::checked::{Rates, Rule};
use super::error::KeyProblem;
use super::file::{BatchFile, LrFile};

/// Values of one kind at most.
const MOST: usize = 1000;

/// The batch sizes, ascending.
pub(super) fn batches(file: &BatchFile) -> Result<Vec<u64>, KeyProblem> {
    let values = match (&file.values, file.from, file.to) {
        (Some(values), None, None) if file.factor.is_none() => values.clone(),
        (None, Some(from), Some(to)) => {
            let factor = factor("batch.factor", file.factor)?;
            if from == 0 || to < from {
                return Err(KeyProblem::new(
                    "batch.from",
                    format!("{from} to {to} is no range: 1 <= from <= to"),
                ));
            }
            series(from as f64, to as f64, factor).into_iter().map(|x| x.round() as u64).collect()
        }
        _ => return Err(KeyProblem::new("batch", "give `values`, or `from` and `to` (and `factor`)")),
    };
    let mut sorted = values.clone();
    sorted.sort_unstable();
    sorted.dedup();
    match sorted.first() {
        None => Err(KeyProblem::new("batch.values", "there must be at least 1")),
        Some(0) => Err(KeyProblem::new("batch.values", "a batch has at least 1 example")),
        _ if file.values.is_some() && sorted.len() < values.len() => {
            Err(KeyProblem::new("batch.values", "a value stands twice"))
        }
        _ if MOST < sorted.len() => Err(KeyProblem::new("batch", format!("there are more than {MOST}"))),
        _ => Ok(sorted),
    }
}

/// The learning rates, and how they follow the batch size.
pub(super) fn rates(file: &LrFile, batches: &[u64]) -> Result<(Rates, Rule), KeyProblem> {
    let is_rate = |rate: &f64| rate.is_finite() && 0.0 < *rate;
    let wrong = |key: &str, rate: f64| {
        KeyProblem::new(
            format!("lr.{key}"),
            format!("{rate} is no learning rate: it must be finite and above 0"),
        )
    };
    let bracket_only = [("points", file.points), ("widenings", file.widenings)];
    let rates = match (&file.values, file.from, file.to, file.start) {
        (Some(values), None, None, None) if file.factor.is_none() => {
            if let Some(rate) = values.iter().find(|rate| !is_rate(rate)) {
                return Err(wrong("values", *rate));
            }
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            sorted.dedup();
            match sorted.len() {
                0 => return Err(KeyProblem::new("lr.values", "there must be at least 1")),
                n if n < values.len() => return Err(KeyProblem::new("lr.values", "a value stands twice")),
                n if MOST < n => {
                    return Err(KeyProblem::new("lr.values", format!("there are more than {MOST}")));
                }
                _ => Rates::Listed(sorted),
            }
        }
        (None, Some(from), Some(to), None) => {
            if !is_rate(&from) || !is_rate(&to) || to < from {
                return Err(KeyProblem::new(
                    "lr.from",
                    format!("{from} to {to} is no range: 0 < from <= to"),
                ));
            }
            Rates::Listed(series(from, to, factor("lr.factor", file.factor)?))
        }
        (None, None, None, Some(start)) => {
            if !is_rate(&start) {
                return Err(wrong("start", start));
            }
            let points = file.points.unwrap_or(3);
            if !(1..=MOST as u64).contains(&points) {
                return Err(KeyProblem::new("lr.points", format!("1 to {MOST} are allowed")));
            }
            let (factor, widenings) = (factor("lr.factor", file.factor)?, file.widenings.unwrap_or(12));
            Rates::Bracket { start, factor, points, widenings }
        }
        _ => {
            let problem = "give `values`; or `from` and `to` (and `factor`); or `start` (and `factor`, `points`) for a \
                           bracket that widens";
            return Err(KeyProblem::new("lr", problem));
        }
    };
    if !matches!(rates, Rates::Bracket { .. })
        && let Some((key, _)) = bracket_only.into_iter().find(|(_, value)| value.is_some())
    {
        return Err(KeyProblem::new(format!("lr.{key}"), "it belongs to a bracket, which `start` asks for"));
    }
    Ok((rates, rule(file, batches)?))
}

fn rule(file: &LrFile, batches: &[u64]) -> Result<Rule, KeyProblem> {
    let exponent = match (file.rule.as_deref(), file.exponent) {
        (None | Some("none"), None) => 0.0,
        (Some("sqrt"), None) => 0.5,
        (Some("linear"), None) => 1.0,
        (Some("power"), Some(exponent)) if (-2.0..=2.0).contains(&exponent) => exponent,
        (Some("power"), _) => {
            return Err(KeyProblem::new("lr.exponent", "the rule `power` needs one between -2 and 2"));
        }
        (_, Some(_)) => return Err(KeyProblem::new("lr.exponent", "it belongs to the rule `power`")),
        (Some(other), None) => {
            let problem = format!("`{other}` is no rule: `none`, `sqrt`, `linear` and `power` are allowed");
            return Err(KeyProblem::new("lr.rule", problem));
        }
    };
    match file.at_batch {
        Some(0) => Err(KeyProblem::new("lr.at_batch", "a batch has at least 1 example")),
        Some(_) if exponent == 0.0 => Err(KeyProblem::new(
            "lr.at_batch",
            "it belongs to a `rule` by which the learning rates follow the batch",
        )),
        // From the smallest batch size, where nothing is said.
        at_batch => {
            Ok(Rule { exponent, at_batch: at_batch.unwrap_or_else(|| batches.first().copied().unwrap_or(1)) })
        }
    }
}

fn factor(key: &str, factor: Option<f64>) -> Result<f64, KeyProblem> {
    match factor {
        None => Ok(2.0),
        Some(factor) if 1.0 < factor && factor.is_finite() => Ok(factor),
        Some(factor) => Err(KeyProblem::new(key, format!("{factor}: it must be above 1"))),
    }
}

/// From one end up to the other by a factor; the other end too, where the factor meets it.
fn series(from: f64, to: f64, factor: f64) -> Vec<f64> {
    let n = ((to / from).ln() / factor.ln() + 1e-9).floor().max(0.0) as usize;
    (0..=n.min(MOST)).map(|k| from * factor.powi(k as i32)).collect()
}
