//! Noise scales in another metric: weighted by curvature, and preconditioned.

mod common;

use batchwise_estimate::fieller::Ratio;
use batchwise_estimate::noise::*;
use common::Source;

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * (1.0 + a.abs().max(b.abs()))
}

const NOMINAL: std::ops::RangeInclusive<f64> = 0.93..=0.97;

/// K measurements of one quadratic with Hessian diag(h), b = 4, n = 8.
fn curved(source: &mut Source, h: &[f64], signal: &[f64], sd: f64, k: usize) -> Vec<CurvatureMeasurement> {
    let q = |g: &[f64]| g.iter().zip(h).map(|(g, h)| h * g * g).sum::<f64>();
    (0..k)
        .map(|_| {
            let g: Vec<Vec<f64>> =
                (0..8).map(|_| signal.iter().map(|s| s + sd / 2.0 * source.normal()).collect()).collect();
            let mean: Vec<f64> = (0..h.len()).map(|j| g.iter().map(|g| g[j]).sum::<f64>() / 8.0).collect();
            let micro: Vec<_> = g.iter().map(|g| MicroProduct { weight: 4.0, q: q(g) }).collect();
            measure_curvature(&micro, q(&mean)).expect("eight finite products")
        })
        .collect()
}

#[test]
fn the_curved_noise_scale_covers() {
    let h = [4.0, 2.0, 1.0, 0.5, -0.2, 0.1];
    let signal = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0];
    // tr(HΣ)/(GᵀHG) = sd² here.
    for (sd, k, seed) in [(3.0, 20, 91), (6.0, 40, 92)] {
        let (mut source, mut holds, mut none) = (Source::new(seed), 0.0, 0.0);
        for _ in 0..2000 {
            let found = estimate_curvature(&curved(&mut source, &h, &signal, sd, k), 0.95).unwrap();
            match found.b_noise.holds(sd * sd) {
                Some(hit) => holds += f64::from(hit),
                None => none += 1.0,
            }
        }
        let share = holds / (2000.0 - none);
        println!("B_noise {}: coverage {share:.3}, unavailable {:.3}", sd * sd, none / 2000.0);
        assert!(NOMINAL.contains(&share) && none < 20.0, "{share} {none}");
    }
    // For H ∝ I it is the simple noise scale.
    let mut source = Source::new(93);
    let found = estimate_curvature(&curved(&mut source, &[3.0; 6], &signal, 3.0, 200), 0.95).unwrap();
    assert!((found.b_noise.value().unwrap() / 9.0 - 1.0).abs() < 0.1);
}

#[test]
fn an_unclear_curvature_is_unavailable() {
    let mut source = Source::new(94);
    // GᵀHG = 0: a saddle.
    let saddle = estimate_curvature(&curved(&mut source, &[1.0, -1.0], &[1.0, 1.0], 2.0, 30), 0.95).unwrap();
    assert_eq!(saddle.b_noise.grade(), "not_identified");
    let hill = estimate_curvature(&curved(&mut source, &[-1.0, -1.0], &[1.0, 1.0], 1.0, 30), 0.95).unwrap();
    let Ratio::NotIdentified { why } = hill.b_noise else { panic!("{hill:?}") };
    assert!(why.contains("not positive"), "{why}");
    assert!(matches!(
        measure_curvature(&[MicroProduct { weight: 1.0, q: f64::NAN }; 2], 1.0),
        Err(NoiseError::BadProduct { index: 0, .. })
    ));
    assert!(matches!(
        measure_curvature(&[MicroProduct { weight: 1.0, q: -1.0 }; 2], f64::NAN),
        Err(NoiseError::BadBatchProduct { .. })
    ));
    assert_eq!(measure_curvature(&[], 1.0), Err(NoiseError::TooFewMicroBatches { found: 0 }));
}

#[test]
fn the_two_preconditioned_forms() {
    // Σ = diag(λ), frozen P: tr(PΣ)/GᵀPG and tr(P²Σ)/GᵀP²G planted.
    let (p, lambda, signal) = ([0.1f64, 1.0, 5.0], [400.0f64, 20.0, 2.0], [3.0, 1.0, 0.5]);
    let planted = |power: i32| {
        let sum = |f: &dyn Fn(usize) -> f64| (0..3).map(|i| p[i].powi(power) * f(i)).sum::<f64>();
        sum(&|i| lambda[i]) / sum(&|i| signal[i] * signal[i])
    };
    let mut source = Source::new(95);
    let (mut inverse, mut identity) = (Vec::new(), Vec::new());
    for _ in 0..3000 {
        let g: Vec<Vec<f64>> = (0..8)
            .map(|_| (0..3).map(|i| signal[i] + (lambda[i] / 16.0).sqrt() * source.normal()).collect())
            .collect();
        let w = [16.0; 8];
        let one = Preconditioned::<InverseCurvature>::from_slices(&w, &g, &p).unwrap();
        // From norms in the metric, the same.
        let metric = |g: &[f64]| g.iter().zip(&p).map(|(g, p)| p * g * g).sum::<f64>();
        let mean: Vec<f64> = (0..3).map(|i| g.iter().map(|g| g[i]).sum::<f64>() / 8.0).collect();
        let micro: Vec<_> = g.iter().map(|g| MicroNorm { weight: 16.0, norm2: metric(g) }).collect();
        let same = Preconditioned::<InverseCurvature>::from_norms(&micro, metric(&mean)).unwrap();
        assert!(close(one.parts().g2, same.parts().g2, 1e-9));
        inverse.push(one);
        identity.push(Preconditioned::<IdentityCurvature>::from_slices(&w, &g, &p).unwrap());
    }
    let a = Preconditioned::estimate(&inverse, 0.95).unwrap();
    let b = Preconditioned::estimate(&identity, 0.95).unwrap();
    assert_eq!((a.form, b.form), (FormName::InverseCurvature, FormName::IdentityCurvature));
    assert_ne!(a.form.formula(), b.form.formula());
    assert!((a.estimate.phi.value().unwrap() / planted(1) - 1.0).abs() < 0.05, "{a:?} {}", planted(1));
    assert!((b.estimate.phi.value().unwrap() / planted(2) - 1.0).abs() < 0.05, "{b:?} {}", planted(2));
    assert!(planted(1) > 1.2 * planted(2));

    type P = Preconditioned<InverseCurvature>;
    let g = [[1.0, 2.0], [2.0, 1.0]];
    assert!(matches!(
        P::from_slices(&[1.0; 2], &g, &[1.0, 0.0]),
        Err(NoiseError::BadPreconditioner { entry: 1, .. })
    ));
    assert!(matches!(P::from_slices(&[1.0; 2], &g, &[1.0]), Err(NoiseError::BadLength { index: 0, .. })));
    assert!(matches!(P::from_slices(&[1.0], &g, &[1.0; 2]), Err(NoiseError::WrongWeightCount { .. })));
}
