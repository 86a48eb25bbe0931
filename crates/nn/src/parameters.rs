//! Named trainable variables in name order, and a `VarBuilder` that initialises them repeatably.

use crate::random;
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Shape, Tensor, Var};
use candle_nn::init::NormalOrUniform;
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A model's trainable variables, in the order of their names.
///
/// candle's `VarMap` hands its variables out in an order that differs from process to process, and its
/// CPU initialisation cannot be seeded. Build a model from [`Parameters::builder`] instead: each
/// variable's first value is a pure function of (seed, name), and every sum over variables runs in name
/// order, so two runs agree bit for bit.
///
/// ```
/// use batchwise_nn::Parameters;
/// use candle_core::{DType, Device};
///
/// let parameters = Parameters::new();
/// let layer = candle_nn::linear(4, 2, parameters.builder(7, DType::F32, &Device::Cpu).pp("head"))?;
/// let names: Vec<String> = parameters.named().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["head.bias", "head.weight"]);
/// # let _ = layer;
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Parameters {
    vars: Arc<Mutex<BTreeMap<String, Var>>>,
    buffers: Arc<Mutex<BTreeMap<String, Var>>>,
}

/// Names of what a layer keeps but does not train.
const BUFFERS: [&str; 2] = ["running_mean", "running_var"];

impl Parameters {
    /// No variables yet: a [`Parameters::builder`] adds them.
    pub fn new() -> Self {
        Self::default()
    }

    /// A builder that creates the variables a model asks for, each from (seed, its full name).
    pub fn builder(&self, seed: u64, dtype: DType, device: &Device) -> VarBuilder<'static> {
        let backend = SeededBackend { parameters: self.clone(), seed };
        VarBuilder::from_backend(Box::new(backend), dtype, device.clone())
    }

    /// The variables with their names, in name order. The `Var`s share storage with the model's.
    pub fn named(&self) -> Vec<(String, Var)> {
        self.lock().iter().map(|(name, var)| (name.clone(), var.clone())).collect()
    }

    /// What layers keep but do not train, such as the running statistics of batch norm (`running_mean`, `running_var`),
    /// in name order.
    pub fn buffers(&self) -> Vec<(String, Var)> {
        lock(&self.buffers).iter().map(|(name, var)| (name.clone(), var.clone())).collect()
    }

    /// Variables and buffers in name order.
    pub(crate) fn all(&self) -> BTreeMap<String, Var> {
        self.named().into_iter().chain(self.buffers()).collect()
    }

    /// The variables or the buffers, whichever a name belongs to.
    fn home(&self, name: &str) -> &Mutex<BTreeMap<String, Var>> {
        let is_buffer = BUFFERS.contains(&name.rsplit('.').next().unwrap_or(name));
        if is_buffer { &self.buffers } else { &self.vars }
    }

    /// The variable or buffer of this name.
    pub fn get(&self, name: &str) -> Option<Var> {
        lock(self.home(name)).get(name).cloned()
    }

    /// How many numbers there are in all variables.
    pub fn n_elements(&self) -> usize {
        self.lock().values().map(|var| var.elem_count()).sum()
    }

    /// Bytes of all variables.
    pub fn bytes(&self) -> u64 {
        self.lock().values().map(|var| (var.elem_count() * var.dtype().size_in_bytes()) as u64).sum()
    }

    /// Takes the variables' gradients out of a candle store, in name order.
    ///
    /// # Errors
    /// Names the first variable that got no gradient: a layer that cuts it would otherwise stay
    /// untrained in silence.
    pub fn take_gradients(&self, store: &mut GradStore) -> Result<Vec<Tensor>> {
        self.lock()
            .iter()
            .map(|(name, var)| store.remove(var.as_tensor()).ok_or_else(|| no_gradient(name)))
            .collect()
    }

    /// All values as a safetensors file, in name order.
    ///
    /// # Errors
    /// A device that fails to copy.
    ///
    /// ```
    /// use batchwise_nn::Parameters;
    /// use candle_core::{DType, Device};
    ///
    /// let parameters = Parameters::new();
    /// candle_nn::linear(4, 2, parameters.builder(7, DType::F32, &Device::Cpu))?;
    /// let file = parameters.to_safetensors()?;
    /// let read = candle_core::safetensors::load_buffer(&file, &Device::Cpu)?;
    /// assert_eq!(read["weight"].dims(), [2, 4]);
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    pub fn to_safetensors(&self) -> Result<Vec<u8>> {
        let tensors: BTreeMap<String, Tensor> =
            self.all().into_iter().map(|(name, var)| (name, var.as_tensor().clone())).collect();
        Ok(safetensors::serialize(&tensors, None)?)
    }

    /// Copies of all values, detached from the variables' storage.
    ///
    /// # Errors
    /// A device that fails to copy.
    pub fn snapshot(&self) -> Result<BTreeMap<String, Tensor>> {
        self.all().into_iter().map(|(name, var)| Ok((name, var.as_detached_tensor().copy()?))).collect()
    }

    /// Writes the values of a snapshot back.
    ///
    /// # Errors
    /// A name that is missing from `values`, or a shape that differs; then nothing is written.
    pub fn restore(&self, values: &BTreeMap<String, Tensor>) -> Result<()> {
        let vars = self.all();
        for (name, var) in &vars {
            let value = values
                .get(name)
                .ok_or_else(|| candle_core::Error::Msg(format!("no value for parameter `{name}`")))?;
            if value.shape() != var.shape() {
                candle_core::bail!(
                    "parameter `{name}` has shape {:?}, the value {:?}",
                    var.shape(),
                    value.shape()
                );
            }
        }
        for (name, var) in &vars {
            var.set(&values[name].to_device(var.device())?)?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Var>> {
        lock(&self.vars)
    }
}

fn lock(vars: &Mutex<BTreeMap<String, Var>>) -> MutexGuard<'_, BTreeMap<String, Var>> {
    vars.lock().unwrap_or_else(PoisonError::into_inner)
}

struct SeededBackend {
    parameters: Parameters,
    seed: u64,
}

impl SimpleBackend for SeededBackend {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        if let Some(var) = self.parameters.get(name) {
            if var.shape() != &shape {
                candle_core::bail!("parameter `{name}` has shape {:?}, asked for {shape:?}", var.shape());
            }
            return Ok(var.as_tensor().clone());
        }
        let values = initial_values(self.seed, name, &shape, init);
        let var = Var::from_tensor(
            &Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?,
        )?;
        let tensor = var.as_tensor().clone();
        lock(self.parameters.home(name)).insert(name.to_owned(), var);
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        match self.parameters.get(name) {
            Some(var) => Ok(var.as_tensor().clone()),
            None => candle_core::bail!("parameter `{name}` does not exist, and has no shape to be made with"),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.parameters.get(name).is_some()
    }
}

pub(crate) fn no_gradient(name: &str) -> candle_core::Error {
    candle_core::Error::Msg(format!(
        "parameter `{name}` got no gradient: the loss does not depend on it, or a layer cuts the gradient"
    ))
}

/// The first value of a variable under candle's initialisation hints, in f64.
fn initial_values(seed: u64, name: &str, shape: &Shape, init: Init) -> Vec<f64> {
    let n = shape.elem_count();
    match init {
        Init::Const(value) => vec![value; n],
        Init::Uniform { lo, up } => random::uniform(seed, name, n, lo, up),
        Init::Randn { mean, stdev } => random::normal(seed, name, n, mean, stdev),
        Init::Kaiming { dist, fan, non_linearity } => {
            let deviation = non_linearity.gain() / (fan.for_shape(shape) as f64).sqrt();
            match dist {
                NormalOrUniform::Normal => random::normal(seed, name, n, 0.0, deviation),
                NormalOrUniform::Uniform => {
                    let bound = 3f64.sqrt() * deviation;
                    random::uniform(seed, name, n, -bound, bound)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_nn::Module;

    fn values(parameters: &Parameters, name: &str) -> Vec<f32> {
        parameters.get(name).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn the_first_values_depend_on_seed_and_name_only() {
        let build = |seed, first: &str| {
            let parameters = Parameters::new();
            let vb = parameters.builder(seed, DType::F32, &Device::Cpu);
            // The order in which a model asks must not matter.
            for name in [first, "b", "a"] {
                candle_nn::linear(3, 5, vb.pp(name)).unwrap();
            }
            parameters
        };
        let (one, two, other) = (build(1, "a"), build(1, "z"), build(2, "a"));
        assert_eq!(values(&one, "a.weight"), values(&two, "a.weight"));
        assert_ne!(values(&one, "a.weight"), values(&other, "a.weight"));
        assert_ne!(values(&one, "a.weight"), values(&one, "b.weight"));
        let names: Vec<_> = one.named().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a.bias", "a.weight", "b.bias", "b.weight"]);
        assert_eq!(one.n_elements(), 40);
        assert_eq!(one.bytes(), 160);
    }

    #[test]
    fn a_variable_without_a_gradient_is_named() {
        let parameters = Parameters::new();
        let vb = parameters.builder(1, DType::F32, &Device::Cpu);
        let used = candle_nn::linear(3, 2, vb.pp("used")).unwrap();
        candle_nn::linear(3, 2, vb.pp("forgotten")).unwrap();
        let x = Tensor::ones((4, 3), DType::F32, &Device::Cpu).unwrap();
        let mut grads = used.forward(&x).unwrap().sum_all().unwrap().backward().unwrap();
        let error = parameters.take_gradients(&mut grads).unwrap_err().to_string();
        assert!(error.contains("`forgotten.bias` got no gradient"), "{error}");
    }

    #[test]
    fn a_snapshot_is_a_copy_and_restores() {
        let parameters = Parameters::new();
        candle_nn::linear(3, 2, parameters.builder(1, DType::F32, &Device::Cpu)).unwrap();
        let before = values(&parameters, "weight");
        let snapshot = parameters.snapshot().unwrap();
        let weight = parameters.get("weight").unwrap();
        weight.set(&weight.affine(2.0, 1.0).unwrap()).unwrap();
        assert_ne!(values(&parameters, "weight"), before);
        parameters.restore(&snapshot).unwrap();
        assert_eq!(values(&parameters, "weight"), before);
        assert!(
            parameters
                .restore(&BTreeMap::new())
                .unwrap_err()
                .to_string()
                .contains("no value for parameter `bias`")
        );
    }
}
