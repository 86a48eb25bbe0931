//! The built-in images are pure functions of their index, and never change.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use std::sync::Arc;

mod common;

use batchwise_data::{DataError, Dataset, Glyphs, GlyphsConfig, Split};
use common::{gather, gather_into};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

fn train(config: &GlyphsConfig) -> Glyphs {
    Glyphs::new(config, Split::Train).unwrap()
}

fn grey(glyphs: &Glyphs, index: u64) -> Vec<u8> {
    let mut pixels = vec![0; glyphs.schema().input_len()];
    glyphs.pixels(index, &mut pixels).unwrap();
    pixels
}

/// The first `n` images and labels, hashed.
fn digest(glyphs: &Glyphs, n: u64) -> String {
    let mut hasher = Sha256::new();
    for index in 0..n {
        hasher.update(grey(glyphs, index));
        hasher.update(glyphs.label(index).unwrap().to_le_bytes());
    }
    hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// A change here needs a new `GENERATOR_VERSION`: stored runs name their data by it.
#[test]
fn images_have_not_changed() {
    let config = GlyphsConfig::default();
    let other = GlyphsConfig { n_classes: 36, size: 40, seed: u64::MAX, ..config.clone() };
    let sets = [train(&config), Glyphs::new(&config, Split::Test).unwrap(), train(&other)];
    assert_eq!(
        sets.map(|set| digest(&set, 100)),
        ["ccc819de268c04d4", "86c4b4794126ea14", "efbfc36ac4495fd6"]
    );
}

#[test]
fn an_example_does_not_depend_on_its_company_or_thread() {
    let glyphs = Arc::new(train(&GlyphsConfig::default()));
    let gather = |glyphs: &Glyphs, indices: &[u64]| gather(glyphs, indices).unwrap();
    let indices: Vec<u64> = (0..64).map(|i| i * 937 % 60_000).collect();
    let (inputs, targets) = gather(&glyphs, &indices);
    let threads = [0usize, 1, 2, 3].map(|part| {
        let (glyphs, indices) = (Arc::clone(&glyphs), indices[part * 16..][..16].to_vec());
        std::thread::spawn(move || indices.iter().rev().map(|i| gather(&glyphs, &[*i])).collect::<Vec<_>>())
    });
    for (part, thread) in threads.into_iter().enumerate() {
        for (k, (input, target)) in thread.join().unwrap().into_iter().rev().enumerate() {
            let row = part * 16 + k;
            assert_eq!(input, inputs[row * 784..][..784]);
            assert_eq!(target, targets[row..][..1]);
            assert_eq!(target[0], glyphs.label(indices[row]).unwrap());
        }
    }
    // The inputs are the grey pixels, normalised.
    let normaliser = glyphs.normaliser().unwrap();
    let (mean, deviation) = (normaliser.mean()[0], normaliser.deviation()[0]);
    for (value, pixel) in inputs.iter().zip(grey(&glyphs, indices[0])) {
        assert!((f64::from(*value) - (f64::from(pixel) / 255.0 - mean) / deviation).abs() < 1e-6);
    }
}

#[test]
fn splits_seeds_and_indices_differ_and_lengths_do_not_matter() {
    let config = GlyphsConfig::default();
    let glyphs = train(&config);
    assert_ne!(grey(&glyphs, 0), grey(&glyphs, 1));
    assert_ne!(grey(&glyphs, 0), grey(&Glyphs::new(&config, Split::Test).unwrap(), 0));
    assert_ne!(grey(&glyphs, 0), grey(&train(&GlyphsConfig { seed: 1, ..config.clone() }), 0));
    let short = train(&GlyphsConfig { train_len: 2_000, ..config });
    assert_eq!(digest(&short, 20), digest(&glyphs, 20));
    assert_ne!(short.content_hash().unwrap(), glyphs.content_hash().unwrap());
}

#[test]
fn every_setting_changes_the_hash() {
    let base = GlyphsConfig::default();
    let variants = [
        GlyphsConfig { n_classes: 11, ..base.clone() },
        GlyphsConfig { size: 29, ..base.clone() },
        GlyphsConfig { train_len: 1, ..base.clone() },
        GlyphsConfig { test_len: 1, ..base.clone() },
        GlyphsConfig { seed: 1, ..base.clone() },
        GlyphsConfig { distortion: 0.9, ..base.clone() },
        GlyphsConfig { stroke: (1.5, 3.2), ..base.clone() },
        GlyphsConfig { stroke: (1.6, 3.3), ..base.clone() },
        GlyphsConfig { blur: 1.0, ..base.clone() },
        GlyphsConfig { clutter: 0.9, ..base.clone() },
        GlyphsConfig { label_noise: 0.1, ..base.clone() },
        GlyphsConfig { test_label_noise: 0.1, ..base.clone() },
    ];
    let hashes = variants.iter().chain([&base]).map(|config| train(config).content_hash().unwrap());
    let mut hashes: Vec<String> =
        hashes.chain([Glyphs::new(&base, Split::Test).unwrap().content_hash().unwrap()]).collect();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), variants.len() + 2);
}

#[test]
fn label_noise_replaces_labels_and_keeps_pictures() {
    let config = GlyphsConfig { label_noise: 0.0, ..GlyphsConfig::default() };
    let clean = train(&config);
    let noisy_config = GlyphsConfig { label_noise: 0.3, ..config };
    let noisy = train(&noisy_config);
    let n = 20_000;
    let mut offsets = [0u32; 10];
    for index in 0..n {
        let (from, to) = (clean.label(index).unwrap(), noisy.label(index).unwrap());
        offsets[((to + 10 - from) % 10) as usize] += 1;
    }
    // 6000 wrong labels, spread evenly over the nine other classes.
    let n_wrong = n as f64 - f64::from(offsets[0]);
    assert!((n_wrong - 6_000.0).abs() < 5.0 * 65.0, "{n_wrong}");
    assert!(offsets[1..].iter().all(|count| (f64::from(*count) - 667.0).abs() < 130.0), "{offsets:?}");
    assert_eq!(grey(&clean, 5), grey(&noisy, 5));
    // Test labels have their own control.
    let test = |config: &GlyphsConfig| Glyphs::new(config, Split::Test).unwrap();
    let differing =
        |a: &Glyphs, b: &Glyphs| (0..500).filter(|i| a.label(*i).unwrap() != b.label(*i).unwrap()).count();
    assert_eq!(differing(&test(&noisy_config), &test(&GlyphsConfig::default())), 0);
    let noisy_test = GlyphsConfig { test_label_noise: 1.0, ..noisy_config.clone() };
    assert_eq!(differing(&test(&noisy_config), &test(&noisy_test)), 500);
}

#[test]
fn without_distortion_a_class_is_one_shape_in_the_middle() {
    let config =
        GlyphsConfig { distortion: 0.0, clutter: 0.0, stroke: (2.0, 2.0), ..GlyphsConfig::default() };
    let glyphs = train(&config);
    // Class 1 is a stroke down the middle: its ink is there and not at the edges.
    let index = (0..).find(|index| glyphs.label(*index).unwrap() == 1).unwrap();
    let image = grey(&glyphs, index);
    assert!(100 < image[14 * 28 + 14]);
    assert!((0..28).all(|i| image[i] == 0 && image[27 * 28 + i] == 0 && image[i * 28] == 0));
}

#[test]
fn settings_outside_their_range_are_errors() {
    let base = GlyphsConfig::default();
    let bad = [
        ("n_classes", GlyphsConfig { n_classes: 1, ..base.clone() }),
        ("n_classes", GlyphsConfig { n_classes: 37, ..base.clone() }),
        ("size", GlyphsConfig { size: 7, ..base.clone() }),
        ("train_len", GlyphsConfig { train_len: 0, ..base.clone() }),
        ("test_len", GlyphsConfig { test_len: 0, ..base.clone() }),
        ("distortion", GlyphsConfig { distortion: f32::NAN, ..base.clone() }),
        ("stroke.1", GlyphsConfig { stroke: (3.0, 2.0), ..base.clone() }),
        ("blur", GlyphsConfig { blur: 0.0, ..base.clone() }),
        ("clutter", GlyphsConfig { clutter: f32::INFINITY, ..base.clone() }),
        ("label_noise", GlyphsConfig { label_noise: -0.1, ..base.clone() }),
        ("test_label_noise", GlyphsConfig { test_label_noise: 1.1, ..base.clone() }),
    ];
    for (name, config) in bad {
        let error = Glyphs::new(&config, Split::Train).unwrap_err();
        assert!(matches!(&error, DataError::Setting { field, .. } if *field == name), "{name}: {error}");
    }
    let glyphs = train(&base);
    glyphs.label(60_000).unwrap_err();
    glyphs.pixels(0, &mut [0; 3]).unwrap_err();
    gather_into(&glyphs, &[60_000], &mut vec![0.0; 784], &mut [0]).unwrap_err();
    gather_into(&glyphs, &[0], &mut vec![0.0; 784], &mut []).unwrap_err();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_allowed_setting_draws(
        n_classes in 2usize..=36, size in 8usize..64, seed: u64, distortion in 0.0f32..=2.0,
        thin in 0.5f32..=8.0, blur in 0.1f32..=8.0, clutter in 0.0f32..=2.0, noise in 0.0f32..=1.0,
    ) {
        let config = GlyphsConfig {
            n_classes, size, train_len: 40, test_len: 1, seed, distortion, stroke: (thin, 8.0), blur, clutter,
            label_noise: noise, test_label_noise: noise,
        };
        let glyphs = train(&config);
        let (inputs, targets) = gather(&glyphs, &(0..40).collect::<Vec<_>>()).unwrap();
        prop_assert!(inputs.iter().all(|value| value.is_finite()));
        prop_assert!(targets.iter().all(|target| (*target as usize) < n_classes));
    }
}
