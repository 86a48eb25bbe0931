//! When a checkpoint is due.

use super::CheckpointError;

/// Every so many examples, every so many seconds, or both; it reads no clock.
///
/// ```
/// use batchwise_train::checkpoint::Period;
///
/// let period = Period::new(Some(1000), Some(60.0))?;
/// assert!(!period.due(900, 999, 1.5));
/// assert!(period.due(999, 1031, 1.5)); // crosses 1000
/// assert!(!period.due(1031, 1063, 1.5));
/// assert!(period.due(1063, 1095, 60.0));
/// # Ok::<(), batchwise_train::checkpoint::CheckpointError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Period {
    examples: Option<u64>,
    seconds: Option<f64>,
}

impl Period {
    /// Never due where both are `None`.
    ///
    /// # Errors
    /// 0 examples; seconds that are not finite and above 0.
    pub fn new(examples: Option<u64>, seconds: Option<f64>) -> Result<Self, CheckpointError> {
        let refused = |name, found, allowed| Err(CheckpointError::Config { name, found, allowed });
        match (examples, seconds) {
            (Some(0), _) => refused("the examples between checkpoints", "0".to_owned(), "at least 1"),
            (_, Some(seconds)) if !(seconds.is_finite() && 0.0 < seconds) => {
                refused("the seconds between checkpoints", seconds.to_string(), "finite and above 0")
            }
            _ => Ok(Self { examples, seconds }),
        }
    }

    /// Examples between checkpoints.
    pub fn examples(&self) -> Option<u64> {
        self.examples
    }

    /// Seconds between checkpoints.
    pub fn seconds(&self) -> Option<f64> {
        self.seconds
    }

    /// Whether one is due after a step that took the run from `before` to `after` examples, `seconds` after the last
    /// checkpoint (or the start). The boundaries are the multiples of the period, whatever the steps: each is crossed by one
    /// step, and a step that crosses several is due once.
    pub fn due(&self, before: u64, after: u64, seconds: f64) -> bool {
        let crosses = self.examples.is_some_and(|period| before / period.max(1) < after / period.max(1));
        crosses || self.seconds.is_some_and(|period| period <= seconds)
    }
}
