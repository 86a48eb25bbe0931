//! One rank fails: all of them end, and the reason is known.

use crate::common::{Kind, SGD, glyphs, run, task, train};
use batchwise_data::{DataError, Dataset, Row, RowsMut, Schema};
use batchwise_nn::models::{Mlp, MlpConfig};
use batchwise_nn::{Parameters, loss};
use batchwise_schedule::Steps;
use batchwise_train::parallel::{ParallelError, Threads, Worker, run_threads};
use batchwise_train::{Run, Task, TrainError};
use candle_core::{DType, Device, Tensor};
use candle_nn::ModuleT;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// A data set that fails, or panics, when it has been read `left` times.
struct Failing {
    inner: Arc<dyn Dataset>,
    left: AtomicU64,
    panics: bool,
}

impl Dataset for Failing {
    fn schema(&self) -> &Schema {
        self.inner.schema()
    }

    fn len(&self) -> u64 {
        self.inner.len()
    }

    fn content_hash(&self) -> Result<String, DataError> {
        self.inner.content_hash()
    }

    fn resident_bytes(&self) -> u64 {
        self.inner.resident_bytes()
    }

    fn gather(&self, rows: &[Row], out: RowsMut<'_>) -> Result<(), DataError> {
        let left = self.left.fetch_update(SeqCst, SeqCst, |left| Some(left.saturating_sub(1))).unwrap();
        if left == 0 {
            assert!(!self.panics, "a test's panic");
            return Err(DataError::NothingRequested);
        }
        self.inner.gather(rows, out)
    }

    fn label(&self, index: u64) -> Result<u32, DataError> {
        self.inner.label(index)
    }
}

#[test]
fn a_data_set_that_fails_on_one_rank_ends_all() {
    for panics in [false, true] {
        // Whichever rank meets it first: one of them does, at the ninth micro-batch of all.
        let failing = Failing { inner: glyphs(100), left: AtomicU64::new(9), panics };
        let dataset: Arc<dyn Dataset> = Arc::new(failing);
        let Err(error) = train(4, Kind::Mlp, &dataset, &run("40", 5, 400, 100, SGD)) else {
            panic!("it must fail");
        };
        assert!(matches!(error, ParallelError::Train(TrainError::Data(_))), "{error}");
    }
}

/// Fails, or panics, in the given forward pass.
struct Breaks(Box<dyn ModuleT + Send>, AtomicU64, bool);

impl ModuleT for Breaks {
    fn forward_t(&self, x: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        if self.1.fetch_sub(1, SeqCst) == 0 {
            assert!(!self.2, "a test's panic");
            candle_core::bail!("a test's error");
        }
        self.0.forward_t(x, train)
    }
}

#[test]
fn a_model_that_fails_or_panics_on_one_rank_ends_all() {
    for (broken, panics) in [(0, false), (2, false), (0, true), (2, true)] {
        let build = |rank: usize| {
            let mut task = task(Kind::Mlp, 4);
            if rank == broken {
                let model =
                    std::mem::replace(&mut task.model, Box::new(candle_nn::func_t(|x, _| Ok(x.clone()))));
                task.model = Box::new(Breaks(model, AtomicU64::new(5), panics));
            }
            Ok(task)
        };
        let run = run("40", 5, 400, 100, SGD);
        let Err(error) = run_threads(4, build, glyphs(100), run, |_| ControlFlow::Continue(())) else {
            panic!("it must fail");
        };
        match error {
            ParallelError::Panicked { rank, message } if panics => {
                assert_eq!((rank, message.as_str()), (broken, "a test's panic"));
            }
            error => assert!(!panics && error.to_string().contains("a test's error"), "{error}"),
        }
    }
}

#[test]
fn a_model_that_cannot_be_built_and_an_observer_that_panics_end_all() {
    let build = |rank: usize| match rank {
        1 => Err(TrainError::Config { name: "a", found: "b".to_owned(), allowed: "c" }),
        _ => Ok(task(Kind::Mlp, 4)),
    };
    let run = run("40", 5, 400, 100, SGD);
    let outcome = run_threads(3, build, glyphs(100), run.clone(), |_| ControlFlow::Continue(()));
    assert!(matches!(outcome, Err(ParallelError::Train(TrainError::Config { name: "a", .. }))));

    let build = |_: usize| Ok(task(Kind::Mlp, 4));
    let outcome = run_threads(3, build, glyphs(100), run.clone(), |_| panic!("a test's panic"));
    assert!(matches!(outcome, Err(ParallelError::Panicked { rank: 0, .. })));
    assert!(run_threads(0, build, glyphs(100), run, |_| ControlFlow::Continue(())).is_err());
}

#[test]
fn a_run_that_diverges_says_so() {
    let run = Run { micro_batch: 5, ..run("20", 5, 4000, 100, SGD) };
    let steep = batchwise_schedule::Schedule::constant(batchwise_schedule::LearningRate(1e12));
    let run = Run { plan: batchwise_train::Plan::constant(20, steep), ..run };
    let Err(error) = train(4, Kind::Mlp, &glyphs(100), &run) else { panic!("it must fail") };
    assert!(matches!(&error, ParallelError::Train(error) if error.is_divergence()), "{error}");
}

#[test]
fn ranks_with_other_first_values_or_runs_are_told_apart() {
    let fails = |build: &(dyn Fn(usize) -> Task + Sync), micro_batch: &(dyn Fn(usize) -> u64 + Sync)| {
        std::thread::scope(|scope| {
            let start = |(i, rank): (usize, Threads)| {
                scope.spawn(move || {
                    let run = Run { micro_batch: micro_batch(i), ..run("40", 5, 400, 100, SGD) };
                    Worker::new(rank, build(i), glyphs(100), run).err().unwrap()
                })
            };
            let threads: Vec<_> = Threads::world(3).unwrap().into_iter().enumerate().map(start).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<ParallelError>>()
        })
    };
    for error in fails(&|i| task(Kind::Mlp, u64::from(i == 2)), &|_| 5) {
        let ParallelError::ReplicasDiffer { parameter, rank, steps } = &error else { panic!("{error}") };
        assert_eq!((parameter.as_str(), *rank, *steps), ("layer0.weight", 2, Steps(0)));
    }
    for error in fails(&|_| task(Kind::Mlp, 4), &|i| 5 + u64::from(i == 1)) {
        assert!(matches!(error, ParallelError::SetupsDiffer { rank: 1, what: "run" }), "{error}");
    }
    let kind = |i| if i == 1 { Kind::Cnn } else { Kind::Mlp };
    for error in fails(&|i| task(kind(i), 4), &|_| 5) {
        assert!(matches!(error, ParallelError::SetupsDiffer { rank: 1, what: "model" }), "{error}");
    }
}

#[test]
fn a_replica_that_went_astray_is_named() {
    // The last bit of one number, seen at once; a larger change, which a step does not round away.
    for (bit, steps) in [(1, 1), (1 << 20, 2)] {
        let errors: Vec<ParallelError> = std::thread::scope(|scope| {
            let start = |(i, rank): (usize, Threads)| {
                scope.spawn(move || {
                    let run = run("40", 5, 400, 100, SGD);
                    let worker = Worker::new(rank, task(Kind::Mlp, 4), glyphs(100), run).unwrap();
                    let mut worker = worker.check_every(2);
                    worker.step().unwrap().unwrap();
                    worker.check_replicas().unwrap();
                    if i == 1 {
                        let var = worker.task().parameters.get("layer1.bias").unwrap();
                        let mut values = var.to_vec1::<f32>().unwrap();
                        values[3] = f32::from_bits(values[3].to_bits() ^ bit);
                        var.set(&Tensor::from_vec(values, 10, &Device::Cpu).unwrap()).unwrap();
                    }
                    if steps == 1 { worker.check_replicas().unwrap_err() } else { worker.step().unwrap_err() }
                })
            };
            let threads: Vec<_> = Threads::world(3).unwrap().into_iter().enumerate().map(start).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for error in errors {
            let ParallelError::ReplicasDiffer { parameter, rank, steps: at } = &error else {
                panic!("{error}")
            };
            assert_eq!((parameter.as_str(), *rank, *at), ("layer1.bias", 1, Steps(steps)));
        }
    }
}

#[test]
fn what_cannot_be_shared_is_refused() {
    let refused = |task: Task, run: Run| {
        let rank = Threads::world(1).unwrap().remove(0);
        Worker::new(rank, task, glyphs(100), run).err().unwrap().to_string()
    };
    let mlp = |parameters: &Parameters, dtype| {
        let config = MlpConfig { inputs: 784, hidden: vec![4], classes: 10 };
        Mlp::new(&config, parameters.builder(1, dtype, &Device::Cpu)).unwrap()
    };
    let parameters = Parameters::new();
    let model = mlp(&parameters, DType::F64);
    let double = Task::new(parameters, Box::new(model), loss::cross_entropy, Device::Cpu);
    let error = refused(double, run("40", 5, 400, 100, SGD));
    assert!(error.contains("`layer0.bias` is of F64"), "{error}");

    let parameters = Parameters::new();
    let model = mlp(&parameters, DType::F32);
    parameters.builder(1, DType::F32, &Device::Cpu).get(4, "norm.running_mean").unwrap();
    let norm = Task::new(parameters, Box::new(model), loss::cross_entropy, Device::Cpu);
    let error = refused(norm, run("40", 5, 400, 100, SGD));
    assert!(error.contains("`norm.running_mean`"), "{error}");

    let error = refused(task(Kind::Mlp, 4), Run { micro_batch: 0, ..run("40", 5, 400, 100, SGD) });
    assert!(error.contains("the micro-batch size is 0"), "{error}");
}
