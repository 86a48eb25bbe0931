//! The same step with and without the noise tap, timed in turn: what the measurement costs, also with a preconditioner.
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros, and a bench may panic")]
#![allow(clippy::print_stdout, reason = "the ratio is the result")]

use batchwise_nn::optim::{AdamWConfig, OptimizerConfig};
use batchwise_train::{Run, Tap, Trainer};
use benches::{MODELS, glyphs, in_memory, task, trainer};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::sync::Arc;
use std::time::{Duration, Instant};

const TAPS: [(&str, Tap); 2] = [("off", Tap::Off), ("norms", Tap::Norms)];

fn noise_tap(c: &mut Criterion) {
    let dataset = in_memory(glyphs(8192).unwrap().as_ref()).unwrap();
    for model in MODELS {
        for (batch, micro_batch) in [(64u64, 8u64), (256, 32), (512, 64)] {
            let mut group =
                c.benchmark_group(format!("noise_tap/{model}/{batch}={}x{micro_batch}", batch / micro_batch));
            group
                .sample_size(10)
                .measurement_time(Duration::from_secs(2))
                .warm_up_time(Duration::from_millis(300));
            group.throughput(Throughput::Elements(batch));
            for (name, tap) in TAPS {
                let mut trainer = trainer(model, Arc::clone(&dataset), batch, micro_batch, tap).unwrap();
                group.bench_function(BenchmarkId::from_parameter(name), |b| {
                    b.iter(|| trainer.step().unwrap())
                });
            }
            group.finish();
            let mut pair =
                TAPS.map(|(_, tap)| trainer(model, Arc::clone(&dataset), batch, micro_batch, tap).unwrap());
            let ratio = ratio(&mut pair);
            println!(
                "noise tap on {model}, {batch} = {} × {micro_batch}: × {ratio:.4}\n",
                batch / micro_batch
            );
        }
    }
}

/// What the metrics of AdamW's preconditioner cost beside the plain norms.
fn preconditioned(_: &mut Criterion) {
    let dataset = in_memory(glyphs(8192).unwrap().as_ref()).unwrap();
    let adamw = OptimizerConfig::AdamW(AdamWConfig::USUAL);
    for model in MODELS {
        for (batch, micro_batch) in [(64u64, 8u64), (256, 32), (512, 64)] {
            let with = |tap, tap_preconditioned| {
                let run = Run { tap, tap_preconditioned, ..Run::idle(batch, micro_batch, adamw, 1) };
                Trainer::new(task(model).unwrap(), Arc::clone(&dataset), run).unwrap()
            };
            let norms = ratio(&mut [with(Tap::Off, false), with(Tap::Norms, false)]);
            let both = ratio(&mut [with(Tap::Off, false), with(Tap::Norms, true)]);
            println!(
                "AdamW on {model}, {batch} = {} × {micro_batch}: tap × {norms:.4}, with the preconditioner × {both:.4}\n",
                batch / micro_batch
            );
        }
    }
}

/// Time with the tap over time without, the median of many pairs timed one after the other.
fn ratio(pair: &mut [Trainer; 2]) -> f64 {
    let mut ratios = Vec::new();
    let end = Instant::now() + Duration::from_secs(4);
    while Instant::now() < end || ratios.len() < 11 {
        let mut seconds = [0.0; 2];
        // The order alternates, so that neither always comes first.
        for i in [ratios.len() % 2, 1 - ratios.len() % 2] {
            let start = Instant::now();
            pair[i].step().unwrap();
            seconds[i] = start.elapsed().as_secs_f64();
        }
        ratios.push(seconds[1] / seconds[0]);
    }
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

criterion_group!(benches, noise_tap, preconditioned);
criterion_main!(benches);
