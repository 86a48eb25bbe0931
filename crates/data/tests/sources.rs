//! Data sets are found by name or folder, and a name that is not found says what would be.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod common;

use batchwise_data::{DataError, class_counts, dataset_info, input_moments, locate, open};
use common::{Counting, write_folder};

#[test]
fn names_and_paths_open_the_same_folder() {
    let data_dir = tempfile::tempdir().unwrap();
    let dir = data_dir.path().join("tiny");
    std::fs::create_dir(&dir).unwrap();
    write_folder(&dir);
    let by_name = open("tiny", Some(data_dir.path())).unwrap();
    let by_path = open(dir.to_str().unwrap(), None).unwrap();
    assert_eq!(by_name.train.schema(), by_path.train.schema());
    assert_eq!(by_name.train.schema().name, "tiny");
    assert_eq!(by_name.test.content_hash().unwrap(), by_path.test.content_hash().unwrap());
    assert!(format!("{by_name:?}").contains("test_len: 2"));
}

#[test]
fn an_unknown_name_says_what_is_known() {
    let data_dir = tempfile::tempdir().unwrap();
    for name in ["tiny", "other"] {
        std::fs::create_dir(data_dir.path().join(name)).unwrap();
    }
    write_folder(&data_dir.path().join("tiny"));
    let error = open("mnits", Some(data_dir.path())).unwrap_err();
    let DataError::NotFound { looked, in_data_dir, .. } = &error else { panic!("{error}") };
    assert_eq!(looked[0], data_dir.path().join("mnits"));
    assert_eq!(in_data_dir, &["tiny"]);
    let message = error.to_string();
    for part in ["`mnits`", "`glyphs`", "`tiny`", "hint: use one of these names"] {
        assert!(message.contains(part), "{part} is missing: {message}");
    }

    let empty = tempfile::tempdir().unwrap();
    let message = open("mnist", Some(empty.path())).unwrap_err().to_string();
    assert!(message.contains("in the data directory: none"), "{message}");
    assert!(message.contains("BATCHWISE_DATA"), "{message}");
    for spec in ["", "..//nowhere", "a/b"] {
        let error = open(spec, Some(empty.path())).unwrap_err();
        assert!(matches!(error, DataError::NotFound { .. }), "{spec}: {error}");
    }
    // What is found but not known says what would be.
    for spec in ["other", "/dev/null"] {
        let error = open(spec, Some(data_dir.path())).unwrap_err();
        assert!(matches!(error, DataError::UnknownFormat { .. }), "{error}");
        assert!(error.to_string().contains("IDX"), "{error}");
    }
}

#[test]
fn info_counts_the_whole_set() {
    let counts = class_counts(&Counting::new(7)).unwrap();
    assert_eq!(counts.counts, [3, 2, 2]);
    assert_eq!(counts.majority, 3.0 / 7.0);
    assert!(0.97 < counts.balance && counts.balance < 1.0);
    // Rows 0, 2, 4: values 0, 0.25, 2, 2.25, 4, 4.25.
    let moments = input_moments(&Counting::new(6), 3).unwrap();
    assert_eq!((moments.n_examples, moments.min, moments.max), (3, 0.0, 4.25));
    assert!((moments.mean - 2.125).abs() < 1e-12);
    assert!((moments.deviation.powi(2) - (8.0 / 3.0 + 0.015625)).abs() < 1e-9);
    input_moments(&Counting::new(6), 0).unwrap_err();
    // Larger than one chunk, and all of it.
    assert_eq!(input_moments(&Counting::new(1_000), 5_000).unwrap().max, 999.25);

    let splits = open("glyphs:train=300,test=50", None).unwrap();
    let info = dataset_info(&splits).unwrap();
    assert_eq!((info.train_len, info.test_len, info.resident_bytes), (300, 50, 0));
    assert_eq!(info.train_classes.unwrap().counts.iter().sum::<u64>(), 300);
    // All 300 images are both the sample and what the normaliser was fitted to.
    let inputs = info.train_inputs.unwrap();
    assert!(inputs.mean.abs() < 1e-5);
    assert!((inputs.deviation - 1.0).abs() < 1e-5);
    assert_eq!(info.test_hash, splits.test.content_hash().unwrap());
}

#[test]
fn a_path_with_a_colon_takes_settings() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("run 1:a=b");
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("x:y.csv");
    std::fs::write(&path, "a,b\n1,2\n2,1\n3,5\n4,1\n5,2\n6,2\n").unwrap();
    let spec = format!("{}:target=b,test=0.5", path.display());
    let splits = open(&spec, None).unwrap();
    assert_eq!((splits.train.schema().name.as_str(), splits.train.len() + splits.test.len()), ("x:y.csv", 6));
    assert_eq!(locate(&spec, None).unwrap(), Some(path));
    // In the data directory, too.
    let data_dir = Some(folder.as_path());
    assert_eq!(open("x:y.csv:target=b,test=0.5", data_dir).unwrap().train.len(), splits.train.len());
    assert_eq!(locate("x:y.csv", data_dir).unwrap(), Some(folder.join("x:y.csv")));
    let error = open("z:y.csv:target=b", data_dir).unwrap_err();
    assert!(matches!(&error, DataError::NotFound { spec, .. } if spec == "z"), "{error}");
}

#[test]
fn token_files_with_a_third_for_testing_are_not_cifar() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["train.bin", "val.bin", "test.bin"] {
        // Three records of CIFAR-100 with the labels 1, 2.
        let record = [[1u8, 2u8].as_slice(), &[0; 3072]].concat();
        std::fs::write(dir.path().join(name), record.repeat(3)).unwrap();
    }
    let splits = open(&format!("{}:context=8", dir.path().display()), None).unwrap();
    assert_eq!(splits.train.schema().input_shape, [8]);
}
