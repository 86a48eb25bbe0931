//! What a set of glyphs looks like.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::alphabet::MAX_CLASSES;
use crate::DataError;
use crate::order::MAX_LEN;

/// Settings of the built-in image set.
///
/// The default is meant to be hard for a linear model and easy for a small CNN: see the crate's `hardness` test for
/// the accuracies that are checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GlyphsConfig {
    /// Classes, 2 to [`MAX_CLASSES`]: digits first, then letters. Each example's class is drawn uniformly.
    pub n_classes: usize,
    /// Rows and columns of an image in pixels, 8 to 256.
    pub size: usize,
    /// Training examples, 1 to 2^40; a longer set begins with the same examples.
    pub train_len: u64,
    /// Test examples, 1 to 2^40; they share no example with the training split.
    pub test_len: u64,
    /// Names the whole set: another seed gives other examples of the same kind.
    pub seed: u64,
    /// Strength of rotation, shear, scaling, bending, shift and wobble, 0 (none) to 2.
    pub distortion: f32,
    /// Least and greatest stroke width, in pixels of a 28-pixel image, 0.5 to 8.
    pub stroke: (f32, f32),
    /// Width of the soft edge of a stroke, in pixels of a 28-pixel image, 0.1 to 8.
    pub blur: f32,
    /// Strength of distracting strokes, background and pixel noise, 0 (none) to 2.
    pub clutter: f32,
    /// Probability that a training label is replaced by a uniformly random other class, 0 to 1.
    ///
    /// The picture stays: this is noise that no model can remove, and it raises the gradient noise late in training.
    pub label_noise: f32,
    /// The same for test labels; 0 by default, so that test accuracy measures what was learnt.
    pub test_label_noise: f32,
}

impl Default for GlyphsConfig {
    fn default() -> GlyphsConfig {
        GlyphsConfig {
            n_classes: 10,
            size: 28,
            train_len: 60_000,
            test_len: 10_000,
            seed: 0,
            distortion: 1.0,
            stroke: (1.6, 3.2),
            blur: 1.2,
            clutter: 1.0,
            label_noise: 0.02,
            test_label_noise: 0.0,
        }
    }
}

impl GlyphsConfig {
    /// Checks every setting.
    ///
    /// # Errors
    ///
    /// [`DataError::Setting`] names the first setting outside its range.
    pub fn validate(&self) -> Result<(), DataError> {
        within("n_classes", self.n_classes as u64, 2, MAX_CLASSES as u64)?;
        within("size", self.size as u64, 8, 256)?;
        within("train_len", self.train_len, 1, MAX_LEN)?;
        within("test_len", self.test_len, 1, MAX_LEN)?;
        within("distortion", self.distortion, 0.0, 2.0)?;
        within("stroke.0", self.stroke.0, 0.5, 8.0)?;
        within("stroke.1", self.stroke.1, self.stroke.0, 8.0)?;
        within("blur", self.blur, 0.1, 8.0)?;
        within("clutter", self.clutter, 0.0, 2.0)?;
        within("label_noise", self.label_noise, 0.0, 1.0)?;
        within("test_label_noise", self.test_label_noise, 0.0, 1.0)
    }

    /// Adds every setting to a hash, in a fixed order and layout.
    pub(super) fn add_to_hash(&self, hasher: &mut Sha256) {
        let GlyphsConfig { n_classes, size, train_len, test_len, seed, .. } = self;
        for number in [*n_classes as u64, *size as u64, *train_len, *test_len, *seed] {
            hasher.update(number.to_le_bytes());
        }
        let GlyphsConfig { distortion, stroke, blur, clutter, label_noise, test_label_noise, .. } = self;
        for number in [distortion, &stroke.0, &stroke.1, blur, clutter, label_noise, test_label_noise] {
            hasher.update(number.to_bits().to_le_bytes());
        }
    }
}

fn within<T>(field: &'static str, found: T, least: T, most: T) -> Result<(), DataError>
where
    T: PartialOrd + std::fmt::Display,
{
    // Written so that NaN is outside.
    if least <= found && found <= most {
        return Ok(());
    }
    Err(DataError::Setting { field, found: found.to_string(), allowed: format!("{least}..={most}") })
}
