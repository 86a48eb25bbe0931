//! The values of a tensor, in memory or in a mapped file, taken row by row.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use safetensors::Dtype;

use super::convert::{convert, f32_from_bytes, u32_from_bytes};
use crate::map::MappedFile;
use crate::{At, DataError, PADDING};

/// A tensor whose first dimension counts examples.
#[derive(Debug)]
pub(crate) struct Values {
    /// Where it is from, in errors: a file or the name of a data set.
    pub(crate) path: PathBuf,
    /// What it is called.
    pub(crate) name: String,
    pub(crate) n_rows: usize,
    /// Dimensions behind the first.
    pub(crate) row_shape: Vec<usize>,
    store: Store,
}

#[derive(Debug)]
enum Store {
    F32(Vec<f32>),
    U32(Vec<u32>),
    U8(Vec<u8>),
    Mapped { file: Arc<MappedFile>, start: usize, dtype: Dtype },
}

impl Values {
    /// Finite numbers.
    pub(crate) fn from_f32(
        path: &str,
        name: &str,
        shape: &[usize],
        values: Vec<f32>,
    ) -> Result<Values, DataError> {
        let outside = values.iter().position(|value| !value.is_finite());
        let outside = outside.map(|at| (at, values[at]));
        let made = Values::new(Path::new(path), name, shape, values.len(), Store::F32(values))?;
        match outside {
            Some((at, value)) => Err(made.not_finite(at / made.row_len(), value)),
            None => Ok(made),
        }
    }

    /// Class numbers or tokens.
    pub(crate) fn from_u32(
        path: &str,
        name: &str,
        shape: &[usize],
        values: Vec<u32>,
    ) -> Result<Values, DataError> {
        Values::new(Path::new(path), name, shape, values.len(), Store::U32(values))
    }

    /// Bytes.
    pub(crate) fn from_u8(
        path: &str,
        name: &str,
        shape: &[usize],
        values: Vec<u8>,
    ) -> Result<Values, DataError> {
        Values::new(Path::new(path), name, shape, values.len(), Store::U8(values))
    }

    /// A tensor of a mapped file; its bytes from `start` on are known to be there.
    pub(crate) fn mapped(
        file: Arc<MappedFile>,
        start: usize,
        dtype: Dtype,
        name: &str,
        shape: &[usize],
    ) -> Result<Values, DataError> {
        let path = file.path().to_owned();
        let values =
            Values::new(&path, name, shape, shape.iter().product(), Store::Mapped { file, start, dtype })?;
        let found = format!("{dtype:?}");
        match dtype {
            Dtype::BOOL | Dtype::U8 | Dtype::I8 | Dtype::U16 | Dtype::I16 | Dtype::U32 | Dtype::I32 => {
                Ok(values)
            }
            Dtype::U64 | Dtype::I64 | Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64 => Ok(values),
            _ => Err(values.wrong("type", found, "F64, F32, F16, BF16, BOOL, or integers of 8 to 64 bits")),
        }
    }

    fn new(
        path: &Path,
        name: &str,
        shape: &[usize],
        n_values: usize,
        store: Store,
    ) -> Result<Values, DataError> {
        let (n_rows, row_shape) = shape.split_first().map_or((0, Vec::new()), |(n, row)| (*n, row.to_vec()));
        let values = Values { path: path.to_owned(), name: name.to_owned(), n_rows, row_shape, store };
        let expected = shape.iter().try_fold(1usize, |product, n| product.checked_mul(*n));
        if shape.is_empty() || expected.is_none_or(|n| n == 0) {
            let allowed = "one dimension or more, none of them 0";
            return Err(values.wrong("shape", format!("{shape:?}"), allowed));
        }
        if expected != Some(n_values) {
            let allowed = format!("what its shape {shape:?} says");
            return Err(values.wrong("number of values", n_values.to_string(), &allowed));
        }
        Ok(values)
    }

    pub(crate) fn row_len(&self) -> usize {
        self.row_shape.iter().product()
    }

    /// Whether the values are whole numbers.
    pub(crate) fn is_integer(&self) -> bool {
        match &self.store {
            Store::F32(_) => false,
            Store::U32(_) | Store::U8(_) => true,
            Store::Mapped { dtype, .. } => {
                !matches!(dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64)
            }
        }
    }

    /// Whether the values are truth values or numbers of one byte: measured rather than counted.
    pub(crate) fn is_byte(&self) -> bool {
        match &self.store {
            Store::F32(_) | Store::U32(_) => false,
            Store::U8(_) => true,
            Store::Mapped { dtype, .. } => matches!(dtype, Dtype::BOOL | Dtype::U8 | Dtype::I8),
        }
    }

    /// Whether [`Values::bytes`] gives anything.
    pub(crate) fn is_u8(&self) -> bool {
        matches!(&self.store, Store::U8(_) | Store::Mapped { dtype: Dtype::U8, .. })
    }

    /// One row of a tensor of u8.
    pub(crate) fn bytes(&self, row: usize) -> &[u8] {
        let len = self.row_len();
        match &self.store {
            Store::U8(values) => &values[row * len..][..len],
            Store::Mapped { file, start, dtype: Dtype::U8 } => &file[start + row * len..][..len],
            _ => &[],
        }
    }

    /// Bytes of memory that this holds.
    pub(crate) fn resident_bytes(&self) -> usize {
        match &self.store {
            Store::F32(values) => 4 * values.capacity(),
            Store::U32(values) => 4 * values.capacity(),
            Store::U8(values) => values.capacity(),
            Store::Mapped { .. } => 0,
        }
    }

    /// Refuses a mapped file that was cut.
    pub(crate) fn check(&self) -> Result<(), DataError> {
        match &self.store {
            Store::Mapped { file, .. } => file.check(),
            _ => Ok(()),
        }
    }

    /// Writes one row as f32; refuses what is not finite.
    pub(crate) fn read_f32(&self, row: usize, out: &mut [f32]) -> Result<(), DataError> {
        let len = self.row_len();
        let start = row * len;
        match &self.store {
            // Looked at when it was made.
            Store::F32(values) => {
                out.copy_from_slice(&values[start..][..len]);
                return Ok(());
            }
            Store::U32(values) => convert(&values[start..][..len], out, |value| *value as f32),
            Store::U8(values) => convert(&values[start..][..len], out, |value| f32::from(*value)),
            Store::Mapped { file, start: first, dtype } => {
                f32_from_bytes(*dtype, &file[first + start * dtype.bitsize() / 8..], out);
            }
        }
        match out.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(self.not_finite(row, *value)),
            None => Ok(()),
        }
    }

    /// Writes one row as u32; refuses what is not in `0..most`, and floats.
    pub(crate) fn read_u32(&self, row: usize, most: usize, out: &mut [u32]) -> Result<(), DataError> {
        let len = self.row_len();
        let start = row * len;
        match &self.store {
            Store::F32(_) => return Err(self.wrong("type", "F32".to_owned(), "integers")),
            Store::U32(values) => out.copy_from_slice(&values[start..][..len]),
            Store::U8(values) => convert(&values[start..][..len], out, |value| u32::from(*value)),
            Store::Mapped { dtype, .. } if !self.is_integer() => {
                return Err(self.wrong("type", format!("{dtype:?}"), "integers"));
            }
            Store::Mapped { file, start: first, dtype } => {
                u32_from_bytes(*dtype, &file[first + start * dtype.bitsize() / 8..], out);
            }
        }
        match out.iter().copied().find(|value| most <= *value as usize) {
            Some(PADDING) => Err(self.wrong_at(row, "negative or above 4294967294".to_owned(), most)),
            Some(value) => Err(self.wrong_at(row, value.to_string(), most)),
            None => Ok(()),
        }
    }

    /// The greatest of all values, which must be in `0..most`.
    pub(crate) fn greatest(&self, most: usize) -> Result<u32, DataError> {
        self.check()?;
        let mut row_values = vec![0; self.row_len()];
        let mut greatest = 0;
        for row in 0..self.n_rows {
            self.read_u32(row, most, &mut row_values)?;
            greatest = row_values.iter().copied().fold(greatest, u32::max);
        }
        Ok(greatest)
    }

    /// Gives `take` all bytes as they are stored, little-endian, after type and shape.
    pub(crate) fn for_each_chunk(&self, mut take: impl FnMut(&[u8])) -> Result<(), DataError> {
        self.check()?;
        let dtype = match &self.store {
            Store::F32(_) => Dtype::F32,
            Store::U32(_) => Dtype::U32,
            Store::U8(_) => Dtype::U8,
            Store::Mapped { dtype, .. } => *dtype,
        };
        take(format!("{dtype:?} {} {:?}", self.n_rows, self.row_shape).as_bytes());
        let mut buffer = Vec::new();
        match &self.store {
            Store::F32(values) => values.chunks(1 << 12).for_each(|chunk| {
                buffer.clear();
                buffer.extend(chunk.iter().flat_map(|value| value.to_le_bytes()));
                take(&buffer);
            }),
            Store::U32(values) => values.chunks(1 << 12).for_each(|chunk| {
                buffer.clear();
                buffer.extend(chunk.iter().flat_map(|value| value.to_le_bytes()));
                take(&buffer);
            }),
            Store::U8(values) => take(values),
            Store::Mapped { file, start, dtype } => {
                take(&file[*start..][..self.n_rows * self.row_len() * dtype.bitsize() / 8]);
            }
        }
        Ok(())
    }

    /// The error of a tensor of which `what` is wrong.
    pub(crate) fn wrong(&self, what: &str, found: String, expected: &str) -> DataError {
        DataError::Format {
            path: self.path.clone(),
            at: At::File,
            what: format!("the {what} of tensor `{}`", self.name),
            found,
            expected: expected.to_owned(),
        }
    }

    fn wrong_at(&self, row: usize, found: String, most: usize) -> DataError {
        DataError::Format {
            path: self.path.clone(),
            at: At::Row(row as u64),
            what: format!("a value of tensor `{}`", self.name),
            found,
            expected: format!("0..{most}"),
        }
    }

    fn not_finite(&self, row: usize, value: f32) -> DataError {
        DataError::Format {
            path: self.path.clone(),
            at: At::Row(row as u64),
            what: format!("a value of tensor `{}`", self.name),
            found: value.to_string(),
            expected: "a finite number (as f32)".to_owned(),
        }
    }
}
