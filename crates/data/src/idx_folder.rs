//! A folder of four IDX files as a data set.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::idx::{IdxPart, label_offset, open_images, read_labels};
use crate::images::{Labels, fit, image_schema};
use crate::pixel_rows::PixelRows;
use crate::{ByteImages, DataError, Dataset, Splits};

/// Reads the four IDX files of `dir` as a data set called `name`.
///
/// The files are `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte`, and
/// `t10k-labels-idx1-ubyte`, each also with `.idx` for `-idx` and with `.gz`. The classes are 0 to the largest
/// training label; both splits are normalised by mean and deviation of all training pixels. Plain files of images are
/// mapped, so that they may be larger than memory; gzip files are read once.
///
/// # Errors
///
/// [`DataError::MissingFile`], what [`crate::read_images`] and [`read_labels`] return, [`DataError::CountMismatch`],
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

    let (n_rows, n_columns) = size(&train);
    let shape = [1, n_rows, n_columns];
    let schema = image_schema(name, shape, n_classes, Vec::new());
    let (train_rows, train_labels) = train.into_rows();
    let (test_rows, test_labels) = test.into_rows();
    let normaliser = fit(shape, &train_rows);
    let train = ByteImages::from_rows(schema.clone(), train_rows, train_labels, Arc::clone(&normaliser));
    let test = ByteImages::from_rows(schema, test_rows, test_labels, normaliser);
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
pub(crate) fn is_idx_folder(dir: &Path) -> bool {
    let stems =
        [("train", "images", 3), ("train", "labels", 1), ("t10k", "images", 3), ("t10k", "labels", 1)];
    stems
        .iter()
        .any(|(part, kind, rank)| file_names(part, kind, *rank).iter().any(|name| dir.join(name).is_file()))
}

struct RawSplit {
    images_path: PathBuf,
    images: IdxPart,
    labels_path: PathBuf,
    labels: Vec<u8>,
}

impl RawSplit {
    fn into_rows(mut self) -> (PixelRows, Labels) {
        // The byte that the reader kept free to see the end of the file.
        self.labels.shrink_to_fit();
        let image_len = self.images.n_rows * self.images.n_columns;
        (PixelRows::new(image_len, vec![self.images.part]), Labels::Bytes(self.labels))
    }
}

fn read_split(dir: &Path, part: &str) -> Result<RawSplit, DataError> {
    let images_path = find_file(dir, file_names(part, "images", 3))?;
    let labels_path = find_file(dir, file_names(part, "labels", 1))?;
    let images = open_images(&images_path)?;
    let labels = read_labels(&labels_path)?;
    let n_images = images.part.n_images;
    if n_images != labels.len() {
        return Err(DataError::CountMismatch {
            images: images_path,
            n_images: n_images as u64,
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
