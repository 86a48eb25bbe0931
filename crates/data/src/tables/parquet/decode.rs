//! Encoded images (PNG, JPEG) as bytes, channel after channel.

use std::io::Cursor;

use image::{ColorType, DynamicImage, ImageDecoder, ImageReader, Limits};

/// More than this many bytes for each byte of an encoded image cannot be decoded from it: deflate ends at 1032, and
/// JPEG spends at least a bit on each block of 64 values.
const MAX_RATIO: u64 = 2_048;
/// One image never takes more than this.
const MAX_DECODED_BYTES: u64 = 1 << 30;
/// The most rows or columns.
const MAX_SIDE: u32 = 1 << 15;

/// What was found instead of an image, and what is allowed.
pub(super) type BadImage = (String, String);

/// The shape `[channels, rows, columns]` of an encoded image, by its header alone; 1 channel for greys, else 3.
pub(super) fn image_shape(bytes: &[u8]) -> Result<[usize; 3], BadImage> {
    shape(&decoder(bytes)?, bytes.len())
}

/// Decodes an image to 1 or 3 channels. Transparency and what goes beyond 8 bits are dropped.
pub(super) fn decode(bytes: &[u8], n_channels: usize) -> Result<Vec<u8>, BadImage> {
    let decoder = decoder(bytes)?;
    shape(&decoder, bytes.len())?;
    let image = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    if n_channels == 1 {
        return Ok(image.into_luma8().into_raw());
    }
    let pixels = image.into_rgb8().into_raw();
    let mut planes = Vec::with_capacity(pixels.len());
    (0..3).for_each(|channel| planes.extend(pixels.iter().skip(channel).step_by(3)));
    Ok(planes)
}

fn decoder(bytes: &[u8]) -> Result<impl ImageDecoder + '_, BadImage> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(most_decoded(bytes.len()));
    let mut reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| damaged(image::ImageError::IoError(error)))?;
    reader.limits(limits);
    reader.into_decoder().map_err(damaged)
}

fn shape(decoder: &impl ImageDecoder, n_bytes: usize) -> Result<[usize; 3], BadImage> {
    let (width, height) = decoder.dimensions();
    let is_side = |side: u32| (1..=MAX_SIDE).contains(&side);
    if !(is_side(width) && is_side(height) && decoder.total_bytes() <= most_decoded(n_bytes)) {
        return Err((
            format!("{height}x{width} pixels in {n_bytes} bytes"),
            format!("1 to {MAX_SIDE} rows and columns, and at most {MAX_RATIO} bytes decoded from one"),
        ));
    }
    let is_grey =
        matches!(decoder.color_type(), ColorType::L8 | ColorType::La8 | ColorType::L16 | ColorType::La16);
    Ok([if is_grey { 1 } else { 3 }, height as usize, width as usize])
}

/// Small images have room for the decoder's own tables.
fn most_decoded(n_bytes: usize) -> u64 {
    (n_bytes as u64).saturating_mul(MAX_RATIO).saturating_add(1 << 16).min(MAX_DECODED_BYTES)
}

fn damaged(error: image::ImageError) -> BadImage {
    (format!("unreadable ({error})"), "a whole PNG or JPEG image".to_owned())
}
