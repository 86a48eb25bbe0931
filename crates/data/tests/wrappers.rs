//! Subsets, splits and label noise show the data they wrap, and change only what they say.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod common;

use std::collections::HashSet;
use std::sync::Arc;

use batchwise_data::{
    DataError, Dataset, Glyphs, GlyphsConfig, LabelNoise, Order, Row, RowsMut, Schema, Split, Splits, Subset,
    gather_batch, split_by_fraction, split_by_key,
};
use candle_core::Device;
use common::{Counting, gather};
use proptest::prelude::*;

fn counting(len: u64) -> Arc<dyn Dataset> {
    Arc::new(Counting::new(len))
}

fn glyphs(len: u64) -> Arc<dyn Dataset> {
    let config = GlyphsConfig { train_len: len, ..GlyphsConfig::default() };
    Arc::new(Glyphs::new(&config, Split::Train).unwrap())
}

/// The numbers that the examples of a part have in the whole set, read off what it gathers.
fn whole(part: &dyn Dataset) -> Vec<u64> {
    let all: Vec<u64> = (0..part.len()).collect();
    let (inputs, targets) = gather(part, &all).unwrap();
    let found: Vec<u64> = inputs.chunks(2).map(|input| input[0] as u64).collect();
    for (k, index) in found.iter().enumerate() {
        assert_eq!((targets[k], part.label(k as u64).unwrap()), ((index % 3) as u32, (index % 3) as u32));
    }
    found
}

fn sides(splits: &Splits) -> (Vec<u64>, Vec<u64>) {
    (whole(splits.train.as_ref()), whole(splits.test.as_ref()))
}

#[test]
fn a_subset_forwards_everything() {
    let data = glyphs(40);
    let indices = [7, 3, 3, 39];
    let subset = Subset::new(Arc::clone(&data), indices.to_vec()).unwrap();
    let range = Subset::range(Arc::clone(&data), 10..15).unwrap();
    for (subset, indices) in [(&subset, indices.to_vec()), (&range, (10..15).collect())] {
        assert_eq!((subset.len(), subset.schema()), (indices.len() as u64, data.schema()));
        let all: Vec<u64> = (0..subset.len()).collect();
        assert_eq!(gather(subset, &all).unwrap(), gather(data.as_ref(), &indices).unwrap());
        assert_eq!(format!("{:?}", subset.normaliser()), format!("{:?}", data.normaliser()));
        for (new, old) in all.iter().zip(&indices) {
            assert_eq!(subset.whole_index(*new).unwrap(), *old);
            assert_eq!(subset.label(*new).unwrap(), data.label(*old).unwrap());
            assert_eq!(subset.length(*new).unwrap(), data.length(*old).unwrap());
            let pixels = |dataset: &dyn Dataset, index| {
                let mut pixels = vec![0; dataset.schema().input_len()];
                dataset.pixels(index, &mut pixels).unwrap();
                pixels
            };
            assert_eq!(pixels(subset, *new), pixels(data.as_ref(), *old));
        }
    }
    assert_eq!((subset.resident_bytes(), range.resident_bytes()), (32, 0));
    // A name of its own for each content.
    let hashes: HashSet<String> = [
        data.content_hash(),
        subset.content_hash(),
        range.content_hash(),
        Subset::range(Arc::clone(&data), 10..16).unwrap().content_hash(),
        Subset::new(Arc::clone(&data), vec![3, 7, 3, 39]).unwrap().content_hash(),
        Subset::range(glyphs(41), 10..15).unwrap().content_hash(),
    ]
    .into_iter()
    .map(Result::unwrap)
    .collect();
    assert_eq!(hashes.len(), 6);
    assert!(hashes.iter().all(|hash| hash.len() == 64));
}

/// Row i of epoch e is `[i, e]`.
struct Epochs(Counting);

impl Dataset for Epochs {
    fn schema(&self) -> &Schema {
        self.0.schema()
    }
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn content_hash(&self) -> Result<String, DataError> {
        self.0.content_hash()
    }
    fn resident_bytes(&self) -> u64 {
        0
    }
    fn gather(&self, rows: &[Row], mut out: RowsMut<'_>) -> Result<(), DataError> {
        for (row, input) in rows.iter().zip(out.inputs.f32()?.chunks_mut(2)) {
            input.copy_from_slice(&[row.index as f32, row.epoch as f32]);
        }
        out.targets.u32()?.fill(0);
        Ok(())
    }
    fn label(&self, index: u64) -> Result<u32, DataError> {
        self.0.label(index)
    }
}

#[test]
fn wrappers_hand_the_epoch_of_a_row_on() {
    let data: Arc<dyn Dataset> = Arc::new(Epochs(Counting::new(9)));
    let subset: Arc<dyn Dataset> = Arc::new(Subset::range(data, 4..8).unwrap());
    let inner: Arc<dyn Dataset> = Arc::new(Subset::new(subset, vec![3, 1]).unwrap());
    let noisy = LabelNoise::new(inner, 0.5, 1).unwrap();
    let batch = gather_batch(&noisy, &Order::sequential(2).unwrap(), 1..4, &Device::Cpu).unwrap();
    assert_eq!(batch.inputs.to_vec2::<f32>().unwrap(), [[5.0, 0.0], [7.0, 1.0], [5.0, 1.0]]);
}

#[test]
fn impossible_subsets_are_errors() {
    let data = counting(5);
    let of = |indices: &[u64]| Subset::new(Arc::clone(&data), indices.to_vec()).unwrap_err();
    assert!(matches!(of(&[0, 5]), DataError::IndexOutOfRange { index: 5, len: 5, .. }));
    assert!(matches!(of(&[]), DataError::Setting { .. }));
    let range = |range| Subset::range(Arc::clone(&data), range).unwrap_err();
    assert!(matches!(range(3..6), DataError::IndexOutOfRange { index: 5, .. }));
    assert!(matches!(range(3..3), DataError::Setting { .. }));
    assert!(matches!(range(std::ops::Range { start: 4, end: 2 }), DataError::Setting { .. }));
    let subset = Subset::range(Arc::clone(&data), 1..3).unwrap();
    assert!(matches!(subset.label(2).unwrap_err(), DataError::IndexOutOfRange { index: 2, len: 2, .. }));
    gather(&subset, &[0, 2]).unwrap_err();
    subset.pixels(2, &mut []).unwrap_err();
    subset.length(u64::MAX).unwrap_err();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_split_by_fraction_is_exact_and_complete(len in 2u64..500, fraction in 0.001..0.999, seed: u64) {
        let splits = split_by_fraction(counting(len), fraction, seed).unwrap();
        let (train, test) = sides(&splits);
        let expected = ((len as f64 * fraction).round() as usize).clamp(1, len as usize - 1);
        prop_assert_eq!(test.len(), expected);
        prop_assert!(train.is_sorted() && test.is_sorted());
        let mut all = [train, test].concat();
        all.sort_unstable();
        prop_assert!(all.into_iter().eq(0..len));
    }

    #[test]
    fn when_a_set_grows_sides_change_only_by_the_threshold(len in 50u64..300, more in 1u64..50, seed: u64) {
        let test = |len| sides(&split_by_fraction(counting(len), 0.2, seed).unwrap()).1;
        let (before, after) = (test(len), test(len + more));
        let old: Vec<u64> = after.into_iter().filter(|index| *index < len).collect();
        // Either the threshold rose or it fell: one side of the old is within the other.
        let (fewer, most) = if old.len() < before.len() { (&old, &before) } else { (&before, &old) };
        prop_assert!(fewer.iter().all(|index| most.contains(index)));
    }

    #[test]
    fn all_examples_of_a_key_are_on_one_side(
        keys in proptest::collection::vec(0u64..30, 2..300), fraction in 0.01..0.99, seed: u64,
    ) {
        let bytes: Vec<[u8; 8]> = keys.iter().map(|key| key.to_le_bytes()).collect();
        let different: HashSet<&u64> = keys.iter().collect();
        let splits = split_by_key(counting(keys.len() as u64), &bytes, fraction, seed);
        if different.len() < 2 {
            prop_assert!(splits.unwrap_err().to_string().contains("1 different keys"));
            return Ok(());
        }
        let (train, test) = sides(&splits.unwrap());
        prop_assert!(!train.is_empty() && !test.is_empty());
        let of = |part: &[u64]| part.iter().map(|index| keys[*index as usize]).collect::<HashSet<u64>>();
        prop_assert!(of(&train).is_disjoint(&of(&test)));
        prop_assert_eq!(train.len() + test.len(), keys.len());
        // No further from the fraction than half of the largest key, save where a side must not be empty.
        let largest = different.iter().copied().map(|key| keys.iter().filter(|other| *other == key).count()).max().unwrap();
        let target = (keys.len() as f64 * fraction).round().clamp(1.0, keys.len() as f64 - 1.0);
        prop_assert!((test.len() as f64 - target).abs() <= largest as f64);
    }

    #[test]
    fn noise_is_a_function_of_the_example(len in 1u64..200, fraction in 0.0..=1.0, seed: u64) {
        let noisy = LabelNoise::new(counting(len), fraction, seed).unwrap();
        let all: Vec<u64> = (0..len).collect();
        let (inputs, targets) = gather(&noisy, &all).unwrap();
        prop_assert_eq!(&inputs, &gather(&Counting::new(len), &all).unwrap().0);
        for index in all.iter().rev() {
            let target = targets[*index as usize];
            prop_assert!(target < 3);
            prop_assert_eq!(noisy.label(*index).unwrap(), target);
            prop_assert_eq!(gather(&noisy, &[*index]).unwrap().1, vec![target]);
        }
        // More noise leaves what is wrong already as it is.
        let more = LabelNoise::new(counting(len), (fraction + 0.3).min(1.0), seed).unwrap();
        for (index, target) in all.iter().zip(&targets) {
            prop_assert!(u64::from(*target) == index % 3 || more.label(*index).unwrap() == *target);
        }
    }
}

#[test]
fn splits_differ_by_seed_and_name_their_content() {
    let test = |seed| sides(&split_by_fraction(counting(1_000), 0.1, seed).unwrap()).1;
    assert_eq!(test(1), test(1));
    // Of 100 test examples another seed has about 10.
    let common = test(1).iter().filter(|index| test(2).contains(index)).count();
    assert!((1..30).contains(&common), "{common}");
    let splits = split_by_fraction(counting(10), 0.3, 1).unwrap();
    assert_ne!(splits.train.content_hash().unwrap(), splits.test.content_hash().unwrap());
}

#[test]
fn a_key_keeps_its_side_whatever_else_there_is() {
    let words = ["ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen", "ibis", "jay"];
    let test_words = |words: &[&str]| -> Vec<String> {
        let splits = split_by_key(counting(words.len() as u64), words, 0.3, 4).unwrap();
        whole(splits.test.as_ref()).iter().map(|index| words[*index as usize].to_owned()).collect()
    };
    let all = test_words(&words);
    assert_eq!(all.len(), 3);
    let mut backwards = words;
    backwards.reverse();
    let mut reversed = test_words(&backwards);
    reversed.reverse();
    assert_eq!(reversed, all);
}

#[test]
fn impossible_splits_are_errors() {
    for fraction in [0.0, 1.0, -0.1, f64::NAN, f64::INFINITY] {
        let error = split_by_fraction(counting(10), fraction, 1).unwrap_err().to_string();
        assert!(error.contains("above 0 and below 1"), "{error}");
        split_by_key(counting(2), &["a", "b"], fraction, 1).unwrap_err();
    }
    assert!(split_by_fraction(counting(1), 0.5, 1).unwrap_err().to_string().contains("1 examples"));
    let error = split_by_key(counting(3), &["a", "b"], 0.5, 1).unwrap_err().to_string();
    assert!(error.contains("is 2, allowed is 3"), "{error}");
}

#[test]
fn noise_is_as_strong_and_as_even_as_it_says() {
    let n = 30_000u64;
    for fraction in [0.0, 0.1, 0.5, 1.0] {
        let noisy = LabelNoise::new(counting(n), fraction, 9).unwrap();
        let mut steps = [0.0f64; 3];
        (0..n).for_each(|index| {
            let step = (u64::from(noisy.label(index).unwrap()) + 3 - index % 3) % 3;
            steps[step as usize] += 1.0;
        });
        // Binomial, held within 4.9 deviations (chance passes them once in a million).
        let wrong = n as f64 * fraction;
        assert!((steps[1] + steps[2] - wrong).abs() <= 4.9 * (wrong * (1.0 - fraction)).sqrt(), "{steps:?}");
        assert!((steps[1] - steps[2]).abs() <= 4.9 * wrong.sqrt(), "{steps:?}");
    }
}

#[test]
fn noise_forwards_the_rest_and_changes_the_name_of_the_content() {
    let data = glyphs(20);
    let noisy = LabelNoise::new(Arc::clone(&data), 0.5, 3).unwrap();
    assert_eq!((noisy.schema(), noisy.len()), (data.schema(), data.len()));
    assert_eq!(noisy.resident_bytes(), data.resident_bytes());
    assert_eq!(format!("{:?}", noisy.normaliser()), format!("{:?}", data.normaliser()));
    assert_eq!(noisy.length(4).unwrap(), 1);
    let pixels = |dataset: &dyn Dataset| {
        let mut pixels = vec![0; dataset.schema().input_len()];
        dataset.pixels(4, &mut pixels).unwrap();
        pixels
    };
    assert_eq!(pixels(&noisy), pixels(data.as_ref()));
    let hash =
        |fraction, seed| LabelNoise::new(Arc::clone(&data), fraction, seed).unwrap().content_hash().unwrap();
    let hashes = HashSet::from([data.content_hash().unwrap(), hash(0.5, 3), hash(0.4, 3), hash(0.5, 4)]);
    assert_eq!(hashes.len(), 4);
    noisy.label(20).unwrap_err();
    gather(&noisy, &[20]).unwrap_err();
}

#[test]
fn impossible_noise_is_an_error() {
    for fraction in [-0.1, 1.1, f64::NAN] {
        let error = LabelNoise::new(counting(3), fraction, 1).unwrap_err().to_string();
        assert!(error.contains("allowed is 0 to 1"), "{error}");
    }
    let of = |schema| LabelNoise::new(Arc::new(Counting { schema, ..Counting::new(3) }), 0.1, 1).unwrap_err();
    assert!(matches!(of(Schema::tokens("text", 4, 10)), DataError::NoClasses { .. }));
    assert!(of(Schema::classes("one", &[2], 1)).to_string().contains("2 or more"));
}

/// These are for ever: stored runs were made on them.
#[test]
fn sides_and_wrong_labels_have_not_changed() {
    let by_fraction = split_by_fraction(counting(40), 0.15, 7).unwrap();
    assert_eq!(whole(by_fraction.test.as_ref()), [10, 11, 12, 22, 32, 36]);
    let keys: Vec<String> = (0..40).map(|index| format!("patient {}", index / 4)).collect();
    let by_key = split_by_key(counting(40), &keys, 0.15, 7).unwrap();
    assert_eq!(whole(by_key.test.as_ref()), [36, 37, 38, 39]);
    let noisy = LabelNoise::new(counting(12), 0.5, 7).unwrap();
    let labels: Vec<u32> = (0..12).map(|index| noisy.label(index).unwrap()).collect();
    assert_eq!(labels, [0, 2, 0, 2, 0, 0, 1, 0, 0, 0, 2, 0]);
}

#[test]
fn text_is_shown_through_a_subset() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lines.txt");
    std::fs::write(&path, "one\ntwo\nthree\nfour\nfive\n").unwrap();
    let spec = format!("{}:packed=false,test=0.2", path.display());
    let lines = batchwise_data::open(&spec, None).unwrap().train;
    assert_eq!(lines.text(1).unwrap(), "two\n");
    let subset = Subset::new(Arc::clone(&lines), vec![2, 0]).unwrap();
    assert_eq!((subset.text(0), subset.text(1), subset.text(2)), (lines.text(2), lines.text(0), None));
    let splits = split_by_fraction(lines, 0.5, 1).unwrap();
    assert!(splits.train.text(0).is_some() && splits.test.text(0).is_some());
}
