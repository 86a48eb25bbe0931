//! Sharing positions out among the workers of one run.

use std::ops::Range;

use crate::DataError;

/// One worker of a world of them.
///
/// Each batch is split: every worker takes one part of its positions, and the parts together are the positions that
/// one worker alone would take. So the data and their order are the same whatever the size of the world.
///
/// ```
/// use batchwise_data::Shard;
///
/// let parts: Result<Vec<_>, _> = (0..3).map(|rank| Ok(Shard::new(rank, 3)?.split(100..108))).collect();
/// # let parts: Result<Vec<std::ops::Range<u64>>, batchwise_data::DataError> = parts;
/// assert_eq!(parts?, [100..102, 102..105, 105..108]);
/// # Ok::<(), batchwise_data::DataError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shard {
    rank: u64,
    world: u64,
}

impl Shard {
    /// The worker `rank` of `world` workers.
    ///
    /// # Errors
    ///
    /// [`DataError::Setting`] unless `rank` is below `world`.
    pub fn new(rank: u64, world: u64) -> Result<Shard, DataError> {
        if rank < world {
            return Ok(Shard { rank, world });
        }
        let (found, allowed) = match world {
            0 => ("0".to_owned(), "1 or more".to_owned()),
            _ => (format!("{rank}"), format!("0..{world}, below the world size")),
        };
        let field = if world == 0 { "the world size" } else { "the rank" };
        Err(DataError::Setting { field, found, allowed })
    }

    /// Which worker this is.
    pub fn rank(&self) -> u64 {
        self.rank
    }

    /// How many workers there are.
    pub fn world(&self) -> u64 {
        self.world
    }

    /// This worker's part of `positions`.
    ///
    /// One after another by rank the parts are `positions`; their sizes differ by 1 at most. A worker has no position
    /// where there are fewer than workers.
    pub fn split(&self, positions: Range<u64>) -> Range<u64> {
        let n = positions.end.saturating_sub(positions.start);
        let cut = |rank: u64| {
            // At most n, hence no more than u64 holds.
            positions.start + (u128::from(n) * u128::from(rank) / u128::from(self.world)) as u64
        };
        cut(self.rank)..cut(self.rank + 1)
    }
}
