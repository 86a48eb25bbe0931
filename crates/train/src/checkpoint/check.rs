//! Whether a checkpoint is of the run that wants to go on from it.

use super::format::brief;
use super::{CheckpointError, ModelTensor, Snapshot};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

/// What the run that resumes has.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Its settings.
    pub configuration: &'a Value,
    /// What its data set says of itself.
    pub data_sha256: &'a str,
    /// Its parameters, in name order.
    pub model: &'a [ModelTensor],
}

impl fmt::Display for ModelTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`, {} {:?}", brief(&self.name), self.dtype, self.shape)
    }
}

impl Snapshot {
    /// Refuses a checkpoint of another data set, another model or another configuration.
    ///
    /// `may_change` names what of the configuration may differ: a key, with all that is below it; `.` leads into a key, as
    /// in `plan.batch` (an index leads into a list, as in `layers.0`). A key may also be on one side only.
    ///
    /// # Errors
    /// [`CheckpointError::Differs`] with the first difference: data set, then model, then configuration.
    pub fn check(&self, expected: &Expected<'_>, may_change: &[&str]) -> Result<(), CheckpointError> {
        let own = &self.manifest;
        let differs =
            |what, (key, found, expected)| Err(CheckpointError::Differs { what, key, found, expected });
        if own.data_sha256 != expected.data_sha256 {
            let (found, expected) = (brief(&own.data_sha256), brief(expected.data_sha256));
            return differs("data set", ("its SHA-256".to_owned(), found, expected));
        }
        if let Some(difference) = of_models(&own.model, expected.model) {
            return differs("model", difference);
        }
        match of_values("", Some(&own.configuration), Some(expected.configuration), may_change) {
            Some(difference) => differs("configuration", difference),
            None => Ok(()),
        }
    }
}

/// What differs, as it was found and as it is expected.
type Difference = (String, String, String);

/// The first difference between models, by name.
fn of_models(found: &[ModelTensor], expected: &[ModelTensor]) -> Option<Difference> {
    let names: BTreeSet<&str> = found.iter().chain(expected).map(|tensor| tensor.name.as_str()).collect();
    names.into_iter().find_map(|name| {
        let of = |model: &[ModelTensor]| {
            let own: Vec<_> = model.iter().filter(|tensor| tensor.name == name).cloned().collect();
            own
        };
        let (found, expected) = (of(found), of(expected));
        let describe = |own: &[ModelTensor]| match own {
            [] => "missing".to_owned(),
            [one, ..] => format!("{} {:?}", one.dtype, one.shape),
        };
        (found != expected)
            .then(|| (format!("parameter `{}`", brief(name)), describe(&found), describe(&expected)))
    })
}

/// The first difference between two values at a key, those aside that may change.
fn of_values(
    key: &str,
    found: Option<&Value>,
    expected: Option<&Value>,
    may_change: &[&str],
) -> Option<Difference> {
    if found == expected || may_change.contains(&key) {
        return None;
    }
    let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    match (found, expected) {
        (Some(Value::Object(found)), Some(Value::Object(expected))) => {
            let names: BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
            names
                .into_iter()
                .find_map(|name| of_values(&below(name), found.get(name), expected.get(name), may_change))
        }
        (Some(Value::Array(found)), Some(Value::Array(expected))) => (0..found.len().max(expected.len()))
            .find_map(|i| of_values(&below(&i.to_string()), found.get(i), expected.get(i), may_change)),
        _ => {
            let describe =
                |value: Option<&Value>| value.map_or("missing".to_owned(), |v| brief(&v.to_string()));
            let key = if key.is_empty() { "all of it".to_owned() } else { format!("`{}`", brief(key)) };
            Some((key, describe(found), describe(expected)))
        }
    }
}
