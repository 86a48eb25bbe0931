//! The order of examples is a bijection per epoch, looks random, and never changes.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use batchwise_data::{DataError, MAX_LEN, Order, Row};
use proptest::prelude::*;

fn indices(order: &Order, positions: std::ops::Range<u64>) -> Vec<u64> {
    let mut rows = Vec::new();
    order.rows(positions, &mut rows);
    rows.into_iter().map(|row| row.index).collect()
}

fn epoch_of(seed: u64, len: u64, epoch: u64) -> Vec<u64> {
    indices(&Order::new(seed, len).unwrap(), epoch * len..(epoch + 1) * len)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_epoch_holds_every_example_once(seed: u64, len in 1u64..5_000, epoch in 0u64..1_000) {
        let mut indices = epoch_of(seed, len, epoch);
        indices.sort_unstable();
        prop_assert!(indices.into_iter().eq(0..len));
    }

    #[test]
    fn rows_agree_with_index_across_epochs(seed: u64, len in 1u64..100, start in 0u64..1_000, n in 0u64..300) {
        let order = Order::new(seed, len).unwrap();
        let mut rows = Vec::new();
        order.rows(start..start + n, &mut rows);
        let expected = (start..start + n).map(|position| Row { index: order.index(position), epoch: position / len });
        prop_assert!(rows.into_iter().eq(expected));
    }

    #[test]
    fn large_sets_stay_in_range_and_distinct(seed: u64, len in 1u64 << 32..=MAX_LEN, offset in 0u64..1 << 32) {
        let order = Order::new(seed, len).unwrap();
        let start = offset.min(len - 100);
        let mut indices = indices(&order, start..start + 100);
        prop_assert!(indices.iter().all(|index| *index < len));
        indices.sort_unstable();
        indices.dedup();
        prop_assert_eq!(indices.len(), 100);
    }
}

#[test]
fn epochs_and_seeds_differ() {
    let same = |a: &[u64], b: &[u64]| a.iter().zip(b).filter(|(a, b)| a == b).count();
    // Two random permutations agree in one place on average.
    let first = epoch_of(1, 10_000, 0);
    for other in [epoch_of(1, 10_000, 1), epoch_of(1, 10_000, 1 << 20), epoch_of(2, 10_000, 0)] {
        assert!(same(&first, &other) < 8);
    }
    assert_eq!(first, epoch_of(1, 10_000, 0));
}

/// (chi-square - degrees of freedom) / its deviation, of counts that should all be `expected`.
fn chi_square_z(counts: &[f64], expected: f64, freedom: f64) -> f64 {
    let chi: f64 = counts.iter().map(|count| (count - expected).powi(2) / expected).sum();
    (chi - freedom) / (2.0 * freedom).sqrt()
}

#[test]
fn every_index_is_equally_likely_at_every_position() {
    // Rows and columns of the table both have fixed sums, hence (n - 1)^2 degrees of freedom.
    for len in [2u64, 3, 7, 16, 37] {
        let n = len as usize;
        let mut counts = vec![0.0; n * n];
        let n_seeds = 8_000;
        for seed in 0..n_seeds {
            for (position, index) in epoch_of(seed, len, seed % 3).into_iter().enumerate() {
                counts[position * n + index as usize] += 1.0;
            }
        }
        let freedom = ((n - 1) * (n - 1)) as f64;
        // Each permutation fills a whole table, which scales chi-square by n / (n - 1).
        let expected = n_seeds as f64 / n as f64;
        let chi: f64 = counts.iter().map(|count| (count - expected).powi(2) / expected).sum();
        let z = (chi * (n as f64 - 1.0) / n as f64 - freedom) / (2.0 * freedom).sqrt();
        assert!(z.abs() < 5.0, "len {len}: z = {z}");
    }
}

#[test]
fn all_orders_of_four_examples_occur_equally_often() {
    let mut counts = std::collections::HashMap::new();
    for seed in 0..24_000 {
        *counts.entry(epoch_of(seed, 4, 0)).or_insert(0.0) += 1.0;
    }
    let counts: Vec<f64> = counts.into_values().collect();
    assert_eq!(counts.len(), 24);
    assert!(chi_square_z(&counts, 1000.0, 23.0).abs() < 5.0);
}

#[test]
fn the_first_example_is_uniform_over_seeds() {
    let mut counts = vec![0.0; 100];
    for seed in 0..50_000 {
        let first = Order::new(seed, 60_000).unwrap().index(0);
        counts[(first / 600) as usize] += 1.0;
    }
    assert!(chi_square_z(&counts, 500.0, 99.0).abs() < 5.0);
}

#[test]
fn successive_examples_are_uncorrelated() {
    for len in [1_000u64, 1 << 16, 60_000] {
        let indices = epoch_of(11, len, 4);
        let centre = (len as f64 - 1.0) / 2.0;
        let variance = ((len * len) as f64 - 1.0) / 12.0;
        for lag in [1, 2, 3, 7, 16, 256] {
            let products = indices.iter().zip(&indices[lag..]);
            let sum: f64 = products.map(|(a, b)| (*a as f64 - centre) * (*b as f64 - centre)).sum();
            let n = (indices.len() - lag) as f64;
            let z = sum / n / variance * n.sqrt();
            assert!(z.abs() < 4.5, "len {len}, lag {lag}: z = {z}");
        }
    }
}

#[test]
fn positions_know_their_epoch() {
    let order = Order::new(0, 10).unwrap();
    assert_eq!((order.epoch(0), order.epoch(9), order.epoch(10)), (0, 0, 1));
    let remaining = [0, 9, 10, 25].map(|position| order.remaining_in_epoch(position));
    assert_eq!(remaining, [10, 1, 10, 5]);
    let sequential = Order::sequential(3).unwrap();
    let indices: Vec<u64> = (0..5).map(|position| sequential.index(position)).collect();
    assert_eq!(indices, [0, 1, 2, 0, 1]);
    assert_eq!(Order::new(5, 1).unwrap().index(u64::MAX), 0);
}

#[test]
fn impossible_lengths_are_errors() {
    for len in [0, MAX_LEN + 1] {
        let error = Order::new(1, len).unwrap_err();
        assert!(matches!(error, DataError::Setting { .. }));
        assert!(error.to_string().contains(&len.to_string()), "{error}");
        Order::sequential(len).unwrap_err();
    }
}

/// These numbers are for ever: stored runs resume from them.
#[test]
fn the_order_has_not_changed() {
    let order = Order::new(42, 60_000).unwrap();
    let indices: Vec<u64> = [0, 1, 2, 59_999, 60_000, 6_000_000_000].map(|p| order.index(p)).to_vec();
    assert_eq!(indices, [26_369, 24_786, 4_220, 25_772, 16_306, 16_895]);
    assert_eq!(epoch_of(7, 10, 0), [7, 6, 1, 4, 5, 3, 0, 2, 9, 8]);
    let large = Order::new(u64::MAX, MAX_LEN).unwrap();
    assert_eq!([0, 1, MAX_LEN].map(|p| large.index(p)), [803_813_539_025, 268_730_924_885, 711_408_769_698]);
}
