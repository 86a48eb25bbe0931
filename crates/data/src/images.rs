//! Grey images held in memory as raw bytes, normalised while they are gathered.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use sha2::{Digest, Sha256};

use crate::dataset::{check_buffers, check_index, check_pixels};
use crate::idx::{IdxImages, label_offset, read_images, read_labels};
use crate::{DataError, Dataset, Normaliser, Row, RowsMut, Schema, Splits};

/// Labelled grey images in memory: one byte per pixel and per label.
#[derive(Clone, Debug)]
pub struct ByteImages {
    schema: Schema,
    pixels: Vec<u8>,
    labels: Vec<u8>,
    normaliser: Arc<Normaliser>,
    content_hash: String,
}

impl Dataset for ByteImages {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn len(&self) -> u64 {
        self.labels.len() as u64
    }

    fn content_hash(&self) -> Result<String, DataError> {
        Ok(self.content_hash.clone())
    }

    fn resident_bytes(&self) -> u64 {
        (self.pixels.capacity() + self.labels.capacity()) as u64
    }

    fn gather(&self, rows: &[Row], mut out: RowsMut<'_>) -> Result<(), DataError> {
        check_buffers(&self.schema, rows.len(), &out)?;
        let input_len = self.schema.input_len();
        let values = out.inputs.f32()?.chunks_exact_mut(input_len).zip(out.targets.u32()?);
        for (row, (input, target)) in rows.iter().zip(values) {
            let index = check_index(&self.schema, row.index, self.len())?;
            self.normaliser.apply(&self.pixels[index * input_len..][..input_len], input);
            *target = u32::from(self.labels[index]);
        }
        Ok(())
    }

    fn label(&self, index: u64) -> Result<u32, DataError> {
        let row = check_index(&self.schema, index, self.len())?;
        Ok(u32::from(self.labels[row]))
    }

    fn pixels(&self, index: u64, pixels: &mut [u8]) -> Result<(), DataError> {
        let row = check_index(&self.schema, index, self.len())?;
        check_pixels(&self.schema, pixels)?;
        let len = pixels.len();
        pixels.copy_from_slice(&self.pixels[row * len..][..len]);
        Ok(())
    }

    fn normaliser(&self) -> Option<&Normaliser> {
        Some(&self.normaliser)
    }
}

/// Reads the four IDX files of `dir` as a data set called `name`.
///
/// The files are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte`, and
/// `t10k-labels-idx1-ubyte`, each also with `.idx` for `-idx` and with `.gz`. The classes are 0 to the largest
/// training label; both splits are normalised by mean and deviation of all training pixels.
///
/// # Errors
///
/// [`DataError::MissingFile`], what [`read_images`] and [`read_labels`] return, [`DataError::CountMismatch`],
/// [`DataError::SizeMismatch`], [`DataError::OneClass`], [`DataError::LabelOutOfRange`].
pub fn read_folder(name: &str, dir: &Path) -> Result<Splits, DataError> {
    let start = Instant::now();
    let train = read_split(dir, "train")?;
    let test = read_split(dir, "t10k")?;
    let size = |split: &RawSplit| (split.images.n_rows, split.images.n_columns);
    if size(&train) != size(&test) {
        return Err(DataError::SizeMismatch {
            train_size: size(&train),
            train: train.images_path,
            test_size: size(&test),
            test: test.images_path,
        });
    }
    let n_classes = count_classes(&train)?;
    check_labels(&test, n_classes)?;

    let normaliser = Arc::new(Normaliser::fit(&train.images.pixels));
    let (n_rows, n_columns) = size(&train);
    let schema = Schema::images(name, [1, n_rows, n_columns], n_classes);
    let train = train.finish(&schema, &normaliser);
    let test = test.finish(&schema, &normaliser);
    tracing::info!(
        name,
        dir = %dir.display(),
        train_len = train.len(),
        test_len = test.len(),
        resident_bytes = train.resident_bytes() + test.resident_bytes(),
        seconds = start.elapsed().as_secs_f64(),
        "opened data set"
    );
    Ok(Splits { train: Arc::new(train), test: Arc::new(test) })
}

/// Whether any of the four IDX files is in `dir`.
pub(crate) fn is_image_folder(dir: &Path) -> bool {
    let stems =
        [("train", "images", 3), ("train", "labels", 1), ("t10k", "images", 3), ("t10k", "labels", 1)];
    stems
        .iter()
        .any(|(part, kind, rank)| file_names(part, kind, *rank).iter().any(|name| dir.join(name).is_file()))
}

struct RawSplit {
    images_path: PathBuf,
    images: IdxImages,
    labels_path: PathBuf,
    labels: Vec<u8>,
}

impl RawSplit {
    fn finish(mut self, schema: &Schema, normaliser: &Arc<Normaliser>) -> ByteImages {
        // The byte that the reader kept free to see the end of the file.
        self.images.pixels.shrink_to_fit();
        self.labels.shrink_to_fit();
        ByteImages {
            schema: schema.clone(),
            content_hash: content_hash(&self.images, &self.labels),
            pixels: self.images.pixels,
            labels: self.labels,
            normaliser: Arc::clone(normaliser),
        }
    }
}

fn read_split(dir: &Path, part: &str) -> Result<RawSplit, DataError> {
    let images_path = find_file(dir, file_names(part, "images", 3))?;
    let labels_path = find_file(dir, file_names(part, "labels", 1))?;
    let images = read_images(&images_path)?;
    let labels = read_labels(&labels_path)?;
    if images.n_images != labels.len() {
        return Err(DataError::CountMismatch {
            images: images_path,
            n_images: images.n_images as u64,
            labels: labels_path,
            n_labels: labels.len() as u64,
        });
    }
    Ok(RawSplit { images_path, images, labels_path, labels })
}

fn file_names(part: &str, kind: &str, rank: u32) -> Vec<String> {
    let plain = [format!("{part}-{kind}-idx{rank}-ubyte"), format!("{part}-{kind}.idx{rank}-ubyte")];
    plain.iter().flat_map(|name| [name.clone(), format!("{name}.gz")]).collect()
}

fn find_file(dir: &Path, names: Vec<String>) -> Result<PathBuf, DataError> {
    let found = names.iter().map(|name| dir.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| DataError::MissingFile { dir: dir.to_owned(), tried: names })
}

fn count_classes(train: &RawSplit) -> Result<usize, DataError> {
    let first = train.labels.first().copied().unwrap_or(0);
    if train.labels.iter().all(|label| *label == first) {
        return Err(DataError::OneClass { path: train.labels_path.clone(), label: u32::from(first) });
    }
    let largest = train.labels.iter().copied().max().unwrap_or(0);
    Ok(usize::from(largest) + 1)
}

fn check_labels(split: &RawSplit, n_classes: usize) -> Result<(), DataError> {
    let outside = split.labels.iter().position(|label| n_classes <= usize::from(*label));
    let Some(index) = outside else {
        return Ok(());
    };
    Err(DataError::LabelOutOfRange {
        path: split.labels_path.clone(),
        index: index as u64,
        offset: label_offset(index as u64),
        found: u32::from(split.labels[index]),
        n_classes,
    })
}

fn content_hash(images: &IdxImages, labels: &[u8]) -> String {
    let mut hasher = Sha256::new();
    for size in [images.n_images, images.n_rows, images.n_columns] {
        hasher.update((size as u64).to_le_bytes());
    }
    hasher.update(&images.pixels);
    hasher.update(labels);
    hex(&hasher.finalize())
}

/// Lower-case hex digits of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
