//! One record of delimited text, taken apart into fields.

use super::FitError;
use super::error::shown;
use super::source::{LONGEST, Lines};
use std::ops::Range;

/// What stands between two fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delimiter {
    /// One character: a comma, a tab or a semicolon. Fields may be quoted.
    Char(char),
    /// Any white space. There are no quotes and no empty fields.
    Space,
}

impl Delimiter {
    /// What a header line uses.
    pub(super) fn of(header: &str) -> Self {
        let count = |wanted: char| {
            let mut quoted = false;
            let mut n = 0;
            for c in header.chars() {
                quoted ^= c == '"';
                n += usize::from(c == wanted && !quoted);
            }
            n
        };
        let (tabs, commas, semicolons) = (count('\t'), count(','), count(';'));
        match (tabs, commas, semicolons) {
            (0, 0, 0) => Self::Space,
            (1.., ..) => Self::Char('\t'),
            _ if commas < semicolons => Self::Char(';'),
            _ => Self::Char(','),
        }
    }
}

/// The fields of the last record: spans of one text.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// The record's text, quotes taken off.
    pub(super) text: String,
    /// Its fields, without white space around them.
    pub(super) fields: Vec<Range<usize>>,
    /// The line it begins on.
    pub(super) line: u64,
    raw: String,
}

impl Record {
    /// The field of this number, from 0.
    pub(super) fn field(&self, number: usize) -> &str {
        self.fields.get(number).map_or("", |span| &self.text[span.clone()])
    }

    /// Reads the next line that is neither blank nor a comment; false at the end. A comment is put into `comment`.
    pub(super) fn next_line(
        &mut self,
        lines: &mut Lines,
        comment: Option<&mut String>,
    ) -> Result<bool, FitError> {
        let mut last = String::new();
        loop {
            self.raw.clear();
            if !lines.next_into(&mut self.raw)? {
                return Ok(false);
            }
            let trimmed = self.raw.trim_start();
            if let Some(words) = trimmed.strip_prefix('#') {
                last.clear();
                last.push_str(words.trim());
            } else if !trimmed.is_empty() {
                self.line = lines.number();
                if let Some(comment) = comment {
                    *comment = last;
                }
                return Ok(true);
            }
        }
    }

    /// The line that was read, as it stands in the file.
    pub(super) fn raw(&self) -> &str {
        &self.raw
    }

    /// Takes `line` for the one that was read.
    pub(super) fn set_raw(&mut self, line: String) {
        self.raw = line;
    }

    /// Takes the line that was read apart; a quoted field may go on over the next lines.
    pub(super) fn split(&mut self, delimiter: Delimiter, lines: &mut Lines) -> Result<(), FitError> {
        self.text.clear();
        self.fields.clear();
        match delimiter {
            Delimiter::Space => {
                std::mem::swap(&mut self.text, &mut self.raw);
                let start = self.text.as_ptr() as usize;
                let spans = self.text.split_whitespace().map(|word| {
                    let from = word.as_ptr() as usize - start;
                    from..from + word.len()
                });
                self.fields.extend(spans);
                Ok(())
            }
            Delimiter::Char(c) if !self.raw.contains('"') => {
                std::mem::swap(&mut self.text, &mut self.raw);
                let start = self.text.as_ptr() as usize;
                let spans = self.text.split(c).map(|field| {
                    let field = field.trim();
                    let from = field.as_ptr() as usize - start;
                    from..from + field.len()
                });
                self.fields.extend(spans);
                Ok(())
            }
            Delimiter::Char(c) => self.split_quoted(c, lines),
        }
    }

    /// RFC 4180, with white space allowed around fields.
    fn split_quoted(&mut self, delimiter: char, lines: &mut Lines) -> Result<(), FitError> {
        let mut at = 0;
        loop {
            let rest = &self.raw[at..];
            let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
            let blank = if delimiter == '\t' { 0 } else { blank };
            let from = self.text.len();
            if rest[blank..].starts_with('"') {
                let opened = (lines.number(), self.fields.len() + 1);
                at = self.quoted(at + blank + 1, opened, lines)?;
                let tail = &self.raw[at..];
                let end = tail.find(delimiter).unwrap_or(tail.len());
                if !tail[..end].trim().is_empty() {
                    let found = format!("{} follows a closing quote", shown(tail[..end].trim()));
                    return Err(self.wrong(
                        lines,
                        found,
                        "a field is quoted whole, and a quote in it doubled",
                    ));
                }
                self.fields.push(from..self.text.len());
                at += end;
            } else {
                let end = rest.find(delimiter).unwrap_or(rest.len());
                let field = rest[..end].trim();
                self.text.push_str(field);
                self.fields.push(from..self.text.len());
                at += end;
            }
            if self.raw.len() <= at {
                return Ok(());
            }
            at += delimiter.len_utf8();
        }
    }

    /// Copies a quoted field from behind its first quote; returns where its last one ends.
    fn quoted(&mut self, mut at: usize, opened: (u64, usize), lines: &mut Lines) -> Result<usize, FitError> {
        loop {
            match self.raw[at..].find('"') {
                Some(n) => {
                    self.text.push_str(&self.raw[at..at + n]);
                    at += n + 1;
                    if !self.raw[at..].starts_with('"') {
                        return Ok(at);
                    }
                    self.text.push('"');
                    at += 1;
                }
                None => {
                    self.text.push_str(&self.raw[at..]);
                    self.text.push('\n');
                    self.raw.clear();
                    at = 0;
                    let too_long = LONGEST < self.text.len() as u64;
                    if too_long || !lines.next_into(&mut self.raw)? {
                        return Err(FitError {
                            column: Some(opened.1.to_string()),
                            ..FitError::at(
                                lines.name(),
                                opened.0,
                                "a quote that is never closed",
                                "close it, or leave it out",
                            )
                        });
                    }
                }
            }
        }
    }

    fn wrong(&self, lines: &Lines, found: String, allowed: &str) -> FitError {
        FitError {
            column: Some((self.fields.len() + 1).to_string()),
            ..FitError::at(lines.name(), lines.number(), found, allowed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Source;
    use super::*;

    fn split(text: &str, delimiter: Delimiter) -> Result<Vec<Vec<String>>, FitError> {
        let mut lines = Lines::new(Source::of_bytes("x", text.as_bytes().to_vec()));
        let (mut record, mut all) = (Record::default(), Vec::new());
        while record.next_line(&mut lines, None)? {
            record.split(delimiter, &mut lines)?;
            all.push((0..record.fields.len()).map(|i| record.field(i).to_owned()).collect());
        }
        Ok(all)
    }

    #[test]
    fn delimiters_are_seen_in_the_header() {
        for (header, want) in [
            ("batch,seconds", Delimiter::Char(',')),
            ("batch\tseconds", Delimiter::Char('\t')),
            ("batch;seconds", Delimiter::Char(';')),
            ("batch seconds", Delimiter::Space),
            ("\"a;b;c\",batch", Delimiter::Char(',')),
        ] {
            assert_eq!(Delimiter::of(header), want, "{header}");
        }
    }

    #[test]
    fn fields_are_taken_apart() {
        let comma = Delimiter::Char(',');
        assert_eq!(
            split("a, b ,c\n# no\n\n1,,\"x,\"\"y\"\"\"\n", comma).unwrap(),
            [vec!["a", "b", "c"], vec!["1", "", "x,\"y\""]]
        );
        assert_eq!(split("1,\"two\nlines\",3", comma).unwrap(), [["1", "two\nlines", "3"]]);
        assert_eq!(split("1,\"\",", comma).unwrap(), [["1", "", ""]]);
        assert_eq!(split("  1 \t 2\n", Delimiter::Space).unwrap(), [["1", "2"]]);
        assert_eq!(split("1\t\t3", Delimiter::Char('\t')).unwrap(), [["1", "", "3"]]);
    }

    #[test]
    fn quotes_that_are_wrong_are_named_by_their_place() {
        let error = split("a,b\n1,\"x\n2,3\n", Delimiter::Char(',')).unwrap_err();
        assert_eq!((error.line, error.column.as_deref()), (Some(2), Some("2")));
        assert!(error.found.contains("never closed"));
        let error = split("a,b\n1,\"x\"y\n", Delimiter::Char(',')).unwrap_err();
        assert!(error.found.contains("`y` follows"), "{error}");
    }
}
