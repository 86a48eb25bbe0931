//! Tokens in memory, as narrow as their numbers allow, or in a mapped file.

use crate::map::MappedFile;

/// The width of a token in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenWidth {
    /// Two bytes, little-endian.
    U16,
    /// Four bytes, little-endian.
    U32,
}

impl TokenWidth {
    pub(crate) fn bytes(self) -> usize {
        match self {
            TokenWidth::U16 => 2,
            TokenWidth::U32 => 4,
        }
    }
}

/// A stream of tokens.
#[derive(Debug)]
pub(crate) enum Store {
    U16(Vec<u16>),
    U32(Vec<u32>),
    Mapped { file: MappedFile, width: TokenWidth },
}

impl Store {
    /// Room for tokens in `0..n_tokens`.
    pub(crate) fn new(n_tokens: usize) -> Store {
        if n_tokens <= 1 << 16 { Store::U16(Vec::new()) } else { Store::U32(Vec::new()) }
    }

    /// Appends a token, which is within the range that this store was made for.
    pub(crate) fn push(&mut self, token: u32) {
        match self {
            Store::U16(tokens) => tokens.push(token as u16),
            Store::U32(tokens) => tokens.push(token),
            Store::Mapped { .. } => {}
        }
    }

    pub(crate) fn shrink(&mut self) {
        match self {
            Store::U16(tokens) => tokens.shrink_to_fit(),
            Store::U32(tokens) => tokens.shrink_to_fit(),
            Store::Mapped { .. } => {}
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Store::U16(tokens) => tokens.len(),
            Store::U32(tokens) => tokens.len(),
            Store::Mapped { file, width } => file.len() / width.bytes(),
        }
    }

    pub(crate) fn resident_bytes(&self) -> usize {
        match self {
            Store::U16(tokens) => 2 * tokens.capacity(),
            Store::U32(tokens) => 4 * tokens.capacity(),
            Store::Mapped { .. } => 0,
        }
    }

    /// Fills `out` with the tokens from `start` on, which must exist.
    pub(crate) fn read(&self, start: usize, out: &mut [u32]) {
        match self {
            Store::U16(tokens) => {
                for (out, token) in out.iter_mut().zip(&tokens[start..]) {
                    *out = u32::from(*token);
                }
            }
            Store::U32(tokens) => out.copy_from_slice(&tokens[start..][..out.len()]),
            Store::Mapped { file, width: TokenWidth::U16 } => {
                let (tokens, _) = file[2 * start..].as_chunks();
                for (out, token) in out.iter_mut().zip(tokens) {
                    *out = u32::from(u16::from_le_bytes(*token));
                }
            }
            Store::Mapped { file, width: TokenWidth::U32 } => {
                let (tokens, _) = file[4 * start..].as_chunks();
                for (out, token) in out.iter_mut().zip(tokens) {
                    *out = u32::from_le_bytes(*token);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_vocabulary_is_held_in_wide_numbers() {
        for (n_tokens, width) in [(1 << 16, 2), ((1 << 16) + 1, 4)] {
            let mut store = Store::new(n_tokens);
            let tokens = [n_tokens as u32 - 1, 7, 0];
            tokens.iter().for_each(|token| store.push(*token));
            store.shrink();
            let mut out = [1; 2];
            store.read(0, &mut out);
            assert_eq!((out.as_slice(), store.len(), store.resident_bytes()), (&tokens[..2], 3, 3 * width));
        }
    }
}
