//! The noise measurement: golden values, laws, and the traps of theory §0.

mod common;

use batchwise_estimate::noise::*;
use common::{Source, from_vectors, gaussian, norm2};
use proptest::prelude::*;

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * (1.0 + a.abs().max(b.abs()))
}

#[test]
fn golden_vectors() {
    let g: Vec<Vec<f64>> = vec![vec![1.0, 0.0], vec![3.0, 2.0], vec![-1.0, 4.0], vec![5.0, -2.0]];
    for (b, tr_sigma) in [(1.0, 40.0 / 3.0), (8.0, 320.0 / 3.0)] {
        let (micro, batch, m) = from_vectors(&g, &[b; 4]);
        assert_eq!((micro.iter().map(|x| x.norm2).sum::<f64>() / 4.0, batch), (15.0, 5.0));
        assert!(close(m.g2, 5.0 / 3.0, 1e-14) && close(m.tr_sigma, tr_sigma, 1e-14), "{m:?}");
    }
}

fn needed(
    phi: f64,
    batch: f64,
    micro_batch: f64,
    effective_rank: f64,
    alignment: f64,
    wanted: f64,
) -> Option<f64> {
    let shape = Shape { phi, effective_rank, alignment };
    measurements_needed(&shape, Choice { batch, micro_batch }, wanted)
}

#[test]
fn planning_numbers() {
    let k = |batch| needed(2000.0, batch, 1.0, 50.0, 0.05, 0.2).unwrap().round();
    assert_eq!((k(64.0), k(256.0), k(1024.0)), (1148.0, 100.0, 14.0));
    assert_eq!(needed(2000.0, 64.0, 64.0, 50.0, 0.05, 0.2), None);
    // A large signal leaves the variance part: 2/(50·1)/0.01.
    assert!(close(needed(1e-9, 2.0, 1.0, 50.0, 0.05, 0.1).unwrap(), 4.0, 1e-6));
}

#[test]
fn the_planned_error_is_the_one_that_comes() {
    let (phi, batch, d, k) = (500.0, 128.0, 50.0, 30);
    let mut source = Source::new(11);
    let means: Vec<f64> =
        (0..3000).map(|_| (0..k).map(|_| gaussian(&mut source, phi, batch, d).g2 / k as f64).sum()).collect();
    let sd = (means.iter().map(|m| (m - 1.0) * (m - 1.0)).sum::<f64>() / means.len() as f64).sqrt();
    let needed = needed(phi, batch, 1.0, d, 1.0 / d, sd).unwrap();
    assert!((needed / k as f64 - 1.0).abs() < 0.08, "{needed}");
}

#[test]
fn without_replacement_the_full_batch_is_exact() {
    let mut source = Source::new(3);
    let g: Vec<Vec<f64>> = (0..37).map(|_| (0..5).map(|_| 0.3 + source.normal()).collect()).collect();
    let (_, whole, m) = from_vectors(&g, &[1.0; 37]);
    assert!(close(train_set_g2(m, 37.0), whole, 1e-13));
}

#[test]
fn ragged_micro_batches_are_unbiased() {
    // 3 micro-batches of 1, 2 and 5 examples: averaging as if they were equal is off by far more than this.
    let mut source = Source::new(8);
    let (sizes, reps) = ([1usize, 2, 5], 40_000);
    let (mut g2, mut tr) = (0.0, 0.0);
    for _ in 0..reps {
        let g: Vec<Vec<f64>> = sizes
            .iter()
            .map(|&n| (0..4).map(|_| 0.5 + 2.0 * source.normal() / (n as f64).sqrt()).collect())
            .collect();
        let (_, _, m) = from_vectors(&g, &sizes.map(|n| n as f64));
        g2 += m.g2 / reps as f64;
        tr += m.tr_sigma / reps as f64;
    }
    assert!((g2 - 1.0).abs() < 0.05 && (tr / 16.0 - 1.0).abs() < 0.02, "{g2} {tr}");
}

#[test]
fn every_bad_input_is_named() {
    let one = MicroNorm { weight: 1.0, norm2: 1.0 };
    assert_eq!(measure(&[one], 1.0), Err(NoiseError::TooFewMicroBatches { found: 1 }));
    let bad = MicroNorm { weight: 0.0, ..one };
    assert_eq!(measure(&[one, bad], 1.0), Err(NoiseError::BadWeight { index: 1, value: 0.0 }));
    assert!(matches!(measure(&[one, one], f64::NAN), Err(NoiseError::BadBatchNorm { .. })));
    assert!(matches!(
        measure(&[one, MicroNorm { norm2: -1.0, ..one }], 1.0),
        Err(NoiseError::BadNorm { .. })
    ));
    let huge = MicroNorm { weight: 1e200, norm2: 1e200 };
    assert_eq!(measure(&[huge, huge], 1e200), Err(NoiseError::Overflow));
    assert_eq!(estimate(&[], 0.95), Err(NoiseError::NoMeasurements));
    let m = Measurement { g2: 1.0, tr_sigma: 2.0 };
    assert_eq!(estimate(&[m], 1.0), Err(NoiseError::BadConfidence { value: 1.0 }));
    let e = estimate(&[m], 0.95).unwrap();
    assert_eq!((e.phi.grade(), e.g2_standard_error), ("not_identified", None));
}

fn vectors() -> impl Strategy<Value = Vec<Vec<f64>>> {
    (2usize..7, 1usize..5)
        .prop_flat_map(|(n, d)| prop::collection::vec(prop::collection::vec(-5.0f64..5.0, d), n))
}

proptest! {
    #[test]
    fn g2_is_the_mean_over_pairs(g in vectors(), b in 0.5f64..20.0) {
        let n = g.len();
        let (_, _, m) = from_vectors(&g, &vec![b; n]);
        let mut pairs = 0.0;
        for i in 0..n {
            for j in (0..n).filter(|&j| j != i) {
                pairs += g[i].iter().zip(&g[j]).map(|(x, y)| x * y).sum::<f64>();
            }
        }
        prop_assert!(close(m.g2, pairs / (n * (n - 1)) as f64, 1e-10));
        prop_assert!(m.tr_sigma >= -1e-9);
        // Equal weights: the published form.
        let (ns, nb) = (g.iter().map(|v| norm2(v)).sum::<f64>() / n as f64, {
            let mean: Vec<f64> = (0..g[0].len()).map(|k| g.iter().map(|v| v[k]).sum::<f64>() / n as f64).collect();
            norm2(&mean)
        });
        prop_assert!(close(m.tr_sigma, b * n as f64 / (n as f64 - 1.0) * (ns - nb), 1e-10));
    }

    #[test]
    fn order_scale_and_layers(g in vectors(), scale in 0.1f64..10.0, cut in 0.0f64..1.0) {
        let n = g.len();
        let weights: Vec<f64> = (0..n).map(|i| 1.0 + i as f64).collect();
        let (_, _, m) = from_vectors(&g, &weights);
        let back: Vec<Vec<f64>> = g.iter().rev().cloned().collect();
        let (_, _, reversed) = from_vectors(&back, &weights.iter().rev().copied().collect::<Vec<_>>());
        prop_assert!(close(m.g2, reversed.g2, 1e-10) && close(m.tr_sigma, reversed.tr_sigma, 1e-10));
        let scaled: Vec<Vec<f64>> = g.iter().map(|v| v.iter().map(|x| x * scale).collect()).collect();
        let (_, _, s) = from_vectors(&scaled, &weights);
        prop_assert!(close(s.g2, m.g2 * scale * scale, 1e-9) && close(s.tr_sigma, m.tr_sigma * scale * scale, 1e-9));
        let at = (cut * g[0].len() as f64) as usize;
        let part = |r: std::ops::Range<usize>| from_vectors(&g.iter().map(|v| v[r.clone()].to_vec()).collect::<Vec<_>>(), &weights).2;
        let sum = add(&[part(0..at), part(at..g[0].len())]);
        prop_assert!(close(sum.g2, m.g2, 1e-10) && close(sum.tr_sigma, m.tr_sigma, 1e-10));
    }
}
