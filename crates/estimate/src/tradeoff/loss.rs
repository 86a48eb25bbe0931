//! What one run says about ln S at its batch size: exactly, within an evaluation period, or as a bound.
//!
//! z = (y − m)/ω. The error has the density of Huber 1964, f(z) ∝ exp(−ρ(z)/2): normal inside ±k, exponential tails
//! beyond. It is log-concave, so that every term below is convex in m; and each run's pull is at most k.

use std::f64::consts::{PI, SQRT_2};
use std::sync::LazyLock;

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};
use statrs::function::erf::erfc;

use crate::robust::{HUBER, huber};

/// What a departure from the curve costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Loss {
    /// Huber's: squares up to 1.345 scales, linear beyond; 95 % efficient for normal errors.
    #[default]
    Huber,
    /// Squares: least squares in ln S, as the published fits.
    Square,
}

/// What is known of ln S of one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Seen {
    /// The value.
    At(f64),
    /// Above the first, at most the second.
    Between(f64, f64),
    /// Censored: more than this.
    Above(f64),
    /// At most this: the target was reached at the very first evaluation.
    Below(f64),
}

impl Seen {
    /// Whether the run places ln S, rather than bounding it to one side.
    pub(super) fn located(self) -> bool {
        matches!(self, Self::At(_) | Self::Between(..))
    }

    /// The middle of what is known, or the bound.
    pub(super) fn middle(self) -> f64 {
        match self {
            Self::At(y) | Self::Above(y) | Self::Below(y) => y,
            Self::Between(low, high) => (low + high) / 2.0,
        }
    }
}

/// −2 ln likelihood of a run up to a constant, and its derivatives: score = ω/2 times its fall per unit of m, bend =
/// −ω times the score's derivative.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    pub(super) cost: f64,
    pub(super) score: f64,
    pub(super) bend: f64,
}

static BEYOND_KNEE: LazyLock<f64> = LazyLock::new(|| upper(HUBER));
static HUBER_PSI2: LazyLock<f64> = LazyLock::new(|| Loss::Huber.psi2_below(f64::INFINITY));
static HUBER_MASS: LazyLock<f64> = LazyLock::new(|| {
    (2.0 * PI).sqrt() * (1.0 - 2.0 * *BEYOND_KNEE) + 2.0 / HUBER * (-HUBER * HUBER / 2.0).exp()
});

/// Below this width (in scales) an interval is taken for its middle; the error is width²/24.
const NARROW: f64 = 1e-3;

impl Loss {
    fn knee(self) -> f64 {
        match self {
            Self::Huber => HUBER,
            Self::Square => f64::INFINITY,
        }
    }

    fn rho(self, z: f64) -> f64 {
        match self {
            Self::Huber => huber(z),
            Self::Square => z * z,
        }
    }

    fn psi(self, z: f64) -> f64 {
        z.clamp(-self.knee(), self.knee())
    }

    /// E ψ² of a standard normal: what the mean of ψ² is set to, so that the scale is the standard deviation.
    pub(super) fn mean_psi2(self) -> f64 {
        match self {
            Self::Huber => *HUBER_PSI2,
            Self::Square => 1.0,
        }
    }

    /// E ψ² of a normal with variance `share` ≤ 1: what residuals have that a fit has drawn to itself.
    pub(super) fn shrunk_psi2(self, share: f64) -> f64 {
        match self {
            Self::Huber if share > 0.0 => {
                let k = HUBER / share.sqrt();
                let density = (-k * k / 2.0).exp() / (2.0 * PI).sqrt();
                share * (1.0 - 2.0 * upper(k) - 2.0 * k * density + 2.0 * k * k * upper(k))
            }
            _ => share,
        }
    }

    /// E ψ′ of a standard normal: the share of errors inside ±k.
    pub(super) fn mean_bend(self) -> f64 {
        match self {
            Self::Huber => 1.0 - 2.0 * *BEYOND_KNEE,
            Self::Square => 1.0,
        }
    }

    /// ∫ exp(−ρ/2).
    fn mass(self) -> f64 {
        match self {
            Self::Huber => *HUBER_MASS,
            Self::Square => (2.0 * PI).sqrt(),
        }
    }

    /// Probability beyond z.
    fn beyond(self, z: f64) -> f64 {
        match self {
            Self::Huber if z >= HUBER => (HUBER * HUBER / 2.0 - HUBER * z).exp() / (HUBER * self.mass()),
            Self::Huber if z <= -HUBER => 1.0 - self.beyond(-z),
            Self::Huber => {
                let edge = (-HUBER * HUBER / 2.0).exp() / HUBER;
                (edge + (2.0 * PI).sqrt() * (upper(z) - *BEYOND_KNEE)) / self.mass()
            }
            Self::Square => upper(z),
        }
    }

    fn density(self, z: f64) -> f64 {
        (-self.rho(z) / 2.0).exp() / self.mass()
    }

    /// −2 ln of the probability beyond z, and the hazard: the density over that probability.
    fn tail(self, z: f64) -> (f64, f64) {
        match self {
            Self::Huber if z >= HUBER => {
                (2.0 * HUBER * z - HUBER * HUBER + 2.0 * (HUBER * self.mass()).ln(), HUBER)
            }
            // Mills' ratio, where the tail itself leaves the range of f64.
            Self::Square if z > 30.0 => (z * z + 2.0 * (z * (2.0 * PI).sqrt()).ln(), z + 1.0 / z),
            _ => {
                let beyond = self.beyond(z);
                (-2.0 * beyond.ln(), self.density(z) / beyond)
            }
        }
    }

    /// The term of a run at location m and scale ω.
    pub(super) fn term(self, seen: Seen, m: f64, scale: f64) -> Term {
        match seen {
            Seen::At(y) => self.exact((y - m) / scale),
            Seen::Above(y) => self.bound((y - m) / scale),
            Seen::Below(y) => {
                let mirrored = self.bound((m - y) / scale);
                Term { score: -mirrored.score, ..mirrored }
            }
            Seen::Between(low, high) => self.within((low - m) / scale, (high - m) / scale),
        }
    }

    fn exact(self, z: f64) -> Term {
        let bend = f64::from(u8::from(z.abs() <= self.knee()));
        Term { cost: self.rho(z), score: self.psi(z), bend }
    }

    fn bound(self, z: f64) -> Term {
        let (cost, hazard) = self.tail(z);
        Term { cost, score: hazard, bend: (hazard * (hazard - self.psi(z))).max(0.0) }
    }

    fn within(self, a: f64, b: f64) -> Term {
        if b - a < NARROW {
            return self.exact((a + b) / 2.0);
        }
        if a + b < 0.0 {
            let mirrored = self.within(-b, -a);
            return Term { score: -mirrored.score, ..mirrored };
        }
        let share = self.beyond(a) - self.beyond(b);
        if share.is_nan() || share <= 1e-280 {
            return self.exact(a);
        }
        let (at_a, at_b) = (self.density(a), self.density(b));
        let score = (at_a - at_b) / share;
        let bend = (self.psi(b) * at_b - self.psi(a) * at_a) / share + score * score;
        Term { cost: -2.0 * share.ln(), score, bend: bend.clamp(0.0, 1.0) }
    }

    /// What a run of this kind tells of its location at its best: the bend where an exact run has
    /// [`mean_bend`](Self::mean_bend).
    pub(super) fn information(self, seen: Seen, m: f64, scale: f64) -> f64 {
        match seen {
            Seen::At(_) => self.mean_bend(),
            Seen::Between(low, high) => {
                let half = (high - low) / scale / 2.0;
                self.within(-half, half).bend.min(self.mean_bend())
            }
            Seen::Above(_) | Seen::Below(_) => self.term(seen, m, scale).bend,
        }
    }

    /// E[ψ²(Z)] of a standard normal Z given what is known of it: the ψ² of an exact run.
    pub(super) fn expected_psi2(self, seen: Seen, m: f64, scale: f64) -> f64 {
        let z = |y: f64| (y - m) / scale;
        let square = |z: f64| self.psi(z).powi(2);
        match seen {
            Seen::At(y) => square(z(y)),
            Seen::Above(y) | Seen::Below(y) => {
                let z = if matches!(seen, Seen::Above(_)) { z(y) } else { -z(y) };
                if z > 6.0 { square(z) } else { (self.mean_psi2() - self.psi2_below(z)) / upper(z) }
            }
            Seen::Between(low, high) => {
                let (a, b) = (z(low), z(high));
                let (a, b) = if a + b > 0.0 { (-b, -a) } else { (a, b) };
                let share = upper(-b) - upper(-a);
                if b - a < NARROW || share < 1e-9 {
                    return square(if b < 0.0 { b } else { (a + b) / 2.0 });
                }
                ((self.psi2_below(b) - self.psi2_below(a)) / share).clamp(0.0, square(a))
            }
        }
    }

    /// ∫ ψ²φ up to z, φ the standard normal density.
    fn psi2_below(self, z: f64) -> f64 {
        let k = self.knee();
        let phi = |z: f64| (-z * z / 2.0).exp() / (2.0 * PI).sqrt();
        let moment = |z: f64| if z.is_finite() { z * phi(z) } else { 0.0 };
        let edge = if k.is_finite() { k * k * upper(k) } else { 0.0 };
        let core = |z: f64| (upper(-z) - upper(k)) - moment(z) - moment(k);
        if z <= -k {
            k * k * upper(-z)
        } else if z < k {
            edge + core(z)
        } else {
            let whole = edge + core(k);
            if k.is_finite() { whole + k * k * (upper(k) - upper(z)) } else { whole }
        }
    }
}

/// Probability that a standard normal exceeds z.
fn upper(z: f64) -> f64 {
    0.5 * erfc(z / SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Loss; 2] = [Loss::Huber, Loss::Square];

    #[test]
    fn constants_of_the_normal() {
        assert!((Loss::Huber.mean_psi2() - 0.710_2).abs() < 1e-4, "{}", Loss::Huber.mean_psi2());
        assert!((Loss::Huber.mean_bend() - 0.821_4).abs() < 1e-4, "{}", Loss::Huber.mean_bend());
        assert!((Loss::Huber.shrunk_psi2(1.0) - Loss::Huber.mean_psi2()).abs() < 1e-12);
        assert!(
            Loss::Huber.shrunk_psi2(0.5) > 0.5 * Loss::Huber.mean_psi2()
                && Loss::Square.shrunk_psi2(0.5) == 0.5
        );
        assert!((Loss::Square.mean_psi2() - 1.0).abs() < 1e-9 && Loss::Square.mean_bend() == 1.0);
    }

    #[test]
    fn scores_are_the_derivatives_of_the_costs() {
        let seen = [
            Seen::At(0.3),
            Seen::Above(0.4),
            Seen::Below(-0.2),
            Seen::Between(0.1, 0.5),
            Seen::Between(-3.0, 1.0),
        ];
        for loss in BOTH {
            for seen in seen {
                for m in [-4.0, -1.1, 0.0, 0.31, 1.7, 6.0] {
                    let (scale, h) = (0.7, 1e-5);
                    let at = |m: f64| loss.term(seen, m, scale);
                    let slope = (at(m - h).cost - at(m + h).cost) / (2.0 * h) * scale / 2.0;
                    assert!((slope - at(m).score).abs() < 1e-5, "{loss:?} {seen:?} {m}: {slope} {:?}", at(m));
                    let bend = (at(m - h).score - at(m + h).score) / (2.0 * h) * scale;
                    assert!((bend - at(m).bend).abs() < 1e-4, "{loss:?} {seen:?} {m}: {bend} {:?}", at(m));
                }
            }
        }
    }

    #[test]
    fn a_narrow_interval_is_its_middle_and_a_wide_one_says_nothing() {
        for loss in BOTH {
            let narrow = loss.term(Seen::Between(0.999, 1.001), 0.0, 1.0);
            let exact = loss.term(Seen::At(1.0), 0.0, 1.0);
            assert!((narrow.score - exact.score).abs() < 1e-5 && (narrow.bend - exact.bend).abs() < 1e-5);
            let wide = loss.term(Seen::Between(-60.0, 60.0), 0.0, 1.0);
            assert!(wide.score.abs() < 1e-9 && wide.bend < 1e-9 && wide.cost.abs() < 1e-9, "{wide:?}");
            let psi2 = loss.expected_psi2(Seen::Between(-60.0, 60.0), 0.0, 1.0);
            assert!((psi2 - loss.mean_psi2()).abs() < 1e-9, "{psi2}");
            assert!((loss.expected_psi2(Seen::Between(0.499, 0.501), 0.0, 1.0) - 0.25).abs() < 1e-4);
            assert!((loss.expected_psi2(Seen::Above(-60.0), 0.0, 1.0) - loss.mean_psi2()).abs() < 1e-9);
        }
    }

    #[test]
    fn far_away_is_finite() {
        for loss in BOTH {
            for seen in [Seen::At(1.0), Seen::Above(1.0), Seen::Below(1.0), Seen::Between(0.5, 1.0)] {
                for m in [-1e6, -50.0, 50.0, 1e6] {
                    let Term { cost, score, bend } = loss.term(seen, m, 1e-3);
                    assert!(cost.is_finite() && score.is_finite() && bend >= 0.0, "{loss:?} {seen:?} {m}");
                    assert!(loss.expected_psi2(seen, m, 1e-3).is_finite());
                }
            }
        }
    }
}
