//! Part of a text file, read line by line in bounded memory.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Take};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::{At, DataError};

/// Lines longer than this come in pieces, so that memory stays bounded.
const LONGEST_PIECE: u64 = 1 << 20;

/// Some bytes of a text file.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Range<u64>,
}

/// Where a text may be cut in two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CutAfter {
    Character,
    /// Preferably the last of its line.
    Word,
    Line,
    /// A line with nothing but white space.
    BlankLine,
}

impl Section {
    /// The whole file.
    pub(crate) fn whole(path: &Path) -> Result<Section, DataError> {
        let metadata = std::fs::metadata(path);
        let metadata =
            metadata.map_err(|source| DataError::Read { path: path.to_owned(), offset: 0, source })?;
        match metadata.len() {
            0 => Err(DataError::Empty { path: path.to_owned() }),
            len => Ok(Section { path: path.to_owned(), bytes: 0..len }),
        }
    }

    /// Calls `take` with each line, its end included, and whether it ends there: a line of more than a mebibyte comes in
    /// pieces, which end with white space where there is any.
    ///
    /// The end of the section ends its last line, too.
    pub(crate) fn for_each_piece(
        &self,
        mut take: impl FnMut(&str, bool) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let mut reader = self.open(self.bytes.start)?;
        let mut buffer = Vec::new();
        let mut offset = self.bytes.start;
        let mut inside_line = false;
        loop {
            let room = LONGEST_PIECE.saturating_sub(buffer.len() as u64);
            let read = reader.by_ref().take(room).read_until(b'\n', &mut buffer);
            read.map_err(|source| self.refused(offset, source))?;
            if buffer.is_empty() {
                return if inside_line { take("", true) } else { Ok(()) };
            }
            let is_full = LONGEST_PIECE <= buffer.len() as u64;
            let ends_line = buffer.last() == Some(&b'\n') || !is_full;
            let n_valid = match std::str::from_utf8(&buffer) {
                Ok(_) => buffer.len(),
                // The piece ends within a character.
                Err(error) if error.error_len().is_none() && !ends_line => error.valid_up_to(),
                Err(error) => {
                    let at = error.valid_up_to();
                    return Err(self.invalid(offset + at as u64, buffer[at]));
                }
            };
            let text = std::str::from_utf8(&buffer[..n_valid]).unwrap_or_default();
            let text = if ends_line { text } else { &text[..last_word_end(text)] };
            take(text, ends_line)?;
            let n_taken = text.len();
            buffer.drain(..n_taken);
            offset += n_taken as u64;
            inside_line = !ends_line;
        }
    }

    /// Cuts off the last `fraction` of the bytes, moved on to the next place where the text may be cut.
    pub(crate) fn split(self, fraction: f64, after: CutAfter) -> Result<(Section, Section), DataError> {
        let Range { start, end } = self.bytes;
        let at = start + ((end - start) as f64 * (1.0 - fraction)).floor() as u64;
        // The byte before may end a line just here.
        let before = at.saturating_sub(1).max(start);
        let cut = match after {
            CutAfter::Character => self.next_character(at)?,
            CutAfter::Word => self.next_word(before)?,
            CutAfter::Line => self.next_line(before)?,
            CutAfter::BlankLine => self.next_paragraph(before)?,
        };
        let cut = cut.clamp(start, end);
        let section = |bytes| Section { path: self.path.clone(), bytes };
        Ok((section(start..cut), section(cut..end)))
    }

    fn next_character(&self, at: u64) -> Result<u64, DataError> {
        let ahead = self.ahead(at, 3)?;
        let is_inside = |byte: &&u8| **byte & 0b1100_0000 == 0b1000_0000;
        Ok(at + ahead.iter().take_while(is_inside).count() as u64)
    }

    fn next_word(&self, at: u64) -> Result<u64, DataError> {
        let ahead = self.ahead(at, LONGEST_PIECE)?;
        // What ends the section leaves nothing behind it.
        let is_within = |position: &usize| at + (*position as u64) + 1 < self.bytes.end;
        let newline = ahead.iter().position(|byte| *byte == b'\n').filter(is_within);
        match newline.or_else(|| ahead.iter().position(u8::is_ascii_whitespace)) {
            Some(position) => Ok(at + position as u64 + 1),
            None => self.next_character(at),
        }
    }

    fn next_line(&self, at: u64) -> Result<u64, DataError> {
        let mut reader = self.open(at)?;
        let skipped = reader.skip_until(b'\n').map_err(|source| self.refused(at, source))?;
        Ok(at + skipped as u64)
    }

    fn next_paragraph(&self, at: u64) -> Result<u64, DataError> {
        let mut offset = self.next_line(at)?;
        let mut found = None;
        let rest = Section { path: self.path.clone(), bytes: offset..self.bytes.end };
        rest.for_each_piece(|text, ends_line| {
            offset += text.len() as u64;
            if found.is_none() && ends_line && text.trim().is_empty() {
                found = Some(offset);
            }
            Ok(())
        })?;
        Ok(found.unwrap_or(self.bytes.end))
    }

    /// Up to `n` bytes from `at` on.
    fn ahead(&self, at: u64, n: u64) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        let read = self.open(at)?.take(n).read_to_end(&mut bytes);
        read.map_err(|source| self.refused(at, source))?;
        Ok(bytes)
    }

    /// A reader of the bytes from `at` to the section's end.
    fn open(&self, at: u64) -> Result<Take<BufReader<File>>, DataError> {
        let mut file = File::open(&self.path).map_err(|source| self.refused(0, source))?;
        file.seek(SeekFrom::Start(at)).map_err(|source| self.refused(at, source))?;
        let n_bytes = self.bytes.end.saturating_sub(at);
        Ok(BufReader::with_capacity(1 << 16, file).take(n_bytes))
    }

    fn refused(&self, offset: u64, source: std::io::Error) -> DataError {
        DataError::Read { path: self.path.clone(), offset, source }
    }

    fn invalid(&self, offset: u64, byte: u8) -> DataError {
        // Lines are counted only now: most texts are valid.
        let before = Section { path: self.path.clone(), bytes: 0..offset };
        let line = before.count_newlines().map_or("?".to_owned(), |n| (n + 1).to_string());
        DataError::Format {
            path: self.path.clone(),
            at: At::Byte(offset),
            what: format!("text in line {line}"),
            found: format!("the byte {byte:#04x}"),
            expected: "UTF-8".to_owned(),
        }
    }

    fn count_newlines(&self) -> Result<u64, DataError> {
        let mut reader = self.open(self.bytes.start)?;
        let mut n_newlines = 0;
        loop {
            let chunk = reader.fill_buf().map_err(|source| self.refused(0, source))?;
            if chunk.is_empty() {
                return Ok(n_newlines);
            }
            n_newlines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
            let n_bytes = chunk.len();
            reader.consume(n_bytes);
        }
    }
}

/// Where the last white space of `text` ends, or else the end of `text`.
fn last_word_end(text: &str) -> usize {
    let space = text.char_indices().rev().find(|(_, character)| character.is_whitespace());
    space.map_or(text.len(), |(at, character)| at + character.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(bytes: &[u8]) -> Vec<(String, bool)> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("text.txt");
        std::fs::write(&path, bytes).unwrap();
        let mut pieces = Vec::new();
        let take = |text: &str, ends_line| {
            pieces.push((text.to_owned(), ends_line));
            Ok(())
        };
        Section::whole(&path).unwrap().for_each_piece(take).unwrap();
        pieces
    }

    #[test]
    fn lines_keep_their_ends() {
        let line = |text: &str| (text.to_owned(), true);
        assert_eq!(pieces(b"a b\r\n\nc"), [line("a b\r\n"), line("\n"), line("c")]);
        assert_eq!(pieces(b"\n"), [line("\n")]);
    }

    #[test]
    fn long_lines_come_in_pieces_that_end_with_a_space() {
        let limit = LONGEST_PIECE as usize;
        // The limit falls within a word, within a character, after a space, and after the whole text.
        for text in [
            format!("{}é b\nc", "word ".repeat(limit / 5)),
            "é".repeat(limit),
            format!("a{}", "é".repeat(limit)),
            format!("{} tail\n", "x".repeat(limit - 1)),
            format!("{} ", "x".repeat(limit - 1)),
            "x".repeat(limit),
        ] {
            let pieces = pieces(text.as_bytes());
            let joined: String = pieces.iter().map(|(text, _)| text.as_str()).collect();
            assert!(joined == text, "nothing is lost");
            assert!(pieces.iter().all(|(text, _)| text.len() <= limit));
            assert!(!pieces[0].1 && pieces.last().unwrap().1);
            let n_lines = pieces.iter().filter(|(_, ends_line)| *ends_line).count();
            assert_eq!(n_lines, text.lines().count());
            if text.starts_with("word") {
                assert!(pieces[0].0.ends_with("word "), "no word is cut");
            }
        }
    }

    #[test]
    fn a_wrong_byte_in_a_long_line_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("text.txt");
        let mut bytes = "a\n".to_owned().into_bytes();
        bytes.extend("x y ".repeat(1 << 20).bytes());
        bytes[(1 << 20) + 9] = 0xff;
        std::fs::write(&path, bytes).unwrap();
        let error = Section::whole(&path).unwrap().for_each_piece(|_, _| Ok(())).unwrap_err();
        assert!(error.to_string().contains("byte 1048585: text in line 2 is the byte 0xff"), "{error}");
    }

    #[test]
    fn cuts_fall_where_they_may() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("text.txt");
        let text = "éé a b\nc d\n\ne f\n";
        std::fs::write(&path, text).unwrap();
        let test_part = |fraction, after| {
            let (train, test) = Section::whole(&path).unwrap().split(fraction, after).unwrap();
            assert_eq!(train.bytes.end, test.bytes.start);
            text[test.bytes.start as usize..].to_owned()
        };
        // 18 bytes: a fraction of 0.9 cuts after byte 1, within the first letter; 0.6 after byte 6.
        assert_eq!(test_part(0.9, CutAfter::Character), &text[2..]);
        assert_eq!(test_part(0.9, CutAfter::Word), "c d\n\ne f\n");
        assert_eq!(test_part(0.6, CutAfter::Line), "c d\n\ne f\n");
        assert_eq!(test_part(0.5, CutAfter::Line), "c d\n\ne f\n", "byte 9 starts a line");
        assert_eq!(test_part(0.6, CutAfter::BlankLine), "e f\n");
        assert_eq!(test_part(0.01, CutAfter::BlankLine), "");
        std::fs::write(&path, "aa bb cc dd ee ff").unwrap();
        let (_, test) = Section::whole(&path).unwrap().split(0.6, CutAfter::Word).unwrap();
        assert_eq!(test.bytes, 6..17, "one line is cut between words");
        std::fs::write(&path, "aa bb cc dd ee ff\n").unwrap();
        let (_, test) = Section::whole(&path).unwrap().split(0.6, CutAfter::Word).unwrap();
        assert_eq!(test.bytes, 9..18, "also one that ends as lines do");
    }
}
