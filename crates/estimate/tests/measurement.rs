//! One measurement in every form: from norms, from two norms, as a stream; its laws, its moments and its digits.

mod common;

use batchwise_estimate::noise::*;
use common::{Source, from_vectors, norm2};
use proptest::prelude::*;

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * (1.0 + a.abs().max(b.abs()))
}

fn stream(vectors: &[Vec<f64>], weights: &[f64]) -> Measurement {
    let mut stream = VectorStream::new();
    for (vector, weight) in vectors.iter().zip(weights) {
        stream.push(*weight, vector).expect("finite vectors of one length");
    }
    stream.measurement().expect("two or more vectors")
}

/// n gradients a·e_j + c·e_0 of weight 1, integers: ‖G‖² = c² and tr Σ = a² exactly, N_s = a²+c², N_b = a²/n+c².
fn planted(n: i128, a: i128, c: i128) -> (Vec<MicroNorm>, f64) {
    let micro = vec![MicroNorm { weight: 1.0, norm2: (a * a + c * c) as f64 }; n as usize];
    (micro, (a * a / n + c * c) as f64)
}

#[test]
fn digits_are_kept_where_the_noise_is_large() {
    // φ/B = a²/(n c²) = 1e8 and more; every norm is an exact integer below 2^53.
    for (n, a, c) in [(64i128, 80_000_000i128, 1000i128), (100, 70_000_010, 70), (1000, 31_415_900, 3)] {
        assert_eq!(a * a % n, 0);
        assert!(a * a + c * c < 1 << 53);
        let (micro, batch_norm2) = planted(n, a, c);
        // The U-statistic in integers: (n²N_b − nN_s)/(n(n−1)).
        let exact = n * n * (a * a / n + c * c) - n * (a * a + c * c);
        assert_eq!(exact, c * c * n * (n - 1));
        let m = measure(&micro, batch_norm2).unwrap();
        assert_eq!((m.g2, m.tr_sigma), ((c * c) as f64, (a * a) as f64), "n {n}");
        let pair = measure_pair(n as f64, 1.0, micro[0].norm2, batch_norm2).unwrap();
        assert_eq!(pair, m);
        let vectors: Vec<Vec<f64>> = (0..n as usize)
            .map(|j| {
                let mut g = vec![0.0; n as usize + 1];
                (g[0], g[j + 1]) = (c as f64, a as f64);
                g
            })
            .collect();
        let streamed = stream(&vectors, &vec![1.0; n as usize]);
        assert!(close(streamed.g2, (c * c) as f64, 1e-14) && close(streamed.tr_sigma, (a * a) as f64, 1e-14));
    }
    // The plain sums of one float lose what these keep.
    let (micro, batch_norm2) = planted(1000, 31_415_900, 3);
    let plain: f64 = micro.iter().map(|m| m.norm2).sum();
    let naive = (1000.0 * 1000.0 * batch_norm2 - plain) / (1000.0 * 1000.0 - 1000.0);
    assert!((naive / 9.0 - 1.0).abs() > 1e-5, "{naive}");
}

#[test]
fn digits_are_kept_where_the_noise_is_small() {
    // ‖G‖² = 1e16 and deviations of ±1: norms have lost tr Σ, the stream has it to the last digit of the mean, 1e-8.
    let g: Vec<Vec<f64>> = (0..8).map(|j| vec![1e8 + if j % 2 == 0 { 1.0 } else { -1.0 }]).collect();
    let streamed = stream(&g, &[1.0; 8]);
    assert!(close(streamed.tr_sigma, 8.0 / 7.0, 1e-8), "{streamed:?}");
    let norms: Vec<_> = g.iter().map(|g| MicroNorm { weight: 1.0, norm2: norm2(g) }).collect();
    let from_norms = measure(&norms, 1e16).unwrap();
    assert!((from_norms.tr_sigma - 8.0 / 7.0).abs() > 1e-3, "{from_norms:?}");
}

#[test]
fn moments_of_gaussian_examples() {
    // Theory §1.3 with λ = (3, 2, 1, 0.5), G = (1, −0.5, 0.5, 0), n = 6 micro-batches of 4.
    let (lambda, signal, n, b) = ([3.0f64, 2.0, 1.0, 0.5], [1.0, -0.5, 0.5, 0.0], 6usize, 4.0);
    let (batch, reps, mut source) = (n as f64 * b, 40_000, Source::new(71));
    let all: Vec<Measurement> = (0..reps)
        .map(|_| {
            let g: Vec<Vec<f64>> = (0..n)
                .map(|_| {
                    lambda.iter().zip(&signal).map(|(l, s)| s + (l / b).sqrt() * source.normal()).collect()
                })
                .collect();
            from_vectors(&g, &[b; 6]).2
        })
        .collect();
    let moment = |f: &dyn Fn(&Measurement) -> f64| all.iter().map(f).sum::<f64>() / f64::from(reps);
    let (tr, tr2): (f64, f64) = (lambda.iter().sum(), lambda.iter().map(|l| l * l).sum());
    let g2 = norm2(&signal);
    let along: f64 = lambda.iter().zip(&signal).map(|(l, s)| l * s * s).sum();
    let of_tr = 2.0 * tr2 / (n as f64 - 1.0);
    let of_g2 = 4.0 * along / batch + 2.0 * tr2 / (batch * (batch - b));
    let both = -2.0 * tr2 / (batch * (n as f64 - 1.0));
    let (mean_g2, mean_tr) = (moment(&|m| m.g2), moment(&|m| m.tr_sigma));
    assert!((mean_g2 - g2).abs() < 4.0 * (of_g2 / f64::from(reps)).sqrt(), "{mean_g2}");
    assert!((mean_tr - tr).abs() < 4.0 * (of_tr / f64::from(reps)).sqrt(), "{mean_tr}");
    let found_tr = moment(&|m| (m.tr_sigma - mean_tr).powi(2));
    let found_g2 = moment(&|m| (m.g2 - mean_g2).powi(2));
    let found_both = moment(&|m| (m.g2 - mean_g2) * (m.tr_sigma - mean_tr));
    println!(
        "variances {:.4} {:.4}, covariance {:.4}",
        found_tr / of_tr,
        found_g2 / of_g2,
        found_both / both
    );
    assert!((found_tr / of_tr - 1.0).abs() < 0.05 && (found_g2 / of_g2 - 1.0).abs() < 0.05);
    assert!((found_both - both).abs() < 4.0 * (of_tr * of_g2 / f64::from(reps)).sqrt());
}

#[test]
fn doubled_rows() {
    // Theory §9.6: drawing from a data set with every row twice changes nothing; a batch that always holds both copies has
    // φ doubled in rows. Here of each measurement: 4 rows twice, as 4 micro-batches of 2.
    let g: Vec<Vec<f64>> = vec![vec![1.0, 0.0], vec![3.0, 2.0], vec![-1.0, 4.0], vec![5.0, -2.0]];
    let (_, _, once) = from_vectors(&g, &[1.0; 4]);
    let (_, _, twice) = from_vectors(&g, &[2.0; 4]);
    assert!(close(twice.g2, once.g2, 1e-12) && close(twice.tr_sigma, 2.0 * once.tr_sigma, 1e-12));
}

#[test]
fn reparametrised_gradients() {
    // Theory §9.6: θ = Aψ turns g into Aᵀg. A rotation keeps φ, a stretch does not; tr(PΣ)/GᵀPG with P = (AAᵀ)⁻¹ keeps it.
    let mut source = Source::new(72);
    let g: Vec<Vec<f64>> = (0..12).map(|_| vec![2.0 + source.normal(), 1.0 + source.normal()]).collect();
    let phi = |g: &[Vec<f64>]| {
        let m = from_vectors(g, &[1.0; 12]).2;
        m.tr_sigma / m.g2
    };
    let map = |f: &dyn Fn(f64, f64) -> (f64, f64)| -> Vec<Vec<f64>> {
        g.iter()
            .map(|g| {
                let (x, y) = f(g[0], g[1]);
                vec![x, y]
            })
            .collect()
    };
    let (sin, cos) = 0.7f64.sin_cos();
    assert!(close(phi(&map(&|x, y| (cos * x - sin * y, sin * x + cos * y))), phi(&g), 1e-10));
    let stretched = map(&|x, y| (5.0 * x, y / 3.0));
    assert!((phi(&stretched) / phi(&g) - 1.0).abs() > 0.05);
    let p = [1.0 / 25.0, 9.0];
    let back = Preconditioned::<InverseCurvature>::from_slices(&[1.0; 12], &stretched, &p).unwrap().parts();
    assert!(close(back.tr_sigma / back.g2, phi(&g), 1e-10));
}

#[test]
fn bad_input_to_the_streams_is_named() {
    let mut stream = VectorStream::new();
    assert_eq!(stream.measurement(), Err(NoiseError::TooFewMicroBatches { found: 0 }));
    assert!(matches!(
        stream.push(1.0, &[1.0, f64::NAN]),
        Err(NoiseError::BadEntry { index: 0, entry: 1, .. })
    ));
    assert_eq!(stream.push(-1.0, &[1.0]), Err(NoiseError::BadWeight { index: 0, value: -1.0 }));
    stream.push(1.0, &[1.0, 2.0]).unwrap();
    assert_eq!(stream.measurement(), Err(NoiseError::TooFewMicroBatches { found: 1 }));
    assert_eq!(stream.push(1.0, &[1.0]), Err(NoiseError::BadLength { index: 1, found: 1, expected: 2 }));
    assert_eq!(stream.push(1.0, &[1e200, 1e200]), Err(NoiseError::Overflow));
    // Nothing of the refused ones has stayed.
    stream.push(1.0, &[3.0, 2.0]).unwrap();
    assert_eq!(stream.measurement().unwrap(), Measurement { g2: 7.0, tr_sigma: 2.0 });
    assert_eq!(stream.mean(), [2.0, 2.0]);

    let mut sums = Stream::new(1.0).unwrap();
    assert!(matches!(sums.push(1.0, f64::INFINITY, 1.0), Err(NoiseError::BadProduct { index: 1, .. })));
    assert!(matches!(sums.push(1.0, 1.0, -1.0), Err(NoiseError::BadNorm { index: 1, .. })));
    assert!(matches!(Stream::new(f64::NAN), Err(NoiseError::BadWeight { index: 0, .. })));

    let mut sums = NormSums::new();
    assert_eq!(
        sums.push(MicroNorm { weight: 1.0, norm2: -1.0 }),
        Err(NoiseError::BadNorm { index: 0, value: -1.0 })
    );
    for (batch, micro) in
        [(4.0, 3.0), (4.0, 4.0), (0.0, 0.0), (f64::NAN, 1.0), (4.0, -1.0), (f64::INFINITY, 1.0)]
    {
        assert!(
            matches!(measure_pair(batch, micro, 1.0, 1.0), Err(NoiseError::BadSizes { .. })),
            "{batch} {micro}"
        );
    }
    assert!(matches!(measure_pair(4.0, 2.0, -1.0, 1.0), Err(NoiseError::BadNorm { .. })));
    assert!(matches!(measure_pair(4.0, 2.0, 1.0, f64::NAN), Err(NoiseError::BadBatchNorm { .. })));
}

fn weighted() -> impl Strategy<Value = (Vec<Vec<f64>>, Vec<f64>)> {
    (2usize..9, 1usize..5).prop_flat_map(|(n, d)| {
        (
            prop::collection::vec(prop::collection::vec(-5.0f64..5.0, d), n),
            prop::collection::vec(0.1f64..50.0, n),
        )
    })
}

proptest! {
    #[test]
    fn every_form_is_the_same((g, w) in weighted(), b in 0.5f64..100.0) {
        let (micro, batch_norm2, m) = from_vectors(&g, &w);
        let streamed = stream(&g, &w);
        prop_assert!(close(streamed.g2, m.g2, 1e-9) && close(streamed.tr_sigma, m.tr_sigma, 1e-9));
        let mut sums = NormSums::new();
        for norm in &micro {
            sums.push(*norm).unwrap();
        }
        prop_assert_eq!(sums.finish(batch_norm2).unwrap(), m);
        let n = g.len() as f64;
        let (micro, batch_norm2, equal) = from_vectors(&g, &vec![b; g.len()]);
        let small = micro.iter().map(|m| m.norm2).sum::<f64>() / n;
        let pair = measure_pair(n * b, b, small, batch_norm2).unwrap();
        prop_assert!(close(pair.g2, equal.g2, 1e-10) && close(pair.tr_sigma, equal.tr_sigma, 1e-9));
        prop_assert!(stream(&g, &vec![b; g.len()]).tr_sigma >= 0.0);
    }

    #[test]
    fn weights_count_examples((g, w) in weighted(), by in 0.1f64..10.0) {
        let (_, _, m) = from_vectors(&g, &w);
        let (_, _, scaled) = from_vectors(&g, &w.iter().map(|w| w * by).collect::<Vec<_>>());
        prop_assert!(close(scaled.g2, m.g2, 1e-9) && close(scaled.tr_sigma, m.tr_sigma * by, 1e-8));
    }

    #[test]
    fn any_numbers_give_a_finite_answer_or_a_reason(
        rows in prop::collection::vec((any::<f64>(), any::<f64>(), any::<f64>()), 0..6), x in any::<f64>(), y in any::<f64>()
    ) {
        let check = |m: Result<Measurement, NoiseError>| m.is_err() || m.is_ok_and(|m| m.g2.is_finite() && m.tr_sigma.is_finite());
        let micro: Vec<_> = rows.iter().map(|(weight, norm2, _)| MicroNorm { weight: *weight, norm2: *norm2 }).collect();
        prop_assert!(check(measure(&micro, x)));
        prop_assert!(check(measure_pair(x, y, 1.0, 2.0)) && check(measure_pair(64.0, 8.0, x, y)));
        let micro: Vec<_> = micro.iter().map(|m| MicroNorm { weight: m.weight.abs(), norm2: m.norm2.abs() }).collect();
        prop_assert!(check(measure(&micro, x.abs())));
        let mut vectors = VectorStream::new();
        for (w, a, b) in &rows {
            let _ = vectors.push(w.abs(), &[*a, *b]);
        }
        prop_assert!(check(vectors.measurement()) && vectors.mean().iter().all(|m| m.is_finite()));
    }
}
