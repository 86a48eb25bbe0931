//! Files of ready-made tokens, as nanoGPT writes them: numbers and nothing else.

use std::path::Path;
use std::sync::Arc;

use super::config::{TokenFileConfig, no_test_fraction, test_fraction};
use super::dataset::TokenDataset;
use super::files::token_files;
use super::store::Store;
use super::tokenizer::{MAX_TOKENS, Tokenizer};
use crate::map::MappedFile;
use crate::{At, DataError, Dataset, Schema};

/// Tokens at a time in the search for the greatest.
const CHUNK: usize = 1 << 14;

/// Maps a file of tokens, little-endian numbers of two or four bytes: a set to train on and one to test by.
///
/// `path` is such a file (`.bin`), of which the last part is for the test, or a folder with `train.bin` and `val.bin`.
/// The file may be larger than memory. Its tokens are checked against [`TokenFileConfig::vocabulary`] when they are
/// gathered; without that setting and without a tokenizer the training file is read once for its greatest token.
///
/// # Errors
///
/// [`DataError::UnknownFormat`] if there is no such file at `path`, [`DataError::Read`], [`DataError::Empty`],
/// [`DataError::Format`] (a size that is no whole number of tokens, too few tokens, too great a token),
/// [`DataError::Setting`].
pub fn read_tokens(
    name: &str,
    path: &Path,
    config: &TokenFileConfig,
) -> Result<(TokenDataset, TokenDataset), DataError> {
    config.check()?;
    let Some((train_path, test_path)) = token_files(path) else {
        let known = "a file of tokens (.bin), or a folder with train.bin and val.bin";
        return Err(DataError::UnknownFormat { path: path.to_owned(), known: known.to_owned() });
    };
    let train = Arc::new(map(&train_path, config)?);
    let n_train = train.len();
    let (train_range, test, test_range) = match &test_path {
        Some(test_path) => {
            no_test_fraction(config.test, test_path)?;
            let test = map(test_path, config)?;
            let n_test = test.len();
            (0..n_train, Arc::new(test), 0..n_test)
        }
        None => {
            let fraction = test_fraction(config.test)?;
            let cut = (n_train as f64 * (1.0 - fraction)).floor() as usize;
            (0..cut, Arc::clone(&train), cut..n_train)
        }
    };
    let tokenizer = config.tokenizer.as_deref().map(Tokenizer::file).transpose()?.map(Arc::new);
    let n_tokens = match (config.vocabulary, &tokenizer) {
        (Some(vocabulary), _) => vocabulary,
        (None, Some(tokenizer)) => tokenizer.n_tokens(),
        // Of a single file both parts are searched.
        (None, None) => greatest(&train, &train_path)? as usize + 1,
    };
    let schema = Schema::tokens(name, config.context, n_tokens);
    let dataset = |store, range, path: &Path, part| {
        TokenDataset::new(schema.clone(), store, range, None, tokenizer.clone(), (path, part))
    };
    let train = dataset(train, train_range, &train_path, "train on")?;
    let test = dataset(test, test_range, test_path.as_deref().unwrap_or(&train_path), "test by")?;
    tracing::info!(
        name,
        path = %path.display(),
        vocabulary = n_tokens,
        train_len = train.len(),
        test_len = test.len(),
        "opened data set"
    );
    Ok((train, test))
}

fn map(path: &Path, config: &TokenFileConfig) -> Result<Store, DataError> {
    let file = MappedFile::open(path)?;
    let width = config.width.bytes();
    if !file.len().is_multiple_of(width) {
        return Err(DataError::Format {
            path: path.to_owned(),
            at: At::Byte((file.len() - file.len() % width) as u64),
            what: "the size".to_owned(),
            found: format!("{} bytes", file.len()),
            expected: format!("a multiple of the {width} bytes of a token"),
        });
    }
    Ok(Store::Mapped { file, width: config.width })
}

/// The greatest token, which must be one that a vocabulary can hold.
fn greatest(store: &Store, path: &Path) -> Result<u32, DataError> {
    let mut greatest = 0;
    let mut tokens = vec![0; CHUNK];
    for start in (0..store.len()).step_by(CHUNK) {
        let tokens = &mut tokens[..CHUNK.min(store.len() - start)];
        store.read(start, tokens);
        greatest = tokens.iter().copied().fold(greatest, u32::max);
    }
    if (greatest as usize) < MAX_TOKENS {
        return Ok(greatest);
    }
    let expected = format!("below {MAX_TOKENS}; is `dtype` right?");
    Err(DataError::Format {
        path: path.to_owned(),
        at: At::File,
        what: "the greatest token".to_owned(),
        found: greatest.to_string(),
        expected,
    })
}
