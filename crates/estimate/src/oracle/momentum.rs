//! Heavy ball on one mode of curvature h: the three second moments and where they settle (theory §3.3).

use super::affine::Affine;

/// The step of (Eθ², Ev², Eθv), with x = ηh and `kick` = η²c/B.
pub(super) fn step(x: f64, momentum: f64, kick: f64) -> Affine {
    let (r, mu, mu2) = (1.0 - x, momentum, momentum * momentum);
    Affine {
        matrix: [
            [r * r, mu2, 2.0 * r * mu],
            [x * x, mu2, -2.0 * x * mu],
            [-r * x, mu2, (1.0 - 2.0 * x) * mu],
        ],
        shift: [kick; 3],
    }
}

/// Stationary Eθ² = η(1+μ)c/(B h(1−μ)(2(1+μ)−ηh)), for x below the stability limit 2(1+μ).
pub(super) fn settled(x: f64, momentum: f64, kick: f64) -> f64 {
    if kick == 0.0 {
        0.0
    } else {
        kick / x * (1.0 + momentum) / ((1.0 - momentum) * (2.0 * (1.0 + momentum) - x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settled_value_is_a_fixed_point() {
        // x = (1−√μ)² is critical damping, where the matrix lacks an eigenvector.
        let mu: f64 = 0.9;
        for x in [1e-3, (1.0 - mu.sqrt()).powi(2), 0.5, 2.0, 3.7] {
            let p = step(x, mu, 0.01).power(1 << 40).apply([1.0, 0.0, 0.0]);
            let stated = settled(x, mu, 0.01);
            assert!((p[0] / stated - 1.0).abs() < 1e-9, "{x}: {} {stated}", p[0]);
        }
        let edge = 2.0 * (1.0 + mu);
        let grown = |x: f64| step(x, mu, 0.0).power(4000).apply([1.0, 0.0, 0.0])[0];
        assert!(grown(edge * 0.999) < 1e-3 && grown(edge * 1.001) > 1e3);
    }
}
