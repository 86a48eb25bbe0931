//! Which transforms there are, and how strong.

use serde::{Deserialize, Serialize};

use crate::DataError;
use crate::settings::Settings;

/// Random transforms of images, in the order in which they are done. The default does nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AugmentConfig {
    /// Pads the image by so many black pixels on each side and cuts it out again at a uniformly random place (He et al.
    /// 2016 take 4 for CIFAR). Black is the byte 0, before normalisation.
    pub crop: u32,
    /// Moves the image by up to so many pixels, up or down and left or right, uniformly; its edge pixels are repeated
    /// into what becomes free.
    pub shift: u32,
    /// Whether half of the images are mirrored, left to right.
    pub flip: bool,
    /// Probability that a rectangle is replaced by random bytes (Zhong et al. 2020, with their areas of 0.02 to 0.4 of
    /// the image and aspects of 0.3 to 1/0.3).
    pub erase: f32,
    /// With alpha above 0 each image becomes `lambda · itself + (1 - lambda) · another`, and so does its target, with
    /// lambda from Beta(alpha, alpha) (Zhang et al. 2018 take 0.2 to 1). The other is uniformly any example of the set.
    pub mixup: f64,
}

impl AugmentConfig {
    /// Changes some values by text such as `crop=4,flip,erase=0.25,mixup=0.2`.
    ///
    /// `flip` alone means `flip=true`.
    ///
    /// # Errors
    ///
    /// [`DataError::UnknownSetting`], [`DataError::Setting`].
    pub fn with_settings(mut self, text: &str) -> Result<AugmentConfig, DataError> {
        let mut settings = Settings::parse(text);
        let whole = "a whole number of pixels";
        self.crop = settings.value("crop", whole)?.unwrap_or(self.crop);
        self.shift = settings.value("shift", whole)?.unwrap_or(self.shift);
        self.erase = settings.value("erase", "0..=1")?.unwrap_or(self.erase);
        self.mixup = settings.value("mixup", "0..=100")?.unwrap_or(self.mixup);
        self.flip = match settings.text("flip").as_deref() {
            None => self.flip,
            Some("" | "true") => true,
            Some("false") => false,
            Some(found) => return Err(setting("flip", found, "true, false")),
        };
        settings.finish("augmentation")?;
        Ok(self)
    }

    /// Checks all values for images of so many rows and columns.
    pub(super) fn check(&self, n_rows: usize, n_columns: usize) -> Result<(), DataError> {
        let most = n_rows.min(n_columns);
        for (field, found) in [("crop", self.crop), ("shift", self.shift)] {
            if most < found as usize {
                return Err(setting(field, found, &format!("0..={most}, the shorter side of the image")));
            }
        }
        // Written so that NaN is outside.
        if !(0.0..=1.0).contains(&self.erase) {
            return Err(setting("erase", self.erase, "0..=1"));
        }
        if !(self.mixup == 0.0 || (0.001..=100.0).contains(&self.mixup)) {
            return Err(setting("mixup", self.mixup, "0, 0.001..=100"));
        }
        Ok(())
    }
}

fn setting(field: &'static str, found: impl ToString, allowed: &str) -> DataError {
    DataError::Setting { field, found: found.to_string(), allowed: allowed.to_owned() }
}
