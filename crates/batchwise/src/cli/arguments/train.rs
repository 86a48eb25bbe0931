//! What can be typed after `train`.

use super::ScheduleName;
use batchwise_lab::probe::trial::Noise;
use batchwise_schedule::text::SpecError;
use batchwise_schedule::{BatchSpec, Length, LrSpec};
use batchwise_train::target::Target;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::str::FromStr;

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct TrainArguments {
    /// Examples of one optimizer step, or how they change, such as "64 doubling at 25%,50% max 2048", "128 increase max 5120" or
    /// "64 adaptive noise-scale max 4096" [default: 64]
    #[arg(long, value_name = "N|SPEC", allow_hyphen_values = true)]
    pub(in crate::cli) batch: Option<BatchSpec>,
    /// Examples of one forward and backward pass [default: the batch, or what --memory allows]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(in crate::cli) micro_batch: Option<u64>,
    /// Peak learning rate, or its course, such as "0.1 warmup 5% then cosine to 0" [default: 0.02 for sgd, 0.002 for adamw]
    #[arg(long, value_name = "X|SPEC", allow_hyphen_values = true)]
    pub(in crate::cli) lr: Option<LrSpec>,
    /// Learning rate over the run, where --lr is a number [default: cosine]
    #[arg(long, value_enum)]
    pub(in crate::cli) schedule: Option<ScheduleName>,
    /// Length of the run in examples
    #[arg(long, value_name = "N", conflicts_with = "epochs", value_parser = clap::value_parser!(u64).range(1..=1 << 50))]
    pub(in crate::cli) examples: Option<u64>,
    /// Length of the run in passes over the training set [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub(in crate::cli) epochs: Option<u64>,
    /// End the run when the test set shows this: accuracy=0.9 or loss=0.3
    #[arg(long, value_name = "METRIC=X")]
    pub(in crate::cli) until: Option<Target>,
    /// End the run when no evaluation was better for this long: 5000ex, "2 epochs" or 10%
    #[arg(long, value_name = "LENGTH")]
    pub(in crate::cli) patience: Option<Length>,
    /// Keep the checkpoint of the best evaluation, and its weights in best.safetensors [default metric: that of --until, or
    /// accuracy where targets are classes]
    #[arg(long, value_name = "loss|accuracy", num_args = 0..=1)]
    pub(in crate::cli) keep_best: Option<Option<MetricName>>,
    /// Follow an average of the weights with this half-life, such as 2000ex or 2%: it is evaluated beside them, judged in
    /// their place, and written to average.safetensors; it takes a copy of the weights beside --memory
    #[arg(long, value_name = "LENGTH")]
    pub(in crate::cli) ema: Option<Length>,
    /// Store a checkpoint and end after so many seconds
    #[arg(long, value_name = "S", value_parser = above_zero)]
    pub(in crate::cli) max_seconds: Option<f64>,
    /// From one evaluation on the test set to the next: 10000ex, "1 epoch" or 5% [default: 5% with --until, else only at the end]
    #[arg(long, value_name = "LENGTH")]
    pub(in crate::cli) evaluate_every: Option<Length>,
    /// From one checkpoint to the next: 10000ex, "1 epoch", 5% or 60s [default: 300s]
    #[arg(long, value_name = "LENGTH|S")]
    pub(in crate::cli) checkpoint_every: Option<CheckpointEvery>,
    /// Go on with the run in this folder, from its newest checkpoint; all but its batch, its length and its periods stays
    #[arg(long, value_name = "DIR", conflicts_with_all = ["lr", "schedule", "noise", "clip_norm", "skip", "update_norm", "tensorboard", "csv", "ema", "keep_best", "out"])]
    pub(in crate::cli) resume: Option<PathBuf>,
    /// Write an event file for TensorBoard to this folder; its steps are examples
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) tensorboard: Option<PathBuf>,
    /// Measure the gradient noise of every step, or every Nth: from its micro-batches, or where a batch is one of them
    /// from its examples; `examples` takes these always, `layers` writes each parameter's too, `preconditioned` that of
    /// the step as adam, adamw or rmsprop takes it (from micro-batches)
    #[arg(long, value_name = "every=N,examples,layers,preconditioned", num_args = 0..=1, default_missing_value = "every=1")]
    pub(in crate::cli) noise: Option<NoiseTap>,
    /// Write steps.csv and evaluations.csv too
    #[arg(long)]
    pub(in crate::cli) csv: bool,
    /// Time the phases of a step, and show them as a table
    #[arg(long)]
    pub(in crate::cli) phases: bool,
    /// Write a trace of all phases to this file, for ui.perfetto.dev or chrome://tracing
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) trace: Option<PathBuf>,
    /// Measure sharpness and the top eigenvalue of the Hessian after the run, on the first N examples of the training set
    /// [default N: 512]
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "512", value_parser = clap::value_parser!(u64).range(1..))]
    pub(in crate::cli) generalisation: Option<u64>,
    /// Workers that share every batch, on threads of this process: the same bits for any number of them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=64))]
    pub(in crate::cli) workers: Option<u64>,
    /// Write the norm of updates to the lines too, which takes a copy of the parameters
    #[arg(long)]
    pub(in crate::cli) update_norm: bool,
    /// Scale gradients down to this norm
    #[arg(long, value_name = "X", value_parser = above_zero)]
    pub(in crate::cli) clip_norm: Option<f64>,
    /// Leave out up to N batches whose loss or gradient is not finite, instead of ending
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(in crate::cli) skip: u64,
}

/// A period in examples or in seconds.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) enum CheckpointEvery {
    Length(Length),
    Seconds(f64),
}

impl FromStr for CheckpointEvery {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().strip_suffix('s').filter(|number| number.trim().parse::<f64>().is_ok()) {
            Some(number) => above_zero(number.trim()).map(Self::Seconds),
            None => text.parse().map(Self::Length).map_err(|error: SpecError| error.to_string()),
        }
    }
}

/// How the noise is measured, as `every=N`, `examples`, `layers` and `preconditioned` with commas between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct NoiseTap(pub(in crate::cli) Noise);

impl FromStr for NoiseTap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut noise = Noise { every: 1, examples: false, layers: false, preconditioned: false };
        for part in text.split(',').map(str::trim) {
            match (part, part.strip_prefix("every=").map(str::parse)) {
                ("examples", _) => noise.examples = true,
                ("layers", _) => noise.layers = true,
                ("preconditioned", _) => noise.preconditioned = true,
                (_, Some(Ok(n))) if 1 <= n => noise.every = n,
                _ => {
                    return Err(format!(
                        "`{part}` is none of every=N with N of at least 1, examples, layers, preconditioned"
                    ));
                }
            }
        }
        Ok(Self(noise))
    }
}

/// What the best evaluation is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum MetricName {
    Loss,
    Accuracy,
}

/// A finite number above 0.
fn above_zero(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && 0.0 < number => Ok(number),
        _ => Err("it must be a finite number above 0".to_owned()),
    }
}
