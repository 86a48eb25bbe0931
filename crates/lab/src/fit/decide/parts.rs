//! The answers of the other kinds, found in JSON of several shapes.

use super::super::error::shown;
use super::super::{FileRead, FitError, Kind, Source};
use batchwise_estimate::outcome::Outcome;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// One answer, with where it was found.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    pub(super) kind: Kind,
    /// File and kind, for messages.
    place: String,
    value: Map<String, Value>,
}

/// One answer of each kind at the most.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) noise: Option<Part>,
    pub(super) tradeoff: Option<Part>,
    pub(super) speed: Option<Part>,
    pub(super) memory: Option<Part>,
    pub(super) ridge: Option<Part>,
    /// Parts that stood twice with the same content.
    pub(super) repeated: u64,
}

/// What is allowed, for messages.
const ALLOWED: &str = "an answer of `fit --json` is needed, an object such as {\"noise\": {...}, \"speed\": {...}}, or several of them";

/// The keys that only one kind has.
const SIGNS: &[(Kind, &[&str])] = &[
    (Kind::Noise, &["phi", "tr_sigma"]),
    (Kind::Tradeoff, &["b_crit", "s_min"]),
    (Kind::Memory, &["fixed_bytes", "bytes_per_example"]),
    (Kind::Speed, &["overhead_seconds", "seconds_per_example"]),
    (Kind::Ridge, &["exponent", "best"]),
];

impl Parts {
    /// Reads every source to its end.
    pub(super) fn read(sources: Vec<Source>) -> Result<(Self, Vec<FileRead>), FitError> {
        let (mut parts, mut files) = (Self::default(), Vec::new());
        for source in sources {
            let name = source.name().to_owned();
            let (text, sha256) = source.read_whole()?;
            let mut n = 0;
            for value in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
                let value = value.map_err(|error| FitError {
                    line: Some(error.line() as u64).filter(|line| 0 < *line),
                    column: Some(error.column().to_string()),
                    ..FitError::of_file(&name, format!("no JSON ({})", clause(&error)), ALLOWED)
                })?;
                n += 1;
                parts.collect(&name, value)?;
            }
            if n == 0 {
                return Err(FitError::of_file(&name, "it is empty", ALLOWED));
            }
            files.push(FileRead { file: name, sha256, rows: n, columns: Vec::new() });
        }
        Ok((parts, files))
    }

    fn collect(&mut self, name: &str, value: Value) -> Result<(), FitError> {
        match value {
            Value::Array(list) => {
                if list.is_empty() {
                    return Err(FitError::of_file(name, "an empty list", ALLOWED));
                }
                for value in list {
                    match value {
                        Value::Object(object) => self.object(name, object)?,
                        other => {
                            return Err(FitError::of_file(
                                name,
                                format!("a list that holds {}", type_of(&other)),
                                ALLOWED,
                            ));
                        }
                    }
                }
                Ok(())
            }
            Value::Object(object) => self.object(name, object),
            other => Err(FitError::of_file(name, format!("found {}", type_of(&other)), ALLOWED)),
        }
    }

    fn object(&mut self, name: &str, object: Map<String, Value>) -> Result<(), FitError> {
        if let Some(kind) = object.get("kind") {
            let known = kind.as_str().and_then(Kind::from_name).filter(|kind| *kind != Kind::Decide);
            let Some(kind) = known else {
                let found = format!("the kind {}", shown(&kind.to_string()));
                return Err(FitError::of_file(
                    name,
                    found,
                    "noise, tradeoff, speed, memory or ridge is allowed",
                ));
            };
            return self.add(name, kind, object);
        }
        let holds_parts =
            object.iter().any(|(key, value)| Kind::from_name(key).is_some() && !value.is_number());
        if holds_parts {
            for (key, value) in object {
                // Other keys are extra ones.
                let Some(kind) = Kind::from_name(&key).filter(|kind| *kind != Kind::Decide) else { continue };
                match value {
                    Value::Object(part) => self.add(name, kind, part)?,
                    Value::Null => {}
                    other => {
                        let found = format!("`{key}` is {}", type_of(&other));
                        return Err(FitError::of_file(
                            name,
                            found,
                            "an object with the keys of that kind is needed",
                        ));
                    }
                }
            }
            return Ok(());
        }
        let kinds: Vec<Kind> = SIGNS
            .iter()
            .filter(|(_, keys)| keys.iter().any(|key| object.contains_key(*key)))
            .map(|(kind, _)| *kind)
            .collect();
        match kinds[..] {
            [kind] => self.add(name, kind, object),
            [] => {
                let keys: Vec<&str> = object.keys().map(String::as_str).collect();
                Err(FitError::of_file(
                    name,
                    format!("an object with the keys {}", shown(&keys.join(", "))),
                    ALLOWED,
                ))
            }
            _ => {
                let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
                let found = format!("one object with keys of {}", names.join(" and "));
                Err(FitError::of_file(name, found, "put each under its own key, or give it a `kind`"))
            }
        }
    }

    fn add(&mut self, name: &str, kind: Kind, value: Map<String, Value>) -> Result<(), FitError> {
        let slot = match kind {
            Kind::Noise => &mut self.noise,
            Kind::Tradeoff => &mut self.tradeoff,
            Kind::Speed => &mut self.speed,
            Kind::Memory => &mut self.memory,
            Kind::Ridge | Kind::Decide => &mut self.ridge,
        };
        let part = Part { kind, place: format!("{name}, {}", kind.name()), value };
        match slot {
            None => *slot = Some(part),
            Some(other) if other.value == part.value => self.repeated += 1,
            Some(other) => {
                let found = format!("another answer of the kind {} stands in {}", kind.name(), other.place);
                return Err(FitError::of_file(
                    &part.place,
                    found,
                    "one answer of each kind is needed; remove one of the two",
                ));
            }
        }
        Ok(())
    }

    /// Every part that is there.
    pub(super) fn all(&self) -> impl Iterator<Item = &Part> {
        [&self.noise, &self.tradeoff, &self.speed, &self.memory, &self.ridge].into_iter().flatten()
    }
}

impl Part {
    /// An error about a key.
    pub(super) fn wrong(&self, key: &str, found: impl Into<String>, allowed: &str) -> FitError {
        FitError { column: Some(key.to_owned()), ..FitError::of_file(&self.place, found, allowed) }
    }

    /// Whether the key stands there, whatever its value.
    pub(super) fn has(&self, key: &str) -> bool {
        self.value.contains_key(key)
    }

    /// A finite number; `None` where it is null or missing.
    pub(super) fn number(&self, key: &str) -> Result<Option<f64>, FitError> {
        match self.value.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_f64().filter(|v| v.is_finite()) {
                Some(number) => Ok(Some(number)),
                None => {
                    Err(self.wrong(key, format!("found {}", type_of(value)), "a number or null is needed"))
                }
            },
        }
    }

    /// The same, at least 0.
    pub(super) fn not_negative(&self, key: &str) -> Result<Option<f64>, FitError> {
        match self.number(key)? {
            Some(v) if v < 0.0 => {
                Err(self.wrong(key, format!("found {v}"), "a number of at least 0, or null, is needed"))
            }
            other => Ok(other),
        }
    }

    /// A text; `None` where it is null or missing.
    pub(super) fn text(&self, key: &str) -> Result<Option<&str>, FitError> {
        match self.value.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => {
                Err(self.wrong(key, format!("found {}", type_of(other)), "a text or null is needed"))
            }
        }
    }

    /// A list; `None` where it is null or missing.
    pub(super) fn list(&self, key: &str) -> Result<Option<&[Value]>, FitError> {
        match self.value.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(other) => {
                Err(self.wrong(key, format!("found {}", type_of(other)), "a list or null is needed"))
            }
        }
    }

    /// A value that this program wrote; `None` where it is null or missing.
    pub(super) fn stored<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, FitError> {
        match self.value.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value.clone()).map(Some).map_err(|error| {
                let found = format!("it is not what this version writes there ({error})");
                self.wrong(key, found, "fit the measurements again, or leave the key out")
            }),
        }
    }

    /// The outcome behind a number and its two ends; the three keys must stand there, null where there is no number.
    pub(super) fn outcome(&self, value: &str) -> Result<Outcome, FitError> {
        for key in [value, "low", "high"] {
            if !self.has(key) {
                let found = "the key is missing";
                return Err(self.wrong(
                    key,
                    found,
                    "no number without its interval: a number, or null where it is open, is needed",
                ));
            }
        }
        let (number, low, high) =
            (self.not_negative(value)?, self.not_negative("low")?, self.not_negative("high")?);
        Ok(match (number, low, high) {
            (Some(v), Some(l), Some(h)) if l <= v && v <= h => {
                Outcome::Measured { value: v, low: l, high: h }
            }
            (Some(v), Some(l), Some(h)) => {
                return Err(self.wrong(
                    value,
                    format!("found {v} with the interval {l} to {h}"),
                    "low ≤ value ≤ high is needed",
                ));
            }
            (_, Some(low), None) => Outcome::LowerBound { low },
            (_, None, Some(high)) => Outcome::UpperBound { high },
            (None, Some(_), Some(_)) => Outcome::not_identified("it has an interval and no value"),
            (Some(_), None, None) => Outcome::not_identified("it has a value and no interval"),
            (None, None, None) => Outcome::not_identified("it has no number"),
        })
    }
}

/// What a value is, in words.
pub(super) fn type_of(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => format!("`{b}`"),
        Value::Number(n) => shown(&n.to_string()),
        Value::String(text) => format!("the text {}", shown(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

fn clause(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}
