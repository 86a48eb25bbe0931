//! What a run comes to, as `train.json` and on the screen.

use crate::cli::show;
use batchwise_estimate::fieller::{Ratio, fieller};
use batchwise_lab::bytes;
use batchwise_lab::probe::trial::{self, Stopped};
use batchwise_lab::provenance::Provenance;
use batchwise_lab::report::course;
use batchwise_train::observe::Record;
use batchwise_train::target::{Outcome, Reached};
use serde::Serialize;

/// What `train.json` holds.
#[derive(Debug, Serialize)]
pub(super) struct TrainResult {
    schema: u32,
    /// At the beginning.
    batch_size: u64,
    /// Over the run, as a text.
    batch_schedule: String,
    /// Each change of the batch size.
    changes: Vec<trial::BatchChange>,
    micro_batch: u64,
    /// The peak.
    learning_rate: f64,
    /// Over the run, as a text.
    learning_rate_schedule: String,
    examples: u64,
    steps: u64,
    /// Of training, without evaluations and checkpoints.
    seconds: f64,
    train_loss: Option<f64>,
    test_loss: Option<f64>,
    test_loss_error: Option<f64>,
    test_accuracy: Option<f64>,
    test_accuracy_error: Option<f64>,
    /// What was to be reached.
    target: Option<String>,
    /// When it was: null where it was not, or where there was no target.
    reached_target_at: Option<ReachedAt>,
    noise: Option<Noise>,
    pub(super) diverged: Option<String>,
    /// Why the run ended before its end, if in good order.
    pub(super) stopped: Option<Stopped>,
    /// Batches left out because their loss or gradient was not finite.
    skipped: u64,
    /// Examples that the run had when it went on from a checkpoint.
    resumed_at: Option<u64>,
    memory: Memory,
    weights_sha256: String,
    provenance: Provenance,
}

/// When a target was reached, interpolated between two evaluations, which bound it.
#[derive(Debug, Serialize)]
struct ReachedAt {
    examples: f64,
    steps: f64,
    seconds: f64,
    epochs: f64,
    /// At the evaluation before and at the one that reached it.
    between: Reached,
}

/// The noise scale over the second half of the run.
#[derive(Debug, Serialize)]
struct Noise {
    /// In examples, with its interval.
    phi: Ratio,
    readings: u64,
}

#[derive(Debug, Serialize)]
struct Memory {
    /// Most bytes that training took at once, beside the data set.
    peak_bytes: Option<u64>,
    /// What the data set holds itself.
    data_bytes: u64,
    /// What was allowed, if the user said.
    limit_bytes: Option<u64>,
}

impl TrainResult {
    pub(super) fn new(
        request: &trial::Request,
        outcome: trial::Outcome,
        lines: &[Record],
        data_bytes: u64,
        provenance: Provenance,
    ) -> Self {
        let course = request.course.as_ref();
        let reached = match &outcome.target {
            Some(Outcome::Reached(reached)) => Some(reached),
            _ => None,
        };
        Self {
            schema: batchwise_lab::advice::SCHEMA,
            batch_size: request.batch,
            batch_schedule: course.map_or_else(|| request.batch.to_string(), |c| c.batch.to_string()),
            changes: outcome.changes,
            micro_batch: request.micro_batch,
            learning_rate: request.learning_rate,
            learning_rate_schedule: course.map_or_else(String::new, |c| c.lr.to_string()),
            examples: outcome.examples,
            steps: outcome.steps,
            seconds: outcome.seconds,
            train_loss: outcome.train_loss,
            test_loss: outcome.test_loss,
            test_loss_error: outcome.test_loss_error,
            test_accuracy: outcome.test_accuracy,
            test_accuracy_error: outcome.test_accuracy_error,
            target: request.keep.as_ref().and_then(|keep| keep.until).map(|until| until.to_string()),
            reached_target_at: reached.map(|reached| ReachedAt {
                examples: reached.examples.value,
                steps: reached.steps.value,
                seconds: reached.seconds.value,
                epochs: reached.epochs.value,
                between: *reached,
            }),
            noise: noise(lines),
            diverged: outcome.diverged,
            stopped: outcome.stopped,
            skipped: outcome.skipped,
            resumed_at: outcome.resumed_at,
            memory: Memory { peak_bytes: outcome.peak_bytes, data_bytes, limit_bytes: request.limit_bytes },
            weights_sha256: outcome.weights_sha256,
            provenance,
        }
    }

    /// The run as a picture.
    pub(super) fn drawn(&self, lines: &[Record]) -> course::Course {
        let point = |line: &Record| course::Point {
            examples: line.examples as f64,
            batch: line.batch_size as f64,
            learning_rate: line.learning_rate,
            phi: line.phi.clone(),
        };
        let title = format!("lr {}, batch {}", self.learning_rate_schedule, self.batch_schedule);
        course::Course { title, points: lines.iter().map(point).collect() }
    }

    /// The result as a person reads it.
    pub(super) fn print(&self) {
        print(self);
    }
}

/// φ from the lines of the second half, each taken as one measurement.
fn noise(lines: &[Record]) -> Option<Noise> {
    let half = &lines[lines.len() / 2..];
    let read = half.iter().filter(|line| 0 < line.n_readings);
    let mean = |sum: Option<f64>, line: &Record| sum.map(|sum| sum / line.n_readings as f64);
    let (tr_sigma, g2): (Vec<f64>, Vec<f64>) =
        read.clone().filter_map(|line| mean(line.tr_sigma, line).zip(mean(line.g2, line))).unzip();
    let readings = read.map(|line| line.n_readings).sum();
    (0 < readings).then(|| Noise { phi: fieller(&tr_sigma, &g2, 0.95), readings })
}

fn print(result: &TrainResult) {
    let known =
        |value: Option<f64>, digits: usize| value.map_or("–".to_owned(), |v| format!("{v:.digits$}"));
    let percent = |value: Option<f64>| known(value.map(|value| 100.0 * value), 2);
    let mut rows = vec![
        ("examples", format!("{} in {} steps of {}", result.examples, result.steps, result.batch_schedule)),
        ("micro-batch", result.micro_batch.to_string()),
        ("learning rate", result.learning_rate_schedule.clone()),
        (
            "time",
            format!(
                "{:.1} s, {:.0} examples/s",
                result.seconds,
                result.examples as f64 / result.seconds.max(1e-9)
            ),
        ),
        ("train loss", known(result.train_loss, 4)),
        ("test loss", format!("{} ± {}", known(result.test_loss, 4), known(result.test_loss_error, 4))),
        ("peak memory", result.memory.peak_bytes.map_or("–".to_owned(), bytes::human)),
        ("weights", result.weights_sha256.clone()),
    ];
    if result.test_accuracy.is_some() {
        let text = format!("{} ± {} %", percent(result.test_accuracy), percent(result.test_accuracy_error));
        rows.insert(6, ("test accuracy", text));
    }
    if !result.changes.is_empty() {
        rows.insert(1, ("batch", sizes(result)));
    }
    if let Some(target) = &result.target {
        let when = result.reached_target_at.as_ref().map_or("not reached".to_owned(), |at| {
            let between = &at.between.examples;
            format!(
                "after {:.0} examples ({:.0} to {:.0}), {:.0} steps, {:.1} s",
                at.examples, between.low, between.high, at.steps, at.seconds
            )
        });
        rows.push(("target", format!("{target}: {when}")));
    }
    if let Some(noise) = &result.noise {
        let phi = match &noise.phi {
            Ratio::Measured { value, low, high } => format!("{value:.0} examples ({low:.0} to {high:.0})"),
            Ratio::LowerBound { low } => format!("at least {low:.0} examples"),
            Ratio::WholeLine | Ratio::NotIdentified { .. } => "not identified".to_owned(),
        };
        rows.push(("noise scale φ", format!("{phi}, second half, {} readings", noise.readings)));
    }
    if 0 < result.skipped {
        rows.push(("left out", format!("{} batches that were not finite", result.skipped)));
    }
    for (name, value) in rows {
        show::line(&format!("{name:>20}  {value}"));
    }
}

/// The sizes a run went through, at most a dozen.
fn sizes(result: &TrainResult) -> String {
    let most = 12;
    let shown = result.changes.iter().take(most).map(|c| {
        let part = 100.0 * c.examples as f64 / result.examples.max(1) as f64;
        format!(" → {} at {part:.0} %", c.after)
    });
    let more = result.changes.len().saturating_sub(most);
    let rest = if 0 < more { format!(" and {more} more changes") } else { String::new() };
    format!("{}{}{rest}", result.batch_size, shown.collect::<String>())
}
