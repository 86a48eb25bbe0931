//! A step of the trainer beside the same step written out by hand, timed in turn: what the trainer itself costs.
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros, and a bench may panic")]
#![allow(clippy::print_stdout, reason = "the ratio is the result")]

use batchwise_data::{Dataset, Loader, Order};
use batchwise_nn::gradients::Tap as GradientTap;
use batchwise_nn::optim::Optimizer;
use batchwise_nn::{Gradients, Recorded};
use batchwise_train::{Tap, Task};
use benches::{MODELS, SGD, glyphs, in_memory, paired, task, trainer};
use candle_core::{DType, Device};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::sync::Arc;
use std::time::Duration;

/// What anyone would write: a batch, forward, loss, backward, update, and the loss as a number.
struct ByHand {
    task: Task,
    loader: Loader,
    optimizer: Box<dyn Optimizer>,
    gradients: Gradients,
    batch: u64,
    at: u64,
}

impl ByHand {
    fn new(model: &str, dataset: Arc<dyn Dataset>, batch: u64) -> Self {
        let task = task(model).unwrap();
        let order = Order::new(1, dataset.len()).unwrap();
        let mut loader = Loader::new(dataset, order, Device::Cpu).unwrap();
        loader.request(0..batch).unwrap();
        let optimizer = SGD.build(&task.parameters).unwrap();
        Self { task, loader, optimizer, gradients: Gradients::new(), batch, at: 0 }
    }

    fn step(&mut self) -> f64 {
        let data = self.loader.receive().unwrap();
        self.at += self.batch;
        self.loader.request(self.at..self.at + self.batch).unwrap();
        let recorded = Recorded::new(|| {
            let output = self.task.model.forward_t(&data.inputs, true)?;
            (self.task.loss)(&output, &data.targets).map(|loss| loss.sum)
        });
        let recorded = recorded.unwrap().scaled(1.0 / self.batch as f64);
        let sum = recorded.loss().detach();
        self.gradients.backward(&self.task.parameters, recorded, GradientTap::Off).unwrap();
        self.optimizer.step(&self.task.parameters, &self.gradients, 0.0).unwrap();
        self.gradients.clear();
        self.loader.recycle(data);
        sum.to_dtype(DType::F64).unwrap().to_scalar::<f64>().unwrap() / self.batch as f64
    }
}

fn overhead(c: &mut Criterion) {
    let dataset = in_memory(glyphs(8192).unwrap().as_ref()).unwrap();
    for model in MODELS {
        // From far below to beyond the 5 ms that a step of some use takes.
        for batch in [8u64, 64, 512] {
            let mut by_hand = ByHand::new(model, Arc::clone(&dataset), batch);
            let mut trainer = trainer(model, Arc::clone(&dataset), batch, batch, Tap::Off).unwrap();
            let mut group = c.benchmark_group(format!("trainer/{model}/{batch}"));
            group
                .sample_size(10)
                .measurement_time(Duration::from_secs(2))
                .warm_up_time(Duration::from_millis(300));
            group.throughput(Throughput::Elements(batch));
            group.bench_function(BenchmarkId::from_parameter("by hand"), |b| b.iter(|| by_hand.step()));
            group.bench_function(BenchmarkId::from_parameter("trainer"), |b| {
                b.iter(|| trainer.step().unwrap())
            });
            group.finish();
            let pair = paired(|| by_hand.step(), || trainer.step().unwrap());
            println!("trainer on {model}, batch {batch}: {pair}\n");
        }
    }
}

criterion_group!(benches, overhead);
criterion_main!(benches);
