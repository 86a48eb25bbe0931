//! Runs, checked and sorted by batch size.

use super::loss::Seen;
use super::{End, Run, TradeoffError};

/// The runs of one batch size.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) batch: f64,
    /// ln batch.
    pub(super) x: f64,
    pub(super) seen: Vec<Seen>,
    /// Runs that never reached the target and count as a bound.
    pub(super) censored: usize,
    /// Runs that say nothing: they never reached the target, and for how long they ran is unknown.
    pub(super) unused: usize,
}

impl Group {
    /// Runs that place ln S.
    pub(super) fn located(&self) -> usize {
        self.seen.iter().filter(|s| s.located()).count()
    }
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
    let mut group = Group { batch, x: batch.ln(), seen: Vec::new(), censored: 0, unused: 0 };
    for end in ends {
        match *end {
            End::Reached { steps, period } => group.seen.push(reached(steps, period.unwrap_or(0.0))),
            End::Censored { after: Some(after) } => {
                group.seen.push(Seen::Above(after.ln()));
                group.censored += 1;
            }
            End::Censored { after: None } => group.unused += 1,
        }
    }
    // The runs of one batch size share a budget: one that never got there ran at least as long as one that did.
    let longest = group
        .seen
        .iter()
        .filter_map(|s| match *s {
            Seen::At(y) | Seen::Between(y, _) => Some(y),
            Seen::Above(_) | Seen::Below(_) => None,
        })
        .fold(f64::NEG_INFINITY, f64::max);
    if longest.is_finite() {
        group.seen.extend(std::iter::repeat_n(Seen::Above(longest), group.unused));
        group.censored += std::mem::take(&mut group.unused);
    }
    group
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
