//! The cost of a curve, and its least over ln S_min, at one scale of the errors.

use super::data::Group;
use super::loss::{Loss, Term};

/// Standard deviations of ln S: between the seeds of one batch size, and of a whole batch size from the hyperbola.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scatter {
    pub(super) seeds: f64,
    pub(super) batches: f64,
}

impl Scatter {
    /// ω: the scale of one run.
    pub(super) fn run(self) -> f64 {
        self.seeds.hypot(self.batches)
    }

    /// Weight of one of `n` runs of a batch size: ω²/(σ²+nτ²), so that the batch weighs 1/(τ²+σ²/n) in all.
    pub(super) fn weight(self, n: usize) -> f64 {
        let (s2, b2) = (self.seeds.powi(2), self.batches.powi(2));
        (s2 + b2) / (s2 + n as f64 * b2)
    }
}

/// The working likelihood: Σ_j a_j Σ_i −2 ln f((y_ij − m_j)/ω), m_j = s + ln(1 + e^u/B_j).
pub(super) struct Cost<'a> {
    pub(super) groups: &'a [Group],
    pub(super) loss: Loss,
    pub(super) scatter: Scatter,
}

/// ln(1 + B_c/B) of u = ln B_c and x = ln B, without overflow.
pub(super) fn rise(u: f64, x: f64) -> f64 {
    let z = u - x;
    if z > 0.0 { z + (-z).exp().ln_1p() } else { z.exp().ln_1p() }
}

/// Share of the steps at B that the noise costs: w = B_c/(B_c+B), the local slope −d ln S/d ln B.
pub(super) fn share(u: f64, x: f64) -> f64 {
    1.0 / (1.0 + (x - u).exp())
}

const NEWTON: usize = 60;

impl Cost<'_> {
    /// The cost and its derivatives in s.
    pub(super) fn at(&self, u: f64, s: f64) -> Term {
        let omega = self.scatter.run();
        let mut sum = Term { cost: 0.0, score: 0.0, bend: 0.0 };
        for group in self.groups {
            let (m, weight) = (s + rise(u, group.x), self.scatter.weight(group.seen.len()));
            for &seen in &group.seen {
                let term = self.loss.term(seen, m, omega);
                sum.cost += weight * term.cost;
                sum.score += weight * term.score;
                sum.bend += weight * term.bend;
            }
        }
        sum
    }

    /// (s, cost) of the least cost at u: Newton's method in a bracket, for the cost is convex in s.
    pub(super) fn best_s(&self, u: f64, start: f64) -> (f64, f64) {
        let omega = self.scatter.run();
        let (s, cost) = root(start, omega, |s| self.at(u, s));
        (s, cost)
    }

    /// The s on one side (`side` = ±1) of the least at which the cost is `limit`; `best` where it is above already.
    pub(super) fn edge(&self, u: f64, best: f64, limit: f64, side: f64) -> f64 {
        let omega = self.scatter.run();
        let mut reach = omega;
        while self.at(u, best + side * reach).cost <= limit && reach < 1e4 {
            reach *= 2.0;
        }
        // From outside, Newton's steps on a convex function stay outside.
        let mut s = best + side * reach;
        for _ in 0..NEWTON {
            let term = self.at(u, s);
            let slope = -2.0 * term.score / omega;
            let step = (term.cost - limit) / slope;
            if !step.is_finite() || step.abs() <= 1e-9 * omega {
                break;
            }
            s -= step;
            if (s - best) * side <= 0.0 {
                return best;
            }
        }
        s
    }
}

/// Where the score of a convex cost vanishes, and the cost there.
pub(super) fn root(start: f64, omega: f64, at: impl Fn(f64) -> Term) -> (f64, f64) {
    let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
    let (mut s, mut reach) = (start, omega.max(0.1));
    for _ in 0..NEWTON {
        let Term { cost, score, bend } = at(s);
        // A score above 0 asks for a larger s.
        if score > 0.0 {
            low = s;
        } else {
            high = s;
        }
        let step = omega * score / bend;
        if score == 0.0 || step.abs() <= 1e-10 * omega || high - low <= 1e-12 * (1.0 + s.abs()) {
            return (s, cost);
        }
        let next = s + step;
        s = if step.is_finite() && next > low && next < high && step.abs() <= reach.max(1.0) * 4.0 {
            next
        } else if low.is_finite() && high.is_finite() {
            (low + high) / 2.0
        } else {
            reach *= 2.0;
            if score > 0.0 { low + reach } else { high - reach }
        };
    }
    (s, at(s).cost)
}
