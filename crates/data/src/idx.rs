//! The IDX format of the MNIST family: one file of images or of labels, plain or gzip.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::DataError;
use crate::map::MappedFile;
use crate::pixel_rows::{Bytes, Part};

const IMAGES_MAGIC: u32 = 0x0000_0803;
const LABELS_MAGIC: u32 = 0x0000_0801;
const MAX_SIDE: u32 = 65_535;
/// More than the images of any data set; a header that asks for more is wrong.
const MAX_FILE_BYTES: u64 = 1 << 40;
/// Images rarely shrink more than this under gzip; for those that do, the buffer grows while it is read.
const GZIP_RATIO: u64 = 32;

/// The images of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdxImages {
    /// Number of images, at least 1.
    pub n_images: usize,
    /// Rows of pixels in each image.
    pub n_rows: usize,
    /// Columns of pixels in each image.
    pub n_columns: usize,
    /// Grey pixels `[n_images, n_rows, n_columns]`, 0 background, 255 ink.
    pub pixels: Vec<u8>,
}

/// Reads a file of images, plain or gzip (told apart by content, not by name).
///
/// # Errors
///
/// [`DataError::Read`], [`DataError::Gzip`], [`DataError::WrongMagic`], [`DataError::BadHeader`],
/// [`DataError::Truncated`], [`DataError::TrailingBytes`], [`DataError::Empty`].
pub fn read_images(path: &Path) -> Result<IdxImages, DataError> {
    let (mut file, header) = IdxFile::open_images(path)?;
    let pixels = file.rest(header.n_bytes)?;
    let Header { n_images, n_rows, n_columns, .. } = header;
    Ok(IdxImages { n_images, n_rows, n_columns, pixels })
}

/// The images of one file, where they lie.
#[derive(Debug)]
pub(crate) struct IdxPart {
    pub(crate) n_rows: usize,
    pub(crate) n_columns: usize,
    pub(crate) part: Part,
}

/// Opens a file of images: a plain one is mapped, a gzip one is read.
///
/// # Errors
///
/// As [`read_images`].
pub(crate) fn open_images(path: &Path) -> Result<IdxPart, DataError> {
    let (mut file, Header { n_images, n_rows, n_columns, n_bytes }) = IdxFile::open_images(path)?;
    let image_len = n_rows * n_columns;
    if file.is_gzip {
        let mut pixels = file.rest(n_bytes)?;
        // The byte that was kept free to see the end of the file.
        pixels.shrink_to_fit();
        return Ok(IdxPart { n_rows, n_columns, part: Part::owned(pixels, image_len) });
    }
    let start = file.offset;
    drop(file);
    let mapped = MappedFile::open(path)?;
    let (end, expected) = (mapped.len() as u64, start + n_bytes);
    if end < expected {
        return Err(DataError::Truncated { path: path.to_owned(), end, expected });
    }
    if expected < end {
        return Err(DataError::TrailingBytes { path: path.to_owned(), expected });
    }
    let part = Part { bytes: Bytes::Mapped(mapped), offset: start as usize, stride: image_len, n_images };
    Ok(IdxPart { n_rows, n_columns, part })
}

/// Reads a file of labels, plain or gzip (told apart by content, not by name).
///
/// # Errors
///
/// As [`read_images`].
pub fn read_labels(path: &Path) -> Result<Vec<u8>, DataError> {
    let mut file = IdxFile::open(path)?;
    file.magic("labels", LABELS_MAGIC)?;
    let n_labels = file.word()?;
    if n_labels == 0 {
        return Err(DataError::Empty { path: path.to_owned() });
    }
    file.rest(u64::from(n_labels))
}

/// Byte offset of label `index` in a file of labels (after decompression).
pub(crate) fn label_offset(index: u64) -> u64 {
    8 + index
}

/// What a file of images says about itself.
struct Header {
    n_images: usize,
    n_rows: usize,
    n_columns: usize,
    /// All pixels.
    n_bytes: u64,
}

struct IdxFile<'a> {
    path: &'a Path,
    reader: Box<dyn Read>,
    is_gzip: bool,
    /// Decompressed bytes read so far.
    offset: u64,
    /// About as many decompressed bytes as can be in the file.
    likely_bytes: u64,
}

impl<'a> IdxFile<'a> {
    fn open(path: &'a Path) -> Result<IdxFile<'a>, DataError> {
        let refused = |source| DataError::Read { path: path.to_owned(), offset: 0, source };
        let mut file = File::open(path).map_err(refused)?;
        let file_bytes = file.metadata().map_err(refused)?.len();
        let mut start = Vec::new();
        file.by_ref().take(2).read_to_end(&mut start).map_err(refused)?;
        file.rewind().map_err(refused)?;

        let is_gzip = start == [0x1f, 0x8b];
        let file = BufReader::with_capacity(1 << 16, file);
        let reader: Box<dyn Read> =
            if is_gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        let ratio = if is_gzip { GZIP_RATIO } else { 1 };
        Ok(IdxFile { path, reader, is_gzip, offset: 0, likely_bytes: file_bytes.saturating_mul(ratio) })
    }

    /// Opens a file and reads the header of images.
    fn open_images(path: &'a Path) -> Result<(IdxFile<'a>, Header), DataError> {
        let mut file = IdxFile::open(path)?;
        file.magic("images", IMAGES_MAGIC)?;
        let n_images = file.word()?;
        let n_rows = file.side("number of rows")?;
        let n_columns = file.side("number of columns")?;
        if n_images == 0 {
            return Err(DataError::Empty { path: path.to_owned() });
        }
        // At most 2^32 * 2^16 * 2^16 = 2^64: the last factor may overflow.
        let n_bytes = u64::from(n_images) * u64::from(n_rows);
        let n_bytes = n_bytes.checked_mul(u64::from(n_columns)).filter(|n| *n <= MAX_FILE_BYTES);
        let n_bytes = n_bytes.ok_or_else(|| DataError::BadHeader {
            path: path.to_owned(),
            field: "number of images",
            offset: 4,
            found: u64::from(n_images),
            allowed: format!("at most {MAX_FILE_BYTES} pixels in all, at {n_rows}x{n_columns} pixels each"),
        })?;
        let (n_images, n_rows, n_columns) = (n_images as usize, n_rows as usize, n_columns as usize);
        Ok((file, Header { n_images, n_rows, n_columns, n_bytes }))
    }

    fn magic(&mut self, kind: &'static str, expected: u32) -> Result<(), DataError> {
        let found = self.word()?;
        if found == expected {
            return Ok(());
        }
        Err(DataError::WrongMagic { path: self.path.to_owned(), kind, found, expected })
    }

    fn side(&mut self, field: &'static str) -> Result<u32, DataError> {
        let offset = self.offset;
        let found = self.word()?;
        if (1..=MAX_SIDE).contains(&found) {
            return Ok(found);
        }
        let allowed = format!("1..={MAX_SIDE}");
        Err(DataError::BadHeader {
            path: self.path.to_owned(),
            field,
            offset,
            found: u64::from(found),
            allowed,
        })
    }

    fn word(&mut self) -> Result<u32, DataError> {
        let expected = self.offset + 4;
        let mut bytes = Vec::with_capacity(4);
        self.read(4, &mut bytes)?;
        let bytes = bytes.try_into().map_err(|_| self.truncated(expected))?;
        Ok(u32::from_be_bytes(bytes))
    }

    /// Reads the `n_bytes` that must be the rest of the file.
    fn rest(&mut self, n_bytes: u64) -> Result<Vec<u8>, DataError> {
        let end = self.offset + n_bytes;
        let mut bytes = Vec::new();
        // Room for what the file's own size makes likely, so that a header that lies costs nothing. The one byte
        // more shows what follows the end, and reading it makes gzip check its checksum.
        let room = n_bytes.min(self.likely_bytes).saturating_add(1);
        let refused = |_| DataError::BadHeader {
            path: self.path.to_owned(),
            field: "number of examples",
            offset: 4,
            found: n_bytes,
            allowed: "what fits into memory, in bytes".to_owned(),
        };
        bytes.try_reserve_exact(usize::try_from(room).unwrap_or(usize::MAX)).map_err(refused)?;
        self.read(n_bytes + 1, &mut bytes)?;
        if self.offset < end {
            return Err(self.truncated(end));
        }
        if end < self.offset {
            return Err(DataError::TrailingBytes { path: self.path.to_owned(), expected: end });
        }
        Ok(bytes)
    }

    /// Appends up to `n_bytes` to `bytes`, fewer only at the end of the file.
    fn read(&mut self, n_bytes: u64, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        let before = bytes.len();
        let result = self.reader.by_ref().take(n_bytes).read_to_end(bytes);
        self.offset += (bytes.len() - before) as u64;
        let (path, offset) = (self.path.to_owned(), self.offset);
        match result {
            Ok(_) => Ok(()),
            Err(source) if self.is_gzip => Err(DataError::Gzip { path, bytes_out: offset, source }),
            Err(source) => Err(DataError::Read { path, offset, source }),
        }
    }

    fn truncated(&self, expected: u64) -> DataError {
        DataError::Truncated { path: self.path.to_owned(), end: self.offset, expected }
    }
}
