//! From text to token numbers and back.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokenizers::models::ModelWrapper;

use super::section::Section;
use crate::{At, DataError};

/// More tokens than any vocabulary has; more would make a model that no machine holds.
pub(crate) const MAX_TOKENS: usize = 1 << 24;

/// More than any file of a tokenizer has.
const MAX_FILE_BYTES: u64 = 1 << 28;

/// The token of characters and words that the training text does not hold.
const UNKNOWN: u32 = 0;
/// The token of a line's end, where tokens are words.
const LINE_END: u32 = 1;

/// From text to token numbers and back.
#[derive(Debug)]
pub(crate) struct Tokenizer {
    kind: Kind,
    n_tokens: usize,
    /// SHA-256 of what it does.
    fingerprint: Vec<u8>,
}

#[derive(Debug)]
enum Kind {
    Characters {
        /// By code point; [`UNKNOWN`] where the training text has none.
        ids: Vec<u32>,
        /// By token; the first is never looked at.
        characters: Vec<char>,
    },
    Words {
        ids: HashMap<String, u32>,
        words: Vec<String>,
    },
    File {
        path: PathBuf,
        inner: Box<tokenizers::Tokenizer>,
    },
}

impl Tokenizer {
    /// The characters of a text, in the order of their code points, after [`UNKNOWN`]; at most `most` tokens.
    pub(crate) fn characters(
        text: &Section,
        lower: bool,
        most: Option<usize>,
    ) -> Result<Tokenizer, DataError> {
        let mut counts: Vec<u64> = Vec::new();
        text.for_each_piece(|piece, _| {
            for character in cased(piece, lower).chars() {
                let code = character as usize;
                if counts.len() <= code {
                    counts.resize(code + 1, 0);
                }
                counts[code] += 1;
            }
            Ok(())
        })?;
        let seen = (0..=char::MAX as u32).zip(&counts).filter(|(_, count)| 0 < **count);
        let mut seen: Vec<(u32, u64)> = seen.map(|(code, count)| (code, *count)).collect();
        if let Some(most) = most {
            seen.sort_by_key(|(code, count)| (std::cmp::Reverse(*count), *code));
            seen.truncate(most.saturating_sub(1));
            seen.sort();
        }
        let mut characters = vec![char::REPLACEMENT_CHARACTER];
        characters.extend(seen.iter().filter_map(|(code, _)| char::from_u32(*code)));
        let mut ids = vec![UNKNOWN; counts.len()];
        for (id, character) in (0..).zip(&characters).skip(1) {
            ids[*character as usize] = id;
        }
        let mut hasher = Sha256::new_with_prefix("characters");
        hasher.update(characters.iter().collect::<String>());
        let n_tokens = characters.len();
        Ok(Tokenizer {
            kind: Kind::Characters { ids, characters },
            n_tokens,
            fingerprint: hasher.finalize().to_vec(),
        })
    }

    /// The words of a text, the most frequent first, after `<unk>` and `<eos>`; at most `most` tokens.
    pub(crate) fn words(text: &Section, lower: bool, most: Option<usize>) -> Result<Tokenizer, DataError> {
        let mut counts: HashMap<String, u64> = HashMap::new();
        text.for_each_piece(|piece, _| {
            for word in cased(piece, lower).split_whitespace() {
                match counts.get_mut(word) {
                    Some(count) => *count += 1,
                    None => {
                        counts.insert(word.to_owned(), 1);
                    }
                }
            }
            Ok(())
        })?;
        let own = ["<unk>", "<eos>"];
        for word in own {
            counts.remove(word);
        }
        let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        counts.truncate(most.unwrap_or(MAX_TOKENS).min(MAX_TOKENS).saturating_sub(own.len()));
        let words: Vec<String> =
            own.map(str::to_owned).into_iter().chain(counts.into_iter().map(|(word, _)| word)).collect();
        let ids = (0..).zip(&words).map(|(id, word)| (word.clone(), id)).collect();
        let mut hasher = Sha256::new_with_prefix("words");
        for word in &words {
            hasher.update(word);
            hasher.update("\n");
        }
        let n_tokens = words.len();
        Ok(Tokenizer { kind: Kind::Words { ids, words }, n_tokens, fingerprint: hasher.finalize().to_vec() })
    }

    /// What a file of the `tokenizers` library describes (`tokenizer.json`).
    pub(crate) fn file(path: &Path) -> Result<Tokenizer, DataError> {
        let bytes = crate::files::read_small(path, MAX_FILE_BYTES)?;
        let wrong = |what: &str, found: String, expected: &str| DataError::Format {
            path: path.to_owned(),
            at: At::File,
            what: what.to_owned(),
            found,
            expected: expected.to_owned(),
        };
        // The library checks little of what it reads.
        let read = catch_unwind(AssertUnwindSafe(|| {
            let mut inner = tokenizers::Tokenizer::from_bytes(&bytes)?;
            inner.with_truncation(None)?.with_padding(None);
            let last = inner.get_vocab(true).values().copied().max();
            Ok::<_, tokenizers::Error>((inner, last))
        }));
        let refused = |found| wrong("the tokenizer", found, "a file of the `tokenizers` library");
        let (inner, last) = match read {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return Err(refused(format!("unusable ({error})"))),
            Err(_) => return Err(refused("unusable (the library panicked on it)".to_owned())),
        };
        if let ModelWrapper::BPE(model) = inner.get_model()
            && let Some(dropout) = model.dropout.filter(|dropout| *dropout != 0.0)
        {
            return Err(wrong(
                "`dropout`",
                dropout.to_string(),
                "0 or null: a text is read once, not by chance",
            ));
        }
        let n_tokens = last.map_or(0, |last| last as usize + 1);
        if !(2..=MAX_TOKENS).contains(&n_tokens) {
            return Err(wrong("the number of tokens", n_tokens.to_string(), &format!("2..={MAX_TOKENS}")));
        }
        let fingerprint = Sha256::digest(&bytes).to_vec();
        Ok(Tokenizer {
            kind: Kind::File { path: path.to_owned(), inner: Box::new(inner) },
            n_tokens,
            fingerprint,
        })
    }

    /// Tokens are in `0..n_tokens`.
    pub(crate) fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// Names the vocabulary and all else that decides which token stands for what.
    pub(crate) fn fingerprint(&self) -> &[u8] {
        &self.fingerprint
    }

    /// Calls `push` with each token of a piece of text, which may end a line.
    pub(crate) fn encode(
        &self,
        text: &str,
        ends_line: bool,
        mut push: impl FnMut(u32),
    ) -> Result<(), DataError> {
        match &self.kind {
            Kind::Characters { ids, .. } => {
                text.chars().for_each(|character| {
                    push(ids.get(character as usize).copied().unwrap_or(UNKNOWN));
                });
            }
            Kind::Words { ids, .. } => {
                text.split_whitespace().for_each(|word| push(ids.get(word).copied().unwrap_or(UNKNOWN)));
                if ends_line {
                    push(LINE_END);
                }
            }
            Kind::File { path, inner } => {
                let wrong = |found: String, expected: String| DataError::Format {
                    path: path.clone(),
                    at: At::File,
                    what: format!("the tokenizer's answer to {:?}", shortened(text)),
                    found,
                    expected,
                };
                let tokens = || "tokens".to_owned();
                let encoding = match catch_unwind(AssertUnwindSafe(|| inner.encode_fast(text, false))) {
                    Ok(Ok(encoding)) => encoding,
                    Ok(Err(error)) => return Err(wrong(format!("an error ({error})"), tokens())),
                    Err(_) => return Err(wrong("a panic".to_owned(), tokens())),
                };
                for id in encoding.get_ids() {
                    if self.n_tokens <= *id as usize {
                        return Err(wrong(format!("the token {id}"), format!("0..{}", self.n_tokens)));
                    }
                    push(*id);
                }
            }
        }
        Ok(())
    }

    /// Text for showing: unknown characters are `U+FFFD`, words are parted by one space, `<eos>` is a line's end.
    pub(crate) fn decode(&self, tokens: &[u32]) -> String {
        match &self.kind {
            Kind::Characters { characters, .. } => {
                let character = |token: &u32| characters.get(*token as usize).copied();
                tokens.iter().map(|token| character(token).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
            }
            Kind::Words { words, .. } => {
                let mut text = String::new();
                for token in tokens {
                    if *token == LINE_END {
                        text.push('\n');
                        continue;
                    }
                    if !text.is_empty() && !text.ends_with('\n') {
                        text.push(' ');
                    }
                    text.push_str(words.get(*token as usize).map_or("<unk>", |word| word));
                }
                text
            }
            Kind::File { inner, .. } => {
                let decoded = catch_unwind(AssertUnwindSafe(|| inner.decode(tokens, false)));
                match decoded {
                    Ok(Ok(text)) => text,
                    Ok(Err(_)) | Err(_) => char::REPLACEMENT_CHARACTER.to_string().repeat(tokens.len()),
                }
            }
        }
    }
}

/// `text`, in lower case if that is asked for.
pub(crate) fn cased(text: &str, lower: bool) -> std::borrow::Cow<'_, str> {
    if lower { text.to_lowercase().into() } else { text.into() }
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}
