//! How far runs scatter, and the curve that fits best at that scatter.

use super::Spread;
use super::curve::{Cost, Scatter, rise, root, share};
use super::data::Group;
use super::loss::{Loss, Term};
use crate::fieller::student_t_quantile;

/// No scatter of ln S is taken for smaller than this: the steps are whole numbers.
const SMALLEST: f64 = 1e-6;
/// Nor for larger.
const LARGEST: f64 = 20.0;
/// The search for u = ln B_c goes this far beyond the batch sizes: there the curve is its asymptote to 2e-8.
pub(super) const BEYOND: f64 = 18.0;
const BISECTIONS: usize = 30;
const ROUNDS: usize = 12;

/// The fitted curve, the scatter, and the cost that bounds the confidence region.
#[derive(Debug, Clone)]
pub(super) struct Fitted {
    pub(super) u: f64,
    pub(super) s: f64,
    pub(super) scatter: Scatter,
    /// σ from the repeats alone, where there are any.
    pub(super) seeds: Option<f64>,
    pub(super) df: f64,
    /// Cost on the edge of the region.
    pub(super) limit: f64,
    /// Standard error of u from the curvature (theory §3.2).
    pub(super) se: f64,
}

/// The values of u to look at: dense about the batch sizes, sparse beyond.
pub(super) fn grid(groups: &[Group]) -> Vec<f64> {
    let first = groups.first().map_or(0.0, |g| g.x);
    let last = groups.last().map_or(0.0, |g| g.x);
    let dense = ((last - first + 8.0) / 0.4).ceil().clamp(1.0, 200.0);
    let inner = (0..=dense as usize).map(|i| first - 4.0 + (last - first + 8.0) * i as f64 / dense);
    let sides = [BEYOND, 14.0, 11.0, 9.0, 7.0, 5.5];
    let below = sides.iter().map(|d| first - d);
    let above = sides.iter().rev().map(|d| last + d);
    below.chain(inner).chain(above).collect()
}

/// Least cost over u and s: the best of the grid, and down from there.
fn minimum(cost: &Cost<'_>, grid: &[f64], start: f64) -> (f64, f64, f64) {
    let (mut s, mut best) = (start, (0.0, start, f64::INFINITY));
    for &u in grid {
        let (at, q) = cost.best_s(u, s);
        s = at;
        if q < best.2 {
            best = (u, at, q);
        }
    }
    let (first, last) = (grid[0], grid[grid.len() - 1]);
    let found = cost.descend(best.0, best.1);
    if found.2 <= best.2 && found.0 > first && found.0 < last { found } else { best }
}

/// Fits the curve; at least 3 groups have a located run.
pub(super) fn fit(groups: &[Group], loss: Loss, confidence: f64, spread: Spread) -> Fitted {
    let seeds = between_seeds(groups, loss);
    let located: usize = groups.iter().map(|g| g.located).sum();
    let placed = groups.iter().filter(|g| g.located > 0).count();
    let grid = grid(groups);
    let mut scatter = match seeds {
        Some(sd) => Scatter { seeds: sd, batches: 0.0 },
        None => Scatter { seeds: 0.0, batches: 0.3 },
    };
    let start = groups.first().map_or(0.0, start_of);
    let (mut u, mut s, mut q) = minimum(&Cost::new(groups, loss, scatter), &grid, start);
    if spread == Spread::Larger || seeds.is_none() {
        for _ in 0..ROUNDS {
            let next = rescale(groups, loss, (u, s), seeds, (located, placed));
            let change = (next.run() / scatter.run()).ln().abs() + (next.batches - scatter.batches).abs();
            scatter = next;
            if change < 1e-4 {
                break;
            }
            (u, s, _) = Cost::new(groups, loss, scatter).descend(u, s);
        }
        (u, s, q) = minimum(&Cost::new(groups, loss, scatter), &grid, s);
    }
    let df = degrees_of_freedom(groups, scatter, seeds, spread, (located, placed));
    let t = student_t_quantile(0.5 + confidence / 2.0, df);
    // The cost of an M-estimate grows by E ψ²/E ψ′ times what that of a likelihood does (Huber 1981, §7.6).
    let unit = loss.mean_psi2() / loss.mean_bend();
    let se = {
        let weighted = groups.iter().filter(|g| g.located > 0).map(|g| {
            let n = g.located;
            (share(u, g.x), n as f64 * scatter.weight(n) / scatter.run().powi(2))
        });
        super::precision::ln_error(weighted)
    };
    Fitted { u, s, scatter, seeds, df, limit: q + unit * t * t, se }
}

fn start_of(group: &Group) -> f64 {
    group.seen.first().map_or(0.0, |s| s.0.middle())
}

/// Location of one batch size at scale σ.
pub(super) fn location(group: &Group, loss: Loss, sigma: f64) -> f64 {
    let start = group.seen.iter().find(|s| s.0.located()).map_or(0.0, |s| s.0.middle());
    root(start, sigma, |m| sum(group, loss, m, sigma)).0
}

fn sum(group: &Group, loss: Loss, m: f64, sigma: f64) -> Term {
    group.seen.iter().fold(Term { cost: 0.0, score: 0.0, bend: 0.0 }, |sum, &(seen, n)| {
        let term = loss.term(seen, m, sigma);
        Term {
            cost: sum.cost + n * term.cost,
            score: sum.score + n * term.score,
            bend: sum.bend + n * term.bend,
        }
    })
}

/// What the sum of `E[ψ²]` should be at the right scale: residuals of `located` runs about `fitted` numbers, and bounds.
fn wanted(loss: Loss, located: usize, fitted: usize, bounds: usize) -> f64 {
    let n = located as f64;
    n * loss.shrunk_psi2(1.0 - fitted as f64 / n) + bounds as f64 * loss.mean_psi2()
}

/// σ between the seeds of one batch size: Huber's proposal 2 (1964), `Σ E[ψ²]` at its expected value, each batch at its own location.
fn between_seeds(groups: &[Group], loss: Loss) -> Option<f64> {
    let repeated: Vec<&Group> = groups.iter().filter(|g| g.located >= 2).collect();
    let df: usize = repeated.iter().map(|g| g.n - 1).sum();
    if df == 0 {
        return None;
    }
    let target = {
        let exact: usize = repeated.iter().map(|g| g.located).sum();
        let total: usize = repeated.iter().map(|g| g.n).sum();
        wanted(loss, exact, repeated.len(), total - exact)
    };
    Some(bisect(|sigma| {
        let found: f64 = repeated
            .iter()
            .map(|g| {
                let m = location(g, loss, sigma);
                g.seen.iter().map(|&(seen, n)| n * loss.expected_psi2(seen, m, sigma)).sum::<f64>()
            })
            .sum();
        found > target
    }))
}

/// The scatter about a given curve: the seeds' alone where it explains the lack of fit, then estimated anew from all runs
/// about the curve; else with as much more per batch size as brings the lack of fit to what it should be (the moment
/// estimate of Paule & Mandel 1982, made robust).
fn rescale(
    groups: &[Group],
    loss: Loss,
    (u, s): (f64, f64),
    seeds: Option<f64>,
    (located, placed): (usize, usize),
) -> Scatter {
    let expected =
        if seeds.is_some() { loss.mean_psi2() * (placed as f64 - 2.0) } else { wanted(loss, placed, 2, 0) };
    let target = expected / loss.mean_bend();
    let placed_at: Vec<(&Group, f64)> =
        groups.iter().filter(|g| g.located > 0).map(|g| (g, s + rise(u, g.x))).collect();
    let lack = |scatter: Scatter| {
        let omega = scatter.run();
        placed_at
            .iter()
            .map(|&(g, m)| {
                let (mut score, mut information) = (0.0, 0.0);
                for &(seen, n) in &g.seen {
                    score += n * loss.term(seen, m, omega).score;
                    information += n * loss.information(seen, m, omega);
                }
                if information > 0.0 { scatter.weight(g.n) * score * score / information } else { 0.0 }
            })
            .sum::<f64>()
    };
    let sigma = seeds.unwrap_or(0.0);
    if seeds.is_some() && lack(Scatter { seeds: sigma, batches: 0.0 }) <= target {
        let total: usize = groups.iter().map(|g| g.n).sum();
        let wanted = wanted(loss, located, 2, total - located);
        let pooled = bisect(|omega| {
            let all = groups.iter().flat_map(|g| {
                let m = s + rise(u, g.x);
                g.seen.iter().map(move |&(seen, n)| n * loss.expected_psi2(seen, m, omega))
            });
            all.sum::<f64>() > wanted
        });
        return Scatter { seeds: pooled, batches: 0.0 };
    }
    Scatter { seeds: sigma, batches: bisect(|tau| lack(Scatter { seeds: sigma, batches: tau }) > target) }
}

/// The scale below which `too_small` holds.
fn bisect(too_small: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (SMALLEST.ln(), LARGEST.ln());
    for _ in 0..BISECTIONS {
        let middle = (low + high) / 2.0;
        if too_small(middle.exp()) {
            low = middle;
        } else {
            high = middle;
        }
    }
    high.exp()
}

/// n−2 while the seeds explain the lack of fit, J−2 where it is the lack of fit that sets the scale, and in between by
/// p = 1 − 1/F², F the ratio of the two mean squares: 1/df = p/(J−2) + (1−p)/(n−2).
///
/// Simulated for 4 to 10 batch sizes of 2 to 5 seeds and any batch effect: the interval covers 0.924 to 0.968 (p = 1
/// from F = 1 on gives 0.937 to 0.976, one pooled scale as little as 0.63).
fn degrees_of_freedom(
    groups: &[Group],
    scatter: Scatter,
    seeds: Option<f64>,
    spread: Spread,
    (located, placed): (usize, usize),
) -> f64 {
    let (all, few) = (located as f64 - 2.0, placed as f64 - 2.0);
    let Some(sigma) = seeds else {
        return few;
    };
    if spread == Spread::Seeds {
        return (located as f64 - placed as f64).max(1.0);
    }
    let counts = groups.iter().map(|g| g.located).filter(|&n| n > 0);
    let own = counts.map(|n| sigma * sigma / n as f64).sum::<f64>() / placed as f64;
    let ratio = 1.0 + scatter.batches.powi(2) / own;
    let p = 1.0 - 1.0 / (ratio * ratio);
    1.0 / (p / few + (1.0 - p) / all)
}
