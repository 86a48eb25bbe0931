//! An image set whose images are another variant in each epoch.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::beta::symmetric_beta;
use super::choice::Choice;
use super::config::AugmentConfig;
use super::transform::transform;
use crate::dataset::{check_buffers, check_index};
use crate::images::{hex, image_len};
use crate::stream::Stream;
use crate::{DataError, Dataset, Normaliser, Row, RowsMut, Schema, Target};

const DOMAIN: &[u8; 16] = b"batchwise augmnt";
/// Changes with the transforms, so that another version's examples are not taken for these.
const VERSION: u32 = 1;

/// Images with random transforms.
///
/// What happens to an example is a pure function of (seed, epoch, index): batch size and threads change nothing, and a
/// resumed run sees what it would have seen. With [`AugmentConfig::mixup`] targets become [`Target::Mixture`].
///
/// Wrap the training split only; the test split is judged as it is.
///
/// ```
/// use std::sync::Arc;
///
/// use batchwise_data::{AugmentConfig, Augmented, Dataset, Row, RowsMut, ValuesMut, open};
///
/// let splits = open("glyphs:train=100,test=10", None)?;
/// let config = AugmentConfig::default().with_settings("crop=2,flip")?;
/// let train = Augmented::new(splits.train, config, 7)?;
///
/// let variant = |epoch| {
///     let (mut inputs, mut targets) = (vec![0.0; 784], [0]);
///     let out = RowsMut { inputs: ValuesMut::F32(&mut inputs), targets: ValuesMut::U32(&mut targets) };
///     train.gather(&[Row { index: 5, epoch }], out)?;
///     Ok::<_, batchwise_data::DataError>(inputs)
/// };
/// assert_eq!(variant(3)?, variant(3)?);
/// assert_ne!(variant(3)?, variant(4)?);
/// # Ok::<(), batchwise_data::DataError>(())
/// ```
#[derive(Clone)]
pub struct Augmented {
    dataset: Arc<dyn Dataset>,
    config: AugmentConfig,
    seed: u64,
    shape: [usize; 3],
    normaliser: Normaliser,
    schema: Schema,
}

impl std::fmt::Debug for Augmented {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Augmented { config, seed, schema, .. } = self;
        formatter
            .debug_struct("Augmented")
            .field("config", config)
            .field("seed", seed)
            .field("schema", schema)
            .finish_non_exhaustive()
    }
}

impl Augmented {
    /// Wraps a set of images with classes.
    ///
    /// # Errors
    ///
    /// [`DataError::NoPixels`] and [`DataError::NoClasses`] for other sets; [`DataError::Setting`] for values outside
    /// their range.
    pub fn new(dataset: Arc<dyn Dataset>, config: AugmentConfig, seed: u64) -> Result<Augmented, DataError> {
        let mut schema = dataset.schema().clone();
        let no_pixels = || DataError::NoPixels { name: dataset.schema().name.clone() };
        let normaliser = dataset.normaliser().ok_or_else(no_pixels)?.clone();
        let shape: [usize; 3] = schema.input_shape.clone().try_into().map_err(|_| no_pixels())?;
        let Target::Class { n_classes, names } = schema.target else {
            return Err(DataError::NoClasses { name: schema.name });
        };
        image_len(shape)?;
        config.check(shape[1], shape[2])?;
        let has_mixtures = 0.0 < config.mixup;
        schema.target = match has_mixtures {
            true => Target::Mixture { n_classes, names },
            false => Target::Class { n_classes, names },
        };
        Ok(Augmented { dataset, config, seed, shape, normaliser, schema })
    }

    /// Reads an example and writes its transformed, normalised variant.
    fn write(
        &self,
        index: u64,
        stream: &mut Stream,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<(), DataError> {
        self.dataset.pixels(index, &mut scratch.raw)?;
        let choice = Choice::draw(stream, &self.config, self.shape[1], self.shape[2]);
        let pixels = if choice == Choice::default() {
            &scratch.raw
        } else {
            transform(&scratch.raw, self.shape, &choice, stream, &mut scratch.transformed);
            &scratch.transformed
        };
        self.normaliser.apply(pixels, out);
        Ok(())
    }
}

/// One image, before and after its transforms, and the one it is mixed with: they stay in the processor's first cache.
struct Scratch {
    raw: Vec<u8>,
    transformed: Vec<u8>,
    other: Vec<f32>,
}

impl Dataset for Augmented {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn len(&self) -> u64 {
        self.dataset.len()
    }

    fn content_hash(&self) -> Result<String, DataError> {
        let AugmentConfig { crop, shift, flip, erase, mixup } = self.config;
        let mut hasher = Sha256::new();
        hasher.update(b"augmented");
        hasher.update(self.dataset.content_hash()?);
        for word in [VERSION, crop, shift, u32::from(flip), erase.to_bits()] {
            hasher.update(word.to_le_bytes());
        }
        hasher.update(mixup.to_bits().to_le_bytes());
        hasher.update(self.seed.to_le_bytes());
        Ok(hex(&hasher.finalize()))
    }

    fn resident_bytes(&self) -> u64 {
        self.dataset.resident_bytes()
    }

    fn gather(&self, rows: &[Row], mut out: RowsMut<'_>) -> Result<(), DataError> {
        check_buffers(&self.schema, rows.len(), &out)?;
        let image_len = self.schema.input_len();
        let mut scratch =
            Scratch { raw: vec![0; image_len], transformed: vec![0; image_len], other: vec![0.0; image_len] };
        let stream = |row: &Row| Stream::new(DOMAIN, self.seed, row.epoch, row.index);
        let inputs = out.inputs.f32()?.chunks_exact_mut(image_len);
        let Target::Mixture { n_classes, .. } = self.schema.target else {
            for (row, (input, target)) in rows.iter().zip(inputs.zip(out.targets.u32()?)) {
                self.write(row.index, &mut stream(row), &mut scratch, input)?;
                *target = self.dataset.label(row.index)?;
            }
            return Ok(());
        };
        let targets = out.targets.f32()?;
        targets.fill(0.0);
        for (row, (input, target)) in rows.iter().zip(inputs.zip(targets.chunks_exact_mut(n_classes))) {
            let mut stream = stream(row);
            self.write(row.index, &mut stream, &mut scratch, input)?;
            // Uniform up to a bias of len / 2^64.
            let partner = ((u128::from(stream.bits()) * u128::from(self.len())) >> 64) as u64;
            let lambda = symmetric_beta(&mut stream, self.config.mixup) as f32;
            let mut other = std::mem::take(&mut scratch.other);
            self.write(partner, &mut stream, &mut scratch, &mut other)?;
            for (value, other) in input.iter_mut().zip(&other) {
                *value = *value * lambda + *other * (1.0 - lambda);
            }
            scratch.other = other;
            for (index, weight) in [(row.index, lambda), (partner, 1.0 - lambda)] {
                let label = self.dataset.label(index)?;
                let probability = target.get_mut(label as usize).ok_or_else(|| DataError::Setting {
                    field: "a label of the data set",
                    found: label.to_string(),
                    allowed: format!("0..{n_classes}"),
                })?;
                *probability += weight;
            }
        }
        Ok(())
    }

    fn label(&self, index: u64) -> Result<u32, DataError> {
        self.dataset.label(index)
    }

    fn length(&self, index: u64) -> Result<usize, DataError> {
        check_index(&self.schema, index, self.len())?;
        Ok(1)
    }

    /// The pixels of the example itself, before any transform.
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
