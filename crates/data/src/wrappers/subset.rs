//! Some examples of a data set, as a data set.

use std::ops::Range;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::dataset::check_index;
use crate::images::hex;
use crate::{DataError, Dataset, Normaliser, Row, RowsMut, Schema};

/// Some examples of another data set, numbered anew from 0.
///
/// Everything else stays that of the whole set: its schema, its classes, and how inputs and targets are normalised.
#[derive(Clone)]
pub struct Subset {
    dataset: Arc<dyn Dataset>,
    selection: Selection,
}

#[derive(Clone, Debug)]
enum Selection {
    Range { start: u64, len: u64 },
    Indices(Arc<[u64]>),
}

impl Subset {
    /// The examples `indices`, in this order; one may occur more than once. Each takes 8 bytes of memory.
    ///
    /// # Errors
    ///
    /// [`DataError::IndexOutOfRange`]; [`DataError::Setting`] for no index at all.
    pub fn new(dataset: Arc<dyn Dataset>, indices: Vec<u64>) -> Result<Subset, DataError> {
        for index in &indices {
            check_index(dataset.schema(), *index, dataset.len())?;
        }
        if indices.is_empty() {
            return Err(nothing("no example"));
        }
        Ok(Subset { dataset, selection: Selection::Indices(indices.into()) })
    }

    /// The examples from `range.start` to before `range.end`.
    ///
    /// # Errors
    ///
    /// As [`Subset::new`].
    pub fn range(dataset: Arc<dyn Dataset>, range: Range<u64>) -> Result<Subset, DataError> {
        let Range { start, end } = range;
        if end <= start {
            return Err(nothing(&format!("{start}..{end}")));
        }
        check_index(dataset.schema(), end - 1, dataset.len())?;
        Ok(Subset { dataset, selection: Selection::Range { start, len: end - start } })
    }

    /// The number that an example has in the whole set.
    ///
    /// # Errors
    ///
    /// [`DataError::IndexOutOfRange`].
    pub fn whole_index(&self, index: u64) -> Result<u64, DataError> {
        let row = check_index(self.schema(), index, self.len())?;
        Ok(match &self.selection {
            Selection::Range { start, .. } => start + index,
            Selection::Indices(indices) => indices[row],
        })
    }
}

impl Dataset for Subset {
    fn schema(&self) -> &Schema {
        self.dataset.schema()
    }

    fn len(&self) -> u64 {
        match &self.selection {
            Selection::Range { len, .. } => *len,
            Selection::Indices(indices) => indices.len() as u64,
        }
    }

    /// Of the hash of the whole set and the numbers of the examples.
    fn content_hash(&self) -> Result<String, DataError> {
        let mut hasher = Sha256::new();
        hasher.update(b"subset of ");
        hasher.update(self.dataset.content_hash()?);
        match &self.selection {
            Selection::Range { start, len } => {
                hasher.update(b" range ");
                [start, len].iter().for_each(|number| hasher.update(number.to_le_bytes()));
            }
            Selection::Indices(indices) => {
                hasher.update(b" indices ");
                indices.iter().for_each(|index| hasher.update(index.to_le_bytes()));
            }
        }
        Ok(hex(&hasher.finalize()))
    }

    /// The whole set's memory counts in each of its subsets.
    fn resident_bytes(&self) -> u64 {
        let own = match &self.selection {
            Selection::Range { .. } => 0,
            Selection::Indices(indices) => size_of_val::<[u64]>(indices) as u64,
        };
        self.dataset.resident_bytes() + own
    }

    fn gather(&self, rows: &[Row], out: RowsMut<'_>) -> Result<(), DataError> {
        let row = |row: &Row| Ok(Row { index: self.whole_index(row.index)?, epoch: row.epoch });
        let rows: Vec<Row> = rows.iter().map(row).collect::<Result<_, DataError>>()?;
        self.dataset.gather(&rows, out)
    }

    fn label(&self, index: u64) -> Result<u32, DataError> {
        self.dataset.label(self.whole_index(index)?)
    }

    fn length(&self, index: u64) -> Result<usize, DataError> {
        self.dataset.length(self.whole_index(index)?)
    }

    fn pixels(&self, index: u64, pixels: &mut [u8]) -> Result<(), DataError> {
        self.dataset.pixels(self.whole_index(index)?, pixels)
    }

    fn text(&self, index: u64) -> Option<String> {
        self.dataset.text(self.whole_index(index).ok()?)
    }

    fn normaliser(&self) -> Option<&Normaliser> {
        self.dataset.normaliser()
    }
}

impl std::fmt::Debug for Subset {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Subset { dataset, selection: _ } = self;
        formatter
            .debug_struct("Subset")
            .field("schema", dataset.schema())
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

fn nothing(found: &str) -> DataError {
    let allowed = "1 example or more".to_owned();
    DataError::Setting { field: "the examples of a subset", found: found.to_owned(), allowed }
}
