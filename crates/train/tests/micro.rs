//! Micro-batches that follow memory: the policy's laws, and batches repeated after an injected fault.
#![allow(clippy::unwrap_used, reason = "a failed helper fails its test")]

use batchwise_data::open;
use batchwise_nn::layers::{BatchNorm, Linear, batch_norm, linear};
use batchwise_nn::ops::Activation;
use batchwise_nn::optim::{OptimizerConfig, SgdConfig};
use batchwise_nn::{Parameters, fingerprint, loss, meter};
use batchwise_schedule::{Examples, LearningRate, Schedule};
use batchwise_train::{MicroBatch, MicroBatchError, Plan, Run, Tap, Task, TrainError, Trainer};
use candle_core::{DType, Device, Error, Result, Tensor};
use candle_nn::{Module, ModuleT};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What cudarc's driver error looks like in candle's.
const FULL: &str = "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";

/// Rows that fit, and forward passes until the limit holds.
#[derive(Clone)]
struct Memory {
    rows: Arc<AtomicU64>,
    passes_before: Arc<AtomicU64>,
}

impl Memory {
    fn of(rows: u64) -> Self {
        Self::after(0, rows)
    }

    fn after(passes: u64, rows: u64) -> Self {
        Self { rows: Arc::new(AtomicU64::new(rows)), passes_before: Arc::new(AtomicU64::new(passes)) }
    }
}

/// A model with batch norm, whose running statistics a failed pass has moved, that runs out of memory.
struct Hungry {
    first: Linear,
    norm: BatchNorm,
    last: Linear,
    memory: Memory,
}

impl ModuleT for Hungry {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let x = self.norm.forward_t(&self.first.forward(&x.flatten_from(1)?)?, train)?;
        let Memory { rows, passes_before } = &self.memory;
        let is_in_force = passes_before.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1)).is_err();
        if is_in_force && rows.load(Relaxed) < x.dim(0)? as u64 {
            return Err(Error::Msg(FULL.to_owned()).context("a layer"));
        }
        self.last.forward(&x.relu()?)
    }
}

fn trainer(memory: &Memory, batch: u64, micro_batch: u64) -> Trainer {
    let parameters = Parameters::new();
    let vb = parameters.builder(4, DType::F32, &Device::Cpu);
    let model = Hungry {
        first: linear(784, 8, Activation::Identity, vb.pp("first")).unwrap(),
        norm: batch_norm(8, vb.pp("norm")).unwrap(),
        last: linear(8, 10, Activation::Identity, vb.pp("last")).unwrap(),
        memory: memory.clone(),
    };
    let task = Task::new(parameters, Box::new(model), loss::cross_entropy, Device::Cpu);
    let plan = Plan::constant(batch, Schedule::constant(LearningRate(0.05)));
    let optimizer = OptimizerConfig::Sgd(SgdConfig::USUAL);
    let run = Run { tap: Tap::Norms, ..Run::new(plan, micro_batch, Examples(300), optimizer, 9) };
    Trainer::new(task, open("glyphs:train=130,test=10", None).unwrap().train, run).unwrap()
}

/// Losses and micro-batches of the rest of a run, and a hash of all that it leaves.
fn finish(trainer: &mut Trainer) -> (Vec<f64>, Vec<u64>, String) {
    let (mut losses, mut sizes) = (Vec::new(), Vec::new());
    while let Some(step) = trainer.step().unwrap() {
        losses.push(step.loss);
        sizes.push(step.micro_batch);
    }
    let values = trainer.task().parameters.snapshot().unwrap();
    let hash = fingerprint::sha256(values.iter().map(|(name, value)| (name.as_str(), value))).unwrap();
    (losses, sizes, hash)
}

#[test]
fn a_batch_that_runs_out_of_memory_is_repeated_with_the_same_result() {
    let ample = Memory::of(u64::MAX);
    for (limit, used) in [(8, 8), (9, 8), (16, 16), (1, 1)] {
        let mut starved = trainer(&Memory::of(limit), 32, 32);
        starved.follow_memory(MicroBatch::new(32, 1000).unwrap());
        let (losses, sizes, hash) = finish(&mut starved);
        let (want, _, want_hash) = finish(&mut trainer(&ample, 32, used));
        assert_eq!((losses, hash), (want, want_hash), "{limit} rows fit");
        assert!(sizes.iter().all(|size| *size == used), "{sizes:?}");
        assert_eq!(starved.micro_batch().unwrap().size(), used);
    }
}

#[test]
fn what_was_added_up_before_the_fault_is_dropped() {
    // The third micro-batch of the second step is the first that does not fit: two are added up and one is requested.
    let mut starved = trainer(&Memory::after(4 + 2, 4), 32, 8);
    starved.follow_memory(MicroBatch::new(8, 1000).unwrap());
    let (losses, sizes, hash) = finish(&mut starved);
    let mut other = trainer(&Memory::of(u64::MAX), 32, 8);
    let first = other.step().unwrap().unwrap();
    other.set_batch(32, 4).unwrap();
    let (want, _, want_hash) = finish(&mut other);
    assert_eq!(sizes[..3], [8, 4, 4]);
    assert_eq!((losses[0], &losses[1..], hash), (first.loss, &want[..], want_hash));
}

#[test]
fn it_grows_back_when_memory_frees_and_not_beyond_where_it_began() {
    let memory = Memory::of(6);
    let mut run = trainer(&memory, 24, 24);
    run.follow_memory(MicroBatch::new(24, 2).unwrap());
    let step = |run: &mut Trainer| run.step().unwrap().unwrap().micro_batch;
    // The third step tries 12, which fails, so that the next attempt waits for four good ones.
    assert_eq!([(); 3].map(|()| step(&mut run)), [6, 6, 6]);
    assert_eq!(run.micro_batch().unwrap().patience(), 4);
    memory.rows.store(u64::MAX, Relaxed);
    let sizes: Vec<u64> = std::iter::from_fn(|| run.step().unwrap()).map(|step| step.micro_batch).collect();
    assert_eq!(sizes[..8], [6, 6, 6, 12, 12, 12, 12, 24]);
    assert!(sizes[8..].iter().all(|size| *size == 24), "{sizes:?}");
}

#[test]
fn where_nothing_smaller_is_left_the_error_says_so() {
    let mut run = trainer(&Memory::of(0), 8, 8);
    let error = run.step().unwrap_err();
    assert!(matches!(error, TrainError::Candle(_)) && error.is_out_of_memory(), "{error}");
    run.follow_memory(MicroBatch::new(8, 1000).unwrap());
    let error = run.step().unwrap_err();
    assert!(matches!(error, TrainError::MicroBatch(MicroBatchError::Exhausted)), "{error}");
    assert!(error.to_string().contains("a micro-batch of 1"), "{error}");
    // The run is as it was, and goes on when there is memory.
    assert_eq!((run.steps().0, run.progress().0), (0, 0));
    let memory = Memory::of(3);
    let mut other = trainer(&memory, 8, 8);
    other.follow_memory(MicroBatch::new(8, 1000).unwrap());
    assert_eq!(other.step().unwrap().unwrap().micro_batch, 2);
}

#[test]
fn other_errors_are_not_taken_for_full_memory() {
    for text in [
        FULL,
        "CublasError(CUBLAS_STATUS_ALLOC_FAILED)",
        "CudnnError(CUDNN_STATUS_ALLOC_FAILED)",
        "CudnnError(CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED)",
        "Metal error Failed to create metal resource: Buffer",
        "Command buffer had following error: Insufficient Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)",
    ] {
        let boxed = Error::Cuda(text.into());
        assert!(
            meter::is_out_of_memory(&boxed) && meter::is_out_of_memory(&boxed.context("matmul")),
            "{text}"
        );
        assert!(
            TrainError::from(batchwise_data::DataError::Tensor(Error::Msg(text.into()))).is_out_of_memory()
        );
    }
    for text in
        ["CUDA_ERROR_ILLEGAL_ADDRESS", "Failed to create metal resource: CommandQueue", "shape mismatch"]
    {
        assert!(!meter::is_out_of_memory(&Error::Msg(text.to_owned())), "{text}");
    }
}

#[test]
fn sizes_of_zero_are_refused() {
    assert_eq!(MicroBatch::new(0, 1), Err(MicroBatchError::Zero { name: "the micro-batch size" }));
    assert!(MicroBatch::new(1, 0).unwrap_err().to_string().contains("patience"));
    assert!(MicroBatch::within(10, 0, |_| 1.0).is_err());
}

proptest! {
    /// Whatever the limit and the line, the size fits and the next does not.
    #[test]
    fn the_largest_that_is_predicted_to_fit(limit: u64, batch in 1u64.., base in 0f64..1e19, slope in 0f64..1e18) {
        let upper = |size: u64| base + slope * size as f64;
        match MicroBatch::within(limit, batch, upper) {
            Ok(micro) => {
                let size = micro.size();
                prop_assert!(upper(size) <= limit as f64 && size <= batch);
                prop_assert!(size == batch || (limit as f64) < upper(size + 1));
            }
            Err(MicroBatchError::OverLimit { limit_bytes, .. }) => {
                prop_assert!(limit_bytes == limit && (limit as f64) < upper(1));
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
        prop_assert!(MicroBatch::within(limit, batch, |_| f64::NAN).is_err());
    }

    /// While memory holds a fixed number of examples, attempts to grow that fail become rare; the size never leaves
    /// [1, first], and after a failure it fits.
    #[test]
    fn it_does_not_flap(first in 1u64..1000, rows in 1u64..1000, patience in 1u64..10, n in 1u64..2000) {
        let mut micro = MicroBatch::new(first, patience).unwrap();
        let mut faults = 0u32;
        while rows < micro.size() {
            micro.on_out_of_memory(u64::MAX).unwrap();
        }
        for _ in 0..n {
            if rows < micro.size() {
                faults += 1;
                micro.on_out_of_memory(micro.size()).unwrap();
                prop_assert!(micro.size() <= rows);
            }
            prop_assert!((1..=first).contains(&micro.size()));
            micro.on_good_step(micro.size());
        }
        prop_assert!(f64::from(faults) <= (n as f64 / patience as f64 + 1.0).log2(), "{faults}");
    }

    /// Once memory is ample it is back at the first size after a bounded number of steps.
    #[test]
    fn it_grows_back(first in 1u64..1000, halvings in 0u32..12) {
        let mut micro = MicroBatch::new(first, 3).unwrap();
        let mut done = 0;
        while done < halvings && micro.on_out_of_memory(u64::MAX).is_ok() {
            done += 1;
        }
        for _ in 0..3 * (u64::from(done) + 2) {
            micro.on_good_step(micro.size());
        }
        prop_assert_eq!(micro.size(), first);
    }
}
