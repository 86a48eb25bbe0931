//! The shuffle cannot be told from uniform permutations by any statistic here.
//!
//! Each statistic is held within what theory says of uniform permutations. A bound is at 4.9 deviations (or the same
//! quantile of chi-square), which chance passes by once in a million; seeds are fixed, so that a test fails for ever or
//! never.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use batchwise_data::{MAX_LEN, Order, Row};

/// The two-sided quantile of the normal distribution at 1e-6.
const Z: f64 = 4.9;

/// Permutations number 0 to `n_keys`, of several seeds and epochs.
fn permutations(len: u64, n_keys: u64) -> impl Iterator<Item = Vec<usize>> {
    (0..n_keys).map(move |key| permutation(key / 4, key % 4, len))
}

fn permutation(seed: u64, epoch: u64, len: u64) -> Vec<usize> {
    let mut rows: Vec<Row> = Vec::new();
    Order::new(seed, len).unwrap().rows(epoch * len..(epoch + 1) * len, &mut rows);
    rows.into_iter().map(|row| row.index as usize).collect()
}

/// Holds a chi-square statistic between its quantiles, by the approximation of Wilson and Hilferty.
fn assert_chi_square(chi: f64, freedom: f64, what: &str) {
    let quantile = |z: f64| {
        let spread = 2.0 / (9.0 * freedom);
        freedom * (1.0 - spread + z * spread.sqrt()).max(0.0).powi(3)
    };
    let (low, high) = (quantile(-Z), quantile(Z));
    assert!(
        (low..=high).contains(&chi),
        "{what}: chi-square {chi} of {freedom} degrees, allowed {low}..={high}"
    );
}

fn assert_z(found: f64, mean: f64, deviation: f64, what: &str) {
    let z = (found - mean) / deviation;
    assert!(z.abs() < Z, "{what}: {found}, expected {mean} with deviation {deviation}: z = {z}");
}

/// Holds the mean and the variance of independent samples of a law of these moments.
fn assert_moments(samples: &[f64], mean: f64, variance: f64, fourth_cumulant: f64, what: &str) {
    let n = samples.len() as f64;
    let found = samples.iter().sum::<f64>() / n;
    assert_z(found, mean, (variance / n).sqrt(), &format!("{what}, mean"));
    let spread = samples.iter().map(|sample| (sample - mean).powi(2)).sum::<f64>() / n;
    // Around the true mean the variance of the mean square is (fourth cumulant + 2 variance^2) / n.
    let deviation = ((fourth_cumulant + 2.0 * variance * variance) / n).sqrt();
    assert_z(spread, variance, deviation, &format!("{what}, variance"));
}

/// Holds counts to the law of Poisson; the last cell collects the tail.
fn assert_poisson(samples: &[u64], mean: f64, what: &str) {
    const CELLS: usize = 8;
    let mut counts = [0.0; CELLS];
    for sample in samples {
        counts[(*sample as usize).min(CELLS - 1)] += 1.0;
    }
    let mut expected = [0.0; CELLS];
    let mut probability = (-mean).exp();
    for (k, cell) in expected.iter_mut().enumerate().take(CELLS - 1) {
        *cell = samples.len() as f64 * probability;
        probability *= mean / (k as f64 + 1.0);
    }
    expected[CELLS - 1] = samples.len() as f64 - expected.iter().sum::<f64>();
    let chi =
        counts.iter().zip(expected).map(|(count, expected)| (count - expected).powi(2) / expected).sum();
    assert_chi_square(chi, CELLS as f64 - 1.0, what);
}

fn harmonic(n: u64, power: i32) -> f64 {
    (1..=n).map(|k| (k as f64).powi(-power)).sum()
}

#[test]
fn every_index_is_equally_likely_at_every_position() {
    let sizes = [
        (2, 400_000),
        (3, 400_000),
        (5, 400_000),
        (16, 400_000),
        (64, 100_000),
        (65, 100_000),
        (100, 60_000),
    ];
    for (len, n_keys) in sizes.into_iter().chain([(256, 30_000), (1000, 20_000), (1024, 20_000)]) {
        let mut counts = vec![0u32; (len * len) as usize];
        for permutation in permutations(len, n_keys) {
            for (position, index) in permutation.into_iter().enumerate() {
                counts[position * len as usize + index] += 1;
            }
        }
        let (n, expected) = (len as f64, n_keys as f64 / len as f64);
        let chi: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        // Rows and columns have fixed sums. Each permutation fills a whole table, whose cells vary by n/(n-1) more
        // than independent draws would.
        assert_chi_square(chi * (n - 1.0) / n, (n - 1.0).powi(2), &format!("{len} examples"));
    }
}

#[test]
fn blocks_of_a_large_set_are_equally_likely_everywhere() {
    const BLOCKS: usize = 100;
    for len in [60_000u64, 1 << 16, 50_000] {
        let mut counts = vec![0.0; BLOCKS * BLOCKS];
        let n_keys = 150;
        // Blocks of unequal size where len is no multiple: cell by cell its own expectation.
        let block = |i: usize| i * BLOCKS / len as usize;
        let mut sizes = [0.0; BLOCKS];
        (0..len as usize).for_each(|i| sizes[block(i)] += 1.0);
        for permutation in permutations(len, n_keys) {
            for (position, index) in permutation.into_iter().enumerate() {
                counts[block(position) * BLOCKS + block(index)] += 1.0;
            }
        }
        let n = len as f64;
        let expected = |cell: usize| sizes[cell / BLOCKS] * sizes[cell % BLOCKS] / n * n_keys as f64;
        let cells = counts.iter().enumerate();
        let chi: f64 = cells.map(|(cell, count)| (count - expected(cell)).powi(2) / expected(cell)).sum();
        assert_chi_square(chi * (n - 1.0) / n, (BLOCKS as f64 - 1.0).powi(2), &format!("{len} examples"));
    }
}

#[test]
fn all_orders_of_few_examples_occur_equally_often() {
    for (len, n_orders) in [(2u64, 2), (3, 6), (4, 24), (5, 120), (6, 720)] {
        let mut counts = std::collections::HashMap::new();
        let n_keys = 100_000;
        for permutation in permutations(len, n_keys) {
            *counts.entry(permutation).or_insert(0.0) += 1.0;
        }
        assert_eq!(counts.len(), n_orders);
        let expected = n_keys as f64 / n_orders as f64;
        let chi = counts.into_values().map(|count: f64| (count - expected).powi(2) / expected).sum();
        assert_chi_square(chi, n_orders as f64 - 1.0, &format!("{len} examples"));
    }
}

#[test]
fn every_pair_of_indices_is_equally_likely_at_a_pair_of_positions() {
    // Of 100 examples positions 0 and 10 are in one column of the network's table, 0 and 1 in one row.
    for (len, n_keys) in [(5u64, 100_000u64), (16, 100_000), (66, 200_000), (100, 300_000)] {
        for (first, second) in [(0, 1), (0, 2), (0, len.isqrt() & !1), (len - 2, len - 1)] {
            let mut counts = vec![0.0f64; (len * len) as usize];
            for key in 0..n_keys {
                let order = Order::new(key / 4, len).unwrap();
                let [a, b] = [first, second].map(|offset| order.index(key % 4 * len + offset));
                counts[(a * len + b) as usize] += 1.0;
            }
            let n_pairs = (len * (len - 1)) as f64;
            let expected = n_keys as f64 / n_pairs;
            let cells = counts.iter().enumerate().filter(|(cell, _)| !(*cell as u64).is_multiple_of(len + 1));
            let chi = cells.map(|(_, count)| (count - expected).powi(2) / expected).sum();
            assert_chi_square(chi, n_pairs - 1.0, &format!("{first} and {second} of {len} examples"));
        }
    }
}

/// What a network of few rounds cannot hide: values that share a column or a row of its table, before and after.
#[test]
fn cells_of_one_column_go_to_one_row_or_column_as_often_as_by_chance() {
    for (side, n_keys) in [(10u64, 60_000u64), (16, 40_000), (32, 12_000), (64, 3_000)] {
        let (len, table) = (side * side, side as usize);
        let n = len as f64;
        // For a pair of values, the chance that both come to share a row (or a column): side - 1 of n - 1.
        let chance = (side as f64 - 1.0) / (n - 1.0);
        let mut shared = [[0.0; 2]; 2];
        for permutation in permutations(len, n_keys) {
            for (before, shared) in shared.iter_mut().enumerate() {
                for line in 0..table {
                    let mut counts = [vec![0.0; table], vec![0.0; table]];
                    for i in 0..table {
                        let cell = permutation[if before == 0 { line * table + i } else { i * table + line }];
                        counts[0][cell / table] += 1.0;
                        counts[1][cell % table] += 1.0;
                    }
                    for (shared, counts) in shared.iter_mut().zip(counts) {
                        *shared += counts.iter().map(|count: &f64| count * (count - 1.0) / 2.0).sum::<f64>();
                    }
                }
            }
        }
        let n_pairs = n_keys as f64 * n * (side as f64 - 1.0) / 2.0;
        for (before, shared) in shared.into_iter().flatten().enumerate() {
            // Pairs share examples, but whether two pairs come together is all but uncorrelated.
            let deviation = (n_pairs * chance * (1.0 - chance)).sqrt();
            assert_z(shared, n_pairs * chance, deviation, &format!("{side} x {side}, kind {before}"));
        }
    }
}

#[test]
fn neighbours_stay_neighbours_as_often_as_by_chance() {
    for (len, n_keys) in [(64u64, 40_000u64), (100, 40_000), (1000, 8_000), (1024, 8_000), (60_000, 200)] {
        for lag in [1, 2, len.isqrt() & !1] {
            let count = |permutation: Vec<usize>| {
                let pairs = permutation.iter().zip(&permutation[lag as usize..]);
                pairs.filter(|(a, b)| a.abs_diff(**b) == 1).count() as f64
            };
            let total: f64 = permutations(len, n_keys).map(count).sum();
            // Of n(n-1) ordered pairs 2(n-1) are neighbours; their number is nearly Poisson's.
            let mean = n_keys as f64 * (len - lag) as f64 * 2.0 / len as f64;
            assert_z(total, mean, mean.sqrt(), &format!("{len} examples, lag {lag}"));
        }
    }
}

#[test]
fn cycles_and_parity_are_those_of_uniform_permutations() {
    let sizes =
        [(16u64, 100_000u64), (64, 60_000), (65, 60_000), (100, 60_000), (256, 30_000), (1000, 10_000)];
    for (len, n_keys) in sizes.into_iter().chain([(1024, 10_000), (4096, 3_000), (60_000, 300)]) {
        let (mut cycles, mut fixed, mut n_even) = (Vec::new(), Vec::new(), 0.0);
        for permutation in permutations(len, n_keys) {
            let mut seen = vec![false; permutation.len()];
            let mut n_cycles = 0;
            for start in 0..permutation.len() {
                let mut at = start;
                n_cycles += u64::from(!seen[at]);
                while !std::mem::replace(&mut seen[at], true) {
                    at = permutation[at];
                }
            }
            cycles.push(n_cycles as f64);
            fixed.push(permutation.iter().enumerate().filter(|(i, index)| i == *index).count() as u64);
            n_even += f64::from(u8::from((len - n_cycles).is_multiple_of(2)));
        }
        let what = |what| format!("{what} of {len} examples");
        // The number of cycles is a sum of independent coins of chance 1/k, k = 1..=n (Feller's coupling).
        let variance = harmonic(len, 1) - harmonic(len, 2);
        let fourth =
            (1..=len).map(|k| 1.0 / k as f64).map(|p| p * (1.0 - p) * (1.0 - 6.0 * p * (1.0 - p))).sum();
        assert_moments(&cycles, harmonic(len, 1), variance, fourth, &what("cycles"));
        // Poisson's law up to 1/n!.
        assert_poisson(&fixed, 1.0, &what("fixed points"));
        assert_z(n_even, n_keys as f64 / 2.0, (n_keys as f64).sqrt() / 2.0, &what("even permutations"));
    }
}

/// Pairs in the wrong order, counted with a tree of partial sums (Fenwick's).
fn inversions(values: &[usize]) -> u64 {
    let mut tree = vec![0u64; values.len() + 1];
    let mut count = 0;
    for (n_before, value) in values.iter().enumerate() {
        let (mut node, mut n_below) = (*value, 0);
        while node != 0 {
            n_below += tree[node];
            node &= node - 1;
        }
        count += n_before as u64 - n_below;
        node = value + 1;
        while node <= values.len() {
            tree[node] += 1;
            node += node & node.wrapping_neg();
        }
    }
    count
}

#[test]
fn inversions_and_runs_are_those_of_uniform_permutations() {
    for (len, n_keys) in
        [(64u64, 40_000u64), (100, 30_000), (256, 20_000), (1000, 4_000), (1024, 4_000), (60_000, 100)]
    {
        let n = len as f64;
        let (mut wrong, mut descents) = (Vec::new(), Vec::new());
        let mut rising = [0.0; 5];
        for permutation in permutations(len, n_keys) {
            descents.push(permutation.windows(2).filter(|pair| pair[1] < pair[0]).count() as f64);
            for (length, count) in (3..).zip(&mut rising) {
                *count += permutation.windows(length).filter(|run| run.is_sorted()).count() as f64;
            }
            wrong.push(inversions(&permutation) as f64);
        }
        let what = |what: &str| format!("{what} of {len} examples");
        // Inversions are a sum of independent uniform numbers, descents the whole part of one (Tanny 1973): both have
        // small negative fourth cumulants, which are left out.
        assert_moments(
            &wrong,
            n * (n - 1.0) / 4.0,
            n * (n - 1.0) * (2.0 * n + 5.0) / 72.0,
            0.0,
            &what("inversions"),
        );
        assert_moments(&descents, (n - 1.0) / 2.0, (n + 1.0) / 12.0, 0.0, &what("descents"));
        let mut factorial = 2.0;
        for (length, count) in (3..).zip(rising) {
            factorial *= f64::from(length);
            let mean = n_keys as f64 * (n - f64::from(length) + 1.0) / factorial;
            // Overlapping windows rise together: a window of r after s steps with chance 1/(r+s)!, which adds less
            // than twice the sum of r!/(r+s)!, that is 2/r, of the variance.
            let deviation = (mean * (1.0 + 2.0 / f64::from(length))).sqrt();
            assert_z(count, mean, deviation, &what(&format!("rising windows of {length}")));
        }
    }
}

#[test]
fn epochs_and_seeds_are_independent() {
    for (len, n_keys) in [(64u64, 20_000u64), (100, 20_000), (1000, 4_000), (1024, 4_000), (60_000, 60)] {
        for (what, other) in
            [("next epoch", (0, 1)), ("next seed", (1, 0)), ("seed of another top bit", (1 << 63, 0))]
        {
            let (mut coincidences, mut correlations) = (Vec::new(), Vec::new());
            let centre = (len as f64 - 1.0) / 2.0;
            let variance = ((len * len) as f64 - 1.0) / 12.0;
            for key in 0..n_keys {
                // Steps of 2, so that no permutation serves twice.
                let (seed, epoch) = (key / 4 * 2, key % 4 * 2);
                let first = permutation(seed, epoch, len);
                let second = permutation(seed ^ other.0, epoch ^ other.1, len);
                let pairs = || first.iter().zip(&second);
                coincidences.push(pairs().filter(|(a, b)| a == b).count() as u64);
                let sum: f64 = pairs().map(|(a, b)| (*a as f64 - centre) * (*b as f64 - centre)).sum();
                correlations.push(sum / variance / len as f64);
            }
            let what = format!("{len} examples, {what}");
            assert_poisson(&coincidences, 1.0, &what);
            // Spearman's rank correlation has variance 1/(n-1).
            assert_moments(&correlations, 0.0, 1.0 / (len as f64 - 1.0), 0.0, &what);
        }
    }
}

#[test]
fn the_largest_sets_are_uniform_and_uncorrelated() {
    const CELLS: u64 = 64;
    const N: u64 = 1 << 16;
    for len in [MAX_LEN, MAX_LEN - 12_345, (1 << 33) + 1, 3 << 36, 1 << 32] {
        for (seed, start) in [(0, 0), (1, len / 2), (2, len - N), (3, 7 * len + 1)] {
            let mut rows = Vec::new();
            Order::new(seed, len).unwrap().rows(start..start + N, &mut rows);
            let indices: Vec<u64> = rows.into_iter().map(|row| row.index).collect();
            let what = |what: &str| format!("{what} of {len} examples from {start} on");
            let uniform = |cells: &mut dyn Iterator<Item = u64>, name| {
                let mut counts = [0.0; CELLS as usize];
                cells.for_each(|cell| counts[cell as usize] += 1.0);
                let expected = counts.iter().sum::<f64>() / CELLS as f64;
                let chi = counts.iter().map(|count: &f64| (count - expected).powi(2) / expected).sum();
                assert_chi_square(chi, CELLS as f64 - 1.0, &what(name));
            };
            let top = |value: u64| (u128::from(value) * u128::from(CELLS) / u128::from(len)) as u64;
            uniform(&mut indices.iter().map(|index| top(*index)), "top bits");
            uniform(&mut indices.iter().map(|index| index % CELLS), "low bits");
            // Two indices in a row, apart from each other by chance.
            uniform(&mut indices.windows(2).map(|pair| top((pair[1] + len - pair[0]) % len)), "steps");
            uniform(&mut indices.windows(2).map(|pair| (pair[0] ^ pair[1]) >> 13 & 63), "changed bits");
            let centre = (len as f64 - 1.0) / 2.0;
            let values: Vec<f64> =
                indices.iter().map(|index| (*index as f64 - centre) / centre * 3f64.sqrt()).collect();
            for lag in [1, 2, 3, 16, 1 << 12] {
                let sum: f64 = values.iter().zip(&values[lag..]).map(|(a, b)| a * b).sum();
                assert_z(sum, 0.0, (N as f64 - lag as f64).sqrt(), &what(&format!("correlation at {lag}")));
            }
        }
    }
}

#[test]
fn draws_with_replacement_are_uniform_and_independent() {
    for len in [1u64, 3, 100] {
        let order = Order::with_replacement(5, len).unwrap();
        let mut rows = Vec::new();
        order.rows(0..200_000, &mut rows);
        let (mut counts, mut pairs) = (vec![0.0; len as usize], vec![0.0; (len * len) as usize]);
        rows.iter().for_each(|row| counts[row.index as usize] += 1.0);
        rows.chunks(2).for_each(|pair| pairs[(pair[0].index * len + pair[1].index) as usize] += 1.0);
        for (counts, what) in [(counts, "draws"), (pairs, "pairs of draws")] {
            let (n, cells) = (counts.iter().sum::<f64>(), counts.len() as f64);
            let chi = counts.iter().map(|count| (count - n / cells).powi(2) / (n / cells)).sum();
            assert_chi_square(chi, (cells - 1.0).max(1e-9), &format!("{what} of {len}"));
        }
    }
}

#[test]
fn draws_by_weight_follow_the_weights() {
    let weights: Vec<f64> =
        (0..50).map(|i| if i % 7 == 3 { 0.0 } else { f64::from(i + 1).powi(2) }).collect();
    let order = Order::weighted(8, &weights).unwrap();
    let mut rows = Vec::new();
    order.rows(0..400_000, &mut rows);
    let mut counts = vec![0.0; weights.len()];
    rows.iter().for_each(|row| counts[row.index as usize] += 1.0);
    let sum: f64 = weights.iter().sum();
    let mut chi = 0.0;
    for (count, weight) in counts.iter().zip(&weights) {
        let expected = rows.len() as f64 * weight / sum;
        assert!(0.0 < *weight || *count == 0.0);
        chi += if 0.0 < *weight { (count - expected).powi(2) / expected } else { 0.0 };
    }
    let n_cells = weights.iter().filter(|weight| 0.0 < **weight).count();
    assert_chi_square(chi, n_cells as f64 - 1.0, "draws by weight");
}
