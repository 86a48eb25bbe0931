//! A file, or standard input, read line by line and hashed on the way.

use super::FitError;
use crate::hash::hex;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// The longest line, or quoted field with its line breaks, in bytes.
pub(super) const LONGEST: u64 = 1 << 20;

/// Something to read measurements from.
pub struct Source {
    name: String,
    reader: Box<dyn Read + Send>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Source {
    /// A file, or standard input where the path is `-`.
    ///
    /// # Errors
    /// A file that cannot be opened, or that is a folder.
    pub fn open(path: &Path) -> Result<Self, FitError> {
        if path == Path::new("-") {
            return Ok(Self { name: "standard input".to_owned(), reader: Box::new(std::io::stdin()) });
        }
        let name = path.display().to_string();
        let wrong = |found: String| {
            FitError::of_file(&name, found, "name a file that can be read, or - for standard input")
        };
        if path.is_dir() {
            return Err(wrong("it is a folder".to_owned()));
        }
        let file = File::open(path).map_err(|error| wrong(format!("it cannot be opened: {error}")))?;
        Ok(Self { name, reader: Box::new(file) })
    }

    /// Bytes that are at hand, under a name for messages.
    #[must_use]
    pub fn of_bytes(name: &str, bytes: Vec<u8>) -> Self {
        Self { name: name.to_owned(), reader: Box::new(std::io::Cursor::new(bytes)) }
    }

    /// How it is called in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All of it as text, and its hash; for JSON that is one value.
    pub(super) fn read_whole(self) -> Result<(String, String), FitError> {
        /// A JSON answer is some kilobytes.
        const MOST: u64 = 64 << 20;
        let mut bytes = Vec::new();
        let name = self.name;
        let read = self.reader.take(MOST + 1).read_to_end(&mut bytes);
        read.map_err(|error| unreadable(&name, &error))?;
        if MOST < bytes.len() as u64 {
            return Err(FitError::of_file(
                &name,
                "it is longer than 64 MiB",
                "give the JSON that `fit --json` writes",
            ));
        }
        let hash = hex(&Sha256::digest(&bytes));
        match String::from_utf8(bytes) {
            Ok(text) => Ok((text.trim_start_matches('\u{feff}').to_owned(), hash)),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let line = error.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() as u64 + 1;
                Err(not_utf8(&name, line, error.as_bytes()))
            }
        }
    }
}

/// The lines of a source.
pub(super) struct Lines {
    name: String,
    reader: BufReader<Hashed>,
    number: u64,
    raw: Vec<u8>,
}

impl Lines {
    pub(super) fn new(source: Source) -> Self {
        let hashed = Hashed { reader: source.reader, hash: Sha256::new() };
        Self {
            name: source.name,
            reader: BufReader::with_capacity(1 << 16, hashed),
            number: 0,
            raw: Vec::new(),
        }
    }

    /// How the source is called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Number of the last line read, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Appends the next line without its end to `line`; false at the end of the source.
    pub(super) fn next_into(&mut self, line: &mut String) -> Result<bool, FitError> {
        self.raw.clear();
        let read = (&mut self.reader).take(LONGEST + 1).read_until(b'\n', &mut self.raw);
        let n = read.map_err(|error| unreadable(&self.name, &error))?;
        if n == 0 {
            return Ok(false);
        }
        self.number += 1;
        if LONGEST < n as u64 {
            let found = "the line is longer than 1 MiB";
            return Err(FitError::at(&self.name, self.number, found, "a row of measurements is far shorter"));
        }
        let mut bytes = self.raw.as_slice();
        bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if self.number == 1 {
            bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => line.push_str(text),
            Err(_) => return Err(not_utf8(&self.name, self.number, bytes)),
        }
        Ok(true)
    }

    /// SHA-256 of what was read: of the whole source once its last line was read.
    pub(super) fn sha256(self) -> String {
        hex(&self.reader.into_inner().hash.finalize())
    }
}

struct Hashed {
    reader: Box<dyn Read + Send>,
    hash: Sha256,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.reader.read(buffer)?;
        self.hash.update(&buffer[..n]);
        Ok(n)
    }
}

fn unreadable(name: &str, error: &std::io::Error) -> FitError {
    FitError::of_file(name, format!("it cannot be read: {error}"), "name a file that can be read")
}

fn not_utf8(name: &str, line: u64, bytes: &[u8]) -> FitError {
    let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let found = if utf16 { "the text is UTF-16" } else { "the line holds bytes that are not UTF-8" };
    FitError::at(name, line, found, "save the file as UTF-8 text")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> Result<Vec<String>, FitError> {
        let mut lines = Lines::new(Source::of_bytes("x", bytes.to_vec()));
        let mut all = Vec::new();
        loop {
            let mut line = String::new();
            if !lines.next_into(&mut line)? {
                return Ok(all);
            }
            all.push(line);
        }
    }

    #[test]
    fn line_ends_and_the_byte_order_mark_are_taken_off() {
        assert_eq!(lines(b"\xef\xbb\xbfa\r\n\r\nb\nc").unwrap(), ["a", "", "b", "c"]);
        assert!(lines(b"").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_text_is_refused_by_its_line() {
        let error = lines(b"a\nb\xff\n").unwrap_err();
        assert_eq!((error.line, error.found.contains("UTF-8")), (Some(2), true));
        assert!(lines(b"\xff\xfea\0").unwrap_err().found.contains("UTF-16"));
        assert!(lines(&vec![b'x'; 2 << 20]).unwrap_err().found.contains("1 MiB"));
    }

    #[test]
    fn the_hash_is_that_of_the_file() {
        let mut lines = Lines::new(Source::of_bytes("x", b"abc".to_vec()));
        while lines.next_into(&mut String::new()).unwrap() {}
        assert_eq!(lines.sha256(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let (text, hash) = Source::of_bytes("x", b"abc".to_vec()).read_whole().unwrap();
        assert_eq!((text.as_str(), &hash[..8]), ("abc", "ba7816bf"));
    }
}
