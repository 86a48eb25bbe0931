//! Least squares for y = level + tilt·u + bend·u².

/// A fitted parabola, u = x − centre.
pub(super) struct Parabola {
    pub(super) level: f64,
    pub(super) tilt: f64,
    pub(super) bend: f64,
    /// Covariance of (level, tilt, bend) for errors of variance 1.
    pub(super) covariance: [[f64; 3]; 3],
    /// Sum of the squared residuals.
    pub(super) squares: f64,
    /// Points fitted.
    pub(super) n: usize,
}

impl Parabola {
    /// Least squares; `None` with fewer than 3 points or where they do not define it.
    pub(super) fn through(points: &[(f64, f64)], centre: f64) -> Option<Self> {
        let size = points.iter().fold(0.0_f64, |m, p| m.max((p.0 - centre).abs()));
        if points.len() < 3 || !(size.is_finite() && size > 0.0) {
            return None;
        }
        let mut s = [0.0; 5];
        let mut r = [0.0; 3];
        for &(x, y) in points {
            let u = (x - centre) / size;
            let mut power = 1.0;
            for k in 0..5 {
                s[k] += power;
                if k < 3 {
                    r[k] += y * power;
                }
                power *= u;
            }
        }
        let inverse = inverse([[s[0], s[1], s[2]], [s[1], s[2], s[3]], [s[2], s[3], s[4]]])?;
        // Powers of u were divided by powers of the size.
        let unit = [1.0, 1.0 / size, 1.0 / (size * size)];
        let solve = |k: usize| unit[k] * (0..3).map(|j| inverse[k][j] * r[j]).sum::<f64>();
        let mut covariance = inverse;
        (0..3).for_each(|i| (0..3).for_each(|j| covariance[i][j] *= unit[i] * unit[j]));
        let mut fit = Self {
            level: solve(0),
            tilt: solve(1),
            bend: solve(2),
            covariance,
            squares: 0.0,
            n: points.len(),
        };
        fit.squares = points.iter().map(|&(x, y)| (y - fit.at(x - centre)).powi(2)).sum();
        let numbers = [fit.level, fit.tilt, fit.bend, fit.squares];
        numbers.iter().chain(fit.covariance.iter().flatten()).all(|v| v.is_finite()).then_some(fit)
    }

    /// Height at u.
    pub(super) fn at(&self, u: f64) -> f64 {
        self.level + u * (self.tilt + u * self.bend)
    }

    /// u of the lowest point, where `bend` is positive.
    pub(super) fn vertex(&self) -> f64 {
        -self.tilt / (2.0 * self.bend)
    }

    /// Root mean square residual.
    pub(super) fn misfit(&self) -> f64 {
        (self.squares / self.n as f64).sqrt()
    }

    /// Variance of the height at u, for errors of variance 1.
    pub(super) fn variance_at(&self, u: f64) -> f64 {
        let powers = [1.0, u, u * u];
        let sum = |i: usize| (0..3).map(|j| self.covariance[i][j] * powers[j]).sum::<f64>();
        (0..3).map(|i| powers[i] * sum(i)).sum::<f64>().max(0.0)
    }

    /// Variance of the slope at u, for errors of variance 1.
    pub(super) fn slope_variance_at(&self, u: f64) -> f64 {
        let c = &self.covariance;
        (c[1][1] + 4.0 * u * (c[1][2] + u * c[2][2])).max(0.0)
    }

    /// All u whose slope may be 0: slope² ≤ `limit` · variance of the slope. (Fieller's interval of −tilt/2·bend.)
    ///
    /// `None` unless the bend is positive beyond its own error, when the set is one bounded interval.
    pub(super) fn flat(&self, limit: f64) -> Option<(f64, f64)> {
        let c = &self.covariance;
        let a = 4.0 * (self.bend * self.bend - limit * c[2][2]);
        let half_b = 2.0 * (self.tilt * self.bend - limit * c[1][2]);
        let constant = self.tilt * self.tilt - limit * c[1][1];
        if !(self.bend > 0.0 && a > 0.0) {
            return None;
        }
        let root = (half_b * half_b - a * constant).max(0.0).sqrt();
        let ends = if half_b > 0.0 {
            let far = -half_b - root;
            (far / a, if far == 0.0 { 0.0 } else { constant / far })
        } else {
            let far = -half_b + root;
            (if far == 0.0 { 0.0 } else { constant / far }, far / a)
        };
        (ends.0.is_finite() && ends.1.is_finite()).then_some(ends)
    }
}

fn inverse(m: [[f64; 3]; 3]) -> Option<[[f64; 3]; 3]> {
    let minor = |i: usize, j: usize| {
        let (a, b) = ((i + 1) % 3, (i + 2) % 3);
        let (c, d) = ((j + 1) % 3, (j + 2) % 3);
        m[a][c] * m[b][d] - m[a][d] * m[b][c]
    };
    let whole: f64 = (0..3).map(|j| m[0][j] * minor(0, j)).sum();
    // Symmetric, so the transpose of the minors is the minors.
    let mut out = [[0.0; 3]; 3];
    (0..3).for_each(|i| (0..3).for_each(|j| out[i][j] = minor(i, j) / whole));
    out.iter().flatten().all(|v| v.is_finite()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::Parabola;

    #[test]
    fn recovers_a_parabola_and_its_covariance() {
        let points: Vec<(f64, f64)> =
            [-2.0, -1.0, 0.0, 1.0, 2.0].map(|u| (10.0 + u, 3.0 - u + 0.5 * u * u)).to_vec();
        let fit = Parabola::through(&points, 10.0).expect("five points");
        assert!(
            (fit.level - 3.0).abs() < 1e-12
                && (fit.tilt + 1.0).abs() < 1e-12
                && (fit.bend - 0.5).abs() < 1e-12
        );
        assert!((fit.vertex() - 1.0).abs() < 1e-12 && fit.squares < 1e-24);
        // Five equal steps: Var(tilt) = 1/10, Var(bend) = 1/14, Var(level) = 17/35.
        assert!(
            (fit.covariance[1][1] - 0.1).abs() < 1e-12 && (fit.covariance[2][2] - 1.0 / 14.0).abs() < 1e-12
        );
        assert!(
            (fit.variance_at(0.0) - 17.0 / 35.0).abs() < 1e-12
                && (fit.slope_variance_at(0.0) - 0.1).abs() < 1e-12
        );
    }

    #[test]
    fn the_flat_set_holds_exactly_the_slopes_within_their_error() {
        let points = [(-2.0, 4.3), (-1.0, 0.8), (0.0, 0.1), (1.0, 1.2), (2.0, 3.7)];
        let fit = Parabola::through(&points, 0.0).expect("five points");
        let limit = 0.5;
        let (low, high) = fit.flat(limit).expect("a clear bend");
        assert!(low < fit.vertex() && fit.vertex() < high);
        for end in [low, high] {
            let slope = fit.tilt + 2.0 * fit.bend * end;
            assert!((slope * slope / (limit * fit.slope_variance_at(end)) - 1.0).abs() < 1e-9);
        }
        assert!(fit.flat(1e6).is_none());
    }
}
