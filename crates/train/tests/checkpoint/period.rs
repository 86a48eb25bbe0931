//! When a checkpoint is due.

use batchwise_train::checkpoint::Period;
use proptest::prelude::*;

proptest! {
    #[test]
    fn each_boundary_is_crossed_once(period in 1u64..500, start in 0u64..10_000, steps in prop::collection::vec(1u64..400, 1..100)) {
        let due = Period::new(Some(period), None).unwrap();
        let (mut at, mut boundaries) = (start, Vec::new());
        for step in steps {
            let crossed = (at + 1..=at + step).filter(|n| n.is_multiple_of(period));
            let n = boundaries.len();
            boundaries.extend(crossed);
            prop_assert_eq!(due.due(at, at + step, 1e9), n < boundaries.len());
            at += step;
        }
        let n = boundaries.len();
        boundaries.dedup();
        prop_assert_eq!(boundaries.len(), n);
    }

    #[test]
    fn nothing_overflows(period in 1u64.., before: u64, after: u64, seconds: f64) {
        Period::new(Some(period), Some(1.0)).unwrap().due(before, after, seconds);
    }
}

#[test]
fn seconds_and_examples_each_make_it_due() {
    let both = Period::new(Some(100), Some(2.5)).unwrap();
    assert_eq!((both.examples(), both.seconds()), (Some(100), Some(2.5)));
    assert!(both.due(50, 60, 2.5) && both.due(99, 100, 0.0));
    assert!(!both.due(50, 60, 2.49) && !both.due(100, 199, 0.0));
    assert!(!Period::default().due(0, u64::MAX, f64::INFINITY));
}

#[test]
fn periods_that_make_no_sense_are_refused() {
    assert!(Period::new(Some(0), None).unwrap_err().to_string().contains("is 0, but must be at least 1"));
    for seconds in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(Period::new(None, Some(seconds)).unwrap_err().to_string().contains("finite and above 0"));
    }
}
