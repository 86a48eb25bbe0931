//! Sequences of tokens as a data set.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

use super::store::Store;
use super::tokenizer::Tokenizer;
use crate::dataset::{check_buffers, check_index};
use crate::images::hex;
use crate::{At, DataError, Dataset, PADDING, Row, RowsMut, Schema, Target};

/// Tokens at a time when a whole set is read.
const CHUNK: usize = 1 << 14;

/// Sequences of tokens: each position has the token that follows it as its target.
///
/// [`crate::read_text`] and [`crate::read_tokens`] make them.
#[derive(Debug)]
pub struct TokenDataset {
    schema: Schema,
    store: Arc<Store>,
    /// The tokens of the store that belong to this set.
    tokens: Range<usize>,
    /// Where the sequences lie if they differ in length; otherwise they follow each other.
    spans: Option<Vec<Span>>,
    tokenizer: Option<Arc<Tokenizer>>,
    content_hash: OnceLock<String>,
}

/// One sequence of `len` positions, and with the last target `len + 1` tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) len: u32,
}

impl TokenDataset {
    /// Checks that there is at least one sequence; `part` says in errors which part of the data this is.
    pub(crate) fn new(
        schema: Schema,
        store: Arc<Store>,
        tokens: Range<usize>,
        spans: Option<Vec<Span>>,
        tokenizer: Option<Arc<Tokenizer>>,
        (path, part): (&std::path::Path, &str),
    ) -> Result<TokenDataset, DataError> {
        let context = schema.longest();
        let dataset = TokenDataset { schema, store, tokens, spans, tokenizer, content_hash: OnceLock::new() };
        if !dataset.is_empty() {
            return Ok(dataset);
        }
        let n_tokens = dataset.tokens.len();
        let (what, found, expected) = match dataset.spans {
            Some(_) => (
                "the number of sequences",
                format!("0 (of {n_tokens} tokens)"),
                "at least 1, of 2 tokens or more".to_owned(),
            ),
            None => (
                "the number of tokens",
                n_tokens.to_string(),
                format!("at least {} (context {context}, and the token that follows)", context + 1),
            ),
        };
        Err(DataError::Format {
            path: path.to_owned(),
            at: At::File,
            what: format!("{what} to {part}"),
            found,
            expected,
        })
    }

    /// Tokens of this part of the data, whether or not they are in a sequence.
    pub fn n_tokens(&self) -> u64 {
        self.tokens.len() as u64
    }

    /// Tokens as text, for showing; empty where only token numbers are known.
    pub fn decode(&self, tokens: &[u32]) -> String {
        self.tokenizer.as_ref().map(|tokenizer| tokenizer.decode(tokens)).unwrap_or_default()
    }

    /// First token and positions of a sequence.
    fn span(&self, index: u64) -> Result<Span, DataError> {
        let index = check_index(&self.schema, index, self.len())?;
        let context = self.schema.longest();
        Ok(match &self.spans {
            Some(spans) => spans[index],
            None => Span { start: self.tokens.start + index * context, len: context as u32 },
        })
    }

    /// Positions of each row in the buffers.
    fn row_len(&self, rows: &[Row], out: &RowsMut<'_>) -> Result<usize, DataError> {
        if self.spans.is_none() || rows.is_empty() {
            check_buffers(&self.schema, rows.len(), out)?;
            return Ok(self.schema.longest());
        }
        let lengths = rows.iter().map(|row| self.length(row.index));
        let longest = lengths.collect::<Result<Vec<_>, _>>()?.into_iter().max().unwrap_or(0);
        let (found, expected) = (out.inputs.len(), rows.len().saturating_mul(longest));
        if found < expected || !found.is_multiple_of(rows.len()) {
            return Err(DataError::BufferLength { buffer: "inputs", found, expected });
        }
        if out.targets.len() != found {
            let found_targets = out.targets.len();
            return Err(DataError::BufferLength { buffer: "targets", found: found_targets, expected: found });
        }
        Ok(found / rows.len())
    }

    /// A file that is mapped was not looked at before.
    fn check_tokens(&self, start: usize, tokens: &[u32]) -> Result<(), DataError> {
        let Store::Mapped { file, width } = self.store.as_ref() else { return Ok(()) };
        let n_tokens = self.schema.n_outputs();
        let Some(position) = tokens.iter().position(|token| n_tokens <= *token as usize) else {
            return Ok(());
        };
        Err(DataError::Format {
            path: file.path().to_owned(),
            at: At::Byte(((start + position) * width.bytes()) as u64),
            what: "a token".to_owned(),
            found: tokens[position].to_string(),
            expected: format!("0..{n_tokens}"),
        })
    }

    fn hash(&self) -> Result<String, DataError> {
        let mut hasher = Sha256::new_with_prefix("tokens");
        let n_tokens = match self.schema.target {
            Target::NextToken { n_tokens } => n_tokens,
            _ => 0,
        };
        for number in [self.schema.longest(), n_tokens, self.tokens.len()] {
            hasher.update((number as u64).to_le_bytes());
        }
        hasher.update(self.tokenizer.as_ref().map(|tokenizer| tokenizer.fingerprint()).unwrap_or_default());
        for span in self.spans.iter().flatten() {
            hasher.update(((span.start - self.tokens.start) as u64).to_le_bytes());
            hasher.update(span.len.to_le_bytes());
        }
        if let Store::Mapped { file, .. } = self.store.as_ref() {
            file.check()?;
        }
        let mut tokens = vec![0; CHUNK];
        let mut bytes = Vec::with_capacity(4 * CHUNK);
        for start in self.tokens.clone().step_by(CHUNK) {
            let tokens = &mut tokens[..CHUNK.min(self.tokens.end - start)];
            self.store.read(start, tokens);
            bytes.clear();
            bytes.extend(tokens.iter().flat_map(|token| token.to_le_bytes()));
            hasher.update(&bytes);
        }
        Ok(hex(&hasher.finalize()))
    }
}

impl Dataset for TokenDataset {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn len(&self) -> u64 {
        match &self.spans {
            Some(spans) => spans.len() as u64,
            None => (self.tokens.len().saturating_sub(1) / self.schema.longest().max(1)) as u64,
        }
    }

    fn content_hash(&self) -> Result<String, DataError> {
        if let Some(hash) = self.content_hash.get() {
            return Ok(hash.clone());
        }
        let hash = self.hash()?;
        Ok(self.content_hash.get_or_init(|| hash).clone())
    }

    fn resident_bytes(&self) -> u64 {
        let spans = self.spans.as_ref().map_or(0, |spans| spans.capacity() * size_of::<Span>());
        (self.store.resident_bytes() + spans) as u64
    }

    fn gather(&self, rows: &[Row], mut out: RowsMut<'_>) -> Result<(), DataError> {
        let row_len = self.row_len(rows, &out)?;
        if let Store::Mapped { file, .. } = self.store.as_ref() {
            file.check()?;
        }
        let inputs = out.inputs.u32()?.chunks_exact_mut(row_len.max(1));
        let targets = out.targets.u32()?.chunks_exact_mut(row_len.max(1));
        for ((row, inputs), targets) in rows.iter().zip(inputs).zip(targets) {
            let Span { start, len } = self.span(row.index)?;
            let (inputs, padding) = inputs.split_at_mut(len as usize);
            padding.fill(0);
            let (targets, padding) = targets.split_at_mut(len as usize);
            padding.fill(PADDING);
            self.store.read(start, inputs);
            self.store.read(start + 1, targets);
            self.check_tokens(start, inputs)?;
            self.check_tokens(start + 1, targets)?;
        }
        Ok(())
    }

    fn label(&self, index: u64) -> Result<u32, DataError> {
        check_index(&self.schema, index, self.len())?;
        Err(DataError::NoClasses { name: self.schema.name.clone() })
    }

    fn length(&self, index: u64) -> Result<usize, DataError> {
        Ok(self.span(index)?.len as usize)
    }

    fn text(&self, index: u64) -> Option<String> {
        let tokenizer = self.tokenizer.as_ref()?;
        let Span { start, len } = self.span(index).ok()?;
        let mut tokens = vec![0; len as usize + 1];
        self.store.read(start, &mut tokens);
        Some(tokenizer.decode(&tokens))
    }
}
