//! One training step with our layers, losses and optimizers.

use super::{CLASSES, CONTEXT, HEADS, LAYERS, Model, VOCABULARY, WIDTH, Workload, batch};
use batchwise_nn::gradients::Tap;
use batchwise_nn::models::{Cnn, CnnConfig, Gpt, GptConfig, Mlp, MlpConfig, Norm, ResNet, ResNetConfig};
use batchwise_nn::optim::Optimizer;
use batchwise_nn::precision::{self, Precision};
use batchwise_nn::{Gradients, Parameters, Recorded, loss};
use candle_core::{DType, Device, Error, Result, Tensor};
use candle_nn::{ModuleT, VarBuilder};

/// A part of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// From the inputs to the loss.
    Forward,
    /// From the loss to the gradients.
    Backward,
    /// The update of the parameters.
    Optimizer,
}

/// A model of ours, its optimizer and the batch it sees again and again.
pub struct OurStep {
    parameters: Parameters,
    model: Box<dyn ModuleT>,
    optimizer: Box<dyn Optimizer>,
    gradients: Gradients,
    inputs: Tensor,
    targets: Tensor,
    precision: Precision,
}

impl OurStep {
    /// The workload on a batch of `n`.
    ///
    /// # Errors
    /// None for the workloads there are.
    pub fn new(workload: Workload, n: usize) -> Result<Self> {
        let parameters = Parameters::new();
        let model = build(workload.model, parameters.builder(1, DType::F32, &Device::Cpu))?;
        let optimizer = workload.optimizer().build(&parameters)?;
        let (inputs, targets) = batch(workload.model, n)?;
        // A token for each position.
        let targets = if workload.model == Model::Gpt { targets.reshape(inputs.shape())? } else { targets };
        let (gradients, precision) = (Gradients::new(), Precision::F32);
        Ok(Self { parameters, model, optimizer, gradients, inputs, targets, precision })
    }

    /// The same with products in another precision.
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// What it trains.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// One step at a learning rate of 0: the loss.
    ///
    /// # Errors
    /// A device error.
    pub fn step(&mut self) -> Result<f64> {
        self.step_with(|_| ())
    }

    /// The same, and calls `mark` at the end of each phase.
    ///
    /// # Errors
    /// A device error.
    pub fn step_with(&mut self, mut mark: impl FnMut(Phase)) -> Result<f64> {
        let mut weight = 0.0;
        let recorded = Recorded::new(|| {
            let logits = precision::with(self.precision, || self.model.forward_t(&self.inputs, true))?;
            let loss = match self.targets.rank() {
                1 => loss::cross_entropy(&logits, &self.targets)?,
                _ => loss::next_token(&logits, &self.targets)?,
            };
            weight = loss.weight;
            Ok::<_, Error>(loss.sum)
        })?;
        let sum = recorded.loss().detach();
        mark(Phase::Forward);
        self.gradients.backward(&self.parameters, recorded.scaled(1.0 / weight), Tap::Off)?;
        mark(Phase::Backward);
        // At a learning rate of 0 one batch can be repeated without its gradients becoming denormal numbers.
        self.optimizer.step(&self.parameters, &self.gradients, 0.0)?;
        self.gradients.clear();
        mark(Phase::Optimizer);
        Ok(sum.to_dtype(DType::F64)?.to_scalar::<f64>()? / weight)
    }
}

fn build(model: Model, vb: VarBuilder<'_>) -> Result<Box<dyn ModuleT>> {
    Ok(match model {
        Model::Mlp => {
            let config = MlpConfig { inputs: 784, hidden: vec![512, 256], classes: CLASSES };
            Box::new(Mlp::new(&config, vb)?)
        }
        Model::LeNet => {
            let (channels, hidden) = (vec![32, 64], 128);
            let config =
                CnnConfig { in_channels: 1, height: 28, width: 28, channels, hidden, classes: CLASSES };
            Box::new(Cnn::new(&config, vb)?)
        }
        Model::ResNet => Box::new(ResNet::new(&ResNetConfig::cifar(8, 3, Norm::Batch, CLASSES)?, vb)?),
        Model::Gpt => {
            let config = GptConfig {
                vocabulary: VOCABULARY,
                context: CONTEXT,
                width: WIDTH,
                heads: HEADS,
                layers: LAYERS,
                dropout: 0.0,
                seed: 0,
            };
            Box::new(Gpt::new(&config, vb)?)
        }
    })
}
