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

    /// The same with some settings changed by a text such as `classes=20,train=200000,label_noise=0.1`.
    ///
    /// The names are `classes`, `size`, `train`, `test`, `seed`, `distortion`, `stroke` (widths joined by `-`, as in
    /// `1-2.5`), `blur`, `clutter`, `label_noise` and `test_label_noise`.
    ///
    /// # Errors
    ///
    /// [`DataError::Setting`] for an unknown name, a value that is no number, or one outside its range.
    ///
    /// ```
    /// use batchwise_data::GlyphsConfig;
    ///
    /// let config = GlyphsConfig::default().with_settings("classes=20,clutter=0.5")?;
    /// assert_eq!((config.n_classes, config.clutter), (20, 0.5));
    /// # Ok::<(), batchwise_data::DataError>(())
    /// ```
    pub fn with_settings(&self, text: &str) -> Result<GlyphsConfig, DataError> {
        let mut config = self.clone();
        for setting in text.split(',').map(str::trim).filter(|setting| !setting.is_empty()) {
            let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
            let (name, value) = (name.trim(), value.trim());
            match name {
                "classes" => config.n_classes = number("classes", value)?,
                "size" => config.size = number("size", value)?,
                "train" => config.train_len = number("train", value)?,
                "test" => config.test_len = number("test", value)?,
                "seed" => config.seed = number("seed", value)?,
                "distortion" => config.distortion = number("distortion", value)?,
                "stroke" => {
                    let (least, most) = value.split_once('-').unwrap_or((value, value));
                    config.stroke = (number("stroke", least)?, number("stroke", most)?);
                }
                "blur" => config.blur = number("blur", value)?,
                "clutter" => config.clutter = number("clutter", value)?,
                "label_noise" => config.label_noise = number("label_noise", value)?,
                "test_label_noise" => config.test_label_noise = number("test_label_noise", value)?,
                _ => {
                    let allowed = "classes, size, train, test, seed, distortion, stroke, blur, clutter, label_noise, \
                                   test_label_noise";
                    let found = name.to_owned();
                    return Err(DataError::Setting { field: "glyphs", found, allowed: allowed.to_owned() });
                }
            }
        }
        config.validate()?;
        Ok(config)
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

fn number<T: std::str::FromStr>(field: &'static str, found: &str) -> Result<T, DataError> {
    let refused = |_| DataError::Setting { field, found: found.to_owned(), allowed: "a number".to_owned() };
    found.parse().map_err(refused)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_from_text() {
        let config = GlyphsConfig::default();
        assert_eq!(config.with_settings("").unwrap(), config);
        let changed = config.with_settings("train=7, stroke=1-2.5,label_noise=0.1,seed=9").unwrap();
        let want =
            GlyphsConfig { train_len: 7, stroke: (1.0, 2.5), label_noise: 0.1, seed: 9, ..config.clone() };
        assert_eq!(changed, want);
    }

    #[test]
    fn wrong_settings_are_named() {
        let cases = [
            ("clases=3", "clases"),
            ("classes", "a number"),
            ("classes=x", "classes is x"),
            ("classes=99", "2..=36"),
            ("clutter=nan", "0..=2"),
            ("stroke=3-1", "stroke.1"),
            ("train=0", "train_len"),
        ];
        for (text, want) in cases {
            let error = GlyphsConfig::default().with_settings(text).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
