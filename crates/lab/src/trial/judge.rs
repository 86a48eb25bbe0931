//! What is judged of a run, and when it is good enough.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A number that an evaluation brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// Mean loss on the test set.
    Loss,
    /// Mean loss on the training set, or of the steps since the last line.
    TrainLoss,
    /// Accuracy in [0, 1], or whatever a trainer calls its metric.
    Metric,
}

impl Field {
    /// As in a plan.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::TrainLoss => "train_loss",
            Self::Metric => "metric",
        }
    }
}

/// What is judged, and in which direction it is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Judge {
    /// The number.
    pub field: Field,
    /// Whether more is better.
    pub more_is_better: bool,
}

impl Judge {
    /// Less test loss is better.
    pub const LOSS: Self = Self { field: Field::Loss, more_is_better: false };
    /// More accuracy is better.
    pub const ACCURACY: Self = Self { field: Field::Metric, more_is_better: true };

    /// Whether `a` is better than `b`; what is not a number is worse than all else.
    #[must_use]
    pub fn is_better(self, a: f64, b: f64) -> bool {
        match (a.is_nan(), b.is_nan()) {
            (true, _) => false,
            (false, true) => true,
            _ if self.more_is_better => b < a,
            _ => a < b,
        }
    }

    /// The value as a loss: less is better.
    #[must_use]
    pub fn as_loss(self, value: f64) -> f64 {
        if self.more_is_better { -value } else { value }
    }

    /// What it is called to people.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.field.name()
    }
}

/// `loss`, `train_loss`, `accuracy`, `metric` (more is better), `metric down`.
impl FromStr for Judge {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (field, usual) = match words.first().copied() {
            Some("loss" | "test_loss") => (Field::Loss, false),
            Some("train_loss") => (Field::TrainLoss, false),
            Some("metric" | "accuracy") => (Field::Metric, true),
            _ => return Err(format!("`{text}` is nothing that is judged: {JUDGES}")),
        };
        let more_is_better = match words.get(1..).unwrap_or_default() {
            [] => usual,
            ["up"] => true,
            ["down"] => false,
            _ => return Err(format!("`{text}` is nothing that is judged: {JUDGES}")),
        };
        Ok(Self { field, more_is_better })
    }
}

const JUDGES: &str = "write loss, train_loss, accuracy, metric or `metric down`";

impl fmt::Display for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.field, self.more_is_better) {
            (Field::Metric, true) => f.write_str("metric"),
            (Field::Metric, false) => f.write_str("metric down"),
            (field, false) => f.write_str(field.name()),
            (field, true) => write!(f, "{} up", field.name()),
        }
    }
}

/// What a run is to reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// What is judged.
    pub judge: Judge,
    /// The value that is good enough.
    pub value: f64,
}

impl Target {
    /// Whether `value` is good enough.
    #[must_use]
    pub fn is_met(&self, value: f64) -> bool {
        value == self.value || self.judge.is_better(value, self.value)
    }
}

/// `accuracy >= 0.9`, `loss <= 0.3`, or with `=` in the usual direction.
impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no target: write one such as `accuracy >= 0.9`, `loss <= 0.3` or `metric <= 2`"
            )
        };
        let at = text.find(['=', '<', '>']).ok_or_else(wrong)?;
        let (name, rest) = text.split_at(at);
        let n = rest.find(|c| !matches!(c, '=' | '<' | '>')).ok_or_else(wrong)?;
        let (sign, value) = rest.split_at(n);
        let mut judge: Judge = name.trim().parse()?;
        match sign {
            "=" | "==" => {}
            ">=" | ">" => judge.more_is_better = true,
            "<=" | "<" => judge.more_is_better = false,
            _ => return Err(wrong()),
        }
        let value: f64 = value.trim().parse().map_err(|_| wrong())?;
        if !value.is_finite() {
            return Err(wrong());
        }
        Ok(Self { judge, value })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.judge.more_is_better { ">=" } else { "<=" };
        write!(f, "{} {sign} {}", self.judge.field.name(), self.value)
    }
}

/// Looks for the evaluation that reaches a target: the first of `confirm` running that meet it.
#[derive(Debug, Clone, PartialEq)]
pub struct Crossing {
    target: Target,
    confirm: u32,
    /// Index and value of the last evaluation that did not meet it.
    below: Option<(usize, f64)>,
    streak: Option<(usize, u32)>,
    seen: usize,
}

impl Crossing {
    /// Before the first evaluation; `confirm` is at least 1.
    #[must_use]
    pub fn new(target: Target, confirm: u32) -> Self {
        Self { target, confirm: confirm.max(1), below: None, streak: None, seen: 0 }
    }

    /// Takes in the next evaluation's value, if it has one. Once the target is reached: the number of the evaluation that
    /// did it, from 0, and the one before that did not with its value.
    pub fn observe(&mut self, value: Option<f64>) -> Option<(usize, Option<(usize, f64)>)> {
        let index = self.seen;
        self.seen += 1;
        let Some(value) = value else { return self.reached() };
        if self.reached().is_some() {
            return self.reached();
        }
        if self.target.is_met(value) {
            let (first, n) = self.streak.unwrap_or((index, 0));
            self.streak = Some((first, n + 1));
        } else {
            self.streak = None;
            self.below = Some((index, value));
        }
        self.reached()
    }

    fn reached(&self) -> Option<(usize, Option<(usize, f64)>)> {
        self.streak.filter(|(_, n)| self.confirm <= *n).map(|(first, _)| (first, self.below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_read_back() {
        for text in ["metric >= 0.9", "loss <= 0.3", "train_loss <= 0.001", "metric <= 2"] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.to_string(), text);
        }
        let accuracy: Target = "accuracy=0.88".parse().unwrap();
        assert_eq!(accuracy, Target { judge: Judge::ACCURACY, value: 0.88 });
        for text in ["", "accuracy", "accuracy >= x", "bleu >= 3", "loss =< 1", "loss <= inf", "loss <="] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
        assert_eq!("metric down".parse::<Judge>().unwrap().to_string(), "metric down");
    }

    #[test]
    fn a_crossing_must_hold_as_long_as_asked() {
        let target: Target = "loss <= 1".parse().unwrap();
        let mut once = Crossing::new(target, 1);
        assert_eq!(once.observe(Some(2.0)), None);
        assert_eq!(once.observe(None), None);
        assert_eq!(once.observe(Some(0.9)), Some((2, Some((0, 2.0)))));
        assert_eq!(once.observe(Some(3.0)), Some((2, Some((0, 2.0)))), "it stays reached");
        let mut twice = Crossing::new(target, 2);
        let values = [0.9, 1.5, 0.8, f64::NAN, 1.0, 0.5];
        let seen: Vec<_> = values.iter().map(|v| twice.observe(Some(*v))).collect();
        assert!(seen[..5].iter().all(Option::is_none), "{seen:?}");
        let (at, below) = seen[5].unwrap();
        assert_eq!((at, below.unwrap().0), (4, 3));
    }
}
