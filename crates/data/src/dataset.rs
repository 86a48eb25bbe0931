//! What a data set is to the rest of the program.

use std::sync::Arc;

use crate::schema::Schema;
use crate::{DataError, Normaliser};

/// One example of one epoch: what a batch is made of.
///
/// Sources look at the index only; augmentation takes its random numbers from both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// Which example, in `0..len`.
    pub index: u64,
    /// How often the data set has been passed through before.
    pub epoch: u64,
}

impl Row {
    /// The example `index` as it is in the first epoch.
    pub fn new(index: u64) -> Row {
        Row { index, epoch: 0 }
    }
}

/// A buffer of the caller, of the element type that the schema names.
#[derive(Debug)]
pub enum ValuesMut<'a> {
    /// Measured values.
    F32(&'a mut [f32]),
    /// Class numbers or tokens.
    U32(&'a mut [u32]),
}

impl ValuesMut<'_> {
    /// Values in the buffer.
    pub fn len(&self) -> usize {
        match self {
            ValuesMut::F32(values) => values.len(),
            ValuesMut::U32(values) => values.len(),
        }
    }

    /// Whether there is no value at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The buffer if it is of f32.
    ///
    /// # Errors
    ///
    /// [`DataError::BufferType`] otherwise.
    pub fn f32(&mut self) -> Result<&mut [f32], DataError> {
        match self {
            ValuesMut::F32(values) => Ok(values),
            ValuesMut::U32(_) => Err(DataError::BufferType { found: "u32", expected: "f32" }),
        }
    }

    /// The buffer if it is of u32.
    ///
    /// # Errors
    ///
    /// [`DataError::BufferType`] otherwise.
    pub fn u32(&mut self) -> Result<&mut [u32], DataError> {
        match self {
            ValuesMut::U32(values) => Ok(values),
            ValuesMut::F32(_) => Err(DataError::BufferType { found: "f32", expected: "u32" }),
        }
    }
}

/// Where gathered rows go: row after row, inputs and targets apart.
///
/// Rows of an uneven set (see [`Schema::uneven`]) are all as long as the buffers say (their length over the number of
/// rows); what lies behind the end of a sequence is padding, 0 in inputs and [`PADDING`] in targets.
#[derive(Debug)]
pub struct RowsMut<'a> {
    /// `n × input_len` values.
    pub inputs: ValuesMut<'a>,
    /// `n × target_len` values.
    pub targets: ValuesMut<'a>,
}

/// The target of a position that does not exist: losses must give it no weight.
pub const PADDING: u32 = u32::MAX;

/// Examples that can be gathered by index, from any thread, in any order.
///
/// The same row always gives the same bits.
pub trait Dataset: Send + Sync {
    /// Name, shapes, element types and classes.
    fn schema(&self) -> &Schema;

    /// Number of examples; never 0 for a set that opened without error.
    fn len(&self) -> u64;

    /// Whether there is no example at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// SHA-256 in lower-case hex that names the content.
    ///
    /// It covers targets and raw inputs, and what changes them on the way; for a procedural set, its configuration and
    /// the generator's version. Sets larger than memory read their files for it when it is first asked for.
    ///
    /// # Errors
    ///
    /// What reading says.
    fn content_hash(&self) -> Result<String, DataError>;

    /// Bytes of memory that the data set itself holds; mapped files do not count.
    fn resident_bytes(&self) -> u64;

    /// Writes the inputs and targets of `rows`, normalised, in the order of `rows`.
    ///
    /// # Errors
    ///
    /// [`DataError::BufferLength`], [`DataError::BufferType`] or [`DataError::IndexOutOfRange`]; a source that reads
    /// while it gathers may add its own. After an error the buffers hold anything.
    fn gather(&self, rows: &[Row], out: RowsMut<'_>) -> Result<(), DataError>;

    /// The class number of one example, without touching its input.
    ///
    /// # Errors
    ///
    /// [`DataError::IndexOutOfRange`]; [`DataError::NoClasses`] where targets are not classes.
    fn label(&self, index: u64) -> Result<u32, DataError>;

    /// The length of one sequence; other sets have none, and answer 1 for every example.
    ///
    /// # Errors
    ///
    /// [`DataError::IndexOutOfRange`].
    fn length(&self, index: u64) -> Result<usize, DataError> {
        check_index(self.schema(), index, self.len())?;
        Ok(self.schema().longest())
    }

    /// Writes the pixels of one image as stored, before normalisation: channel after channel, 0 black and 255 white.
    ///
    /// # Errors
    ///
    /// [`DataError::NoPixels`] where inputs are not images of bytes (the default), otherwise as [`Dataset::gather`].
    fn pixels(&self, index: u64, pixels: &mut [u8]) -> Result<(), DataError> {
        let _ = (index, pixels);
        Err(DataError::NoPixels { name: self.schema().name.clone() })
    }

    /// One example as text, for showing; `None` where inputs are no text, or the example does not exist.
    fn text(&self, index: u64) -> Option<String> {
        let _ = index;
        None
    }

    /// How pixels become inputs, where inputs are images of bytes.
    fn normaliser(&self) -> Option<&Normaliser> {
        None
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

impl std::fmt::Debug for Splits {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Splits { train, test } = self;
        formatter
            .debug_struct("Splits")
            .field("schema", train.schema())
            .field("train_len", &train.len())
            .field("test_len", &test.len())
            .finish_non_exhaustive()
    }
}

/// Checks the lengths and types that every [`Dataset::gather`] of an even set is called with.
pub(crate) fn check_buffers(schema: &Schema, n_rows: usize, out: &RowsMut<'_>) -> Result<(), DataError> {
    // A product beyond usize can equal no slice's length, so saturating is exact here.
    let expected = n_rows.saturating_mul(schema.input_len());
    if out.inputs.len() != expected {
        return Err(DataError::BufferLength { buffer: "inputs", found: out.inputs.len(), expected });
    }
    let expected = n_rows.saturating_mul(schema.target_len());
    if out.targets.len() != expected {
        return Err(DataError::BufferLength { buffer: "targets", found: out.targets.len(), expected });
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

/// Checks the buffer that [`Dataset::pixels`] is called with.
pub(crate) fn check_pixels(schema: &Schema, pixels: &[u8]) -> Result<(), DataError> {
    let (found, expected) = (pixels.len(), schema.input_len());
    if found == expected {
        return Ok(());
    }
    Err(DataError::BufferLength { buffer: "pixels", found, expected })
}
