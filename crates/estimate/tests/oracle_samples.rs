//! The closed forms of the oracle against draws from the same worlds: within four standard errors.

use batchwise_estimate::noise::{Measurement, MicroNorm, measure};
use batchwise_estimate::oracle::{
    GaussianGradients, IsotropicRegression, LinearRegression, Optimizer, Quadratic, Setting, Symmetric,
};

/// Mean and its standard error.
fn mean(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut n, mut mean, mut m2) = (0.0, 0.0, 0.0);
    for value in values {
        n += 1.0;
        let delta = value - mean;
        mean += delta / n;
        m2 += delta * (value - mean);
    }
    (mean, (m2 / (n - 1.0) / n).sqrt())
}

fn agree(found: (f64, f64), stated: f64, spread: f64) {
    let (mean, error) = found;
    assert!((mean - stated).abs() < 4.0 * error, "{mean} ± {error}, stated {stated}");
    assert!(error < spread * stated.abs(), "too few draws to tell: {mean} ± {error}");
}

#[test]
fn runs_average_to_the_expected_loss() {
    let world = Quadratic::new(vec![1.0, 0.3, 0.05], vec![0.5, 1.0, 0.2], vec![1.0, 2.0, 4.0]).unwrap();
    for (stream, setting) in
        [Setting::sgd(4.0, 0.4), Setting::heavy_ball(4.0, 0.1, 0.8), Setting::averaged(4.0, 0.4, 0.9)]
            .into_iter()
            .enumerate()
    {
        let runs: Vec<Vec<f64>> = (0..8000)
            .map(|k| world.sample_run(&setting, 40, 11, (stream as u64) << 32 | k).unwrap())
            .collect();
        for t in [1, 5, 20, 40] {
            let stated = world.loss(&setting, t).unwrap();
            agree(mean(runs.iter().map(|r| r[t as usize])), stated, 0.02);
        }
    }
}

#[test]
fn a_step_of_regression_gains_what_is_stated() {
    let rows = vec![vec![1.0, 0.3, 0.0], vec![0.3, 0.5, -0.1], vec![0.0, -0.1, 0.2]];
    let h = Symmetric::from_rows(&rows).unwrap();
    let delta = [1.5, -1.0, 2.0];
    let world = LinearRegression::new(h.clone(), delta.to_vec(), 0.5).unwrap();
    let step = world.one_step().unwrap();
    let loss = |d: &[f64]| -> f64 {
        let form: f64 =
            (0..3).map(|i| (0..3).map(|j| d[i] * h.get(i, j).expect("an entry") * d[j]).sum::<f64>()).sum();
        0.5 * (form + 0.5)
    };
    for (stream, batch) in [(0, 1), (1, 16)] {
        let eta = step.best_learning_rate(batch as f64).unwrap();
        let gains = (0..20_000u64).map(|k| {
            let mut gradient = [0.0; 3];
            for i in 0..batch {
                let example = world.example(5, stream, k * batch + i).gradient();
                gradient.iter_mut().zip(example).for_each(|(g, e)| *g += e / batch as f64);
            }
            let next: Vec<f64> = delta.iter().zip(gradient).map(|(d, g)| d - eta * g).collect();
            loss(&delta) - loss(&next)
        });
        agree(mean(gains), step.best_gain(batch as f64).unwrap(), 0.05);
    }
}

#[test]
fn examples_of_regression_have_the_stated_gradient_and_spread() {
    let h = Symmetric::from_rows(&[vec![1.0, 0.3], vec![0.3, 0.5]]).unwrap();
    let world = LinearRegression::new(h, vec![1.0, -0.5], 0.25).unwrap();
    let stated = world.local().unwrap();
    let draws: Vec<Vec<f64>> = (0..100_000).map(|i| world.example(3, 0, i).gradient()).collect();
    let g = world.gradient();
    for i in 0..2 {
        agree(mean(draws.iter().map(|d| d[i])), g[i], 0.05);
        for j in 0..2 {
            let products = draws.iter().map(|d| (d[i] - g[i]) * (d[j] - g[j]));
            agree(mean(products), stated.covariance().get(i, j).expect("an entry"), 0.1);
        }
    }
}

#[test]
fn runs_of_white_regression_average_to_the_stated_distance() {
    let (d, batch, eta) = (4, 8u64, 0.3);
    let world = IsotropicRegression::new(d, 0.2, 4.0).unwrap();
    let flat = Symmetric::diagonal(&vec![1.0; d]).unwrap();
    let distances = (0..4000u64).map(|k| {
        let mut delta = vec![1.0; d];
        for t in 0..6u64 {
            let here = LinearRegression::new(flat.clone(), delta.clone(), 0.2).unwrap();
            for i in 0..batch {
                let gradient = here.example(9, k, t * batch + i).gradient();
                delta.iter_mut().zip(gradient).for_each(|(x, g)| *x -= eta * g / batch as f64);
            }
        }
        delta.iter().map(|x| x * x).sum::<f64>()
    });
    agree(mean(distances), world.distance(batch as f64, eta, 6).unwrap(), 0.03);
}

#[test]
fn gaussian_gradients_have_their_moments_and_their_addresses() {
    let world = GaussianGradients::new(vec![1.0, -2.0, 0.5], vec![4.0, 1.0, 0.0]).unwrap();
    let draws: Vec<Vec<f64>> = (0..40_000).map(|i| world.example(2, 5, i)).collect();
    for (i, (g, v)) in [(1.0, 4.0), (-2.0, 1.0)].into_iter().enumerate() {
        agree(mean(draws.iter().map(|d| d[i])), g, 0.05);
        agree(mean(draws.iter().map(|d| (d[i] - g) * (d[i] - g))), v, 0.05);
    }
    assert!(draws.iter().all(|d| d[2] == 0.5));
    let products = mean(draws.iter().map(|d| (d[0] - 1.0) * (d[1] + 2.0)));
    assert!(products.0.abs() < 4.0 * products.1, "{products:?}");
    // A batch has the mean of its examples and 1/B of their variance.
    let batches: Vec<Vec<f64>> = (0..40_000).map(|i| world.batch(16.0, 2, 6, i).unwrap()).collect();
    agree(mean(batches.iter().map(|d| (d[0] - 1.0) * (d[0] - 1.0))), 0.25, 0.05);
    // The address alone decides.
    assert_eq!(world.example(2, 5, 777), draws[777]);
    assert_ne!(world.example(2, 6, 777), draws[777]);
    assert_ne!(world.example(3, 5, 777), draws[777]);
    assert_ne!(draws[776][1], draws[777][0]);
    assert_eq!(world.example(2, 5, u64::MAX).len(), 3);
}

#[test]
fn signs_of_gaussian_batches_have_the_stated_mean() {
    use batchwise_estimate::oracle::SignDescent;
    let h = Symmetric::diagonal(&[1.0, 1.0]).unwrap();
    let world = SignDescent::new(vec![0.2, -0.05], vec![1.0, 0.5], h).unwrap();
    let draws = GaussianGradients::new(vec![0.2, -0.05], vec![1.0, 0.25]).unwrap();
    let stated = world.mean_sign(9.0).unwrap();
    for (i, stated) in stated.into_iter().enumerate() {
        let signs = (0..40_000).map(|k| draws.batch(9.0, 4, 0, k).unwrap()[i].signum());
        agree(mean(signs), stated, 0.05);
    }
}

#[test]
fn a_sampled_run_is_a_function_of_its_address() {
    let world = Quadratic::zhang(5).unwrap();
    let setting = Setting { optimizer: Optimizer::Sgd, batch: 2.0, learning_rate: 0.1 };
    let run = |seed, stream| world.sample_run(&setting, 10, seed, stream).unwrap();
    assert_eq!(run(1, 2), run(1, 2));
    assert_ne!(run(1, 2), run(1, 3));
    assert_eq!(run(1, 2)[0], world.start_loss());
}

/// 𝒢 and 𝒮 of single examples, each of which counts `weight` rows.
fn pair(gradients: &[Vec<f64>], weight: f64) -> Measurement {
    let norm2 = |g: &[f64]| g.iter().map(|x| x * x).sum::<f64>();
    let micro: Vec<MicroNorm> = gradients.iter().map(|g| MicroNorm { weight, norm2: norm2(g) }).collect();
    let n = gradients.len() as f64;
    let mean: Vec<f64> =
        (0..gradients[0].len()).map(|k| gradients.iter().map(|g| g[k]).sum::<f64>() / n).collect();
    measure(&micro, norm2(&mean)).expect("finite gradients")
}

/// Theory §1.3 and §9.2: the means, and the variances within 5 %, of 40,000 measurements at b = 1.
#[test]
fn the_estimators_have_their_moments_on_gaussian_gradients() {
    let (g, lambda) = ([1.0, -0.5, 0.2, 0.0], [4.0, 2.0, 1.0, 0.5]);
    let world = GaussianGradients::new(g.to_vec(), lambda.to_vec()).unwrap();
    let n = 8.0;
    let measurements: Vec<Measurement> =
        (0..40_000).map(|k| pair(&(0..8).map(|i| world.example(6, k, i)).collect::<Vec<_>>(), 1.0)).collect();
    let sum = |f: &dyn Fn(f64, f64) -> f64| g.iter().zip(&lambda).map(|(&g, &l)| f(g, l)).sum::<f64>();
    let (g2, tr, gsg, tr2) = (sum(&|g, _| g * g), sum(&|_, l| l), sum(&|g, l| g * g * l), sum(&|_, l| l * l));
    agree(mean(measurements.iter().map(|m| m.g2)), g2, 0.05);
    agree(mean(measurements.iter().map(|m| m.tr_sigma)), tr, 0.05);
    let variance_g = mean(measurements.iter().map(|m| (m.g2 - g2).powi(2))).0;
    let variance_s = mean(measurements.iter().map(|m| (m.tr_sigma - tr).powi(2))).0;
    let covariance = mean(measurements.iter().map(|m| (m.g2 - g2) * (m.tr_sigma - tr))).0;
    for (found, stated) in [
        (variance_g, 4.0 * gsg / n + 2.0 * tr2 / (n * (n - 1.0))),
        (variance_s, 2.0 * tr2 / (n - 1.0)),
        (covariance, -2.0 * tr2 / (n * (n - 1.0))),
    ] {
        assert!((found / stated - 1.0).abs() < 0.05, "{found} {stated}");
    }
}

/// Theory §9.6: rows that come in pairs carry half the news each.
#[test]
fn a_batch_of_pairs_doubles_the_noise_scale_in_rows() {
    let world = GaussianGradients::new(vec![1.0, -0.5], vec![4.0, 2.0]).unwrap();
    let examples: Vec<Vec<f64>> = (0..8).map(|i| world.example(6, 0, i)).collect();
    let (single, double) = (pair(&examples, 1.0), pair(&examples, 2.0));
    assert!((double.g2 / single.g2 - 1.0).abs() < 1e-12);
    assert!((double.tr_sigma / single.tr_sigma - 2.0).abs() < 1e-12);
}
