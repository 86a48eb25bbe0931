//! One line of JSON lines: an object whose wanted values are kept as text.

use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// One value of an object. What is no number, text or null is kept by the name of its type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// `null`.
    Null,
    /// A number, as it would be written, or the text of a string.
    Text(String),
    /// `true`, `false`, a list or an object.
    Other(&'static str),
}

/// The keys and values of a line, in its order.
pub(super) type Object = Vec<(String, Value)>;

/// Reads one line.
///
/// # Errors
/// What is wrong with it, as a clause, with its column where it is known.
pub(super) fn read(line: &str) -> Result<Object, (Option<usize>, String)> {
    let line = quoted_constants(line);
    let mut deserializer = serde_json::Deserializer::from_str(&line);
    let read =
        deserializer.deserialize_map(ObjectVisitor).and_then(|object| deserializer.end().map(|()| object));
    read.map_err(|error| {
        let text = error.to_string();
        let clause = text.split(" at line ").next().unwrap_or(&text).to_owned();
        (Some(error.column()).filter(|column| 0 < *column), clause)
    })
}

/// Python writes NaN and Infinity as bare words, which JSON does not know.
fn quoted_constants(line: &str) -> Cow<'_, str> {
    if !line.contains("NaN") && !line.contains("Infinity") {
        return Cow::Borrowed(line);
    }
    let mut out = String::with_capacity(line.len() + 8);
    let (mut quoted, mut escaped, mut rest) = (false, false, line);
    while let Some(c) = rest.chars().next() {
        let constant =
            ["-Infinity", "Infinity", "NaN"].into_iter().find(|word| !quoted && rest.starts_with(word));
        if let Some(word) = constant {
            out.push('"');
            out.push_str(word);
            out.push('"');
            rest = &rest[word.len()..];
            continue;
        }
        if quoted {
            (quoted, escaped) = (escaped || c != '"', !escaped && c == '\\');
        } else {
            quoted = c == '"';
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    Cow::Owned(out)
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object such as {\"batch\": 32}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut object: Self::Value = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let ValueOf(value) = map.next_value()?;
            if object.iter().any(|(other, _)| *other == key) {
                return Err(A::Error::custom(format!("the key `{key}` stands twice")));
            }
            object.push((key, value));
        }
        Ok(object)
    }
}

struct ValueOf(Value);

impl<'de> serde::Deserialize<'de> for ValueOf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Self)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a text or null")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Other(if value { "true" } else { "false" }))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Text(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Text(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Text(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.trim().to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other("an object"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(t: &str) -> Value {
        Value::Text(t.to_owned())
    }

    #[test]
    fn values_are_kept_as_text() {
        let line = r#"{"batch": 32, "seconds": 0.5, "loss": NaN, "note": "NaN, -Infinity \" NaN", "x": null, "y": [1, {}], "z": true, "w": -Infinity}"#;
        let found = read(line).unwrap();
        let want = [
            ("batch", text("32")),
            ("seconds", text("0.5")),
            ("loss", text("NaN")),
            ("note", text("NaN, -Infinity \" NaN")),
            ("x", Value::Null),
            ("y", Value::Other("a list")),
            ("z", Value::Other("true")),
            ("w", text("-Infinity")),
        ];
        assert_eq!(found, want.map(|(key, value)| (key.to_owned(), value)));
    }

    #[test]
    fn what_is_no_object_is_said() {
        for (line, part) in [
            ("[1]", "object"),
            ("3", "object"),
            ("{\"a\": 1", "EOF"),
            ("{\"a\": 1, \"a\": 2}", "`a` stands twice"),
            ("{} {}", "trailing"),
            ("{\"a\": 1e999}", "out of range"),
        ] {
            let (_, clause) = read(line).unwrap_err();
            assert!(clause.contains(part), "{line}: {clause}");
        }
    }
}
