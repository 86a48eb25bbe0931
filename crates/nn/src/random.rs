//! Random numbers that are addressed, not drawn.
//!
//! Every number is a pure function of (seed, stream, position): a stream is named by a text, such as a
//! parameter's name, so adding a parameter changes no other one.

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use std::cell::Cell;

/// The generator of one stream, at its first position.
///
/// ChaCha with 8 rounds is counter-based, portable and value-stable; the stream number is the FNV-1a
/// hash of `stream`.
pub fn stream(seed: u64, stream: &str) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(fnv1a(stream.as_bytes()));
    rng
}

thread_local!(static FIRST_EXAMPLE: Cell<Option<u64>> = const { Cell::new(None) });

/// Runs `work`, such as a forward pass, on a batch whose first example has this number in the order of training:
/// what is random about an example then depends on its number, not on the batch it came in.
pub fn with_first_example<R>(number: u64, work: impl FnOnce() -> R) -> R {
    /// Puts back what was there before, also when the work panics.
    struct Restore(Option<u64>);
    impl Drop for Restore {
        fn drop(&mut self) {
            FIRST_EXAMPLE.set(self.0);
        }
    }
    let _restore = Restore(FIRST_EXAMPLE.replace(Some(number)));
    work()
}

/// The number set by [`with_first_example`] on this thread.
pub fn first_example() -> Option<u64> {
    FIRST_EXAMPLE.get()
}

/// `len` numbers uniform in [`low`, `high`).
pub fn uniform(seed: u64, name: &str, len: usize, low: f64, high: f64) -> Vec<f64> {
    let mut rng = stream(seed, name);
    (0..len).map(|_| low + (high - low) * unit(&mut rng)).collect()
}

/// `len` normal numbers with the given mean and standard deviation (Box–Muller).
pub fn normal(seed: u64, name: &str, len: usize, mean: f64, deviation: f64) -> Vec<f64> {
    let mut rng = stream(seed, name);
    let mut out = Vec::with_capacity(len + 1);
    while out.len() < len {
        // 1 − u lies in (0, 1], so the logarithm is finite.
        let radius = (-2.0 * (1.0 - unit(&mut rng)).ln()).sqrt();
        let angle = std::f64::consts::TAU * unit(&mut rng);
        out.push(mean + deviation * radius * angle.cos());
        out.push(mean + deviation * radius * angle.sin());
    }
    out.truncate(len);
    out
}

/// A number uniform in [0, 1) with 53 bits.
fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 * (-53f64).exp2()
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_depends_only_on_its_address() {
        let long = uniform(7, "w", 100, -1.0, 1.0);
        let short = uniform(7, "w", 10, -1.0, 1.0);
        assert_eq!(long[..10], short[..]);
        assert_ne!(uniform(8, "w", 10, -1.0, 1.0), short);
        assert_ne!(uniform(7, "v", 10, -1.0, 1.0), short);
    }

    #[test]
    fn moments_are_right() {
        let n = 40_000;
        let x = normal(3, "x", n, 2.0, 0.5);
        let mean = x.iter().sum::<f64>() / n as f64;
        let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
        assert!((mean - 2.0).abs() < 4.0 * 0.5 / (n as f64).sqrt(), "{mean}");
        assert!((variance - 0.25).abs() < 0.01, "{variance}");
        let u = uniform(3, "u", n, 0.0, 1.0);
        assert!(u.iter().all(|v| (0.0..1.0).contains(v)));
        assert!((u.iter().sum::<f64>() / n as f64 - 0.5).abs() < 0.01);
    }

    #[test]
    fn the_values_are_frozen() {
        // A change here changes every trained weight of every user: it must be meant.
        let seen: Vec<u64> = uniform(0, "golden", 3, 0.0, 1.0).iter().map(|v| v.to_bits()).collect();
        assert_eq!(seen, GOLDEN, "{seen:?}");
    }

    const GOLDEN: [u64; 3] = [4605958586178748074, 4602186592604274340, 4602826654589381102];
}
