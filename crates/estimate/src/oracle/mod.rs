//! The oracle: small worlds in which the right answer is known, to learn from and to test estimators against.
//!
//! # What a batch of 16 costs and gains in the simplest world
//!
//! [`LocalQuadratic`] and [`OneStep`] say what one step gains. Take a place where B_noise is 16:
//!
//! ```
//! use batchwise_estimate::oracle::OneStep;
//!
//! let here = OneStep { g2: 1.0, tr_sigma: 16.0, g_h_g: 1.0, tr_h_sigma: 16.0 };
//! // One example gains 1/17 of what a noiseless step would, and a batch of 16 a half: 8.5 times the gain for 16
//! // times the cost. In steps it is cheap, in examples it is dear.
//! let (one, sixteen) = (here.best_gain(1.0).unwrap(), here.best_gain(16.0).unwrap());
//! assert!((sixteen / one - 8.5).abs() < 1e-12);
//! // Its learning rate must be 8.5 times larger too: not 16 times (the linear rule), not 4 (the square root).
//! let ratio = here.best_learning_rate(16.0).unwrap() / here.best_learning_rate(1.0).unwrap();
//! assert!((ratio - 8.5).abs() < 1e-12);
//! ```
//!
//! A whole run adds what one step cannot show: slow modes, a floor set by the noise, and a learning rate that must serve
//! from the first step to the last. [`Quadratic`] has all of these and still a closed form:
//!
//! ```
//! use batchwise_estimate::oracle::{Optimizer, Quadratic};
//!
//! let world = Quadratic::zhang(100)?;
//! let tuned = world.tuned(Optimizer::Sgd, &[1.0, 16.0, 256.0], 0.1, 1_000_000)?;
//! let steps: Vec<u64> = tuned.iter().flatten().map(|t| t.steps).collect();
//! // From 1 to 16 examples the steps fall 13.9-fold: 16 is nearly free. From 16 to 256 only 3.5-fold.
//! assert_eq!(steps, [1719, 124, 35]);
//! # Ok::<(), batchwise_estimate::oracle::OracleError>(())
//! ```
//!
//! # The worlds
//!
//! | world | noise | known | use it to see |
//! |---|---|---|---|
//! | [`LocalQuadratic`] | any Σ | one step | B_simple against B_noise, preconditioning |
//! | [`Quadratic`] | constant | the whole run, three optimizers | S(B), tuned learning rates, schedules, averaging |
//! | [`LinearRegression`] | from the data | one step | noise scales that grow as training goes on |
//! | [`IsotropicRegression`] | from the data | the whole run | a noise scale that is a constant, d+1 |
//! | [`SignDescent`] | Gaussian | one step of sign descent | why Adam's learning rate stops growing, the Surge curve |
//! | [`GaussianGradients`] | diagonal Σ | all moments | estimators of ‖G‖² and tr Σ |
//!
//! The modules are chapters: each begins with its question, its formula, and where it holds. [`one_step`], [`quadratic`],
//! [`targets`] and [`noise_scale`] belong together and are best read in that order.
//!
//! Losses, steps and learning rates are exact up to rounding. What these worlds leave out is what makes a measurement
//! worth its cost: curvature that moves during training, heavy tails, a test loss. An estimator that fails here is
//! wrong; one that works here need not be right elsewhere.

mod affine;
mod averaged;
mod curve;
mod error;
pub mod isotropic;
mod matrix;
mod momentum;
pub mod noise_scale;
pub mod one_step;
mod optimizer;
pub mod quadratic;
mod reach;
pub mod regression;
mod run;
pub mod sample;
mod sgd;
pub mod sign;
pub mod targets;

pub use error::OracleError;
pub use isotropic::IsotropicRegression;
pub use matrix::Symmetric;
pub use noise_scale::MeanNoiseScale;
pub use one_step::{LocalQuadratic, OneStep, share_of_best};
pub use optimizer::{Optimizer, Setting};
pub use quadratic::Quadratic;
pub use reach::{MAX_STEPS, Reach};
pub use regression::LinearRegression;
pub use run::{Run, Segment};
pub use sample::{GaussianGradients, RegressionExample};
pub use sign::{SignDescent, SurgePeak};
pub use targets::{SCAN_BUDGET, Tuned};
