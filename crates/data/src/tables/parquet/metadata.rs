//! What the footer of a Parquet file says of its columns.

use std::collections::HashSet;
use std::path::Path;

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::file::metadata::FileMetaData;
use parquet::schema::types::ColumnDescriptor;

use super::super::rules::ColumnRules;
use crate::{At, DataError};

/// The columns of a file.
pub(super) struct Fields {
    /// Of all, each once.
    pub(super) names: Vec<String>,
    /// Those to read.
    pub(super) wanted: Vec<Field>,
}

/// One column to read.
pub(super) struct Field {
    pub(super) name: String,
    /// Which of the columns without further parts it is.
    pub(super) leaf: usize,
    /// The definition level of what is not missing.
    pub(super) max_level: i16,
    pub(super) kind: Kind,
}

/// What the values of a column are.
#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    Number,
    /// A number without a sign, stored as if it had one.
    Unsigned,
    Bool,
    Text,
    /// Text or images: the first value tells.
    Bytes,
    Image,
    /// Numbers of these classes.
    Classes(Vec<String>),
}

/// The columns that `rules` want, each of a kind that can be read.
pub(super) fn fields(path: &Path, metadata: &FileMetaData, rules: &ColumnRules) -> Result<Fields, DataError> {
    let features = features(metadata);
    let (mut names, mut wanted) = (Vec::<String>::new(), Vec::new());
    let schema = metadata.schema_descr();
    let is_image = |name: &str| {
        schema.columns().iter().any(|leaf| {
            leaf.path().parts() == [name, "bytes"]
                && leaf.physical_type() == Type::BYTE_ARRAY
                && leaf.max_rep_level() == 0
        })
    };
    for (number, leaf) in schema.columns().iter().enumerate() {
        let parts = leaf.path().parts();
        let name = parts.first().cloned().unwrap_or_default();
        // Columns with parts follow each other.
        if parts.len() == 1 || names.last() != Some(&name) {
            names.push(name.clone());
        }
        if !rules.wants(&name) {
            continue;
        }
        let kind = match parts {
            [name, part] if is_image(name) => match part.as_str() {
                "bytes" => Ok(Kind::Image),
                // Where the image came from.
                _ => continue,
            },
            [_] => kind(leaf),
            _ => Err("made of parts".to_owned()),
        };
        let kind = match (kind, class_names(&features, &name)) {
            (Ok(Kind::Number), Some(names)) => Kind::Classes(names),
            (Ok(kind), _) => kind,
            (Err(found), _) => {
                return Err(DataError::Format {
                    path: path.to_owned(),
                    at: At::File,
                    what: format!("column `{name}`"),
                    found,
                    expected: format!("numbers, booleans, texts or images (drop={name} leaves it out)"),
                });
            }
        };
        wanted.push(Field { name, leaf: number, max_level: leaf.max_def_level(), kind });
    }
    Ok(Fields { names, wanted })
}

/// What a column holds, or what it is that cannot be read.
fn kind(leaf: &ColumnDescriptor) -> Result<Kind, String> {
    if leaf.max_rep_level() != 0 {
        return Err("a list".to_owned());
    }
    let (logical, converted) = (leaf.logical_type_ref(), leaf.converted_type());
    let is_plain = logical.is_none() && converted == ConvertedType::NONE;
    match (leaf.physical_type(), logical, converted) {
        (Type::BOOLEAN, ..) => Ok(Kind::Bool),
        (Type::FLOAT | Type::DOUBLE, ..) if is_plain => Ok(Kind::Number),
        (Type::INT32 | Type::INT64, ..) if is_plain => Ok(Kind::Number),
        (Type::INT32 | Type::INT64, Some(LogicalType::Integer(integer)), _) => {
            Ok(if integer.is_signed { Kind::Number } else { Kind::Unsigned })
        }
        (Type::INT32 | Type::INT64, None, converted) => match converted {
            ConvertedType::INT_8 | ConvertedType::INT_16 | ConvertedType::INT_32 | ConvertedType::INT_64 => {
                Ok(Kind::Number)
            }
            ConvertedType::UINT_8
            | ConvertedType::UINT_16
            | ConvertedType::UINT_32
            | ConvertedType::UINT_64 => Ok(Kind::Unsigned),
            other => Err(other.to_string()),
        },
        (Type::BYTE_ARRAY, Some(LogicalType::String | LogicalType::Enum), _) => Ok(Kind::Text),
        (Type::BYTE_ARRAY, None, ConvertedType::UTF8 | ConvertedType::ENUM) => Ok(Kind::Text),
        (Type::BYTE_ARRAY, None, ConvertedType::NONE) => Ok(Kind::Bytes),
        (physical, Some(logical), _) => Err(format!("{physical} as {logical:?}")),
        (physical, None, ConvertedType::NONE) => Err(physical.to_string()),
        (physical, None, converted) => Err(format!("{physical} as {converted}")),
    }
}

/// What the Hugging Face library wrote about the columns, if it wrote the file.
fn features(metadata: &FileMetaData) -> serde_json::Value {
    let entry = metadata.key_value_metadata().into_iter().flatten().find(|entry| entry.key == "huggingface");
    let text = entry.and_then(|entry| entry.value.as_deref()).unwrap_or("{}");
    let mut json: serde_json::Value = serde_json::from_str(text).unwrap_or_else(|error| {
        tracing::warn!(%error, "the metadata `huggingface` is no JSON");
        serde_json::Value::Null
    });
    json.pointer_mut("/info/features").map(serde_json::Value::take).unwrap_or_default()
}

/// The names of a column's classes, if it has such names, each another.
fn class_names(features: &serde_json::Value, column: &str) -> Option<Vec<String>> {
    let names = features.get(column)?.get("names")?.as_array()?;
    let names: Vec<String> =
        names.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<_>>()?;
    let mut seen = HashSet::new();
    let is_sound = !names.is_empty() && names.iter().all(|name| seen.insert(name));
    is_sound.then_some(names)
}
