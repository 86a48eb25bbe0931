//! Augmentation: each epoch shows another variant of each image.
//!
//! `config` says which transforms there are, `choice` draws what happens to one image, `transform` does it to its pixels,
//! `beta` draws how two images are mixed, `maths` holds the two functions that this needs on every machine alike, and
//! `dataset` puts them behind a [`crate::Dataset`].

mod beta;
mod choice;
mod config;
mod dataset;
mod maths;
mod transform;

pub use config::AugmentConfig;
pub use dataset::Augmented;
