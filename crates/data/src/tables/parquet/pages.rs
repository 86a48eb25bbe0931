//! A look at the page headers of a column before they are believed.
//!
//! The reader of pages allocates what a header says: the size of the page after decompression, the length of a
//! dictionary, of a statistic. Each of these numbers may be any, whatever the file holds. So the headers are walked
//! here first, which costs a few bytes for each page, and numbers out of proportion are refused.
//!
//! Headers are structs of Thrift's compact protocol, described at
//! <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>; their fields, at
//! <https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift>.

/// Bytes that one byte of a page may be decompressed to, beyond [`ALWAYS_ALLOWED`].
const MAX_RATIO: u64 = 1_024;
/// Bytes that any page may be decompressed to: pages are about 1 MiB, and one that says always the same shrinks to
/// almost nothing.
const ALWAYS_ALLOWED: u64 = 16 << 20;
/// Structs within structs.
const MAX_DEPTH: usize = 8;

const DICTIONARY_PAGE: i64 = 2;

/// What is wrong, at a byte of the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadPage {
    pub(super) at: u64,
    pub(super) what: &'static str,
    pub(super) found: String,
    pub(super) expected: String,
}

/// Checks the page headers in `start..end` of a file.
pub(super) fn check_pages(file: &[u8], start: u64, end: u64) -> Result<(), BadPage> {
    let bytes = usize::try_from(end).ok().and_then(|end| file.get(..end));
    let (Some(bytes), Ok(mut at)) = (bytes, usize::try_from(start)) else {
        return Err(BadPage {
            at: start,
            what: "the end of a column",
            found: format!("byte {end}"),
            expected: format!("at most {}, the size of the file", file.len()),
        });
    };
    while at < bytes.len() {
        let mut thrift = Thrift { bytes, at };
        let header = thrift.page_header().ok_or_else(|| BadPage {
            at: at as u64,
            what: "the header of a page",
            found: format!("broken at byte {}", thrift.at),
            expected: "a PageHeader in Thrift's compact protocol".to_owned(),
        })?;
        let left = (bytes.len() - thrift.at) as u64;
        header.check(left).map_err(|(what, found, expected)| BadPage {
            at: at as u64,
            what,
            found,
            expected,
        })?;
        at = thrift.at + header.compressed as usize;
    }
    Ok(())
}

/// The fields of a header that matter here.
#[derive(Debug, Default)]
struct PageHeader {
    kind: i64,
    uncompressed: i64,
    compressed: i64,
    /// Values in the page, if it is a dictionary.
    n_values: i64,
    encoding: i64,
}

impl PageHeader {
    fn check(&self, left: u64) -> Result<(), (&'static str, String, String)> {
        let size = |size: i64| u64::try_from(size).ok();
        let Some(compressed) = size(self.compressed).filter(|size| *size <= left) else {
            let expected = format!("0..={left}, as many as the column has left");
            return Err(("the size of a page", self.compressed.to_string(), expected));
        };
        let most = compressed.saturating_mul(MAX_RATIO).max(ALWAYS_ALLOWED);
        let Some(uncompressed) = size(self.uncompressed).filter(|size| *size <= most) else {
            let expected = format!("0..={most}, for {compressed} bytes");
            return Err(("the decompressed size of a page", self.uncompressed.to_string(), expected));
        };
        // Each value takes at least one byte: booleans have no dictionaries.
        if self.kind == DICTIONARY_PAGE && size(self.n_values).is_none_or(|n| uncompressed < n) {
            let expected = format!("0..={uncompressed}, one for each byte of its page");
            return Err(("the length of a dictionary", self.n_values.to_string(), expected));
        }
        // The lengths of these two say how much to allocate, and stand behind the compression.
        if matches!(self.encoding, 6 | 7) {
            let found = if self.encoding == 6 { "DELTA_LENGTH_BYTE_ARRAY" } else { "DELTA_BYTE_ARRAY" };
            let expected = "PLAIN, RLE, RLE_DICTIONARY, DELTA_BINARY_PACKED or BYTE_STREAM_SPLIT".to_owned();
            return Err(("the encoding of a page", found.to_owned(), expected));
        }
        Ok(())
    }
}

/// Bytes in Thrift's compact protocol; `None` is what makes no sense.
#[derive(Debug)]
struct Thrift<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Thrift<'_> {
    fn page_header(&mut self) -> Option<PageHeader> {
        let mut header = PageHeader::default();
        let mut id = 0;
        while let Some(kind) = self.field(&mut id)? {
            match (id, kind) {
                (1, 5) => header.kind = self.number()?,
                (2, 5) => header.uncompressed = self.number()?,
                (3, 5) => header.compressed = self.number()?,
                // The headers of a data page, a dictionary, and a data page of version 2.
                (5 | 7 | 8, 12) => {
                    let encoding_id = if id == 8 { 4 } else { 2 };
                    let mut inner = 0;
                    while let Some(kind) = self.field(&mut inner)? {
                        match (inner, kind) {
                            (1, 5) => header.n_values = self.number()?,
                            (id, 5) if id == encoding_id => header.encoding = self.number()?,
                            _ => self.skip(kind, 0)?,
                        }
                    }
                }
                _ => self.skip(kind, 0)?,
            }
        }
        Some(header)
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn number(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// The kind of the next field, whose number is then in `id`; `Some(None)` at the end of a struct.
    fn field(&mut self, id: &mut i64) -> Option<Option<u8>> {
        let byte = self.byte()?;
        if byte & 0x0f == 0 {
            return Some(None);
        }
        *id = match byte >> 4 {
            0 => self.number()?,
            step => id.checked_add(i64::from(step))?,
        };
        Some(Some(byte & 0x0f))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if MAX_DEPTH < depth {
            return None;
        }
        let n_bytes = match kind {
            // Booleans are in the kind.
            1 | 2 => 0,
            3 => 1,
            4..=6 => {
                self.varint()?;
                0
            }
            7 => 8,
            8 => self.varint()?,
            9 | 10 => {
                let byte = self.byte()?;
                let n = if byte >> 4 == 15 { self.varint()? } else { u64::from(byte >> 4) };
                for _ in 0..n {
                    self.skip_element(byte & 0x0f, depth + 1)?;
                }
                0
            }
            11 => {
                let n = self.varint()?;
                let kinds = if n == 0 { 0 } else { self.byte()? };
                for _ in 0..n {
                    self.skip_element(kinds >> 4, depth + 1)?;
                    self.skip_element(kinds & 0x0f, depth + 1)?;
                }
                0
            }
            12 => {
                let mut id = 0;
                while let Some(kind) = self.field(&mut id)? {
                    self.skip(kind, depth + 1)?;
                }
                0
            }
            _ => return None,
        };
        let n_bytes = usize::try_from(n_bytes).ok()?;
        self.at = self.at.checked_add(n_bytes).filter(|at| *at <= self.bytes.len())?;
        Some(())
    }

    /// In lists, booleans are bytes; so each element takes at least one, and a long list ends with the file.
    fn skip_element(&mut self, kind: u8, depth: usize) -> Option<()> {
        self.skip(if matches!(kind, 1 | 2) { 3 } else { kind }, depth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of a dictionary: sizes 5 and 5, then a struct of 2 values in encoding 0, then the bytes.
    const PAGE: [u8; 17] = [0x15, 4, 0x15, 10, 0x15, 10, 0x4c, 0x15, 4, 0x15, 0, 0, 0, 1, 2, 3, 4];

    fn page(edit: impl Fn(&mut Vec<u8>)) -> Result<(), BadPage> {
        let mut bytes = PAGE.to_vec();
        bytes.push(5);
        edit(&mut bytes);
        check_pages(&bytes, 0, bytes.len() as u64)
    }

    #[test]
    fn pages_follow_each_other_to_the_end() {
        page(|_| {}).unwrap();
        page(|bytes| bytes.extend_from_within(..)).unwrap();
        for n in 1..18 {
            page(|bytes| bytes.truncate(n)).unwrap_err();
        }
        let error = page(|bytes| bytes.push(0x15)).unwrap_err();
        assert_eq!((error.at, error.what), (18, "the header of a page"));
        check_pages(&PAGE, 0, 18).unwrap_err();
        check_pages(&PAGE, u64::MAX, 17).unwrap();
    }

    #[test]
    fn numbers_out_of_proportion_are_refused() {
        let lie = [0xfe, 0xff, 0xff, 0xff, 0x0f];
        for (at, what) in [
            (3, "the decompressed size of a page"),
            (5, "the size of a page"),
            (8, "the length of a dictionary"),
        ] {
            let error = page(|bytes| drop(bytes.splice(at..=at, lie))).unwrap_err();
            assert_eq!((error.what, error.found.as_str()), (what, "2147483647"));
            let error = page(|bytes| bytes[at] = 1).unwrap_err();
            assert_eq!((error.what, error.found.as_str()), (what, "-1"));
        }
        assert_eq!(page(|bytes| bytes[10] = 14).unwrap_err().found, "DELTA_BYTE_ARRAY");
        // Field 15 of a struct, as binary longer than any file; a list of 2^60 structs; structs without end.
        for tail in [
            &[0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01][..],
            &[0x89, 0xfc, 0xff, 0xff, 0xff, 0xff],
            &[0x8c; 99],
        ] {
            let error = page(|bytes| drop(bytes.splice(12..13, tail.iter().copied()))).unwrap_err();
            assert_eq!(error.what, "the header of a page");
        }
    }
}
