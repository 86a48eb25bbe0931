//! Checksums as the hub gives them: SHA-256 for large files, git's own SHA-1 for small ones.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::FetchError;

/// The checksum of one file, in lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Checksum {
    /// SHA-256 of the content: for files that the hub stores outside git.
    Sha256(String),
    /// SHA-1 of the content as a git blob: for files within git.
    GitSha1(String),
}

impl Checksum {
    /// Whether it has as many hexadecimal digits as its kind needs.
    pub(super) fn is_valid(&self) -> bool {
        match self {
            Checksum::Sha256(digits) => is_hex(digits, 64),
            Checksum::GitSha1(digits) => is_hex(digits, 40),
        }
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Checksum::Sha256(digits) => write!(formatter, "SHA-256 {digits}"),
            Checksum::GitSha1(digits) => write!(formatter, "git SHA-1 {digits}"),
        }
    }
}

/// Whether `text` is `len` lower-case hexadecimal digits.
pub(super) fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Computes the checksum of a file while its bytes pass by.
#[derive(Clone)]
pub(super) enum Hasher {
    Sha256(Sha256),
    GitSha1(Sha1),
}

impl Hasher {
    /// For a file of `len` bytes whose checksum is of the kind of `expected`.
    pub(super) fn new(expected: &Checksum, len: u64) -> Hasher {
        match expected {
            Checksum::Sha256(_) => Hasher::Sha256(Sha256::new()),
            Checksum::GitSha1(_) => Hasher::GitSha1(
                Sha1::new().chain_update(b"blob ").chain_update(len.to_string()).chain_update([0]),
            ),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::Sha256(hasher) => hasher.update(bytes),
            Hasher::GitSha1(hasher) => hasher.update(bytes),
        }
    }

    /// Adds what can be read from `file`, but no more than `most` bytes; how many there were.
    pub(super) fn read(&mut self, file: &mut File, path: &Path, most: u64) -> Result<u64, FetchError> {
        let mut block = vec![0; 1 << 16];
        let (mut file, mut n_bytes) = (file.take(most), 0);
        loop {
            let n =
                file.read(&mut block).map_err(|source| FetchError::Read { path: path.to_owned(), source })?;
            if n == 0 {
                return Ok(n_bytes);
            }
            self.update(&block[..n]);
            n_bytes += n as u64;
        }
    }

    pub(super) fn finish(self) -> Checksum {
        match self {
            Hasher::Sha256(hasher) => Checksum::Sha256(hex(&hasher.finalize())),
            Hasher::GitSha1(hasher) => Checksum::GitSha1(hex(&hasher.finalize())),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checksum(kind: Checksum, content: &[u8]) -> Checksum {
        let mut hasher = Hasher::new(&kind, content.len() as u64);
        content.chunks(3).for_each(|chunk| hasher.update(chunk));
        hasher.finish()
    }

    #[test]
    fn checksums_equal_published_values() {
        // `printf 'hello world\n' | git hash-object --stdin`, and the empty blob of every repository.
        let git = |content: &[u8]| checksum(Checksum::GitSha1(String::new()), content);
        assert_eq!(
            git(b"hello world\n"),
            Checksum::GitSha1("3b18e512dba79e4c8300dd08aeb37f8e728b8dad".into())
        );
        assert_eq!(git(b""), Checksum::GitSha1("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391".into()));
        // FIPS 180-2, appendix B.1.
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(checksum(Checksum::Sha256(String::new()), b"abc"), Checksum::Sha256(abc.into()));
    }

    #[test]
    fn only_whole_checksums_are_valid() {
        assert!(Checksum::Sha256("0a".repeat(32)).is_valid());
        assert!(Checksum::GitSha1("0a".repeat(20)).is_valid());
        for bad in ["0A".repeat(32), "0g".repeat(32), "0a".repeat(20), String::new()] {
            assert!(!Checksum::Sha256(bad.clone()).is_valid(), "{bad}");
        }
    }
}
