//! A run on the noisy quadratic model: its second moments, moved by pieces of constant batch and learning rate.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::affine::Affine;
use super::error::{OracleError, answer};
use super::one_step::OneStep;
use super::optimizer::{Optimizer, Setting};
use super::quadratic::Quadratic;
use super::{averaged, momentum, sgd};

/// A piece of a schedule: so many steps at one batch size and learning rate.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Segment {
    /// How many steps.
    pub steps: u64,
    /// B, in examples.
    pub batch: f64,
    /// η.
    pub learning_rate: f64,
}

/// The second moments of every mode, at some point of a run.
///
/// Velocity and average are carried from piece to piece, so a schedule that changes batch size and learning rate is
/// exact too, for a heavy ball whose velocity holds the learning rate (v ← μv − ηĝ). PyTorch's, and `batchwise_nn`'s, is
/// multiplied by it afterwards, which is the same only while the rate stays.
///
/// ```
/// use batchwise_estimate::oracle::{Optimizer, Quadratic};
///
/// let world = Quadratic::zhang(100)?;
/// let mut run = world.run(Optimizer::Sgd)?;
/// run.advance(16.0, 0.2, 100)?.advance(64.0, 0.2, 100)?;
/// assert_eq!(run.steps(), 200);
/// assert!(run.loss()? < 0.2);
/// # Ok::<(), batchwise_estimate::oracle::OracleError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Run<'a> {
    model: &'a Quadratic,
    optimizer: Optimizer,
    steps: u64,
    /// (Eθ², Ev², Eθv) or (Eθ², Ea², Eaθ); of SGD only the first.
    moments: Vec<[f64; 3]>,
}

impl<'a> Run<'a> {
    pub(super) fn new(model: &'a Quadratic, optimizer: Optimizer) -> Result<Self, OracleError> {
        let optimizer = optimizer.check()?;
        let moments = model.start().iter().map(|&s| match optimizer {
            Optimizer::Sgd | Optimizer::HeavyBall { .. } => [s, 0.0, 0.0],
            Optimizer::Averaged { .. } => [s; 3],
        });
        Ok(Self { model, optimizer, steps: 0, moments: moments.collect() })
    }

    /// How many steps it has made.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Moves on by `steps` steps at this batch size and learning rate, at the cost of one whatever their number.
    ///
    /// # Errors
    /// A bad setting; [`OracleError::Overflow`] where the run has diverged beyond a float. The run is then where it was.
    pub fn advance(&mut self, batch: f64, learning_rate: f64, steps: u64) -> Result<&mut Self, OracleError> {
        let setting = Setting { optimizer: self.optimizer, batch, learning_rate }.check()?;
        let mut moved = Vec::with_capacity(self.moments.len());
        for ((_, x, kick), &p) in self.model.scaled(&setting).zip(&self.moments) {
            let next = match self.optimizer {
                Optimizer::Sgd => [sgd::mode(p[0], x, kick)?.at(steps as f64), 0.0, 0.0],
                Optimizer::HeavyBall { momentum } => momentum::step(x, momentum, kick).power(steps).apply(p),
                Optimizer::Averaged { decay } => averaged::step(x, decay, kick).power(steps).apply(p),
            };
            for moment in next {
                answer("a second moment", moment)?;
            }
            moved.push(next);
        }
        self.moments = moved;
        self.steps = self.steps.saturating_add(steps);
        Ok(self)
    }

    /// E L here: at θ, or at the average where there is one.
    ///
    /// # Errors
    /// [`OracleError::Overflow`].
    pub fn loss(&self) -> Result<f64, OracleError> {
        let which = usize::from(matches!(self.optimizer, Optimizer::Averaged { .. }));
        let modes = self.model.curvature().iter().zip(&self.moments);
        let loss = answer("the loss", modes.map(|(h, p)| 0.5 * h * p[which]).sum())?;
        // A second moment is not negative; its rounding may be. Not before the check: max(NaN, 0) is 0.
        Ok(loss.max(0.0))
    }

    /// Gradient, noise and curvature here, at θ: E‖G‖² = Σh²m, tr Σ = Σc, E GᵀHG = Σh³m, tr(HΣ) = Σhc.
    ///
    /// So [`OneStep::b_simple`] and [`OneStep::b_noise`] are ratios of expectations over runs, as an estimator that
    /// averages before it divides sees them.
    ///
    /// # Errors
    /// [`OracleError::Overflow`].
    pub fn one_step(&self) -> Result<OneStep, OracleError> {
        let sum = |f: &dyn Fn(f64, f64, f64) -> f64| -> f64 {
            let modes = self.model.curvature().iter().zip(self.model.noise()).zip(&self.moments);
            modes.map(|((&h, &c), p)| f(h, c, p[0])).sum()
        };
        OneStep {
            g2: sum(&|h, _, m| h * h * m),
            tr_sigma: sum(&|_, c, _| c),
            g_h_g: sum(&|h, _, m| h * h * h * m),
            tr_h_sigma: sum(&|h, c, _| h * c),
        }
        .whole()
    }

    /// One step, by steps made beforehand; the moments may become infinite.
    pub(super) fn take(&mut self, steps: &[Affine]) {
        for (p, step) in self.moments.iter_mut().zip(steps) {
            *p = step.apply(*p);
        }
        self.steps += 1;
    }
}

impl Quadratic {
    /// E L at the end of each piece.
    ///
    /// # Errors
    /// A bad setting in a piece; [`OracleError::Overflow`] where the run has diverged beyond a float.
    pub fn loss_along(&self, optimizer: Optimizer, schedule: &[Segment]) -> Result<Vec<f64>, OracleError> {
        let mut run = self.run(optimizer)?;
        schedule.iter().map(|s| run.advance(s.batch, s.learning_rate, s.steps)?.loss()).collect()
    }
}

/// The single step of every mode, for going through a run one by one.
pub(super) fn single_steps(model: &Quadratic, setting: &Setting) -> Vec<Affine> {
    let step = |(_, x, kick): (f64, f64, f64)| match setting.optimizer {
        Optimizer::Sgd => {
            let r = 1.0 - x;
            Affine { matrix: [[r * r, 0.0, 0.0], [0.0; 3], [0.0; 3]], shift: [kick, 0.0, 0.0] }
        }
        Optimizer::HeavyBall { momentum } => momentum::step(x, momentum, kick),
        Optimizer::Averaged { decay } => averaged::step(x, decay, kick),
    };
    model.scaled(setting).map(step).collect()
}
