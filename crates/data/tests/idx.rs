//! IDX folders: a round trip, and every way a file can be wrong.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod common;

use batchwise_data::{DataError, Splits, read_folder, read_images, read_labels};
use common::{
    TEST_LABELS, TRAIN_LABELS, broken_twins, gather, gather_into, gzip, image_bytes, label_bytes,
    write_folder,
};

fn folder_with(file: &str, content: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write_folder(dir.path());
    std::fs::write(dir.path().join(file), content).unwrap();
    dir
}

/// The error of a good folder in which one file is replaced.
fn error_with(file: &str, content: &[u8]) -> DataError {
    let dir = folder_with(file, content);
    let error = read_folder("bad", dir.path()).unwrap_err();
    assert!(error.to_string().contains(file), "the message names the file: {error}");
    error
}

fn check_splits(splits: &Splits, resident_bytes: u64) {
    let (train, test) = (&splits.train, &splits.test);
    assert_eq!((train.len(), test.len()), (4, 2));
    assert_eq!(train.schema().input_shape, [1, 2, 3]);
    assert_eq!(train.schema().n_classes(), Some(3));
    assert_eq!(train.resident_bytes(), resident_bytes);
    let labels: Vec<u32> = (0..4).map(|index| train.label(index).unwrap()).collect();
    assert_eq!(labels, TRAIN_LABELS.map(u32::from));

    let bytes: Vec<f64> = (0..24).map(|i| f64::from(i * 11) / 255.0).collect();
    let mean = bytes.iter().sum::<f64>() / 24.0;
    let deviation = (bytes.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 24.0).sqrt();
    let normal = |k: usize| (bytes[k] - mean) / deviation;
    let (inputs, targets) = gather(train.as_ref(), &[3, 0]).unwrap();
    let expected = (18..24).chain(0..6).map(normal);
    assert!(inputs.iter().zip(expected).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6));
    assert_eq!(targets, [2, 0]);
    // The test split is normalised as the training split.
    let (inputs, targets) = gather(test.as_ref(), &[0, 1]).unwrap();
    assert!(inputs.iter().zip((3..15).map(normal)).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6));
    assert_eq!(targets, TEST_LABELS.map(u32::from));
    let mut grey = [0; 6];
    train.pixels(1, &mut grey).unwrap();
    assert_eq!(grey, [66, 77, 88, 99, 110, 121]);
}

#[test]
fn plain_gzip_and_dotted_names_hold_the_same() {
    let plain = tempfile::tempdir().unwrap();
    write_folder(plain.path());
    let splits = read_folder("tiny", plain.path()).unwrap();
    // Plain images stay in their file.
    check_splits(&splits, 4);

    let packed = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(plain.path()).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let bytes = gzip(&std::fs::read(entry.path()).unwrap());
        let name = if name.starts_with("t10k") { name.replace("-idx", ".idx") } else { format!("{name}.gz") };
        std::fs::write(packed.path().join(name), bytes).unwrap();
    }
    let again = read_folder("tiny", packed.path()).unwrap();
    check_splits(&again, 28);
    assert_eq!(splits.train.content_hash().unwrap(), again.train.content_hash().unwrap());
    assert_ne!(splits.train.content_hash().unwrap(), splits.test.content_hash().unwrap());
    assert_eq!(splits.train.content_hash().unwrap().len(), 64);
}

#[test]
fn a_missing_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    write_folder(dir.path());
    std::fs::remove_file(dir.path().join("t10k-labels-idx1-ubyte")).unwrap();
    let error = read_folder("bad", dir.path()).unwrap_err();
    assert!(matches!(&error, DataError::MissingFile { tried, .. } if tried.len() == 4), "{error}");
    let error = read_images(&dir.path().join("absent")).unwrap_err();
    assert!(matches!(error, DataError::Read { offset: 0, .. }), "{error}");
}

#[test]
fn wrong_magic() {
    let error = error_with("train-images-idx3-ubyte", &label_bytes(&[1, 2, 3]));
    assert!(matches!(error, DataError::WrongMagic { found: 0x801, expected: 0x803, .. }), "{error}");
    let error = error_with("t10k-labels-idx1-ubyte", b"<html>");
    assert!(matches!(error, DataError::WrongMagic { kind: "labels", .. }), "{error}");
}

#[test]
fn truncated_anywhere() {
    let full = image_bytes(4, 2, 3, &[5; 24]);
    for n_bytes in 0..full.len() {
        let error = error_with("train-images-idx3-ubyte", &full[..n_bytes]);
        let DataError::Truncated { end, expected, .. } = error else { panic!("{n_bytes}: {error}") };
        assert_eq!(end, n_bytes as u64);
        assert_eq!(expected, if n_bytes < 16 { (n_bytes as u64 / 4 + 1) * 4 } else { 40 });
    }
    let error = error_with("train-labels-idx1-ubyte", &label_bytes(&TRAIN_LABELS)[..10]);
    assert!(matches!(error, DataError::Truncated { end: 10, expected: 12, .. }), "{error}");
}

#[test]
fn trailing_bytes() {
    let mut bytes = label_bytes(&TRAIN_LABELS);
    bytes.push(0);
    for content in [bytes.clone(), gzip(&bytes)] {
        let error = error_with("train-labels-idx1-ubyte", &content);
        assert!(matches!(error, DataError::TrailingBytes { expected: 12, .. }), "{error}");
    }
    let bytes = image_bytes(4, 2, 3, &[5; 25]);
    for content in [bytes.clone(), gzip(&bytes)] {
        let error = error_with("train-images-idx3-ubyte", &content);
        assert!(matches!(error, DataError::TrailingBytes { expected: 40, .. }), "{error}");
    }
}

#[test]
fn absurd_headers_cost_no_memory() {
    for (rows, columns, field) in [(0, 3, "number of rows"), (2, 70_000, "number of columns")] {
        let error = error_with("train-images-idx3-ubyte", &image_bytes(4, rows, columns, &[5; 24]));
        assert!(matches!(&error, DataError::BadHeader { field: found, .. } if *found == field), "{error}");
    }
    let error = error_with("train-images-idx3-ubyte", &image_bytes(u32::MAX, 65_535, 65_535, &[5; 24]));
    assert!(matches!(error, DataError::BadHeader { offset: 4, .. }), "{error}");
    // A terabyte of pixels is promised, forty bytes are there.
    let lie = image_bytes(1 << 20, 1 << 10, 1 << 10, &[5; 24]);
    for content in [lie.clone(), gzip(&lie)] {
        let error = error_with("train-images-idx3-ubyte", &content);
        assert!(matches!(error, DataError::Truncated { end: 40, .. }), "{error}");
    }
}

#[test]
fn damaged_gzip() {
    let noise: Vec<u8> = (0..60_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let packed = gzip(&image_bytes(10_000, 2, 3, &noise));
    let error = error_with("train-images-idx3-ubyte", &packed[..packed.len() / 2]);
    assert!(matches!(error, DataError::Gzip { bytes_out: 1.., .. }), "{error}");
    // The checksum at the end is looked at, too.
    let mut flipped = packed.clone();
    let at = flipped.len() - 6;
    flipped[at] ^= 1;
    let error = error_with("train-images-idx3-ubyte", &flipped);
    assert!(matches!(error, DataError::Gzip { .. }), "{error}");
    let error = error_with("train-images-idx3-ubyte", &[0x1f, 0x8b, 0, 0]);
    assert!(matches!(error, DataError::Gzip { bytes_out: 0, .. }), "{error}");
}

#[test]
fn counts_sizes_and_classes_must_agree() {
    let error = error_with("train-labels-idx1-ubyte", &label_bytes(&[0, 1, 2]));
    assert!(matches!(error, DataError::CountMismatch { n_images: 4, n_labels: 3, .. }), "{error}");
    let error = error_with("t10k-images-idx3-ubyte", &image_bytes(2, 3, 2, &[5; 12]));
    assert!(
        matches!(error, DataError::SizeMismatch { train_size: (2, 3), test_size: (3, 2), .. }),
        "{error}"
    );
    let error = error_with("train-labels-idx1-ubyte", &label_bytes(&[3; 4]));
    assert!(matches!(error, DataError::OneClass { label: 3, .. }), "{error}");
    let error = error_with("t10k-labels-idx1-ubyte", &label_bytes(&[2, 3]));
    let DataError::LabelOutOfRange { index: 1, offset: 9, found: 3, n_classes: 3, .. } = error else {
        panic!("{error}")
    };
    let error = error_with("t10k-images-idx3-ubyte", &image_bytes(0, 2, 3, &[]));
    assert!(matches!(error, DataError::Empty { .. }), "{error}");
    let error = error_with("t10k-labels-idx1-ubyte", &label_bytes(&[]));
    assert!(matches!(error, DataError::Empty { .. }), "{error}");
}

#[test]
fn wrong_calls_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    write_folder(dir.path());
    let train = read_folder("tiny", dir.path()).unwrap().train;
    let gather = |index, n_inputs, n_targets| {
        gather_into(train.as_ref(), &[index], &mut vec![0.0; n_inputs], &mut vec![0; n_targets])
    };
    gather(3, 6, 1).unwrap();
    assert!(matches!(gather(4, 6, 1).unwrap_err(), DataError::IndexOutOfRange { index: 4, len: 4, .. }));
    assert!(matches!(gather(0, 5, 1).unwrap_err(), DataError::BufferLength { expected: 6, .. }));
    assert!(matches!(gather(0, 6, 2).unwrap_err(), DataError::BufferLength { expected: 1, .. }));
    train.label(4).unwrap_err();
    train.pixels(0, &mut [0; 5]).unwrap_err();
}

#[test]
fn a_gzip_bomb_is_left_after_one_byte_too_many() {
    // Far more than the header promises, and damaged far behind it: who reads on finds the damage.
    let bomb = |mut start: Vec<u8>| {
        start.resize(64 << 20, 0);
        let mut packed = gzip(&start);
        let half = packed.len() / 2;
        packed.truncate(half);
        packed
    };
    let error = error_with("train-images-idx3-ubyte", &bomb(image_bytes(4, 2, 3, &[5; 24])));
    assert!(matches!(error, DataError::TrailingBytes { expected: 40, .. }), "{error}");
    let error = error_with("train-labels-idx1-ubyte", &bomb(label_bytes(&TRAIN_LABELS)));
    assert!(matches!(error, DataError::TrailingBytes { expected: 12, .. }), "{error}");
}

#[test]
fn a_mapped_file_that_is_cut_while_in_use_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    write_folder(dir.path());
    let train = read_folder("tiny", dir.path()).unwrap().train;
    let before = gather(train.as_ref(), &[3]).unwrap();
    let path = dir.path().join("train-images-idx3-ubyte");
    let whole = std::fs::read(&path).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(20).unwrap();
    for error in [
        gather(train.as_ref(), &[3]).unwrap_err(),
        train.pixels(3, &mut [0; 6]).unwrap_err(),
        train.content_hash().unwrap_err(),
    ] {
        let message = error.to_string();
        assert!(message.contains("train-images-idx3-ubyte") && message.contains("byte 20"), "{message}");
    }
    std::fs::write(&path, whole).unwrap();
    assert_eq!(gather(train.as_ref(), &[3]).unwrap(), before);
}

#[test]
fn damaged_files_never_panic() {
    let dir = tempfile::tempdir().unwrap();
    write_folder(dir.path());
    let image_file = dir.path().join("train-images-idx3-ubyte");
    let label_file = dir.path().join("train-labels-idx1-ubyte");
    for path in [image_file, label_file] {
        let good = std::fs::read(&path).unwrap();
        for good in [good.clone(), gzip(&good)] {
            broken_twins(&good, 200, |bytes| {
                std::fs::write(&path, bytes).unwrap();
                // The readers of one file, and both files mapped as a set.
                let file = path.file_name().unwrap().to_str().unwrap();
                let by_themselves = [read_images(&path).map(drop), read_labels(&path).map(drop)];
                for error in by_themselves.into_iter().filter_map(Result::err) {
                    assert!(error.to_string().contains(file), "{error}");
                }
                match read_folder("twin", dir.path()) {
                    Ok(splits) => drop(gather(splits.train.as_ref(), &[0, 3]).unwrap()),
                    Err(error) => assert!(error.to_string().contains("-ubyte"), "{error}"),
                }
            });
        }
        write_folder(dir.path());
    }
}
