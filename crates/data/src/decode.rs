//! Encoded images (PNG, JPEG) as bytes: channel after channel, of a wanted size.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Seek};
use std::path::Path;

use image::imageops::{FilterType, resize};
use image::{ColorType, DynamicImage, ImageDecoder, ImageReader, Limits};

use crate::files::read_small;
use crate::{At, DataError};

/// Larger files are not images to train with.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// More than this many bytes for each byte of the file cannot be decoded from it: deflate ends at 1032, and JPEG spends
/// at least a bit on each block of 64 values.
const MAX_RATIO: u64 = 2048;
/// Images never take more than this, however large their file is.
const MAX_DECODED_BYTES: u64 = 1 << 30;
/// The most rows or columns.
pub(crate) const MAX_SIDE: u32 = 1 << 15;

/// What an encoded image says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImageHeader {
    pub(crate) n_rows: usize,
    pub(crate) n_columns: usize,
    /// Whether it has colours rather than greys.
    pub(crate) has_colour: bool,
}

/// An encoded image that makes no sense: what was found, what is allowed.
#[derive(Clone, Debug)]
pub(crate) struct BadImage {
    pub(crate) found: String,
    pub(crate) expected: String,
}

impl BadImage {
    /// The error of a file that holds it.
    pub(crate) fn at(self, path: &Path) -> DataError {
        let BadImage { found, expected } = self;
        DataError::Format {
            path: path.to_owned(),
            at: At::File,
            what: "the image".to_owned(),
            found,
            expected,
        }
    }
}

/// One decoded image of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedImage {
    /// `[channels, rows, columns]`.
    pub shape: [usize; 3],
    /// Its pixels, channel after channel.
    pub pixels: Vec<u8>,
}

/// Reads one PNG or JPEG file, told apart by content.
///
/// With 1 channel colours become their brightness (Rec. 709 luma), with 3 greys become colours; transparency and what
/// goes beyond 8 bits are dropped. With `size` (rows and columns) the image is resized, averaging what shrinks.
///
/// # Errors
///
/// [`DataError::Read`]; [`DataError::Format`] for a file that is no image, damaged, or that claims a size out of all
/// proportion to the file; [`DataError::Setting`] for another number of channels or a size of 0 or above 32768.
pub fn read_image(
    path: &Path,
    n_channels: usize,
    size: Option<[usize; 2]>,
) -> Result<DecodedImage, DataError> {
    check_channels(n_channels)?;
    size.map_or(Ok(()), check_size)?;
    decode(&read_bytes(path)?, n_channels, size).map_err(|bad| bad.at(path))
}

pub(crate) fn check_channels(n_channels: usize) -> Result<(), DataError> {
    match n_channels {
        1 | 3 => Ok(()),
        _ => Err(DataError::Setting {
            field: "channels",
            found: n_channels.to_string(),
            allowed: "1 or 3".to_owned(),
        }),
    }
}

pub(crate) fn check_size([n_rows, n_columns]: [usize; 2]) -> Result<(), DataError> {
    let allowed = 1..=MAX_SIDE as usize;
    if allowed.contains(&n_rows) && allowed.contains(&n_columns) {
        return Ok(());
    }
    Err(DataError::Setting {
        field: "size",
        found: format!("{n_rows}x{n_columns}"),
        allowed: format!("N, or ROWSxCOLUMNS, each 1..={MAX_SIDE}"),
    })
}

/// The bytes of one encoded image.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, DataError> {
    read_small(path, MAX_FILE_BYTES)
}

/// Reads no more of an image file than its header.
pub(crate) fn read_header(path: &Path) -> Result<ImageHeader, DataError> {
    let refused = |source| DataError::Read { path: path.to_owned(), offset: 0, source };
    let file = File::open(path).map_err(refused)?;
    let n_bytes = file.metadata().map_err(refused)?.len();
    let decoder = decoder(BufReader::new(file), n_bytes);
    decoder.and_then(|decoder| header(&decoder, n_bytes)).map_err(|bad| bad.at(path))
}

/// Decodes an image, with 1 or 3 channels.
pub(crate) fn decode(
    bytes: &[u8],
    n_channels: usize,
    size: Option<[usize; 2]>,
) -> Result<DecodedImage, BadImage> {
    let n_bytes = bytes.len() as u64;
    let decoder = decoder(Cursor::new(bytes), n_bytes)?;
    let ImageHeader { n_rows, n_columns, .. } = header(&decoder, n_bytes)?;
    let image = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    let [n_rows, n_columns] = size.unwrap_or([n_rows, n_columns]);
    let shape = [n_channels, n_rows, n_columns];
    // `check_size` and `header` bound both, so that nothing is cut off here.
    let (columns, rows) = (n_columns as u32, n_rows as u32);
    if n_channels == 1 {
        let image = image.into_luma8();
        let fits = image.dimensions() == (columns, rows);
        let image = if fits { image } else { resize(&image, columns, rows, FilterType::Triangle) };
        return Ok(DecodedImage { shape, pixels: image.into_raw() });
    }
    let image = image.into_rgb8();
    let fits = image.dimensions() == (columns, rows);
    let image = if fits { image } else { resize(&image, columns, rows, FilterType::Triangle) };
    Ok(DecodedImage { shape, pixels: planes(image.as_raw()) })
}

fn decoder<'a>(content: impl BufRead + Seek + 'a, n_bytes: u64) -> Result<impl ImageDecoder + 'a, BadImage> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(most_decoded(n_bytes));
    let mut reader = ImageReader::new(content)
        .with_guessed_format()
        .map_err(|error| BadImage { found: error.to_string(), expected: "an image".to_owned() })?;
    reader.limits(limits);
    reader.into_decoder().map_err(damaged)
}

fn header(decoder: &impl ImageDecoder, n_bytes: u64) -> Result<ImageHeader, BadImage> {
    let (width, height) = decoder.dimensions();
    let is_sound = (1..=MAX_SIDE).contains(&width)
        && (1..=MAX_SIDE).contains(&height)
        && decoder.total_bytes() <= most_decoded(n_bytes);
    if !is_sound {
        return Err(BadImage {
            found: format!("{height}x{width} pixels in {n_bytes} bytes"),
            expected: format!(
                "1 to {MAX_SIDE} rows and columns, and at most {MAX_RATIO} bytes decoded from one, \
                 {MAX_DECODED_BYTES} in all"
            ),
        });
    }
    let has_colour =
        !matches!(decoder.color_type(), ColorType::L8 | ColorType::La8 | ColorType::L16 | ColorType::La16);
    Ok(ImageHeader { n_rows: height as usize, n_columns: width as usize, has_colour })
}

/// Bytes that decoding a file of so many may take; small files have room for the decoder's own tables.
fn most_decoded(n_bytes: u64) -> u64 {
    n_bytes.saturating_mul(MAX_RATIO).saturating_add(1 << 16).min(MAX_DECODED_BYTES)
}

fn damaged(error: image::ImageError) -> BadImage {
    BadImage { found: format!("unreadable ({error})"), expected: "a whole PNG or JPEG image".to_owned() }
}

/// Red, green, blue, red, green, blue as three planes.
fn planes(pixels: &[u8]) -> Vec<u8> {
    let channel = |channel: usize| pixels.iter().skip(channel).step_by(3).copied();
    let mut planes = Vec::with_capacity(pixels.len());
    (0..3).for_each(|k| planes.extend(channel(k)));
    planes
}
