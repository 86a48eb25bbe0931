//! Every kind of order is a pure function of the position, and shards share it out.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod common;

use std::collections::HashMap;

use batchwise_data::{DataError, Order, Row, Shard};
use common::Counting;
use proptest::prelude::*;

fn rows(order: &Order, positions: std::ops::Range<u64>) -> Vec<Row> {
    let mut rows = vec![Row::new(7)];
    order.rows(positions, &mut rows);
    rows
}

/// Orders of all kinds over as many examples as there are labels.
fn kinds(seed: u64, labels: &[u32]) -> Vec<Order> {
    let len = labels.len() as u64;
    let weights: Vec<f64> = labels.iter().map(|label| f64::from(*label) + 0.5).collect();
    vec![
        Order::new(seed, len).unwrap(),
        Order::sequential(len).unwrap(),
        Order::with_replacement(seed, len).unwrap(),
        Order::weighted(seed, &weights).unwrap(),
        Order::balanced_by_labels(seed, labels).unwrap(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rows_are_the_same_however_they_are_asked_for(
        seed: u64,
        labels in proptest::collection::vec(0u32..7, 1..300),
        start in prop_oneof![0u64..2_000, Just(u64::MAX / 2), Just(u64::MAX - 1_000)],
        sizes in proptest::collection::vec(0u64..100, 1..8),
    ) {
        for order in kinds(seed, &labels) {
            let len = labels.len() as u64;
            prop_assert_eq!((order.len(), order.n_examples()), (len, len));
            let end = start + sizes.iter().sum::<u64>();
            let whole = rows(&order, start..end);
            let expected = (start..end).map(|position| Row { index: order.index(position), epoch: position / len });
            prop_assert!(whole.iter().copied().eq(expected));
            prop_assert!(whole.iter().all(|row| row.index < len));
            let mut position = start;
            let mut parts = Vec::new();
            for size in &sizes {
                parts.extend(rows(&order, position..position + size));
                position += size;
            }
            prop_assert_eq!(&parts, &whole);
            // A clone and an order made again say the same.
            prop_assert_eq!(rows(&order.clone(), start..end), whole);
        }
        prop_assert_eq!(kinds(seed, &labels), kinds(seed, &labels));
    }

    #[test]
    fn each_block_holds_each_class_once_and_each_pass_each_member(
        seed: u64,
        labels in proptest::collection::vec(prop_oneof![Just(3u32), Just(0), 0u32..100, Just(u32::MAX)], 1..200),
    ) {
        let order = Order::balanced_by_labels(seed, &labels).unwrap();
        let mut members: HashMap<u32, Vec<u64>> = HashMap::new();
        for (index, label) in labels.iter().enumerate() {
            members.entry(*label).or_default().push(index as u64);
        }
        let n_classes = members.len() as u64;
        let largest = members.values().map(Vec::len).max().unwrap() as u64;
        let rows = rows(&order, 0..2 * largest * n_classes);
        let label = |row: &Row| labels[row.index as usize];
        for block in rows.chunks(n_classes as usize) {
            let mut found: Vec<u32> = block.iter().map(label).collect();
            found.sort_unstable();
            found.dedup();
            prop_assert_eq!(found.len() as u64, n_classes);
        }
        for (class, members) in members {
            let drawn: Vec<u64> = rows.iter().filter(|row| label(row) == class).map(|row| row.index).collect();
            for pass in drawn.chunks_exact(members.len()) {
                let mut pass = pass.to_vec();
                pass.sort_unstable();
                prop_assert_eq!(&pass, &members);
            }
        }
    }

    #[test]
    fn shards_put_together_are_what_one_worker_sees(start: u64, n in 0u64..10_000, world in 1u64..200, wide: bool) {
        let end = if wide { u64::MAX } else { start.saturating_add(n) };
        let parts: Vec<_> = (0..world).map(|rank| Shard::new(rank, world).unwrap().split(start..end)).collect();
        prop_assert_eq!((parts[0].start, parts[parts.len() - 1].end), (start, end));
        prop_assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
        let sizes = || parts.iter().map(|part| part.end - part.start);
        prop_assert!(sizes().max().unwrap() - sizes().min().unwrap() <= 1);
    }
}

#[test]
fn a_world_of_workers_sees_the_order_of_one() {
    for order in kinds(4, &[0, 1, 2, 0, 0, 1, 0, 2, 2, 0, 1]) {
        for world in [1, 2, 3, 7] {
            for batch in [0..10, 3..25, 8..12] {
                let shards = (0..world).map(|rank| Shard::new(rank, world).unwrap());
                let seen: Vec<Row> =
                    shards.flat_map(|shard| rows(&order, shard.split(batch.clone()))).collect();
                assert_eq!(seen, rows(&order, batch));
            }
        }
    }
}

#[test]
fn impossible_shards_are_errors() {
    for (rank, world) in [(0, 0), (1, 1), (9, 3), (u64::MAX, u64::MAX)] {
        let error = Shard::new(rank, world).unwrap_err();
        assert!(matches!(error, DataError::Setting { .. }), "{error}");
    }
    assert!(Shard::new(9, 3).unwrap_err().to_string().contains("is 9, allowed is 0..3"));
    let backwards = std::ops::Range { start: 5, end: 3 };
    assert_eq!(Shard::new(2, 3).unwrap().split(backwards), 5..5);
}

#[test]
fn impossible_weights_are_errors_that_name_the_example() {
    for (weights, expected) in [
        (vec![], "the number of examples to order is 0"),
        (vec![1.0, f64::NAN], "NaN at example 1"),
        (vec![f64::INFINITY], "inf at example 0"),
        (vec![1.0, 1.0, -0.5], "-0.5 at example 2"),
        (vec![0.0, 0.0], "0 for each of 2 examples"),
    ] {
        let error = Order::weighted(1, &weights).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    Order::balanced_by_labels(1, &[]).unwrap_err();
    Order::with_replacement(1, 0).unwrap_err();
}

#[test]
fn a_data_set_is_balanced_by_its_labels() {
    let labels: Vec<u32> = (0..100).map(|index| index % 3).collect();
    let of_dataset = Order::balanced(6, &Counting::new(100)).unwrap();
    assert_eq!(of_dataset, Order::balanced_by_labels(6, &labels).unwrap());
    assert_eq!(of_dataset.seed(), Some(6));
}

#[test]
fn classes_are_shuffled_apart_from_each_other() {
    let labels: Vec<u32> = (0..200).map(|index| index % 2).collect();
    let order = Order::balanced_by_labels(1, &labels).unwrap();
    let draws = |class: u64, pass: u64| -> Vec<u64> {
        let rows = rows(&order, pass * 200..(pass + 1) * 200);
        rows.iter().filter(|row| row.index % 2 == class).map(|row| row.index / 2).collect()
    };
    // Uniform shuffles of 100 agree in one place on average, in 8 or more once in 100 000.
    let agree = |a: &[u64], b: &[u64]| a.iter().zip(b).filter(|(a, b)| a == b).count();
    assert!(agree(&draws(0, 0), &draws(1, 0)) < 8);
    assert!(agree(&draws(0, 0), &draws(0, 1)) < 8);
}

/// These numbers are for ever: stored runs resume from them.
#[test]
fn the_draws_have_not_changed() {
    let found: Vec<Vec<u64>> = kinds(42, &[0, 1, 2, 0, 0, 1, 0, 2, 2, 0, 1])
        .iter()
        .map(|order| rows(order, 20..26).iter().map(|row| row.index).collect())
        .collect();
    let expected = [
        [0, 2, 4, 1, 8, 7],
        [9, 10, 0, 1, 2, 3],
        [7, 5, 2, 3, 1, 6],
        [7, 2, 2, 7, 1, 6],
        [1, 5, 4, 2, 6, 10],
    ];
    assert_eq!(found, expected);
    // The last position there is.
    let last: Vec<u64> = kinds(42, &[0; 100]).iter().map(|order| order.index(u64::MAX)).collect();
    assert_eq!(last, [38, 15, 91, 91, 47]);
}
