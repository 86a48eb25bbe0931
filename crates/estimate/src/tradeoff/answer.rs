//! From the fitted curve to the numbers that may be published.

use super::curve::rise;
use super::data::Group;
use super::fitted::{BatchRow, Hyperbola, LocalSlope, RunCount, TradeoffFit};
use super::region::{Ends, Region, region};
use super::scale::{Fitted, location};
use super::third::{Point, three_parameter};
use super::verdict::{Evidence, Tuning, Verdict, verdict};
use super::{Loss, Options};
use crate::fieller::student_t_quantile;
use crate::grade::Grade;
use crate::outcome::Outcome;

/// One batch size and what the fit makes of it.
struct Row<'a> {
    group: &'a Group,
    located: usize,
    /// Robust mean of ln S; `None` where no run reached the target.
    y: Option<f64>,
    /// ln of the fitted steps.
    fitted: Option<f64>,
}

impl<'a> Row<'a> {
    fn of(group: &'a Group, loss: Loss, fitted: Option<&Fitted>) -> Self {
        let located = group.located;
        let sigma = fitted.map_or(0.1, |f| f.seeds.unwrap_or_else(|| f.scatter.run()));
        Self {
            group,
            located,
            y: (located > 0).then(|| location(group, loss, sigma)),
            fitted: fitted.map(|f| f.s + rise(f.u, group.x)),
        }
    }

    fn residual(&self) -> Option<f64> {
        Some(self.y? - self.fitted?)
    }

    fn shown(&self) -> BatchRow {
        let finite = |v: f64| Some(v).filter(|v| v.is_finite());
        BatchRow {
            batch: self.group.batch,
            steps: self.y.map(f64::exp).and_then(finite),
            n: self.group.n,
            censored: self.group.censored,
            unused: self.group.unused,
            fitted: self.fitted.map(f64::exp).and_then(finite),
            residual: self.residual().map(f64::exp_m1).and_then(finite),
        }
    }
}

pub(super) fn answer(groups: &[Group], fitted: Option<&Fitted>, options: &Options) -> TradeoffFit {
    let region = fitted.map(|f| region(groups, options.loss, f));
    let rows: Vec<Row<'_>> = groups.iter().map(|g| Row::of(g, options.loss, fitted)).collect();
    let placed: Vec<&Row<'_>> = rows.iter().filter(|r| r.located > 0).collect();
    let located: usize = placed.iter().map(|r| r.located).sum();
    let seeds = fitted.and_then(|f| f.seeds);
    let point = |r: &&Row<'_>| {
        let variance = seeds.map_or(0.0, |sd| sd * sd / r.located as f64);
        Some(Point { x: r.group.x, y: r.y?, variance })
    };
    let points: Vec<Point> = placed.iter().filter_map(point).collect();
    let three = three_parameter(&points, located, options.confidence);
    let interval = region.as_ref().map_or((None, None), |r| (exp(r.u.0), exp(r.u.1)));
    let verdict = verdict(&Evidence {
        distinct: placed.len(),
        tried: (placed.first().map_or(0.0, |r| r.group.batch), placed.last().map_or(0.0, |r| r.group.batch)),
        low: interval.0,
        high: interval.1,
        ln_se: fitted.map_or(f64::INFINITY, |f| f.se),
        misfit: unexplained(&placed, seeds, located),
        repeated: seeds.is_some(),
        three_parameter: three.as_ref(),
        tuning: options.tuning,
    });
    let [b_crit, s_min, e_min] = outcomes(fitted, region.as_ref(), &verdict, options.tuning);
    let finite = |v: f64| Some(v).filter(|v| v.is_finite());
    let residuals = placed.iter().filter_map(|r| r.residual());
    TradeoffFit {
        b_crit,
        s_min,
        e_min,
        grade: verdict.grade,
        reasons: verdict.reasons,
        curve: fitted
            .map(|f| Hyperbola { b_crit: f.u.exp(), s_min: f.s.exp() })
            .filter(|c| [c.b_crit, c.s_min].iter().all(|v| v.is_finite() && *v > 0.0)),
        interval,
        ln_se: fitted.and_then(|f| finite(f.se)),
        misfit: residuals.map(f64::abs).reduce(f64::max).map(f64::exp_m1).and_then(finite),
        seed_sd: seeds,
        batch_sd: fitted.map(|f| f.scatter.batches),
        degrees_of_freedom: fitted.map(|f| f.df),
        confidence: options.confidence,
        slopes: slopes(&placed),
        batches: rows.iter().map(Row::shown).collect(),
        three_parameter: three,
        runs: RunCount {
            reached: groups.iter().map(|g| g.n - g.censored).sum(),
            censored: groups.iter().map(|g| g.censored).sum(),
            unused: groups.iter().map(|g| g.unused).sum(),
        },
    }
}

fn exp(ln: Option<f64>) -> Option<f64> {
    ln.map(f64::exp).filter(|v| v.is_finite() && *v > 0.0)
}

/// Largest relative residual that exceeds what the seeds explain: t·σ/√n, t over all batch sizes at once (Bonferroni).
fn unexplained(placed: &[&Row<'_>], seeds: Option<f64>, located: usize) -> f64 {
    let allowed = |n: usize| {
        seeds.map_or(0.0, |sd| {
            let df = (located as f64 - placed.len() as f64).max(1.0);
            student_t_quantile(1.0 - 0.025 / placed.len() as f64, df) * sd / (n as f64).sqrt()
        })
    };
    placed
        .iter()
        .filter_map(|r| r.residual().map(f64::abs).filter(|&off| off > allowed(r.located)))
        .fold(0.0, f64::max)
        .exp_m1()
}

fn slopes(placed: &[&Row<'_>]) -> Vec<LocalSlope> {
    let slope = |pair: &[&Row<'_>]| {
        let (from, to) = (pair[0], pair[1]);
        let slope = (from.y? - to.y?) / (to.group.x - from.group.x);
        slope.is_finite().then_some(LocalSlope { from: from.group.batch, to: to.group.batch, slope })
    };
    placed.windows(2).filter_map(slope).collect()
}

/// B_c, S_min and E_min as far as the verdict lets them be published.
fn outcomes(
    fitted: Option<&Fitted>,
    region: Option<&Region>,
    verdict: &Verdict,
    tuning: Tuning,
) -> [Outcome; 3] {
    let silent = || Outcome::not_identified(verdict.reasons.join("; "));
    let (Some(fitted), Some(region)) = (fitted, region) else {
        return [silent(), silent(), silent()];
    };
    if tuning != Tuning::Tuned || verdict.grade == Grade::ModelMisfit {
        return [silent(), silent(), silent()];
    }
    let open = |ends: Ends, low: bool, high: bool| (ends.0.filter(|_| low), ends.1.filter(|_| high));
    let (u, s, e) = (fitted.u, fitted.s, fitted.u + fitted.s);
    match verdict.grade {
        Grade::LowerBound => [
            outcome(u, open(region.u, true, false)),
            outcome(s, open(region.s, false, true)),
            outcome(e, region.e),
        ],
        Grade::UpperBound => [
            outcome(u, open(region.u, false, true)),
            outcome(s, region.s),
            outcome(e, open(region.e, false, true)),
        ],
        Grade::Measured => [outcome(u, region.u), outcome(s, region.s), outcome(e, region.e)],
        _ => [silent(), outcome(s, region.s), outcome(e, region.e)],
    }
}

fn outcome(ln: f64, (low, high): Ends) -> Outcome {
    let value = ln.exp();
    match (exp(low), exp(high)) {
        (Some(low), Some(high)) if value.is_finite() => {
            Outcome::Measured { value, low: low.min(value), high: high.max(value) }
        }
        (Some(low), None) if high.is_none() => Outcome::LowerBound { low },
        (None, Some(high)) if low.is_none() => Outcome::UpperBound { high },
        (None, None) if low.is_none() && high.is_none() => {
            Outcome::not_identified("every value agrees with the runs")
        }
        _ => Outcome::not_identified("the number is beyond the range of floating point numbers"),
    }
}
