//! The order of the sum, and who adds what.

use batchwise_train::parallel::{Buckets, Collective, Shares, Threads, TreeSum};
use proptest::prelude::*;

/// The sum over the leaves under one node, from the definition: absent children add nothing.
fn node(leaves: &[f32], level: u32, index: usize) -> Option<f32> {
    if level == 0 {
        return leaves.get(index).copied();
    }
    match (node(leaves, level - 1, 2 * index), node(leaves, level - 1, 2 * index + 1)) {
        (Some(left), Some(right)) => Some(left + right),
        (left, None) => left,
        (None, right) => right,
    }
}

fn tree(leaves: &[f32]) -> Option<f32> {
    let mut sum = TreeSum::new();
    leaves.iter().for_each(|leaf| sum.push(*leaf, |left, right| *left += right));
    sum.finish(|left, right| *left += right)
}

fn bits(x: impl IntoIterator<Item = f32>) -> Vec<u32> {
    x.into_iter().map(f32::to_bits).collect()
}

/// The sum of the rows on `world` ranks; that of each rank.
fn on_world(rows: &[Vec<f32>], world: usize, bucket_bytes: usize) -> Vec<Vec<f32>> {
    let (len, shares) = (rows[0].len(), Shares::new(rows.len() as u64, world));
    std::thread::scope(|scope| {
        let sum = |mut rank: Threads| {
            let mut buckets = Buckets::new(len, world, bucket_bytes).unwrap();
            let mut local = TreeSum::new();
            let add = |left: &mut Vec<f32>, right: Vec<f32>| {
                left.iter_mut().zip(right).for_each(|(left, right)| *left += right);
            };
            for i in shares.of(rank.rank()) {
                let mut row = rows[i as usize].clone();
                row.resize(buckets.padded_len(), 0.0);
                local.push(row, add);
            }
            // A rank without work holds anything.
            let mut flat = local.finish(add).unwrap_or_else(|| vec![f32::NAN; buckets.padded_len()]);
            buckets.sum(&mut rank, &mut flat, shares.n_ranks_with_work()).unwrap();
            flat.truncate(len);
            flat
        };
        let ranks = Threads::world(world).unwrap().into_iter();
        let threads: Vec<_> = ranks.map(|rank| scope.spawn(move || sum(rank))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// The sum is that of the definition, in a tree of any height that holds the leaves.
    #[test]
    fn the_sum_is_the_root_of_the_tree(leaves in prop::collection::vec(-1e3f32..1e3, 1..70), room in 0u32..3) {
        let height = (leaves.len() as u64).next_power_of_two().ilog2() + room;
        prop_assert_eq!(bits(tree(&leaves)), bits(node(&leaves, height, 0)));
    }

    /// Shares are in order, cover every micro-batch once, and each but the last is one whole node of the tree.
    #[test]
    fn shares_are_nodes(n in 1u64..5000, world in 1usize..20) {
        let shares = Shares::new(n, world);
        let c = shares.largest();
        prop_assert!(c.is_power_of_two() && c < 2 * n.div_ceil(world as u64));
        let mut next = 0;
        for rank in 0..world {
            let of = shares.of(rank);
            prop_assert_eq!(of.start, next);
            prop_assert!(of.is_empty() || (of.start.is_multiple_of(c) && of.end - of.start <= c));
            prop_assert_eq!(!of.is_empty(), rank < shares.n_ranks_with_work());
            next = of.end;
        }
        prop_assert_eq!(next, n);
    }

    /// Every world gives the bits of the tree, whatever the buckets, and all ranks the same.
    #[test]
    fn every_world_gives_the_same_bits(
        n in 1usize..41, len in 1usize..40, bytes in 0usize..200, seed in 0u64..1000
    ) {
        let rows: Vec<Vec<f32>> = (0..n)
            .map(|i| {
                let numbers = batchwise_nn::random::normal(seed, &format!("{i}"), len, 0.0, 1.0);
                numbers.into_iter().map(|x| (x * 10f64.powi((i % 7) as i32 - 3)) as f32).collect()
            })
            .collect();
        let want: Vec<f32> =
            (0..len).filter_map(|j| tree(&rows.iter().map(|row| row[j]).collect::<Vec<_>>())).collect();
        for world in [1, 2, 3, 4, 8] {
            for of_rank in on_world(&rows, world, bytes) {
                prop_assert_eq!(bits(of_rank), bits(want.iter().copied()), "{} workers", world);
            }
        }
    }
}

#[test]
fn one_after_the_other_gives_other_bits() {
    // The law above can fail: the running sum of each rank, added up, depends on the world.
    let row: Vec<f32> = (0..16).map(|i| (i as f32 * 0.7).sin()).collect();
    let running = |world: usize| -> f32 { row.chunks(16 / world).map(|part| part.iter().sum::<f32>()).sum() };
    assert!([2, 4, 8].iter().any(|world| running(*world).to_bits() != running(1).to_bits()));
}

#[test]
fn a_negative_zero_stays_one() {
    for world in [1, 2, 4] {
        for of_rank in on_world(&[vec![-0.0, 1.0], vec![-0.0, -1.0], vec![-0.0, 0.0]], world, 4) {
            assert_eq!(bits(of_rank), bits([-0.0, 0.0]), "{world} workers");
        }
    }
}

#[test]
fn what_cannot_be_summed_is_refused() {
    assert!(Buckets::new(3, 0, 4).is_err());
    assert!(Buckets::new(usize::MAX, 2, 4).is_err());
    let mut rank = Threads::world(1).unwrap().remove(0);
    let mut buckets = Buckets::new(3, 1, 4).unwrap();
    assert!(buckets.sum(&mut rank, &mut [0.0; 2], 1).is_err());
    assert!(buckets.sum(&mut rank, &mut [0.0; 3], 0).is_err());
    assert!(buckets.sum(&mut rank, &mut [0.0; 3], 2).is_err());
    assert!(Buckets::new(3, 2, 4).unwrap().sum(&mut rank, &mut [0.0; 4], 1).is_err());
    buckets.sum(&mut rank, &mut [0.0; 3], 1).unwrap();
    let ranges: Vec<_> = Buckets::new(10, 4, 20).unwrap().ranges().collect();
    assert_eq!(ranges, [0..4, 4..8, 8..12]);
}
