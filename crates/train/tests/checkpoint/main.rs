//! Checkpoints: exact, whole or refused, and only for the run they are of.
#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod bits;
mod check;
mod damage;
mod period;
mod store;

use batchwise_train::checkpoint::{Manifest, Snapshot};
use candle_core::{DType, Device, Tensor};
use safetensors::View;
use serde_json::json;
use std::collections::BTreeMap;

/// A small one with tensors of all three kinds.
fn snapshot(examples: u64) -> Snapshot {
    let tensor = |values: &[f32]| Tensor::new(values, &Device::Cpu).unwrap();
    let x = examples as f32;
    let tensors = BTreeMap::from([
        ("parameters/layer0.bias".to_owned(), tensor(&[x, -0.0])),
        ("parameters/layer0.weight".to_owned(), tensor(&[1.5, x, 3.0, -1.0]).reshape((2, 2)).unwrap()),
        ("optimizer/n_steps".to_owned(), Tensor::new(examples as i64, &Device::Cpu).unwrap()),
        ("average/layer0.bias".to_owned(), tensor(&[0.1 * x, 1e-40])),
    ]);
    let mut manifest =
        Manifest::new(json!({"batch": 32, "optimizer": {"rate": 0.1, "betas": [0.9, 0.99]}}), "data");
    (manifest.examples, manifest.steps) = (examples, examples / 32);
    manifest.state = json!({"noise": [0.1, 1e300], "sampler": examples});
    manifest.files = BTreeMap::from([("metrics.jsonl".to_owned(), 7 * examples)]);
    Snapshot::new(manifest, tensors)
}

/// Type, shape and bytes of each tensor.
fn bits(tensors: &BTreeMap<String, Tensor>) -> BTreeMap<String, (DType, Vec<usize>, Vec<u8>)> {
    let bytes = |x: &Tensor| x.flatten_all().unwrap().data().into_owned();
    tensors.iter().map(|(name, x)| (name.clone(), (x.dtype(), x.dims().to_vec(), bytes(x)))).collect()
}

fn same(a: &Snapshot, b: &Snapshot) -> bool {
    a.manifest == b.manifest && bits(&a.tensors) == bits(&b.tensors)
}
