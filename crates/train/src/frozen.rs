//! A second model on the same weights that records no graph.

use batchwise_nn::Parameters;
use candle_core::{DType, Device, Result, Shape, Tensor, bail};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

/// A builder that hands out the weights of `parameters` as constants: a model built from it computes the same bits, follows
/// the training (it shares the weights' memory), and records no graph, so that each activation is freed as soon as the
/// next is there.
///
/// candle 0.11 records a graph wherever a variable takes part, and has no switch to leave it out; a model that was built
/// from variables keeps them inside. So an evaluation without a graph needs this second model, which costs no memory of
/// its own. With the trained model itself the graph, and with it every activation of a batch, lives until the output
/// is there: a forward pass over 512 images of 28×28 through a CNN with channels 8 and 8 peaks at 31.6 MB with a graph and
/// at 19.8 MB without (the test `target_frozen` bounds the ratio).
///
/// Running statistics stay the variables they are: a layer evaluates with the newest, and would follow a batch if it were
/// run in training mode.
///
/// ```
/// use batchwise_nn::models::{Mlp, MlpConfig};
/// use batchwise_nn::{Parameters, loss};
/// use batchwise_train::{Task, evaluate, frozen};
/// use candle_core::{DType, Device};
///
/// let data = batchwise_data::open("glyphs:train=100,test=50", None)?;
/// let config = MlpConfig { inputs: 784, hidden: vec![32], classes: 10 };
/// let parameters = Parameters::new();
/// let model = Mlp::new(&config, parameters.builder(1, DType::F32, &Device::Cpu))?;
/// let twin = Mlp::new(&config, frozen::builder(&parameters, DType::F32, &Device::Cpu))?;
///
/// let trained = Task::new(parameters.clone(), Box::new(model), loss::cross_entropy, Device::Cpu);
/// let judged = Task::new(parameters, Box::new(twin), loss::cross_entropy, Device::Cpu);
/// assert_eq!(evaluate(&trained, &data.test, 50)?, evaluate(&judged, &data.test, 50)?);
/// # Ok::<(), batchwise_train::TrainError>(())
/// ```
pub fn builder(parameters: &Parameters, dtype: DType, device: &Device) -> VarBuilder<'static> {
    VarBuilder::from_backend(Box::new(Frozen(parameters.clone())), dtype, device.clone())
}

struct Frozen(Parameters);

impl Frozen {
    fn find(&self, name: &str) -> Result<Tensor> {
        let Some(var) = self.0.get(name) else {
            bail!("parameter `{name}` does not exist: build the trained model first")
        };
        let is_buffer = self.0.buffers().iter().any(|(own, _)| own == name);
        Ok(if is_buffer { var.as_tensor().clone() } else { var.as_detached_tensor() })
    }
}

impl SimpleBackend for Frozen {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, _: &Device) -> Result<Tensor> {
        let tensor = self.find(name)?;
        if tensor.shape() != &shape || tensor.dtype() != dtype {
            bail!(
                "parameter `{name}` is {:?} {:?}, asked for {dtype:?} {shape:?}",
                tensor.dtype(),
                tensor.shape()
            );
        }
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        self.find(name)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.get(name).is_some()
    }
}
