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
    assert_eq!(indices, [45_425, 25_841, 51_749, 40_250, 14_396, 2_697]);
    assert_eq!(epoch_of(7, 10, 0), [2, 4, 6, 3, 9, 7, 1, 0, 5, 8]);
    assert_eq!(epoch_of(7, 100, 3)[..5], [34, 17, 76, 30, 88]);
    let large = Order::new(u64::MAX, MAX_LEN).unwrap();
    assert_eq!([0, 1, MAX_LEN].map(|p| large.index(p)), [945_720_658_610, 745_777_129_397, 333_714_771_762]);
}
