//! The real MNIST files, where this machine has them.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::path::PathBuf;

use batchwise_data::{Normaliser, class_counts, open};

fn shared_data() -> Option<PathBuf> {
    let from_environment = std::env::var_os("BATCHWISE_SHARED").map(PathBuf::from);
    let shared =
        from_environment.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
    Some(shared.join("data")).filter(|dir| dir.is_dir())
}

#[test]
fn known_sizes_means_and_deviations() {
    let Some(data_dir) = shared_data() else {
        eprintln!("SKIPPED: no shared/data folder, set BATCHWISE_SHARED");
        return;
    };
    let mut n_seen = 0;
    for (name, mean, deviation) in [("fashion-mnist", 0.2860, 0.3530), ("mnist", 0.1307, 0.3081)] {
        if !data_dir.join(name).is_dir() {
            eprintln!("SKIPPED: {name} is not in {}", data_dir.display());
            continue;
        }
        n_seen += 1;
        let splits = open(name, Some(&data_dir)).unwrap();
        assert_eq!((splits.train.len(), splits.test.len()), (60_000, 10_000));
        assert_eq!((splits.train.schema().input_len(), splits.train.schema().n_classes()), (784, Some(10)));
        assert_eq!(splits.train.resident_bytes(), 60_000 * 785);
        let mut pixels = vec![0; 60_000 * 784];
        for (index, image) in (0..).zip(pixels.chunks_exact_mut(784)) {
            splits.train.pixels(index, image).unwrap();
        }
        let normaliser = Normaliser::fit(&pixels, [1, 28, 28]);
        assert!((normaliser.mean()[0] - mean).abs() < 1e-4, "{name}: {}", normaliser.mean()[0]);
        assert!(
            (normaliser.deviation()[0] - deviation).abs() < 1e-4,
            "{name}: {}",
            normaliser.deviation()[0]
        );
        let counts = class_counts(splits.test.as_ref()).unwrap().counts;
        let first_labels: Vec<u32> = (0..3).map(|index| splits.train.label(index).unwrap()).collect();
        match name {
            "mnist" => assert_eq!((first_labels, counts[0]), (vec![5, 0, 4], 980)),
            _ => assert_eq!((first_labels, counts), (vec![9, 0, 0], vec![1_000; 10])),
        }
    }
    if n_seen == 0 {
        eprintln!("SKIPPED: nothing was checked");
    }
}

#[test]
fn mapped_files_hold_what_gzip_holds() {
    let Some(packed) = shared_data().map(|dir| dir.join("mnist")).filter(|dir| dir.is_dir()) else {
        eprintln!("SKIPPED: no shared/data/mnist folder, set BATCHWISE_SHARED");
        return;
    };
    let plain = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(&packed).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let Some(name) = name.strip_suffix(".gz") else { continue };
        let mut file = std::fs::File::create(plain.path().join(name)).unwrap();
        let mut reader = flate2::read::MultiGzDecoder::new(std::fs::File::open(entry.path()).unwrap());
        std::io::copy(&mut reader, &mut file).unwrap();
    }
    let packed = open(packed.to_str().unwrap(), None).unwrap();
    let plain = open(plain.path().to_str().unwrap(), None).unwrap();
    // Labels only.
    assert_eq!((plain.train.resident_bytes(), plain.test.resident_bytes()), (60_000, 10_000));
    assert_eq!(plain.train.content_hash().unwrap(), packed.train.content_hash().unwrap());
    assert_eq!(plain.test.content_hash().unwrap(), packed.test.content_hash().unwrap());
}
