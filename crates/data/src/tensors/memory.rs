//! Data sets from tensors and vectors in memory.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::TensorDataset;
use super::values::Values;
use crate::{DataError, PADDING};

impl TensorDataset {
    /// Takes a copy of two tensors on any device; [`TensorDataset`] says what becomes of their types and shapes.
    ///
    /// A set to test by should be made [`TensorDataset::matching`] the one to train on.
    ///
    /// ```
    /// use batchwise_data::{Dataset, TensorDataset};
    /// use candle_core::{Device, Tensor};
    ///
    /// let inputs = Tensor::new(&[[0f32, 1.], [2., 3.], [4., 5.]], &Device::Cpu)?;
    /// let train = TensorDataset::new("corners", &inputs, &Tensor::new(&[0u32, 1, 2], &Device::Cpu)?)?;
    /// let test = TensorDataset::new("corners", &inputs, &Tensor::new(&[1u32, 1, 0], &Device::Cpu)?)?;
    /// let test = test.matching(&train)?;
    /// assert_eq!((test.len(), test.label(0)?, test.schema().n_classes()), (3, 1, Some(3)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`DataError::Format`] if the first dimensions differ, for shapes and types that have no meaning, values that are
    /// not finite, and class numbers or tokens that are negative or 2^24 and more; [`DataError::Tensor`].
    pub fn new(name: &str, inputs: &Tensor, targets: &Tensor) -> Result<TensorDataset, DataError> {
        let inputs = copy(name, "inputs", inputs)?;
        let targets = copy(name, "targets", targets)?;
        TensorDataset::from_values(name, Arc::new(inputs), Arc::new(targets), None)
    }

    /// Inputs of the shape `input_shape` each, and their class numbers.
    ///
    /// ```
    /// use batchwise_data::{Dataset, TensorDataset};
    ///
    /// let set = TensorDataset::with_classes("corners", vec![0., 1., 2., 3., 4., 5.], &[2], vec![0, 1, 1])?;
    /// assert_eq!((set.len(), set.schema().n_classes()), (3, Some(2)));
    /// # Ok::<(), batchwise_data::DataError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`TensorDataset::new`].
    pub fn with_classes(
        name: &str,
        inputs: Vec<f32>,
        input_shape: &[usize],
        classes: Vec<u32>,
    ) -> Result<TensorDataset, DataError> {
        let n = classes.len();
        let inputs = Values::from_f32(name, "inputs", &[&[n], input_shape].concat(), inputs)?;
        let targets = Values::from_u32(name, "targets", &[n], classes)?;
        TensorDataset::from_values(name, Arc::new(inputs), Arc::new(targets), None)
    }

    /// Inputs of the shape `input_shape` each, and `n_values` values to predict for each.
    ///
    /// ```
    /// use batchwise_data::{Dataset, TensorDataset};
    ///
    /// let set = TensorDataset::with_values("line", vec![0., 1., 2.], &[1], vec![0.5, 1.5, 2.5], 1)?;
    /// assert_eq!((set.len(), set.schema().n_outputs()), (3, 1));
    /// # Ok::<(), batchwise_data::DataError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`TensorDataset::new`].
    pub fn with_values(
        name: &str,
        inputs: Vec<f32>,
        input_shape: &[usize],
        values: Vec<f32>,
        n_values: usize,
    ) -> Result<TensorDataset, DataError> {
        let n = values.len() / n_values.max(1);
        let inputs = Values::from_f32(name, "inputs", &[&[n], input_shape].concat(), inputs)?;
        let targets = Values::from_f32(name, "targets", &[n, n_values], values)?;
        TensorDataset::from_values(name, Arc::new(inputs), Arc::new(targets), None)
    }
}

fn copy(path: &str, name: &str, tensor: &Tensor) -> Result<Values, DataError> {
    let shape = tensor.dims();
    let flat = tensor.to_device(&Device::Cpu)?.flatten_all()?;
    match flat.dtype() {
        DType::U8 => Values::from_u8(path, name, shape, flat.to_vec1()?),
        DType::U32 => Values::from_u32(path, name, shape, flat.to_vec1()?),
        DType::I16 | DType::I32 | DType::I64 => {
            // What no u32 holds becomes what no limit allows.
            let wide = flat.to_dtype(DType::I64)?.to_vec1::<i64>()?;
            let values = wide.into_iter().map(|value| u32::try_from(value).unwrap_or(PADDING)).collect();
            Values::from_u32(path, name, shape, values)
        }
        _ => Values::from_f32(path, name, shape, flat.to_dtype(DType::F32)?.to_vec1()?),
    }
}
