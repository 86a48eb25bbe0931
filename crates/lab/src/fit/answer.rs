//! What every answer has: words, JSON and a picture.

use super::settings::Settings;
use super::table::FileRead;
use crate::prose::capitalized;
use crate::report::figure::Figure;
use crate::report::text::{digits, int};
use batchwise_estimate::fieller::Ratio;
use batchwise_estimate::grade::Grade;
use batchwise_estimate::outcome::Outcome;
use serde::Serialize;
use serde_json::{Map, Value};

/// The answer to one kind of measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Everything, with the documented keys first.
    pub json: Value,
    /// The same in a few lines for people: (name, words).
    pub lines: Vec<(String, String)>,
    /// The picture, an SVG file that loads nothing, where the settings ask for one.
    pub picture: Option<String>,
}

/// Rows that were read and do not count, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct LeftOut {
    /// How many.
    pub(super) rows: u64,
    /// Why, as a clause.
    pub(super) why: String,
}

/// An answer under construction.
pub(super) struct Draft {
    json: Map<String, Value>,
    lines: Vec<(String, String)>,
    notes: Vec<String>,
    left_out: Vec<LeftOut>,
    next: Option<String>,
}

impl Draft {
    pub(super) fn new(kind: &str) -> Self {
        let json = Map::from_iter([("kind".to_owned(), kind.into())]);
        Self { json, lines: Vec::new(), notes: Vec::new(), left_out: Vec::new(), next: None }
    }

    /// A key of the JSON; what no JSON can hold becomes null.
    pub(super) fn key(&mut self, key: &str, value: impl Serialize) {
        let value = serde_json::to_value(value).unwrap_or(Value::Null);
        self.json.insert(key.to_owned(), value);
    }

    /// A line for people.
    pub(super) fn line(&mut self, name: &str, words: impl Into<String>) {
        self.lines.push((name.to_owned(), words.into()));
    }

    /// What the reader must keep in mind.
    pub(super) fn note(&mut self, words: impl Into<String>) {
        self.notes.push(words.into());
    }

    /// Rows that do not count.
    pub(super) fn leave_out(&mut self, rows: u64, why: impl Into<String>) {
        if 0 < rows {
            self.left_out.push(LeftOut { rows, why: why.into() });
        }
    }

    /// What to measure next.
    pub(super) fn next(&mut self, words: impl Into<String>) {
        self.next = Some(words.into());
    }

    /// Puts the parts together.
    pub(super) fn finish(
        mut self,
        settings: &Settings,
        files: &[FileRead],
        figure: impl FnOnce() -> Figure,
    ) -> Answer {
        for note in &self.notes {
            self.lines.push(("note".to_owned(), note.clone()));
        }
        for LeftOut { rows, why } in &self.left_out {
            let noun = if *rows == 1 { "row" } else { "rows" };
            self.lines.push(("left out".to_owned(), format!("{} {noun}: {why}", int(*rows))));
        }
        if let Some(next) = &self.next {
            self.lines.push(("measure next".to_owned(), next.clone()));
        }
        let (next, notes, left_out) =
            (self.next.take(), std::mem::take(&mut self.notes), std::mem::take(&mut self.left_out));
        self.key("next_measurement", next);
        self.key("notes", notes);
        self.key("left_out", left_out);
        self.key("confidence", settings.confidence);
        self.key("files", files);
        self.key("version", env!("CARGO_PKG_VERSION"));
        Answer {
            json: Value::Object(self.json),
            lines: self.lines,
            picture: settings.picture.then(|| figure().standalone()),
        }
    }
}

/// The numbers of an outcome as keys of the JSON: null where there is none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Number {
    pub(super) value: Option<f64>,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
    pub(super) grade: &'static str,
    pub(super) why: Option<String>,
}

impl From<&Outcome> for Number {
    fn from(outcome: &Outcome) -> Self {
        let why = match outcome {
            Outcome::NotIdentified { why } => Some(why.clone()),
            _ => None,
        };
        let (value, low, high) = (outcome.value(), outcome.low(), outcome.high());
        Self { value, low, high, grade: outcome.grade(), why }
    }
}

impl From<&Ratio> for Number {
    fn from(ratio: &Ratio) -> Self {
        let why = match ratio {
            Ratio::NotIdentified { why } => Some(why.clone()),
            Ratio::WholeLine => Some("every value agrees with the data".to_owned()),
            _ => None,
        };
        let (value, low, high) = (ratio.value(), ratio.low(), ratio.high());
        Self { value, low, high, grade: ratio.grade(), why }
    }
}

impl Number {
    /// The number with its interval, in words; `shown` writes one number with its unit.
    pub(super) fn words(&self, settings: &Settings, shown: impl Fn(f64) -> String) -> String {
        let percent = settings.percent();
        match (self.value, self.low, self.high) {
            (Some(value), Some(low), Some(high)) => {
                format!("{} ({percent} interval {} to {})", shown(value), shown(low), shown(high))
            }
            (Some(value), ..) => shown(value),
            (None, Some(low), _) => format!("at least {} ({percent} sure)", shown(low)),
            (None, None, Some(high)) => format!("at most {} ({percent} sure)", shown(high)),
            (None, None, None) => match &self.why {
                Some(why) => format!("not identified: {why}"),
                None => "not identified".to_owned(),
            },
        }
    }
}

impl Number {
    /// The number with its interval and one unit.
    pub(super) fn words_in(&self, settings: &Settings, unit: &str) -> String {
        let percent = settings.percent();
        match (self.value, self.low, self.high) {
            (Some(value), Some(low), Some(high)) => {
                format!("{} {unit} ({percent} interval {} to {})", three(value), three(low), three(high))
            }
            _ => self.words(settings, |v| format!("{} {unit}", three(v))),
        }
    }
}

/// A grade with what it means, said once.
pub(super) fn grade(grade: Grade) -> String {
    let (name, wording) = (grade.name().replace('_', " "), grade.wording());
    if wording.starts_with(&name) { wording.to_owned() } else { format!("{name}: {wording}") }
}

/// Three digits.
pub(super) fn three(v: f64) -> String {
    digits(v, 3)
}

/// Clauses as one sentence.
pub(super) fn sentence(clauses: &[String]) -> String {
    capitalized(&clauses.join("; ")) + "."
}

/// Two digits.
pub(super) fn two(v: f64) -> String {
    digits(v, 2)
}
