//! Addressed random numbers: a stream is a pure function of (domain, seed, key, index).

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// One stream of random numbers.
///
/// The ChaCha key is laid out here byte by byte rather than by `seed_from_u64`, whose expansion is the library's to
/// change: these numbers must stay what they are for ever.
pub(crate) struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream number `index` of the generator that `domain`, `seed` and `key` name.
    pub(crate) fn new(domain: &[u8; 16], seed: u64, key: u64, index: u64) -> Stream {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(domain);
        bytes[16..24].copy_from_slice(&seed.to_le_bytes());
        bytes[24..].copy_from_slice(&key.to_le_bytes());
        let mut generator = ChaCha8Rng::from_seed(bytes);
        generator.set_stream(index);
        Stream(generator)
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// 32 random bits.
    pub(crate) fn word(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Uniform over `0..n`, up to a bias of n / 2^32.
    pub(crate) fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.word()) * u64::from(n)) >> 32) as u32
    }

    /// Uniform in `[0, 1)`, a multiple of 2^-24.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.word() >> 8) as f32 * (1.0 / 16_777_216.0)
    }

    /// Uniform in `[low, high)`.
    pub(crate) fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Uniform in `[-1, 1)`.
    pub(crate) fn signed(&mut self) -> f32 {
        2.0 * self.unit() - 1.0
    }

    /// Random bytes.
    pub(crate) fn bytes(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }
}
