//! A picture of a data set: some examples of each class.

use std::io::Cursor;

use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};

use crate::{DataError, Dataset};

/// Pixels between two examples.
const GAP: usize = 2;
/// Grey of the gaps: neither ink nor background.
const GAP_GREY: u8 = 96;
/// A larger picture is of no use, and may not fit into memory.
const MAX_SIDE: usize = 16_384;

/// Draws up to `n_columns` examples of each class as one PNG picture: a row for each class, in the order of their numbers,
/// up to `n_rows` classes; in a row the first examples of the class in the order of the set.
///
/// Images of 3 channels and more are shown by their first three as red, green and blue, others by their first as grey.
/// Places without an example stay grey.
///
/// # Errors
///
/// [`DataError::NoPixels`] where inputs are not images of bytes, [`DataError::NoClasses`] where targets are not classes,
/// [`DataError::Setting`] for no columns, no rows, or a picture of more than 16384 pixels on a side.
pub fn contact_sheet(dataset: &dyn Dataset, n_columns: usize, n_rows: usize) -> Result<Vec<u8>, DataError> {
    let schema = dataset.schema();
    let no_pixels = || DataError::NoPixels { name: schema.name.clone() };
    let shape: [usize; 3] = schema.input_shape.clone().try_into().map_err(|_| no_pixels())?;
    let n_classes = schema.n_classes().ok_or_else(|| DataError::NoClasses { name: schema.name.clone() })?;
    let n_rows = n_rows.min(n_classes);
    let sheet_side = |n: usize, side: usize| {
        let pixels = n.checked_mul(side.checked_add(GAP)?)?.checked_add(GAP)?;
        (1 <= n && 1 <= side && pixels <= MAX_SIDE).then_some(pixels)
    };
    let [n_channels, image_rows, image_columns] = shape;
    let sides = sheet_side(n_rows, image_rows).zip(sheet_side(n_columns, image_columns));
    let (Some((sheet_rows, sheet_columns)), 1..) = (sides, n_channels) else {
        return Err(DataError::Setting {
            field: "the contact sheet",
            found: format!("{n_rows} rows and {n_columns} columns of {image_rows}x{image_columns} pixels"),
            allowed: format!("1 row and column or more, and at most {MAX_SIDE} pixels on a side"),
        });
    };

    let n_shown = if 3 <= n_channels { 3 } else { 1 };
    let mut sheet = vec![GAP_GREY; n_shown * sheet_rows * sheet_columns];
    let mut pixels = vec![0; schema.input_len()];
    let plane = image_rows * image_columns;
    for (row, examples) in first_of_each_class(dataset, n_columns, n_rows)?.into_iter().enumerate() {
        for (column, index) in examples.into_iter().enumerate() {
            dataset.pixels(index, &mut pixels)?;
            let (top, left) = (GAP + row * (image_rows + GAP), GAP + column * (image_columns + GAP));
            for (at, place) in
                (0..plane).map(|at| (at, (top + at / image_columns, left + at % image_columns)))
            {
                let place = n_shown * (place.0 * sheet_columns + place.1);
                (0..n_shown).for_each(|channel| sheet[place + channel] = pixels[channel * plane + at]);
            }
        }
    }
    encode(sheet, n_shown, sheet_rows, sheet_columns)
}

/// The first examples of the first classes; labels are read until all rows are full.
fn first_of_each_class(
    dataset: &dyn Dataset,
    n_columns: usize,
    n_rows: usize,
) -> Result<Vec<Vec<u64>>, DataError> {
    let mut rows = vec![Vec::new(); n_rows];
    let mut n_missing = n_rows * n_columns;
    for index in 0..dataset.len() {
        if n_missing == 0 {
            break;
        }
        let row = rows.get_mut(dataset.label(index)? as usize);
        if let Some(row) = row.filter(|row| row.len() < n_columns) {
            row.push(index);
            n_missing -= 1;
        }
    }
    Ok(rows)
}

fn encode(sheet: Vec<u8>, n_channels: usize, n_rows: usize, n_columns: usize) -> Result<Vec<u8>, DataError> {
    // Bounded by MAX_SIDE.
    let (columns, rows) = (n_columns as u32, n_rows as u32);
    let image = match n_channels {
        1 => GrayImage::from_raw(columns, rows, sheet).map(DynamicImage::from),
        _ => RgbImage::from_raw(columns, rows, sheet).map(DynamicImage::from),
    };
    let mut png = Cursor::new(Vec::new());
    let written = image.map(|image| image.write_to(&mut png, ImageFormat::Png));
    match written {
        Some(Ok(())) => Ok(png.into_inner()),
        failed => Err(DataError::Setting {
            field: "the contact sheet",
            found: format!("{rows}x{columns} pixels that cannot be written ({failed:?})"),
            allowed: "what fits into memory".to_owned(),
        }),
    }
}
