//! Files of tensors (`.safetensors`), mapped.

use std::path::Path;
use std::sync::Arc;

use safetensors::SafeTensors;
use safetensors::tensor::Metadata;

use super::TensorDataset;
use super::dataset::Selection;
use super::values::Values;
use crate::map::MappedFile;
use crate::settings::Settings;
use crate::{At, DataError, Dataset, Order, Splits};

const TEST: f64 = 0.2;
const ALLOWED_TEST: &str = "a fraction between 0 and 1, both excluded";
/// Tensors that an error names.
const NAMED: usize = 20;

/// Which tensors of a file are what.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TensorFileConfig {
    /// The tensor of inputs; `None` is `inputs`, or `train_inputs` and `test_inputs` where there is no such tensor.
    pub inputs: Option<String>,
    /// The tensor of targets; `None` is `targets`, or `train_targets` and `test_targets`.
    pub targets: Option<String>,
    /// The fraction of the rows that is for the test; `None` is 0.2, or what the tensors say.
    pub test: Option<f64>,
    /// Names the shuffle that decides which rows are for the test.
    pub seed: u64,
}

impl TensorFileConfig {
    fn from_settings(settings: &mut Settings) -> Result<TensorFileConfig, DataError> {
        Ok(TensorFileConfig {
            inputs: settings.text("inputs"),
            targets: settings.text("targets"),
            test: settings.value("test", ALLOWED_TEST)?,
            seed: settings.value("seed", "a whole number from 0 to 2^64 - 1")?.unwrap_or(0),
        })
    }
}

/// Maps a file of tensors (`.safetensors`): a set to train on and one to test by.
///
/// The file holds `inputs` and `targets`, or `train_inputs`, `train_targets`, `test_inputs` and `test_targets`;
/// [`TensorDataset`] says what becomes of their types and shapes. Without tensors for the test, a fraction of the rows is
/// for it: those that come last in a shuffle of all rows, since files are often sorted. The shuffle is a pure
/// function of [`TensorFileConfig::seed`] and the number of rows.
///
/// The file may be larger than memory. Targets are read once here, and so are tokens and the pixels of training, to
/// count classes and to take their mean; other inputs are checked when they are gathered.
///
/// # Errors
///
/// [`DataError::Read`], [`DataError::Empty`], [`DataError::Format`] for a damaged file, tensors that are not there, that do
/// not fit each other or that hold what they must not, [`DataError::Setting`].
pub fn read_tensors(
    name: &str,
    path: &Path,
    config: &TensorFileConfig,
) -> Result<(TensorDataset, TensorDataset), DataError> {
    let file = TensorFile::open(path)?;
    let is_split = config.inputs.is_none()
        && config.targets.is_none()
        && !file.has("inputs")
        && ["train_inputs", "test_inputs"].iter().any(|name| file.has(name));
    let (train, test) = if is_split {
        if let Some(test) = config.test {
            return Err(DataError::Setting {
                field: "test",
                found: test.to_string(),
                allowed: "nothing, since tensors of their own are for the test".to_owned(),
            });
        }
        let split = |inputs, targets| {
            let (inputs, targets) = (file.values(inputs)?, file.values(targets)?);
            TensorDataset::from_values(name, Arc::new(inputs), Arc::new(targets), None)
        };
        let train = split("train_inputs", "train_targets")?;
        let test = split("test_inputs", "test_targets")?.matching(&train)?;
        (train, test)
    } else {
        let inputs = Arc::new(file.values(config.inputs.as_deref().unwrap_or("inputs"))?);
        let targets = Arc::new(file.values(config.targets.as_deref().unwrap_or("targets"))?);
        let (train, test) = selections(&inputs, config)?;
        let split = |selection| {
            TensorDataset::from_values(name, Arc::clone(&inputs), Arc::clone(&targets), Some(selection))
        };
        let train = split(train)?;
        let test = split(test)?.matching(&train)?;
        (train, test)
    };
    train.check_classes()?;
    tracing::info!(
        name,
        path = %path.display(),
        train_len = train.len(),
        test_len = test.len(),
        "opened data set"
    );
    Ok((train, test))
}

/// Whether there is a file of tensors at `path`.
pub(crate) fn is_tensor_file(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("safetensors")) && path.is_file()
}

/// Opens a file of tensors with the settings of its name.
pub(crate) fn open_tensors(name: &str, path: &Path, settings: &mut Settings) -> Result<Splits, DataError> {
    let config = TensorFileConfig::from_settings(settings)?;
    settings.finish("a file of tensors")?;
    let (train, test) = read_tensors(name, path, &config)?;
    Ok(Splits { train: Arc::new(train), test: Arc::new(test) })
}

/// The rows to train on and to test by.
fn selections(inputs: &Values, config: &TensorFileConfig) -> Result<(Selection, Selection), DataError> {
    let fraction = config.test.unwrap_or(TEST);
    if !(0.0 < fraction && fraction < 1.0) {
        return Err(DataError::Setting {
            field: "test",
            found: fraction.to_string(),
            allowed: ALLOWED_TEST.to_owned(),
        });
    }
    let n = inputs.n_rows as u64;
    if n < 2 {
        return Err(inputs.wrong("number of rows", n.to_string(), "at least 2, one of them for the test"));
    }
    let n_test = ((n as f64 * fraction).round() as u64).clamp(1, n - 1);
    let permutation = Arc::new(Order::permutation(config.seed, 0, n));
    let part =
        |start, len| Selection { permutation: Arc::clone(&permutation), seed: config.seed, start, len };
    Ok((part(0, n - n_test), part(n - n_test, n_test)))
}

/// A mapped file whose header is sound.
struct TensorFile {
    file: Arc<MappedFile>,
    metadata: Metadata,
    /// Where the tensors begin.
    start: usize,
}

impl TensorFile {
    fn open(path: &Path) -> Result<TensorFile, DataError> {
        let file = Arc::new(MappedFile::open(path)?);
        // The library holds every tensor against the size of the file.
        match SafeTensors::read_metadata(&file) {
            Ok((n_header, metadata)) => Ok(TensorFile { file, metadata, start: 8 + n_header }),
            Err(error) => Err(DataError::Format {
                path: path.to_owned(),
                at: At::File,
                what: format!("a file of {} bytes", file.len()),
                found: format!("no file of tensors ({error})"),
                expected:
                    "a length of 8 bytes, a JSON header of that length, and the tensors that it tells of"
                        .to_owned(),
            }),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.metadata.info(name).is_some()
    }

    fn values(&self, name: &str) -> Result<Values, DataError> {
        let Some(info) = self.metadata.info(name) else {
            let mut names: Vec<String> = self.metadata.offset_keys();
            names.sort();
            let n_more = names.len().saturating_sub(NAMED);
            names.truncate(NAMED);
            let more = if n_more == 0 { String::new() } else { format!(" and {n_more} more") };
            return Err(DataError::Format {
                path: self.file.path().to_owned(),
                at: At::File,
                what: format!("tensor `{name}`"),
                found: format!("not among its tensors ({}{more})", names.join(", ")),
                expected: "`inputs` and `targets`, or `train_inputs`, `train_targets`, `test_inputs` and \
                           `test_targets`, or what the settings `inputs` and `targets` name"
                    .to_owned(),
            });
        };
        let start = self.start + info.data_offsets.0;
        Values::mapped(Arc::clone(&self.file), start, info.dtype, name, &info.shape)
    }
}
