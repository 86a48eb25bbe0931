//! The statistics: a million rows of noise read and answered, a trade-off of a thousand runs, one decision of 1,000 draws.
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros, and a bench may panic")]

use batchwise_estimate::critical::{CriticalBatch, CriticalSource};
use batchwise_estimate::decide::{Candidate, Problem, TimeBelief};
use batchwise_estimate::oracle::GaussianGradients;
use batchwise_estimate::tradeoff::{End, Options, Run, fit_tradeoff};
use batchwise_lab::fit::{Kind, Settings, Source, fit};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::fmt::Write;

/// Long form: each measurement has 16 micro-batches and a row for the whole.
fn noise_file(rows: usize) -> Vec<u8> {
    let source = GaussianGradients::new(vec![1.0, 0.0, 0.0, 0.0], vec![100.0; 4]).unwrap();
    let mut text = "measurement,micro_batch,weight,norm2\n".to_owned();
    for k in 0..rows / 17 {
        let mut sum = [0.0; 4];
        for j in 0..16u64 {
            let g = source.batch(8.0, 1, k as u64, j).unwrap();
            sum.iter_mut().zip(&g).for_each(|(s, g)| *s += g / 16.0);
            let norm2: f64 = g.iter().map(|x| x * x).sum();
            writeln!(text, "{k},{j},8,{norm2}").unwrap();
        }
        writeln!(text, "{k},all,128,{}", sum.iter().map(|x| x * x).sum::<f64>()).unwrap();
    }
    text.into_bytes()
}

/// S_min = 1000, B_c = 256, a scatter of a few percent.
fn runs(n: usize) -> Vec<Run> {
    (0..n)
        .map(|i| {
            let batch = f64::from(1u32 << (4 + i % 8));
            let scatter = 1.0 + 0.05 * ((i * 2_654_435_761) % 1000) as f64 / 1000.0;
            let steps = (1000.0 * (1.0 + 256.0 / batch) * scatter).round();
            Run { batch, seed: Some(i as u64), end: End::Reached { steps, period: None } }
        })
        .collect()
}

fn problem() -> Problem {
    let candidates = (0..20)
        .map(|k| {
            let batch = (1.6f64.powi(k) * 4.0) as u64;
            Candidate { batch, seconds: 2e-3 + 1e-5 * batch as f64, relative_error: 0.02 }
        })
        .collect();
    let critical = CriticalBatch {
        median: 500.0,
        ln_sd: 0.5,
        low: 220.0,
        high: 1140.0,
        source: CriticalSource::Sweep,
        lower_bound_only: false,
    };
    Problem { n_draws: 1000, ..Problem::new(TimeBelief::Measured { candidates }, critical) }
}

fn estimate(c: &mut Criterion) {
    let mut group = c.benchmark_group("estimate");
    group.sample_size(10);
    let (rows, file) = (1_000_000, noise_file(1_000_000));
    group.throughput(Throughput::Elements(rows));
    group.bench_function("fit_noise_million_rows", |b| {
        b.iter_batched(
            || vec![Source::of_bytes("noise.csv", file.clone())],
            |sources| fit(Kind::Noise, sources, &Settings::default()).unwrap(),
            BatchSize::LargeInput,
        );
    });
    for n in [24, 1000] {
        let runs = runs(n);
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(format!("fit_tradeoff_{n}_runs"), |b| {
            b.iter(|| fit_tradeoff(&runs, &Options::default()).unwrap());
        });
    }
    let problem = problem();
    group.throughput(Throughput::Elements(1000));
    group.bench_function("decide_1000_draws_20_candidates", |b| b.iter(|| problem.decide().unwrap()));
    group.finish();
}

criterion_group!(benches, estimate);
criterion_main!(benches);
