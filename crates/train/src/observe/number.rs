//! JSON for numbers that need not be finite.
//!
//! JSON has no word for them, and `null` would pass an infinite loss for one that was not measured. They are the strings
//! `"NaN"`, `"Infinity"` and `"-Infinity"`, as in the JSON form of protocol buffers
//! (<https://protobuf.dev/programming-guides/json/>); pandas reads them as numbers.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number as JSON has it.
struct Number(f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            x if x.is_finite() => serializer.serialize_f64(x),
            x if x.is_nan() => serializer.serialize_str("NaN"),
            x if 0.0 < x => serializer.serialize_str("Infinity"),
            _ => serializer.serialize_str("-Infinity"),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(f64),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(x) => Ok(Self(x)),
            Form::Text(text) => match text.as_str() {
                "NaN" => Ok(Self(f64::NAN)),
                "Infinity" => Ok(Self(f64::INFINITY)),
                "-Infinity" => Ok(Self(f64::NEG_INFINITY)),
                _ => Err(D::Error::custom(format!(
                    "`{text}` is not a number, nor \"NaN\", \"Infinity\" or \"-Infinity\""
                ))),
            },
        }
    }
}

pub(super) fn serialize<S: Serializer>(x: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    Number(*x).serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Number::deserialize(deserializer)?.0)
}

/// The same for a number that may be missing, which is `null`.
pub(super) mod optional {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(
        x: &Option<f64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        x.map(Number).serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<f64>, D::Error> {
        Ok(Option::<Number>::deserialize(deserializer)?.map(|Number(x)| x))
    }
}

/// The same for named pairs.
pub(super) mod groups {
    use super::*;

    type Groups = Option<Vec<(String, f64, f64)>>;

    pub(in super::super) fn serialize<S: Serializer>(
        groups: &Groups,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        groups
            .as_ref()
            .map(|groups| groups.iter().map(|(n, a, b)| (n, Number(*a), Number(*b))).collect::<Vec<_>>())
            .serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Groups, D::Error> {
        let groups = Option::<Vec<(String, Number, Number)>>::deserialize(deserializer)?;
        Ok(groups.map(|groups| groups.into_iter().map(|(n, a, b)| (n, a.0, b.0)).collect()))
    }
}
