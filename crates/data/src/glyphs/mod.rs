//! The built-in image set: glyphs drawn from stroke skeletons, each a pure function of its index.
//!
//! `alphabet` holds the skeletons, `pose` bends one into line segments, `draw` turns segments into pixels, and
//! `dataset` addresses the randomness. All arithmetic is integer or f32 `+ - * / sqrt`, which IEEE 754 fixes to the
//! last bit: an image is the same on every platform.

mod alphabet;
mod config;
mod dataset;
mod draw;
mod pose;

pub use alphabet::MAX_CLASSES;
pub use config::GlyphsConfig;
pub use dataset::{GENERATOR_VERSION, Glyphs, Split};
