//! Which rank computes which micro-batches.

use std::ops::Range;

/// How the n micro-batches of a batch are spread over the ranks of a world.
///
/// A rank's share is a power of two c, the smallest with world · c ≥ n, and rank r computes the micro-batches r·c to
/// (r+1)·c − 1, as far as they exist. So a share is one node of the tree of [`TreeSum`](super::TreeSum), and the sums of
/// the ranks are the leaves of what is above it. Any n and any world will do; all ranks have the same to do where n is
/// world times a power of two, and the last ranks have nothing to do where n is small.
///
/// ```
/// use batchwise_train::parallel::Shares;
///
/// let shares = Shares::new(11, 4);
/// let of_rank: Vec<_> = (0..4).map(|rank| shares.of(rank)).collect();
/// assert_eq!(of_rank, [0..4, 4..8, 8..11, 11..11]);
/// assert_eq!(shares.n_ranks_with_work(), 3);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    n: u64,
    share: u64,
}

impl Shares {
    /// Spreads `n` micro-batches over `world` ranks (at least 1).
    #[must_use]
    pub fn new(n: u64, world: usize) -> Self {
        let share = n.div_ceil((world as u64).max(1)).checked_next_power_of_two();
        Self { n, share: share.unwrap_or(u64::MAX) }
    }

    /// The micro-batches of a rank; an empty range where it has none.
    #[must_use]
    pub fn of(&self, rank: usize) -> Range<u64> {
        let start = self.share.saturating_mul(rank as u64).min(self.n);
        start..start.saturating_add(self.share).min(self.n)
    }

    /// The most micro-batches a rank can have: c, a power of two.
    #[must_use]
    pub fn largest(&self) -> u64 {
        self.share
    }

    /// How many ranks have a micro-batch: those from 0 on.
    #[must_use]
    pub fn n_ranks_with_work(&self) -> usize {
        usize::try_from(self.n.div_ceil(self.share)).unwrap_or(usize::MAX)
    }
}
