//! Finding a data set by its name or its folder.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::images::is_image_folder;
use crate::{DataError, Glyphs, GlyphsConfig, Split, Splits, read_folder};

/// Names that need no file.
pub const BUILT_IN: [&str; 1] = ["glyphs"];

/// Opens a data set.
///
/// `spec` is, in this order: a built-in name ([`BUILT_IN`]), `glyphs` with settings if wanted, as in
/// `glyphs:classes=20,label_noise=0.1` ([`GlyphsConfig::with_settings`]); a plain name, such as `mnist`, of a folder in
/// `data_dir` (`None`: [`default_data_dir`]); a path to a folder. A folder holds four IDX files, see
/// [`read_folder`]. `glyphs` configures the built-in set and is not looked at otherwise.
///
/// # Errors
///
/// [`DataError::NotFound`]; [`DataError::Setting`] for a bad `glyphs`; what [`read_folder`] returns.
pub fn open(spec: &str, data_dir: Option<&Path>, glyphs: &GlyphsConfig) -> Result<Splits, DataError> {
    let (name, settings) = spec.split_once(':').unwrap_or((spec, ""));
    if name == "glyphs" {
        let config = glyphs.with_settings(settings)?;
        let train = Arc::new(Glyphs::new(&config, Split::Train)?);
        let test = Arc::new(Glyphs::new(&config, Split::Test)?);
        return Ok(Splits { train, test });
    }
    let data_dir = data_dir.map(Path::to_owned).or_else(default_data_dir);
    let mut looked = Vec::new();
    if let Some(data_dir) = &data_dir
        && is_plain_name(spec)
    {
        looked.push(data_dir.join(spec));
    }
    if !spec.is_empty() {
        looked.push(PathBuf::from(spec));
    }
    match looked.iter().find(|dir| dir.is_dir()) {
        Some(dir) => read_folder(&folder_name(spec), dir),
        None => Err(not_found(spec, looked, data_dir.as_deref())),
    }
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
        (false, _) => "use one of these names, or the path of a folder with the four IDX files".to_owned(),
        (true, Some(dir)) => format!(
            "use `glyphs`, put a folder with the four IDX files into `{}`, or set BATCHWISE_DATA",
            dir.display()
        ),
        (true, None) => {
            "use `glyphs`, or set BATCHWISE_DATA to the folder that holds your data sets".to_owned()
        }
    };
    DataError::NotFound { spec: spec.to_owned(), looked, in_data_dir, hint }
}

/// Names of the data sets in `data_dir`, sorted; none if it cannot be read.
fn folders_in(data_dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(data_dir) else {
        return Vec::new();
    };
    let folders = entries.flatten().filter(|entry| is_image_folder(&entry.path()));
    let mut names: Vec<String> =
        folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
