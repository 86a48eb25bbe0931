//! The order of examples: which example stands at which position of training.

mod alias;
mod balanced;
mod draws;
mod feistel;
mod permutation;
mod shard;

use std::ops::Range;
use std::sync::Arc;

use alias::AliasTable;
use balanced::Members;
pub(crate) use permutation::Permutation;
pub use shard::Shard;

use crate::stream::Stream;
use crate::{DataError, Dataset, Row};

/// The most examples an [`Order`] can permute.
pub const MAX_LEN: u64 = 1 << 40;

const DOMAIN: &[u8; 16] = b"batchwise/order2";

/// Which example stands at which position of training.
///
/// A *position* counts examples since the start of training, over epochs. The example at a position is a pure function
/// of (seed, position): nothing is drawn one after another, so every batch size sees the same order and the whole state
/// of sampling is one integer, the position.
///
/// | made by | each epoch holds | memory |
/// |---|---|---|
/// | [`Order::new`] | every example once, in a new order | none |
/// | [`Order::sequential`] | every example once, in its own order | none |
/// | [`Order::with_replacement`] | as many draws as there are examples | none |
/// | [`Order::weighted`] | as many draws as there are examples | 16 bytes an example |
/// | [`Order::balanced`] | as many draws as there are examples, each class equally often | 8 bytes an example |
///
/// An index costs O(1) time and memory. A shuffle is an additive Feistel network over the least near-square table that
/// holds all examples, keyed anew in each epoch and walked until it lands below their number; up to 64 examples it is
/// Fisher and Yates's shuffle.
///
/// ```
/// use batchwise_data::Order;
///
/// let order = Order::new(42, 5)?;
/// let mut first_epoch: Vec<u64> = (0..5).map(|position| order.index(position)).collect();
/// first_epoch.sort();
/// assert_eq!(first_epoch, [0, 1, 2, 3, 4]);
/// assert_eq!(order.epoch(12), 2);
/// assert_eq!(order.remaining_in_epoch(12), 3);
/// # Ok::<(), batchwise_data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    len: u64,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Sequential,
    Shuffled { seed: u64 },
    WithReplacement { seed: u64 },
    Weighted { seed: u64, table: Arc<AliasTable> },
    Balanced { seed: u64, members: Arc<Members> },
}

impl Order {
    /// Shuffles `len` examples anew in each epoch.
    ///
    /// # Errors
    ///
    /// [`DataError::Setting`] unless `len` is 1 to [`MAX_LEN`].
    pub fn new(seed: u64, len: u64) -> Result<Order, DataError> {
        check_len(len)?;
        Ok(Order { len, kind: Kind::Shuffled { seed } })
    }

    /// Keeps `len` examples in their own order, for evaluation.
    ///
    /// # Errors
    ///
    /// As [`Order::new`].
    pub fn sequential(len: u64) -> Result<Order, DataError> {
        check_len(len)?;
        Ok(Order { len, kind: Kind::Sequential })
    }

    /// Draws each position's example from all `len`, independent of every other position.
    ///
    /// # Errors
    ///
    /// As [`Order::new`].
    pub fn with_replacement(seed: u64, len: u64) -> Result<Order, DataError> {
        check_len(len)?;
        Ok(Order { len, kind: Kind::WithReplacement { seed } })
    }

    /// Draws each position's example with a probability in proportion to its weight, independent of every other
    /// position.
    ///
    /// # Errors
    ///
    /// As [`Order::new`]; [`DataError::Setting`] unless weights are finite, at least 0, and not all 0.
    pub fn weighted(seed: u64, weights: &[f64]) -> Result<Order, DataError> {
        check_len(weights.len() as u64)?;
        let table = Arc::new(AliasTable::new(weights)?);
        Ok(Order { len: table.len(), kind: Kind::Weighted { seed, table } })
    }

    /// Draws every class equally often; see [`Order::balanced_by_labels`].
    ///
    /// # Errors
    ///
    /// As [`Order::new`]; [`DataError::NoClasses`] where targets are not classes.
    pub fn balanced(seed: u64, dataset: &dyn Dataset) -> Result<Order, DataError> {
        check_len(dataset.len())?;
        Ok(Order::with_members(seed, Members::of(dataset)?))
    }

    /// Draws every class that occurs in `labels` (one label for each example) equally often.
    ///
    /// Of K classes, each block of K positions since the start of training holds each class once, in an order of its
    /// own. Within a class examples are drawn without replacement; when all were drawn, anew in another order.
    ///
    /// # Errors
    ///
    /// As [`Order::new`].
    pub fn balanced_by_labels(seed: u64, labels: &[u32]) -> Result<Order, DataError> {
        check_len(labels.len() as u64)?;
        Ok(Order::with_members(seed, Members::new(labels)))
    }

    fn with_members(seed: u64, members: Members) -> Order {
        Order { len: members.n_examples(), kind: Kind::Balanced { seed, members: Arc::new(members) } }
    }

    /// Positions in one epoch.
    #[expect(clippy::len_without_is_empty, reason = "an order of no example cannot be made")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The seed; `None` if the order is sequential.
    pub fn seed(&self) -> Option<u64> {
        match self.kind {
            Kind::Sequential => None,
            Kind::Shuffled { seed }
            | Kind::WithReplacement { seed }
            | Kind::Weighted { seed, .. }
            | Kind::Balanced { seed, .. } => Some(seed),
        }
    }

    /// The index of the example at `position`.
    ///
    /// Each call derives its keys anew; use [`Order::rows`] for more than a few positions.
    pub fn index(&self, position: u64) -> u64 {
        if let Kind::Sequential = self.kind {
            return position % self.len;
        }
        let (epoch, offset) = (position / self.len, position % self.len);
        let mut found = 0;
        self.for_each(epoch, offset, 1, |indices| found = indices[0]);
        found
    }

    /// How many epochs are complete before `position`.
    pub fn epoch(&self, position: u64) -> u64 {
        position / self.len
    }

    /// Positions from `position` to the end of its epoch: 1 to [`Order::len`].
    pub fn remaining_in_epoch(&self, position: u64) -> u64 {
        self.len - position % self.len
    }

    /// Examples that the indices come from.
    pub fn n_examples(&self) -> u64 {
        self.len
    }

    /// Replaces the content of `out` by the rows at `positions`, which may cross epochs.
    ///
    /// The epoch of a row is that of its position, also where an example is drawn twice in an epoch or not at all.
    pub fn rows(&self, positions: Range<u64>, out: &mut Vec<Row>) {
        out.clear();
        let Range { start: mut position, end } = positions;
        out.reserve(usize::try_from(end.saturating_sub(position)).unwrap_or(0));
        while position < end {
            let (epoch, first) = (position / self.len, position % self.len);
            let n = (self.len - first).min(end - position);
            self.for_each(epoch, first, n, |indices| {
                out.extend(indices.iter().map(|index| Row { index: *index, epoch }));
            });
            position += n;
        }
    }

    /// The order of one epoch of [`Order::new`], whose keys serve for any number of its indices.
    pub(crate) fn permutation(seed: u64, epoch: u64, len: u64) -> Permutation {
        Permutation::new(Stream::new(DOMAIN, seed, epoch, 0), len)
    }

    /// Calls `each` with the indices at `n` offsets from `first` on, all of one epoch, part by part.
    fn for_each(&self, epoch: u64, first: u64, n: u64, mut each: impl FnMut(&[u64])) {
        let start = epoch * self.len + first;
        match &self.kind {
            Kind::Sequential => (first..first + n).for_each(|index| each(&[index])),
            Kind::Shuffled { seed } => {
                Order::permutation(*seed, epoch, self.len).for_each(first, n, each);
            }
            Kind::WithReplacement { seed } => {
                draws::for_each(*seed, start, n, |bits| draws::below(bits, self.len).0, each);
            }
            Kind::Weighted { seed, table } => {
                draws::for_each(*seed, start, n, |bits| table.draw(bits), each);
            }
            Kind::Balanced { seed, members } => members.for_each(*seed, start, n, each),
        }
    }
}

fn check_len(len: u64) -> Result<(), DataError> {
    if (1..=MAX_LEN).contains(&len) {
        return Ok(());
    }
    let allowed = format!("1..={MAX_LEN}");
    Err(DataError::Setting { field: "the number of examples to order", found: len.to_string(), allowed })
}
