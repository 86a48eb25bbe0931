//! One training step by batch size, in examples per second: the trainer on the built-in models, and the bare step of the
//! models that are compared with PyTorch.
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros, and a bench may panic")]

use batchwise_nn::memory;
use batchwise_train::Tap;
use benches::comparison::{Model, OurStep, Workload};
use benches::{MODELS, glyphs, in_memory, trainer};
use criterion::measurement::WallTime;
use criterion::{
    AxisScale, BenchmarkGroup, BenchmarkId, Criterion, PlotConfiguration, Throughput, criterion_group,
    criterion_main,
};
use std::sync::Arc;
use std::time::Duration;

fn group<'a>(c: &'a mut Criterion, model: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(format!("step/{model}"));
    group.plot_config(PlotConfiguration::default().summary_scale(AxisScale::Logarithmic));
    group.sample_size(10).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(300));
    group
}

fn built_in(c: &mut Criterion) {
    // As the program does, whose step this is.
    memory::keep_large_blocks();
    let dataset = in_memory(glyphs(8192).unwrap().as_ref()).unwrap();
    for model in MODELS {
        let mut group = group(c, model);
        // The data set holds a whole number of each of these, so no step is short.
        for batch in (0..12).map(|exponent| 1u64 << exponent) {
            let mut trainer = trainer(model, Arc::clone(&dataset), batch, batch, Tap::Off).unwrap();
            group.throughput(Throughput::Elements(batch));
            group.bench_function(BenchmarkId::from_parameter(batch), |b| {
                b.iter(|| trainer.step().unwrap());
            });
        }
        group.finish();
    }
}

fn compared(c: &mut Criterion) {
    memory::keep_large_blocks();
    for model in Model::ALL {
        let workload = Workload { model, is_adamw: true };
        let mut group = group(c, &workload.to_string());
        for batch in if model == Model::Gpt { [1, 8, 32] } else { [1, 32, 512] } {
            group.throughput(Throughput::Elements(batch as u64));
            // Made only where the filter asks for it.
            let mut made = None;
            group.bench_function(BenchmarkId::from_parameter(batch), |b| {
                let step = made.get_or_insert_with(|| OurStep::new(workload, batch).unwrap());
                b.iter(|| step.step().unwrap());
            });
        }
        group.finish();
    }
}

criterion_group!(benches, built_in, compared);
criterion_main!(benches);
