//! One measurement as the micro-batches arrive, without subtracting large numbers from each other.
//!
//! The pair of [`measure`](super::measure) subtracts sums of squared norms, and loses digits at both ends: 𝒢 loses
//! log10(φ/B) of them when the noise is large (φ ≫ B), 𝒮 loses log10(b/φ) when it is small (φ ≪ b). Both have a
//! form that does not (Welford 1962, Technometrics 4:419; Chan, Golub and LeVeque 1983; with weights, derived here).
//! With W_k = w_1+…+w_k and ḡ_k the weighted mean of the first k micro-batch gradients, each later micro-batch adds
//!
//! - w_k W_{k−1}·⟨g_k, ḡ_{k−1}⟩ to Σ_{i<j} w_i w_j g_i·g_j, and w_k W_{k−1} to Σ_{i<j} w_i w_j: 𝒢 is their quotient;
//! - w_k W_{k−1}/W_k·‖g_k−ḡ_{k−1}‖² = w_k⟨g_k−ḡ_{k−1}, g_k−ḡ_k⟩ to M2: 𝒮 = M2/(n−1).
//!
//! Theory §1.2 offers M2 for φ ≫ B. M2 is the cure of the other end, φ ≪ b; at φ ≫ B it is the inner products that
//! keep the digits of 𝒢. So two numbers are fed, both plain inner products: [`Stream`] takes the two from a
//! caller who has the tensors, [`VectorStream`] takes gradients that fit in memory and keeps the mean.

use super::pair::{check_weight, checked};
use super::{Measurement, NoiseError};
use crate::twofold::Twofold;

/// The stable sums, fed with the two numbers that each micro-batch after the first makes with the mean before it.
///
/// ```
/// use batchwise_estimate::noise::Stream;
/// // The gradients (1,0), (3,2) of theory §9.1, of 8 examples each: the mean before the second is (1,0).
/// let mut stream = Stream::new(8.0)?;
/// stream.push(8.0, 3.0, 8.0)?;
/// let m = stream.measurement()?;
/// assert_eq!((m.g2, m.tr_sigma), (3.0, 32.0));
/// # Ok::<(), batchwise_estimate::noise::NoiseError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    n: usize,
    weight: f64,
    pairs: f64,
    products: Twofold,
    spread: Twofold,
}

impl Stream {
    /// The sums after the first micro-batch, of which only the weight matters.
    ///
    /// # Errors
    /// A weight that is not finite and above 0.
    pub fn new(weight: f64) -> Result<Self, NoiseError> {
        check_weight(0, weight)?;
        Ok(Self { n: 1, weight, pairs: 0.0, products: Twofold::default(), spread: Twofold::default() })
    }

    /// Adds micro-batch k: `inner` = ⟨g_k, ḡ_{k−1}⟩ and `distance2` = ‖g_k−ḡ_{k−1}‖², both against the weighted mean
    /// of the micro-batches before it; compute the second from the difference, not from norms.
    ///
    /// # Errors
    /// A weight, product or distance out of range; the sums stay as they were.
    pub fn push(&mut self, weight: f64, inner: f64, distance2: f64) -> Result<(), NoiseError> {
        let index = self.n;
        check_weight(index, weight)?;
        if !inner.is_finite() {
            return Err(NoiseError::BadProduct { index, value: inner });
        }
        if !(distance2.is_finite() && distance2 >= 0.0) {
            return Err(NoiseError::BadNorm { index, value: distance2 });
        }
        let pair = weight * self.weight;
        self.n += 1;
        self.weight += weight;
        self.pairs += pair;
        self.products = self.products + Twofold::product(pair, inner);
        self.spread = self.spread + Twofold::product(pair / self.weight, distance2);
        Ok(())
    }

    /// Number of micro-batches so far.
    #[must_use]
    pub const fn n_micro_batches(&self) -> usize {
        self.n
    }

    /// Sum of the weights so far: the examples of the batch.
    #[must_use]
    pub const fn weight(&self) -> f64 {
        self.weight
    }

    /// The measurement of the micro-batches so far.
    ///
    /// # Errors
    /// Fewer than two micro-batches; overflow.
    pub fn measurement(&self) -> Result<Measurement, NoiseError> {
        if self.n < 2 {
            return Err(NoiseError::TooFewMicroBatches { found: self.n });
        }
        checked(self.products.value() / self.pairs, self.spread.value() / (self.n - 1) as f64)
    }
}

/// [`Stream`] fed with the gradients themselves; keeps their running mean.
///
/// ```
/// use batchwise_estimate::noise::VectorStream;
/// let mut stream = VectorStream::new();
/// for g in [[1.0, 0.0], [3.0, 2.0], [-1.0, 4.0], [5.0, -2.0]] {
///     stream.push(1.0, &g)?;
/// }
/// let m = stream.measurement()?;
/// assert!((m.g2 - 5.0 / 3.0).abs() < 1e-12 && (m.tr_sigma - 40.0 / 3.0).abs() < 1e-12);
/// # Ok::<(), batchwise_estimate::noise::NoiseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VectorStream {
    sums: Option<Stream>,
    mean: Vec<f64>,
}

impl VectorStream {
    /// Sums over no micro-batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the mean gradient of a micro-batch of `weight` examples.
    ///
    /// # Errors
    /// A weight or entry out of range, another length than the first gradient's, overflow; the sums stay as they were.
    pub fn push(&mut self, weight: f64, gradient: &[f64]) -> Result<(), NoiseError> {
        let index = self.sums.as_ref().map_or(0, Stream::n_micro_batches);
        if let Some(entry) = gradient.iter().position(|g| !g.is_finite()) {
            return Err(NoiseError::BadEntry { index, entry, value: gradient[entry] });
        }
        let Some(sums) = &mut self.sums else {
            self.sums = Some(Stream::new(weight)?);
            gradient.clone_into(&mut self.mean);
            return Ok(());
        };
        if gradient.len() != self.mean.len() {
            return Err(NoiseError::BadLength { index, found: gradient.len(), expected: self.mean.len() });
        }
        let (mut inner, mut distance2) = (Twofold::default(), Twofold::default());
        for (g, mean) in gradient.iter().zip(&self.mean) {
            inner = inner + Twofold::product(*g, *mean);
            distance2 = distance2 + Twofold::product(g - mean, g - mean);
        }
        let (inner, distance2) = (inner.value(), distance2.value());
        if !(inner.is_finite() && distance2.is_finite()) {
            return Err(NoiseError::Overflow);
        }
        sums.push(weight, inner, distance2)?;
        let share = weight / sums.weight();
        self.mean.iter_mut().zip(gradient).for_each(|(mean, g)| *mean += share * (g - *mean));
        Ok(())
    }

    /// ḡ, the weighted mean of the gradients so far; empty before the first.
    #[must_use]
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The measurement of the micro-batches so far.
    ///
    /// # Errors
    /// Fewer than two micro-batches; overflow.
    pub fn measurement(&self) -> Result<Measurement, NoiseError> {
        self.sums.as_ref().ok_or(NoiseError::TooFewMicroBatches { found: 0 })?.measurement()
    }
}
