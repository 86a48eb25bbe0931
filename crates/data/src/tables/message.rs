//! Parts of error messages.

use std::path::Path;

use crate::DataError;

/// A setting names a column that is not there.
pub(crate) fn no_such_column<'a>(
    field: &'static str,
    found: &str,
    path: &Path,
    names: impl Iterator<Item = &'a str>,
) -> DataError {
    let allowed = format!("a column of `{}`: {}", path.display(), list(names));
    let found = if found.is_empty() { "nothing".to_owned() } else { format!("`{found}`") };
    DataError::Setting { field, found, allowed }
}

/// Names for a message, not too many of them.
pub(crate) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 20;
    let mut names = names.map(short);
    let mut text = names.by_ref().take(SHOWN).collect::<Vec<_>>().join(", ");
    let rest = names.count();
    if 0 < rest {
        text.push_str(&format!(", and {rest} more"));
    }
    text
}

/// A value for a message: in quotes, and not too long.
pub(crate) fn short(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}
