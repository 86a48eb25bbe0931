//! The ridge: the best learning rate at each batch size, and how it moves with the batch size.

mod contest;
mod effort;
mod exponent;
mod fit;
mod forms;
mod grid;
mod input;
mod next;
mod optimum;
mod parabola;
mod rules;
mod shape;
mod window;

pub use contest::{Contest, FormFit, FormVerdict, SAME, Transfer};
pub use effort::{
    Effort, EffortCheck, check_equal_effort, corrected_minimum, expected_minimum, expected_minimum_bias,
};
pub use fit::{RidgeFit, fit_ridge};
pub use forms::Form;
pub use grid::{BestLr, EXCESS, Edge, LrPoint, best_learning_rate};
pub use input::{Goal, Options, RidgeError, RidgePoint};
pub use next::{Next, next_learning_rates};
pub use optimum::BestAtBatch;
pub use rules::{effective_learning_rate, follow_power, progress_share, round_down};
