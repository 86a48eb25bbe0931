//! Random bits for each position: what draws with replacement are made of.

use crate::stream::Stream;

const DOMAIN: &[u8; 16] = b"batchwise/draws1";
/// Positions that share a stream: what the generator computes at once.
const BLOCK: u64 = 32;

/// Calls `each`, part by part, with what `choose` makes of 64 random bits for each of `n` positions from `first` on: a
/// pure function of `seed` and the position.
pub(super) fn for_each(
    seed: u64,
    first: u64,
    n: u64,
    choose: impl Fn(u64) -> u64,
    mut each: impl FnMut(&[u64]),
) {
    let mut done = 0;
    while done < n {
        let (block, skip) = ((first + done) / BLOCK, (first + done) % BLOCK);
        let part = (BLOCK - skip).min(n - done);
        let mut stream = Stream::new(DOMAIN, seed, block, 0);
        let indices: [u64; BLOCK as usize] = std::array::from_fn(|_| choose(stream.bits()));
        each(&indices[skip as usize..(skip + part) as usize]);
        done += part;
    }
}

/// `bits` as a number in `0..n`, uniform up to a bias of n / 2^64, and what is left of it as a fraction of 2^64.
pub(super) fn below(bits: u64, n: u64) -> (u64, u64) {
    let product = u128::from(bits) * u128::from(n);
    ((product >> 64) as u64, product as u64)
}
