//! Runs, checked and sorted by batch size.

use super::loss::Seen;
use super::{End, Run, TradeoffError};

/// The runs of one batch size.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) batch: f64,
    /// ln batch.
    pub(super) x: f64,
    /// What is known of the runs, and how many say the same.
    pub(super) seen: Vec<(Seen, f64)>,
    /// Runs behind `seen`.
    pub(super) n: usize,
    /// Those of them that place ln S.
    pub(super) located: usize,
    /// Runs that never reached the target and count as a bound.
    pub(super) censored: usize,
    /// Runs that say nothing: they never reached the target, and for how long they ran is unknown.
    pub(super) unused: usize,
}

/// Checks the runs and groups them, ascending in the batch size.
pub(super) fn group(runs: &[Run]) -> Result<Vec<Group>, TradeoffError> {
    if runs.is_empty() {
        return Err(TradeoffError::NoRuns);
    }
    for (index, run) in runs.iter().enumerate() {
        check(index, run)?;
    }
    let mut order: Vec<usize> = (0..runs.len()).collect();
    order.sort_by(|&i, &j| {
        runs[i].batch.total_cmp(&runs[j].batch).then(runs[i].seed.cmp(&runs[j].seed)).then(i.cmp(&j))
    });
    for pair in order.windows(2) {
        let (first, second) = (&runs[pair[0]], &runs[pair[1]]);
        if let Some(seed) = second.seed
            && first.batch == second.batch
            && first.seed == second.seed
        {
            return Err(TradeoffError::Duplicate {
                first: pair[0],
                index: pair[1],
                batch: second.batch,
                seed,
            });
        }
    }
    Ok(order
        .chunk_by(|&i, &j| runs[i].batch == runs[j].batch)
        .map(|same| one_group(runs[same[0]].batch, same.iter().map(|&i| &runs[i].end)))
        .collect())
}

fn check(index: usize, run: &Run) -> Result<(), TradeoffError> {
    let positive = |field: &'static str, found: f64| {
        if found.is_finite() && found > 0.0 {
            Ok(())
        } else {
            Err(TradeoffError::BadNumber { index, field, found })
        }
    };
    positive("batch", run.batch)?;
    match run.end {
        End::Reached { steps, period } => {
            positive("steps", steps)?;
            match period {
                Some(found) if !(found.is_finite() && found >= 0.0) => {
                    Err(TradeoffError::BadPeriod { index, found })
                }
                _ => Ok(()),
            }
        }
        End::Censored { after } => after.map_or(Ok(()), |found| positive("after", found)),
    }
}

fn one_group<'a>(batch: f64, ends: impl Iterator<Item = &'a End>) -> Group {
    let (mut seen, mut unknown) = (Vec::new(), 0);
    for end in ends {
        match *end {
            End::Reached { steps, period } => seen.push(reached(steps, period.unwrap_or(0.0))),
            End::Censored { after: Some(after) } => seen.push(Seen::Above(after.ln())),
            End::Censored { after: None } => unknown += 1,
        }
    }
    // The runs of one batch size share a budget: one that never got there ran at least as long as one that did.
    let longest = seen
        .iter()
        .filter_map(|s| match *s {
            Seen::At(y) | Seen::Between(y, _) => Some(y),
            Seen::Above(_) | Seen::Below(_) => None,
        })
        .reduce(f64::max);
    if let Some(longest) = longest {
        seen.extend(std::iter::repeat_n(Seen::Above(longest), std::mem::take(&mut unknown)));
    }
    Group {
        batch,
        x: batch.ln(),
        n: seen.len(),
        located: seen.iter().filter(|s| s.located()).count(),
        censored: seen.iter().filter(|s| matches!(s, Seen::Above(_))).count(),
        unused: unknown,
        seen: counted(seen),
    }
}

/// Equal entries joined: steps are whole numbers, and evaluations fall on a grid.
fn counted(mut seen: Vec<Seen>) -> Vec<(Seen, f64)> {
    let key = |s: &Seen| match *s {
        Seen::At(y) => (0, y, y),
        Seen::Between(low, high) => (1, low, high),
        Seen::Above(y) => (2, y, y),
        Seen::Below(y) => (3, y, y),
    };
    seen.sort_by(|a, b| {
        let (a, b) = (key(a), key(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.total_cmp(&b.2))
    });
    seen.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as f64)).collect()
}

fn reached(steps: f64, period: f64) -> Seen {
    let high = steps.ln();
    if period <= 0.0 {
        return Seen::At(high);
    }
    let low = (steps - period).max(0.0).ln();
    if !low.is_finite() {
        Seen::Below(high)
    } else if high - low < 1e-9 {
        Seen::At((low + high) / 2.0)
    } else {
        Seen::Between(low, high)
    }
}
