//! The contact sheet reads back, with each example in its place.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod common;

use batchwise_data::{ByteImages, DataError, Dataset, contact_sheet, open};
use common::Counting;

/// Ten images of classes 0, 1, 2, 0, 1, 2, ..; channel c of image i is all `20 i + c`, but for its last pixel, 255.
fn set(n_channels: usize) -> ByteImages {
    let mut pixels = Vec::new();
    for i in 0..10 {
        for c in 0..n_channels {
            pixels.extend([(20 * i + c) as u8; 5]);
            pixels.push(255);
        }
    }
    let labels = (0..10).map(|i| i % 3).collect();
    ByteImages::new("set", [n_channels, 2, 3], pixels, labels, Vec::new(), None).unwrap()
}

#[test]
fn examples_stand_in_the_row_of_their_class() {
    let sheet = image::load_from_memory(&contact_sheet(&set(3), 2, 9).unwrap()).unwrap().into_rgb8();
    // Three rows of two examples of 2x3 pixels.
    assert_eq!(sheet.dimensions(), (2 * 5 + 2, 3 * 4 + 2));
    for (row, column, example) in [(0, 0, 0), (0, 1, 3), (1, 0, 1), (1, 1, 4), (2, 0, 2), (2, 1, 5u8)] {
        let (left, top) = (2 + 5 * column, 2 + 4 * row);
        let first = 20 * example;
        assert_eq!(sheet.get_pixel(left, top).0, [first, first + 1, first + 2]);
        assert_eq!(sheet.get_pixel(left + 2, top + 1).0, [255; 3]);
        assert_eq!(sheet.get_pixel(left - 1, top).0, [96; 3]);
        assert_eq!(sheet.get_pixel(left, top + 2).0, [96; 3]);
    }
}

#[test]
fn greys_stay_grey_and_missing_examples_leave_a_gap() {
    let sheet = image::load_from_memory(&contact_sheet(&set(1), 4, 2).unwrap()).unwrap();
    assert_eq!(sheet.color(), image::ColorType::L8);
    let sheet = sheet.into_luma8();
    assert_eq!(sheet.dimensions(), (4 * 5 + 2, 2 * 4 + 2));
    // Class 0 has four examples, class 1 has three.
    assert_eq!(
        (sheet.get_pixel(17, 2).0, sheet.get_pixel(12, 6).0, sheet.get_pixel(17, 6).0),
        ([180], [140], [96])
    );
    let glyphs = open("glyphs:train=500,test=10", None).unwrap().train;
    let sheet = image::load_from_memory(&contact_sheet(glyphs.as_ref(), 8, 10).unwrap()).unwrap();
    assert_eq!((sheet.width(), sheet.height()), (242, 302));
    // No example reaches into a gap, though some classes have more than eight before others do.
    let is_gap = |x: u32, y: u32| x % 30 < 2 || y % 30 < 2;
    let grey = sheet.to_luma8();
    assert!(grey.enumerate_pixels().all(|(x, y, pixel)| !is_gap(x, y) || pixel.0 == [96]));
    let mut pixels = [0; 784];
    let first_of_3 = (0..500).find(|index| glyphs.label(*index).unwrap() == 3).unwrap();
    glyphs.pixels(first_of_3, &mut pixels).unwrap();
    let shown = sheet.crop_imm(2, 2 + 3 * 30, 28, 28).into_luma8().into_raw();
    assert_eq!(shown, pixels);
}

#[test]
fn what_cannot_be_shown_is_an_error() {
    assert!(matches!(contact_sheet(&Counting::new(7), 2, 2).unwrap_err(), DataError::NoPixels { .. }));
    for (n_columns, n_rows) in [(0, 1), (1, 0), (usize::MAX, 1), (4_000, 1)] {
        let error = contact_sheet(&set(1), n_columns, n_rows).unwrap_err();
        assert!(matches!(error, DataError::Setting { .. }), "{error}");
    }
    // More rows than classes are not needed.
    contact_sheet(&set(2), 1, usize::MAX).unwrap();
    assert_eq!(set(2).schema().n_classes(), Some(3));
}
