//! Rows of a table in memory, spread to inputs while they are gathered.

use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use super::categories::NONE;
use crate::dataset::{check_buffers, check_index};
use crate::images::hex;
use crate::{DataError, Dataset, Row, RowsMut, Schema};

/// Rows of a table in memory: standardised numbers, and categories by number.
///
/// An input is the numbers of a row, then for each column of categories one value for each category: 1 for the row's
/// own, 0 for the others.
#[derive(Debug)]
pub struct TableDataset {
    pub(super) schema: Schema,
    /// `n_numbers` for each row.
    pub(super) numbers: Vec<f32>,
    pub(super) n_numbers: usize,
    /// One code for each row and column of categories: where its value is in the input.
    pub(super) codes: Vec<u32>,
    pub(super) n_codes: usize,
    pub(super) targets: Targets,
    pub(super) content_hash: OnceLock<String>,
}

/// The targets of all rows.
#[derive(Debug)]
pub(super) enum Targets {
    Classes(Vec<u32>),
    /// So many for each row.
    Values(Vec<f32>, usize),
}

impl Dataset for TableDataset {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn len(&self) -> u64 {
        match &self.targets {
            Targets::Classes(classes) => classes.len() as u64,
            Targets::Values(values, n) => (values.len() / n.max(&1)) as u64,
        }
    }

    fn content_hash(&self) -> Result<String, DataError> {
        let hash = || {
            let mut hasher = Sha256::new();
            hasher.update(b"batchwise table 1");
            for text in self.schema.columns.iter().chain(self.target_names()) {
                hasher.update((text.len() as u64).to_le_bytes());
                hasher.update(text);
            }
            for size in [self.n_numbers, self.n_codes, self.schema.input_len(), self.schema.target_len()] {
                hasher.update((size as u64).to_le_bytes());
            }
            self.numbers.iter().for_each(|number| hasher.update(number.to_bits().to_le_bytes()));
            self.codes.iter().for_each(|code| hasher.update(code.to_le_bytes()));
            match &self.targets {
                Targets::Classes(classes) => {
                    classes.iter().for_each(|class| hasher.update(class.to_le_bytes()));
                }
                Targets::Values(values, _) => {
                    values.iter().for_each(|value| hasher.update(value.to_bits().to_le_bytes()));
                }
            }
            hex(&hasher.finalize())
        };
        Ok(self.content_hash.get_or_init(hash).clone())
    }

    fn resident_bytes(&self) -> u64 {
        let targets = match &self.targets {
            Targets::Classes(classes) => classes.len(),
            Targets::Values(values, _) => values.len(),
        };
        4 * (self.numbers.len() + self.codes.len() + targets) as u64
    }

    fn gather(&self, rows: &[Row], mut out: RowsMut<'_>) -> Result<(), DataError> {
        check_buffers(&self.schema, rows.len(), &out)?;
        let len = self.len();
        let inputs = out.inputs.f32()?.chunks_exact_mut(self.schema.input_len().max(1));
        for (row, input) in rows.iter().zip(inputs) {
            let index = check_index(&self.schema, row.index, len)?;
            let (numbers, spread) = input.split_at_mut(self.n_numbers);
            numbers.copy_from_slice(&self.numbers[index * self.n_numbers..][..self.n_numbers]);
            spread.fill(0.0);
            for code in &self.codes[index * self.n_codes..][..self.n_codes] {
                if *code != NONE {
                    spread[*code as usize] = 1.0;
                }
            }
        }
        match &self.targets {
            Targets::Classes(classes) => {
                for (row, target) in rows.iter().zip(out.targets.u32()?) {
                    *target = classes[check_index(&self.schema, row.index, len)?];
                }
            }
            Targets::Values(values, n) => {
                for (row, target) in rows.iter().zip(out.targets.f32()?.chunks_exact_mut((*n).max(1))) {
                    let index = check_index(&self.schema, row.index, len)?;
                    target.copy_from_slice(&values[index * n..][..*n]);
                }
            }
        }
        Ok(())
    }

    fn label(&self, index: u64) -> Result<u32, DataError> {
        let index = check_index(&self.schema, index, self.len())?;
        match &self.targets {
            Targets::Classes(classes) => Ok(classes[index]),
            Targets::Values(..) => Err(DataError::NoClasses { name: self.schema.name.clone() }),
        }
    }
}

impl TableDataset {
    /// What the targets are called.
    fn target_names(&self) -> Vec<&String> {
        use crate::Target;
        match &self.schema.target {
            Target::Class { names, .. } | Target::Mixture { names, .. } => names.iter().collect(),
            Target::Values { values } => values.iter().map(|value| &value.name).collect(),
            Target::NextToken { .. } => Vec::new(),
        }
    }
}
