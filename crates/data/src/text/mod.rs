//! Text and ready-made tokens as sequences for models that predict the next token.

mod config;
mod dataset;
mod files;
mod read;
mod section;
mod store;
mod token_file;
mod tokenizer;

use std::path::Path;
use std::sync::Arc;

pub use config::{Sequences, TextConfig, TokenFileConfig, Tokens};
pub use dataset::TokenDataset;
pub use read::read_text;
pub use store::TokenWidth;
pub use token_file::read_tokens;
pub(crate) use tokenizer::MAX_TOKENS;

use crate::settings::Settings;
use crate::{DataError, Splits};

/// Whether there is a text, or a folder of texts, at `path`.
pub(crate) fn is_text(path: &Path) -> bool {
    files::text_files(path).is_some()
}

/// Whether there is a file of tokens, or a folder of them, at `path`.
pub(crate) fn is_token_file(path: &Path) -> bool {
    files::token_files(path).is_some()
}

/// Opens a text with the settings of its name.
pub(crate) fn open_text(name: &str, path: &Path, settings: &mut Settings) -> Result<Splits, DataError> {
    let config = TextConfig::from_settings(settings)?;
    settings.finish("a text")?;
    let (train, test) = read_text(name, path, &config)?;
    Ok(Splits { train: Arc::new(train), test: Arc::new(test) })
}

/// Opens a file of tokens with the settings of its name.
pub(crate) fn open_tokens(name: &str, path: &Path, settings: &mut Settings) -> Result<Splits, DataError> {
    let config = TokenFileConfig::from_settings(settings)?;
    settings.finish("a file of tokens")?;
    let (train, test) = read_tokens(name, path, &config)?;
    Ok(Splits { train: Arc::new(train), test: Arc::new(test) })
}
