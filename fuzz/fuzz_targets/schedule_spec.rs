//! Texts of learning-rate and batch-size schedules: what reads prints back to the same, and resolves to sound numbers or an error.
#![no_main]

use batchwise_schedule::{BatchSpec, Examples, LearningRate, LrSpec, RunLength, Schedule};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let run = RunLength { total: Examples(10_000), dataset_size: Some(3000), tokens_per_example: Some(20.0) };
    match text.parse::<LrSpec>() {
        Ok(spec) => {
            assert_eq!(spec.to_string().parse::<LrSpec>(), Ok(spec.clone()));
            if let Ok(schedule) = spec.resolve(&run, Some(LearningRate(0.1))) {
                let peak = schedule.peak().0 * (1.0 + 1e-9);
                for at in [0, 1, 3333, 9999, 10_000, u64::MAX] {
                    assert!((0.0..=peak).contains(&schedule.at(Examples(at)).0), "{text} at {at}");
                    assert!((0.0..=peak).contains(&schedule.over(Examples(at / 2), Examples(at)).0), "{text} to {at}");
                }
            }
        }
        Err(error) => assert!(text.is_char_boundary(error.offset) && !error.to_string().is_empty()),
    }
    match text.parse::<BatchSpec>() {
        Ok(spec) => {
            assert_eq!(spec.to_string().parse::<BatchSpec>(), Ok(spec.clone()));
            if let Ok(pair) = spec.resolve(&run, Schedule::constant(LearningRate(0.1))) {
                for at in [0, 1, 3333, 9999, 10_000, u64::MAX] {
                    let batch = pair.batch(Examples(at));
                    assert!((spec.bounds.min..=spec.bounds.max).contains(&batch), "{text} at {at}: {batch}");
                }
            }
            let _ = spec.controller(&run);
        }
        Err(error) => assert!(text.is_char_boundary(error.offset) && !error.to_string().is_empty()),
    }
});
