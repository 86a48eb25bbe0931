//! Folders of images by class.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use sha2::{Digest, Sha256};

use crate::decode::{check_channels, check_size, read_header};
use crate::image_files::{Decoder, ImageFile, decode_all};
use crate::image_list::{ClassFiles, has_classes, list_classes};
use crate::images::image_schema;
use crate::settings::Settings;
use crate::{At, DataError, Dataset, Splits};

/// Where the test split lies beside `train`; the first that holds classes is taken.
const TEST_FOLDERS: [&str; 3] = ["test", "val", "validation"];

/// How a folder of images is read.
///
/// In the name of a data set: `photos:size=64,channels=3,test=0.1,seed=1,memory=512`, with the memory in MiB.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageFolderConfig {
    /// Rows and columns that all images are resized to; without it they must have one size.
    pub size: Option<[usize; 2]>,
    /// 1 for greys, 3 for colours; without it 1 if every image is grey, else 3.
    pub n_channels: Option<usize>,
    /// Fraction of the images that are for testing, above 0 and below 1, where the folder has no split of its own.
    pub test: f64,
    /// Names one such split among many.
    pub seed: u64,
    /// Decoded images of both splits are held in memory if they take no more bytes than this, else each is decoded when
    /// it is gathered. The values are the same.
    pub memory: u64,
}

impl Default for ImageFolderConfig {
    fn default() -> ImageFolderConfig {
        ImageFolderConfig { size: None, n_channels: None, test: 0.2, seed: 0, memory: 1 << 30 }
    }
}

/// Opens a folder of images by class as a data set called `name`.
///
/// Either the folder has a split: `train/CLASS/*.png` and `test/CLASS/*.png` (or `val`, or `validation`); or it holds
/// only `CLASS/*.png`, and is split by [`ImageFolderConfig::test`]. Which side an image is on then depends on nothing but
/// the seed and its path in the folder: it stays there whatever other images come or go. `.jpg` and `.jpeg` are read as
/// `.png`; other files, hidden ones and deeper folders are ignored; a link that leads out of the
/// folder is an error. Classes are the names of the training folders that hold images, sorted.
///
/// Every image is decoded once while the set is opened, on all cores: what is broken shows at once, and the mean and
/// the deviation of each channel are exact, over all training images.
///
/// # Errors
///
/// [`DataError::Read`], [`DataError::Empty`], [`DataError::MissingFile`]; [`DataError::Format`] for a broken image, one of
/// another size than the first, or a test class that is not in training; [`DataError::Setting`].
pub fn read_image_folder(name: &str, dir: &Path, config: &ImageFolderConfig) -> Result<Splits, DataError> {
    let start = Instant::now();
    config.check()?;
    let (names, train, test) = list_splits(dir, config)?;
    let decoder = choose_decoder(&train, &test, config)?;

    let n_images = (train.len() + test.len()) as u64;
    let n_bytes = n_images.saturating_mul(decoder.image_len() as u64);
    let keep = n_bytes <= config.memory;
    let train = decode_all(train, decoder, keep)?;
    let test = decode_all(test, decoder, keep)?;
    let schema = image_schema(name, decoder.shape, names.len(), names);
    let normaliser = Arc::new(train.sums.normaliser());
    let train = train.into_dataset(schema.clone(), Arc::clone(&normaliser));
    let test = test.into_dataset(schema, normaliser);
    tracing::info!(
        name,
        dir = %dir.display(),
        train_len = train.len(),
        test_len = test.len(),
        in_memory = keep,
        seconds = start.elapsed().as_secs_f64(),
        "opened data set"
    );
    Ok(Splits { train: Arc::new(train), test: Arc::new(test) })
}

/// Whether `dir` holds folders of images, or `train` in it does.
pub(crate) fn is_image_folder(dir: &Path) -> bool {
    has_classes(&dir.join("train")) || has_classes(dir)
}

/// [`read_image_folder`] with the settings `size`, `channels`, `test`, `seed` and `memory` (in MiB).
pub(crate) fn open_image_folder(
    name: &str,
    dir: &Path,
    settings: &mut Settings,
) -> Result<Splits, DataError> {
    let mut config = ImageFolderConfig::default();
    if let Some(size) = settings.text("size") {
        config.size = Some(parse_size(&size)?);
    }
    config.n_channels = settings.value("channels", "1 or 3")?;
    config.test = settings.value("test", "a fraction between 0 and 1")?.unwrap_or(config.test);
    config.seed = settings.value("seed", "a whole number")?.unwrap_or(config.seed);
    if let Some(mebibytes) = settings.within::<u64>("memory", 0, 1 << 30)? {
        config.memory = mebibytes << 20;
    }
    read_image_folder(name, dir, &config)
}

fn parse_size(text: &str) -> Result<[usize; 2], DataError> {
    let (n_rows, n_columns) = text.split_once('x').unwrap_or((text, text));
    let (Ok(n_rows), Ok(n_columns)) = (n_rows.parse(), n_columns.parse()) else {
        let allowed = "N, or ROWSxCOLUMNS".to_owned();
        return Err(DataError::Setting { field: "size", found: text.to_owned(), allowed });
    };
    Ok([n_rows, n_columns])
}

impl ImageFolderConfig {
    fn check(&self) -> Result<(), DataError> {
        self.size.map_or(Ok(()), check_size)?;
        self.n_channels.map_or(Ok(()), check_channels)?;
        if 0.0 < self.test && self.test < 1.0 {
            return Ok(());
        }
        Err(DataError::Setting {
            field: "test",
            found: self.test.to_string(),
            allowed: "a fraction above 0 and below 1".to_owned(),
        })
    }
}

/// The names of the classes, and the files of both splits.
type Listed = (Vec<String>, Vec<ImageFile>, Vec<ImageFile>);

fn list_splits(dir: &Path, config: &ImageFolderConfig) -> Result<Listed, DataError> {
    let train_dir = dir.join("train");
    let is_split = has_classes(&train_dir);
    let classes = list_classes(dir, if is_split { &train_dir } else { dir })?;
    let names: Vec<String> = classes.iter().map(|class| class.name.clone()).collect();
    if names.len() < 2 {
        let found = names.first().map_or("none".to_owned(), |name| format!("only `{name}`"));
        return Err(wrong(dir, "folders of images", found, "2 classes or more"));
    }
    let all = label_files(classes, &names)?;
    if !is_split {
        let (test, train): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|file| is_for_test(file.path.strip_prefix(dir).ok(), config));
        if train.is_empty() || test.is_empty() {
            let found = format!(
                "{}, which leaves {} for training, {} for testing",
                config.test,
                train.len(),
                test.len()
            );
            let allowed = "a fraction that leaves images for both".to_owned();
            return Err(DataError::Setting { field: "test", found, allowed });
        }
        return Ok((names, train, test));
    }
    let test_dirs = || TEST_FOLDERS.iter().map(|folder| dir.join(folder));
    // Where the classes of the test images are kept secret, there are others to judge by.
    let test_dir = test_dirs().find(|path| has_classes(path));
    let test_dir = test_dir.or_else(|| test_dirs().find(|path| path.is_dir()));
    let test_dir = test_dir.ok_or_else(|| DataError::MissingFile {
        dir: dir.to_owned(),
        tried: TEST_FOLDERS.map(str::to_owned).to_vec(),
    })?;
    let test = label_files(list_classes(dir, &test_dir)?, &names)?;
    if test.is_empty() {
        return Err(DataError::Empty { path: test_dir });
    }
    Ok((names, all, test))
}

fn wrong(path: &Path, what: &str, found: String, expected: &str) -> DataError {
    let (what, expected) = (what.to_owned(), expected.to_owned());
    DataError::Format { path: path.to_owned(), at: At::File, what, found, expected }
}

/// All files, class after class, each with the number of its class among `names`.
fn label_files(classes: Vec<ClassFiles>, names: &[String]) -> Result<Vec<ImageFile>, DataError> {
    let mut files = Vec::new();
    for ClassFiles { name, paths } in classes {
        let Some(label) = names.iter().position(|known| *known == name) else {
            let folder = paths.first().and_then(|path| path.parent()).unwrap_or(Path::new(&name));
            return Err(wrong(folder, "the class", name.clone(), "a class that has training images"));
        };
        files.extend(paths.into_iter().map(|path| ImageFile { path, label: label as u32 }));
    }
    Ok(files)
}

/// Whether the image at this path in the folder is for testing: a hash of path and seed, as a fraction.
fn is_for_test(path: Option<&Path>, config: &ImageFolderConfig) -> bool {
    let mut hasher = Sha256::new();
    hasher.update(b"batchwise test split");
    hasher.update(config.seed.to_le_bytes());
    for part in path.into_iter().flat_map(Path::components) {
        // The same on systems that write paths in another way.
        hasher.update(b"/");
        hasher.update(part.as_os_str().as_encoded_bytes());
    }
    let digest: [u8; 32] = hasher.finalize().into();
    let bits = digest.iter().take(8).fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
    ((bits >> 11) as f64) < config.test * (1u64 << 53) as f64
}

/// The one shape of all images: as set, or as their headers say.
fn choose_decoder(
    train: &[ImageFile],
    test: &[ImageFile],
    config: &ImageFolderConfig,
) -> Result<Decoder, DataError> {
    let [n_rows, n_columns] = match (config.size, train.first()) {
        (Some(size), _) => size,
        (None, Some(first)) => {
            let header = read_header(&first.path)?;
            [header.n_rows, header.n_columns]
        }
        (None, None) => [1, 1],
    };
    let n_channels = match config.n_channels {
        Some(n_channels) => n_channels,
        None => {
            let mut n_channels = 1;
            for file in train.iter().chain(test) {
                if read_header(&file.path)?.has_colour {
                    n_channels = 3;
                    break;
                }
            }
            n_channels
        }
    };
    Ok(Decoder { shape: [n_channels, n_rows, n_columns], resizes: config.size.is_some() })
}
