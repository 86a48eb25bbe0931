//! Gathering and normalising examples, in examples per second.
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros, and a bench may panic")]

use batchwise_data::{Order, gather_batch, open};
use benches::glyphs;
use candle_core::Device;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::io::Write;

/// Random bytes as the four files of an IDX folder.
fn idx_folder(n: usize) -> std::path::PathBuf {
    let dir = std::env::temp_dir().join(format!("batchwise-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    for part in ["train", "t10k"] {
        let mut images = vec![0, 0, 8, 3];
        [n, 28, 28].iter().for_each(|dim| images.extend((*dim as u32).to_be_bytes()));
        images.extend((0..n * 784).map(|i| ((i * 2_654_435_761) >> 13) as u8));
        let mut labels = vec![0, 0, 8, 1];
        labels.extend((n as u32).to_be_bytes());
        labels.extend((0..n).map(|i| (i % 10) as u8));
        for (name, content) in [("images-idx3", images), ("labels-idx1", labels)] {
            let path = dir.join(format!("{part}-{name}-ubyte"));
            std::fs::File::create(path).unwrap().write_all(&content).unwrap();
        }
    }
    dir
}

fn gather(c: &mut Criterion) {
    let dir = idx_folder(60_000);
    let idx = open(&dir.display().to_string(), None).unwrap().train;
    std::fs::remove_dir_all(&dir).unwrap();
    for (name, dataset) in [("gather/idx", idx), ("gather/glyphs", glyphs(60_000).unwrap())] {
        let mut group = c.benchmark_group(name);
        let order = Order::new(1, dataset.len()).unwrap();
        for batch in [1u64, 32, 256, 2048] {
            group.throughput(Throughput::Elements(batch));
            group.bench_function(BenchmarkId::from_parameter(batch), |b| {
                let mut start = 0;
                b.iter(|| {
                    if order.remaining_in_epoch(start) < batch {
                        start = 0;
                    }
                    let gathered =
                        gather_batch(dataset.as_ref(), &order, start..start + batch, &Device::Cpu).unwrap();
                    start += batch;
                    gathered
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, gather);
criterion_main!(benches);
