//! A checkpoint of 100 MB of f32 values: saving it (written, synced, read back, renamed, the old one removed), and loading it.
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros, and a bench may panic")]

use batchwise_train::checkpoint::{Manifest, Snapshot, Store};
use candle_core::{Device, Tensor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::Value;
use std::num::NonZeroUsize;
use std::path::Path;

const BYTES: u32 = 100_000_000;

fn checkpoint(c: &mut Criterion) {
    let values: Vec<f32> = (0..BYTES / 4).map(|i| i as f32).collect();
    let weight = Tensor::new(values, &Device::Cpu).unwrap();
    let tensors = [("parameters/weight".to_owned(), weight)].into();
    let snapshot = Snapshot::new(Manifest::new(Value::Null, ""), tensors);
    // In the build's folder, which is on a disk; a temporary folder may be in memory.
    let folder = tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let mut store = Store::open(folder.path()).unwrap().keep(NonZeroUsize::MIN);
    let mut group = c.benchmark_group("checkpoint");
    group.sample_size(10).throughput(Throughput::Bytes(BYTES.into()));
    group.bench_function("save", |b| b.iter(|| store.save(&snapshot, false).unwrap().bytes));
    // Saved here, as a filter may leave the other function out.
    let path = store.save(&snapshot, false).unwrap().path;
    group.bench_function("load", |b| b.iter(|| Snapshot::load(&path).unwrap()));
    group.finish();
}

criterion_group!(benches, checkpoint);
criterion_main!(benches);
