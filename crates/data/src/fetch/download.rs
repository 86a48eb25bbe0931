//! One file: fetched, continued where it broke off, and checked.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use ureq::http::header;

use super::client::{Client, Failure, header_text};
use super::digest::Hasher;
use super::{FetchError, FetchedFile, Progress, cache};

/// What a try has to bring for the count of failures to start anew.
const ADVANCE: u64 = 1 << 20;
const BLOCK: usize = 1 << 16;

/// Fetches `url` to the path of `file` below `staging`. A part that is there already is continued.
pub(super) fn download(
    client: &Client,
    url: &str,
    file: &FetchedFile,
    staging: &Path,
    on_progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), FetchError> {
    let destination = cache::destination(staging, &file.path)?;
    let mut part = Part::open(&destination, file)?;
    loop {
        let mut retries = client.retries(url);
        // The most that was there: a server that lets a file start over again and again makes no headway.
        let mut most = part.bytes;
        while part.bytes < file.bytes {
            if let Err(failure) = part.advance(client, url, on_progress) {
                if ADVANCE <= part.bytes.saturating_sub(most) {
                    most = part.bytes;
                    retries.reset();
                }
                retries.pause(failure, on_progress)?;
            }
        }
        let found = part.hasher.clone().finish();
        if found == file.checksum {
            return part.finish(&destination);
        }
        // What an earlier process left may be what is damaged: once more, all in one piece.
        let was_continued = part.is_continued;
        fs::remove_file(&part.path).map_err(|source| part.refused(source))?;
        if !was_continued {
            return Err(FetchError::Checksum { path: destination, found, expected: file.checksum.clone() });
        }
        tracing::warn!(file = file.path, %found, expected = %file.checksum, "a continued file is damaged: fetching it anew");
        part = Part::open(&destination, file)?;
    }
}

/// The beginning of a file.
struct Part<'a> {
    file: &'a FetchedFile,
    path: PathBuf,
    opened: File,
    /// Bytes that are there.
    bytes: u64,
    /// The hash of these bytes.
    hasher: Hasher,
    /// Whether it was put together from more than one answer.
    is_continued: bool,
}

impl<'a> Part<'a> {
    /// Opens what is there of a file, or makes an empty part.
    fn open(destination: &Path, file: &'a FetchedFile) -> Result<Part<'a>, FetchError> {
        let mut path = destination.as_os_str().to_owned();
        path.push(".part");
        let path = PathBuf::from(path);
        match cache::kind(&path)? {
            Some(metadata) if metadata.is_file() && metadata.len() <= file.bytes => (),
            Some(_) => cache::remove(&path)?,
            None => (),
        }
        // Appends, so that a part which another hand makes longer is found by its checksum.
        let opened = File::options().read(true).append(true).create(true).open(&path);
        let mut opened =
            opened.map_err(|source| FetchError::Write { path: path.clone(), offset: 0, source })?;
        let mut hasher = Hasher::new(&file.checksum, file.bytes);
        let bytes = hasher.read(&mut opened, &path, file.bytes)?;
        Ok(Part { file, path, opened, bytes, hasher, is_continued: 0 < bytes })
    }

    /// Forgets what is there.
    fn restart(&mut self) -> Result<(), FetchError> {
        self.opened.set_len(0).map_err(|source| self.refused(source))?;
        self.bytes = 0;
        self.hasher = Hasher::new(&self.file.checksum, self.file.bytes);
        self.is_continued = false;
        Ok(())
    }

    /// One try to fetch what is missing.
    fn advance(
        &mut self,
        client: &Client,
        url: &str,
        on_progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), Failure> {
        let expected = self.file.bytes;
        let response = client.get(url, self.bytes)?;
        match response.status().as_u16() {
            // The server does not continue files: it sends the whole.
            200 if 0 < self.bytes => self.restart()?,
            200 => (),
            206 => {
                let range = header_text(&response, header::CONTENT_RANGE).unwrap_or_default();
                if !fits(range, self.bytes, expected) {
                    let reason = format!("asked for bytes {}-{expected}, got `{range}`", self.bytes);
                    self.restart()?;
                    return Err(Failure::again(reason));
                }
                self.is_continued |= 0 < self.bytes;
            }
            status => {
                let reason = format!("status {status} for the bytes from {} on", self.bytes);
                self.restart()?;
                return Err(Failure::again(reason));
            }
        }
        if let Some(announced) = response.body().content_length()
            && (self.bytes.saturating_add(announced) > expected
                || (self.bytes == 0 && announced != expected && response.status() == 200))
        {
            return Err(self.wrong_size(self.bytes.saturating_add(announced)).into());
        }
        let mut reader = response.into_body().into_reader();
        let mut block = vec![0; BLOCK];
        loop {
            let n = reader.read(&mut block).map_err(|error| client.body_failure(error))?;
            if n == 0 {
                break;
            }
            if expected < self.bytes + n as u64 {
                let found = self.bytes + n as u64;
                // Whatever this is, it is not the file: nothing of it is to be continued.
                self.restart()?;
                return Err(self.wrong_size(found).into());
            }
            self.append(&block[..n])?;
            on_progress(Progress::Bytes { file: &self.file.path, done: self.bytes, total: expected });
        }
        match self.bytes == expected {
            true => Ok(()),
            false => Err(Failure::again(format!("the answer ended at byte {} of {expected}", self.bytes))),
        }
    }

    /// Counts what was written piece by piece: a disk that fills up takes a part of the last block.
    fn append(&mut self, mut block: &[u8]) -> Result<(), FetchError> {
        while !block.is_empty() {
            match self.opened.write(block) {
                Ok(0) => return Err(self.refused(ErrorKind::WriteZero.into())),
                Ok(n) => {
                    self.hasher.update(&block[..n]);
                    self.bytes += n as u64;
                    block = &block[n..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => (),
                Err(source) => return Err(self.refused(source)),
            }
        }
        Ok(())
    }

    /// Gives the whole file its name.
    fn finish(self, destination: &Path) -> Result<(), FetchError> {
        self.opened.sync_all().map_err(|source| self.refused(source))?;
        fs::rename(&self.path, destination).map_err(|source| self.refused(source))
    }

    fn wrong_size(&self, found: u64) -> FetchError {
        FetchError::Size { file: self.file.path.clone(), found, expected: self.file.bytes }
    }

    fn refused(&self, source: std::io::Error) -> FetchError {
        FetchError::Write { path: self.path.clone(), offset: self.bytes, source }
    }
}

/// Whether a `Content-Range` continues a file of `expected` bytes at byte `from`.
fn fits(range: &str, from: u64, expected: u64) -> bool {
    let parsed = || {
        let (range, total) = range.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let total = if total == "*" { expected } else { total.parse().ok()? };
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?, total))
    };
    parsed().is_some_and(|(first, last, total)| {
        first == from && (first..expected).contains(&last) && total == expected
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_range_that_was_asked_for_fits() {
        for good in ["bytes 10-99/100", "bytes 10-99/*", "bytes 10-50/100"] {
            assert!(fits(good, 10, 100), "{good}");
        }
        let bad = [
            "",
            "bytes",
            "bytes 0-99/100",
            "bytes 11-99/100",
            "bytes 10-100/100",
            "bytes 10-99/101",
            "bytes 10-9/100",
            "bytes */100",
            "10-99/100",
            "bytes 10-99",
            "bytes 10--99/100",
            "bytes 10-99999999999999999999/100",
        ];
        for bad in bad {
            assert!(!fits(bad, 10, 100), "{bad}");
        }
    }
}
