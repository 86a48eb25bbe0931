//! The noise scales of the noisy quadratic model along a run, and their averages (theory §1.8, §3.3).
//!
//! *Does the average noise scale of a run tell its critical batch size?* McCandlish et al. 2018 (appendix D) say it does
//! if each step has its best learning rate: B_c is then the average of B_noise over progress. This is the test-bed for
//! that claim with one constant, tuned learning rate ([`Tuned::lowest`](super::Tuned::lowest), at the batch nearest B_c):
//!
//! | model | B | B_c of the fitted hyperbola | mean B_simple | mean B_noise |
//! |---|---|---|---|---|
//! | K = 100, target 0.1 | 64 | 57.8 | 95.9 | 43.4 |
//! | K = 10,000, target 0.01 | 1024 | 852 | 1885 | 356 |
//!
//! Neither is B_c; each is within a factor of about 2 (theory §1.8, which has 1878 and 354 in the last row: they are
//! those of a learning rate 0.1 % larger). Nor are they properties of the problem alone: at the *largest* learning rate
//! that needs as few steps they are 64.4 and 25.5 in the first row. A hotter run stays where the gradient is larger.
//!
//! ```
//! use batchwise_estimate::oracle::{Quadratic, Setting};
//!
//! let world = Quadratic::zhang(100)?;
//! let mean = world.mean_noise_scale(&Setting::sgd(64.0, 1.3487), 51)?;
//! assert!((mean.b_simple - 95.9).abs() < 0.1 && (mean.b_noise - 43.4).abs() < 0.1);
//! # Ok::<(), batchwise_estimate::oracle::OracleError>(())
//! ```

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

use super::error::{OracleError, answer};
use super::optimizer::Setting;
use super::quadratic::Quadratic;
use super::run::single_steps;
use super::targets::SCAN_BUDGET;

/// Noise scales averaged over a run, in examples.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct MeanNoiseScale {
    /// Mean of B_simple over the points θ_0 … θ_S, each counted once.
    pub b_simple: f64,
    /// Mean of B_noise over the same points.
    pub b_noise: f64,
    /// Mean of B_noise over progress: point t counts 1/(1 + B_noise,t/B), the share of a noiseless step that a step of B
    /// makes there (McCandlish et al. 2018, appendix D).
    pub b_noise_by_progress: f64,
}

impl Quadratic {
    /// Averages of the noise scales over the points of a run of `steps` steps, its end included.
    ///
    /// The scale at a point is that of [`Run::one_step`](super::Run::one_step), a ratio of expectations.
    ///
    /// # Errors
    /// A bad setting; more than [`SCAN_BUDGET`] modes × steps; [`OracleError::Overflow`] where the gradient vanishes or
    /// the run diverges.
    pub fn mean_noise_scale(&self, setting: &Setting, steps: u64) -> Result<MeanNoiseScale, OracleError> {
        let setting = setting.check()?;
        if steps > SCAN_BUDGET / self.curvature().len() as u64 {
            let allowed = "at most 200 million steps times modes";
            return Err(OracleError::BadValue { what: "number of steps", value: steps as f64, allowed });
        }
        let maps = single_steps(self, &setting);
        let mut run = self.run(setting.optimizer)?;
        let (mut simple, mut noise, mut weighted, mut progress) = (0.0, 0.0, 0.0, 0.0);
        for t in 0..=steps {
            if t > 0 {
                run.take(&maps);
            }
            let here = run.one_step()?;
            let beyond = || OracleError::Overflow { what: "a noise scale" };
            let b_noise = here.b_noise().ok_or_else(beyond)?;
            simple += here.b_simple().ok_or_else(beyond)?;
            noise += b_noise;
            let share = 1.0 / (1.0 + b_noise / setting.batch);
            weighted += share * b_noise;
            progress += share;
        }
        let n = steps as f64 + 1.0;
        Ok(MeanNoiseScale {
            b_simple: answer("the mean noise scale", simple / n)?,
            b_noise: answer("the mean noise scale", noise / n)?,
            b_noise_by_progress: answer("the mean noise scale", weighted / progress)?,
        })
    }
}
