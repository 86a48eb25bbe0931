//! From positions to batches: the order alone, gathering, and the loader with its threads, in examples per second.
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros, and a bench may panic")]

use batchwise_data::{Batches, LastBatch, Loader, LoaderConfig, Order, gather_batch};
use benches::{glyphs, synthetic_images};
use candle_core::Device;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const BATCHES: [u64; 4] = [1, 32, 256, 4096];

fn order(c: &mut Criterion) {
    let mut group = c.benchmark_group("loader/order");
    for len in [60_000u64, 1 << 33] {
        let order = Order::new(1, len).unwrap();
        let (mut rows, mut start) = (Vec::new(), 0);
        group.throughput(Throughput::Elements(256));
        group.bench_function(BenchmarkId::from_parameter(len), |b| {
            b.iter(|| {
                order.rows(start..start + 256, &mut rows);
                start += 256;
                rows.last().copied()
            });
        });
    }
    group.finish();
}

fn gather(c: &mut Criterion) {
    for (name, dataset) in [
        ("loader/gather/bytes", synthetic_images(60_000).unwrap()),
        ("loader/gather/glyphs", glyphs(60_000).unwrap()),
    ] {
        let mut group = c.benchmark_group(name);
        let order = Order::new(1, dataset.len()).unwrap();
        for batch in BATCHES {
            group.throughput(Throughput::Elements(batch));
            group.bench_function(BenchmarkId::from_parameter(batch), |b| {
                let mut positions = Batches::new(&order, 0..u64::MAX, batch, LastBatch::Wrap).unwrap();
                b.iter(|| {
                    gather_batch(dataset.as_ref(), &order, positions.next().unwrap(), &Device::Cpu).unwrap()
                });
            });
        }
        group.finish();
    }
}

/// Each batch's memory goes back to the loader, as training does it.
fn batches(c: &mut Criterion) {
    let dataset = synthetic_images(60_000).unwrap();
    let order = Order::new(1, dataset.len()).unwrap();
    for n_threads in [0, 1, 2] {
        let mut group = c.benchmark_group(format!("loader/threads/{n_threads}"));
        for batch in BATCHES {
            group.throughput(Throughput::Elements(batch));
            group.bench_function(BenchmarkId::from_parameter(batch), |b| {
                let config = LoaderConfig { n_threads, n_ready: 2 * n_threads.max(1) };
                let mut loader = Loader::with(dataset.clone(), order.clone(), Device::Cpu, config).unwrap();
                let positions = Batches::new(&order, 0..u64::MAX, batch, LastBatch::Wrap).unwrap();
                let mut iter = loader.iter(positions);
                b.iter(|| {
                    let batch = iter.next().unwrap().unwrap();
                    iter.recycle(batch);
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, order, gather, batches);
criterion_main!(benches);
