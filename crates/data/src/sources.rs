//! Finding a data set by its name or its folder.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::cifar::{is_cifar_folder, open_cifar};
use crate::idx_folder::is_idx_folder;
use crate::image_folder::{is_image_folder, open_image_folder};
use crate::settings::Settings;
use crate::tables::{TABLE_FILES, is_table, open_table};
use crate::tensors::{is_tensor_file, open_tensors};
use crate::text::{is_text, is_token_file, open_text, open_tokens};
use crate::{DataError, Glyphs, GlyphsConfig, Split, Splits, read_folder};

/// Names that need no file.
pub const BUILT_IN: [&str; 1] = ["glyphs"];

/// One kind of files that [`open`] knows.
struct Format {
    /// What it is called in messages.
    name: &'static str,
    /// Whether a file or folder is of this kind, told by names alone.
    matches: fn(&Path) -> bool,
    /// Opens it under a name; unknown settings are refused by the caller.
    open: fn(&str, &Path, &mut Settings) -> Result<Splits, DataError>,
}

/// The first that matches is taken.
const FORMATS: &[Format] = &[
    Format {
        name: "a folder of IDX files",
        matches: is_idx_folder,
        open: |name, dir, _| read_folder(name, dir),
    },
    // Before CIFAR-100, which has `train.bin` and `test.bin` too, but no `val.bin`.
    Format {
        name: "a file of tokens (.bin), or a folder of them",
        matches: is_token_file,
        open: open_tokens,
    },
    Format { name: "a folder of CIFAR files", matches: is_cifar_folder, open: open_cifar },
    Format { name: "a folder of images by class", matches: is_image_folder, open: open_image_folder },
    Format { name: "a text file, or a folder of them", matches: is_text, open: open_text },
    Format { name: "a file of tensors (.safetensors)", matches: is_tensor_file, open: open_tensors },
    Format { name: TABLE_FILES, matches: is_table, open: open_table },
];

/// Opens a data set.
///
/// `spec` is, in this order: a built-in name ([`BUILT_IN`]); a plain name, such as `mnist`, of a file or folder in
/// `data_dir` (`None`: [`default_data_dir`]); a path to a file or folder; `owner/name` of a data set that was fetched from
/// the hub into `data_dir`. Settings may follow after a colon, as in
/// `glyphs:classes=20,label_noise=0.1` ([`GlyphsConfig::with_settings`]).
///
/// # Errors
///
/// [`DataError::NotFound`], [`DataError::UnknownFormat`], [`DataError::UnknownSetting`], [`DataError::Setting`]; what
/// the format's own function returns.
pub fn open(spec: &str, data_dir: Option<&Path>) -> Result<Splits, DataError> {
    let data_dir = data_dir.map(Path::to_owned).or_else(default_data_dir);
    let (place, settings) = split(spec, data_dir.as_deref());
    if place == "glyphs" {
        let config = GlyphsConfig::default().with_settings(settings)?;
        let train = Arc::new(Glyphs::new(&config, Split::Train)?);
        let test = Arc::new(Glyphs::new(&config, Split::Test)?);
        return Ok(Splits { train, test });
    }
    let path = find(place, data_dir.as_deref())?;
    let format = FORMATS.iter().find(|format| (format.matches)(&path));
    let Some(format) = format else {
        let known = FORMATS.iter().map(|format| format.name).collect::<Vec<_>>().join(", ");
        return Err(DataError::UnknownFormat { path, known });
    };
    let mut settings = Settings::parse(settings);
    let splits = (format.open)(&folder_name(place), &path, &mut settings)?;
    settings.finish(format.name)?;
    Ok(splits)
}

/// What kind of data set a file or folder is, told by names alone; `None` if [`open`] knows none such.
pub fn format_name(path: &Path) -> Option<&'static str> {
    FORMATS.iter().find(|format| (format.matches)(path)).map(|format| format.name)
}

/// The file or folder that [`open`] would read for `spec`; `None` for a data set that is built in.
///
/// # Errors
///
/// [`DataError::NotFound`].
pub fn locate(spec: &str, data_dir: Option<&Path>) -> Result<Option<PathBuf>, DataError> {
    let data_dir = data_dir.map(Path::to_owned).or_else(default_data_dir);
    let (place, _) = split(spec, data_dir.as_deref());
    match BUILT_IN.contains(&place) {
        true => Ok(None),
        false => find(place, data_dir.as_deref()).map(Some),
    }
}

/// Where a data set is, and its settings.
fn split<'a>(spec: &'a str, data_dir: Option<&Path>) -> (&'a str, &'a str) {
    if is_there(spec, data_dir) {
        return (spec, "");
    }
    // A path may hold colons of its own: the longest one that exists is meant.
    let colons = spec.match_indices(':').map(|(at, _)| (&spec[..at], &spec[at + 1..]));
    let found = colons.rev().find(|(place, _)| BUILT_IN.contains(place) || is_there(place, data_dir));
    found.or_else(|| spec.split_once(':')).unwrap_or((spec, ""))
}

/// Whether `place` names a file or a folder.
fn is_there(place: &str, data_dir: Option<&Path>) -> bool {
    candidates(place, data_dir).iter().any(|path| path.exists())
}

/// The file or folder that `place` names.
fn find(place: &str, data_dir: Option<&Path>) -> Result<PathBuf, DataError> {
    let looked = candidates(place, data_dir);
    match looked.iter().find(|path| path.exists()) {
        Some(path) => Ok(path.clone()),
        None => Err(not_found(place, looked, data_dir)),
    }
}

/// Where the file or folder that `place` names may be; the first that exists is meant.
fn candidates(place: &str, data_dir: Option<&Path>) -> Vec<PathBuf> {
    let mut looked = Vec::new();
    if let Some(data_dir) = data_dir
        && is_plain_name(place)
    {
        looked.push(data_dir.join(place));
    }
    if !place.is_empty() {
        looked.push(PathBuf::from(place));
    }
    if let Some(data_dir) = data_dir
        && let Some((owner, name)) = place.split_once('/')
        && is_plain_name(owner)
        && is_plain_name(name)
    {
        // Where a data set of the hub is kept.
        looked.push(data_dir.join(format!("{owner}--{name}")));
    }
    looked
}

/// Where data sets are looked up by name: `$BATCHWISE_DATA`, else `batchwise` in the user's cache folder.
///
/// `None` on a system that has neither. The folder need not exist.
pub fn default_data_dir() -> Option<PathBuf> {
    let from_environment = std::env::var_os("BATCHWISE_DATA").filter(|value| !value.is_empty());
    from_environment.map(PathBuf::from).or_else(|| dirs::cache_dir().map(|cache| cache.join("batchwise")))
}

fn is_plain_name(spec: &str) -> bool {
    let mut components = Path::new(spec).components();
    matches!(components.next(), Some(Component::Normal(name)) if name == spec) && components.next().is_none()
}

fn folder_name(spec: &str) -> String {
    let name = Path::new(spec).file_name().map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| spec.to_owned())
}

fn not_found(spec: &str, looked: Vec<PathBuf>, data_dir: Option<&Path>) -> DataError {
    let in_data_dir = data_dir.map(folders_in).unwrap_or_default();
    let hint = match (in_data_dir.is_empty(), data_dir) {
        (false, _) => "use one of these names, or the path of a file or folder".to_owned(),
        (true, Some(dir)) => {
            format!("use `glyphs`, put a data set into `{}`, or set BATCHWISE_DATA", dir.display())
        }
        (true, None) => {
            "use `glyphs`, or set BATCHWISE_DATA to the folder that holds your data sets".to_owned()
        }
    };
    #[cfg(feature = "fetch")]
    let hint = match crate::fetch::Request::new(spec, Path::new("")) {
        Ok(request) => format!("{hint}; or fetch `{}` from the hub: data fetch {spec}", request.repository),
        Err(_) => hint,
    };
    DataError::NotFound { spec: spec.to_owned(), looked, in_data_dir, hint }
}

/// Names of the data sets in `data_dir`, sorted; none if it cannot be read.
fn folders_in(data_dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(data_dir) else {
        return Vec::new();
    };
    let is_known = |path: PathBuf| FORMATS.iter().any(|format| (format.matches)(&path));
    let folders = entries.flatten().filter(|entry| is_known(entry.path()));
    let mut names: Vec<String> =
        folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
