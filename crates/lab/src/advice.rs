//! The answer, as it is written to `advice.json` and shown in the report.
//!
//! Numbers that may be unknown are `Option`s and appear as `null`; nothing here is ever NaN.

use crate::provenance::Provenance;
use batchwise_estimate::critical::CriticalBatch;
pub use batchwise_estimate::decide::Binding;
use batchwise_estimate::decide::TimeBand;
use batchwise_estimate::fieller::Ratio;
use batchwise_estimate::grade::Grade;
pub use batchwise_estimate::memory::MemoryPoint;
use batchwise_estimate::ridge::{BestLr, LrPoint};
use batchwise_estimate::time::{StepTime, TimePoint};
use serde::{Deserialize, Serialize};

/// Version of the layout of `advice.json`; it rises when a field changes its meaning or goes.
pub const SCHEMA: u32 = 1;

/// The recommendation with its interval, evidence grade and reasons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Advice {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Examples of one optimizer step.
    pub batch_size: u64,
    /// Examples of one forward and backward pass.
    pub micro_batch: u64,
    /// Micro-batches of one batch.
    pub accumulation_steps: u64,
    /// Peak learning rate of warmup and cosine at `batch_size`.
    pub learning_rate: f64,
    /// How the learning rate came about.
    pub learning_rate_rule: String,
    /// Smallest and largest batch size that are as good, within 5 % of expected time to target.
    pub equivalent_batch_sizes: [u64; 2],
    /// Expected regret of `batch_size`: the share of the time to target that is lost, on average over all that is uncertain.
    #[serde(default)]
    pub expected_regret: f64,
    /// What keeps the batch from being larger.
    pub binding: Binding,
    /// How far the answer may be trusted.
    pub grade: Grade,
    /// Why, in sentences.
    pub reasons: Vec<String>,
    /// What to measure next to be surer.
    pub next_measurement: String,
    /// What training takes in memory.
    pub memory: MemoryAdvice,
    /// What a step takes in time.
    pub speed: SpeedAdvice,
    /// Gradient noise over a short training.
    pub noise: NoiseAdvice,
    /// The search for a learning rate at the anchor batch.
    pub learning_rate_search: LearningRateSearch,
    /// Expected time to a target, by batch size.
    pub time_to_target: TimeToTarget,
    /// Short trainings at the advised setting, and at half and twice the batch.
    pub confirmation: Vec<Confirmation>,
    /// Where all this comes from.
    pub provenance: Provenance,
}

/// Peak memory of a training step by size of the micro-batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemoryAdvice {
    /// What was measured, in the mode advised (`accumulating` or not).
    pub points: Vec<MemoryPoint>,
    /// Whether the points are of steps that accumulate several micro-batches.
    pub accumulating: bool,
    /// Bytes at a micro-batch of 0, by the line through the top segment.
    pub fixed_bytes: u64,
    /// Bytes each example of a micro-batch adds on the top segment.
    pub bytes_per_example: f64,
    /// Prediction at the advised micro-batch.
    pub predicted_peak_bytes: u64,
    /// Upper end of the prediction.
    pub predicted_upper_bytes: u64,
    /// What a run at the advised setting took.
    pub verified_peak_bytes: u64,
    /// What training may take.
    pub limit_bytes: u64,
    /// Whether the limit was asked for (`--memory`) or is what the machine had free.
    pub limit_is_given: bool,
    /// What the data set itself holds in the host's memory; not part of the other figures.
    pub data_bytes: u64,
    /// The smallest micro-batch that was tried and did not fit, if any.
    pub does_not_fit: Option<u64>,
}

/// Time of a step by batch size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpeedAdvice {
    /// What was measured.
    pub points: Vec<SpeedPoint>,
    /// The shape of t(B) that fits best: `sum` (a + cB), `max`, `overlap`, `quantised`, `two_slopes`, or `measured` where
    /// none fits.
    pub model: String,
    /// Exponent of the overlap model.
    pub gamma: Option<f64>,
    /// The fitted time of a step, or the curve through what was measured.
    #[serde(default)]
    pub step_time: Option<StepTime>,
    /// a: time of a step that does not depend on the batch.
    pub overhead_seconds: f64,
    /// c: time each example adds.
    pub seconds_per_example: f64,
    /// Largest relative distance of a measurement from the model.
    pub misfit: f64,
    /// Batch size at which `knee_efficiency` of the peak throughput is reached.
    pub knee: f64,
    /// The share of the peak throughput that defines the knee.
    pub knee_efficiency: f64,
}

/// Time of one step at one batch size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SpeedPoint {
    /// Examples of the step.
    pub batch: u64,
    /// Micro-batch it was taken in.
    pub micro_batch: u64,
    /// Median time of a step.
    pub seconds: f64,
    /// Standard error of the median.
    pub spread: f64,
    /// How many steps were timed.
    pub n_steps: u64,
    /// Share of the time spent waiting for data.
    pub data_wait: f64,
}

impl SpeedPoint {
    /// As a measurement for the fits of step times.
    #[must_use]
    pub fn time_point(&self) -> TimePoint {
        TimePoint { batch: self.batch as f64, seconds: self.seconds, spread: self.spread }
    }
}

/// The gradient noise scale over a short training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoiseAdvice {
    /// What φ counts: `examples`, or `sequences` where an example is one.
    pub unit: String,
    /// Confidence of the intervals.
    pub confidence: f64,
    /// Batch size of the short training.
    pub anchor_batch: u64,
    /// Its learning rate.
    pub learning_rate: f64,
    /// One measurement series at each of several moments.
    pub points: Vec<NoisePoint>,
    /// φ averaged over the training.
    pub average: Ratio,
    /// The critical batch size that follows, with its wide interval.
    pub critical_batch: Option<CriticalBatch>,
}

/// φ at one moment of the training, the parameters frozen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NoisePoint {
    /// Examples processed before.
    pub examples_seen: u64,
    /// 𝒢: unbiased estimate of ‖G‖², the squared norm of the true gradient.
    pub g2: f64,
    /// 𝒮: unbiased estimate of tr Σ, the variance of one example's gradient.
    pub tr_sigma: f64,
    /// φ = tr Σ/‖G‖², in examples; null where it is not identified.
    pub phi: Option<f64>,
    /// Lower end of the interval.
    pub low: Option<f64>,
    /// Upper end; null where there is none.
    pub high: Option<f64>,
    /// `measured`, `lower_bound`, `whole_line` or `not_identified`.
    pub grade: String,
    /// Measurements, each of `micro_batches` × `micro_batch` examples.
    pub n_measurements: u64,
    /// Micro-batches of one measurement.
    pub micro_batches: u64,
    /// Their size.
    pub micro_batch: u64,
    /// Mean training loss of the examples measured on.
    pub loss: f64,
    /// The same for each parameter alone.
    pub parameters: Vec<ParameterNoise>,
}

/// φ of one parameter's gradient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParameterNoise {
    /// Its name.
    pub name: String,
    /// 𝒢 of its part of the gradient.
    pub g2: f64,
    /// 𝒮 of its part.
    pub tr_sigma: f64,
    /// Their ratio with its interval.
    pub phi: Ratio,
}

/// The LR range test at the anchor batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LearningRateSearch {
    /// Batch size of all its trainings.
    pub anchor_batch: u64,
    /// Examples of each.
    pub examples: u64,
    /// Loss reached by learning rate; null where training diverged.
    pub points: Vec<LrPoint>,
    /// Where the best lies.
    pub best: BestLr,
}

/// Expected time to a target relative to the fastest batch, T(B) = t(B)(1 + B_c/B).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimeToTarget {
    /// Median and 90 % band for each batch size.
    pub bands: Vec<TimeBand>,
    /// Expected regret of each batch size against the best of each draw.
    pub regrets: Vec<(u64, f64)>,
    /// Batch size above which both time and examples grow.
    pub time_optimal: u64,
    /// √(aB_c/c), where the sum model of the step time holds.
    pub closed_form: Option<f64>,
}

/// One short training of the confirmation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Confirmation {
    /// Its batch size.
    pub batch: u64,
    /// Its peak learning rate, by the same rule.
    pub learning_rate: f64,
    /// Seed of initial weights and order.
    pub seed: u64,
    /// Examples processed, the same for all.
    pub examples: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Mean loss on a fixed part of the training set afterwards; null where training diverged.
    pub train_loss: Option<f64>,
    /// Mean loss on the test set.
    pub test_loss: Option<f64>,
    /// Standard error of that loss from the size of the test set alone.
    #[serde(default)]
    pub test_loss_error: Option<f64>,
    /// Share of the test set classified right, where targets are classes.
    pub test_accuracy: Option<f64>,
    /// Standard error of the accuracy from the size of the test set alone.
    pub test_accuracy_error: Option<f64>,
    /// Seconds of training, without evaluation.
    pub seconds: f64,
}

/// How a trained model did on the test set: what short trainings are compared by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Accuracy in 0 to 1, or loss.
    pub value: f64,
    /// Its standard error from the size of the test set alone; 0 where that is unknown.
    pub error: f64,
    /// Which of the two it is.
    pub is_accuracy: bool,
}

impl Confirmation {
    /// The accuracy where targets are classes, else the loss; `None` where training diverged.
    pub fn score(&self) -> Option<Score> {
        let known = |error: Option<f64>| error.filter(|e| e.is_finite() && 0.0 <= *e).unwrap_or(0.0);
        match (self.test_accuracy, self.test_loss) {
            (Some(value), _) => {
                Some(Score { value, error: known(self.test_accuracy_error), is_accuracy: true })
            }
            (None, Some(value)) => {
                Some(Score { value, error: known(self.test_loss_error), is_accuracy: false })
            }
            (None, None) => None,
        }
    }
}
