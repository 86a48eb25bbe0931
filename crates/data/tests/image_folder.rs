//! Folders of images by class: made folders, and every way they can be wrong.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod common;

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use batchwise_data::{
    DataError, Dataset, ImageFolderConfig, Splits, Target, open, read_image, read_image_folder,
};
use common::{broken_twins, gather};
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage};

fn colour(seed: u8) -> DynamicImage {
    let pixel = |x: u32, y: u32| Rgb([seed, (x * 20) as u8, (y * 30) as u8 ^ seed]);
    RgbImage::from_fn(4, 3, pixel).into()
}

fn grey(seed: u8) -> DynamicImage {
    GrayImage::from_fn(4, 3, |x, y| Luma([seed.wrapping_add((x * 10 + y) as u8)])).into()
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn write(dir: &Path, path: &str, content: &[u8]) {
    let path = dir.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn write_image(dir: &Path, path: &str, image: &DynamicImage) {
    write(dir, path, &encoded(image, ImageFormat::Png));
}

fn split_folder(image: impl Fn(u8) -> DynamicImage) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let paths = ["train/dog/1.png", "train/cat/b.PNG", "train/cat/a.png", "val/dog/x.png", "val/cat/y.png"];
    for (seed, path) in (1..).zip(paths) {
        write_image(dir.path(), path, &image(seed * 10));
    }
    dir
}

fn open_in(dir: &Path, settings: &str) -> Result<Splits, DataError> {
    open(&format!("{}:{settings}", dir.display()), None)
}

fn all_pixels(dataset: &dyn Dataset) -> Vec<Vec<u8>> {
    let image = |index| {
        let mut pixels = vec![0; dataset.schema().input_len()];
        dataset.pixels(index, &mut pixels).unwrap();
        pixels
    };
    (0..dataset.len()).map(image).collect()
}

#[test]
fn a_given_split_in_colour_and_grey() {
    let dir = split_folder(colour);
    write(dir.path(), "train/cat/notes.txt", b"not an image");
    write(dir.path(), "train/cat/.hidden.png", b"nor this");
    write(dir.path(), "train/empty/README", b"no class");
    let splits = open_in(dir.path(), "").unwrap();
    let (train, test) = (splits.train.as_ref(), splits.test.as_ref());
    assert_eq!((train.len(), test.len()), (3, 2));
    assert_eq!(train.schema().input_shape, [3, 3, 4]);
    let Target::Class { n_classes: 2, names } = &train.schema().target else { panic!() };
    assert_eq!(names, &["cat", "dog"]);
    let (inputs, targets) = gather(train, &[0, 1, 2]).unwrap();
    assert_eq!(targets, [0, 0, 1]);
    let plane_by_plane = |seed: u8| {
        let image = colour(seed).into_rgb8();
        let channel = |k: usize| image.pixels().map(move |pixel| pixel.0[k]).collect::<Vec<u8>>();
        (0..3).flat_map(channel).collect::<Vec<u8>>()
    };
    let expected = [30, 20, 10].map(plane_by_plane);
    assert_eq!(all_pixels(train), expected);
    let normaliser = train.normaliser().unwrap();
    assert!((normaliser.mean()[0] - 20.0 / 255.0).abs() < 1e-12);
    let value = (f64::from(expected[1][5]) / 255.0 - normaliser.mean()[0]) / normaliser.deviation()[0];
    assert!((f64::from(inputs[36 + 5]) - value).abs() < 1e-5);

    // Decoded each time they are gathered, they are the same.
    let streamed = open_in(dir.path(), "memory=0").unwrap();
    assert_eq!(gather(streamed.train.as_ref(), &[0, 1, 2]).unwrap(), (inputs, targets));
    assert_eq!(all_pixels(streamed.test.as_ref()), all_pixels(test));
    assert_eq!(streamed.train.content_hash().unwrap(), train.content_hash().unwrap());
    assert!(streamed.train.resident_bytes() < train.resident_bytes());

    // Greys stay one channel, unless one image has colours or they are asked for.
    let dir = split_folder(grey);
    let splits = open_in(dir.path(), "").unwrap();
    assert_eq!(splits.train.schema().input_shape, [1, 3, 4]);
    assert_eq!(all_pixels(splits.train.as_ref())[0], grey(30).into_luma8().into_raw());
    let three = open_in(dir.path(), "channels=3").unwrap();
    assert_eq!(all_pixels(three.train.as_ref())[0], grey(30).into_luma8().into_raw().repeat(3));
    assert_ne!(three.train.content_hash().unwrap(), splits.train.content_hash().unwrap());
    write_image(dir.path(), "val/cat/z.png", &colour(1));
    assert_eq!(open_in(dir.path(), "").unwrap().train.schema().input_shape, [3, 3, 4]);
    assert_eq!(open_in(dir.path(), "channels=1").unwrap().train.schema().input_shape, [1, 3, 4]);
}

#[test]
fn a_split_by_fraction_depends_on_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    for seed in 0..200u8 {
        let path = format!("{}/{seed}.png", ["a", "b"][usize::from(seed % 2)]);
        write_image(dir.path(), &path, &GrayImage::from_pixel(1, 1, Luma([seed])).into());
    }
    // The seed of each image is its one pixel.
    let on_test_side = |settings: &str| -> BTreeMap<u8, bool> {
        let splits = open_in(dir.path(), settings).unwrap();
        let side = |dataset: &dyn Dataset, is_test| {
            all_pixels(dataset).into_iter().map(move |pixels| (pixels[0], is_test)).collect::<Vec<_>>()
        };
        let mut sides: BTreeMap<u8, bool> = side(splits.train.as_ref(), false).into_iter().collect();
        sides.extend(side(splits.test.as_ref(), true));
        sides
    };
    let count = |sides: &BTreeMap<u8, bool>| sides.values().filter(|is_test| **is_test).count();
    let before = on_test_side("test=0.3");
    assert_eq!(before.len(), 200);
    // Binomial(200, 0.3): within five deviations of its mean.
    assert!((28..=92).contains(&count(&before)), "{}", count(&before));
    let more = on_test_side("test=0.6");
    assert!(before.iter().all(|(seed, is_test)| !is_test || more[seed]), "a larger part holds the smaller");
    assert_ne!(on_test_side("test=0.3,seed=1"), before);
    for seed in (0..200u8).step_by(3) {
        std::fs::remove_file(dir.path().join(format!("{}/{seed}.png", ["a", "b"][usize::from(seed % 2)])))
            .unwrap();
    }
    let after = on_test_side("test=0.3");
    assert_eq!(after.len(), 133);
    assert!(after.iter().all(|(seed, is_test)| before[seed] == *is_test));

    for settings in
        ["test=0", "test=1", "test=NaN", "test=1e-9", "size=0", "size=4y4", "channels=2", "tset=0.1"]
    {
        let error = open_in(dir.path(), settings).unwrap_err();
        assert!(
            matches!(error, DataError::Setting { .. } | DataError::UnknownSetting { .. }),
            "{settings}: {error}"
        );
    }
}

#[test]
fn sizes_must_agree_or_be_set() {
    let dir = split_folder(colour);
    let large = RgbImage::from_pixel(8, 9, Rgb([1, 2, 3]));
    write_image(dir.path(), "train/dog/2.png", &large.into());
    let message = open_in(dir.path(), "").unwrap_err().to_string();
    for part in ["2.png", "9x8", "3x4", "`size`"] {
        assert!(message.contains(part), "{part} is missing: {message}");
    }
    let splits = open_in(dir.path(), "size=6x5").unwrap();
    assert_eq!(splits.train.schema().input_shape, [3, 6, 5]);
    let mut expected = [1; 30].to_vec();
    expected.extend([2; 30]);
    expected.extend([3; 30]);
    assert_eq!(all_pixels(splits.train.as_ref())[3], expected);
    assert_eq!(open_in(dir.path(), "size=7").unwrap().train.schema().input_shape, [3, 7, 7]);
}

#[test]
fn broken_images_and_folders_are_named() {
    let dir = split_folder(colour);
    let path = "train/cat/broken.png";
    let error_with = |content: &[u8]| {
        write(dir.path(), path, content);
        let message = open_in(dir.path(), "size=4").unwrap_err().to_string();
        assert!(message.contains("broken.png"), "{message}");
        message
    };
    let good = encoded(&colour(9), ImageFormat::Png);
    for n_bytes in 0..good.len() - 12 {
        error_with(&good[..n_bytes]);
    }
    error_with(b"text that calls itself an image");
    // Sizes out of all proportion to a file of a hundred bytes; the second alone would still fit into memory.
    for side in [30_000u32, 10_000] {
        let mut bomb = good.clone();
        bomb[16..20].copy_from_slice(&side.to_be_bytes());
        bomb[20..24].copy_from_slice(&side.to_be_bytes());
        let crc = crc32(&bomb[12..29]);
        bomb[29..33].copy_from_slice(&crc.to_be_bytes());
        let message = error_with(&bomb);
        assert!(message.contains(&format!("{side}x{side} pixels in {} bytes", bomb.len())), "{message}");
    }
    // What is inside decides, not the name.
    write(dir.path(), path, &encoded(&colour(9), ImageFormat::Jpeg));
    open_in(dir.path(), "").unwrap();
    std::fs::remove_file(dir.path().join(path)).unwrap();

    write_image(dir.path(), "val/bird/1.png", &colour(1));
    let message = open_in(dir.path(), "").unwrap_err().to_string();
    assert!(message.contains("bird") && message.contains("training"), "{message}");
    std::fs::remove_dir_all(dir.path().join("val")).unwrap();
    let error = open_in(dir.path(), "").unwrap_err();
    assert!(matches!(error, DataError::MissingFile { .. }), "{error}");
    std::fs::create_dir(dir.path().join("test")).unwrap();
    let error = open_in(dir.path(), "").unwrap_err();
    assert!(matches!(error, DataError::Empty { .. }), "{error}");
    let one = tempfile::tempdir().unwrap();
    write_image(one.path(), "cat/1.png", &colour(1));
    let message = open_in(one.path(), "").unwrap_err().to_string();
    assert!(message.contains("only `cat`"), "{message}");
    read_image_folder("none", Path::new("/nowhere"), &ImageFolderConfig::default()).unwrap_err();
}

/// The checksum of a chunk of PNG, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), bit))
}

#[test]
fn a_file_that_changes_while_in_use_is_an_error() {
    let dir = split_folder(colour);
    let splits = open_in(dir.path(), "memory=0").unwrap();
    write_image(dir.path(), "train/cat/a.png", &RgbImage::new(2, 2).into());
    let message = gather(splits.train.as_ref(), &[0]).unwrap_err().to_string();
    assert!(message.contains("a.png") && message.contains("2x2"), "{message}");
    std::fs::remove_file(dir.path().join("train/cat/a.png")).unwrap();
    let error = gather(splits.train.as_ref(), &[0]).unwrap_err();
    assert!(matches!(error, DataError::Read { .. }), "{error}");
    gather(splits.train.as_ref(), &[1]).unwrap();
}

#[cfg(unix)]
#[test]
fn links_stay_within_the_folder() {
    use std::os::unix::fs::symlink;
    let dir = split_folder(colour);
    let elsewhere = tempfile::tempdir().unwrap();
    write_image(elsewhere.path(), "secret.png", &colour(1));
    symlink("../dog/1.png", dir.path().join("train/cat/inside.png")).unwrap();
    assert_eq!(open_in(dir.path(), "").unwrap().train.len(), 4);
    let link = dir.path().join("train/cat/link.png");
    symlink(elsewhere.path().join("secret.png"), &link).unwrap();
    let message = open_in(dir.path(), "").unwrap_err().to_string();
    assert!(message.contains("link.png") && message.contains("secret.png"), "{message}");
    std::fs::remove_file(&link).unwrap();
    // A link to nowhere, to itself, and a whole class elsewhere.
    symlink("nowhere.png", &link).unwrap();
    assert!(open_in(dir.path(), "").unwrap_err().to_string().contains("link.png"));
    std::fs::remove_file(&link).unwrap();
    symlink("link.png", &link).unwrap();
    assert!(open_in(dir.path(), "").unwrap_err().to_string().contains("link.png"));
    std::fs::remove_file(&link).unwrap();
    symlink(elsewhere.path(), dir.path().join("train/fox")).unwrap();
    assert!(open_in(dir.path(), "").unwrap_err().to_string().contains("fox"));
    std::fs::remove_file(dir.path().join("train/fox")).unwrap();
    // What is no file is left alone: reading it might never end.
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("train/cat/socket.png")).unwrap();
    assert_eq!(open_in(dir.path(), "").unwrap().train.len(), 4);
    // The whole test split elsewhere.
    std::fs::rename(dir.path().join("val"), elsewhere.path().join("val")).unwrap();
    symlink(elsewhere.path().join("val"), dir.path().join("val")).unwrap();
    let message = open_in(dir.path(), "").unwrap_err().to_string();
    assert!(message.contains("the target of the link"), "{message}");
    // The folder itself may be a link.
    let outer = tempfile::tempdir().unwrap();
    std::fs::remove_file(dir.path().join("val")).unwrap();
    std::fs::rename(elsewhere.path().join("val"), dir.path().join("val")).unwrap();
    symlink(dir.path(), outer.path().join("set")).unwrap();
    assert_eq!(open_in(&outer.path().join("set"), "").unwrap().train.len(), 4);
}

#[test]
fn damaged_images_never_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("twin.image");
    for (image, format) in
        [(colour(7), ImageFormat::Png), (grey(7), ImageFormat::Png), (colour(7), ImageFormat::Jpeg)]
    {
        broken_twins(&encoded(&image, format), 400, |bytes| {
            std::fs::write(&path, bytes).unwrap();
            match read_image(&path, 3, Some([2, 2])) {
                Ok(image) => assert_eq!((image.shape, image.pixels.len()), ([3, 2, 2], 12)),
                Err(error) => assert!(error.to_string().contains("twin.image"), "{error}"),
            }
        });
    }
    read_image(&path, 2, None).unwrap_err();
    read_image(&path, 1, Some([0, 1])).unwrap_err();
}

#[test]
fn test_images_without_classes_leave_the_judging_to_those_with() {
    let dir = split_folder(grey);
    for path in ["test/1.png", "test/2.png"] {
        write_image(dir.path(), path, &grey(7));
    }
    let splits = open_in(dir.path(), "").unwrap();
    assert_eq!((splits.train.len(), splits.test.len()), (3, 2));
}
