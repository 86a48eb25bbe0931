//! The same weights, losses and noise on 1, 2, 4 and 8 workers, to the bit; and those of an ordinary run.

use crate::common::{ADAMW, Kind, SGD, glyphs, hash, run, task, train};
use batchwise_nn::gradients::norm2;
use batchwise_nn::layers::{Dropout, dropout};
use batchwise_nn::loss::{self, LossSum};
use batchwise_nn::ops::CrossEntropyConfig;
use batchwise_schedule::controller::Verdict;
use batchwise_schedule::{BatchSpec, Examples, LrSpec, RunLength, Scaling};
use batchwise_train::parallel::{Threads, Worker, broadcast_parameters, run_threads};
use batchwise_train::{Adaptive, Follow, Plan, Run, Tap, Task, TrainError, Trainer};
use candle_core::Tensor;
use candle_nn::ModuleT;
use std::ops::ControlFlow;
use std::sync::Arc;

#[test]
fn weights_and_reports_have_the_same_bits_on_every_world() {
    // Epochs of 109 end in short batches and short micro-batches; the batch doubles within the run.
    let dataset = glyphs(109);
    for kind in [Kind::Mlp, Kind::Cnn] {
        for (optimizer, tap, tap_preconditioned) in [
            (SGD, Tap::Norms, false),
            (ADAMW, Tap::Off, false),
            (ADAMW, Tap::Norms, true),
            (SGD, Tap::Examples, false),
        ] {
            let run = Run { tap, tap_preconditioned, ..run("24 doubling at 60%", 5, 327, 109, optimizer) };
            let (one, steps) = train(1, kind, &dataset, &run).unwrap();
            assert_eq!((one.progress, one.steps.0), (Examples(327), steps.len() as u64));
            let mut counts: Vec<usize> = steps.iter().map(|step| step.n_micro_batches).collect();
            counts.dedup();
            assert_eq!(counts, [5, 3, 5, 3, 10, 3]);
            let noise: Vec<_> = steps.iter().filter_map(|step| step.noise.as_ref()).collect();
            assert_eq!(noise.is_empty(), tap == Tap::Off);
            assert_eq!(noise.iter().any(|noise| noise.preconditioned.is_some()), tap_preconditioned);
            for world in [2, 4, 8] {
                let (other, of_other) = train(world, kind, &dataset, &run).unwrap();
                assert_eq!(steps, of_other, "{kind:?} {tap:?} {world} workers");
                assert_eq!(hash(&one.task), hash(&other.task), "{kind:?} {tap:?} {world} workers");
            }
        }
    }
}

#[test]
fn a_batch_that_follows_the_noise_follows_it_alike_on_every_world() {
    let (total, dataset) = (3000, glyphs(1000));
    let length = RunLength { total: Examples(total), dataset_size: Some(1000), tokens_per_example: None };
    let lr = "0.05".parse::<LrSpec>().unwrap().resolve(&length, None).unwrap();
    let spec: BatchSpec = "16 adaptive noise-scale dwell 1% min 8 max 128 multiple 8".parse().unwrap();
    let adaptive = Adaptive::new(&spec, &length, lr, Follow::Rule(Scaling::Linear), None).unwrap();
    let plan = Plan::Adaptive(Box::new(adaptive));
    let run = Run { plan, ..run("16", 8, total, 1000, SGD) };
    let (one, steps) = train(1, Kind::Mlp, &dataset, &run).unwrap();
    let changed = |verdict: &Verdict| verdict.batch != verdict.before;
    assert!(steps.iter().filter_map(|step| step.verdict.as_ref()).any(changed));
    let (four, of_four) = train(4, Kind::Mlp, &dataset, &run).unwrap();
    assert_eq!(steps, of_four);
    assert_eq!(hash(&one.task), hash(&four.task));
}

fn distance(a: &Task, b: &Task) -> f64 {
    let pairs = a.parameters.named().into_iter().zip(b.parameters.named());
    let relative = |((_, a), (_, b)): ((_, candle_core::Var), (_, candle_core::Var))| {
        (norm2(&(a.as_tensor() - b.as_tensor()).unwrap()).unwrap() / norm2(&a).unwrap().max(1e-300)).sqrt()
    };
    pairs.map(relative).fold(0.0, f64::max)
}

#[test]
fn it_is_the_ordinary_run_to_the_bit_for_up_to_three_micro_batches_and_else_to_rounding() {
    let dataset = glyphs(101);
    for kind in [Kind::Mlp, Kind::Cnn] {
        for (micro_batch, optimizer) in [(24, SGD), (12, ADAMW), (8, SGD), (5, SGD)] {
            let tap_preconditioned = optimizer.has_preconditioner();
            let run =
                Run { tap: Tap::Norms, tap_preconditioned, ..run("24", micro_batch, 202, 101, optimizer) };
            let mut trainer = Trainer::new(task(kind, 4), Arc::clone(&dataset), run.clone()).unwrap();
            let mut want = Vec::new();
            while let Some(step) = trainer.step().unwrap() {
                want.push(step);
            }
            for world in [1, 4] {
                let (got, steps) = train(world, kind, &dataset, &run).unwrap();
                if micro_batch < 8 {
                    // f32 keeps 6e-8 per sum, and ten steps of sums of five stay far below 1e-4.
                    let distance = distance(&got.task, trainer.task());
                    assert!(0.0 < distance && distance < 1e-4, "{kind:?}: {distance}");
                    assert_eq!(steps.len(), want.len());
                    for (step, want) in steps.iter().zip(&want) {
                        assert!((step.loss - want.loss).abs() < 1e-4 * want.loss.abs());
                        assert_eq!(step.learning_rate, want.learning_rate);
                    }
                } else {
                    assert_eq!(steps, want, "{kind:?}");
                    assert_eq!(hash(&got.task), hash(trainer.task()), "{kind:?}");
                }
            }
        }
    }
}

#[test]
fn all_stop_after_the_step_where_one_wants_to() {
    let (dataset, run) = (glyphs(100), run("20", 5, 1000, 100, SGD));
    let build = |_| Ok::<_, TrainError>(task(Kind::Mlp, 4));
    let finished = run_threads(3, build, dataset, run, |step| match step.step.0 {
        6 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert_eq!(finished.unwrap().steps.0, 7);
}

#[test]
fn a_model_without_a_seed_starts_from_the_values_of_one_rank() {
    let (dataset, run) = (glyphs(100), run("20", 5, 60, 100, SGD));
    let hashes: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = Threads::world(3)
            .unwrap()
            .into_iter()
            .enumerate()
            .map(|(i, mut rank)| {
                let (dataset, run) = (Arc::clone(&dataset), run.clone());
                scope.spawn(move || {
                    let task = task(Kind::Cnn, 100 + i as u64);
                    let before = hash(&task);
                    broadcast_parameters(&mut rank, &task.parameters, 1).unwrap();
                    assert_eq!(before == hash(&task), i == 1);
                    let mut worker = Worker::new(rank, task, dataset, run).unwrap().check_every(1);
                    while worker.step().unwrap().is_some() {}
                    hash(worker.task())
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(hashes.iter().all(|hash| *hash == hashes[0]));
}

/// A loss that does not count the targets 0, so that micro-batches of one size weigh differently.
fn without_zeros(logits: &Tensor, targets: &Tensor) -> candle_core::Result<LossSum> {
    let config = CrossEntropyConfig { ignore_index: Some(0), ..Default::default() };
    loss::cross_entropy_with(logits, targets, config)
}

/// A model that drops half of its inputs.
struct Dropping(Dropout, Box<dyn ModuleT + Send>);

impl ModuleT for Dropping {
    fn forward_t(&self, x: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        self.1.forward_t(&self.0.forward_t(x, train)?, train)
    }
}

#[test]
fn uneven_weights_and_dropout_change_nothing_of_that() {
    let dataset = glyphs(109);
    let uneven = || {
        let mut task = task(Kind::Mlp, 4);
        task.loss = without_zeros;
        let model = std::mem::replace(&mut task.model, Box::new(candle_nn::func_t(|x, _| Ok(x.clone()))));
        task.model = Box::new(Dropping(dropout(0.5, 7, "inputs").unwrap(), model));
        task
    };
    let run = Run { tap: Tap::Norms, ..run("32", 8, 218, 109, SGD) };
    let mut trainer = Trainer::new(uneven(), Arc::clone(&dataset), run.clone()).unwrap();
    let mut want = Vec::new();
    while let Some(step) = trainer.step().unwrap() {
        want.push(step);
    }
    let mut seen = Vec::new();
    for world in [1, 2, 4, 8] {
        let mut steps = Vec::new();
        let finished = run_threads(
            world,
            |_| Ok(uneven()),
            Arc::clone(&dataset),
            run.clone(),
            |step| {
                steps.push(step.clone());
                ControlFlow::Continue(())
            },
        )
        .unwrap();
        let distance = distance(&finished.task, trainer.task());
        assert!(distance < 1e-4, "{distance}");
        for (step, want) in steps.iter().zip(&want) {
            assert!((step.loss - want.loss).abs() < 1e-4 * want.loss.abs());
            let (noise, want) = (step.noise.as_ref().unwrap().total, want.noise.as_ref().unwrap().total);
            assert!((noise.tr_sigma - want.tr_sigma).abs() < 1e-3 * want.tr_sigma.abs());
        }
        seen.push((hash(&finished.task), steps));
    }
    assert!(seen.iter().all(|other| *other == seen[0]));
}
