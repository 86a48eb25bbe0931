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

/// ln(1 + B_c/B) of u = ln B_c and x = ln B, without overflow.
pub(super) fn rise(u: f64, x: f64) -> f64 {
    let z = u - x;
    if z > 0.0 { z + (-z).exp().ln_1p() } else { z.exp().ln_1p() }
}

/// Share of the steps at B that the noise costs: w = B_c/(B_c+B), the local slope −d ln S/d ln B.
pub(super) fn share(u: f64, x: f64) -> f64 {
    1.0 / (1.0 + (x - u).exp())
}

/// The working likelihood: Σ_j a_j Σ_i −2 ln f((y_ij − m_j)/ω), m_j = s + ln(1 + e^u/B_j).
pub(super) struct Cost<'a> {
    groups: &'a [Group],
    loss: Loss,
    omega: f64,
    weights: Vec<f64>,
}

const NEWTON: usize = 60;

impl<'a> Cost<'a> {
    pub(super) fn new(groups: &'a [Group], loss: Loss, scatter: Scatter) -> Self {
        let weights = groups.iter().map(|g| scatter.weight(g.n)).collect();
        Self { groups, loss, omega: scatter.run(), weights }
    }

    /// The cost along s at one u.
    pub(super) fn along(&self, u: f64) -> Along<'_> {
        Along { cost: self, rises: self.groups.iter().map(|g| rise(u, g.x)).collect() }
    }

    /// (s, cost) of the least cost at u.
    pub(super) fn best_s(&self, u: f64, start: f64) -> (f64, f64) {
        self.along(u).least(start)
    }

    /// The least near (u, s): Newton's steps in both, halved until the cost falls.
    pub(super) fn descend(&self, mut u: f64, mut s: f64) -> (f64, f64, f64) {
        let mut here = self.along(u).at(s).cost;
        for _ in 0..NEWTON {
            let (mut g, mut h) = ([0.0; 2], [0.0; 3]);
            for (group, weight) in self.groups.iter().zip(&self.weights) {
                let (m, w) = (s + rise(u, group.x), share(u, group.x));
                for &(seen, count) in &group.seen {
                    let (term, weight) = (self.loss.term(seen, m, self.omega), weight * count);
                    let (score, bend) = (weight * term.score, weight * term.bend.max(1e-3));
                    g = [g[0] + score * w, g[1] + score];
                    h = [h[0] + bend * w * w, h[1] + bend * w, h[2] + bend];
                }
            }
            let determinant = (h[0] * h[2] - h[1] * h[1]).max(1e-12 * h[0] * h[2]);
            let mut step = [
                (self.omega * (h[2] * g[0] - h[1] * g[1]) / determinant).clamp(-1.0, 1.0),
                (self.omega * (h[0] * g[1] - h[1] * g[0]) / determinant).clamp(-1.0, 1.0),
            ];
            let before = here;
            for _ in 0..20 {
                let there = self.along(u + step[0]).at(s + step[1]).cost;
                if there <= here {
                    (u, s, here) = (u + step[0], s + step[1], there);
                    break;
                }
                step = step.map(|v| v / 2.0);
            }
            if before - here <= 1e-9 * (1.0 + here.abs()) {
                break;
            }
        }
        (u, s, here)
    }
}

/// [`Cost`] as a function of s alone: convex.
pub(super) struct Along<'a> {
    cost: &'a Cost<'a>,
    rises: Vec<f64>,
}

impl Along<'_> {
    /// The cost and its derivatives in s.
    pub(super) fn at(&self, s: f64) -> Term {
        let mut sum = Term { cost: 0.0, score: 0.0, bend: 0.0 };
        let groups = self.cost.groups.iter().zip(&self.cost.weights);
        for ((group, weight), rise) in groups.zip(&self.rises) {
            for &(seen, count) in &group.seen {
                let (term, weight) = (self.cost.loss.term(seen, s + rise, self.cost.omega), weight * count);
                sum.cost += weight * term.cost;
                sum.score += weight * term.score;
                sum.bend += weight * term.bend;
            }
        }
        sum
    }

    /// (s, cost) of the least cost.
    pub(super) fn least(&self, start: f64) -> (f64, f64) {
        root(start, self.cost.omega, |s| self.at(s))
    }

    /// The s on one side (`side` = ±1) of the `best` at which the cost is `limit`; `best` where it is above already.
    pub(super) fn edge(&self, best: f64, limit: f64, side: f64) -> f64 {
        let omega = self.cost.omega;
        let here = self.at(best);
        let mut reach = (1.1 * omega * ((limit - here.cost) / here.bend).sqrt()).clamp(1e-9 * omega, 1e4);
        if !reach.is_finite() {
            reach = omega;
        }
        while self.at(best + side * reach).cost <= limit && reach < 1e4 {
            reach *= 2.0;
        }
        // From outside, Newton's steps on a convex function stay outside.
        let mut s = best + side * reach;
        for _ in 0..NEWTON {
            let term = self.at(s);
            let step = (term.cost - limit) / (-2.0 * term.score / omega);
            if !step.is_finite() || step.abs() <= 1e-5 * reach {
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

/// Where the score of a convex cost vanishes, and the cost there: Newton's method in a bracket.
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
        // The cost is then within step² of its least, in units of the scale.
        if score == 0.0 || step.abs() <= 1e-4 * omega || high - low <= 1e-12 * (1.0 + s.abs()) {
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
