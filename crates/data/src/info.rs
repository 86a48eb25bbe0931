//! What a data set holds, in numbers.

use serde::Serialize;

use crate::buffer::Buffer;
use crate::schema::{ElementType, Schema, Target};
use crate::{DataError, Dataset, Row, RowsMut, Splits, ValuesMut};

/// How many rows are gathered at once; only speed and memory depend on it.
const CHUNK: u64 = 256;

/// How often each class occurs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassCounts {
    /// Examples of each class; the index is the class number.
    pub counts: Vec<u64>,
    /// Accuracy of always guessing the most frequent class.
    pub majority: f64,
    /// Entropy of the classes over its maximum: 1 for equal counts, 0 for one class only.
    pub balance: f64,
}

/// Mean and deviation of normalised inputs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct InputMoments {
    /// Examples that were looked at.
    pub n_examples: u64,
    /// Mean over all their values.
    pub mean: f64,
    /// Standard deviation over all their values.
    pub deviation: f64,
    /// Least value.
    pub min: f32,
    /// Greatest value.
    pub max: f32,
}

/// A summary of both splits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DatasetInfo {
    /// Name, shape and classes.
    pub schema: Schema,
    /// Training examples.
    pub train_len: u64,
    /// Test examples.
    pub test_len: u64,
    /// Classes of the training labels, where targets are classes.
    pub train_classes: Option<ClassCounts>,
    /// Classes of the test labels, where targets are classes.
    pub test_classes: Option<ClassCounts>,
    /// Normalised training inputs, over a sample; tokens have none.
    pub train_inputs: Option<InputMoments>,
    /// [`Dataset::content_hash`] of the training split.
    pub train_hash: String,
    /// [`Dataset::content_hash`] of the test split.
    pub test_hash: String,
    /// Bytes of memory that both splits hold.
    pub resident_bytes: u64,
}

/// Counts the labels of the whole data set.
///
/// # Errors
///
/// What [`Dataset::label`] returns, [`DataError::NoClasses`], or [`DataError::Setting`] if a label lies outside the schema's classes.
pub fn class_counts(dataset: &dyn Dataset) -> Result<ClassCounts, DataError> {
    let name = || dataset.schema().name.clone();
    let n_classes = dataset.schema().n_classes().ok_or_else(|| DataError::NoClasses { name: name() })?;
    let mut counts = vec![0u64; n_classes];
    for index in 0..dataset.len() {
        let label = dataset.label(index)?;
        let count = counts.get_mut(label as usize).ok_or_else(|| DataError::Setting {
            field: "a label of the data set",
            found: label.to_string(),
            allowed: format!("0..{n_classes}"),
        })?;
        *count += 1;
    }
    let n = dataset.len().max(1) as f64;
    let fractions = || counts.iter().map(|count| *count as f64 / n);
    let entropy: f64 = fractions().filter(|p| 0.0 < *p).map(|p| -p * p.ln()).sum();
    let most = (n_classes as f64).ln();
    let balance = if 0.0 < most { entropy / most } else { 0.0 };
    let majority = fractions().fold(0.0, f64::max);
    Ok(ClassCounts { counts, majority, balance })
}

/// Mean and deviation of the normalised inputs of up to `n_sample` examples, spread evenly over the data set.
///
/// # Errors
///
/// What [`Dataset::gather`] returns, or [`DataError::Setting`] if `n_sample` or the data set is empty.
pub fn input_moments(dataset: &dyn Dataset, n_sample: u64) -> Result<InputMoments, DataError> {
    let len = dataset.len();
    let n_examples = n_sample.min(len);
    if n_examples == 0 {
        let found = format!("{n_sample} of {len} examples");
        return Err(DataError::Setting {
            field: "the sample",
            found,
            allowed: "1 example or more".to_owned(),
        });
    }
    let input_len = dataset.schema().input_len();
    let (mut sum, mut squares) = (0.0f64, 0.0f64);
    let (mut min, mut max) = (f32::INFINITY, f32::NEG_INFINITY);
    for first in (0..n_examples).step_by(CHUNK as usize) {
        let sample = first..n_examples.min(first + CHUNK);
        let spread = |i| Row::new((u128::from(i) * u128::from(len) / u128::from(n_examples)) as u64);
        let rows: Vec<Row> = sample.map(spread).collect();
        let mut inputs = vec![0.0; rows.len() * input_len];
        let schema = dataset.schema();
        let mut targets =
            Buffer::with_len(None, schema.target.element_type(), rows.len() * schema.target_len());
        let out = RowsMut { inputs: ValuesMut::F32(&mut inputs), targets: targets.values_mut() };
        dataset.gather(&rows, out)?;
        for value in inputs {
            sum += f64::from(value);
            squares += f64::from(value) * f64::from(value);
            (min, max) = (min.min(value), max.max(value));
        }
    }
    let n = (n_examples * input_len as u64).max(1) as f64;
    let mean = sum / n;
    let deviation = (squares / n - mean * mean).max(0.0).sqrt();
    Ok(InputMoments { n_examples, mean, deviation, min, max })
}

/// Summarises both splits; inputs are sampled (at most 4096 examples), labels are all read.
///
/// # Errors
///
/// As [`class_counts`] and [`input_moments`].
pub fn dataset_info(splits: &Splits) -> Result<DatasetInfo, DataError> {
    let (train, test) = (splits.train.as_ref(), splits.test.as_ref());
    let has_labels = matches!(train.schema().target, Target::Class { .. });
    let has_values = train.schema().input_type == ElementType::F32;
    Ok(DatasetInfo {
        schema: train.schema().clone(),
        train_len: train.len(),
        test_len: test.len(),
        train_classes: has_labels.then(|| class_counts(train)).transpose()?,
        test_classes: has_labels.then(|| class_counts(test)).transpose()?,
        train_inputs: has_values.then(|| input_moments(train, 4096)).transpose()?,
        train_hash: train.content_hash()?,
        test_hash: test.content_hash()?,
        resident_bytes: train.resident_bytes() + test.resident_bytes(),
    })
}
