//! What can be said beside the measurements.

use batchwise_estimate::critical::{Calibration, Task};
use batchwise_estimate::tradeoff::Tuning;
use batchwise_estimate::unit::Unit;

/// What can be said beside the measurements.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Two-sided confidence of every interval.
    pub confidence: f64,
    /// Seed of the resampling and of the draws.
    pub seed: u64,
    /// Unit of the times or of the memory, where the header does not say.
    pub column_unit: Option<String>,
    /// What a batch size counts.
    pub example: Unit,
    /// Examples in the training set.
    pub dataset_examples: Option<u64>,
    /// Whether the gradient of the training set is meant, not that of the population it comes from.
    pub of_training_set: bool,
    /// Bytes that training may take on one device.
    pub memory_limit: Option<u64>,
    /// Steps between evaluations (examples, where a file counts those).
    pub evaluation_period: Option<f64>,
    /// How the learning rate was chosen at each batch size of a trade-off.
    pub tuning: Tuning,
    /// Whether a picture is wanted too.
    pub picture: bool,
    /// Which published runs turn a noise scale into a critical batch size.
    pub calibration: Calibration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            confidence: 0.95,
            seed: 1,
            column_unit: None,
            example: Unit::Example,
            dataset_examples: None,
            of_training_set: false,
            memory_limit: None,
            evaluation_period: None,
            tuning: Tuning::Tuned,
            picture: false,
            calibration: Calibration::Prior { task: Task::Supervised },
        }
    }
}

impl Settings {
    /// The plural of what a batch size counts.
    pub(super) fn examples(&self) -> String {
        let name = self.example.name();
        if name.ends_with('s') { name.to_owned() } else { format!("{name}s") }
    }

    /// The confidence as it is said: `95 %`.
    pub(super) fn percent(&self) -> String {
        crate::report::text::percent(self.confidence)
    }
}
