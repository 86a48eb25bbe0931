//! Damaged files are refused with a reason, whatever the damage.

use crate::{same, snapshot};
use batchwise_train::checkpoint::{CheckpointError, Snapshot, Store};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// Where the digits of the checksum begin.
const DIGITS: usize = 8 + r#"{"__metadata__":{"sha256":""#.len();

struct Case {
    folder: tempfile::TempDir,
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Case {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = Store::open(folder.path()).unwrap().save(&snapshot(7), false).unwrap().path;
        let bytes = fs::read(&path).unwrap();
        Self { folder, path, bytes }
    }

    fn load(&self, bytes: &[u8]) -> Result<Snapshot, Box<CheckpointError>> {
        let path = self.folder.path().join("damaged");
        fs::write(&path, bytes).unwrap();
        Snapshot::load(&path).map_err(Box::new)
    }

    /// The reason of a refusal, which must be damage.
    fn reason(&self, bytes: &[u8]) -> String {
        let error = self.load(bytes).expect_err("it is damaged");
        assert!(matches!(*error, CheckpointError::Damaged { .. }), "{error:?}");
        assert!(error.is_damage());
        error.to_string()
    }

    /// The header, as JSON and with its length.
    fn header(&self) -> (String, usize) {
        let n = u64::from_le_bytes(self.bytes[..8].try_into().unwrap()) as usize;
        (String::from_utf8(self.bytes[8..8 + n].to_vec()).unwrap(), n)
    }

    /// A file with another header and a checksum that fits.
    fn with_header(&self, header: &str) -> Vec<u8> {
        let (_, n) = self.header();
        seal([&(header.len() as u64).to_le_bytes(), header.as_bytes(), &self.bytes[8 + n..]].concat())
    }

    /// A file with another manifest and a checksum that fits.
    fn with_manifest(&self, change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let (header, _) = self.header();
        let parsed: Value = serde_json::from_str(&header).unwrap();
        let old = parsed["__metadata__"]["manifest"].as_str().unwrap();
        let mut manifest = serde_json::from_str(old).unwrap();
        change(&mut manifest);
        let (old, new) = (Value::from(old).to_string(), Value::from(manifest.to_string()).to_string());
        assert!(header.contains(&old));
        self.with_header(&header.replace(&old, &new))
    }
}

/// Puts the checksum in that the bytes have.
fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[DIGITS..DIGITS + 64].fill(b'0');
    let digits: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    bytes[DIGITS..DIGITS + 64].copy_from_slice(digits.as_bytes());
    bytes
}

#[test]
fn the_undamaged_file_loads() {
    let case = Case::new();
    assert!(same(&case.load(&case.bytes).unwrap(), &snapshot(7)));
    assert!(same(&Snapshot::load(&case.path).unwrap(), &snapshot(7)));
    assert_eq!(seal(case.bytes.clone()), case.bytes);
    assert!(same(&case.load(&case.with_manifest(|_| ())).unwrap(), &snapshot(7)));
}

#[test]
fn every_byte_counts() {
    let case = Case::new();
    for i in 0..case.bytes.len() {
        for flip in [0x01, 0x20, 0x80, 0xff] {
            let mut bytes = case.bytes.clone();
            bytes[i] ^= flip;
            let reason = case.reason(&bytes);
            assert!(reason.contains("is no whole checkpoint: "), "{reason}");
        }
    }
}

#[test]
fn every_length_but_its_own_is_refused() {
    let case = Case::new();
    for n in 0..case.bytes.len() {
        case.reason(&case.bytes[..n]);
    }
    for more in [1, 8, 100_000] {
        let longer = [&case.bytes[..], &vec![0; more]].concat();
        assert!(case.reason(&longer).contains("the size of its values"));
    }
}

#[test]
fn the_length_of_a_header_claims_no_memory() {
    let case = Case::new();
    for n in [0, 1, 90, 100_000_001, 1 << 40, 1 << 63, u64::MAX - 7, u64::MAX] {
        let mut bytes = case.bytes.clone();
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        let reason = case.reason(&bytes);
        assert!(
            reason.contains(&format!("the length of its header at byte 0 is {n}, but must be")),
            "{reason}"
        );
    }
}

#[test]
fn what_is_no_file_is_refused() {
    let case = Case::new();
    let reason = |path: &Path| Snapshot::load(path).unwrap_err().to_string();
    assert!(reason(case.folder.path()).contains("it is a folder, but must be a file"));
    if cfg!(unix) {
        assert!(reason(Path::new("/dev/zero")).contains("no regular file"));
    }
    let gone = Snapshot::load(&case.folder.path().join("gone")).unwrap_err();
    assert!(matches!(gone, CheckpointError::Io { .. }) && gone.to_string().contains("gone"), "{gone}");
    assert!(case.reason(b"").contains("its size is 0 bytes"));
    assert!(case.reason(&[b'x'; 5000]).contains("the length of its header"));
}

/// Damage that a checksum cannot tell, since it is right.
#[test]
fn headers_with_a_right_checksum_are_read_with_the_same_care() {
    let case = Case::new();
    let (header, _) = case.header();
    let bias = r#""average/layer0.bias":{"data_offsets":[8,16],"dtype":"F32","shape":[2]}"#;
    assert!(header.contains(bias), "{header}");
    let with = |new: &str| case.reason(&case.with_header(&header.replace(bias, new)));
    for (info, reason) in [
        (r#"{"data_offsets":[9,17],"dtype":"F32","shape":[2]}"#, "invalid offset"),
        (r#"{"data_offsets":[16,8],"dtype":"F32","shape":[2]}"#, "invalid offset"),
        (r#"{"data_offsets":[8,16],"dtype":"F32","shape":[3]}"#, "invalid shape, data type, or offset"),
        (r#"{"data_offsets":[8,16],"dtype":"F64","shape":[2]}"#, "invalid shape, data type, or offset"),
        (
            r#"{"data_offsets":[8,16],"dtype":"I8","shape":[8]}"#,
            "tensor `average/layer0.bias` at byte 8 is I8",
        ),
        (r#"{"data_offsets":[8,16],"dtype":"F8_E4M3","shape":[8]}"#, "must be of type u8"),
        (r#"{"data_offsets":[8,16],"dtype":"X","shape":[2]}"#, "unknown variant"),
        (r#"{"data_offsets":[8,16],"dtype":"F32","shape":[-2]}"#, "invalid value"),
        (r#"{"data_offsets":[8,16],"dtype":"F32","shape":[4294967296,4294967296,2]}"#, "overflow"),
        (r#"{"data_offsets":[8,18446744073709551615],"dtype":"F32","shape":[2]}"#, "invalid"),
        (r#"{"data_offsets":[8,99999999999999999999],"dtype":"F32","shape":[2]}"#, "its header"),
        (r#"{"data_offsets":[8,16],"dtype":"F32"}"#, "missing field"),
    ] {
        let found = with(&format!(r#""average/layer0.bias":{info}"#));
        assert!(found.contains(reason), "{info}: {found}");
    }
    // No values, but strides that overflow.
    let empty = r#""average/z":{"data_offsets":[8,8],"dtype":"F32","shape":[0,1099511627776,1099511627776]}"#;
    assert!(with(&format!("{empty},{bias}")).contains("of a size below 2^61"));
    assert!(with(r#""parameters/z":{"data_offsets":[8,16],"dtype":"F32","shape":[2]}"#).contains("`model`"));
    let without =
        |key: &str| case.reason(&case.with_header(&header.replace(&format!("\"{key}\""), "\"other\"")));
    assert!(without("manifest").contains("`manifest` of its metadata at byte 8 is missing"));
    assert!(without("sha256").contains("the start of its header"));
    assert!(case.reason(&case.with_header(&header.replace("}}", "}"))).contains("its header at byte"));
    let deep = format!("{},\"a\":{}", header.trim_end().strip_suffix('}').unwrap(), "[".repeat(100_000));
    assert!(case.reason(&case.with_header(&deep)).contains("its header"));
}

#[test]
fn manifests_with_a_right_checksum_are_read_with_the_same_care() {
    let case = Case::new();
    let reason = |change: &dyn Fn(&mut Value)| case.reason(&case.with_manifest(change));
    assert!(reason(&|manifest| manifest["schema"] = json!(0)).contains("`schema` of its manifest is 0"));
    assert!(reason(&|manifest| manifest["schema"] = json!(-1)).contains("is -1"));
    assert!(reason(&|manifest| manifest["more"] = json!(1)).contains("unknown field `more`"));
    assert!(reason(&|manifest| manifest["steps"] = json!(1.5)).contains("its manifest is"));
    assert!(reason(&|manifest| *manifest = json!("text")).contains("`schema`"));
    assert!(
        reason(&|manifest| drop(manifest.as_object_mut().unwrap().remove("state")))
            .contains("missing field `state`")
    );
    assert!(
        reason(&|manifest| manifest["configuration"]["batch"] = json!(33)).contains("`configuration_sha256`")
    );
    assert!(
        reason(&|manifest| manifest["model"][1]["shape"] = json!([4]))
            .contains("is `layer0.weight`, f32 [4], but must be `layer0.weight`, f32 [2, 2]")
    );
    assert!(
        reason(&|manifest| drop(manifest["model"].as_array_mut().unwrap().pop()))
            .contains("is no more, but must be `layer0.weight`")
    );
}

#[test]
fn a_later_schema_is_refused_and_never_passed_over() {
    let case = Case::new();
    let later = case.with_manifest(|manifest| {
        manifest["schema"] = json!(2);
        manifest["program"] = json!("batchwise 9.9");
        manifest["new"] = json!({"unknown": true});
    });
    let error = case.load(&later).unwrap_err();
    assert!(matches!(*error, CheckpointError::Newer { found: 2, allowed: 1, .. }) && !error.is_damage());
    assert!(error.to_string().contains("written by batchwise 9.9 in schema 2"), "{error}");
    let mut store = Store::open(case.folder.path()).unwrap();
    fs::write(store.save(&snapshot(8), false).unwrap().path, later).unwrap();
    assert!(matches!(store.load_latest(), Err(CheckpointError::Newer { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), start in 0usize..1500, len in 0usize..100) {
        let case = Case::new();
        prop_assert!(case.load(&bytes).is_err());
        // A part of a right file replaced, with a checksum that fits.
        let (start, end) = (start.min(case.bytes.len()), (start + len).min(case.bytes.len()));
        let spliced = [&case.bytes[..start], &bytes[..], &case.bytes[end..]].concat();
        let spliced = if DIGITS + 64 <= spliced.len() { seal(spliced) } else { spliced };
        let _ = case.load(&spliced);
    }
}
