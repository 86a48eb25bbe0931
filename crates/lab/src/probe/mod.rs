//! Short measurements that are no trials, each run in a child process.

pub mod learning_rate;
pub mod memory;
pub mod noise;
pub mod speed;
pub mod trial;

use crate::LabError;
use crate::process::Message;
use crate::workload::{self, Workload};
use batchwise_data::Splits;
use batchwise_train::Task;
use candle_core::Device;
use serde::{Deserialize, Serialize};

/// What a probe works with.
pub struct Context<'a> {
    /// The user's model, data and optimizer.
    pub workload: &'a dyn Workload,
    /// Its data, open.
    pub data: Splits,
    /// Where to compute.
    pub device: Device,
    /// Of initial weights and order.
    pub seed: u64,
}

/// What a child is asked to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "probe", rename_all = "snake_case")]
pub enum Request {
    /// Peak memory of steps.
    Memory(memory::Request),
    /// Time of steps.
    Speed(speed::Request),
    /// Gradient noise over a short training.
    Noise(noise::Request),
    /// Loss by learning rate.
    LearningRate(learning_rate::Request),
    /// One short training.
    Trial(Box<trial::Request>),
}

/// Where a probe says how far it is.
pub type Emit<'a> = &'a mut dyn FnMut(Message);

/// Runs one request; this is what a child does between its input and its output.
///
/// # Errors
/// What the probe meets.
pub fn answer(
    context: &Context<'_>,
    request: Request,
    emit: Emit<'_>,
) -> Result<serde_json::Value, LabError> {
    let json = |value: Result<serde_json::Value, serde_json::Error>| {
        value.map_err(|error| LabError::protocol(error.to_string()))
    };
    match request {
        Request::Memory(request) => json(serde_json::to_value(memory::measure(context, &request, emit)?)),
        Request::Speed(request) => json(serde_json::to_value(speed::measure(context, &request, emit)?)),
        Request::Noise(request) => json(serde_json::to_value(noise::measure(context, &request, emit)?)),
        Request::LearningRate(request) => {
            json(serde_json::to_value(learning_rate::measure(context, &request, emit)?))
        }
        Request::Trial(request) => json(serde_json::to_value(trial::run(context, &request, emit)?)),
    }
}

impl Context<'_> {
    /// A fresh task from a seed.
    fn task(&self, seed: u64) -> Result<Task, LabError> {
        Ok(workload::task(self.workload, self.data.train.schema(), seed, &self.device)?)
    }
}

fn progress(emit: Emit<'_>, done: u64, total: u64, note: impl Into<String>) {
    emit(Message::Progress { done, total, note: note.into() });
}

/// 1, 2, 4, … up to `largest`.
pub fn powers_of_two(largest: u64) -> Vec<u64> {
    (0..63).map(|exponent| 1u64 << exponent).take_while(|batch| *batch <= largest).collect()
}
