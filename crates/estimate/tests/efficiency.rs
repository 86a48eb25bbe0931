//! Efficiency of a batch size, the adaptive gain, and the published calculators (theory.md §1.8, §4.1, §6).

use batchwise_estimate::tradeoff::published::*;
use batchwise_estimate::tradeoff::{
    Hyperbola, adaptive_batch, adaptive_gain, adaptive_gain_of_points, efficiency, steps_factor,
};
use proptest::prelude::*;

/// Trap 10 of theory.md §0: the early adaptdl scale, `batch · initial batch`, in the same formula.
fn upside_down(phi: f64, from: f64, to: f64) -> f64 {
    let (scale, var, sqr) = (to * from, phi / from, 1.0);
    let gain = (var + sqr) / (var / scale + sqr);
    gain / scale
}

#[test]
fn trap_10_scale_direction() {
    let (phi, from) = (1000.0, 64.0);
    // Right: 1 at the initial batch, falling, and gain/scale with scale = to/from.
    assert_eq!(efficiency(phi, from, from), Some(1.0));
    let mut last = 1.0;
    for k in 1..12 {
        let to = from * 2f64.powi(k);
        let (scale, var, sqr) = (to / from, phi / from, 1.0);
        let gain = (var + sqr) / (var / scale + sqr);
        let found = efficiency(phi, from, to).unwrap();
        assert!(found < last && found > 0.0, "{to}: {found}");
        assert!((found - gain / scale).abs() < 1e-12, "{to}: {found} {}", gain / scale);
        last = found;
    }
    // Wrong: with the product, the initial batch is 256 times worse than itself.
    assert!(upside_down(phi, from, from) < 0.02);
}

#[test]
fn the_known_points_of_the_curve() {
    // At B_c 2× steps and 2× examples; at B_c/4 5× and 1.25× (theory.md §1.1).
    let curve = Hyperbola { b_crit: 800.0, s_min: 50.0 };
    assert_eq!((curve.steps(800.0), curve.examples(800.0)), (100.0, 80_000.0));
    assert_eq!((curve.steps(200.0), curve.examples(200.0)), (250.0, 50_000.0));
    assert_eq!((curve.e_min(), curve.efficiency(200.0), curve.slope(800.0)), (40_000.0, 0.8, 0.5));
    let from_to = steps_factor(800.0, 200.0, 800.0).unwrap();
    assert!((from_to - 0.4).abs() < 1e-12, "{from_to}");
    assert_eq!(efficiency(0.0, 1.0, 4.0), Some(0.25));
}

#[test]
fn adaptive_gain_is_24_25ths_for_a_root() {
    let found = adaptive_gain(|s| 7.0 * s.sqrt()).unwrap();
    assert!((found - 0.96).abs() < 1e-9, "{found}");
    assert!((adaptive_gain(|_| 3.0).unwrap() - 1.0).abs() < 1e-12);
    // B ∝ s: (2/3)²/(1/2) = 8/9, by both routes.
    assert!((adaptive_gain(|s| s).unwrap() - 8.0 / 9.0).abs() < 1e-9);
    assert!((adaptive_gain_of_points(&[(0.0, 0.0), (5.0, 10.0)]).unwrap() - 8.0 / 9.0).abs() < 1e-12);
    let points: Vec<_> = (0..=4000).map(|i| (f64::from(i), f64::from(i).sqrt())).collect();
    assert!((adaptive_gain_of_points(&points).unwrap() - 0.96).abs() < 1e-5);
    assert_eq!(adaptive_gain(|s| s - 0.5), None);
    assert_eq!(adaptive_gain(|_| 0.0), None);
    assert_eq!(adaptive_gain_of_points(&[(0.0, 1.0)]), None);
    assert_eq!(adaptive_gain_of_points(&[(1.0, 1.0), (1.0, 2.0)]), None);
    assert_eq!(adaptive_batch(4.0, 100.0), Some(20.0));
    assert_eq!(adaptive_batch(-4.0, 100.0), None);
}

#[test]
fn published_laws_by_exact_arithmetic() {
    let close = |found: Option<Published>, stated: f64| {
        let found = found.unwrap();
        assert!((found.value / stated - 1.0).abs() < 1e-6, "{found:?} {stated}");
        assert!(!found.unit.is_empty() && !found.source.is_empty() && !found.domain.is_empty());
    };
    assert!((zhang_b_star(256.0, 800.0).unwrap() - 467.2).abs() < 1e-9);
    close(kaplan_critical_batch(1.0), 2e8);
    close(kaplan_critical_batch(3.0), 1_071_353.575);
    close(deepseek_batch(1e18), 225_518.851_7);
    close(deepseek_learning_rate(1e18), 0.001_753_380_252);
    close(step_law_batch(1e11), 1_107_714.89);
    close(step_law_learning_rate(1e9, 1e11), 0.001_632_499_402);
    close(zhang_chinchilla(302.0), 1_364.643_389);
    close(zhang_fixed_data(302.0), 1_021.152_526);
    close(bergsma_timescale(20.0), 0.223_556_074);
    close(bergsma_optimal_batch(1.0, 1.0, 10.0), 10f64.powf(0.383));
    close(bergsma_critical_batch(512.0, 1e10, 1e11), 512.0 * 10f64.powf(0.462));
    assert_eq!(deepseek_batch(1e21).unwrap().within_domain, Some(false));
    assert_eq!(zhang_chinchilla(302.0).unwrap().within_domain, Some(true));
    assert_eq!(zhang_chinchilla(7000.0).unwrap().within_domain, Some(false));
    for v in [f64::NAN, 0.0, -1.0, f64::INFINITY] {
        assert!(kaplan_critical_batch(v).is_none() && step_law_learning_rate(v, 1.0).is_none());
        assert!(zhang_b_star(v, 1.0).is_none() && bergsma_optimal_batch(1.0, v, 1.0).is_none());
    }
}

proptest! {
    #[test]
    fn steps_and_examples_agree(bc in 0.0f64..1e6, from in 1e-3f64..1e6, to in 1e-3f64..1e6) {
        let e = efficiency(bc, from, to).unwrap();
        let s = steps_factor(bc, from, to).unwrap();
        // E = B·S.
        prop_assert!((e * s * to / from - 1.0).abs() < 1e-9);
        let there_and_back = e * efficiency(bc, to, from).unwrap();
        prop_assert!((there_and_back - 1.0).abs() < 1e-9);
        prop_assert!((to <= from) == (e >= 1.0) || (e - 1.0).abs() < 1e-12);
    }

    #[test]
    fn any_numbers_at_all(a in any::<f64>(), b in any::<f64>(), c in any::<f64>()) {
        for v in [efficiency(a, b, c), steps_factor(a, b, c), adaptive_batch(a, b), zhang_b_star(a, b)].into_iter().flatten() {
            prop_assert!(v.is_finite());
        }
        for v in [kaplan_critical_batch(a), deepseek_batch(a), step_law_learning_rate(a, b), bergsma_optimal_batch(a, b, c)] {
            prop_assert!(v.is_none_or(|v| v.value.is_finite() && v.value > 0.0));
        }
        for v in [adaptive_gain(|s| a + b * s), adaptive_gain_of_points(&[(0.0, a), (1.0, b), (2.0, c)])] {
            prop_assert!(v.is_none_or(|v| v.is_finite() && (0.0..=1.0 + 1e-9).contains(&v)));
        }
    }
}
