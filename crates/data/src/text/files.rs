//! Which files of a folder are text, and what for.

use std::path::{Path, PathBuf};

/// The text files of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TextFiles {
    /// One text, to be cut in two.
    One(PathBuf),
    /// One text for each part.
    Two {
        train: PathBuf,
        test: PathBuf,
        /// Whether the training text is what others test on.
        is_makeshift: bool,
    },
}

const TRAIN: [&str; 4] = ["train.txt", "wiki.train.tokens", "wiki.train.raw", "training.txt"];
const VALID: [&str; 5] = ["valid.txt", "validation.txt", "val.txt", "wiki.valid.tokens", "wiki.valid.raw"];
const TEST: [&str; 3] = ["test.txt", "wiki.test.tokens", "wiki.test.raw"];

/// The text file at `path`, or those in the folder at `path`: a training text with a text for validation, else for
/// testing; a text for testing with one for validation; a single text. Files that only tell of others may lie beside
/// them; a folder with anything else is not of text.
pub(crate) fn text_files(path: &Path) -> Option<TextFiles> {
    if path.is_file() {
        return is_text_name(path).then(|| TextFiles::One(path.to_owned()));
    }
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(path).ok()? {
        let path = entry.ok()?.path();
        if is_note(&path) {
            continue;
        }
        if !path.is_file() || !is_text_name(&path) {
            return None;
        }
        texts.push(path);
    }
    let find = |names: &[&str]| names.iter().map(|name| path.join(name)).find(|path| texts.contains(path));
    match (find(&TRAIN), find(&VALID), find(&TEST), texts.as_slice()) {
        (Some(train), Some(test), _, _) | (Some(train), None, Some(test), _) => {
            Some(TextFiles::Two { train, test, is_makeshift: false })
        }
        (None, Some(valid), Some(test), _) => {
            Some(TextFiles::Two { train: test, test: valid, is_makeshift: true })
        }
        (_, _, _, [text]) => Some(TextFiles::One(text.clone())),
        _ => None,
    }
}

/// The token file at `path` with none for the test, or the training and validation files in the folder at `path`.
pub(crate) fn token_files(path: &Path) -> Option<(PathBuf, Option<PathBuf>)> {
    if path.is_file() {
        return has_extension(path, &["bin"]).then(|| (path.to_owned(), None));
    }
    let train = Some(path.join("train.bin")).filter(|train| train.is_file())?;
    let names = ["val.bin", "valid.bin", "validation.bin"];
    let test = names.iter().map(|name| path.join(name)).find(|test| test.is_file())?;
    Some((train, Some(test)))
}

fn is_text_name(path: &Path) -> bool {
    has_extension(path, &["txt", "tokens", "raw"])
}

/// Whether a file tells of the data rather than being some.
fn is_note(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let starts = ["readme", "license", "licence", "copying", "notice", "sha256sums", "."];
    starts.iter().any(|start| name.starts_with(start)) || has_extension(path, &["md", "json", "html"])
}

fn has_extension(path: &Path, allowed: &[&str]) -> bool {
    let extension = path.extension().unwrap_or_default();
    allowed.iter().any(|allowed| extension.eq_ignore_ascii_case(allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_text_and_of_other_things() {
        let files = |names: &[&str]| {
            let dir = tempfile::tempdir().unwrap();
            for name in names {
                std::fs::write(dir.path().join(name), "a").unwrap();
            }
            let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
            match text_files(dir.path()) {
                None => "none".to_owned(),
                Some(TextFiles::One(path)) => name(path),
                Some(TextFiles::Two { train, test, is_makeshift }) => {
                    format!("{} {}{}", name(train), name(test), if is_makeshift { " makeshift" } else { "" })
                }
            }
        };
        assert_eq!(files(&["input.txt", "SOURCE.md", "LICENSE", "README.txt"]), "input.txt");
        assert_eq!(files(&["train.txt", "test.txt", "valid.txt"]), "train.txt valid.txt");
        assert_eq!(files(&["train.txt", "test.txt"]), "train.txt test.txt");
        assert_eq!(files(&["valid.txt", "test.txt", "README"]), "test.txt valid.txt makeshift");
        let wiki = ["wiki.train.tokens", "wiki.valid.tokens", "wiki.test.tokens"];
        assert_eq!(files(&wiki), "wiki.train.tokens wiki.valid.tokens");
        assert_eq!(files(&["a.txt", "b.txt"]), "none");
        assert_eq!(files(&["README.txt"]), "none");
        assert_eq!(files(&["batches.meta.txt", "data_batch_1.bin"]), "none", "CIFAR");
    }
}
