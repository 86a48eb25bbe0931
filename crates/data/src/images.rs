//! Images of bytes with classes, in memory or in mapped files, normalised while they are gathered.

use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

use crate::dataset::{check_buffers, check_index, check_pixels};
use crate::pixel_rows::{Part, PixelRows};
use crate::pixels::PixelSums;
use crate::{DataError, Dataset, Normaliser, Row, RowsMut, Schema, Splits, Target};

/// So many rows are looked at before the first of them is normalised, so that the memory sends them all at once:
/// shuffled rows lie where no prefetcher of the processor expects them.
const LOOK_AHEAD: usize = 8;
/// No more of each image is looked at, so that all of it still is in the processor's first cache when it is needed;
/// behind it, the processor has seen where the reading goes.
const LOOK_BYTES: usize = 2048;
/// Bytes that come with one look.
const CACHE_LINE: usize = 64;

/// Labelled images: one byte for each pixel, channel after channel.
#[derive(Debug)]
pub struct ByteImages {
    schema: Schema,
    rows: PixelRows,
    labels: Labels,
    normaliser: Arc<Normaliser>,
    content_hash: OnceLock<String>,
}

impl ByteImages {
    /// Takes images that are in memory: `pixels` holds one image of `[channels, rows, columns] = shape` for each label.
    ///
    /// The classes are those of `names`, or 0 to the largest label where there are no names. Without a normaliser (that
    /// of the training split) one is fitted to the pixels.
    ///
    /// # Errors
    ///
    /// [`DataError::Setting`] for a shape with a side of 0, for labels outside the classes or no label at all, and for a
    /// normaliser of another shape; [`DataError::BufferLength`].
    pub fn new(
        name: &str,
        shape: [usize; 3],
        pixels: Vec<u8>,
        labels: Vec<u32>,
        names: Vec<String>,
        normaliser: Option<Arc<Normaliser>>,
    ) -> Result<ByteImages, DataError> {
        let n_classes = match names.len() {
            0 => labels.iter().max().map_or(0, |label| *label as usize + 1),
            n_classes => n_classes,
        };
        let image_len = check_parts(shape, &pixels, &labels, n_classes)?;
        let schema = image_schema(name, shape, n_classes, names);
        let rows = PixelRows::new(image_len, vec![Part::owned(pixels, image_len)]);
        let normaliser = normaliser.unwrap_or_else(|| fit(shape, &rows));
        if (normaliser.n_channels(), normaliser.plane()) != (shape[0], shape[1] * shape[2]) {
            return Err(DataError::Setting {
                field: "the shape of the normaliser",
                found: format!("{} channels of {} pixels", normaliser.n_channels(), normaliser.plane()),
                allowed: format!("that of the images, {shape:?}"),
            });
        }
        Ok(ByteImages::from_rows(schema, rows, Labels::new(labels), normaliser))
    }

    /// Takes a training and a test split that are in memory, each as pixels and labels (see [`ByteImages::new`]); both
    /// are normalised by the training pixels.
    ///
    /// # Errors
    ///
    /// As [`ByteImages::new`]; [`DataError::Setting`] if all training labels are equal.
    pub fn splits(
        name: &str,
        shape: [usize; 3],
        (train_pixels, train_labels): (Vec<u8>, Vec<u32>),
        (test_pixels, test_labels): (Vec<u8>, Vec<u32>),
        names: Vec<String>,
    ) -> Result<Splits, DataError> {
        if train_labels.iter().all(|label| Some(label) == train_labels.first()) {
            return Err(DataError::Setting {
                field: "classes of the training labels",
                found: train_labels.first().map_or("none".to_owned(), u32::to_string),
                allowed: "2 classes or more".to_owned(),
            });
        }
        let train = ByteImages::new(name, shape, train_pixels, train_labels, names, None)?;
        let n_classes = train.schema.n_classes().unwrap_or(0);
        let image_len = check_parts(shape, &test_pixels, &test_labels, n_classes)?;
        let rows = PixelRows::new(image_len, vec![Part::owned(test_pixels, image_len)]);
        let normaliser = Arc::clone(&train.normaliser);
        let test = ByteImages::from_rows(train.schema.clone(), rows, Labels::new(test_labels), normaliser);
        Ok(Splits { train: Arc::new(train), test: Arc::new(test) })
    }

    /// Joins what a reader has checked: a label below the number of classes for each row.
    pub(crate) fn from_rows(
        schema: Schema,
        rows: PixelRows,
        labels: Labels,
        normaliser: Arc<Normaliser>,
    ) -> ByteImages {
        ByteImages { schema, rows, labels, normaliser, content_hash: OnceLock::new() }
    }

    fn image(&self, index: u64) -> Result<(usize, &[u8]), DataError> {
        let row = check_index(&self.schema, index, self.len())?;
        Ok((row, self.rows.image(row)))
    }

    /// Touches the images of rows that are needed next.
    fn look_ahead(&self, rows: &[Row]) {
        let mut touched = 0;
        for row in rows {
            if let Ok((_, image)) = self.image(row.index) {
                for line in image[..image.len().min(LOOK_BYTES)].chunks(CACHE_LINE) {
                    touched ^= line[0];
                }
            }
        }
        std::hint::black_box(touched);
    }
}

impl Dataset for ByteImages {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn len(&self) -> u64 {
        self.labels.len() as u64
    }

    fn content_hash(&self) -> Result<String, DataError> {
        if let Some(hash) = self.content_hash.get() {
            return Ok(hash.clone());
        }
        self.rows.check()?;
        let mut hasher = image_hasher(&self.schema, self.len(), &self.normaliser);
        self.rows.iter().for_each(|image| hasher.update(image));
        (0..self.labels.len()).for_each(|row| hasher.update(self.labels.get(row).to_le_bytes()));
        Ok(self.content_hash.get_or_init(|| hex(&hasher.finalize())).clone())
    }

    fn resident_bytes(&self) -> u64 {
        self.rows.resident_bytes() + self.labels.resident_bytes()
    }

    fn gather(&self, rows: &[Row], mut out: RowsMut<'_>) -> Result<(), DataError> {
        check_buffers(&self.schema, rows.len(), &out)?;
        self.rows.check()?;
        let mut values = out.inputs.f32()?.chunks_exact_mut(self.schema.input_len()).zip(out.targets.u32()?);
        for block in rows.chunks(LOOK_AHEAD) {
            self.look_ahead(block);
            for (row, (input, target)) in block.iter().zip(&mut values) {
                let (row, image) = self.image(row.index)?;
                self.normaliser.apply(image, input);
                *target = self.labels.get(row);
            }
        }
        Ok(())
    }

    fn label(&self, index: u64) -> Result<u32, DataError> {
        let row = check_index(&self.schema, index, self.len())?;
        Ok(self.labels.get(row))
    }

    fn pixels(&self, index: u64, pixels: &mut [u8]) -> Result<(), DataError> {
        check_pixels(&self.schema, pixels)?;
        let (row, image) = self.image(index)?;
        self.rows.check_row(row)?;
        pixels.copy_from_slice(image);
        Ok(())
    }

    fn normaliser(&self) -> Option<&Normaliser> {
        Some(&self.normaliser)
    }
}

/// Class numbers, as narrow as they come.
#[derive(Clone, Debug)]
pub(crate) enum Labels {
    /// Below 256.
    Bytes(Vec<u8>),
    /// Any.
    Words(Vec<u32>),
}

impl Labels {
    /// Narrows the labels if all fit into bytes.
    pub(crate) fn new(labels: Vec<u32>) -> Labels {
        if labels.iter().all(|label| *label <= u32::from(u8::MAX)) {
            return Labels::Bytes(labels.iter().map(|label| *label as u8).collect());
        }
        Labels::Words(labels)
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Labels::Bytes(labels) => labels.len(),
            Labels::Words(labels) => labels.len(),
        }
    }

    /// One label; `row` must be below [`Labels::len`].
    pub(crate) fn get(&self, row: usize) -> u32 {
        match self {
            Labels::Bytes(labels) => u32::from(labels[row]),
            Labels::Words(labels) => labels[row],
        }
    }

    pub(crate) fn resident_bytes(&self) -> u64 {
        match self {
            Labels::Bytes(labels) => labels.capacity() as u64,
            Labels::Words(labels) => 4 * labels.capacity() as u64,
        }
    }
}

/// The schema of images whose classes may have names.
pub(crate) fn image_schema(name: &str, shape: [usize; 3], n_classes: usize, names: Vec<String>) -> Schema {
    let target = Target::Class { n_classes, names };
    Schema { target, ..Schema::images(name, shape, n_classes) }
}

/// The normaliser of all images, read one after another.
pub(crate) fn fit(shape: [usize; 3], rows: &PixelRows) -> Arc<Normaliser> {
    let mut sums = PixelSums::new(shape);
    rows.iter().for_each(|image| sums.add(image));
    Arc::new(sums.normaliser())
}

/// Values in an image of a shape.
///
/// # Errors
///
/// [`DataError::Setting`] for none, or more than can be counted.
pub(crate) fn image_len(shape: [usize; 3]) -> Result<usize, DataError> {
    let product = shape.iter().try_fold(1usize, |product, side| product.checked_mul(*side));
    product.filter(|len| (1..=isize::MAX as usize).contains(len)).ok_or_else(|| DataError::Setting {
        field: "the shape of the images",
        found: format!("{shape:?}"),
        allowed: "1 channel, row and column or more, and no more than memory can hold".to_owned(),
    })
}

fn check_parts(
    shape: [usize; 3],
    pixels: &[u8],
    labels: &[u32],
    n_classes: usize,
) -> Result<usize, DataError> {
    let image_len = image_len(shape)?;
    let expected = image_len.saturating_mul(labels.len());
    if pixels.len() != expected {
        return Err(DataError::BufferLength { buffer: "pixels", found: pixels.len(), expected });
    }
    let outside = labels.iter().position(|label| n_classes <= *label as usize);
    let found = match (outside, labels.len()) {
        (None, 1..) => return Ok(image_len),
        (None, 0) => "no label".to_owned(),
        (Some(row), _) => format!("{} (label {row})", labels[row]),
    };
    Err(DataError::Setting { field: "a label", found, allowed: format!("0..{n_classes}") })
}

/// A hasher that has taken in number and shape of images, and how they are normalised.
pub(crate) fn image_hasher(schema: &Schema, n_images: u64, normaliser: &Normaliser) -> Sha256 {
    let mut hasher = Sha256::new();
    hasher.update(n_images.to_le_bytes());
    for side in &schema.input_shape {
        hasher.update((*side as u64).to_le_bytes());
    }
    hasher.update(normaliser.bits().collect::<Vec<u8>>());
    hasher
}

/// Lower-case hex digits of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
