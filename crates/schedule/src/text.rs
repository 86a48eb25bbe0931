//! Reading what people write: words and numbers with their places, so that an error can point at the fault.
//!
//! The grammars of [`LrSpec`](crate::lr::LrSpec) and of the batch-size schedules share it. Words are separated by
//! spaces; a comma stands for itself.

use std::fmt;

/// What is wrong in a text, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SpecError {
    /// The whole text.
    pub text: String,
    /// Byte at which the fault begins; the length of the text where something is missing at its end.
    pub offset: usize,
    /// The word found there; empty at the end.
    pub found: String,
    /// What may stand there.
    pub allowed: String,
}

impl SpecError {
    /// The column of the fault, counted in characters from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.text.get(..self.offset).map_or(0, |before| before.chars().count()) + 1
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = if self.found.is_empty() { "it ends".to_owned() } else { format!("`{}`", self.found) };
        write!(f, "`{}`, column {}: {found}, allowed is {}", self.text, self.column(), self.allowed)
    }
}

/// A place in a text that is being read.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    text: &'a str,
    /// (byte, word), in order.
    words: Vec<(usize, &'a str)>,
    next: usize,
}

impl<'a> Cursor<'a> {
    /// At the beginning of `text`.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        let mut words = Vec::new();
        let mut begin = None;
        for (at, c) in text.char_indices() {
            let ends = c.is_whitespace() || c == ',';
            match (begin, ends) {
                (None, false) => begin = Some(at),
                (Some(b), true) => {
                    words.push((b, &text[b..at]));
                    begin = None;
                }
                _ => {}
            }
            if c == ',' {
                words.push((at, &text[at..=at]));
            }
        }
        if let Some(b) = begin {
            words.push((b, &text[b..]));
        }
        Self { text, words, next: 0 }
    }

    /// The word that comes next.
    #[must_use]
    pub fn peek(&self) -> Option<&'a str> {
        self.words.get(self.next).map(|w| w.1)
    }

    /// The word after the next one.
    #[must_use]
    pub fn peek_second(&self) -> Option<&'a str> {
        self.words.get(self.next + 1).map(|w| w.1)
    }

    /// Goes past the next word, whatever it is.
    pub fn advance(&mut self) {
        self.next = (self.next + 1).min(self.words.len());
    }

    /// Goes past the next word if it is `word`; says whether it was.
    pub fn accept(&mut self, word: &str) -> bool {
        let is_it = self.peek() == Some(word);
        if is_it {
            self.advance();
        }
        is_it
    }

    /// Goes past `word`.
    ///
    /// # Errors
    /// Another word, or the end.
    pub fn expect(&mut self, word: &str) -> Result<(), SpecError> {
        if self.accept(word) { Ok(()) } else { Err(self.error(format!("`{word}`"))) }
    }

    /// The end of the text.
    ///
    /// # Errors
    /// A word that is left; `allowed` says what else could stand there.
    pub fn end(&self, allowed: &str) -> Result<(), SpecError> {
        if self.peek().is_none() { Ok(()) } else { Err(self.error(allowed)) }
    }

    /// An error at the next word.
    #[must_use]
    pub fn error(&self, allowed: impl Into<String>) -> SpecError {
        let (offset, found) = self.words.get(self.next).copied().unwrap_or((self.text.len(), ""));
        SpecError { text: self.text.to_owned(), offset, found: found.to_owned(), allowed: allowed.into() }
    }

    /// An error at the word before the next one, which was read already.
    #[must_use]
    pub fn error_before(&self, allowed: impl Into<String>) -> SpecError {
        let mut back = self.clone();
        back.next = back.next.saturating_sub(1);
        back.error(allowed)
    }

    /// A finite number of at least 0, such as `0.1`, `3e-4` or `250`.
    ///
    /// # Errors
    /// Anything else.
    pub fn number(&mut self, what: &str) -> Result<f64, SpecError> {
        match self.peek().and_then(plain_number) {
            Some(value) => {
                self.advance();
                Ok(value)
            }
            None => Err(self.error(what)),
        }
    }

    /// A whole number, such as `4096`, `64k` or `2M` (k, M, B: thousand, million, thousand million).
    ///
    /// # Errors
    /// Anything else, also a number beyond 2^64.
    pub fn count(&mut self, what: &str) -> Result<u64, SpecError> {
        match self.peek().and_then(whole) {
            Some(value) => {
                self.advance();
                Ok(value)
            }
            None => Err(self.error(what)),
        }
    }

    /// A factor with its sign, such as `x0.2` or `×5`.
    ///
    /// # Errors
    /// Anything else.
    pub fn factor(&mut self, what: &str) -> Result<f64, SpecError> {
        let value = self.peek().and_then(|w| w.strip_prefix(['x', '×'])).and_then(plain_number);
        match value {
            Some(value) => {
                self.advance();
                Ok(value)
            }
            None => Err(self.error(what)),
        }
    }
}

/// A finite number of at least 0 that fills `word`; no sign, no `inf`, no `nan`.
pub(crate) fn plain_number(word: &str) -> Option<f64> {
    let first = word.chars().next()?;
    if !(first.is_ascii_digit() || first == '.') {
        return None;
    }
    word.parse::<f64>().ok().filter(|v| v.is_finite())
}

/// A whole number that fills `word`, perhaps with k, M or B.
pub(crate) fn whole(word: &str) -> Option<u64> {
    let (digits, unit) = match word.char_indices().last()? {
        (at, 'k') => (&word[..at], 1_000),
        (at, 'M') => (&word[..at], 1_000_000),
        (at, 'B') => (&word[..at], 1_000_000_000),
        _ => (word, 1),
    };
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return digits.parse::<u64>().ok()?.checked_mul(unit);
    }
    // `2.5k` and `1e6` are whole numbers too; beyond 2^53 not every one is a float.
    let value = plain_number(digits)? * unit as f64;
    (value.fract() == 0.0 && value < 9_007_199_254_740_992.0).then_some(value as u64)
}

/// The shortest text that reads back as `value`.
pub(crate) fn shortest(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 { format!("{value:.0}") } else { format!("{value:?}") }
}

/// `share` as a percentage if that reads back as the same number; else as a number followed by `unit`.
pub(crate) fn share(share: f64, unit: &str) -> String {
    let percent = shortest((share * 1e10).round() / 1e8);
    if plain_number(&percent).is_some_and(|p| p / 100.0 == share) {
        return format!("{percent}%");
    }
    let percent = shortest(share * 100.0);
    if plain_number(&percent).is_some_and(|p| p / 100.0 == share) {
        format!("{percent}%")
    } else {
        format!("{}{unit}", shortest(share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_keep_their_places() {
        let mut c = Cursor::new("  at 30%,é  60% ");
        let mut found = Vec::new();
        while let Some(word) = c.peek() {
            found.push((c.error("").offset, word));
            c.advance();
        }
        assert_eq!(found, [(2, "at"), (5, "30%"), (8, ","), (9, "é"), (13, "60%")]);
        assert_eq!(c.error("").offset, 17);
        assert_eq!(Cursor::new("é x").error("").column(), 1);
        let mut c = Cursor::new("é x");
        c.advance();
        assert_eq!(c.error("y").to_string(), "`é x`, column 3: `x`, allowed is y");
        c.advance();
        assert_eq!(c.error("y").to_string(), "`é x`, column 4: it ends, allowed is y");
        assert_eq!(c.error_before("y").column(), 3);
    }

    #[test]
    fn numbers_are_told_from_other_words() {
        for (word, value) in [("0.1", 0.1), (".5", 0.5), ("3e-4", 3e-4), ("250", 250.0)] {
            assert_eq!(plain_number(word), Some(value));
        }
        for word in ["", "-1", "+1", "inf", "NaN", "1e999", "1x", "e5", "0x1", "1_000"] {
            assert_eq!(plain_number(word), None, "{word}");
        }
        for (word, value) in [
            ("64", 64),
            ("2k", 2000),
            ("2.5k", 2500),
            ("1e6", 1_000_000),
            ("3B", 3_000_000_000),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(whole(word), Some(value));
        }
        for word in ["", "k", "-2", "1.5", "18446744073709551616", "99999999999B", "1e300", "2K", "é"] {
            assert_eq!(whole(word), None, "{word}");
        }
    }

    proptest! {
        #[test]
        fn shares_read_back(x in 0.0f64..1.0, p in 0u32..10_000) {
            for value in [x, f64::from(p) / 100.0 / 100.0] {
                let text = share(value, "run");
                let back = match text.strip_suffix('%') {
                    Some(percent) => plain_number(percent).map(|p| p / 100.0),
                    None => text.strip_suffix("run").and_then(plain_number),
                };
                prop_assert_eq!(back, Some(value), "{}", text);
            }
            prop_assert_eq!(plain_number(&shortest(x * 1e-20)), Some(x * 1e-20));
        }

        #[test]
        fn any_text_has_words_inside_it(text in "\\PC*") {
            let mut c = Cursor::new(&text);
            while c.peek().is_some() {
                let e = c.error("x");
                prop_assert!(text[e.offset..].starts_with(&e.found) && e.column() >= 1);
                c.advance();
            }
        }
    }
}
