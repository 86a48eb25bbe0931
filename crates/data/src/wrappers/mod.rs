//! Data sets made of other data sets.

mod label_noise;
mod split;
mod subset;

pub use label_noise::LabelNoise;
pub use split::{split_by_fraction, split_by_key};
pub use subset::Subset;

use crate::stream::Stream;

/// Random bits for each example: a pure function of (domain, seed, index).
#[derive(Clone, Copy, Debug)]
struct ExampleBits {
    keys: [u64; 2],
}

impl ExampleBits {
    fn new(domain: &[u8; 16], seed: u64) -> ExampleBits {
        let mut stream = Stream::new(domain, seed, 0, 0);
        ExampleBits { keys: [stream.bits(), stream.bits()] }
    }

    /// 64 random bits.
    fn of(self, index: u64) -> u64 {
        mix(mix(index.wrapping_add(self.keys[0])) ^ self.keys[1])
    }
}

/// The finaliser of SplitMix64: every input bit reaches every output bit.
fn mix(mut value: u64) -> u64 {
    value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}
