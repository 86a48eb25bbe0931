//! Learning rates of one batch size that widen until the best is inside.

use crate::trial::{EndOfTrial, TrialResult, TrialSpec};

/// What is known of a trial's worth; less is better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Score {
    /// Examples to the target, or the judged value as a loss.
    Value(f64),
    /// The target was not reached: too slow, or stopped early. The judged value that it came to, as a loss; NaN where there
    /// is none.
    NotReached(f64),
    /// It diverged: too large a learning rate.
    Diverged,
    /// It was given up for reasons that say nothing of its learning rate.
    Failed,
}

impl Score {
    /// Of a trial with this result.
    #[must_use]
    pub fn of(spec: &TrialSpec, result: &TrialResult) -> Self {
        match (&result.end, spec.target, result.reached) {
            (_, Some(_), Some(reached)) => Self::Value(reached.examples.value),
            (EndOfTrial::Diverged { .. }, ..) => Self::Diverged,
            (EndOfTrial::Pruned { .. }, ..) | (_, Some(_), None) => {
                Self::NotReached(result.get(spec.judge.field).map_or(f64::NAN, |v| spec.judge.as_loss(v)))
            }
            (_, None, _) => {
                let value = result.get(spec.judge.field).filter(|value| value.is_finite());
                value.map_or(Self::Diverged, |value| Self::Value(spec.judge.as_loss(value)))
            }
        }
    }
}

/// Where a bracket stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Trials are missing.
    Pending,
    /// The best is inside, or there is nothing to be gained by going on.
    Settled {
        /// Whether the best is the outermost all the same.
        at_edge: bool,
    },
    /// It goes on below, above, or both.
    Widen {
        /// One more below.
        below: bool,
        /// One more above.
        above: bool,
    },
}

/// The scores of one learning rate, of all seeds; none where one is missing.
pub(super) type Rung = Option<Vec<Score>>;

/// Judges the rungs of one bracket, ascending in the learning rate.
pub(super) fn judge(rungs: &[Rung], may_widen: bool) -> Standing {
    let Some(rungs) = rungs.iter().map(|rung| rung.as_deref()).collect::<Option<Vec<_>>>() else {
        return Standing::Pending;
    };
    let (Some(first), Some(last)) = (rungs.first(), rungs.last()) else {
        return Standing::Settled { at_edge: true };
    };
    let best = (0..rungs.len()).filter_map(|i| Some((i, merit(rungs[i])?))).min_by(|a, b| a.1.order(&b.1));
    let (below, above) = match best {
        // None got there: towards those that came closest; where that is not known, away from those that diverge and
        // towards larger ones where the largest is only slow.
        None => match closest(&rungs) {
            Some(i) => (i == 0, i + 1 == rungs.len()),
            None => {
                let diverges = |rung: &[Score]| rung.contains(&Score::Diverged);
                let is_slow = |score: &Score| matches!(score, Score::NotReached(_));
                (diverges(first), !diverges(last) && last.iter().any(is_slow))
            }
        },
        Some((i, _)) => (i == 0, i + 1 == rungs.len()),
    };
    match (below || above, may_widen) {
        (false, _) => Standing::Settled { at_edge: best.is_none() },
        (true, false) => Standing::Settled { at_edge: true },
        (true, true) => Standing::Widen { below, above },
    }
}

/// The learning rate whose runs came closest to the target on average, where all of them have a value.
fn closest(rungs: &[&[Score]]) -> Option<usize> {
    let mean = |rung: &[Score]| {
        let values: Option<Vec<f64>> = rung
            .iter()
            .map(|score| match score {
                Score::NotReached(value) if value.is_finite() => Some(*value),
                _ => None,
            })
            .collect();
        let values = values.filter(|values| !values.is_empty())?;
        Some(values.iter().sum::<f64>() / values.len() as f64)
    };
    let means = rungs.iter().enumerate().filter_map(|(i, rung)| Some((i, mean(rung)?)));
    means.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(i, _)| i)
}

/// How good a learning rate is: first how many of its seeds got there, then their mean.
struct Merit {
    missed: usize,
    mean: f64,
}

impl Merit {
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        self.missed.cmp(&other.missed).then(self.mean.total_cmp(&other.mean))
    }
}

fn merit(rung: &[Score]) -> Option<Merit> {
    let values: Vec<f64> = rung
        .iter()
        .filter_map(|score| match score {
            Score::Value(value) if value.is_finite() => Some(*value),
            _ => None,
        })
        .collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (!values.is_empty()).then(|| Merit { missed: rung.len() - values.len(), mean })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Score::{Diverged, Value};

    /// Not there, and nobody knows how far.
    const LOST: Score = Score::NotReached(f64::NAN);

    fn rungs(scores: &[Score]) -> Vec<Rung> {
        scores.iter().map(|score| Some(vec![*score])).collect()
    }

    #[test]
    fn a_bracket_widens_where_its_best_is_outermost() {
        let cases = [
            (vec![Value(3.0), Value(1.0), Value(2.0)], Standing::Settled { at_edge: false }),
            (vec![Value(1.0), Value(2.0), Value(3.0)], Standing::Widen { below: true, above: false }),
            (vec![Value(3.0), Value(2.0), Value(1.0)], Standing::Widen { below: false, above: true }),
            (vec![Value(1.0)], Standing::Widen { below: true, above: true }),
            (vec![LOST, Value(1.0), Diverged], Standing::Settled { at_edge: false }),
            (vec![LOST, LOST, Value(1.0)], Standing::Widen { below: false, above: true }),
            (vec![Diverged, Diverged, Diverged], Standing::Widen { below: true, above: false }),
            (vec![LOST, LOST], Standing::Widen { below: false, above: true }),
            (
                vec![Score::NotReached(0.3), Score::NotReached(0.5), Diverged],
                Standing::Widen { below: true, above: false },
            ),
            (
                vec![Score::NotReached(0.5), Score::NotReached(0.3), Score::NotReached(0.4)],
                Standing::Settled { at_edge: true },
            ),
            (vec![LOST, Diverged], Standing::Settled { at_edge: true }),
            (vec![Score::Failed, Score::Failed], Standing::Settled { at_edge: true }),
        ];
        for (scores, want) in cases {
            assert_eq!(judge(&rungs(&scores), true), want, "{scores:?}");
        }
        assert_eq!(judge(&rungs(&[Value(1.0), Value(2.0)]), false), Standing::Settled { at_edge: true });
        assert_eq!(judge(&[Some(vec![Value(1.0)]), None], true), Standing::Pending);
    }

    #[test]
    fn a_rate_at_which_seeds_fail_is_worse_than_one_at_which_none_does() {
        let all = Some(vec![Value(9.0), Value(9.0)]);
        let some = Some(vec![Value(1.0), Diverged]);
        assert_eq!(judge(&[all, some], true), Standing::Widen { below: true, above: false });
    }
}
