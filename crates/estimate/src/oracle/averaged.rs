//! A running average of SGD on one mode of curvature h (theory §3.3).

use super::affine::Affine;

/// The step of (Eθ², Ea², Eaθ), with x = ηh and `kick` = η²c/B.
pub(super) fn step(x: f64, decay: f64, kick: f64) -> Affine {
    let (r, gamma, delta) = (1.0 - x, decay, 1.0 - decay);
    Affine {
        matrix: [
            [r * r, 0.0, 0.0],
            [delta * delta * r * r, gamma * gamma, 2.0 * gamma * delta * r],
            [delta * r * r, 0.0, gamma * r],
        ],
        shift: [kick, kick * delta * delta, kick * delta],
    }
}

/// Stationary Ea² = [(1−γ)/(1+γ)]·[(1+γr)/(1−γr)]·m_∞, with r = 1−x and m_∞ that of SGD, for x below 2.
pub(super) fn settled(x: f64, decay: f64, kick: f64) -> f64 {
    if kick == 0.0 {
        return 0.0;
    }
    let gr = decay * (1.0 - x);
    (1.0 - decay) / (1.0 + decay) * (1.0 + gr) / (1.0 - gr) * super::sgd::settled(x, kick)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settled_value_is_a_fixed_point() {
        for x in [1e-3, 0.1, 1.0, 1.9] {
            for decay in [0.0, 0.5, 0.99] {
                let p = step(x, decay, 0.01).power(1 << 40).apply([1.0, 1.0, 1.0]);
                let stated = settled(x, decay, 0.01);
                assert!((p[1] / stated - 1.0).abs() < 1e-9, "{x} {decay}: {} {stated}", p[1]);
            }
        }
    }
}
