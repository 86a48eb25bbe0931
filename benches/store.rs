//! The store of trials: taking in the lines of logs, and questions to a million of them.
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros, and a bench may panic")]

use batchwise_lab::store::{Filter, Kind, Store};
use batchwise_lab::sweep::Root;
use batchwise_lab::trial::{
    Begin, Evaluation, Judge, LogLine, Measured, TrainerSpec, TrialFolder, TrialSpec, VERSION,
};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// Lines of all logs that questions are asked about.
const LINES: u64 = 1_000_000;
const TRIALS: u64 = 500;
/// Lines that are taken in at once, of how many trials.
const INGESTED: u64 = 100_000;
const INGESTED_TRIALS: u64 = 20;
/// One line in so many is an evaluation.
const EVALUATE_EVERY: u64 = 20;

fn spec(seed: u64) -> TrialSpec {
    TrialSpec {
        version: VERSION,
        trainer: TrainerSpec::Command { command: vec!["train".to_owned()], files: BTreeMap::new() },
        batch: 1 << (seed % 8),
        learning_rate: 0.1,
        seed,
        parameters: BTreeMap::new(),
        schedule: "constant".to_owned(),
        examples: 1 << 40,
        seconds: None,
        evaluate_examples: None,
        judge: Judge::LOSS,
        target: None,
        confirm: 1,
        patience_examples: None,
        pruning: None,
        code: "1".to_owned(),
    }
}

/// A trial with a log of so many lines.
fn write_trial(root: &Root, seed: u64, lines: u64) -> TrialFolder {
    let spec = spec(seed);
    let folder = root.trial(&spec.id().unwrap());
    folder.create(&spec).unwrap();
    let log = folder.begin(&Begin::default()).unwrap();
    let mut text = String::new();
    for n in 1..=lines {
        let (examples, seconds) = (n * spec.batch, n as f64 * 1e-3);
        let loss = Some(1.0 / (n as f64 + seed as f64).sqrt());
        let line = if n % EVALUATE_EVERY == 0 {
            let evaluation =
                Evaluation { examples, steps: n, train_loss: None, loss, metric: loss.map(|x| 1.0 - x) };
            LogLine::Evaluation { seconds, evaluation }
        } else {
            LogLine::Step {
                examples,
                steps: n,
                seconds,
                train_loss: loss,
                micro_norm2: loss,
                batch_norm2: loss,
                micro_batch: Some(8),
            }
        };
        text += &serde_json::to_string(&line).unwrap();
        text.push('\n');
    }
    let end = LogLine::End(Measured { seconds: 1.0, wall_seconds: 2.0, ..Measured::default() });
    text += &(serde_json::to_string(&end).unwrap() + "\n");
    let mut file = std::fs::OpenOptions::new().append(true).open(folder.path(log.name())).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    folder
}

/// A folder on the disk that the build is on; a temporary folder may be in memory.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap()
}

fn ingest(c: &mut Criterion) {
    let place = folder();
    let root = Root::new(place.path());
    let folders: Vec<TrialFolder> =
        (0..INGESTED_TRIALS).map(|seed| write_trial(&root, seed, INGESTED / INGESTED_TRIALS)).collect();
    let mut group = c.benchmark_group("store");
    group.sample_size(10).throughput(Throughput::Elements(INGESTED));
    group.bench_function("ingest 100,000 lines", |b| {
        let empty = || {
            let place = folder();
            let store = Store::open(&Root::new(place.path())).unwrap();
            (place, store)
        };
        b.iter_batched(
            empty,
            |(place, mut store)| {
                let n: u64 = folders.iter().map(|folder| store.ingest(folder).unwrap().lines).sum();
                assert_eq!(n, INGESTED);
                (place, store)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
    let mut store = Store::open(&root).unwrap();
    store.refresh(&root).unwrap();
    let mut group = c.benchmark_group("store");
    group.throughput(Throughput::Elements(1));
    group.bench_function("ingest a trial that has not changed", |b| {
        b.iter(|| store.ingest(&folders[0]).unwrap());
    });
    group.finish();
}

fn ask(c: &mut Criterion) {
    let place = folder();
    let root = Root::new(place.path());
    let folders: Vec<TrialFolder> =
        (0..TRIALS).map(|seed| write_trial(&root, seed, LINES / TRIALS)).collect();
    let mut store = Store::open(&root).unwrap();
    assert_eq!(store.refresh(&root).unwrap().lines, LINES);
    let one = folders[0].id();
    let mut group = c.benchmark_group("store of 1,000,000 lines");
    group.sample_size(20);
    group.bench_function("best evaluation of each of 500 trials", |b| {
        b.iter(|| store.best_evaluations(Judge::LOSS).unwrap());
    });
    group.bench_function("evaluations of one trial", |b| {
        b.iter(|| store.curve(one, Kind::Evaluation).unwrap());
    });
    group.bench_function("steps of one trial", |b| {
        b.iter(|| store.curve(one, Kind::Step).unwrap());
    });
    group.bench_function("count", |b| b.iter(|| store.n_metrics().unwrap()));
    group.bench_function("records of 500 trials", |b| {
        b.iter(|| store.records(&Filter::default()).unwrap());
    });
    group.bench_function("refresh, nothing changed", |b| b.iter(|| store.refresh(&root).unwrap()));
    group.finish();
}

criterion_group!(benches, ingest, ask);
criterion_main!(benches);
