//! A column of images while it is read, and when it has been.

use std::path::Path;

use super::Bad;
use crate::decode::{BadImage, decode, header_of};
use crate::{At, DataError};

/// Bytes of pixels for each byte of the file, in all.
const MAX_RATIO: u64 = 2_048;
/// Bytes of pixels in any file.
const ALWAYS_ALLOWED: u64 = 64 << 20;

/// The images of a table, all of one shape.
#[derive(Debug)]
pub(crate) struct Images {
    pub(crate) name: String,
    /// `[channels, rows, columns]`.
    pub(crate) shape: [usize; 3],
    /// Image after image, channel after channel; zeros where one is missing.
    pub(crate) pixels: Vec<u8>,
    /// Rows without an image, in order.
    pub(crate) missing: Vec<usize>,
}

impl Images {
    /// Bytes of one image.
    pub(crate) fn image_len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Adds the images of another file, of the same shape, behind the `n_rows` that are here.
    pub(crate) fn append(&mut self, other: Images, n_rows: usize) {
        self.pixels.extend(other.pixels);
        self.missing.extend(other.missing.iter().map(|row| row + n_rows));
    }
}

/// The images that have been read.
#[derive(Default)]
pub(super) struct ImageRows {
    /// That of the first image.
    shape: Option<[usize; 3]>,
    pixels: Vec<u8>,
    missing: Vec<usize>,
    n_rows: usize,
}

impl ImageRows {
    /// Rows without images, so many.
    pub(super) fn missing(n_rows: usize) -> ImageRows {
        ImageRows { missing: (0..n_rows).collect(), n_rows, ..ImageRows::default() }
    }

    /// Decodes the image of the next row. The shape of the first is that of all; greys may stand among colours.
    pub(super) fn push(&mut self, bytes: Option<&[u8]>, n_file_bytes: usize) -> Result<(), Bad> {
        let row = self.n_rows;
        self.n_rows += 1;
        let Some(bytes) = bytes else {
            self.check_total(n_file_bytes)?;
            self.missing.push(row);
            self.pixels.resize(self.pixels.len() + self.image_len(), 0);
            return Ok(());
        };
        let header = header_of(bytes).map_err(BadImage::parts)?;
        let found = [if header.has_colour { 3 } else { 1 }, header.n_rows, header.n_columns];
        let expected = *self.shape.get_or_insert(found);
        let fits = found[1..] == expected[1..] && found[0] <= expected[0];
        if !fits {
            let text =
                |[channels, rows, columns]: [usize; 3]| format!("an image of {channels}x{rows}x{columns}");
            return Err((text(found), format!("{}, as the first is", text(expected))));
        }
        self.check_total(n_file_bytes)?;
        // Rows before the first image are still without pixels.
        self.pixels.resize(row * self.image_len(), 0);
        self.pixels.extend(decode(bytes, expected[0], None).map_err(BadImage::parts)?.pixels);
        // The header may not be what the decoder goes by.
        self.pixels.resize((row + 1) * self.image_len(), 0);
        Ok(())
    }

    /// All of them; an error if there is none.
    pub(super) fn finish(self, path: &Path, name: String) -> Result<Images, DataError> {
        match self.shape {
            Some(shape) => Ok(Images { name, shape, pixels: self.pixels, missing: self.missing }),
            None => Err(DataError::Format {
                path: path.to_owned(),
                at: At::File,
                what: format!("column `{name}`"),
                found: "missing throughout".to_owned(),
                expected: "at least 1 image".to_owned(),
            }),
        }
    }

    fn image_len(&self) -> usize {
        self.shape.map_or(0, |shape| shape.iter().product())
    }

    /// Whether the rows so far fit in memory: a dictionary can hold one image for a billion rows.
    fn check_total(&self, n_file_bytes: usize) -> Result<(), Bad> {
        let most = (n_file_bytes as u64).saturating_mul(MAX_RATIO).max(ALWAYS_ALLOWED);
        let found = (self.n_rows as u64).saturating_mul(self.image_len() as u64);
        if found <= most {
            return Ok(());
        }
        Err((
            format!("{found} bytes of pixels so far"),
            format!("at most {most}, for a file of {n_file_bytes} bytes"),
        ))
    }
}
