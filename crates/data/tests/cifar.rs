//! CIFAR in binary form: made files, and every way they can be wrong.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod common;

use std::path::Path;

use batchwise_data::{At, CifarLabels, DataError, Splits, open, read_cifar};
use common::{broken_twins, gather};

fn pixel(image: usize, k: usize) -> u8 {
    (image * 37 + k * 11 + k / 1024 * 50) as u8
}

/// Records `first..first + labels.len()`, each with its labels.
fn records(first: usize, labels: &[&[u8]]) -> Vec<u8> {
    let record = |(i, labels): (usize, &&[u8])| {
        labels.iter().copied().chain((0..3072).map(move |k| pixel(first + i, k))).collect::<Vec<u8>>()
    };
    labels.iter().enumerate().flat_map(record).collect()
}

fn write_ten(dir: &Path) {
    for batch in 0..5 {
        let bytes = records(2 * batch, &[&[batch as u8], &[9]]);
        std::fs::write(dir.join(format!("data_batch_{}.bin", batch + 1)), bytes).unwrap();
    }
    std::fs::write(dir.join("test_batch.bin"), records(10, &[&[7]])).unwrap();
    let names = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
    std::fs::write(dir.join("batches.meta.txt"), names).unwrap();
}

fn write_hundred(dir: &Path) {
    std::fs::write(dir.join("train.bin"), records(0, &[&[19, 99], &[3, 42]])).unwrap();
    std::fs::write(dir.join("test.bin"), records(2, &[&[4, 5]])).unwrap();
}

fn open_in(dir: &Path, settings: &str) -> Result<Splits, DataError> {
    open(&format!("{}:{settings}", dir.display()), None)
}

#[test]
fn ten_classes_in_five_files() {
    let dir = tempfile::tempdir().unwrap();
    let unpacked = dir.path().join("cifar-10-batches-bin");
    std::fs::create_dir(&unpacked).unwrap();
    write_ten(&unpacked);
    let splits = open_in(dir.path(), "").unwrap();
    let (train, test) = (splits.train.as_ref(), splits.test.as_ref());
    assert_eq!((train.len(), test.len()), (10, 1));
    assert_eq!(train.schema().input_shape, [3, 32, 32]);
    let batchwise_data::Target::Class { n_classes: 10, names } = &train.schema().target else { panic!() };
    assert_eq!((names[0].as_str(), names[9].as_str()), ("airplane", "truck"));
    // Pixels stay in their files.
    assert_eq!((train.resident_bytes(), test.resident_bytes()), (10, 1));

    let mut pixels = vec![0; 3072];
    train.pixels(5, &mut pixels).unwrap();
    assert!(pixels.iter().enumerate().all(|(k, found)| *found == pixel(5, k)));
    let (inputs, targets) = gather(train, &[5, 0, 8]).unwrap();
    assert_eq!(targets, [9, 0, 4]);
    assert_eq!(gather(test, &[0]).unwrap().1, [7]);
    // Each colour by its own mean and deviation, over all files.
    for (channel, plane) in inputs[..3072].chunks(1024).enumerate() {
        let of_colour =
            || (0..10).flat_map(|i| (0..1024).map(move |k| f64::from(pixel(i, 1024 * channel + k))));
        let mean = of_colour().sum::<f64>() / 10_240.0;
        let deviation = (of_colour().map(|x| (x - mean).powi(2)).sum::<f64>() / 10_240.0).sqrt();
        for (k, value) in plane.iter().enumerate() {
            let expected = (f64::from(pixel(5, 1024 * channel + k)) - mean) / deviation;
            assert!((f64::from(*value) - expected).abs() < 1e-5);
        }
    }
    assert_eq!(train.content_hash().unwrap(), open_in(&unpacked, "").unwrap().train.content_hash().unwrap());
    assert_ne!(train.content_hash().unwrap(), test.content_hash().unwrap());
    std::fs::remove_file(unpacked.join("batches.meta.txt")).unwrap();
    assert_eq!(open_in(&unpacked, "").unwrap().train.schema().n_classes(), Some(10));
}

#[test]
fn hundred_classes_fine_and_coarse() {
    let dir = tempfile::tempdir().unwrap();
    write_hundred(dir.path());
    let fine = open_in(dir.path(), "").unwrap();
    assert_eq!(fine.train.schema().n_classes(), Some(100));
    assert_eq!(gather(fine.train.as_ref(), &[0, 1]).unwrap().1, [99, 42]);
    let coarse = open_in(dir.path(), "labels=coarse").unwrap();
    assert_eq!(coarse.train.schema().n_classes(), Some(20));
    assert_eq!(gather(coarse.train.as_ref(), &[0, 1]).unwrap().1, [19, 3]);
    assert_eq!(gather(coarse.train.as_ref(), &[1]).unwrap().0, gather(fine.train.as_ref(), &[1]).unwrap().0);
    assert_ne!(fine.train.content_hash().unwrap(), coarse.train.content_hash().unwrap());

    let message = open_in(dir.path(), "labels=some").unwrap_err().to_string();
    assert!(message.contains("labels is some, allowed is fine, coarse"), "{message}");
    let error = open_in(dir.path(), "label=fine").unwrap_err();
    assert!(matches!(error, DataError::UnknownSetting { .. }), "{error}");
    let ten = tempfile::tempdir().unwrap();
    write_ten(ten.path());
    read_cifar("ten", ten.path(), CifarLabels::Coarse).unwrap_err();
}

#[test]
fn wrong_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    write_ten(dir.path());
    let path = dir.path().join("data_batch_3.bin");
    let good = std::fs::read(&path).unwrap();
    let error_with = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let error = read_cifar("bad", dir.path(), CifarLabels::Fine).unwrap_err();
        assert!(error.to_string().contains("data_batch_3.bin"), "{error}");
        error
    };
    for n_bytes in [1, 3072, 3074, 6145] {
        let error = error_with(&good[..n_bytes]);
        let DataError::Format { at: At::Byte(at), .. } = error else { panic!("{error}") };
        assert_eq!(at, n_bytes as u64 / 3073 * 3073);
    }
    assert!(matches!(error_with(&[]), DataError::Empty { .. }));
    let mut wrong = good.clone();
    wrong[3073] = 10;
    let error = error_with(&wrong);
    assert!(matches!(error, DataError::LabelOutOfRange { index: 1, offset: 3073, found: 10, .. }), "{error}");
    std::fs::remove_file(&path).unwrap();
    let error = read_cifar("bad", dir.path(), CifarLabels::Fine).unwrap_err();
    assert!(error.to_string().contains("data_batch_3.bin"), "{error}");
    std::fs::write(&path, good).unwrap();

    let names = dir.path().join("batches.meta.txt");
    for (bytes, part) in [(&b"cat\ndog\n"[..], "2 names"), (b"ab\xff", "byte 2"), (&[b'a'; 70_000], "65536")]
    {
        std::fs::write(&names, bytes).unwrap();
        let message = read_cifar("bad", dir.path(), CifarLabels::Fine).unwrap_err().to_string();
        assert!(message.contains("batches.meta.txt") && message.contains(part), "{message}");
    }
    #[cfg(unix)]
    {
        // A file without an end.
        std::fs::remove_file(&names).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &names).unwrap();
        let message = read_cifar("bad", dir.path(), CifarLabels::Fine).unwrap_err().to_string();
        assert!(message.contains("more than 65536 bytes"), "{message}");
    }
    let error = read_cifar("bad", Path::new("/nowhere"), CifarLabels::Fine).unwrap_err();
    assert!(matches!(error, DataError::MissingFile { .. }), "{error}");
}

#[test]
fn one_class_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    write_hundred(dir.path());
    std::fs::write(dir.path().join("train.bin"), records(0, &[&[1, 5], &[2, 5]])).unwrap();
    let error = read_cifar("bad", dir.path(), CifarLabels::Fine).unwrap_err();
    assert!(matches!(error, DataError::OneClass { label: 5, .. }), "{error}");
    read_cifar("good", dir.path(), CifarLabels::Coarse).unwrap();
}

#[test]
fn broken_files_never_panic() {
    let dir = tempfile::tempdir().unwrap();
    write_hundred(dir.path());
    let path = dir.path().join("train.bin");
    let good = std::fs::read(&path).unwrap();
    broken_twins(&good, 300, |bytes| {
        std::fs::write(&path, bytes).unwrap();
        match read_cifar("twin", dir.path(), CifarLabels::Fine) {
            Ok(splits) => drop(gather(splits.train.as_ref(), &[0]).unwrap()),
            Err(error) => assert!(error.to_string().contains("train.bin"), "{error}"),
        }
    });
}
