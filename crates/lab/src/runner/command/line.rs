//! The lines of a trainer that is another program.
//!
//! Version 1 of the protocol: a line of standard output that is a JSON object with `examples` is a record; every other
//! line is kept as text.

use super::super::mark::finite;
use crate::trial::Evaluation;
use serde_json::{Map, Value};

/// The version of the protocol, which a trainer finds in `BATCHWISE_PROTOCOL`.
pub const PROTOCOL: u32 = 1;

/// One record of a trainer.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Line {
    /// Examples processed.
    pub(crate) examples: u64,
    /// Optimizer steps.
    pub(crate) steps: Option<u64>,
    /// Seconds on the trainer's own clock.
    pub(crate) seconds: Option<f64>,
    /// Mean loss on the training set, or since the last line.
    pub(crate) train_loss: Option<f64>,
    /// Mean loss on the test set.
    pub(crate) loss: Option<f64>,
    /// Accuracy, or any other number that is to grow or fall.
    pub(crate) metric: Option<f64>,
    /// Mean squared norm of micro-batches' gradients.
    pub(crate) micro_norm2: Option<f64>,
    /// Squared norm of the batch's gradient.
    pub(crate) batch_norm2: Option<f64>,
    /// Examples of a micro-batch.
    pub(crate) micro_batch: Option<u64>,
    /// Most bytes that training took so far.
    pub(crate) bytes: Option<u64>,
    /// Whether it goes on from a checkpoint of its own.
    pub(crate) resumed: bool,
    /// What is not finite, if something is.
    pub(crate) diverged: Option<String>,
}

/// What a line of output is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Read {
    /// A record.
    Line(Box<Line>),
    /// Anything else that a program may print.
    Text,
    /// A JSON object with `examples` that says something that cannot be.
    Wrong(String),
}

/// Reads one line.
pub(crate) fn read(text: &str) -> Read {
    let text = text.trim();
    if !text.starts_with('{') {
        return Read::Text;
    }
    let Ok(Value::Object(object)) = serde_json::from_str(&as_json(text)) else {
        return if text.contains("\"examples\"") {
            Read::Wrong("it is not whole JSON".to_owned())
        } else {
            Read::Text
        };
    };
    if !object.contains_key("examples") {
        return Read::Text;
    }
    match record(&object) {
        Ok(line) => Read::Line(Box::new(line)),
        Err(problem) => Read::Wrong(problem),
    }
}

fn record(object: &Map<String, Value>) -> Result<Line, String> {
    let mut line = Line {
        examples: whole(object, "examples")?.ok_or("`examples` is null")?,
        steps: whole(object, "steps")?,
        seconds: number(object, &["seconds"])?,
        train_loss: number(object, &["train_loss"])?,
        loss: number(object, &["loss", "test_loss"])?,
        metric: number(object, &["metric", "accuracy"])?,
        micro_norm2: number(object, &["micro_norm2"])?,
        batch_norm2: number(object, &["batch_norm2"])?,
        micro_batch: whole(object, "micro_batch")?,
        bytes: whole(object, "bytes")?,
        resumed: flag(object, "resumed")?,
        diverged: None,
    };
    if line.seconds.is_some_and(|seconds| !seconds.is_finite() || seconds < 0.0) {
        return Err("`seconds` must be finite and at least 0".to_owned());
    }
    let numbers =
        [("train_loss", &mut line.train_loss), ("loss", &mut line.loss), ("metric", &mut line.metric)];
    for (name, value) in numbers {
        if let Some(found) = *value
            && !found.is_finite()
        {
            line.diverged.get_or_insert(format!("`{name}` is {found} after {} examples", line.examples));
            *value = None;
        }
    }
    line.micro_norm2 = finite(line.micro_norm2);
    line.batch_norm2 = finite(line.batch_norm2);
    if flag(object, "diverged")? {
        line.diverged.get_or_insert(format!("the trainer says so after {} examples", line.examples));
    }
    Ok(line)
}

impl Line {
    /// What it evaluates.
    pub(crate) fn evaluation(&self, batch: u64) -> Evaluation {
        Evaluation {
            examples: self.examples,
            steps: self.steps.unwrap_or_else(|| self.examples.div_ceil(batch.max(1))),
            train_loss: self.train_loss,
            loss: self.loss,
            metric: self.metric,
        }
    }
}

/// The marks that stand for numbers which JSON has not: some writers, Python's among them, print these bare.
const BARE: [(&str, &str); 3] =
    [("-Infinity", "\"-Infinity\""), ("Infinity", "\"Infinity\""), ("NaN", "\"NaN\"")];

/// Puts quotes around bare NaN and Infinity outside of strings.
fn as_json(text: &str) -> String {
    if !BARE.iter().any(|(bare, _)| text.contains(bare)) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 16);
    let (mut rest, mut quoted) = (text, false);
    while let Some(c) = rest.chars().next() {
        if !quoted && let Some((bare, with)) = BARE.iter().find(|(bare, _)| rest.starts_with(bare)) {
            out.push_str(with);
            rest = &rest[bare.len()..];
            continue;
        }
        if quoted && c == '\\' {
            out.push(c);
            rest = &rest[1..];
            if let Some(escaped) = rest.chars().next() {
                out.push(escaped);
                rest = &rest[escaped.len_utf8()..];
            }
            continue;
        }
        quoted ^= c == '"';
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

fn number(object: &Map<String, Value>, names: &[&str]) -> Result<Option<f64>, String> {
    for name in names {
        match object.get(*name) {
            None | Some(Value::Null) => {}
            Some(Value::Number(n)) => return Ok(n.as_f64()),
            Some(Value::String(text)) => match text.as_str() {
                "NaN" | "nan" => return Ok(Some(f64::NAN)),
                "Infinity" | "inf" => return Ok(Some(f64::INFINITY)),
                "-Infinity" | "-inf" => return Ok(Some(f64::NEG_INFINITY)),
                _ => return Err(format!("`{name}` is the text {text:?}: a number is allowed")),
            },
            Some(other) => return Err(format!("`{name}` is {other}: a number is allowed")),
        }
    }
    Ok(None)
}

/// The largest whole number that a float holds exactly.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn whole(object: &Map<String, Value>, name: &str) -> Result<Option<u64>, String> {
    let wrong = |value: &Value| format!("`{name}` is {value}: a whole number of at least 0 is allowed");
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match (value.as_u64(), value.as_f64()) {
            (Some(n), _) => Ok(Some(n)),
            (None, Some(x)) if x.fract() == 0.0 && (0.0..EXACT).contains(&x) => Ok(Some(x as u64)),
            _ => Err(wrong(value)),
        },
    }
}

fn flag(object: &Map<String, Value>, name: &str) -> Result<bool, String> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => Err(format!("`{name}` is {other}: true or false is allowed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(text: &str) -> Line {
        match read(text) {
            Read::Line(line) => *line,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn records_are_read() {
        let found = line(
            r#"{"examples": 640, "steps": 10, "seconds": 1.5, "train_loss": 0.25, "metric": 0.5, "bytes": 1e6}"#,
        );
        let want = Line {
            examples: 640,
            steps: Some(10),
            seconds: Some(1.5),
            train_loss: Some(0.25),
            metric: Some(0.5),
            bytes: Some(1_000_000),
            ..Line::default()
        };
        assert_eq!(found, want);
        assert_eq!(
            line(r#"{"examples": 64.0, "accuracy": 0.5, "test_loss": 1, "note": "NaN"}"#).loss,
            Some(1.0)
        );
        assert_eq!(line(r#"{"examples": 65}"#).evaluation(64).steps, 2);
    }

    #[test]
    fn what_python_prints_for_numbers_that_are_none_is_divergence() {
        for text in [
            r#"{"examples": 5, "train_loss": NaN}"#,
            r#"{"examples": 5, "loss": Infinity, "note": "a \"NaN\" in text"}"#,
            r#"{"examples": 5, "metric": -Infinity}"#,
            r#"{"examples": 5, "diverged": true}"#,
        ] {
            assert!(line(text).diverged.is_some(), "{text}");
        }
    }

    #[test]
    fn other_output_is_text_and_broken_records_are_wrong() {
        for text in ["", "epoch 1", "{", "{}", "{\"epoch\": 3}", "[1]", "{'examples': 3}"] {
            assert_eq!(read(text), Read::Text, "{text}");
        }
        for text in [
            r#"{"examples": -1}"#,
            r#"{"examples": 1.5}"#,
            r#"{"examples": null}"#,
            r#"{"examples": 5, "loss": "low"}"#,
            r#"{"examples": 5, "loss": 0.1"#,
            r#"{"examples": 5, "seconds": -2}"#,
            r#"{"examples": 5, "resumed": 1}"#,
        ] {
            assert!(matches!(read(text), Read::Wrong(_)), "{text}: {:?}", read(text));
        }
    }

    proptest! {
        #[test]
        fn nothing_printed_makes_it_panic(text in ".*") {
            read(&text);
            read(&format!("{{\"examples\": {text}}}"));
        }
    }
}
