//! One step, the two regressions and sign descent: golden values, invariances and limits (theory §1.1, §4.2, §9).

use batchwise_estimate::oracle::{
    IsotropicRegression, LinearRegression, LocalQuadratic, OneStep, Reach, SignDescent, SurgePeak, Symmetric,
    share_of_best,
};

fn near(found: f64, stated: f64, tolerance: f64) {
    assert!((found / stated - 1.0).abs() < tolerance, "{found} {stated}");
}

fn matrix(rows: &[&[f64]]) -> Symmetric {
    Symmetric::from_rows(&rows.iter().map(|r| r.to_vec()).collect::<Vec<_>>()).expect("a valid example")
}

fn times(a: &[Vec<f64>], b: &[Vec<f64>]) -> Vec<Vec<f64>> {
    a.iter()
        .map(|row| (0..b[0].len()).map(|j| row.iter().zip(b).map(|(x, r)| x * r[j]).sum()).collect())
        .collect()
}

fn transposed(a: &[Vec<f64>]) -> Vec<Vec<f64>> {
    (0..a[0].len()).map(|j| a.iter().map(|row| row[j]).collect()).collect()
}

fn rows(a: &Symmetric) -> Vec<Vec<f64>> {
    (0..a.dimension()).map(|i| (0..a.dimension()).map(|j| a.get(i, j).expect("an entry")).collect()).collect()
}

/// A loss in other coordinates θ = Aψ: G' = AᵀG, H' = AᵀHA, Σ' = AᵀΣA.
fn moved(here: &LocalQuadratic, a: &[Vec<f64>]) -> LocalQuadratic {
    let at = transposed(a);
    let column: Vec<Vec<f64>> = here.gradient().iter().map(|&g| vec![g]).collect();
    let gradient = times(&at, &column).into_iter().map(|r| r[0]).collect();
    let inner =
        |m: &Symmetric| Symmetric::from_rows(&times(&at, &times(&rows(m), a))).expect("a valid example");
    LocalQuadratic::new(gradient, inner(here.hessian()), inner(here.covariance())).expect("a valid example")
}

fn example() -> LocalQuadratic {
    let h = matrix(&[&[2.0, 0.3], &[0.3, 0.5]]);
    let sigma = matrix(&[&[3.0, -1.0], &[-1.0, 4.0]]);
    LocalQuadratic::new(vec![1.0, -0.5], h, sigma).expect("a valid example")
}

#[test]
fn one_step_is_the_hyperbola_of_the_paper() {
    let step = example().one_step().unwrap();
    // By hand: ‖G‖² = 1.25, GᵀHG = 2 − .3 + .125, tr(HΣ) = 6 − .6 + 2.
    assert_eq!((step.g2, step.tr_sigma), (1.25, 7.0));
    near(step.g_h_g, 1.825, 1e-14);
    near(step.tr_h_sigma, 7.4, 1e-14);
    let b_noise = step.b_noise().unwrap();
    for batch in [1.0, 7.0, 1e3, 1e9] {
        let best = step.best_learning_rate(batch).unwrap();
        near(best, step.max_learning_rate().unwrap() / (1.0 + b_noise / batch), 1e-14);
        near(step.best_gain(batch).unwrap(), step.max_gain().unwrap() / (1.0 + b_noise / batch), 1e-14);
        for f in [0.1, 0.5, 0.8, 1.0, 1.2, 1.9] {
            let share = step.gain(batch, f * best).unwrap() / step.best_gain(batch).unwrap();
            assert!((share - share_of_best(f).unwrap()).abs() < 1e-12, "{f} {share}");
        }
        assert!(step.gain(batch, 2.0 * best).unwrap().abs() < 1e-12);
    }
    near(share_of_best(0.8).unwrap(), 0.96, 1e-14);
    near(share_of_best(1.2).unwrap(), 0.96, 1e-14);
}

#[test]
fn a_step_without_an_answer_says_so() {
    let saddle = OneStep { g2: 1.0, tr_sigma: 1.0, g_h_g: -1.0, tr_h_sigma: 3.0 };
    assert_eq!((saddle.b_noise(), saddle.max_learning_rate(), saddle.max_gain()), (None, None, None));
    // The noise meets curvature: a small batch has a best step where the whole data set has none.
    assert_eq!((saddle.best_learning_rate(1.0), saddle.best_learning_rate(4.0)), (Some(0.5), None));
    let flat = OneStep { g2: 0.0, tr_sigma: 1.0, g_h_g: 0.0, tr_h_sigma: 0.0 };
    assert_eq!((flat.b_simple(), flat.b_noise(), flat.best_gain(8.0)), (None, None, None));
    let step = example().one_step().unwrap();
    for batch in [0.0, -1.0, f64::NAN] {
        assert_eq!((step.best_learning_rate(batch), step.gain(batch, 0.1)), (None, None), "{batch}");
    }
    assert_eq!((step.gain(1.0, f64::NAN), share_of_best(f64::MAX)), (None, None));
}

#[test]
fn doubling_the_loss_leaves_the_scales_and_halves_the_step() {
    let double = |m: &Symmetric, f: f64| {
        let doubled: Vec<Vec<f64>> = rows(m).iter().map(|r| r.iter().map(|x| f * x).collect()).collect();
        Symmetric::from_rows(&doubled).unwrap()
    };
    let here = example();
    let gradient = here.gradient().iter().map(|g| 2.0 * g).collect();
    let twice =
        LocalQuadratic::new(gradient, double(here.hessian(), 2.0), double(here.covariance(), 4.0)).unwrap();
    let (one, two) = (here.one_step().unwrap(), twice.one_step().unwrap());
    near(two.b_simple().unwrap(), one.b_simple().unwrap(), 1e-14);
    near(two.b_noise().unwrap(), one.b_noise().unwrap(), 1e-14);
    near(two.max_learning_rate().unwrap(), one.max_learning_rate().unwrap() / 2.0, 1e-14);
}

#[test]
fn only_orthogonal_coordinates_leave_the_noise_scales_as_they_are() {
    let here = example();
    let plain = here.one_step().unwrap();
    let (sin, cos) = 0.7f64.sin_cos();
    let rotation = vec![vec![3.0 * cos, -3.0 * sin], vec![3.0 * sin, 3.0 * cos]];
    let turned = moved(&here, &rotation).one_step().unwrap();
    near(turned.b_simple().unwrap(), plain.b_simple().unwrap(), 1e-12);
    near(turned.b_noise().unwrap(), plain.b_noise().unwrap(), 1e-12);

    // Another scale per coordinate, as in a ReLU net whose layers are rescaled: the same function, another scale.
    let a = vec![vec![4.0, 1.0], vec![0.0, 0.5]];
    let skewed = moved(&here, &a).one_step().unwrap();
    assert!((skewed.b_simple().unwrap() / plain.b_simple().unwrap() - 1.0).abs() > 0.2);
    assert!((skewed.b_noise().unwrap() / plain.b_noise().unwrap() - 1.0).abs() > 0.2);
    // It is that of the preconditioner P = AAᵀ in the old coordinates.
    let p = Symmetric::from_rows(&times(&a, &transposed(&a))).unwrap();
    let conditioned = here.preconditioned(&p).unwrap();
    near(skewed.b_noise().unwrap(), conditioned.b_noise().unwrap(), 1e-12);
    near(skewed.b_simple().unwrap(), conditioned.b_simple().unwrap(), 1e-12);

    // tr(H⁻¹Σ)/GᵀH⁻¹G, the scale of Newton's step, is the same in all coordinates.
    let inverse = |m: &Symmetric| {
        let d = m.get(0, 0).expect("an entry") * m.get(1, 1).expect("an entry")
            - m.get(0, 1).expect("an entry") * m.get(0, 1).expect("an entry");
        matrix(&[
            &[m.get(1, 1).expect("an entry") / d, -m.get(0, 1).expect("an entry") / d],
            &[-m.get(0, 1).expect("an entry") / d, m.get(0, 0).expect("an entry") / d],
        ])
    };
    let newton = |l: &LocalQuadratic| l.preconditioned(&inverse(l.hessian())).unwrap();
    let (there, old) = (newton(&moved(&here, &a)), newton(&here));
    near(there.b_simple().unwrap(), old.b_simple().unwrap(), 1e-12);
    // H is P⁻¹ here: both forms are one, and the best noiseless step is 1.
    near(old.b_noise().unwrap(), old.b_simple().unwrap(), 1e-12);
    near(old.max_learning_rate().unwrap(), 1.0, 1e-12);
}

#[test]
fn the_two_forms_of_a_preconditioned_scale_differ_unless_the_hessian_is_flat() {
    let p = matrix(&[&[0.5, 0.0], &[0.0, 3.0]]);
    let here = example();
    let flat = LocalQuadratic::new(
        here.gradient().to_vec(),
        matrix(&[&[0.7, 0.0], &[0.0, 0.7]]),
        here.covariance().clone(),
    )
    .unwrap();
    let form = |l: &LocalQuadratic| l.preconditioned_flat(&p).unwrap().unwrap();
    near(flat.preconditioned(&p).unwrap().b_noise().unwrap(), form(&flat), 1e-12);
    near(form(&here), (0.25 * 3.0 + 9.0 * 4.0) / (0.25 + 2.25), 1e-12);
    // By hand: tr(PHPΣ) = 2·.25·3 + .01·9·4, GᵀPHPG = 2·.25 + .01·9·.25.
    let steep = matrix(&[&[2.0, 0.0], &[0.0, 0.01]]);
    let here = LocalQuadratic::new(here.gradient().to_vec(), steep, here.covariance().clone()).unwrap();
    near(here.preconditioned(&p).unwrap().b_noise().unwrap(), 1.86 / 0.5225, 1e-12);
    assert!(here.preconditioned(&matrix(&[&[1.0]])).is_err());
}

#[test]
fn regression_scales_are_the_closed_forms_and_those_of_its_matrices() {
    let h = matrix(&[&[1.0, 0.2, 0.0], &[0.2, 0.6, 0.1], &[0.0, 0.1, 0.3]]);
    let world = LinearRegression::new(h.clone(), vec![1.0, -2.0, 0.5], 0.5).unwrap();
    let step = world.one_step().unwrap();
    let by_matrix = world.local().unwrap().one_step().unwrap();
    for (a, b) in [
        (step.g2, by_matrix.g2),
        (step.tr_sigma, by_matrix.tr_sigma),
        (step.g_h_g, by_matrix.g_h_g),
        (step.tr_h_sigma, by_matrix.tr_h_sigma),
    ] {
        near(a, b, 1e-12);
    }
    // By hand: Hδ = (.6, −.95, −.05), q = .6 + 1.9 − .025.
    let (q, g2) = (2.475, 0.36 + 0.9025 + 0.0025);
    near(world.loss().unwrap(), (q + 0.5) / 2.0, 1e-12);
    near(step.b_simple().unwrap(), 1.0 + (q + 0.5) * 1.9 / g2, 1e-12);
    let h2 = 1.0 + 0.36 + 0.09 + 2.0 * (0.04 + 0.01);
    near(step.b_noise().unwrap(), 1.0 + (q + 0.5) * h2 / step.g_h_g, 1e-12);
}

#[test]
fn isotropic_runs_are_their_recursion_and_their_closed_form() {
    let (d, noise, batch, eta) = (9.0, 0.3, 8.0, 0.2);
    let world = IsotropicRegression::new(9, noise, 2.0).unwrap();
    let a: f64 = 1.0 - 2.0 * eta + eta * eta * (1.0 + (d + 1.0) / batch);
    let c = eta * eta * d * noise / batch;
    let mut r: f64 = 2.0;
    for t in 0..60 {
        near(world.distance(batch, eta, t).unwrap(), r, 1e-12);
        r = a * r + c;
    }
    let floor = c / (1.0 - a);
    near(world.stationary_distance(batch, eta).unwrap().unwrap(), floor, 1e-12);
    for target in [1.5, 0.7, 0.3, floor * 1.001] {
        let stated = (((target - floor) / (2.0 - floor)).ln() / a.ln()).ceil() as u64;
        assert_eq!(world.steps_to_target(batch, eta, target).unwrap().steps(), Some(stated), "{target}");
    }
    assert_eq!(world.steps_to_target(batch, eta, floor * 0.999).unwrap(), Reach::Unreachable);
    assert_eq!(world.steps_to_target(batch, eta, 3.0).unwrap().steps(), Some(0));
}

#[test]
fn the_noise_scale_of_white_regression_is_the_dimension_and_one() {
    let world = IsotropicRegression::new(31, 0.0, 1.0).unwrap();
    assert_eq!(world.noise_scale(), 32.0);
    for batch in [1.0, 32.0, 1e4] {
        let (limit, fastest) =
            (world.learning_rate_limit(batch).unwrap(), world.fastest_learning_rate(batch).unwrap());
        near(limit, 2.0 / (1.0 + 32.0 / batch), 1e-14);
        assert_eq!(world.stationary_distance(batch, limit * 1.0001).unwrap(), None);
        assert_eq!(world.stationary_distance(batch, limit * 0.9999).unwrap(), Some(0.0));
        let steps = |eta: f64| world.steps_to_target(batch, eta, 1e-12).unwrap().crossing().unwrap();
        assert!(steps(fastest) < steps(fastest * 0.98) && steps(fastest) < steps(fastest * 1.02));
    }
    // The general form at H = I agrees: B_noise = B_simple = 1 + d without label noise.
    let flat = Symmetric::diagonal(&[1.0; 31]).unwrap();
    let general = LinearRegression::new(flat, vec![0.3; 31], 0.0).unwrap().one_step().unwrap();
    near(general.b_noise().unwrap(), 32.0, 1e-12);
    near(general.b_simple().unwrap(), 32.0, 1e-12);
}

fn surge() -> SignDescent {
    let h = matrix(&[&[1.0, 0.2, 0.1], &[0.2, 0.8, -0.1], &[0.1, -0.1, 0.5]]);
    SignDescent::new(vec![0.02, -0.01, 0.03], vec![1.0, 0.5, 2.0], h).expect("a valid example")
}

#[test]
fn sign_descent_is_the_table() {
    let world = surge();
    for (batch, stated) in [
        (1.0, 3.64235949857e-4),
        (64.0, 2.9059751797e-3),
        (1024.0, 1.11435976357e-2),
        (65536.0, 2.6085904522e-2),
    ] {
        near(world.best_learning_rate(batch).unwrap().unwrap(), stated, 1e-11);
    }
    let limit = world.large_batch_limit().unwrap();
    near(world.best_learning_rate(1e9).unwrap().unwrap(), limit, 1e-9);
    // Σ|μ| = .06; signs (+,−,+): 2.3 + 2(−.2 + .1 + .1).
    near(limit, 0.06 / 2.3, 1e-12);
    // The best step is the best: the gain falls to either side.
    let best = world.best_learning_rate(64.0).unwrap().unwrap();
    let gain = |f: f64| world.gain(64.0, f * best).unwrap().unwrap();
    near(gain(0.5) / gain(1.0), 0.75, 1e-12);
    near(gain(1.2) / gain(1.0), 0.96, 1e-12);
    // The strongest coordinates have μ/σ = .02.
    near(world.small_batch_range().unwrap(), std::f64::consts::PI / 2.0 * 2500.0, 1e-12);
}

#[test]
fn the_surge_curve_is_the_small_batch_form() {
    // Coordinates that pull the same way, strongly coupled: the peak lies where the signs are still weak.
    let d = 40;
    let rows: Vec<Vec<f64>> =
        (0..d).map(|i| (0..d).map(|j| if i == j { 1.0 } else { 0.5 }).collect()).collect();
    let world = SignDescent::new(vec![0.02; d], vec![1.0; d], Symmetric::from_rows(&rows).unwrap()).unwrap();
    let peak = world.peak();
    let SurgePeak::At { batch, learning_rate } = peak else { panic!("{peak:?}") };
    near(batch, std::f64::consts::PI / 2.0 * 40.0 / (40.0 * 39.0 * 0.5 * 4e-4), 1e-12);
    near(learning_rate, (batch / (2.0 * std::f64::consts::PI)).sqrt() * 4e-4, 1e-12);
    let small = world.small_batch_range().unwrap();
    assert!(batch < small / 10.0);
    near(peak.learning_rate(batch).unwrap(), learning_rate, 1e-14);
    // The exact form agrees to the first order in B over the range where the curve stands.
    for b in [1.0, 16.0, batch, 4.0 * batch] {
        near(world.best_learning_rate(b).unwrap().unwrap(), peak.learning_rate(b).unwrap(), 0.6 * b / small);
    }
    // It rises, peaks near B_n, and falls: the surge.
    let exact = |b: f64| world.best_learning_rate(b).unwrap().unwrap();
    assert!(exact(batch / 8.0) < exact(batch) && exact(8.0 * batch) < exact(batch));
    assert!(world.large_batch_limit().unwrap() < exact(batch));
}

#[test]
fn without_coupling_there_is_no_surge() {
    let diagonal = Symmetric::diagonal(&[1.0, 2.0]).unwrap();
    let world = SignDescent::new(vec![0.02, -0.01], vec![1.0, 1.0], diagonal).unwrap();
    assert_eq!(world.peak(), SurgePeak::Never);
    assert_eq!(world.peak().learning_rate(8.0), None);
    let root =
        world.best_learning_rate(16.0).unwrap().unwrap() / world.best_learning_rate(1.0).unwrap().unwrap();
    near(root, 4.0, 0.01);
    let against = matrix(&[&[1.0, 0.5], &[0.5, 2.0]]);
    let world = SignDescent::new(vec![0.02, -0.01], vec![1.0, 1.0], against).unwrap();
    assert_eq!(world.peak(), SurgePeak::Void);
    // No coordinate has a sign: nothing to gain.
    let still = SignDescent::new(vec![0.0], vec![1.0], Symmetric::diagonal(&[1.0]).unwrap()).unwrap();
    assert_eq!((still.best_learning_rate(8.0).unwrap(), still.large_batch_limit()), (None, None));
    assert_eq!(still.small_batch_range(), None);
}

#[test]
fn a_signal_beyond_all_noise_has_a_sure_sign() {
    let h = Symmetric::diagonal(&[1.0, 1.0]).unwrap();
    let world = SignDescent::new(vec![f64::MAX, -1.0], vec![5e-324, 5e-324], h).unwrap();
    for batch in [5e-324, 1.0, f64::MAX] {
        assert_eq!(world.mean_sign(batch).unwrap(), [1.0, -1.0], "{batch}");
    }
}
