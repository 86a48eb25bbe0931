//! Whatever the batch sizes, threads, workers and stops: the examples come as the order says.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

mod common;

use std::sync::Arc;

use batchwise_data::{Batches, LastBatch, Loader, LoaderConfig, Order, Row, Shard};
use candle_core::Device;
use common::Counting;
use proptest::prelude::*;

fn orders(seed: u64, len: u64) -> Vec<Order> {
    let labels: Vec<u32> = (0..len).map(|index| (index % 5 % 3) as u32).collect();
    let weights: Vec<f64> = (0..len).map(|index| index as f64 + 0.5).collect();
    vec![
        Order::new(seed, len).unwrap(),
        Order::sequential(len).unwrap(),
        Order::with_replacement(seed, len).unwrap(),
        Order::weighted(seed, &weights).unwrap(),
        Order::balanced_by_labels(seed, &labels).unwrap(),
    ]
}

/// What the workers of a world load of batches whose size changes at every step, from `start` on: the example numbers
/// batch by batch, the workers' parts one after another, and the position after the last.
fn load(order: &Order, start: u64, sizes: &[u64], world: u64, n_threads: usize) -> (Vec<u64>, u64) {
    let mut batches = Batches::new(order, start..u64::MAX, 1, LastBatch::Keep).unwrap();
    let ranges: Vec<_> = sizes
        .iter()
        .map(|size| {
            batches.set_size(*size).unwrap();
            batches.next().unwrap()
        })
        .collect();
    let mut parts = vec![Vec::new(); ranges.len()];
    for rank in 0..world {
        let shard = Shard::new(rank, world).unwrap();
        let config = LoaderConfig { n_threads, ..LoaderConfig::default() };
        let dataset = Arc::new(Counting::new(order.n_examples()));
        let mut loader = Loader::with(dataset, order.clone(), Device::Cpu, config).unwrap();
        // A worker without a part of a small batch has nothing to load.
        let of_rank = || ranges.iter().map(|range| shard.split(range.clone())).enumerate();
        let numbers: Vec<usize> =
            of_rank().filter(|(_, part)| !part.is_empty()).map(|(number, _)| number).collect();
        let requests = of_rank().map(|(_, part)| part).filter(|part| !part.is_empty());
        for (number, batch) in numbers.into_iter().zip(loader.iter(requests)) {
            let inputs = batch.unwrap().inputs.to_vec2::<f32>().unwrap();
            parts[number].extend(inputs.iter().map(|input| input[0] as u64));
        }
    }
    (parts.concat(), batches.position())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_examples_come_as_the_order_says(
        seed: u64,
        len in 1u64..200,
        start in 0u64..500,
        sizes in proptest::collection::vec(1u64..60, 1..12),
        stop in 0usize..12,
        world in 1u64..5,
        other_world in 1u64..5,
        n_threads in 0usize..4,
    ) {
        for order in orders(seed, len) {
            let (found, end) = load(&order, start, &sizes, world, n_threads);
            let mut expected: Vec<Row> = Vec::new();
            order.rows(start..end, &mut expected);
            prop_assert!(found.iter().copied().eq(expected.iter().map(|row| row.index)));
            // Stopped after any batch and gone on from the one integer, in another world.
            let (before, after) = sizes.split_at(stop.min(sizes.len()));
            let (mut parts, position) = load(&order, start, before, world, n_threads);
            let (rest, last) = load(&order, position, after, other_world, 0);
            parts.extend(rest);
            prop_assert_eq!((parts, last), (found, end));
        }
    }
}
