//! Addressed random numbers: a pure function of (seed, stream, position).

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

/// No normal draw is larger: √(2·54·ln 2) = 8.65.
pub(crate) const LARGEST_NORMAL: f64 = 9.0;

/// One stream of draws.
pub(crate) struct Draws {
    generator: ChaCha8Rng,
    spare: Option<f64>,
}

impl Draws {
    /// The stream numbered `stream` under `seed`.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream);
        Self { generator, spare: None }
    }

    /// The stream where the draws of `position` begin, if each position takes at most `normals` normal draws.
    pub(crate) fn at(seed: u64, stream: u64, position: u64, normals: usize) -> Self {
        let mut draws = Self::new(seed, stream);
        // A pair of normals takes two numbers of 64 bits, of two words each.
        let words = 4 * (normals as u128).div_ceil(2);
        draws.generator.set_word_pos(words * u128::from(position));
        draws
    }

    /// Uniform on the open interval (0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        ((self.generator.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Standard normal (Box and Muller 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.uniform()).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }
}

#[cfg(test)]
mod tests {
    use super::Draws;

    #[test]
    fn draws_are_a_function_of_seed_and_stream() {
        let take = |seed, stream| (0..5).map(|_| 0).scan(Draws::new(seed, stream), |d, _| Some(d.normal()));
        assert!(take(1, 2).eq(take(1, 2)));
        assert!(take(1, 2).ne(take(1, 3)));
        assert!(take(1, 2).ne(take(2, 2)));
    }

    #[test]
    fn a_position_is_where_going_through_the_stream_arrives() {
        let mut through = Draws::new(7, 3);
        for position in 0..20 {
            let here: Vec<f64> = (0..4).map(|_| through.normal()).collect();
            for normals in [3, 4] {
                let mut at = Draws::at(7, 3, position, normals);
                assert!(here.iter().take(normals).all(|z| at.normal() == *z), "{position} {normals}");
            }
        }
    }

    #[test]
    fn normal_has_unit_variance() {
        let mut draws = Draws::new(5, 0);
        let n = 100_000;
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..n {
            let z = draws.normal();
            sum += z;
            squares += z * z;
        }
        assert!((sum / n as f64).abs() < 0.015);
        assert!((squares / n as f64 - 1.0).abs() < 0.02);
    }
}
