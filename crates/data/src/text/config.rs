//! How a text becomes sequences of tokens.

use std::path::{Path, PathBuf};

use super::store::TokenWidth;
use super::tokenizer::MAX_TOKENS;
use crate::DataError;
use crate::settings::Settings;

/// The longest context.
const MAX_CONTEXT: usize = 1 << 20;
/// `<unk>`, `<eos>` and a word.
const LEAST_VOCABULARY: usize = 3;
const CONTEXT: usize = 64;
const TEST: f64 = 0.1;

/// What the tokens of a text are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tokens {
    /// Each character of the training text, and `<unk>` (token 0) for all others.
    Characters,
    /// Each word of the training text: what white space parts. Each line ends with `<eos>` (token 1), and words that the
    /// training text does not hold are `<unk>` (token 0).
    Words,
    /// What a file of the `tokenizers` library says (`tokenizer.json`), line by line, without special tokens.
    File(PathBuf),
}

/// What the sequences of a text are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequences {
    /// The whole text is one stream of tokens, cut into windows of the same length.
    Packed,
    /// Each line by itself.
    Lines,
    /// Each paragraph by itself: lines up to the next blank one.
    Paragraphs,
}

/// How a text becomes sequences of tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct TextConfig {
    /// What the tokens are.
    pub tokens: Tokens,
    /// What the sequences are.
    pub sequences: Sequences,
    /// Positions in a sequence: 1 to 2^20. Longer lines and paragraphs become several sequences.
    pub context: usize,
    /// The fraction of the text, from its end, that is for the test; `None` is 0.1, or what the files say.
    pub test: Option<f64>,
    /// At most so many tokens, `<unk>` and `<eos>` among them: the most frequent ones. `None`: all.
    pub vocabulary: Option<usize>,
    /// Whether all letters are made lower case first.
    pub lower: bool,
}

impl Default for TextConfig {
    fn default() -> TextConfig {
        TextConfig {
            tokens: Tokens::Characters,
            sequences: Sequences::Packed,
            context: CONTEXT,
            test: None,
            vocabulary: None,
            lower: false,
        }
    }
}

impl TextConfig {
    pub(crate) fn from_settings(settings: &mut Settings) -> Result<TextConfig, DataError> {
        let tokens = match settings.text("tokens").as_deref() {
            None | Some("characters") => Tokens::Characters,
            Some("words") => Tokens::Words,
            Some(path) => Tokens::File(PathBuf::from(path)),
        };
        let packed = settings.value::<bool>("packed", "true or false")?;
        let sequences = match (settings.text("sequences").as_deref(), packed) {
            (None, None | Some(true)) => Sequences::Packed,
            (None | Some("lines"), Some(false)) | (Some("lines"), None) => Sequences::Lines,
            (Some("paragraphs"), None | Some(false)) => Sequences::Paragraphs,
            (Some("lines" | "paragraphs"), Some(true)) => {
                return Err(setting("packed", "true", "false with `sequences`"));
            }
            (Some(found), _) => return Err(setting("sequences", found, "lines or paragraphs")),
        };
        Ok(TextConfig {
            tokens,
            sequences,
            context: settings.within("context", 1, MAX_CONTEXT)?.unwrap_or(CONTEXT),
            test: settings.value("test", ALLOWED_TEST)?,
            vocabulary: settings.within("vocabulary", LEAST_VOCABULARY, MAX_TOKENS)?,
            lower: settings.value("lower", "true or false")?.unwrap_or(false),
        })
    }

    pub(crate) fn check(&self) -> Result<(), DataError> {
        check_context(self.context)?;
        if let Tokens::File(path) = &self.tokens {
            if !path.is_file() {
                let allowed = "characters, words, or the path of a tokenizer.json";
                return Err(setting("tokens", &path.display().to_string(), allowed));
            }
            if let Some(vocabulary) = self.vocabulary {
                let allowed = "what the tokenizer's file says";
                return Err(setting("vocabulary", &vocabulary.to_string(), allowed));
            }
        }
        check_vocabulary(self.vocabulary)
    }
}

/// How a file of tokens becomes sequences.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenFileConfig {
    /// Positions in a sequence: 1 to 2^20.
    pub context: usize,
    /// The fraction of the tokens, from their end, that is for the test; `None` is 0.1, or what the files say.
    pub test: Option<f64>,
    /// How wide a token is.
    pub width: TokenWidth,
    /// Tokens are below this; `None`: what the tokenizer says, or else the training file is searched for the greatest.
    pub vocabulary: Option<usize>,
    /// The file of the `tokenizers` library that made the tokens, for showing them as text.
    pub tokenizer: Option<PathBuf>,
}

impl Default for TokenFileConfig {
    fn default() -> TokenFileConfig {
        let width = TokenWidth::U16;
        TokenFileConfig { context: CONTEXT, test: None, width, vocabulary: None, tokenizer: None }
    }
}

impl TokenFileConfig {
    pub(crate) fn from_settings(settings: &mut Settings) -> Result<TokenFileConfig, DataError> {
        let width = match settings.text("dtype").as_deref() {
            None | Some("u16") => TokenWidth::U16,
            Some("u32") => TokenWidth::U32,
            Some(found) => return Err(setting("dtype", found, "u16 or u32")),
        };
        Ok(TokenFileConfig {
            context: settings.within("context", 1, MAX_CONTEXT)?.unwrap_or(CONTEXT),
            test: settings.value("test", ALLOWED_TEST)?,
            width,
            vocabulary: settings.within("vocabulary", LEAST_VOCABULARY, MAX_TOKENS)?,
            tokenizer: settings.text("tokens").map(PathBuf::from),
        })
    }

    pub(crate) fn check(&self) -> Result<(), DataError> {
        check_context(self.context)?;
        check_vocabulary(self.vocabulary)
    }
}

const ALLOWED_TEST: &str = "a fraction between 0 and 1, both excluded";

fn check_context(context: usize) -> Result<(), DataError> {
    if (1..=MAX_CONTEXT).contains(&context) {
        return Ok(());
    }
    Err(setting("context", &context.to_string(), &format!("1..={MAX_CONTEXT}")))
}

fn check_vocabulary(vocabulary: Option<usize>) -> Result<(), DataError> {
    match vocabulary {
        Some(found) if !(LEAST_VOCABULARY..=MAX_TOKENS).contains(&found) => {
            Err(setting("vocabulary", &found.to_string(), &format!("{LEAST_VOCABULARY}..={MAX_TOKENS}")))
        }
        _ => Ok(()),
    }
}

/// The fraction to cut off one file for the test.
pub(crate) fn test_fraction(test: Option<f64>) -> Result<f64, DataError> {
    let test = test.unwrap_or(TEST);
    if 0.0 < test && test < 1.0 {
        return Ok(test);
    }
    Err(setting("test", &test.to_string(), ALLOWED_TEST))
}

/// Where a file of its own is for the test, nothing is cut off.
pub(crate) fn no_test_fraction(test: Option<f64>, test_file: &Path) -> Result<(), DataError> {
    let Some(found) = test else { return Ok(()) };
    let allowed = format!("nothing, since `{}` is for the test", test_file.display());
    Err(setting("test", &found.to_string(), &allowed))
}

pub(crate) fn setting(field: &'static str, found: &str, allowed: &str) -> DataError {
    DataError::Setting { field, found: found.to_owned(), allowed: allowed.to_owned() }
}
