//! The same step with and without a noise tap, timed in turn: what the measurement costs.
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros, and a bench may panic")]
#![allow(clippy::print_stdout, reason = "the ratio is the result")]

use batchwise_data::Dataset;
use batchwise_nn::optim::{AdamWConfig, OptimizerConfig};
use batchwise_train::{Run, Tap, Trainer};
use benches::{MODELS, SGD, glyphs, in_memory, paired, task};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::sync::Arc;
use std::time::Duration;

const BATCHES: [u64; 3] = [64, 256, 512];
/// Micro-batches of a batch.
const PARTS: u64 = 8;

fn with(model: &str, data: &Arc<dyn Dataset>, batch: u64, micro_batch: u64, tap: Tap) -> Trainer {
    let run = Run { tap, ..Run::idle(batch, micro_batch, SGD, 1) };
    Trainer::new(task(model).unwrap(), Arc::clone(data), run).unwrap()
}

/// From micro-batches, and from the examples of a batch that is one micro-batch.
fn taps(c: &mut Criterion) {
    let data = in_memory(glyphs(8192).unwrap().as_ref()).unwrap();
    for model in MODELS {
        for batch in BATCHES {
            for (name, micro_batch, tap) in
                [("norms", batch / PARTS, Tap::Norms), ("examples", batch, Tap::Examples)]
            {
                let trainers = || [Tap::Off, tap].map(|tap| with(model, &data, batch, micro_batch, tap));
                let mut group = c.benchmark_group(format!("noise_tap/{model}/{batch}/{name}"));
                group
                    .sample_size(10)
                    .measurement_time(Duration::from_secs(1))
                    .warm_up_time(Duration::from_millis(200));
                group.throughput(Throughput::Elements(batch));
                for (mut trainer, kind) in trainers().into_iter().zip(["off", "on"]) {
                    group.bench_function(BenchmarkId::from_parameter(kind), |b| {
                        b.iter(|| trainer.step().unwrap())
                    });
                }
                group.finish();
                let [mut off, mut on] = trainers();
                let pair = paired(|| off.step().unwrap(), || on.step().unwrap());
                println!("{name} on {model}, batch {batch} in micro-batches of {micro_batch}: {pair}\n");
            }
        }
    }
}

/// What the metrics of AdamW's preconditioner cost beside the plain norms.
fn preconditioned(_: &mut Criterion) {
    let data = in_memory(glyphs(8192).unwrap().as_ref()).unwrap();
    let adamw = OptimizerConfig::AdamW(AdamWConfig::USUAL);
    for model in MODELS {
        for batch in BATCHES {
            let micro_batch = batch / PARTS;
            let [mut plain, mut both] = [false, true].map(|tap_preconditioned| {
                let run =
                    Run { tap: Tap::Norms, tap_preconditioned, ..Run::idle(batch, micro_batch, adamw, 1) };
                Trainer::new(task(model).unwrap(), Arc::clone(&data), run).unwrap()
            });
            let pair = paired(|| plain.step().unwrap(), || both.step().unwrap());
            println!("AdamW's metrics on {model}, batch {batch} in micro-batches of {micro_batch}: {pair}\n");
        }
    }
}

criterion_group!(benches, taps, preconditioned);
criterion_main!(benches);
