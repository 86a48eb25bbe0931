//! Draws from the oracle's models, for tests and for teaching: what an estimator sees, with the truth beside it.
//!
//! Every draw is a pure function of (seed, stream, position): example 7 is the same whoever asks for it, in whatever
//! order and batch. Different streams are independent.
//!
//! ```
//! use batchwise_estimate::noise::{MicroNorm, measure};
//! use batchwise_estimate::oracle::GaussianGradients;
//!
//! // ‖G‖² = 1, tr Σ = 40: φ = 40 examples. 500 measurements of 16 examples each.
//! let world = GaussianGradients::new(vec![0.5; 4], vec![10.0; 4])?;
//! let (mut g2, mut tr_sigma) = (0.0, 0.0);
//! for k in 0..500 {
//!     let examples: Vec<Vec<f64>> = (0..16).map(|i| world.example(1, k, i)).collect();
//!     let norm2 = |g: &[f64]| g.iter().map(|x| x * x).sum::<f64>();
//!     let micro: Vec<MicroNorm> =
//!         examples.iter().map(|g| MicroNorm { weight: 1.0, norm2: norm2(g) }).collect();
//!     let mean: Vec<f64> = (0..4).map(|d| examples.iter().map(|g| g[d]).sum::<f64>() / 16.0).collect();
//!     let m = measure(&micro, norm2(&mean)).unwrap();
//!     g2 += m.g2;
//!     tr_sigma += m.tr_sigma;
//! }
//! assert!((tr_sigma / g2 / 40.0 - 1.0).abs() < 0.2);
//! # Ok::<(), batchwise_estimate::oracle::OracleError>(())
//! ```

use super::error::{OracleError, all_finite, all_not_negative, answer, length, positive};
use super::matrix::dot;
use super::optimizer::{Optimizer, Setting};
use super::quadratic::Quadratic;
use super::regression::LinearRegression;
use crate::random::{Draws, LARGEST_NORMAL};

/// Per-example gradients g_i ~ N(G, diag λ), for which theory §1.3 knows every variance.
#[derive(Debug, Clone, PartialEq)]
pub struct GaussianGradients {
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

impl GaussianGradients {
    /// From the mean G and the variances λ of one example's gradient.
    ///
    /// # Errors
    /// Lists that are empty or of unequal lengths, a mean that is not finite, a variance that is negative or not finite;
    /// [`OracleError::Overflow`] where a draw may be beyond a float.
    pub fn new(mean: Vec<f64>, variance: Vec<f64>) -> Result<Self, OracleError> {
        all_finite("mean", &mean)?;
        all_not_negative("variance", &variance)?;
        length("variance", variance.len(), mean.len())?;
        let deviation: Vec<f64> = variance.into_iter().map(f64::sqrt).collect();
        for (m, s) in mean.iter().zip(&deviation) {
            answer("a draw", m.abs() + LARGEST_NORMAL * s)?;
        }
        Ok(Self { mean, deviation })
    }

    /// The gradient of one example.
    #[must_use]
    pub fn example(&self, seed: u64, stream: u64, position: u64) -> Vec<f64> {
        self.scaled(1.0, &mut Draws::at(seed, stream, position, self.mean.len()))
    }

    /// The mean gradient of a batch of `batch` examples, drawn at once from its own law N(G, diag λ/B). It is not the
    /// mean of the examples of the same address.
    ///
    /// # Errors
    /// A batch that is no positive number; [`OracleError::Overflow`] where it is so far below 1 that the draw is beyond
    /// a float.
    pub fn batch(&self, batch: f64, seed: u64, stream: u64, position: u64) -> Result<Vec<f64>, OracleError> {
        let share = positive("batch size", batch)?.sqrt().recip();
        let draw = self.scaled(share, &mut Draws::at(seed, stream, position, self.mean.len()));
        draw.into_iter().map(|g| answer("a draw", g)).collect()
    }

    fn scaled(&self, share: f64, draws: &mut Draws) -> Vec<f64> {
        self.mean.iter().zip(&self.deviation).map(|(m, s)| m + share * s * draws.normal()).collect()
    }
}

/// One example of a linear regression.
#[derive(Debug, Clone, PartialEq)]
pub struct RegressionExample {
    /// The input x ~ N(0, H).
    pub input: Vec<f64>,
    /// xᵀδ − ξ, the prediction minus the label.
    pub residual: f64,
}

impl RegressionExample {
    /// The gradient of ½(y − xᵀw)²: residual·x.
    #[must_use]
    pub fn gradient(&self) -> Vec<f64> {
        self.input.iter().map(|x| self.residual * x).collect()
    }
}

impl LinearRegression {
    /// One example.
    #[must_use]
    pub fn example(&self, seed: u64, stream: u64, position: u64) -> RegressionExample {
        let d = self.deviation().len();
        let mut draws = Draws::at(seed, stream, position, d + 1);
        let white: Vec<f64> = (0..d).map(|_| draws.normal()).collect();
        let input: Vec<f64> = self.factor().iter().map(|row| dot(row, &white)).collect();
        let residual = dot(&input, self.deviation()) - self.label_noise().sqrt() * draws.normal();
        RegressionExample { input, residual }
    }
}

impl Quadratic {
    /// The losses of one random run, at each of 0 to `steps` steps, from θ_i = √s_i. Cost and memory grow with `steps`.
    ///
    /// # Errors
    /// A bad setting; [`OracleError::Overflow`] where the run diverges beyond a float.
    pub fn sample_run(
        &self,
        setting: &Setting,
        steps: u32,
        seed: u64,
        stream: u64,
    ) -> Result<Vec<f64>, OracleError> {
        let setting = setting.check()?;
        let eta = setting.learning_rate;
        let deviation: Vec<f64> = self.noise().iter().map(|c| (c / setting.batch).sqrt()).collect();
        let mut draws = Draws::new(seed, stream);
        let mut theta: Vec<f64> = self.start().iter().map(|s| s.sqrt()).collect();
        let (mut velocity, mut average) = (vec![0.0; theta.len()], theta.clone());
        let mut losses = vec![self.start_loss()];
        for _ in 0..steps {
            for i in 0..theta.len() {
                let gradient = self.curvature()[i] * theta[i] + deviation[i] * draws.normal();
                let mu =
                    if let Optimizer::HeavyBall { momentum } = setting.optimizer { momentum } else { 0.0 };
                velocity[i] = mu * velocity[i] - eta * gradient;
                theta[i] += velocity[i];
                let gamma = if let Optimizer::Averaged { decay } = setting.optimizer { decay } else { 0.0 };
                average[i] = gamma * average[i] + (1.0 - gamma) * theta[i];
            }
            let loss = self.curvature().iter().zip(&average).map(|(h, a)| 0.5 * h * a * a).sum();
            losses.push(answer("the loss", loss)?);
        }
        Ok(losses)
    }
}
