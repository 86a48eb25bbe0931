//! Probes of how a trained model generalises: the gap between training and test, two kinds of sharpness, the temperature of
//! the gradient noise (theory.md §5).
//!
//! Sharpness is a description, not a verdict: it changes under rescalings that leave the model as it is (Dinh et al.
//! 2017), and across models it does not correlate well with generalisation (Andriushchenko et al. 2023). Compare it
//! between runs of one model on the same examples only, and judge by the gap.
//!
//! All probes work on a [`Point`]: a task in evaluation mode (dropout off, running statistics) on a fixed set of examples.
//! They leave every parameter as it was, bit for bit, also where they fail.

mod eigenvalue;
mod gap;
mod point;
mod sharpness;
mod temperature;
mod vector;

pub use eigenvalue::{Eigenvalue, EigenvalueConfig, top_eigenvalue};
pub use gap::{Gap, gap};
pub use point::Point;
pub use sharpness::{Ball, Sharpness, SharpnessConfig, sharpness};
pub use temperature::temperature;
