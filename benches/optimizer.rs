//! One optimizer step on the parameters of the built-in models.
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros, and a bench may panic")]

use batchwise_data::{Order, gather_batch};
use batchwise_nn::Gradients;
use batchwise_nn::gradients::Tap;
use batchwise_nn::optim::{AdamWConfig, OptimizerConfig};
use benches::{MODELS, SGD, glyphs, task};
use candle_core::Device;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn optimizer(c: &mut Criterion) {
    let dataset = glyphs(64).unwrap();
    let batch = gather_batch(dataset.as_ref(), &Order::new(1, 64).unwrap(), 0..64, &Device::Cpu).unwrap();
    for (name, config) in [("sgd", SGD), ("adamw", OptimizerConfig::AdamW(AdamWConfig::USUAL))] {
        let mut group = c.benchmark_group(format!("optimizer/{name}"));
        for model in MODELS {
            let task = task(model).unwrap();
            let output = task.model.forward_t(&batch.inputs, true).unwrap();
            let mut store = (task.loss)(&output, &batch.targets).unwrap().sum.backward().unwrap();
            let mut gradients = Gradients::new();
            gradients.add(&task.parameters, &mut store, Tap::Off).unwrap();
            let mut optimizer = config.build(&task.parameters).unwrap();
            group.throughput(Throughput::Elements(task.parameters.n_elements() as u64));
            group.bench_function(BenchmarkId::from_parameter(model), |b| {
                b.iter(|| optimizer.step(&task.parameters, &gradients, 0.0).unwrap());
            });
        }
        group.finish();
    }
}

criterion_group!(benches, optimizer);
criterion_main!(benches);
