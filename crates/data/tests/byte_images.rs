//! Images that are in memory already.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod common;

use std::sync::Arc;

use batchwise_data::{ByteImages, DataError, Dataset, Normaliser, Target};
use common::gather;
use proptest::prelude::*;

fn names(n: usize) -> Vec<String> {
    (0..n).map(|k| format!("class {k}")).collect()
}

#[test]
fn both_splits_share_classes_and_normaliser() {
    let train = ((0..48).collect::<Vec<u8>>(), vec![0, 300, 7, 0]);
    let test = ((100..124).collect::<Vec<u8>>(), vec![7, 0]);
    let splits = ByteImages::splits("set", [3, 2, 2], train, test, Vec::new()).unwrap();
    assert_eq!(splits.train.schema(), splits.test.schema());
    assert_eq!(splits.train.schema().n_classes(), Some(301));
    // Labels above 255 take four bytes each; the test split has none of them.
    assert_eq!((splits.train.resident_bytes(), splits.test.resident_bytes()), (48 + 16, 24 + 2));
    let (train_mean, test_mean) =
        (splits.train.normaliser().unwrap().mean(), splits.test.normaliser().unwrap().mean());
    assert_eq!(train_mean, test_mean);
    assert!((train_mean[0] - 19.5 / 255.0).abs() < 1e-12);
    let (inputs, targets) = gather(splits.test.as_ref(), &[1, 0]).unwrap();
    assert_eq!(targets, [0, 7]);
    let deviation = splits.train.normaliser().unwrap().deviation();
    let expected = (123.0 / 255.0 - train_mean[2]) / deviation[2];
    assert!((f64::from(inputs[11]) - expected).abs() < 1e-5);
}

#[test]
fn what_does_not_fit_is_an_error() {
    let new = |shape, n_pixels: usize, labels: &[u32], n_names| {
        ByteImages::new("set", shape, vec![3; n_pixels], labels.to_vec(), names(n_names), None).map(drop)
    };
    new([1, 2, 2], 8, &[0, 1], 0).unwrap();
    new([1, 2, 2], 8, &[0, 1], 2).unwrap();
    let error = new([1, 2, 2], 7, &[0, 1], 0).unwrap_err();
    assert!(matches!(error, DataError::BufferLength { found: 7, expected: 8, .. }), "{error}");
    let error = new([1, 2, 2], 8, &[0, 2], 2).unwrap_err();
    assert!(error.to_string().contains("2 (label 1)") && error.to_string().contains("0..2"), "{error}");
    for (shape, n_pixels, labels) in
        [([1, 2, 2], 0, &[][..]), ([1, 0, 2], 0, &[0, 1]), ([usize::MAX, 2, 2], 8, &[0, 1])]
    {
        let error = new(shape, n_pixels, labels, 0).unwrap_err();
        assert!(matches!(error, DataError::Setting { .. }), "{error}");
    }
    new([1, 2, 2], 4, &[u32::MAX], 0).unwrap();

    let normaliser = Arc::new(Normaliser::fit(&[0; 12], [3, 2, 2]));
    let error =
        ByteImages::new("set", [1, 2, 2], vec![0; 8], vec![0, 1], Vec::new(), Some(normaliser)).unwrap_err();
    assert!(error.to_string().contains("3 channels of 4 pixels"), "{error}");

    let splits = |train: &[u32], test: &[u32]| {
        let part = |labels: &[u32]| (vec![1; 4 * labels.len()], labels.to_vec());
        ByteImages::splits("set", [1, 2, 2], part(train), part(test), Vec::new()).map(drop)
    };
    splits(&[0, 1], &[1]).unwrap();
    for (train, test) in [(&[1, 1][..], &[1][..]), (&[0, 1], &[2]), (&[0, 1], &[]), (&[], &[0])] {
        let error = splits(train, test).unwrap_err();
        assert!(matches!(error, DataError::Setting { .. }), "{error}");
    }
}

#[test]
fn the_hash_names_content_and_normalisation() {
    let hash = |pixels: &[u8], labels: &[u32], shape, normaliser: Option<Arc<Normaliser>>| {
        let set = ByteImages::new("any name", shape, pixels.to_vec(), labels.to_vec(), names(3), normaliser)
            .unwrap();
        set.content_hash().unwrap()
    };
    let base = hash(&[1, 2, 3, 4], &[0, 2], [1, 1, 2], None);
    assert_eq!(base, hash(&[1, 2, 3, 4], &[0, 2], [1, 1, 2], None));
    let other = Arc::new(Normaliser::fit(&[0, 9], [1, 1, 2]));
    for different in [
        hash(&[1, 2, 3, 5], &[0, 2], [1, 1, 2], None),
        hash(&[1, 2, 3, 4], &[0, 1], [1, 1, 2], None),
        hash(&[1, 2, 3, 4], &[0, 2], [1, 2, 1], None),
        hash(&[1, 2, 3, 4], &[0, 2], [1, 1, 2], Some(other)),
    ] {
        assert_ne!(base, different);
    }
}

#[test]
fn classes_keep_their_names() {
    let set = ByteImages::new("set", [1, 1, 1], vec![1, 2], vec![0, 2], names(3), None).unwrap();
    assert_eq!(set.schema().target, Target::Class { n_classes: 3, names: names(3) });
}

proptest! {
    /// However many rows, in any order and with repeats: the same as one row at a time.
    #[test]
    fn rows_come_in_the_order_asked_for(indices in proptest::collection::vec(0u64..9, 1..40)) {
        let pixels = (0..9 * 130u32).map(|i| (i * i / 7) as u8).collect();
        let set = ByteImages::new("set", [2, 5, 13], pixels, (0..9).collect(), Vec::new(), None).unwrap();
        let (inputs, targets) = gather(&set, &indices).unwrap();
        for (index, (input, target)) in indices.iter().zip(inputs.chunks(130).zip(targets)) {
            prop_assert_eq!(u64::from(target), *index);
            prop_assert_eq!(input, &gather(&set, &[*index]).unwrap().0[..]);
        }
    }
}
