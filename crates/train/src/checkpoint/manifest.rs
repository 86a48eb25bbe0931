//! What a checkpoint holds besides tensors.

use super::{CheckpointError, format};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// The schema of manifests that this program writes.
pub const SCHEMA: u32 = MIGRATIONS.len() as u32 + 1;

/// From a manifest of one schema to one of the next, or what of it does not fit. The key `schema` is set by the caller.
type Migration = fn(&mut Value) -> Result<(), String>;

/// The k-th leads from schema k to k + 1.
const MIGRATIONS: &[Migration] = &[];

/// What a checkpoint holds besides tensors. It comes back equal, each f64 to the bit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of this form, [`SCHEMA`]; an older one is migrated on loading.
    pub schema: u32,
    /// The program that wrote it, with its version.
    pub program: String,
    /// Where the run comes from: commit, machine, command line. Opaque here.
    pub provenance: Value,
    /// Examples processed.
    pub examples: u64,
    /// Optimizer updates made.
    pub steps: u64,
    /// The run's settings, which [`super::Snapshot::check`] compares on resume.
    pub configuration: Value,
    /// SHA-256 of the configuration as JSON without spaces and with sorted keys.
    pub configuration_sha256: String,
    /// What the data set says of itself.
    pub data_sha256: String,
    /// The parameters (and buffers of layers), in name order.
    pub model: Vec<ModelTensor>,
    /// Of schedules, controller, noise averages, random streams and sampler. Opaque here; [`super::to_value`] makes it.
    pub state: Value,
    /// The length in bytes of each metrics file at this moment: what a resumed run cuts it to.
    pub files: BTreeMap<String, u64>,
}

/// One parameter of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelTensor {
    /// Its name, without `parameters/`.
    pub name: String,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its type, such as `f32`.
    pub dtype: String,
}

impl Manifest {
    /// Of a run that has not started; the other fields are for the caller to fill.
    pub fn new(configuration: Value, data_sha256: &str) -> Self {
        Self {
            schema: SCHEMA,
            program: concat!("batchwise-train ", env!("CARGO_PKG_VERSION")).to_owned(),
            provenance: Value::Null,
            examples: 0,
            steps: 0,
            configuration_sha256: sha256_of(&configuration),
            configuration,
            data_sha256: data_sha256.to_owned(),
            model: Vec::new(),
            state: Value::Null,
            files: BTreeMap::new(),
        }
    }

    /// Reads a manifest of any known schema.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, CheckpointError> {
        let value = migrate(text, path, MIGRATIONS)?;
        let refused = |error: serde_json::Error| {
            let allowed = format!("one of schema {SCHEMA}");
            CheckpointError::damaged(path, None, "its manifest", error.to_string(), allowed)
        };
        let manifest: Self = serde_json::from_value(value).map_err(refused)?;
        manifest.check_configuration().map_err(|(found, allowed)| {
            CheckpointError::damaged(path, None, "`configuration_sha256` of its manifest", found, allowed)
        })?;
        Ok(manifest)
    }

    /// Whether the configuration is what its hash says; found and allowed where not.
    pub(super) fn check_configuration(&self) -> Result<(), (String, String)> {
        match sha256_of(&self.configuration) {
            right if right == self.configuration_sha256 => Ok(()),
            right => Err((self.configuration_sha256.clone(), right)),
        }
    }
}

/// A manifest as JSON, brought to the schema that follows the last of the migrations.
fn migrate(text: &str, path: &Path, migrations: &[Migration]) -> Result<Value, CheckpointError> {
    let damaged = |what: &str, found: String, allowed: String| {
        CheckpointError::damaged(path, None, what, found, allowed)
    };
    let mut value: Value = serde_json::from_str(text)
        .map_err(|error| damaged("its manifest", error.to_string(), "JSON".to_owned()))?;
    let current = migrations.len() as u64 + 1;
    let schema = match value.get("schema").map(|schema| (schema, schema.as_u64())) {
        Some((_, Some(schema))) if 1 <= schema => schema,
        found => {
            let found = found.map_or("missing".to_owned(), |(schema, _)| format::brief(&schema.to_string()));
            return Err(damaged(
                "`schema` of its manifest",
                found,
                "a whole number of at least 1".to_owned(),
            ));
        }
    };
    if current < schema {
        let program = value.get("program").and_then(Value::as_str).unwrap_or("an unknown program");
        return Err(CheckpointError::Newer {
            path: path.to_owned(),
            program: format::brief(program),
            found: schema,
            allowed: current as u32,
        });
    }
    for (k, migration) in (1..).zip(migrations).skip(schema as usize - 1) {
        migration(&mut value).map_err(|found| {
            damaged("its manifest", found, format!("what schema {k} says, which it claims to be"))
        })?;
        if let Some(schema) = value.get_mut("schema") {
            *schema = Value::from(k + 1);
        }
    }
    Ok(value)
}

/// What tensors say of the model.
pub(super) fn model_of(tensors: &BTreeMap<String, Tensor>) -> Vec<ModelTensor> {
    let parameters =
        tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix("parameters/")?, tensor)));
    let describe = |(name, tensor): (&str, &Tensor)| ModelTensor {
        name: name.to_owned(),
        shape: tensor.dims().to_vec(),
        dtype: tensor.dtype().as_str().to_owned(),
    };
    parameters.map(describe).collect()
}

/// SHA-256 in hex of a value's one form.
fn sha256_of(value: &Value) -> String {
    let mut text = String::new();
    write_sorted(value, &mut text);
    format::hex(&Sha256::digest(text))
}

/// JSON without spaces, keys sorted, whatever order the map keeps.
fn write_sorted(value: &Value, to: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            to.push('{');
            for (i, (key, value)) in entries.into_iter().enumerate() {
                to.push_str(if i == 0 { "" } else { "," });
                to.push_str(&Value::from(key.as_str()).to_string());
                to.push(':');
                write_sorted(value, to);
            }
            to.push('}');
        }
        Value::Array(values) => {
            to.push('[');
            for (i, value) in values.iter().enumerate() {
                to.push_str(if i == 0 { "" } else { "," });
                write_sorted(value, to);
            }
            to.push(']');
        }
        leaf => to.push_str(&leaf.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn first_to_second(manifest: &mut Value) -> Result<(), String> {
        let map = manifest.as_object_mut().ok_or("no map")?;
        let count = map.remove("count").ok_or("without `count`")?;
        map.insert("examples".to_owned(), count);
        Ok(())
    }

    fn second_to_third(manifest: &mut Value) -> Result<(), String> {
        manifest["examples"] = json!(manifest["examples"].as_u64().ok_or("`examples` is no number")? * 10);
        Ok(())
    }

    fn migrated(manifest: &Value) -> Result<Value, String> {
        let migrations: [Migration; 2] = [first_to_second, second_to_third];
        migrate(&manifest.to_string(), Path::new("file"), &migrations).map_err(|error| error.to_string())
    }

    #[test]
    fn each_schema_migrates_through_those_between() {
        let third = json!({"schema": 3, "examples": 50});
        assert_eq!(migrated(&json!({"schema": 1, "count": 5})), Ok(third.clone()));
        assert_eq!(migrated(&json!({"schema": 2, "examples": 5})), Ok(third.clone()));
        assert_eq!(migrated(&third), Ok(third));
    }

    #[test]
    fn what_cannot_be_migrated_is_refused_with_a_reason() {
        for (manifest, reason) in [
            (
                json!({"schema": 4, "program": "later 2.0"}),
                "written by later 2.0 in schema 4, but this program knows schemas 1 to 3",
            ),
            (json!({"schema": u64::MAX}), "schema 18446744073709551615, but"),
            (json!({"schema": 1}), "without `count`, but must be what schema 1 says"),
            (json!({"schema": 1, "count": "x"}), "`examples` is no number, but must be what schema 2 says"),
            (json!({"schema": 0}), "`schema` of its manifest is 0"),
            (json!({"schema": 1.5}), "is 1.5"),
            (json!({"schema": "1"}), "is \"1\""),
            (json!({}), "is missing"),
            (json!([1]), "is missing"),
        ] {
            let error = migrated(&manifest).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn the_order_of_keys_makes_no_other_configuration() {
        let hash = |text: &str| sha256_of(&serde_json::from_str(text).unwrap());
        let one = hash(r#"{"b": [1, {"d": null, "c": "\""}], "a": 0.1}"#);
        assert_eq!(one, hash(r#"{"a":0.1,"b":[1,{"c":"\"","d":null}]}"#));
        assert_ne!(one, hash(r#"{"a":0.1,"b":[{"c":"\"","d":null},1]}"#));
        // printf '{"a":0.1}' | sha256sum
        assert_eq!(hash(r#"{"a": 0.1}"#), "9e3d5635fc1c09ff15c19f1089a0bfe03fbd8329cca722f9a2227060ac77dcaa");
    }
}
