//! The noisy quadratic model (Zhang et al. 2019, arXiv 1907.04164; theory §3.3).
//!
//! *How do steps, batch size and learning rate trade, where everything is known?* The loss is L = ½Σh_iθ_i². The
//! gradient of a batch of B is h_iθ_i + ξ_i with ξ_i ~ N(0, c_i/B), and E θ_i² = s_i at the start. Every optimizer
//! here is linear, so the second moments of each mode follow a linear recursion, and E L_t is known for every t:
//!
//! - **SGD**: m_t = m_∞ + ρᵗ(m_0 − m_∞), ρ = (1−ηh)², m_∞ = ηc/(B h(2−ηh)); stable below ηh = 2;
//! - **heavy ball**: three moments and a 3×3 matrix; m_∞ = η(1+μ)c/(B h(1−μ)(2(1+μ)−ηh)); stable below 2(1+μ);
//! - **averaging** of SGD: m_∞ smaller by [(1−γ)/(1+γ)]·[(1+γr)/(1−γr)], r = 1−ηh, at a lag of about γ/(1−γ) steps.
//!
//! It holds exactly, for any η, on this loss. It leaves out what real losses have: curvature that moves, noise that
//! shrinks with the gradient, a test loss. The hyperbola S(B) = S_min(1+B_c/B) is not exact even here: tuned runs of
//! the model lie within 6 % of it for K = 100 and within 16 % for K = 10,000 (theory §3.3), so a residual of that size
//! is not evidence of an error.
//!
//! ```
//! use batchwise_estimate::oracle::{Quadratic, Setting};
//!
//! let world = Quadratic::zhang(100)?;
//! let setting = Setting::sgd(16.0, 0.05);
//! assert!((world.loss(&setting, 0)? - 2.59368875882).abs() < 1e-11);
//! assert!((world.loss(&setting, 1000)? - 0.114431895626).abs() < 1e-12);
//! // How long until the loss is below 0.1, and where would it end?
//! assert_eq!(world.steps_to_target(&setting, 0.1, 1_000_000)?.steps(), Some(1085));
//! assert!(world.stationary_loss(&setting)?.unwrap() < 0.1);
//! # Ok::<(), batchwise_estimate::oracle::OracleError>(())
//! ```

use super::curve::Curve;
use super::error::{OracleError, all_not_negative, all_positive, answer, length};
use super::optimizer::{Optimizer, Setting};
use super::run::Run;
use super::{averaged, momentum, sgd};

/// A noisy quadratic model: one curvature, noise and start per mode.
#[derive(Debug, Clone, PartialEq)]
pub struct Quadratic {
    curvature: Vec<f64>,
    noise: Vec<f64>,
    start: Vec<f64>,
}

impl Quadratic {
    /// From curvature h_i (above 0), noise c_i (variance of one example's gradient, at least 0) and start s_i = E θ_i²
    /// (at least 0) of each mode.
    ///
    /// # Errors
    /// Lists that are empty, of unequal lengths or hold numbers outside their range; a starting loss beyond a float.
    pub fn new(curvature: Vec<f64>, noise: Vec<f64>, start: Vec<f64>) -> Result<Self, OracleError> {
        all_positive("curvature", &curvature)?;
        all_not_negative("noise", &noise)?;
        all_not_negative("start", &start)?;
        length("noise", noise.len(), curvature.len())?;
        length("start", start.len(), curvature.len())?;
        let model = Self { curvature, noise, start };
        answer("the starting loss", model.start_loss())?;
        Ok(model)
    }

    /// The model of the paper's notebook: h_i = 1/i, c_i = h_i, s_i = 1 for i = 1 to `modes` (the paper has 10,000).
    ///
    /// Without the notebook's 1e-8 in the denominator of m_∞ and its 100 bins of h, which are not exact.
    ///
    /// # Errors
    /// No mode.
    pub fn zhang(modes: usize) -> Result<Self, OracleError> {
        let h: Vec<f64> = (1..=modes).map(|i| 1.0 / i as f64).collect();
        Self::new(h.clone(), h, vec![1.0; modes])
    }

    /// The same problem for steps along H^{−p}ĝ, as a model for plain SGD in the coordinates H^{p/2}θ: h ← h^{1−p},
    /// c ← c h^{−p}, s ← s h^p, the same loss. p = 0 changes nothing, p = 1 is Newton's direction.
    ///
    /// # Errors
    /// A power beyond a float.
    pub fn preconditioned(&self, p: f64) -> Result<Self, OracleError> {
        let with = |values: &[f64], q: f64| -> Vec<f64> {
            values
                .iter()
                .zip(&self.curvature)
                .map(|(v, h)| if *v == 0.0 { 0.0 } else { v * h.powf(q) })
                .collect()
        };
        Self::new(with(&self.curvature, -p), with(&self.noise, -p), with(&self.start, p))
    }

    /// h_i.
    #[must_use]
    pub fn curvature(&self) -> &[f64] {
        &self.curvature
    }

    /// c_i.
    #[must_use]
    pub fn noise(&self) -> &[f64] {
        &self.noise
    }

    /// s_i.
    #[must_use]
    pub fn start(&self) -> &[f64] {
        &self.start
    }

    /// E L_0 = ½Σh_is_i.
    #[must_use]
    pub fn start_loss(&self) -> f64 {
        self.curvature.iter().zip(&self.start).map(|(h, s)| 0.5 * h * s).sum()
    }

    /// The smallest learning rate at which some mode no longer settles: 2/h_max, or 2(1+μ)/h_max with momentum.
    ///
    /// # Errors
    /// A bad optimizer, [`OracleError::Overflow`] where every curvature is tiny.
    pub fn learning_rate_limit(&self, optimizer: Optimizer) -> Result<f64, OracleError> {
        let largest = self.curvature.iter().fold(0.0, |a: f64, &h| a.max(h));
        answer("the limit of the learning rate", optimizer.stability()? / largest)
    }

    /// E L_t after `steps` steps from the start.
    ///
    /// # Errors
    /// A bad setting; [`OracleError::Overflow`] where the run has diverged beyond a float.
    pub fn loss(&self, setting: &Setting, steps: u64) -> Result<f64, OracleError> {
        let mut run = self.run(setting.optimizer)?;
        run.advance(setting.batch, setting.learning_rate, steps)?;
        run.loss()
    }

    /// E L_∞, where the run settles; `None` where it does not: at and above [`learning_rate_limit`](Self::learning_rate_limit).
    ///
    /// # Errors
    /// A bad setting; [`OracleError::Overflow`] where it settles beyond a float.
    pub fn stationary_loss(&self, setting: &Setting) -> Result<Option<f64>, OracleError> {
        let setting = setting.check()?;
        let limit = setting.optimizer.stability()?;
        let mut loss = 0.0;
        for (h, x, kick) in self.scaled(&setting) {
            if x >= limit {
                return Ok(None);
            }
            loss += 0.5
                * h
                * match setting.optimizer {
                    Optimizer::Sgd => sgd::settled(x, kick),
                    Optimizer::HeavyBall { momentum: mu } => momentum::settled(x, mu, kick),
                    Optimizer::Averaged { decay } => averaged::settled(x, decay, kick),
                };
        }
        answer("the stationary loss", loss).map(Some)
    }

    /// A run from the start, to be advanced step by step or by pieces of a schedule.
    ///
    /// # Errors
    /// A momentum or decay outside [0, 1).
    pub fn run(&self, optimizer: Optimizer) -> Result<Run<'_>, OracleError> {
        Run::new(self, optimizer)
    }

    /// (h, ηh, η²c/B) of each mode.
    pub(super) fn scaled(&self, setting: &Setting) -> impl Iterator<Item = (f64, f64, f64)> {
        let (eta, batch) = (setting.learning_rate, setting.batch);
        self.curvature.iter().zip(&self.noise).map(move |(&h, &c)| (h, eta * h, eta * (eta * c / batch)))
    }

    /// The loss of SGD as a function of t.
    pub(super) fn curve(&self, setting: &Setting) -> Result<Curve, OracleError> {
        let modes: Result<Vec<_>, OracleError> = self
            .scaled(setting)
            .zip(&self.start)
            .map(|((h, x, kick), &s)| Ok((0.5 * h, sgd::mode(s, x, kick)?)))
            .collect();
        Ok(Curve::new(modes?))
    }
}
