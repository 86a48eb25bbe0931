//! Random bits for each position: what draws with replacement are made of.

use std::ops::Range;

use crate::stream::Stream;

const DOMAIN: &[u8; 16] = b"batchwise/draws1";
/// Positions that share a stream: what the generator computes at once.
const BLOCK: u64 = 32;

/// Calls `each`, part by part, with what `choose` makes of 64 random bits for each position: a pure function of `seed`
/// and the position.
pub(super) fn for_each(
    seed: u64,
    positions: Range<u64>,
    choose: impl Fn(u64) -> u64,
    mut each: impl FnMut(&[u64]),
) {
    let mut position = positions.start;
    while position < positions.end {
        let (block, first) = (position / BLOCK, position % BLOCK);
        let n = (BLOCK - first).min(positions.end - position);
        let mut stream = Stream::new(DOMAIN, seed, block, 0);
        let indices: [u64; BLOCK as usize] = std::array::from_fn(|_| choose(stream.bits()));
        each(&indices[first as usize..(first + n) as usize]);
        position += n;
    }
}

/// `bits` as a number in `0..n`, uniform up to a bias of n / 2^64, and what is left of it as a fraction of 2^64.
pub(super) fn below(bits: u64, n: u64) -> (u64, u64) {
    let product = u128::from(bits) * u128::from(n);
    ((product >> 64) as u64, product as u64)
}
