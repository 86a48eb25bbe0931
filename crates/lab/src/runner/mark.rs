//! From evaluations to a result.

use crate::trial::{
    Crossing, EndOfTrial, Evaluation, Judge, Reached, Span, Target, TrialResult, TrialSpec, VERSION,
};

/// Evaluations that a result holds at most; of more every second is left out, as often as it takes.
const MOST: usize = 1000;

/// An evaluation with the seconds at which it was made.
pub(super) type Timed = (Evaluation, f64);

/// Follows the evaluations of a run.
pub(super) struct Marks {
    judge: Judge,
    crossing: Option<(Target, Crossing)>,
    /// The last evaluation that had not reached the target, and the one that did.
    below: Option<Timed>,
    streak: Option<Timed>,
    reached: Option<(Option<Timed>, Timed)>,
    kept: Vec<Evaluation>,
    stride: usize,
    n: usize,
    last: Option<Timed>,
    best: Option<(f64, u64)>,
}

impl Marks {
    pub(super) fn new(spec: &TrialSpec) -> Self {
        Self {
            judge: spec.judge,
            crossing: spec.target.map(|target| (target, Crossing::new(target, spec.confirm))),
            below: None,
            streak: None,
            reached: None,
            kept: Vec::new(),
            stride: 1,
            n: 0,
            last: None,
            best: None,
        }
    }

    /// Takes in the next evaluation; whether the target is reached.
    pub(super) fn observe(&mut self, at: Timed) -> bool {
        if self.n.is_multiple_of(self.stride) {
            self.kept.push(at.0);
            if MOST < self.kept.len() {
                self.stride *= 2;
                let mut i = 0;
                self.kept.retain(|_| {
                    i += 1;
                    i % 2 == 1
                });
            }
        }
        self.n += 1;
        self.last = Some(at);
        let value = at.0.get(self.judge.field);
        if let Some(value) = value
            && self.best.is_none_or(|(best, _)| self.judge.is_better(value, best))
        {
            self.best = Some((value, at.0.examples));
        }
        if self.reached.is_some() {
            return true;
        }
        let Some((target, crossing)) = &mut self.crossing else { return false };
        match value {
            Some(value) if target.is_met(value) => {
                self.streak.get_or_insert(at);
            }
            Some(_) => (self.streak, self.below) = (None, Some(at)),
            None => {}
        }
        if crossing.observe(value).is_some()
            && let Some(first) = self.streak
        {
            self.reached = Some((self.below, first));
        }
        self.reached.is_some()
    }

    /// Examples since the judged value was best.
    pub(super) fn without_improvement(&self) -> u64 {
        let best = self.best.map_or(0, |best| best.1);
        self.last.map_or(0, |last| last.0.examples.saturating_sub(best))
    }

    /// The last judged value.
    pub(super) fn value(&self) -> Option<f64> {
        self.last.and_then(|last| last.0.get(self.judge.field))
    }

    /// Whether anything judged was seen.
    pub(super) fn has_value(&self) -> bool {
        self.best.is_some() || self.reached.is_some()
    }

    /// Seconds until the target was reached, between two evaluations as the judged value says.
    pub(super) fn seconds_to_target(&self) -> Option<f64> {
        let (below, at) = self.reached?;
        Some(self.span(below, at, |timed| timed.1).value)
    }

    fn span(&self, below: Option<Timed>, at: Timed, clock: impl Fn(Timed) -> f64) -> Span {
        let high = clock(at);
        let Some(below) = below else { return Span { low: 0.0, high, value: high } };
        let low = clock(below);
        let field = self.judge.field;
        let target = self.crossing.as_ref().map(|crossing| crossing.0.value);
        let share = match (below.0.get(field), at.0.get(field), target) {
            (Some(before), Some(after), Some(target)) if before.is_finite() && before != after => {
                ((target - before) / (after - before)).clamp(0.0, 1.0)
            }
            _ => 1.0,
        };
        Span { low, high, value: low + share * (high - low) }
    }

    /// When the target was reached, if it was.
    pub(super) fn reached(&self) -> Option<Reached> {
        let (below, at) = self.reached?;
        Some(Reached {
            examples: self.span(below, at, |timed| timed.0.examples as f64),
            steps: self.span(below, at, |timed| timed.0.steps as f64),
            value: at.0.get(self.judge.field)?,
        })
    }

    /// The result of a run that ended so; of one that was stopped at a rung, what it was at its evaluation there.
    pub(super) fn result(self, trial: &str, end: EndOfTrial, at_end: Evaluation) -> TrialResult {
        let reached = self.reached();
        TrialResult {
            version: VERSION,
            trial: trial.to_owned(),
            end,
            examples: at_end.examples,
            steps: at_end.steps,
            train_loss: finite(at_end.train_loss),
            loss: finite(at_end.loss),
            metric: finite(at_end.metric),
            reached,
            evaluations: self.kept,
            weights_sha256: None,
        }
    }

    /// Forgets what came after a rung in examples, so that a run that is stopped there has the same result whenever it
    /// was told. The evaluation at the rung is the first that has so many examples.
    pub(super) fn cut(&mut self, examples: u64) -> Evaluation {
        let at = self.kept.iter().position(|e| examples <= e.examples).unwrap_or(self.kept.len());
        self.kept.truncate(at + 1);
        self.kept.last().copied().unwrap_or_default()
    }
}

/// What JSON can hold.
pub(super) fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::TrialSpec;

    fn spec() -> TrialSpec {
        let text = r#"{"version":1,"trainer":{"kind":"command","command":["x"],"files":{}},"batch":10,
            "learning_rate":0.1,"seed":1,"schedule":"constant","examples":100000,"evaluate_examples":null,
            "judge":{"field":"loss","more_is_better":false},
            "target":{"judge":{"field":"loss","more_is_better":false},"value":1.0},"confirm":1,
            "patience_examples":null,"pruning":null,"code":"1"}"#;
        TrialSpec::read(text).unwrap()
    }

    fn at(examples: u64, loss: f64) -> Timed {
        let evaluation =
            Evaluation { examples, steps: examples / 10, loss: Some(loss), ..Evaluation::default() };
        (evaluation, examples as f64 / 100.0)
    }

    #[test]
    fn the_crossing_lies_where_the_line_between_two_evaluations_meets_the_target() {
        let mut marks = Marks::new(&spec());
        assert!(!marks.observe(at(100, 3.0)));
        assert!(marks.observe(at(200, 0.5)));
        let reached = marks.reached().unwrap();
        assert_eq!(
            (reached.examples.low, reached.examples.high, reached.examples.value),
            (100.0, 200.0, 180.0)
        );
        assert_eq!((reached.steps.value, marks.seconds_to_target()), (18.0, Some(1.8)));
    }

    #[test]
    fn a_long_run_keeps_evenly_spaced_evaluations() {
        let mut marks = Marks::new(&spec());
        for i in 0..10_000 {
            marks.observe(at(10 * (i + 1), 5.0));
        }
        let kept = &marks.kept;
        assert!((500..=1000).contains(&kept.len()), "{}", kept.len());
        let gaps: Vec<u64> = kept.windows(2).map(|w| w[1].examples - w[0].examples).collect();
        assert!(gaps.iter().all(|gap| *gap == gaps[0]), "{gaps:?}");
    }

    #[test]
    fn what_comes_after_a_rung_does_not_count() {
        let mut marks = Marks::new(&spec());
        for i in 1..10 {
            marks.observe(at(100 * i, 5.0));
        }
        assert_eq!(marks.cut(250).examples, 300);
        assert_eq!(marks.kept.len(), 3);
    }
}
