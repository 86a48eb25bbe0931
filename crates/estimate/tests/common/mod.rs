//! Seeded draws shared by the simulations.
#![allow(dead_code, reason = "every test file uses its own part")]

use batchwise_estimate::critical::{CriticalBatch, CriticalSource};
use batchwise_estimate::noise::{Measurement, MicroNorm, measure};
use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};

pub(crate) struct Source(ChaCha8Rng);

impl Source {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    pub(crate) fn uniform(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Chi-square: Marsaglia and Tsang's gamma.
    pub(crate) fn chi_square(&mut self, df: f64) -> f64 {
        let d = df / 2.0 - 1.0 / 3.0;
        loop {
            let z = self.normal();
            let v = (1.0 + z / (9.0 * d).sqrt()).powi(3);
            if v > 0.0 && self.uniform().ln() < 0.5 * z * z + d * (1.0 - v + v.ln()) {
                return 2.0 * d * v;
            }
        }
    }
}

/// One measurement at b = 1 from B Gaussian examples in `d` dimensions, ‖G‖² = 1, Σ = (φ/d)·I: exact distribution.
pub(crate) fn gaussian(source: &mut Source, phi: f64, batch: f64, d: f64) -> Measurement {
    let variance = phi / d;
    let tr_sigma = variance * source.chi_square(d * (batch - 1.0)) / (batch - 1.0);
    let along = 1.0 + (variance / batch).sqrt() * source.normal();
    let norm2 = along * along + variance / batch * source.chi_square(d - 1.0);
    Measurement { g2: norm2 - tr_sigma / batch, tr_sigma }
}

/// Micro-batch means of `n` examples each, and the measurement from them.
pub(crate) fn from_vectors(vectors: &[Vec<f64>], weights: &[f64]) -> (Vec<MicroNorm>, f64, Measurement) {
    let micro: Vec<_> =
        vectors.iter().zip(weights).map(|(g, w)| MicroNorm { weight: *w, norm2: norm2(g) }).collect();
    let total: f64 = weights.iter().sum();
    let mean: Vec<f64> = (0..vectors[0].len())
        .map(|k| vectors.iter().zip(weights).map(|(g, w)| w * g[k]).sum::<f64>() / total)
        .collect();
    let m = measure(&micro, norm2(&mean)).expect("two or more finite vectors with positive weights");
    (micro, norm2(&mean), m)
}

pub(crate) fn norm2(v: &[f64]) -> f64 {
    v.iter().map(|x| x * x).sum()
}

/// A belief about B_c with normal tails.
pub(crate) fn belief(median: f64, ln_sd: f64, source: CriticalSource) -> CriticalBatch {
    let factor = (1.645 * ln_sd).exp();
    let (low, high) = (median / factor, median * factor);
    CriticalBatch { median, ln_sd, low, high, source, lower_bound_only: false }
}
