//! A data set some of whose labels are wrong.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::ExampleBits;
use crate::images::hex;
use crate::schema::Target;
use crate::{DataError, Dataset, Normaliser, Row, RowsMut, Schema, ValuesMut};

const DOMAIN: &[u8; 16] = b"batchwise/noise1";

/// Another data set with a fraction of its labels replaced, each by any other class with equal chance.
///
/// Which labels are wrong, and how, is a pure function of (seed, example): each label is wrong with the chance
/// `fraction`, so the share of wrong labels is near it and seldom equal to it. A higher fraction makes the same labels
/// wrong and more, in the same way.
#[derive(Clone)]
pub struct LabelNoise {
    dataset: Arc<dyn Dataset>,
    fraction: f64,
    seed: u64,
    n_classes: u32,
    is_wrong: ExampleBits,
    which: ExampleBits,
}

impl LabelNoise {
    /// Wrong labels for a share of `fraction`.
    ///
    /// # Errors
    ///
    /// [`DataError::NoClasses`] where targets are not classes; [`DataError::Setting`] for less than 2 classes or a
    /// fraction outside `0..=1`.
    pub fn new(dataset: Arc<dyn Dataset>, fraction: f64, seed: u64) -> Result<LabelNoise, DataError> {
        let Target::Class { n_classes, .. } = dataset.schema().target else {
            return Err(DataError::NoClasses { name: dataset.schema().name.clone() });
        };
        let setting = |field, found: String, allowed: &str| {
            Err(DataError::Setting { field, found, allowed: allowed.to_owned() })
        };
        if !(0.0..=1.0).contains(&fraction) {
            return setting("the fraction of wrong labels", fraction.to_string(), "0 to 1");
        }
        match u32::try_from(n_classes) {
            Ok(n_classes) if 2 <= n_classes => Ok(LabelNoise {
                dataset,
                fraction,
                seed,
                n_classes,
                is_wrong: ExampleBits::new(DOMAIN, seed),
                which: ExampleBits::new(DOMAIN, !seed),
            }),
            _ => setting("the number of classes", n_classes.to_string(), "2 or more, to make labels wrong"),
        }
    }

    /// The label that an example gets instead of `label`.
    fn noisy(&self, index: u64, label: u32) -> u32 {
        // 53 bits, exact in f64: a fraction of 1 is always above, one of 0 never.
        let chance = (self.is_wrong.of(index) >> 11) as f64 / (1u64 << 53) as f64;
        if self.fraction <= chance {
            return label;
        }
        let n_others = u64::from(self.n_classes) - 1;
        let step = 1 + ((u128::from(self.which.of(index)) * u128::from(n_others)) >> 64) as u64;
        ((u64::from(label) + step) % u64::from(self.n_classes)) as u32
    }
}

impl Dataset for LabelNoise {
    fn schema(&self) -> &Schema {
        self.dataset.schema()
    }

    fn len(&self) -> u64 {
        self.dataset.len()
    }

    /// Of the hash of the right labels' set, the fraction and the seed.
    fn content_hash(&self) -> Result<String, DataError> {
        let mut hasher = Sha256::new();
        hasher.update(b"label noise on ");
        hasher.update(self.dataset.content_hash()?);
        hasher.update(self.fraction.to_bits().to_le_bytes());
        hasher.update(self.seed.to_le_bytes());
        Ok(hex(&hasher.finalize()))
    }

    fn resident_bytes(&self) -> u64 {
        self.dataset.resident_bytes()
    }

    fn gather(&self, rows: &[Row], out: RowsMut<'_>) -> Result<(), DataError> {
        let RowsMut { inputs, mut targets } = out;
        let targets = targets.u32()?;
        self.dataset.gather(rows, RowsMut { inputs, targets: ValuesMut::U32(targets) })?;
        for (row, target) in rows.iter().zip(targets) {
            *target = self.noisy(row.index, *target);
        }
        Ok(())
    }

    fn label(&self, index: u64) -> Result<u32, DataError> {
        Ok(self.noisy(index, self.dataset.label(index)?))
    }

    fn length(&self, index: u64) -> Result<usize, DataError> {
        self.dataset.length(index)
    }

    fn pixels(&self, index: u64, pixels: &mut [u8]) -> Result<(), DataError> {
        self.dataset.pixels(index, pixels)
    }

    fn text(&self, index: u64) -> Option<String> {
        self.dataset.text(index)
    }

    fn normaliser(&self) -> Option<&Normaliser> {
        self.dataset.normaliser()
    }
}

impl std::fmt::Debug for LabelNoise {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let LabelNoise { dataset, fraction, seed, n_classes: _, is_wrong: _, which: _ } = self;
        formatter
            .debug_struct("LabelNoise")
            .field("schema", dataset.schema())
            .field("fraction", fraction)
            .field("seed", seed)
            .finish_non_exhaustive()
    }
}
