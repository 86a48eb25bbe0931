//! A keyed permutation of any length.

use super::feistel::Feistel;
use crate::stream::Stream;

/// Up to this length the whole permutation is drawn, which takes no longer than the keys of a network.
const TINY: usize = 64;

/// A bijection of `0..len` onto itself.
#[derive(Debug)]
pub(crate) enum Permutation {
    /// Exactly uniform over all permutations.
    Tiny([u8; TINY]),
    Large(Box<Feistel>),
}

impl Permutation {
    /// The permutation of 1 to [`super::MAX_LEN`] values that `stream` gives.
    pub(crate) fn new(mut stream: Stream, len: u64) -> Permutation {
        if len <= TINY as u64 {
            return Permutation::Tiny(shuffle(&mut stream, len as usize));
        }
        Permutation::Large(Box::new(Feistel::new(&mut stream, len)))
    }

    /// Where it sends `offset`, which is below `len`.
    pub(crate) fn index(&self, offset: u64) -> u64 {
        match self {
            Permutation::Tiny(table) => u64::from(table[offset as usize]),
            Permutation::Large(network) => network.index(offset),
        }
    }

    /// Calls `each` with the indices of the `n` offsets from `first` on, which are all below `len`, part by part.
    pub(crate) fn for_each(&self, first: u64, n: u64, mut each: impl FnMut(&[u64])) {
        match self {
            Permutation::Tiny(table) => {
                let indices = table.map(u64::from);
                each(&indices[first as usize..(first + n) as usize]);
            }
            Permutation::Large(network) => network.for_each(first, n, each),
        }
    }
}

/// Fisher and Yates's shuffle of the first `len` numbers.
fn shuffle(stream: &mut Stream, len: usize) -> [u8; TINY] {
    let mut table = std::array::from_fn(|i| i as u8);
    for last in (1..len).rev() {
        table.swap(last, stream.below(last as u32 + 1) as usize);
    }
    table
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::order::MAX_LEN;

    fn permutation(seed: u64, len: u64) -> Permutation {
        Permutation::new(Stream::new(b"batchwise/test.1", seed, 0, 0), len)
    }

    proptest! {
        #[test]
        fn in_bulk_as_one_by_one(seed: u64, bits in 0u32..=40, part in 0.0..1.0, at in 0.0..1.0, n in 0u64..200) {
            let len = ((1u64 << bits) as f64 * (1.0 + part)) as u64;
            let len = len.min(MAX_LEN);
            let first = ((len as f64 * at) as u64).min(len - 1);
            // The end of the table, too.
            for first in [first, len.saturating_sub(n)] {
                let n = n.min(len - first);
                let permutation = permutation(seed, len);
                let mut bulk = Vec::new();
                permutation.for_each(first, n, |indices| bulk.extend_from_slice(indices));
                let single: Vec<u64> = (first..first + n).map(|offset| permutation.index(offset)).collect();
                prop_assert!(single.iter().all(|index| *index < len));
                prop_assert_eq!(bulk, single);
            }
        }
    }

    #[test]
    fn the_lengths_around_every_border_are_permuted() {
        let borders =
            [1u64, 2, 3, 63, 64, 65, 66, 80, 81, 99, 100, 1023, 1024, 4095, 4096, 4097, 65_535, 65_537];
        for len in borders {
            let mut seen = vec![false; len as usize];
            permutation(len, len).for_each(0, len, |indices| {
                for index in indices {
                    assert!(!std::mem::replace(&mut seen[*index as usize], true), "{index} of {len} twice");
                }
            });
            assert!(seen.into_iter().all(|seen| seen), "{len}");
        }
    }
}
