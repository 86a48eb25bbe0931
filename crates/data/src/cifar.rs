//! The binary form of CIFAR-10 and CIFAR-100: records of labels and one colour image, with no header.
//!
//! Source of the form: <https://www.cs.toronto.edu/~kriz/cifar.html>. A record of CIFAR-10 is one label and 3072 pixels;
//! one of CIFAR-100 is a coarse label, a fine label and the pixels. Pixels are red, green and blue planes of 32x32.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::images::{Labels, fit, image_schema};
use crate::map::MappedFile;
use crate::pixel_rows::{Bytes, Part, PixelRows};
use crate::settings::Settings;
use crate::{At, ByteImages, DataError, Dataset, Splits};

const SHAPE: [usize; 3] = [3, 32, 32];
const N_PIXELS: usize = 3 * 32 * 32;
/// A file of names is short; a longer one is something else.
const MAX_NAMES_BYTES: u64 = 1 << 16;

/// Which labels of CIFAR-100 are the classes; CIFAR-10 has only one kind.
///
/// In the name of a data set: `cifar-100:labels=coarse`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CifarLabels {
    /// The 100 classes.
    #[default]
    Fine,
    /// The 20 groups of five classes each.
    Coarse,
}

/// One of the two forms.
struct Form {
    train: &'static [&'static str],
    test: &'static str,
    names: &'static str,
    n_classes: usize,
    /// Labels before the pixels of a record.
    n_labels: usize,
    /// Which of them is the class.
    label: usize,
}

const TEN: Form = Form {
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: "test_batch.bin",
    names: "batches.meta.txt",
    n_classes: 10,
    n_labels: 1,
    label: 0,
};
const FINE: Form = Form {
    train: &["train.bin"],
    test: "test.bin",
    names: "fine_label_names.txt",
    n_classes: 100,
    n_labels: 2,
    label: 1,
};
const COARSE: Form = Form { names: "coarse_label_names.txt", n_classes: 20, label: 0, ..FINE };

/// Folders that the archives unpack to.
const FOLDERS: [&str; 2] = ["cifar-10-batches-bin", "cifar-100-binary"];

/// Opens CIFAR-10 (`data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`) or CIFAR-100 (`train.bin` and
/// `test.bin`) as a data set called `name`.
///
/// The files lie in `dir` or in its folder `cifar-10-batches-bin` or `cifar-100-binary`. They are mapped: only labels are
/// held in memory. Classes have the names in `batches.meta.txt`, `fine_label_names.txt` or `coarse_label_names.txt`, or
/// none where that file is missing. Both splits are normalised by mean and deviation of each colour over all training
/// pixels.
///
/// # Errors
///
/// [`DataError::MissingFile`], [`DataError::Read`], [`DataError::Empty`], [`DataError::OneClass`],
/// [`DataError::LabelOutOfRange`]; [`DataError::Format`] for a file that is no whole number of records, or another number
/// of names than classes; [`DataError::Setting`] for the coarse labels of CIFAR-10.
pub fn read_cifar(name: &str, dir: &Path, labels: CifarLabels) -> Result<Splits, DataError> {
    let start = Instant::now();
    let missing = || DataError::MissingFile {
        dir: dir.to_owned(),
        tried: TEN.train.iter().chain(FINE.train).map(|file| (*file).to_owned()).collect(),
    };
    let (dir, form) = find_form(dir).ok_or_else(missing)?;
    let form = match (form.n_labels, labels) {
        (2, CifarLabels::Coarse) => &COARSE,
        (1, CifarLabels::Coarse) => {
            return Err(DataError::Setting {
                field: "labels",
                found: "coarse".to_owned(),
                allowed: "fine; only CIFAR-100 has coarse labels".to_owned(),
            });
        }
        _ => form,
    };

    let names = read_names(&dir.join(form.names), form.n_classes)?;
    let train_paths: Vec<PathBuf> = form.train.iter().map(|file| dir.join(file)).collect();
    let (train_rows, train_labels) = read_files(form, &train_paths)?;
    let (test_rows, test_labels) = read_files(form, &[dir.join(form.test)])?;
    if train_labels.iter().all(|label| Some(label) == train_labels.first()) {
        let label = u32::from(train_labels.first().copied().unwrap_or(0));
        return Err(DataError::OneClass { path: dir.join(form.train[0]), label });
    }

    let schema = image_schema(name, SHAPE, form.n_classes, names);
    let normaliser = fit(SHAPE, &train_rows);
    let labels = Labels::Bytes(train_labels);
    let train = ByteImages::from_rows(schema.clone(), train_rows, labels, Arc::clone(&normaliser));
    let test = ByteImages::from_rows(schema, test_rows, Labels::Bytes(test_labels), normaliser);
    tracing::info!(
        name,
        dir = %dir.display(),
        train_len = train.len(),
        test_len = test.len(),
        seconds = start.elapsed().as_secs_f64(),
        "opened data set"
    );
    Ok(Splits { train: Arc::new(train), test: Arc::new(test) })
}

/// Whether `dir`, or the folder that the archive unpacks to in it, holds training files.
pub(crate) fn is_cifar_folder(dir: &Path) -> bool {
    find_form(dir).is_some()
}

/// [`read_cifar`] with the setting `labels=fine` or `labels=coarse`.
pub(crate) fn open_cifar(name: &str, dir: &Path, settings: &mut Settings) -> Result<Splits, DataError> {
    let labels = match settings.text("labels").as_deref() {
        None | Some("fine") => CifarLabels::Fine,
        Some("coarse") => CifarLabels::Coarse,
        Some(found) => {
            return Err(DataError::Setting {
                field: "labels",
                found: found.to_owned(),
                allowed: "fine, coarse".to_owned(),
            });
        }
    };
    read_cifar(name, dir, labels)
}

fn find_form(dir: &Path) -> Option<(PathBuf, &'static Form)> {
    let folders = std::iter::once(dir.to_owned()).chain(FOLDERS.iter().map(|folder| dir.join(folder)));
    let mut found = folders.filter_map(|folder| {
        // Both files: `train.bin` alone may be anything.
        let fits = |form: &&Form| {
            let has = |file: &str| folder.join(file).is_file();
            form.train.iter().any(|file| has(file)) && (1 < form.train.len() || has(form.test))
        };
        let form = [&TEN, &FINE].into_iter().find(fits)?;
        Some((folder, form))
    });
    found.next()
}

/// The pixels of several files, mapped, and their labels.
fn read_files(form: &Form, paths: &[PathBuf]) -> Result<(PixelRows, Vec<u8>), DataError> {
    let record = form.n_labels + N_PIXELS;
    let (mut parts, mut labels) = (Vec::new(), Vec::new());
    for path in paths {
        let file = MappedFile::open(path)?;
        if !file.len().is_multiple_of(record) {
            return Err(DataError::Format {
                path: path.clone(),
                at: At::Byte((file.len() / record * record) as u64),
                what: "the rest of the file".to_owned(),
                found: format!("{} bytes", file.len() % record),
                expected: format!("whole records of {record} bytes"),
            });
        }
        for (index, record_bytes) in file.chunks_exact(record).enumerate() {
            let label = record_bytes[form.label];
            if form.n_classes <= usize::from(label) {
                return Err(DataError::LabelOutOfRange {
                    path: file.path().to_owned(),
                    index: index as u64,
                    offset: (index * record + form.label) as u64,
                    found: u32::from(label),
                    n_classes: form.n_classes,
                });
            }
            labels.push(label);
        }
        let n_images = file.len() / record;
        parts.push(Part { bytes: Bytes::Mapped(file), offset: form.n_labels, stride: record, n_images });
    }
    labels.shrink_to_fit();
    Ok((PixelRows::new(N_PIXELS, parts), labels))
}

/// The names of the classes, one on a line, or none if there is no such file.
fn read_names(path: &Path, n_classes: usize) -> Result<Vec<String>, DataError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let bytes = crate::files::read_small(path, MAX_NAMES_BYTES)?;
    let wrong = |at, found: String, expected: String| DataError::Format {
        path: path.to_owned(),
        at,
        what: "the names of the classes".to_owned(),
        found,
        expected,
    };
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = At::Byte(error.utf8_error().valid_up_to() as u64);
        wrong(at, "not UTF-8".to_owned(), "UTF-8 text".to_owned())
    })?;
    // The file of CIFAR-10 ends with an empty line.
    let names: Vec<String> =
        text.lines().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if names.len() != n_classes {
        let found = format!("{} names", names.len());
        return Err(wrong(At::File, found, format!("{n_classes}, one on a line")));
    }
    Ok(names)
}
