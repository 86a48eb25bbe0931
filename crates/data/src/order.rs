//! The order of examples: a keyed permutation per epoch, evaluated index by index.

use std::ops::Range;

use crate::stream::Stream;
use crate::{DataError, Row};

/// The most examples an [`Order`] can permute.
pub const MAX_LEN: u64 = 1 << 40;

const DOMAIN: &[u8; 16] = b"batchwise/order1";
const N_ROUNDS: usize = 8;
/// A Feistel network over very few values is a poor shuffle, so small sets walk in a larger domain.
const MIN_BITS: u32 = 8;

/// Which example stands at which position of training.
///
/// A *position* counts examples since the start of training, over epochs; each epoch holds every example once. The
/// example at a position is a pure function of (seed, position): nothing is stored and nothing is drawn, so every
/// batch size sees the same order and the whole state of sampling is one integer, the position.
///
/// An index costs O(1) time and memory: a Feistel network over the next power of two, keyed anew in each epoch, is
/// walked until it lands below `len` (fewer than 2 evaluations on average for 128 examples and more).
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
    /// `None` keeps the examples in their own order.
    seed: Option<u64>,
}

impl Order {
    /// Shuffles `len` examples anew in each epoch.
    ///
    /// # Errors
    ///
    /// [`DataError::Setting`] unless `len` is 1 to [`MAX_LEN`].
    pub fn new(seed: u64, len: u64) -> Result<Order, DataError> {
        check_len(len)?;
        Ok(Order { len, seed: Some(seed) })
    }

    /// Keeps `len` examples in their own order, for evaluation.
    ///
    /// # Errors
    ///
    /// As [`Order::new`].
    pub fn sequential(len: u64) -> Result<Order, DataError> {
        check_len(len)?;
        Ok(Order { len, seed: None })
    }

    /// Examples in one epoch.
    #[expect(clippy::len_without_is_empty, reason = "an order of no example cannot be made")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The seed of the shuffle; `None` if the order is sequential.
    pub fn seed(&self) -> Option<u64> {
        self.seed
    }

    /// The index of the example at `position`.
    ///
    /// Each call derives the keys of its epoch; use [`Order::rows`] for more than a few positions.
    pub fn index(&self, position: u64) -> u64 {
        let (epoch, offset) = (position / self.len, position % self.len);
        match self.seed {
            None => offset,
            Some(seed) => Permutation::new(seed, epoch, self.len).index(offset),
        }
    }

    /// How many epochs are complete before `position`.
    pub fn epoch(&self, position: u64) -> u64 {
        position / self.len
    }

    /// Examples from `position` to the end of its epoch: 1 to [`Order::len`].
    pub fn remaining_in_epoch(&self, position: u64) -> u64 {
        self.len - position % self.len
    }

    /// Examples that the indices come from.
    pub fn n_examples(&self) -> u64 {
        self.len
    }

    /// Replaces the content of `out` by the rows at `positions`, which may cross epochs.
    pub fn rows(&self, positions: Range<u64>, out: &mut Vec<Row>) {
        out.clear();
        let mut position = positions.start;
        while position < positions.end {
            let (epoch, first) = (position / self.len, position % self.len);
            let n = (self.len - first).min(positions.end - position);
            match self.seed {
                None => out.extend((first..first + n).map(|index| Row { index, epoch })),
                Some(seed) => {
                    let permutation = Permutation::new(seed, epoch, self.len);
                    out.extend(
                        (first..first + n).map(|offset| Row { index: permutation.index(offset), epoch }),
                    );
                }
            }
            position += n;
        }
    }
}

/// One epoch's bijection of `0..len` onto itself.
struct Permutation {
    len: u64,
    keys: [u64; N_ROUNDS],
    low_bits: u32,
    low_mask: u64,
    high_mask: u64,
}

impl Permutation {
    fn new(seed: u64, epoch: u64, len: u64) -> Permutation {
        let bits = (u64::BITS - (len - 1).leading_zeros()).max(MIN_BITS);
        let low_bits = bits / 2;
        let mut stream = Stream::new(DOMAIN, seed, epoch, 0);
        Permutation {
            len,
            keys: std::array::from_fn(|_| stream.bits()),
            low_bits,
            low_mask: (1 << low_bits) - 1,
            high_mask: (1 << (bits - low_bits)) - 1,
        }
    }

    fn index(&self, offset: u64) -> u64 {
        // The walk follows the cycle of `offset`, which must come back below `len`: it ends.
        let mut value = self.encrypt(offset);
        while self.len <= value {
            value = self.encrypt(value);
        }
        value
    }

    /// A bijection of `0..2^bits`: each half-round changes one half by a function of the other.
    fn encrypt(&self, value: u64) -> u64 {
        let mut low = value & self.low_mask;
        let mut high = value >> self.low_bits;
        for pair in self.keys.chunks_exact(2) {
            low ^= mix(high ^ pair[0]) & self.low_mask;
            high ^= mix(low ^ pair[1]) & self.high_mask;
        }
        high << self.low_bits | low
    }
}

/// The finaliser of SplitMix64: every input bit reaches every output bit.
fn mix(mut value: u64) -> u64 {
    value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

fn check_len(len: u64) -> Result<(), DataError> {
    if (1..=MAX_LEN).contains(&len) {
        return Ok(());
    }
    let allowed = format!("1..={MAX_LEN}");
    Err(DataError::Setting { field: "the number of examples to order", found: len.to_string(), allowed })
}
