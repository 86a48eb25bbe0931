//! Which learning rates a valley is fitted to, and what lies beyond them.

use super::input::{Goal, Ladder, Rung};

/// Rungs are fitted while their rise is at most this many times that of the neighbours of the best.
const SPAN: f64 = 10.0;

/// What bounds the best learning rate on one side of the window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Beyond {
    /// A learning rate (its logarithm) that failed.
    Failed(f64),
    /// A learning rate (its logarithm) that is clearly worse.
    Worse(f64),
    /// Nothing: the grid ends.
    Edge,
}

/// The learning rates around the best.
pub(super) struct Window<'a> {
    /// Rungs without a failed run, ascending.
    pub(super) rungs: &'a [Rung],
    /// Which of them has the smallest mean.
    pub(super) best: usize,
    pub(super) below: Beyond,
    pub(super) above: Beyond,
    /// (ln learning rate, value), less what a seed does to all its runs.
    pub(super) points: Vec<(f64, f64)>,
    /// Degrees of freedom that the seeds took.
    pub(super) lost: usize,
    /// Variance, over the seeds, of what a seed does to all its runs, divided by the number of seeds.
    pub(super) seed_variance: f64,
    /// Values were divided by this.
    pub(super) scale: f64,
}

impl<'a> Window<'a> {
    /// `None` where no rung is free of failures.
    pub(super) fn around_best(ladder: &'a Ladder, goal: Goal) -> Option<Self> {
        let rungs = &ladder.rungs;
        let clean = |i: &usize| rungs[*i].failed == 0;
        let best =
            (0..rungs.len()).filter(clean).min_by(|&i, &j| rungs[i].mean().total_cmp(&rungs[j].mean()))?;
        let first = (0..best).rev().take_while(clean).last().unwrap_or(best);
        let last = (best + 1..rungs.len()).take_while(clean).last().unwrap_or(best);
        let rise = |i: usize| rungs[i].mean() - rungs[best].mean();
        let inner = [best.saturating_sub(1).max(first), (best + 1).min(last)].map(rise);
        let limit = SPAN * inner[0].max(inner[1]);
        let (mut low, mut high) = (best, best);
        let repeats = rungs[first..=last].iter().any(|r| r.values.len() > 1);
        let fewest = if repeats { 5 } else { 7 };
        loop {
            let next = [(low > first).then(|| low - 1), (high < last).then(|| high + 1)];
            let Some(i) = next.into_iter().flatten().min_by(|&i, &j| rise(i).total_cmp(&rise(j))) else {
                break;
            };
            if rise(i) > limit && high - low + 1 >= fewest {
                break;
            }
            (low, high) = (low.min(i), high.max(i));
        }
        let below = match low.checked_sub(1) {
            None => Beyond::Edge,
            Some(i) if clean(&i) => Beyond::Worse(rungs[i].x),
            // A loss that diverges at a small learning rate is an accident, not a bound.
            Some(_) if goal == Goal::Loss => Beyond::Edge,
            Some(i) => Beyond::Failed(rungs[i].x),
        };
        let above = match rungs.get(high + 1) {
            None => Beyond::Edge,
            Some(r) if r.failed == 0 => Beyond::Worse(r.x),
            Some(r) => Beyond::Failed(r.x),
        };
        let rungs = &rungs[low..=high];
        let (points, lost, seed_variance) = points(rungs);
        Some(Self { rungs, best: best - low, below, above, points, lost, seed_variance, scale: ladder.scale })
    }

    pub(super) fn centre(&self) -> f64 {
        self.rungs[self.best].x
    }

    pub(super) fn first(&self) -> f64 {
        self.rungs[0].x
    }

    pub(super) fn last(&self) -> f64 {
        self.rungs[self.rungs.len() - 1].x
    }

    /// Variance between repeats, and its degrees of freedom.
    pub(super) fn repeats(&self) -> (f64, f64) {
        let mut squares = 0.0;
        let mut at = 0;
        for r in self.rungs {
            let mine = &self.points[at..at + r.values.len()];
            let mean = mine.iter().map(|p| p.1 / mine.len() as f64).sum::<f64>();
            squares += mine.iter().map(|p| (p.1 - mean).powi(2)).sum::<f64>();
            at += mine.len();
        }
        let df = self.points.len().saturating_sub(self.rungs.len() + self.lost) as f64;
        (if df > 0.0 { squares / df } else { 0.0 }, df)
    }
}

/// The runs of the rungs. Where every rung has the same seeds, the mean of a seed over the rungs is taken out of its
/// runs (and the mean over all left in): the valley's place does not depend on it, its depth does.
fn points(rungs: &[Rung]) -> (Vec<(f64, f64)>, usize, f64) {
    let plain = || rungs.iter().flat_map(|r| r.values.iter().map(|v| (r.x, v.1))).collect();
    let seeds: Option<Vec<Vec<(u64, f64)>>> = rungs
        .iter()
        .map(|r| {
            let mut all: Vec<(u64, f64)> =
                r.values.iter().map(|&(s, v)| s.map(|s| (s, v))).collect::<Option<_>>()?;
            all.sort_by_key(|s| s.0);
            Some(all)
        })
        .collect();
    let Some(seeds) = seeds.filter(|all| {
        all[0].len() > 1 && all.iter().all(|r| r.iter().map(|s| s.0).eq(all[0].iter().map(|s| s.0)))
    }) else {
        return (plain(), 0, 0.0);
    };
    let count = seeds[0].len();
    let luck: Vec<f64> =
        (0..count).map(|s| seeds.iter().map(|r| r[s].1 / seeds.len() as f64).sum()).collect();
    let mean = luck.iter().map(|l| l / count as f64).sum::<f64>();
    let variance = luck.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / (count - 1) as f64;
    let centred = rungs
        .iter()
        .zip(&seeds)
        .flat_map(|(r, s)| s.iter().zip(&luck).map(move |(s, luck)| (r.x, s.1 - luck + mean)));
    (centred.collect(), count - 1, variance / count as f64)
}
