//! When something periodic is due, by the clock of examples.

use crate::TrainError;
use batchwise_schedule::{Length, RunLength};

/// Moments that come again after the same length of training, whatever the batch size.
///
/// The k-th moment is k lengths after the start, rounded to a whole example: half an epoch of 101 examples is due at 51,
/// 101, 152, 202. It falls due with the first step that ends at or behind it. There is no state: what is due is a function
/// of where a step starts and ends, so a run that resumes skips and repeats nothing.
///
/// ```
/// use batchwise_schedule::{Examples, Length, RunLength};
/// use batchwise_train::period::Every;
///
/// let run = RunLength { dataset_size: Some(101), ..RunLength::of(Examples(1000)) };
/// let every = Every::new(Length::Epochs(0.5), &run)?;
/// assert_eq!(every.between(0, 50), 0);
/// assert_eq!(every.between(50, 51), 1);
/// assert_eq!(every.between(51, 202), 3); // 101, 152, 202
/// assert_eq!(every.next(51), Some(101));
/// # Ok::<(), batchwise_train::TrainError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Every {
    /// Examples from one moment to the next, at least 1; not whole where an epoch's part is not.
    period: Examples64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Examples64 {
    Whole(u64),
    Part(f64),
}

impl Every {
    /// Moments `length` apart.
    ///
    /// # Errors
    /// A length that cannot be told in examples, or is less than one example.
    pub fn new(length: Length, run: &RunLength) -> Result<Self, TrainError> {
        let bad = |found: String| TrainError::Config {
            name: "the period",
            found,
            allowed: "a length of at least 1 example that the run can tell",
        };
        let whole = length.resolve(run).map_err(|error| bad(error.to_string()))?;
        let exact = match length {
            Length::Epochs(epochs) => run.dataset_size.map(|size| epochs * size as f64),
            Length::Fraction(share) => Some(share * run.total.0 as f64),
            Length::Tokens(tokens) => run.tokens_per_example.map(|each| tokens as f64 / each),
            Length::Examples(_) => None,
        };
        let is_long = exact.map_or(1 <= whole.0, |exact| 1.0 <= exact);
        if !is_long {
            return Err(bad(length.to_string()));
        }
        Ok(Self {
            period: match exact {
                // Counted in whole numbers where possible: those are exact beyond 2^53, too.
                Some(exact) if exact != whole.0 as f64 => Examples64::Part(exact),
                _ => Examples64::Whole(whole.0.max(1)),
            },
        })
    }

    /// How many moments lie behind `start` and at or before `end`.
    #[must_use]
    pub fn between(&self, start: u64, end: u64) -> u64 {
        self.until(end).saturating_sub(self.until(start))
    }

    /// Whether a step from `start` to `end` reaches a moment, or the end of the run at `total`, which is always one.
    #[must_use]
    pub fn is_due(&self, start: u64, end: u64, total: u64) -> bool {
        0 < self.between(start, end) || start < total && total <= end
    }

    /// The first moment behind `progress`; `None` beyond the largest number.
    #[must_use]
    pub fn next(&self, progress: u64) -> Option<u64> {
        let moment = self.moment(self.until(progress).checked_add(1)?);
        moment.filter(|moment| progress < *moment)
    }

    /// The k-th moment.
    fn moment(&self, k: u64) -> Option<u64> {
        match self.period {
            Examples64::Whole(period) => period.checked_mul(k),
            Examples64::Part(period) => {
                let moment = (period * k as f64).round();
                (moment < u64::MAX as f64).then_some(moment as u64)
            }
        }
    }

    /// How many moments lie at or before `progress`.
    fn until(&self, progress: u64) -> u64 {
        match self.period {
            Examples64::Whole(period) => progress / period,
            Examples64::Part(period) => {
                // Rounding moves a moment by half an example at most, which is less than the period.
                let about = (progress as f64 / period) as u64;
                let is_due = |k: u64| self.moment(k).is_some_and(|moment| moment <= progress);
                let candidates = [about.saturating_add(1), about, about.saturating_sub(1)];
                candidates.into_iter().find(|k| is_due(*k)).unwrap_or(0)
            }
        }
    }
}
