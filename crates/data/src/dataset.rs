//! What a data set is to the rest of the program.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::DataError;

/// What one data set is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// The name it was opened by, e.g. `glyphs`.
    pub name: String,
    /// Shape of one input, without the batch dimension, e.g. `[1, 28, 28]` (channels, rows, columns).
    pub input_shape: Vec<usize>,
    /// Targets are class numbers in `0..n_classes`.
    pub n_classes: usize,
    /// What the loss is averaged over.
    pub unit: Unit,
}

impl Schema {
    /// Values in one input: the product of [`Schema::input_shape`].
    pub fn input_len(&self) -> usize {
        self.input_shape.iter().product()
    }
}

/// What the loss is averaged over, and so what a batch size counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Unit {
    /// One input with one target.
    Example,
}

impl fmt::Display for Unit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unit::Example => formatter.write_str("example"),
        }
    }
}

/// Examples that can be gathered by index, from any thread, in any order.
///
/// The same index always gives the same bits.
pub trait Dataset: Send + Sync {
    /// Name, shape and classes.
    fn schema(&self) -> &Schema;

    /// Number of examples; never 0 for a set that opened without error.
    fn len(&self) -> u64;

    /// Whether there is no example at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// SHA-256 in lower-case hex that names the content.
    ///
    /// It covers labels and raw inputs; for a procedural set, its configuration and the generator's version.
    fn content_hash(&self) -> &str;

    /// Bytes of memory that the data set itself holds (0 for a procedural one).
    fn resident_bytes(&self) -> u64;

    /// Writes the normalised inputs of `indices`, row after row, and their class numbers.
    ///
    /// `inputs` has `indices.len() * schema().input_len()` values, `targets` has `indices.len()`.
    ///
    /// # Errors
    ///
    /// [`DataError::BufferLength`] or [`DataError::IndexOutOfRange`]; a source that reads while it gathers may add
    /// its own. After an error the buffers hold anything.
    fn gather(&self, indices: &[u64], inputs: &mut [f32], targets: &mut [u32]) -> Result<(), DataError>;

    /// The class number of one example, without touching its input.
    ///
    /// # Errors
    ///
    /// [`DataError::IndexOutOfRange`].
    fn label(&self, index: u64) -> Result<u32, DataError>;

    /// Writes the grey pixels (0 black, 255 white) of one example as stored, before normalisation.
    ///
    /// # Errors
    ///
    /// [`DataError::NoPixels`] where inputs are not grey images (the default), otherwise as [`Dataset::gather`].
    fn grey(&self, index: u64, pixels: &mut [u8]) -> Result<(), DataError> {
        let _ = (index, pixels);
        Err(DataError::NoPixels { name: self.schema().name.clone() })
    }
}

/// The two parts of a data set: one to train on, one to judge by.
#[derive(Clone)]
pub struct Splits {
    /// What the model learns from.
    pub train: Arc<dyn Dataset>,
    /// What the model is judged by; it shares the training split's normalisation and classes.
    pub test: Arc<dyn Dataset>,
}

impl fmt::Debug for Splits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Splits { train, test } = self;
        formatter
            .debug_struct("Splits")
            .field("schema", train.schema())
            .field("train_len", &train.len())
            .field("test_len", &test.len())
            .finish_non_exhaustive()
    }
}

/// Checks the lengths that every [`Dataset::gather`] is called with.
pub(crate) fn check_buffers(
    schema: &Schema,
    n_rows: usize,
    inputs: &[f32],
    targets: &[u32],
) -> Result<(), DataError> {
    // A product beyond usize can equal no slice's length, so saturating is exact here.
    let expected = n_rows.saturating_mul(schema.input_len());
    if inputs.len() != expected {
        return Err(DataError::BufferLength { buffer: "inputs", found: inputs.len(), expected });
    }
    if targets.len() != n_rows {
        return Err(DataError::BufferLength { buffer: "targets", found: targets.len(), expected: n_rows });
    }
    Ok(())
}

/// The example `index` as a row number, if the data set has it.
pub(crate) fn check_index(schema: &Schema, index: u64, len: u64) -> Result<usize, DataError> {
    let out_of_range = || DataError::IndexOutOfRange { name: schema.name.clone(), index, len };
    if len <= index {
        return Err(out_of_range());
    }
    usize::try_from(index).map_err(|_| out_of_range())
}
