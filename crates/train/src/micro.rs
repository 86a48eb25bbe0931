//! How large a micro-batch may be, and how that follows the device's memory.

use serde::{Deserialize, Serialize};

/// Good steps before a micro-batch that was made smaller is made larger again, unless the caller says otherwise. An
/// attempt that fails costs at most the time of one step, so trying costs at most 1 % at first, and less later.
pub const PATIENCE: u64 = 100;

/// The size of the micro-batch: as large as memory allows, and nothing else depends on it.
///
/// When a step runs out of memory the size is halved and the caller repeats the batch. After [`MicroBatch::patience`]
/// good steps at the smaller size it is doubled again, never above the first size. An attempt to grow that fails
/// doubles the patience, so that in n steps at most log₂(n/patience + 1) attempts fail, however long the memory stays
/// short. The sizes are a pure function of the events.
///
/// (Composer also halves and repeats the batch, but never grows back.)
///
/// ```
/// use batchwise_train::MicroBatch;
///
/// let mut micro = MicroBatch::new(64, 2)?;
/// assert_eq!(micro.on_out_of_memory(64)?, 32);
/// micro.on_good_step(32);
/// micro.on_good_step(32);
/// assert_eq!(micro.size(), 64);
/// # Ok::<(), batchwise_train::MicroBatchError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "State")]
pub struct MicroBatch {
    first: u64,
    size: u64,
    patience: u64,
    /// Steps at this size since it was set.
    good: u64,
    /// Whether this size came from growing.
    has_grown: bool,
}

/// Why there is no micro-batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MicroBatchError {
    /// A size or a patience of 0.
    #[error("{name} is 0, but must be at least 1")]
    Zero {
        /// Which setting.
        name: &'static str,
    },
    /// One example is predicted to take more than the limit.
    #[error(
        "a micro-batch of 1 is predicted to take up to {needed_bytes} bytes, but {limit_bytes} are allowed: allow more memory or take a smaller model"
    )]
    OverLimit {
        /// The upper band at a micro-batch of 1.
        needed_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// One example ran out of memory.
    #[error(
        "a micro-batch of 1 ran out of memory: nothing smaller is left to try, take a smaller model or a device with more memory"
    )]
    Exhausted,
    /// A saved state that no run leaves.
    #[error("a micro-batch of {size} that started at {first}, but must be from 1 to where it started")]
    State {
        /// The size found.
        size: u64,
        /// The first size found.
        first: u64,
    },
}

impl MicroBatch {
    /// Starts at `first` examples; `patience` is how many good steps it takes to try a larger size again.
    ///
    /// # Errors
    /// [`MicroBatchError::Zero`].
    pub fn new(first: u64, patience: u64) -> Result<Self, MicroBatchError> {
        for (name, value) in [("the micro-batch size", first), ("the patience of the micro-batch", patience)]
        {
            if value == 0 {
                return Err(MicroBatchError::Zero { name });
            }
        }
        Ok(Self { first, size: first, patience, good: 0, has_grown: false })
    }

    /// Starts at the largest size up to `batch` whose predicted peak is within `limit_bytes`, with the patience
    /// [`PATIENCE`].
    ///
    /// `upper_bytes` is the upper band of the peak by micro-batch, such as
    /// `batchwise_estimate::memory::MemoryFit::upper`; it should not fall as the micro-batch grows. Where it does, the size
    /// found still fits, but a larger one may too. A prediction is no proof: a step that runs out of memory all the
    /// same shrinks the size.
    ///
    /// # Errors
    /// [`MicroBatchError::OverLimit`] if not even 1 fits, [`MicroBatchError::Zero`] for a batch of 0.
    ///
    /// ```
    /// use batchwise_train::MicroBatch;
    ///
    /// let upper_bytes = |batch: u64| 1e6 + 2e4 * batch as f64;
    /// assert_eq!(MicroBatch::within(2_000_000, 256, upper_bytes)?.size(), 50);
    /// assert!(MicroBatch::within(1_000_000, 256, upper_bytes).is_err());
    /// # Ok::<(), batchwise_train::MicroBatchError>(())
    /// ```
    pub fn within(
        limit_bytes: u64,
        batch: u64,
        upper_bytes: impl Fn(u64) -> f64,
    ) -> Result<Self, MicroBatchError> {
        // A prediction that is not a number fits nowhere.
        let fits = |size: u64| upper_bytes(size) <= limit_bytes as f64;
        if batch == 0 {
            return Err(MicroBatchError::Zero { name: "the batch size" });
        }
        if !fits(1) {
            return Err(MicroBatchError::OverLimit { needed_bytes: upper_bytes(1) as u64, limit_bytes });
        }
        let (mut good, mut bad) = (1, batch.saturating_add(1));
        if fits(batch) {
            good = batch;
        }
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            if fits(middle) { good = middle } else { bad = middle }
        }
        Self::new(good, PATIENCE)
    }

    /// Examples of a micro-batch now.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The size it started with and never exceeds.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// Good steps at a smaller size before a larger one is tried; grows where that fails.
    pub fn patience(&self) -> u64 {
        self.patience
    }

    /// A step is done whose largest micro-batch had `used` examples; a step that used less than the size says nothing
    /// about it.
    pub fn on_good_step(&mut self, used: u64) {
        if used < self.size || self.size == self.first {
            return;
        }
        self.good = self.good.saturating_add(1);
        if self.patience <= self.good {
            self.size = self.size.saturating_mul(2).min(self.first);
            (self.good, self.has_grown) = (0, true);
        }
    }

    /// A step has run out of memory whose largest micro-batch had `used` examples. Returns the size to repeat it with.
    ///
    /// # Errors
    /// [`MicroBatchError::Exhausted`] if that was a single example.
    pub fn on_out_of_memory(&mut self, used: u64) -> Result<u64, MicroBatchError> {
        let failed = used.min(self.size);
        if failed <= 1 {
            return Err(MicroBatchError::Exhausted);
        }
        if self.has_grown {
            self.patience = self.patience.saturating_mul(2);
        }
        (self.size, self.good, self.has_grown) = (failed / 2, 0, false);
        Ok(self.size)
    }
}

/// [`MicroBatch`] as it is written, before it is checked.
#[derive(Deserialize)]
struct State {
    first: u64,
    size: u64,
    patience: u64,
    good: u64,
    has_grown: bool,
}

impl TryFrom<State> for MicroBatch {
    type Error = MicroBatchError;

    fn try_from(state: State) -> Result<Self, MicroBatchError> {
        let State { first, size, patience, good, has_grown } = state;
        if !(1..=first).contains(&size) {
            return Err(MicroBatchError::State { size, first });
        }
        Ok(Self { size, good, has_grown, ..Self::new(first, patience)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_state_that_no_run_leaves_is_refused() {
        let state = |first, size| State { first, size, patience: 2, good: 1, has_grown: true };
        let micro = MicroBatch::try_from(state(8, 2)).unwrap();
        assert_eq!((micro.first(), micro.size(), micro.good), (8, 2, 1));
        for (first, size) in [(8, 0), (8, 9), (0, 0)] {
            assert_eq!(MicroBatch::try_from(state(first, size)), Err(MicroBatchError::State { size, first }));
        }
        assert!(MicroBatch::try_from(State { patience: 0, ..state(8, 2) }).is_err());
    }
}
