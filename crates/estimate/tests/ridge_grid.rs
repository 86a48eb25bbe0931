//! The best learning rate: planted valleys, divergence, edges.

mod common;

use batchwise_estimate::ridge::*;
use common::Source;
use proptest::prelude::*;

fn points(grid: &[(f64, Option<f64>)]) -> Vec<LrPoint> {
    grid.iter().map(|&(learning_rate, loss)| LrPoint { learning_rate, loss }).collect()
}

fn valley(best: f64, steps: std::ops::Range<i32>) -> Vec<LrPoint> {
    steps
        .map(|i| {
            let lr = 0.01 * 2f64.powi(i);
            LrPoint { learning_rate: lr, loss: Some(0.5 + 0.1 * (lr / best).ln().powi(2)) }
        })
        .collect()
}

#[test]
fn a_parabola_is_recovered_exactly() {
    for best in [0.05, 0.013, 0.1, 0.31] {
        let BestLr::Interior { learning_rate, low, high, loss } = best_learning_rate(&valley(best, -3..9))
        else {
            panic!()
        };
        assert!((learning_rate / best - 1.0).abs() < 1e-9 && (loss - 0.5).abs() < 1e-9);
        // 1 % of a loss of 0.5 to 0.55 is 0.005: ±√(0.05) in ln LR.
        assert!(
            (high / best).ln() > 0.22
                && (high / best).ln() < 0.24
                && (low * high / best / best - 1.0).abs() < 1e-6
        );
    }
}

#[test]
fn noise_moves_it_less_than_half_a_grid_step() {
    let mut source = Source::new(12);
    let mut errors: Vec<f64> = (0..500)
        .map(|_| {
            let mut p = valley(0.09, 0..7);
            p.iter_mut().for_each(|p| p.loss = p.loss.map(|l| l + 0.01 * source.normal()));
            match best_learning_rate(&p) {
                BestLr::Interior { learning_rate, .. } => (learning_rate / 0.09).log2().abs(),
                other => panic!("{other:?}"),
            }
        })
        .collect();
    errors.sort_by(f64::total_cmp);
    assert!(errors[475] < 0.5, "{}", errors[475]);
}

#[test]
fn edges_are_said() {
    let edge = |p: &[LrPoint]| match best_learning_rate(p) {
        BestLr::AtEdge { edge, learning_rate } => (edge, learning_rate),
        other => panic!("{other:?}"),
    };
    assert_eq!(edge(&valley(0.0001, 0..5)).0, Edge::Low);
    assert_eq!(edge(&valley(100.0, 0..5)).0, Edge::High);
    // Every smaller one is missing: a diverged neighbour above does not make it interior.
    assert_eq!(edge(&points(&[(0.1, Some(1.0)), (0.2, None)])).0, Edge::Low);
}

#[test]
fn divergence_brackets_and_rounds_down() {
    // Losses fall all the way to a diverged run: the extrapolated vertex lies beyond 0.4.
    let p =
        points(&[(0.1, Some(1.0)), (0.2, Some(0.8)), (0.4, Some(0.7)), (0.8, None), (1.6, Some(f64::NAN))]);
    let BestLr::Interior { learning_rate, high, .. } = best_learning_rate(&p) else { panic!() };
    assert!((0.2..=0.4 * (1.0 + 1e-12)).contains(&learning_rate) && high <= 0.4 * (1.0 + 1e-12));
    // A diverged repeat is not hidden by a lucky one.
    let p = points(&[(0.1, Some(1.0)), (0.2, Some(0.8)), (0.4, Some(0.7)), (0.4, None)]);
    let BestLr::Interior { learning_rate, .. } = best_learning_rate(&p) else { panic!() };
    assert!(learning_rate <= 0.2 * (1.0 + 1e-12), "{learning_rate}");
}

#[test]
fn nothing_to_say() {
    for p in [
        points(&[]),
        points(&[(0.1, None), (0.2, None)]),
        points(&[(0.1, Some(1.0))]),
        points(&[(0.1, Some(1.0)), (0.2, Some(1.0)), (0.4, Some(1.0))]),
        points(&[(-0.1, Some(1.0)), (f64::NAN, Some(0.5)), (0.4, Some(1.0))]),
    ] {
        assert!(matches!(best_learning_rate(&p), BestLr::NotIdentified { .. }), "{p:?}");
    }
}

proptest! {
    #[test]
    fn stays_between_the_neighbours_of_the_best(
        p in prop::collection::vec((1e-6f64..10.0, prop::option::of(-10.0f64..10.0)), 0..9)
    ) {
        let p = points(&p);
        if let BestLr::Interior { learning_rate, low, high, loss } = best_learning_rate(&p) {
            prop_assert!(low <= learning_rate * (1.0 + 1e-9) && learning_rate <= high * (1.0 + 1e-9));
            prop_assert!(loss.is_finite());
            let best = p.iter().filter(|q| q.loss.is_some())
                .min_by(|a, b| a.loss.unwrap().total_cmp(&b.loss.unwrap())).unwrap().learning_rate;
            for q in p.iter().filter(|q| q.loss.is_some()) {
                let between = |a: f64, b: f64| a * (1.0 + 1e-9) < q.learning_rate && q.learning_rate < b * (1.0 - 1e-9);
                prop_assert!(!between(learning_rate, best) && !between(best, learning_rate));
            }
        }
    }
}
