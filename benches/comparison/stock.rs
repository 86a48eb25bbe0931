//! One training step of stock candle: its layers, its backward pass, its optimizers.

use super::stock_models::{Network, build};
use super::{Workload, batch};
use batchwise_nn::Parameters;
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, loss};

/// A model of candle's, its optimizer and the batch it sees again and again.
pub struct StockStep {
    network: Network,
    optimizer: StockOptimizer,
    inputs: Tensor,
    targets: Tensor,
}

enum StockOptimizer {
    AdamW(AdamW),
    /// Candle's SGD has no momentum: it is written with tensors.
    Sgd(Vec<(Var, Var)>),
}

impl StockStep {
    /// The workload on a batch of `n`.
    ///
    /// # Errors
    /// None for the workloads there are.
    pub fn new(workload: Workload, n: usize) -> Result<Self> {
        Self::of(workload, n, &Parameters::new())
    }

    /// The same with these parameters, where there are any: they have our names.
    ///
    /// # Errors
    /// Parameters of another model.
    pub fn of(workload: Workload, n: usize, parameters: &Parameters) -> Result<Self> {
        let network = build(workload.model, parameters.builder(1, DType::F32, &Device::Cpu))?;
        let vars = parameters.named().into_iter().map(|(_, var)| var);
        let optimizer = if workload.is_adamw {
            StockOptimizer::AdamW(AdamW::new(vars.collect(), ParamsAdamW { lr: 0.0, ..Default::default() })?)
        } else {
            let with_velocity = |var: Var| {
                let velocity = Var::zeros(var.shape(), var.dtype(), var.device())?;
                Ok((var, velocity))
            };
            StockOptimizer::Sgd(vars.map(with_velocity).collect::<Result<_>>()?)
        };
        let (inputs, targets) = batch(workload.model, n)?;
        Ok(Self { network, optimizer, inputs, targets })
    }

    /// One step at a learning rate of 0: the loss.
    ///
    /// # Errors
    /// A device error.
    pub fn step(&mut self) -> Result<f64> {
        let loss = loss::cross_entropy(&(self.network)(&self.inputs)?, &self.targets)?;
        let gradients = loss.backward()?;
        self.optimizer.step(&gradients)?;
        loss.to_dtype(DType::F64)?.to_scalar()
    }
}

impl StockOptimizer {
    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        match self {
            Self::AdamW(adamw) => adamw.step(gradients),
            Self::Sgd(pairs) => pairs.iter().try_for_each(|(var, velocity)| {
                let Some(gradient) = gradients.get(var) else { return Ok(()) };
                velocity.set(&((velocity.as_tensor() * 0.9)? + gradient)?)?;
                var.set(&var.sub(&(velocity.as_tensor() * 0.0)?)?)
            }),
        }
    }
}
