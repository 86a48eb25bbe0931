//! Two tensors as a data set: inputs and targets, row by row.

use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

use super::meaning::schema;
use super::values::Values;
use crate::dataset::{check_buffers, check_index, check_pixels};
use crate::images::hex;
use crate::order::Permutation;
use crate::pixels::PixelSums;
use crate::schema::{ElementType, Unit};
use crate::text::MAX_TOKENS;
use crate::{DataError, Dataset, Normaliser, Row, RowsMut, Schema, Target, ValuesMut};

/// Two tensors as a data set: inputs and targets, of which the first dimension counts examples.
///
/// What they are follows from their types and shapes:
///
/// | inputs | become |
/// |---|---|
/// | u8, `[n, channels, rows, columns]` | pixels, normalised by mean and deviation |
/// | floats, other u8, i8, bool | f32 as they are |
/// | other integers | tokens (u32) |
///
/// | targets | become |
/// |---|---|
/// | integers, `[n]` or `[n, 1]` | class numbers |
/// | integers, `[n, positions]` with integer inputs of that shape | the token that follows at each position |
/// | floats, `[n]` or `[n, values]` | values as they are |
///
/// [`TensorDataset::new`] takes candle's tensors, [`TensorDataset::with_classes`] and [`TensorDataset::with_values`]
/// vectors, and [`crate::read_tensors`] files.
#[derive(Debug)]
pub struct TensorDataset {
    schema: Schema,
    inputs: Arc<Values>,
    targets: Arc<Values>,
    normaliser: Option<Arc<Normaliser>>,
    selection: Option<Selection>,
    content_hash: OnceLock<String>,
}

/// Some of the rows: those at positions `start..start + len` of a shuffle.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    pub(crate) permutation: Arc<Permutation>,
    pub(crate) seed: u64,
    pub(crate) start: u64,
    pub(crate) len: u64,
}

impl TensorDataset {
    /// Looks at all targets (and tokens, and pixels) once.
    pub(crate) fn from_values(
        name: &str,
        inputs: Arc<Values>,
        targets: Arc<Values>,
        selection: Option<Selection>,
    ) -> Result<TensorDataset, DataError> {
        let schema = schema(name, &inputs, &targets)?;
        let mut dataset = TensorDataset {
            schema,
            inputs,
            targets,
            normaliser: None,
            selection,
            content_hash: OnceLock::new(),
        };
        if dataset.inputs.is_u8() && dataset.inputs.row_shape.len() == 3 {
            dataset.normaliser = Some(Arc::new(dataset.fit()?));
        }
        Ok(dataset)
    }

    /// Takes over what a training split decides: the classes or tokens that there are, and how pixels are normalised.
    ///
    /// # Errors
    ///
    /// [`DataError::Format`] if inputs or targets differ in kind or shape, or if this set has more classes or tokens.
    pub fn matching(mut self, train: &TensorDataset) -> Result<TensorDataset, DataError> {
        let (ours, theirs) = (&self.schema, &train.schema);
        if ours.input_shape != theirs.input_shape || ours.input_type != theirs.input_type {
            let found = format!("{:?} of {}", ours.input_shape, ours.input_type);
            let expected = format!("{:?} of {}, as in training", theirs.input_shape, theirs.input_type);
            return Err(self.inputs.wrong("shape of a row", found, &expected));
        }
        if self.normaliser.is_some() != train.normaliser.is_some() {
            let kind =
                |set: &TensorDataset| if set.normaliser.is_some() { "pixels (u8)" } else { "no pixels" };
            let expected = format!("{}, as in training", kind(train));
            return Err(self.inputs.wrong("kind", kind(&self).to_owned(), &expected));
        }
        let is_same_kind = std::mem::discriminant(&ours.target) == std::mem::discriminant(&theirs.target);
        if !is_same_kind || ours.target_shape() != theirs.target_shape() {
            let expected = format!("as in training ({:?})", train.targets.row_shape);
            return Err(self.targets.wrong(
                "shape of a row",
                format!("{:?}", self.targets.row_shape),
                &expected,
            ));
        }
        if theirs.n_outputs() < ours.n_outputs() {
            let what = if ours.unit == Unit::Token { "number of tokens" } else { "number of classes" };
            let expected = format!("at most {}, as in training", theirs.n_outputs());
            return Err(self.targets.wrong(what, ours.n_outputs().to_string(), &expected));
        }
        self.schema.target = train.schema.target.clone();
        self.normaliser = train.normaliser.clone();
        self.content_hash = OnceLock::new();
        Ok(self)
    }

    /// Refuses a set to train on that has one class only: there is nothing to learn.
    pub(crate) fn check_classes(&self) -> Result<(), DataError> {
        match self.schema.target {
            Target::Class { n_classes: 1, .. } => {
                Err(self.targets.wrong("greatest class number", "0".to_owned(), "1 or more"))
            }
            _ => Ok(()),
        }
    }

    /// Mean and deviation of the pixels of this split.
    fn fit(&self) -> Result<Normaliser, DataError> {
        self.inputs.check()?;
        // In the order of the file, which may be larger than memory.
        let mut is_ours = vec![self.selection.is_none(); self.inputs.n_rows];
        if let Some(Selection { permutation, start, len, .. }) = &self.selection {
            permutation
                .for_each(*start, *len, |rows| rows.iter().for_each(|row| is_ours[*row as usize] = true));
        }
        let shape = match self.schema.input_shape[..] {
            [n_channels, n_rows, n_columns] => [n_channels, n_rows, n_columns],
            _ => [1, 1, self.schema.input_len()],
        };
        let mut sums = PixelSums::new(shape);
        for (row, _) in is_ours.iter().enumerate().filter(|(_, is_ours)| **is_ours) {
            sums.add(self.inputs.bytes(row));
        }
        Ok(sums.normaliser())
    }

    /// The row of the tensors that example `index` is.
    fn row(&self, index: u64) -> Result<usize, DataError> {
        let row = check_index(&self.schema, index, self.len())?;
        Ok(match &self.selection {
            Some(Selection { permutation, start, .. }) => permutation.index(start + index) as usize,
            None => row,
        })
    }

    fn read_input(&self, row: usize, out: &mut ValuesMut<'_>, at: usize) -> Result<(), DataError> {
        let len = self.inputs.row_len();
        match (out, &self.normaliser) {
            (ValuesMut::F32(out), Some(normaliser)) => {
                normaliser.apply(self.inputs.bytes(row), &mut out[at * len..][..len]);
                Ok(())
            }
            (ValuesMut::F32(out), None) => self.inputs.read_f32(row, &mut out[at * len..][..len]),
            (ValuesMut::U32(out), _) => {
                let most = match self.schema.target {
                    Target::NextToken { n_tokens } => n_tokens,
                    _ => MAX_TOKENS,
                };
                self.inputs.read_u32(row, most, &mut out[at * len..][..len])
            }
        }
    }

    fn read_target(&self, row: usize, out: &mut ValuesMut<'_>, at: usize) -> Result<(), DataError> {
        let len = self.targets.row_len();
        match out {
            ValuesMut::F32(out) => self.targets.read_f32(row, &mut out[at * len..][..len]),
            ValuesMut::U32(out) => {
                self.targets.read_u32(row, self.schema.n_outputs(), &mut out[at * len..][..len])
            }
        }
    }

    fn hash(&self) -> Result<String, DataError> {
        let mut hasher = Sha256::new_with_prefix("tensors");
        hasher.update((self.schema.n_outputs() as u64).to_le_bytes());
        if let Some(normaliser) = &self.normaliser {
            normaliser.bits().for_each(|byte| hasher.update([byte]));
        }
        if let Some(Selection { seed, start, len, .. }) = &self.selection {
            for number in [*seed, *start, *len] {
                hasher.update(number.to_le_bytes());
            }
        }
        for values in [&self.inputs, &self.targets] {
            values.for_each_chunk(|bytes| hasher.update(bytes))?;
        }
        Ok(hex(&hasher.finalize()))
    }
}

impl Dataset for TensorDataset {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn len(&self) -> u64 {
        self.selection.as_ref().map_or(self.inputs.n_rows as u64, |selection| selection.len)
    }

    fn content_hash(&self) -> Result<String, DataError> {
        if let Some(hash) = self.content_hash.get() {
            return Ok(hash.clone());
        }
        let hash = self.hash()?;
        Ok(self.content_hash.get_or_init(|| hash).clone())
    }

    fn resident_bytes(&self) -> u64 {
        (self.inputs.resident_bytes() + self.targets.resident_bytes()) as u64
    }

    fn gather(&self, rows: &[Row], mut out: RowsMut<'_>) -> Result<(), DataError> {
        check_buffers(&self.schema, rows.len(), &out)?;
        match self.schema.input_type {
            ElementType::F32 => out.inputs.f32().map(drop)?,
            ElementType::U32 => out.inputs.u32().map(drop)?,
        }
        match self.schema.target.element_type() {
            ElementType::F32 => out.targets.f32().map(drop)?,
            ElementType::U32 => out.targets.u32().map(drop)?,
        }
        self.inputs.check()?;
        for (at, row) in rows.iter().enumerate() {
            let row = self.row(row.index)?;
            self.read_input(row, &mut out.inputs, at)?;
            self.read_target(row, &mut out.targets, at)?;
        }
        Ok(())
    }

    fn label(&self, index: u64) -> Result<u32, DataError> {
        let row = self.row(index)?;
        let Target::Class { n_classes, .. } = self.schema.target else {
            return Err(DataError::NoClasses { name: self.schema.name.clone() });
        };
        let mut label = [0];
        self.targets.read_u32(row, n_classes, &mut label)?;
        Ok(label[0])
    }

    fn pixels(&self, index: u64, pixels: &mut [u8]) -> Result<(), DataError> {
        let row = self.row(index)?;
        if self.normaliser.is_none() {
            return Err(DataError::NoPixels { name: self.schema.name.clone() });
        }
        check_pixels(&self.schema, pixels)?;
        pixels.copy_from_slice(self.inputs.bytes(row));
        Ok(())
    }

    fn normaliser(&self) -> Option<&Normaliser> {
        self.normaliser.as_deref()
    }
}
