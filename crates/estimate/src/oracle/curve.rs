//! Sums of first-order recursions m ← ρm + n in closed form, and when such a sum first comes below a target.

use super::error::{OracleError, answer};
use super::reach::{MAX_STEPS, Reach};

/// One recursion m ← ρm + n, solved: m_t = m_∞ + ρᵗ(m_0 − m_∞).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mode {
    start: f64,
    /// n/(1−ρ): where it settles if ρ < 1; of no meaning, but of use, if ρ > 1.
    limit: f64,
    log_rate: f64,
    shift: f64,
}

impl Mode {
    /// From m_0, 1−ρ, ln ρ and n. The two forms of ρ are asked for apart, so that neither loses digits near ρ = 1.
    pub(super) fn new(start: f64, fall: f64, log_rate: f64, shift: f64) -> Result<Self, OracleError> {
        answer("the growth of a mode", fall)?;
        answer("the noise of a step", shift)?;
        let linear = fall == 0.0 || log_rate == 0.0;
        let limit = if linear || shift == 0.0 { 0.0 } else { answer("the level of a mode", shift / fall)? };
        Ok(Self { start, limit, log_rate: if linear { 0.0 } else { log_rate }, shift })
    }

    /// m_t; infinite where it has grown beyond a float.
    pub(super) fn at(&self, t: f64) -> f64 {
        if t == 0.0 {
            return self.start;
        }
        if self.log_rate == 0.0 {
            return self.start + t * self.shift;
        }
        let exponent = t * self.log_rate;
        // Near the start m_∞ may be far above m_t, and would take its digits; far from it ρᵗ may be tiny, and its own.
        if exponent.abs() < 0.5 {
            let grown = exponent.exp_m1();
            self.start + (self.start - self.limit) * grown
        } else {
            self.limit + (self.start - self.limit) * exponent.exp()
        }
    }

    fn falls(&self) -> bool {
        if self.log_rate == 0.0 {
            self.shift == 0.0
        } else {
            (self.limit <= self.start) == (self.log_rate < 0.0)
        }
    }

    fn settles(&self) -> bool {
        self.log_rate < 0.0
    }
}

/// A weighted sum of modes: each falls or rises all the way, so the sum's two halves are monotone.
pub(super) struct Curve {
    falling: Vec<(f64, Mode)>,
    rising: Vec<(f64, Mode)>,
}

/// Evaluations of a mode before a search gives up: some seconds. Only a loss that hovers over its target comes near.
const BUDGET: u64 = 200_000_000;

impl Curve {
    pub(super) fn new(modes: impl IntoIterator<Item = (f64, Mode)>) -> Self {
        let (falling, rising) = modes.into_iter().partition(|(_, mode)| mode.falls());
        Self { falling, rising }
    }

    /// The sum at step t.
    pub(super) fn at(&self, t: u64) -> f64 {
        sum(&self.falling, t) + sum(&self.rising, t)
    }

    /// Where the sum settles; `None` where a mode does not.
    pub(super) fn stationary(&self) -> Option<f64> {
        let all = || self.falling.iter().chain(&self.rising);
        all()
            .all(|(_, m)| m.settles())
            .then(|| all().map(|(w, m)| w * m.limit).sum())
            .filter(|s: &f64| s.is_finite())
    }

    /// The first t up to `limit` with a sum below the target.
    ///
    /// Over (a, b] the sum is nowhere below falling(b) + rising(a). An interval with that above the target is passed
    /// over; any other is halved. Where nothing rises this is bisection; where something does, it still misses nothing.
    pub(super) fn first_below(&self, target: f64, limit: u64) -> Reach {
        let limit = limit.min(MAX_STEPS);
        if self.at(0) < target {
            return Reach::Reached { steps: 0, crossing: 0.0 };
        }
        if sum(&self.falling, limit) + sum(&self.rising, 0) >= target && limit < MAX_STEPS {
            let never = sum(&self.falling, MAX_STEPS) + sum(&self.rising, limit) >= target;
            return if never { Reach::Unreachable } else { Reach::NotWithin { steps: limit } };
        }
        let floor = sum(&self.falling, MAX_STEPS);
        let cost = (self.falling.len() + self.rising.len()) as u64;
        let mut budget = BUDGET;
        let (mut low, mut high) = (0, 1);
        loop {
            if floor + sum(&self.rising, low) >= target {
                return Reach::Unreachable;
            }
            if low >= limit {
                return Reach::NotWithin { steps: limit };
            }
            let mut open = vec![(low, high.min(limit))];
            while let Some((a, b)) = open.pop() {
                budget = budget.saturating_sub(cost);
                if budget == 0 {
                    return Reach::NotWithin { steps: a };
                }
                if sum(&self.falling, b) + sum(&self.rising, a) >= target {
                    continue;
                }
                if b - a > 1 {
                    let middle = a + (b - a) / 2;
                    open.push((middle, b));
                    open.push((a, middle));
                } else if self.at(b) < target {
                    return Reach::at(b, self.at(a), self.at(b), target);
                }
            }
            (low, high) = (high.min(limit), high.saturating_mul(2));
        }
    }
}

fn sum(modes: &[(f64, Mode)], t: u64) -> f64 {
    let t = t as f64;
    modes.iter().map(|(weight, mode)| weight * mode.at(t)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ρ as a number of ordinary size.
    fn mode(start: f64, rho: f64, shift: f64) -> Mode {
        Mode::new(start, 1.0 - rho, rho.ln(), shift).unwrap()
    }

    #[test]
    fn the_closed_form_is_the_recursion() {
        for (start, rho, shift) in [
            (1.0, 0.5, 0.1),
            (0.01, 0.99, 0.3),
            (2.0, 1.0, 0.5),
            (1.0, 1.01, 0.2),
            (3.0, 0.0, 0.7),
            (1.0, 0.9, 0.0),
        ] {
            let mode = mode(start, rho, shift);
            let mut value = start;
            for t in 0..200 {
                let closed = mode.at(f64::from(t));
                assert!((closed / value - 1.0).abs() < 1e-12, "{rho} {t}: {closed} {value}");
                value = rho * value + shift;
            }
        }
    }

    #[test]
    fn the_first_passage_is_that_of_a_scan() {
        // The sum dips to 0.588 at t = 25 and comes back: one that looked only at powers of two would not see it.
        let curve = Curve::new([(1.0, mode(2.0, 0.9, 0.0)), (1.0, mode(0.0, 0.99, 0.02))]);
        for target in [1.9, 1.5, 1.0, 0.8, 0.7, 0.6, 0.59, 0.585, 0.1] {
            let scan = (0..5000).find(|&t| curve.at(t) < target);
            assert_eq!(curve.first_below(target, MAX_STEPS).steps(), scan, "{target}");
            if let Some(t) = scan.filter(|&t| t > 0) {
                assert_eq!(curve.first_below(target, t).steps(), Some(t));
                assert_eq!(curve.first_below(target, t - 1), Reach::NotWithin { steps: t - 1 });
            }
        }
        assert_eq!(curve.first_below(0.1, MAX_STEPS), Reach::Unreachable);
    }

    #[test]
    fn a_run_that_diverges_is_unreachable_and_one_without_noise_reaches_anything() {
        let up = Curve::new([(1.0, mode(1.0, 1.5, 0.0))]);
        assert_eq!((up.first_below(0.5, MAX_STEPS), up.stationary()), (Reach::Unreachable, None));
        let down = Curve::new([(1.0, mode(1.0, 0.5, 0.0))]);
        assert_eq!(down.first_below(1e-300, MAX_STEPS).steps(), Some(997));
        assert_eq!(down.stationary(), Some(0.0));
    }
}
