//! How hard the built-in images are: out of reach of a linear model, within reach of a model of shapes.
//!
//! Seen with the default settings: linear 45 %, nearest neighbour 65 %.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod common;

use batchwise_data::{Glyphs, GlyphsConfig, Split};

const N_INPUTS: usize = 784;
const N_CLASSES: usize = 10;

fn rows(split: Split, n: u64) -> (Vec<f32>, Vec<u32>) {
    let glyphs = Glyphs::new(&GlyphsConfig::default(), split).unwrap();
    common::gather(&glyphs, &(0..n).collect::<Vec<_>>()).unwrap()
}

fn scores(weights: &[[f32; N_CLASSES]], input: &[f32]) -> [f32; N_CLASSES] {
    let mut scores = weights[N_INPUTS];
    for (value, row) in input.iter().zip(weights) {
        for (score, weight) in scores.iter_mut().zip(row) {
            *score += value * weight;
        }
    }
    scores
}

fn best(scores: &[f32]) -> u32 {
    (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap() as u32
}

fn share(hits: impl Iterator<Item = bool>) -> f64 {
    let hits: Vec<bool> = hits.collect();
    hits.iter().filter(|hit| **hit).count() as f64 / hits.len() as f64
}

/// Softmax regression by plain SGD, one example at a time.
fn linear_accuracy(n_epochs: usize) -> f64 {
    let (inputs, targets) = rows(Split::Train, 20_000);
    let mut weights = vec![[0.0f32; N_CLASSES]; N_INPUTS + 1];
    for epoch in 0..n_epochs {
        let rate = 2e-4 / (1.0 + epoch as f32);
        for (input, target) in inputs.chunks_exact(N_INPUTS).zip(&targets) {
            let scores = scores(&weights, input);
            let most = scores.iter().copied().fold(f32::MIN, f32::max);
            let mut errors = scores.map(|score| (score - most).exp());
            let sum: f32 = errors.iter().sum();
            errors = errors.map(|error| rate * error / sum);
            errors[*target as usize] -= rate;
            for (value, row) in input.iter().chain([&1.0]).zip(&mut weights) {
                for (weight, error) in row.iter_mut().zip(&errors) {
                    *weight -= value * error;
                }
            }
        }
    }
    let (inputs, targets) = rows(Split::Test, 4_000);
    share(
        inputs
            .chunks_exact(N_INPUTS)
            .zip(&targets)
            .map(|(input, target)| best(&scores(&weights, input)) == *target),
    )
}

/// The nearest of 10 000 training images, over `n_test` test images.
fn nearest_neighbour_accuracy(n_test: u64) -> f64 {
    let (inputs, targets) = rows(Split::Train, 10_000);
    let (test_inputs, test_targets) = rows(Split::Test, n_test);
    share(test_inputs.chunks_exact(N_INPUTS).zip(&test_targets).map(|(test, target)| {
        let distance = |row: &[f32]| -> f32 {
            // Sixteen sums at once, so that the compiler can use vectors.
            let mut sums = [0.0f32; 16];
            for (a, b) in row.chunks_exact(16).zip(test.chunks_exact(16)) {
                for k in 0..16 {
                    sums[k] += (a[k] - b[k]) * (a[k] - b[k]);
                }
            }
            sums.iter().sum()
        };
        let distances: Vec<f32> = inputs.chunks_exact(N_INPUTS).map(|row| -distance(row)).collect();
        targets[best(&distances) as usize] == *target
    }))
}

#[test]
fn accuracies() {
    let linear = linear_accuracy(2);
    assert!(0.40 < linear && linear < 0.60, "linear: {linear}");
    let nearest = nearest_neighbour_accuracy(200);
    assert!(linear + 0.08 < nearest && nearest < 0.95, "nearest neighbour: {nearest}, linear: {linear}");
}
