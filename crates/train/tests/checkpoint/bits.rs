//! What comes back is what was saved, to the bit.

use crate::{bits, same, snapshot};
use batchwise_train::checkpoint::{CheckpointError, Manifest, Snapshot, Store, to_value};
use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const TYPES: [DType; 9] = [
    DType::U8,
    DType::U32,
    DType::I16,
    DType::I32,
    DType::I64,
    DType::BF16,
    DType::F16,
    DType::F32,
    DType::F64,
];

fn through_a_file(snapshot: &Snapshot) -> Snapshot {
    let folder = tempfile::tempdir().unwrap();
    let saved = Store::open(folder.path()).unwrap().save(snapshot, false).unwrap();
    Snapshot::load(&saved.path).unwrap()
}

/// A tensor whose values have these bits.
fn tensor(dtype: DType, shape: &[usize], bytes: &[u8]) -> Tensor {
    let n = shape.iter().product::<usize>() * dtype.size_in_bytes();
    Tensor::from_raw_buffer(&bytes[..n], dtype, shape, &Device::Cpu).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn tensors_of_every_type_shape_and_bit(
        tensors in prop::collection::vec(
            (0..TYPES.len(), prop::collection::vec(0usize..5, 0..4), any::<bool>()),
            0..6,
        ),
        bytes in prop::collection::vec(any::<u8>(), 1024..=1024),
    ) {
        let tensors: BTreeMap<String, Tensor> = tensors.into_iter().enumerate().map(|(i, (dtype, shape, turned))| {
            let x = tensor(TYPES[dtype], &shape, &bytes[8 * i..]);
            // Not dense, and not from the start of its storage.
            let x = if turned && 2 <= shape.len() { x.transpose(0, 1).unwrap() } else { x };
            let x = if turned && shape.len() == 1 && 1 < shape[0] { x.narrow(0, 1, shape[0] - 1).unwrap() } else { x };
            (format!("{}/{i}", ["parameters", "optimizer", "average"][i % 3]), x)
        }).collect();
        let snapshot = Snapshot::new(Manifest::new(Value::Null, ""), tensors);
        prop_assert!(same(&through_a_file(&snapshot), &snapshot));
    }

    #[test]
    fn numbers_of_a_state(numbers in prop::collection::vec(any::<u64>(), 1..50), name in "\\PC*") {
        let finite: Vec<f64> = numbers.iter().map(|bits| f64::from_bits(*bits)).filter(|x| x.is_finite()).collect();
        let mut snapshot = snapshot(1);
        snapshot.manifest.state = json!({"bits": numbers, (name.clone()): to_value("state", &finite).unwrap()});
        snapshot.manifest.files.insert(name.clone(), u64::MAX);
        let read = through_a_file(&snapshot);
        prop_assert_eq!(&read.manifest, &snapshot.manifest);
        if name != "bits" {
            let back: Vec<u64> =
                read.manifest.state[&name].as_array().unwrap().iter().map(|x| x.as_f64().unwrap().to_bits()).collect();
            prop_assert_eq!(back, finite.iter().map(|x| x.to_bits()).collect::<Vec<_>>());
        }
    }
}

#[test]
fn more_values_than_one_write_takes() {
    // 2.4 and 1.1 MB, neither a multiple of a block.
    let wide: Vec<f64> = (0..300_001).map(|i| f64::from(i) / 7.0).collect();
    let bytes: Vec<u8> = (0..1_100_003u32).map(|i| (i % 251) as u8).collect();
    let tensors = BTreeMap::from([
        ("parameters/a".to_owned(), Tensor::new(bytes, &Device::Cpu).unwrap()),
        ("parameters/b".to_owned(), Tensor::new(wide, &Device::Cpu).unwrap()),
    ]);
    let snapshot = Snapshot::new(Manifest::new(Value::Null, ""), tensors);
    assert!(same(&through_a_file(&snapshot), &snapshot));
}

#[test]
fn other_programs_read_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = snapshot(5);
    let saved = Store::open(folder.path()).unwrap().save(&snapshot, false).unwrap();
    let read = candle_core::safetensors::load(&saved.path, &Device::Cpu).unwrap();
    assert_eq!(bits(&read.into_iter().collect()), bits(&snapshot.tensors));
    let file = std::fs::read(&saved.path).unwrap();
    assert_eq!(file.len() as u64, saved.bytes);
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&file).unwrap();
    let about = metadata.metadata().as_ref().unwrap();
    assert_eq!(about["sha256"], saved.sha256);
    assert_eq!(serde_json::from_str::<Manifest>(&about["manifest"]).unwrap(), snapshot.manifest);
}

#[test]
fn tensors_come_by_kind() {
    let of_kind = snapshot(5).of_kind("parameters");
    assert_eq!(of_kind.keys().collect::<Vec<_>>(), ["layer0.bias", "layer0.weight"]);
    assert_eq!(snapshot(5).of_kind("param").len(), 0);
}

#[test]
fn numbers_that_json_lacks_are_refused_by_key() {
    #[derive(Serialize)]
    enum Kind {
        Tuple(f64, f64),
        Newtype(Box<State>),
        Unit,
    }
    #[derive(Serialize)]
    struct State {
        rates: BTreeMap<String, Vec<Option<f32>>>,
        kind: Kind,
    }
    let state = |x: f32, y: f64| State {
        rates: BTreeMap::from([("a".to_owned(), vec![None, Some(x)])]),
        kind: Kind::Newtype(Box::new(State { rates: BTreeMap::new(), kind: Kind::Tuple(1.0, y) })),
    };
    assert_eq!(
        to_value("s", &state(0.5, 2.0)).unwrap(),
        json!({"rates": {"a": [null, 0.5]}, "kind": {"Newtype": {"rates": {}, "kind": {"Tuple": [1.0, 2.0]}}}})
    );
    assert_eq!(to_value("s", &Kind::Unit).unwrap(), json!("Unit"));
    let error = |x, y| to_value("s", &state(x, y)).unwrap_err().to_string();
    assert_eq!(
        error(f32::NAN, 1.0),
        "a checkpoint cannot hold `s.rates.a.1`: it is NaN, but must be a finite number"
    );
    assert!(error(1.0, f64::NEG_INFINITY).contains("`s.kind.Newtype.kind.Tuple.1`: it is -inf"));
    // JSON's keys are text, and its integers are of 64 bits here.
    assert!(to_value("s", &BTreeMap::from([((1, 2), 3)])).is_err());
    assert!(to_value("s", &u128::MAX).is_err());
}

#[test]
fn what_a_checkpoint_cannot_hold_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path()).unwrap();
    let x = Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap();
    let mut refused = |snapshot: &Snapshot, reason: &str| {
        let error = store.save(snapshot, false).unwrap_err();
        assert!(matches!(error, CheckpointError::Unstorable { .. }), "{error:?}");
        assert!(error.to_string().contains(reason), "{error}");
    };
    let with = |name: &str, x: &Tensor| {
        Snapshot::new(Manifest::new(Value::Null, ""), BTreeMap::from([(name.to_owned(), x.clone())]))
    };
    for name in ["weight", "__metadata__", "parameters/", "parameter/a", "/a", ""] {
        refused(&with(name, &x), &format!("tensor `{name}`"));
    }
    refused(
        &with("average/a", &x.to_dtype(DType::F8E4M3).unwrap()),
        "tensor `average/a`: it is of type f8e4m3",
    );
    let mut other = snapshot(1);
    other.manifest.model[0].shape = vec![3];
    refused(&other, "`model`: it is `layer0.bias`, f32 [3]");
    let mut other = snapshot(1);
    other.manifest.configuration = json!(2);
    refused(&other, "`configuration_sha256`");
    assert_eq!(store.list().unwrap().len(), 0);
}
