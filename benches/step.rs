//! One training step by batch size, in examples per second.
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros, and a bench may panic")]

use batchwise_train::Tap;
use benches::{MODELS, glyphs, in_memory, trainer};
use criterion::{
    AxisScale, BenchmarkId, Criterion, PlotConfiguration, Throughput, criterion_group, criterion_main,
};
use std::sync::Arc;
use std::time::Duration;

fn step(c: &mut Criterion) {
    let dataset = in_memory(glyphs(8192).unwrap().as_ref()).unwrap();
    for model in MODELS {
        let mut group = c.benchmark_group(format!("step/{model}"));
        group.plot_config(PlotConfiguration::default().summary_scale(AxisScale::Logarithmic));
        group
            .sample_size(10)
            .measurement_time(Duration::from_secs(2))
            .warm_up_time(Duration::from_millis(300));
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

criterion_group!(benches, step);
criterion_main!(benches);
