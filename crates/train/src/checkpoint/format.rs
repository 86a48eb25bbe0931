//! The file: safetensors, with the manifest and a checksum of the whole in its metadata.
//!
//! Eight bytes with the length of the header, the header as JSON, the tensors' values, all little-endian. The header begins
//! with the SHA-256 of the file, in hex, always at the same place; it is of the file with zeros in the place of its digits.

use super::{CheckpointError, Manifest};
use candle_core::{DType, Tensor};
use safetensors::tensor::Metadata;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// What every header begins with.
const PREFIX: &str = r#"{"__metadata__":{"sha256":""#;
/// Bytes that hold the length of the header.
pub(super) const LENGTH: u64 = 8;
/// Where the digits of the checksum begin.
pub(super) const DIGITS_AT: u64 = LENGTH + PREFIX.len() as u64;
/// How many they are.
pub(super) const N_DIGITS: usize = 64;
/// No safetensors header is larger (the format's own limit).
const MOST: u64 = 100_000_000;
/// Characters of a value that an error shows.
const SHOWN: usize = 80;
/// What the names of tensors begin with.
const KINDS: [&str; 3] = ["parameters/", "optimizer/", "average/"];
const ALLOWED_TYPES: &str = "of type u8, u32, i16, i32, i64, bf16, f16, f32 or f64";

/// One tensor in the file; its place counts from the end of the header.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
    pub(super) start: u64,
    pub(super) end: u64,
}

/// A header that fits its file.
pub(super) struct Header {
    /// The file's checksum, as the header says.
    pub(super) sha256: String,
    pub(super) manifest: String,
    /// In the order of the file, without a gap, up to its end.
    pub(super) entries: Vec<Entry>,
}

/// The tensors' places: the widest types first, which aligns all of them, then by name.
pub(super) fn layout(tensors: &BTreeMap<String, Tensor>) -> Result<Vec<Entry>, CheckpointError> {
    let mut ordered: Vec<_> = tensors.iter().collect();
    ordered.sort_by_key(|(_, tensor)| std::cmp::Reverse(tensor.dtype().size_in_bytes()));
    let (mut entries, mut start) = (Vec::with_capacity(ordered.len()), 0);
    for (name, tensor) in ordered {
        let refused = |found: String, allowed| {
            Err(CheckpointError::Unstorable { name: format!("tensor `{}`", brief(name)), found, allowed })
        };
        if !KINDS.iter().any(|kind| name.strip_prefix(kind).is_some_and(|name| !name.is_empty())) {
            let allowed = "named `parameters/NAME`, `optimizer/NAME` or `average/NAME`";
            return refused("so named".to_owned(), allowed);
        }
        if tag(tensor.dtype()).is_none() {
            return refused(format!("of type {}", tensor.dtype().as_str()), ALLOWED_TYPES);
        }
        let end = start + (tensor.elem_count() * tensor.dtype().size_in_bytes()) as u64;
        let (name, shape) = (name.clone(), tensor.dims().to_vec());
        entries.push(Entry { name, dtype: tensor.dtype(), shape, start, end });
        start = end;
    }
    Ok(entries)
}

/// The file up to its first tensor, with zeros for the digits of the checksum.
pub(super) fn head(manifest: &Manifest, entries: &[Entry]) -> Result<Vec<u8>, CheckpointError> {
    let unstorable = |found: String, allowed| CheckpointError::Unstorable {
        name: "the manifest".to_owned(),
        found,
        allowed,
    };
    let manifest = serde_json::to_string(manifest).map_err(|error| unstorable(error.to_string(), "JSON"))?;
    let mut header = format!("{PREFIX}{}\",\"manifest\":{}}}", "0".repeat(N_DIGITS), Value::from(manifest));
    for Entry { name, dtype, shape, start, end } in entries {
        let info = json!({"dtype": tag(*dtype), "shape": shape, "data_offsets": [start, end]});
        header.push_str(&format!(",{}:{info}", Value::from(name.as_str())));
    }
    header.push('}');
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    if MOST < header.len() as u64 {
        return Err(unstorable(
            format!("{} bytes with the tensors' names", header.len()),
            "at most 100000000",
        ));
    }
    Ok([&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat())
}

/// The length of the header in a file of `file_len` bytes.
pub(super) fn header_len(bytes: [u8; 8], file_len: u64, path: &Path) -> Result<u64, CheckpointError> {
    let (n, most) = (u64::from_le_bytes(bytes), MOST.min(file_len.saturating_sub(LENGTH)));
    let least = PREFIX.len() as u64 + N_DIGITS as u64;
    if (least..=most).contains(&n) {
        return Ok(n);
    }
    let allowed = format!("{least} to {most}, in a file of {file_len} bytes");
    Err(CheckpointError::damaged(path, 0, "the length of its header", n.to_string(), allowed))
}

/// Reads a header and holds it against the length of its file.
pub(super) fn parse(header: &[u8], file_len: u64, path: &Path) -> Result<Header, CheckpointError> {
    let refused = |offset: u64, what: &str, found: String, allowed: &str| {
        CheckpointError::damaged(path, offset, what, found, allowed)
    };
    if !header.starts_with(PREFIX.as_bytes()) {
        let found =
            String::from_utf8_lossy(&header[..header.len().min(PREFIX.len())]).escape_debug().to_string();
        return Err(refused(LENGTH, "the start of its header", found, PREFIX));
    }
    let text = std::str::from_utf8(header).map_err(|error| {
        refused(LENGTH + error.valid_up_to() as u64, "its header", "no UTF-8".to_owned(), "text")
    })?;
    let metadata: Metadata = serde_json::from_str(text).map_err(|error| {
        // This program writes a single line.
        let offset = LENGTH + if error.line() == 1 { error.column() as u64 } else { 0 };
        refused(offset, "its header", brief(&error.to_string()), "that of a safetensors file")
    })?;
    let (end, in_file) = (metadata.data_len() as u64, file_len - LENGTH - header.len() as u64);
    if end != in_file {
        let allowed = format!("{end}, where its tensors end");
        return Err(refused(
            LENGTH + header.len() as u64,
            "the size of its values",
            in_file.to_string(),
            &allowed,
        ));
    }
    let about = metadata.metadata().as_ref();
    let text = |key: &str| {
        let value = about.and_then(|about| about.get(key)).cloned();
        value.ok_or_else(|| {
            refused(LENGTH, &format!("`{key}` of its metadata"), "missing".to_owned(), "there")
        })
    };
    let entries = metadata.offset_keys().into_iter().map(|name| {
        let info = metadata.info(&name).expect("it gave the name itself");
        let what = format!("tensor `{}`", brief(&name));
        let dtype = DType::try_from(info.dtype).ok().filter(|dtype| tag(*dtype).is_some());
        let dtype =
            dtype.ok_or_else(|| refused(LENGTH, &what, format!("{:?}", info.dtype), ALLOWED_TYPES))?;
        // The strides of an empty tensor can overflow where its size does not.
        let most = info.shape.iter().try_fold(8usize, |n, dim| n.checked_mul((*dim).max(1)));
        if most.is_none() {
            return Err(refused(LENGTH, &what, format!("of shape {:?}", info.shape), "of a size below 2^61"));
        }
        let (start, end) = (info.data_offsets.0 as u64, info.data_offsets.1 as u64);
        Ok(Entry { name, dtype, shape: info.shape.clone(), start, end })
    });
    let entries = entries.collect::<Result<_, _>>()?;
    Ok(Header { sha256: text("sha256")?, manifest: text("manifest")?, entries })
}

/// The name of a type in the file, if it can be there.
fn tag(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::U8 => "U8",
        DType::U32 => "U32",
        DType::I16 => "I16",
        DType::I32 => "I32",
        DType::I64 => "I64",
        DType::BF16 => "BF16",
        DType::F16 => "F16",
        DType::F32 => "F32",
        DType::F64 => "F64",
        _ => return None,
    })
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As much of a text as an error shows.
pub(super) fn brief(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
