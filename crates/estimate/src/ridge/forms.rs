//! The laws LR*(B) may follow, each fitted to the best learning rates.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// A law of the best learning rate against the batch size (theory.md §4.1, §4.2). Every one has a free factor c.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Form {
    /// c: the batch size does not matter.
    Constant,
    /// c·B (Goyal et al. 2017).
    Linear,
    /// c·√B (Krizhevsky 2014, Malladi et al. 2022).
    SquareRoot,
    /// c·B^p.
    Power,
    /// c/(1+B_n/B) (McCandlish et al. 2018, eq. 2.5): linear, then flat.
    NoiseScale,
    /// c·(1+B_n/B)^−α with 0.5 ≤ α ≤ 1 (McCandlish et al. 2018, for Adam): a power, then flat.
    AdamNoiseScale,
    /// c·2/(√(B_n/B)+√(B/B_n)) (Li et al. 2024): a square root, a peak at B_n, then a fall.
    Surge,
}

impl Form {
    /// All of them, the simple ones first.
    pub const ALL: [Self; 7] = [
        Self::Constant,
        Self::Linear,
        Self::SquareRoot,
        Self::Power,
        Self::NoiseScale,
        Self::AdamNoiseScale,
        Self::Surge,
    ];

    /// Free parameters, with the factor.
    #[must_use]
    pub fn parameters(self) -> usize {
        match self {
            Self::Constant | Self::Linear | Self::SquareRoot => 1,
            Self::Power | Self::NoiseScale | Self::Surge => 2,
            Self::AdamNoiseScale => 3,
        }
    }

    /// Whether `simpler` is a limit of this form.
    #[must_use]
    pub fn contains(self, simpler: Self) -> bool {
        use Form::{AdamNoiseScale, Constant, Linear, NoiseScale, Power, SquareRoot, Surge};
        matches!(
            (self, simpler),
            (Power | NoiseScale | AdamNoiseScale, Constant | Linear)
                | (Power | AdamNoiseScale | Surge, SquareRoot)
                | (AdamNoiseScale, NoiseScale | Power)
        )
    }

    /// ln LR at ln B, without the factor. `shape`: (p or α, ln B_n), as far as the form has them.
    pub(super) fn at(self, ln_batch: f64, shape: Shape) -> f64 {
        let away = shape.ln_scale - ln_batch;
        match self {
            Self::Constant => 0.0,
            Self::Linear => ln_batch,
            Self::SquareRoot => ln_batch / 2.0,
            Self::Power => shape.power * ln_batch,
            Self::NoiseScale => -ln_1p_exp(away),
            Self::AdamNoiseScale => -shape.power * ln_1p_exp(away),
            // 2/(e^{a/2}+e^{−a/2}), divided by its value far above so that nothing overflows.
            Self::Surge => away.abs() / -2.0 + std::f64::consts::LN_2 - (-away.abs()).exp().ln_1p(),
        }
    }

    /// The values of the inner parameter (ln B_n, or p) to try for batch sizes between these logarithms.
    fn inner(self, from: f64, to: f64) -> Vec<f64> {
        let grid = |from: f64, to: f64, n: usize| {
            (0..=n).map(|i| from + (to - from) * i as f64 / n as f64).collect()
        };
        match self {
            Self::Constant | Self::Linear | Self::SquareRoot => vec![0.0],
            Self::Power => grid(-2.0, 3.0, STEPS),
            Self::NoiseScale | Self::Surge | Self::AdamNoiseScale => grid(from - FAR, to + FAR, STEPS),
        }
    }

    /// The values of the outer parameter (α) to try.
    fn outer(self) -> Vec<f64> {
        match self {
            Self::AdamNoiseScale => (0..=20).map(|i| 0.5 + 0.025 * f64::from(i)).collect(),
            _ => vec![1.0],
        }
    }

    fn shape(self, inner: f64, outer: f64) -> Shape {
        match self {
            Self::Power => Shape { power: inner, ln_scale: 0.0 },
            _ => Shape { power: outer, ln_scale: inner },
        }
    }
}

/// B_n is looked for this far (in the logarithm) beyond the batch sizes, where the limits are reached to 1 %.
const FAR: f64 = 5.0;
/// Steps of the inner parameter.
const STEPS: usize = 80;
/// How often the steps beside the best are halved.
const HALVINGS: i32 = 14;

/// The parameters that are not the factor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    pub(super) power: f64,
    pub(super) ln_scale: f64,
}

fn ln_1p_exp(v: f64) -> f64 {
    if v > 0.0 { v + (-v).exp().ln_1p() } else { v.exp().ln_1p() }
}

/// One form with one shape and the best factor for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) form: Form,
    pub(super) shape: Shape,
    /// ln of the factor.
    pub(super) level: f64,
    /// Σ (residual / error)².
    pub(super) deviance: f64,
}

impl Candidate {
    pub(super) fn at(&self, ln_batch: f64) -> f64 {
        self.level + self.form.at(ln_batch, self.shape)
    }
}

/// (ln batch, ln learning rate, weight = 1/variance)
pub(super) type Weighted = (f64, f64, f64);

fn with_shape(form: Form, shape: Shape, points: &[Weighted]) -> Candidate {
    let total: f64 = points.iter().map(|p| p.2).sum();
    let level: f64 = points.iter().map(|p| p.2 / total * (p.1 - form.at(p.0, shape))).sum();
    let deviance = points.iter().map(|p| p.2 * (p.1 - level - form.at(p.0, shape)).powi(2)).sum();
    Candidate { form, shape, level, deviance }
}

/// All candidates of one form, the best first: a grid, and about its best value ever finer steps, so that however precise the
/// points are, some shapes beside the best agree with them.
pub(super) fn candidates(form: Form, points: &[Weighted]) -> Vec<Candidate> {
    let ends = points.iter().fold((f64::MAX, f64::MIN), |m, p| (m.0.min(p.0), m.1.max(p.0)));
    let inner = form.inner(ends.0, ends.1);
    let step = inner.get(1).map_or(0.0, |second| second - inner[0]);
    let mut all: Vec<Candidate> = Vec::new();
    for outer in form.outer() {
        let with = |inner: f64| with_shape(form, form.shape(inner, outer), points);
        let start = all.len();
        all.extend(inner.iter().map(|&v| with(v)));
        let best = (start..all.len()).min_by(|&i, &j| all[i].deviance.total_cmp(&all[j].deviance));
        let Some(best) = best.filter(|_| step > 0.0) else { continue };
        let near = inner[best - start];
        let near = crate::search::golden(near - step, near + step, 40, |v| with(v).deviance);
        all.push(with(near));
        for k in 0..HALVINGS {
            let away = step * f64::from(-k).exp2();
            all.extend([with(near - away), with(near + away)]);
        }
    }
    all.retain(|c| c.level.is_finite() && c.deviance.is_finite());
    if let Some(best) = (0..all.len()).min_by(|&i, &j| all[i].deviance.total_cmp(&all[j].deviance)) {
        all.swap(0, best);
    }
    all
}
