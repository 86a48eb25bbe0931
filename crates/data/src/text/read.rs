//! From text files to data sets.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::config::{Sequences, TextConfig, Tokens, no_test_fraction, test_fraction};
use super::dataset::{Span, TokenDataset};
use super::files::{TextFiles, text_files};
use super::section::{CutAfter, Section};
use super::store::Store;
use super::tokenizer::{Tokenizer, cased};
use crate::{DataError, Dataset, Schema};

/// Reads a text as sequences of tokens: a set to train on and one to test by.
///
/// `path` is a text file, or a folder with one (files that tell of it aside), or a folder with `train.txt` and
/// `valid.txt` or `test.txt`; of the last two `valid.txt` is taken, since the test split serves to choose by. A folder
/// with `test.txt` and `valid.txt` only trains on the first and tests by the second, and warns that the figures are not
/// to be compared with published ones.
///
/// Of a single file the last part is for the test ([`TextConfig::test`]), cut between characters, lines or paragraphs
/// so that nothing is in both. The vocabulary is made of the training text only. Text must be UTF-8; line ends stay as
/// they are. Lines of more than a mebibyte are read in pieces: a longer word would be cut.
///
/// Packed, the tokens are one stream, and sequence k starts at token k × context: each token but the first is the target
/// of one position, and up to `context` tokens at the end are dropped. Otherwise each line or paragraph is a sequence of
/// its own; what is longer than `context` becomes several, which share one token as target and first input, so that
/// no target is lost; lines of one token are left out.
///
/// # Errors
///
/// [`DataError::UnknownFormat`] if there is no text at `path`, [`DataError::Read`], [`DataError::Empty`],
/// [`DataError::Format`] (no UTF-8, too few tokens, a bad tokenizer file), [`DataError::Setting`].
pub fn read_text(
    name: &str,
    path: &Path,
    config: &TextConfig,
) -> Result<(TokenDataset, TokenDataset), DataError> {
    let start = Instant::now();
    config.check()?;
    let (train, test) = match text_files(path) {
        Some(TextFiles::One(path)) => {
            let fraction = test_fraction(config.test)?;
            Section::whole(&path)?.split(fraction, cut_after(config))?
        }
        Some(TextFiles::Two { train, test, is_makeshift }) => {
            no_test_fraction(config.test, &test)?;
            if is_makeshift {
                tracing::warn!(
                    name,
                    train = %train.display(),
                    test = %test.display(),
                    "there is no training text: this trains on the text for testing and tests by the text for \
                     validation, so the figures are NOT comparable with published ones"
                );
            }
            (Section::whole(&train)?, Section::whole(&test)?)
        }
        None => {
            let known =
                "a text file (.txt), or a folder with one or with train.txt and valid.txt or test.txt";
            return Err(DataError::UnknownFormat { path: path.to_owned(), known: known.to_owned() });
        }
    };
    let tokenizer = Arc::new(match &config.tokens {
        Tokens::Characters => Tokenizer::characters(&train, config.lower, config.vocabulary)?,
        Tokens::Words => Tokenizer::words(&train, config.lower, config.vocabulary)?,
        Tokens::File(path) => Tokenizer::file(path)?,
    });
    let mut schema = Schema::tokens(name, config.context, tokenizer.n_tokens());
    schema.uneven = config.sequences != Sequences::Packed;
    let train = Encoded::read(&train, &tokenizer, config)?.finish(&train, "train on", &schema, &tokenizer)?;
    let test = Encoded::read(&test, &tokenizer, config)?.finish(&test, "test by", &schema, &tokenizer)?;
    tracing::info!(
        name,
        path = %path.display(),
        vocabulary = tokenizer.n_tokens(),
        train_tokens = train.n_tokens(),
        train_len = train.len(),
        test_tokens = test.n_tokens(),
        test_len = test.len(),
        resident_bytes = train.resident_bytes() + test.resident_bytes(),
        seconds = start.elapsed().as_secs_f64(),
        "opened data set"
    );
    Ok((train, test))
}

fn cut_after(config: &TextConfig) -> CutAfter {
    match (config.sequences, &config.tokens) {
        (Sequences::Packed, Tokens::Characters) => CutAfter::Character,
        (Sequences::Packed, Tokens::Words | Tokens::File(_)) => CutAfter::Word,
        (Sequences::Lines, _) => CutAfter::Line,
        (Sequences::Paragraphs, _) => CutAfter::BlankLine,
    }
}

/// The tokens of a text, and its sequences if they are not packed.
struct Encoded {
    store: Store,
    spans: Vec<Span>,
    context: usize,
    /// Where the sequence that is being read starts.
    start: usize,
    n_dropped: usize,
    is_packed: bool,
}

impl Encoded {
    fn read(text: &Section, tokenizer: &Tokenizer, config: &TextConfig) -> Result<Encoded, DataError> {
        let mut encoded = Encoded {
            store: Store::new(tokenizer.n_tokens()),
            spans: Vec::new(),
            context: config.context,
            start: 0,
            n_dropped: 0,
            is_packed: config.sequences == Sequences::Packed,
        };
        let mut starts_line = true;
        text.for_each_piece(|piece, ends_line| {
            let is_blank = starts_line && ends_line && piece.trim().is_empty();
            starts_line = ends_line;
            if config.sequences == Sequences::Paragraphs && is_blank {
                encoded.end_sequence();
                return Ok(());
            }
            let piece = cased(piece, config.lower);
            tokenizer.encode(&piece, ends_line, |token| encoded.store.push(token))?;
            if config.sequences == Sequences::Lines && ends_line {
                encoded.end_sequence();
            }
            Ok(())
        })?;
        encoded.end_sequence();
        encoded.store.shrink();
        encoded.spans.shrink_to_fit();
        Ok(encoded)
    }

    /// Cuts the tokens since the last end into sequences.
    fn end_sequence(&mut self) {
        let end = self.store.len();
        if self.is_packed {
            let n_windows = end.saturating_sub(1) / self.context;
            self.n_dropped = end.saturating_sub(n_windows * self.context + 1);
            return;
        }
        if end - self.start == 1 {
            self.n_dropped += 1;
        }
        while self.start + 1 < end {
            let len = self.context.min(end - self.start - 1);
            self.spans.push(Span { start: self.start, len: len as u32 });
            self.start += len;
        }
        self.start = end;
    }

    fn finish(
        self,
        text: &Section,
        part: &str,
        schema: &Schema,
        tokenizer: &Arc<Tokenizer>,
    ) -> Result<TokenDataset, DataError> {
        if 0 < self.n_dropped {
            tracing::info!(
                path = %text.path.display(),
                part,
                n_tokens = self.n_dropped,
                "tokens that fill no sequence are left out"
            );
        }
        let tokens = 0..self.store.len();
        let spans = (!self.is_packed).then_some(self.spans);
        TokenDataset::new(
            schema.clone(),
            Arc::new(self.store),
            tokens,
            spans,
            Some(Arc::clone(tokenizer)),
            (&text.path, part),
        )
    }
}
