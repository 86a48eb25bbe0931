//! The sum of flat gradients over ranks, bucket by bucket.

use super::{Collective, CollectiveError, TreeSum};
use std::ops::Range;

/// Bytes of one bucket, at most, unless said otherwise.
pub const BUCKET_BYTES: usize = 4 << 20;

/// All gradients of a model one after the other in name order, as f32, cut into buckets of bounded size.
///
/// Zeros behind the last gradient make the length a multiple of the world, so that every rank adds up one slice of each
/// bucket. A bucket takes an `all_to_all` of slices, the tree over the ranks, and an `all_gather` of the sums: as many
/// bytes as a ring, 2(p−1)/p of the gradients, in an order that is ours.
#[derive(Debug, Clone)]
pub struct Buckets {
    world: usize,
    len: usize,
    bucket: usize,
    received: Vec<f32>,
}

impl Buckets {
    /// Buckets of at most `bytes` (but one element for each rank at least) for `n_elements` gradients on `world` ranks.
    ///
    /// # Errors
    /// A world of 0; more elements than a machine can address.
    pub fn new(n_elements: usize, world: usize, bytes: usize) -> Result<Self, CollectiveError> {
        let refused =
            |name, found, allowed: &str| CollectiveError::World { name, found, allowed: allowed.to_owned() };
        if world == 0 {
            return Err(refused("the number of workers", world, "at least 1"));
        }
        let len = n_elements
            .checked_next_multiple_of(world)
            .ok_or_else(|| refused("the number of gradients", n_elements, "at most what memory holds"))?;
        let bucket = (bytes / size_of::<f32>() / world * world).max(world);
        Ok(Self { world, len, bucket, received: Vec::new() })
    }

    /// Elements of a flat buffer, padding included.
    #[must_use]
    pub fn padded_len(&self) -> usize {
        self.len
    }

    /// The buckets, as ranges of a flat buffer.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (len, bucket) = (self.len, self.bucket);
        (0..len).step_by(bucket).map(move |start| start..(start + bucket).min(len))
    }

    /// Leaves the sum of the flat buffers of the ranks 0 to `n_present` − 1, in the order of [`TreeSum`], in the `flat` of
    /// every rank. What later ranks hold counts for nothing, not even for the sign of a zero.
    ///
    /// # Errors
    /// Another world or length than these buckets are for; no rank that is present; what the collective says.
    pub fn sum(
        &mut self,
        collective: &mut impl Collective,
        flat: &mut [f32],
        n_present: usize,
    ) -> Result<(), CollectiveError> {
        if collective.world() != self.world {
            let (name, found) = ("the number of workers", collective.world());
            return Err(CollectiveError::World { name, found, allowed: format!("{}", self.world) });
        }
        if flat.len() != self.len {
            let (call, found) = ("the sum of flat gradients", flat.len());
            return Err(CollectiveError::Length { call, found, allowed: format!("{}", self.len) });
        }
        if !(1..=self.world).contains(&n_present) {
            let (name, allowed) = ("the number of ranks with a gradient", format!("1..={}", self.world));
            return Err(CollectiveError::World { name, found: n_present, allowed });
        }
        if self.world == 1 {
            return Ok(());
        }
        for range in self.ranges() {
            let slice = range.len() / self.world;
            self.received.resize(range.len(), 0.0);
            collective.all_to_all(&flat[range.clone()], &mut self.received)?;
            let received = &mut self.received;
            let mut add = |left: &mut usize, right: usize| {
                // Blocks of the same length, the right one behind the left one.
                let (before, after) = received.split_at_mut(right * slice);
                add_to(&mut before[*left * slice..][..slice], &after[..slice]);
            };
            let mut sum = TreeSum::new();
            (0..n_present).for_each(|rank| sum.push(rank, &mut add));
            // The sum of a node is left where its first leaf was: at the front.
            sum.finish(&mut add);
            collective.all_gather(&self.received[..slice], &mut flat[range])?;
        }
        Ok(())
    }
}

/// `left += right`, element by element.
pub(super) fn add_to(left: &mut [f32], right: &[f32]) {
    left.iter_mut().zip(right).for_each(|(left, right)| *left += right);
}
