//! How many measurements, and what pilots say about it.

mod common;

use batchwise_estimate::noise::*;
use batchwise_estimate::outcome::Outcome;
use common::{Source, gaussian};

const NOMINAL: std::ops::RangeInclusive<f64> = 0.93..=0.97;

#[test]
fn the_planner_chooses() {
    let shape = Shape { phi: 2000.0, effective_rank: 50.0, alignment: 0.05 };
    let choice = |batch, micro_batch| Choice { batch, micro_batch };
    let rows = plan(&shape, &[choice(64.0, 1.0), choice(256.0, 1.0), choice(1024.0, 1.0)], 0.2).unwrap();
    let costs: Vec<f64> = rows.rows.iter().map(|r| r.examples.unwrap()).collect();
    assert_eq!(costs, [1149.0 * 64.0, 101.0 * 256.0, 14.0 * 1024.0]);
    assert_eq!(rows.best, Some(2));
    // A finer split of the same batch is never worse (theory §1.3).
    let split = plan(&shape, &[choice(256.0, 128.0), choice(256.0, 8.0), choice(256.0, 1.0)], 0.2).unwrap();
    assert!(split.rows.windows(2).all(|w| w[0].measurements >= w[1].measurements));
    // Where one measurement would do, two are asked for, and of a tie the smaller batch.
    let easy = Shape { phi: 1e-6, effective_rank: 1e6, alignment: 0.0 };
    let tie = plan(&easy, &[choice(64.0, 1.0)], 0.2).unwrap();
    assert_eq!((tie.rows[0].measurements, tie.best), (Some(2), Some(0)));
    let hopeless = plan(&Shape { phi: 1e200, ..shape }, &[choice(64.0, 1.0)], 1e-9).unwrap();
    assert_eq!((hopeless.rows[0].measurements, hopeless.best), (None, None));
    assert_eq!(plan(&shape, &[], 0.2), Err(PlanError::NoChoice));
    assert!(matches!(plan(&shape, &[choice(8.0, 8.0)], 0.2), Err(PlanError::BadChoice { index: 0, .. })));
    for bad in [f64::NAN, -1.0, f64::INFINITY] {
        assert!(plan(&Shape { phi: bad, ..shape }, &[choice(8.0, 1.0)], 0.2).is_err());
        assert!(plan(&Shape { effective_rank: bad, ..shape }, &[choice(8.0, 1.0)], 0.2).is_err());
        assert!(plan(&Shape { alignment: bad, ..shape }, &[choice(8.0, 1.0)], 0.2).is_err());
        assert!(plan(&shape, &[choice(8.0, 1.0)], bad).is_err());
    }
}

#[test]
fn pilots_tell_rank_and_alignment() {
    // Noise alike in 50 directions: r = 50, α = 1/50.
    for (phi, batch, k, seed) in [(50.0, 128.0, 40, 96), (200.0, 256.0, 100, 97), (200.0, 32.0, 150, 98)] {
        let (mut source, reps) = (Source::new(seed), 1500);
        let (mut rank, mut alignment, mut bounds, mut none) = (0.0, 0.0, 0, 0.0);
        let mut mean_rank = 0.0;
        for _ in 0..reps {
            let pilots: Vec<_> = (0..k).map(|_| gaussian(&mut source, phi, batch, 50.0)).collect();
            let found = shape_from_pilots(&pilots, batch, 1.0, 0.95).unwrap();
            rank += f64::from(found.effective_rank.holds(50.0).unwrap()) / f64::from(reps);
            mean_rank += found.effective_rank.value().unwrap() / f64::from(reps);
            match found.alignment.holds(0.02) {
                Some(hit) => alignment += f64::from(hit),
                None => none += 1.0,
            }
            bounds += u32::from(matches!(found.alignment, Outcome::UpperBound { .. }));
            assert!(found.alignment.holds(0.02).is_none() || found.shape().is_some());
        }
        let alignment = alignment / (f64::from(reps) - none);
        println!(
            "φ {phi}, B {batch}, K {k}: rank {rank:.3} (mean {mean_rank:.1}), alignment {alignment:.3}, \
             {bounds} upper bounds, {none} not identified of {reps}"
        );
        assert!(NOMINAL.contains(&rank), "{rank}");
        assert!((0.93..=0.98).contains(&alignment), "{alignment}");
    }
}

#[test]
fn pilots_that_say_nothing() {
    let m = Measurement { g2: 1.0, tr_sigma: 10.0 };
    let same = shape_from_pilots(&[m; 5], 8.0, 1.0, 0.95).unwrap();
    assert_eq!((same.effective_rank.grade(), same.alignment.grade()), ("not_identified", "not_identified"));
    let one = shape_from_pilots(&[m], 8.0, 1.0, 0.95).unwrap();
    assert_eq!((one.effective_rank.grade(), one.shape()), ("not_identified", None));
    assert!(matches!(shape_from_pilots(&[m; 5], 8.0, 8.0, 0.95), Err(NoiseError::BadSizes { .. })));
}
