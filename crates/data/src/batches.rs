//! Cutting an order into batches, whose size may change at any step.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::{DataError, Order};

/// What happens at the end of an epoch where fewer examples are left than a batch holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LastBatch {
    /// A short batch: every example is seen once in every epoch.
    Keep,
    /// The rest is left out, and the next batch begins the next epoch. There is no batch larger than an epoch.
    Drop,
    /// The batch goes on into the next epoch: every batch is full, and no example is left out.
    Wrap,
}

/// The batches of an order from one position to another, as ranges of positions.
///
/// The state is one integer, [`Batches::position`]: batches made from there on, of any size, go on with the same
/// examples in the same order.
///
/// ```
/// use batchwise_data::{Batches, LastBatch, Order};
///
/// let order = Order::new(1, 10)?;
/// let ranges = |last| -> Result<Vec<_>, batchwise_data::DataError> {
///     Ok(Batches::new(&order, 0..20, 4, last)?.collect())
/// };
/// assert_eq!(ranges(LastBatch::Keep)?, [0..4, 4..8, 8..10, 10..14, 14..18, 18..20]);
/// assert_eq!(ranges(LastBatch::Drop)?, [0..4, 4..8, 10..14, 14..18]);
/// assert_eq!(ranges(LastBatch::Wrap)?, [0..4, 4..8, 8..12, 12..16, 16..20]);
/// # Ok::<(), batchwise_data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batches {
    epoch_len: u64,
    position: u64,
    end: u64,
    size: u64,
    last: LastBatch,
}

impl Batches {
    /// Batches of `size` examples over `positions`.
    ///
    /// # Errors
    ///
    /// [`DataError::Setting`] for a size of 0.
    pub fn new(
        order: &Order,
        positions: Range<u64>,
        size: u64,
        last: LastBatch,
    ) -> Result<Batches, DataError> {
        check_size(size)?;
        let Range { start: position, end } = positions;
        Ok(Batches { epoch_len: order.len(), position, end, size, last })
    }

    /// From now on batches have this size.
    ///
    /// # Errors
    ///
    /// [`DataError::Setting`] for a size of 0.
    pub fn set_size(&mut self, size: u64) -> Result<(), DataError> {
        check_size(size)?;
        self.size = size;
        Ok(())
    }

    /// The position of the next batch; with [`LastBatch::Drop`] it may still skip the rest of an epoch.
    pub fn position(&self) -> u64 {
        self.position
    }
}

impl Iterator for Batches {
    type Item = Range<u64>;

    fn next(&mut self) -> Option<Range<u64>> {
        let in_epoch = self.epoch_len - self.position % self.epoch_len;
        if self.last == LastBatch::Drop && in_epoch < self.size {
            // A batch that no epoch can fill would skip for ever; a smaller size goes on from here.
            if self.epoch_len < self.size {
                return None;
            }
            self.position = self.position.saturating_add(in_epoch);
        }
        let start = self.position;
        let left = self.end.saturating_sub(start);
        let size = match self.last {
            LastBatch::Keep => self.size.min(in_epoch).min(left),
            LastBatch::Drop if left < self.size => 0,
            LastBatch::Drop => self.size,
            LastBatch::Wrap => self.size.min(left),
        };
        self.position += size;
        (0 < size).then_some(start..start + size)
    }
}

fn check_size(size: u64) -> Result<(), DataError> {
    if 0 < size {
        return Ok(());
    }
    Err(DataError::Setting {
        field: "the batch size",
        found: "0".to_owned(),
        allowed: "1 or more".to_owned(),
    })
}
