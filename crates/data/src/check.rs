//! Looks at every example of a data set: can it be gathered, are its values finite, are its targets in range?

use candle_core::{Device, Tensor};

use crate::batch::{Request, gather_batch};
use crate::schema::{ElementType, Target};
use crate::{DataError, Dataset, Order, PADDING, Row};

/// Examples that are gathered at a time.
const CHUNK: u64 = 256;

/// What is wrong with one example.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ExampleFault {
    /// Which example.
    pub index: u64,
    /// What is wrong with it.
    pub what: String,
}

/// Gathers every example, and tells those that cannot be gathered, whose inputs or targets are not finite, or whose
/// class or tokens do not exist. `on_progress` learns how many were looked at.
///
/// # Errors
///
/// [`DataError::Setting`] for a data set that is too large for an [`Order`].
pub fn check_examples(
    dataset: &dyn Dataset,
    on_progress: &mut dyn FnMut(u64),
) -> Result<Vec<ExampleFault>, DataError> {
    let order = Order::sequential(dataset.len())?;
    let mut faults = Vec::new();
    for start in (0..dataset.len()).step_by(CHUNK as usize) {
        let end = dataset.len().min(start + CHUNK);
        if fault(dataset, &order, start, end).is_some() {
            // One of them, at least: look at each.
            let each = (start..end).filter_map(|index| {
                fault(dataset, &order, index, index + 1).map(|what| ExampleFault { index, what })
            });
            faults.extend(each);
        }
        on_progress(end);
    }
    Ok(faults)
}

/// What is wrong with the examples `start..end`; `None` if nothing is.
fn fault(dataset: &dyn Dataset, order: &Order, start: u64, end: u64) -> Option<String> {
    let rows = (start..end).map(Row::new).collect();
    let request = Request { positions: start..end, rows: Some(rows) };
    let batch = match gather_batch(dataset, order, request, &Device::Cpu) {
        Ok(batch) => batch,
        Err(error) => return Some(error.to_string()),
    };
    let schema = dataset.schema();
    let (n_targets, has_padding) = match &schema.target {
        Target::Class { n_classes, .. } => (*n_classes, false),
        Target::NextToken { n_tokens } => (*n_tokens, true),
        Target::Mixture { .. } | Target::Values { .. } => (0, false),
    };
    let targets = match schema.target.element_type() {
        ElementType::F32 => not_finite("a target", &batch.targets),
        ElementType::U32 => not_below("a target", &batch.targets, n_targets, has_padding),
    };
    targets.or_else(|| match (schema.input_type, &schema.target) {
        (ElementType::F32, _) => not_finite("an input", &batch.inputs),
        (ElementType::U32, Target::NextToken { n_tokens }) => {
            not_below("an input", &batch.inputs, *n_tokens, true)
        }
        // Nothing says how many tokens there are.
        (ElementType::U32, _) => None,
    })
}

fn not_finite(what: &str, tensor: &Tensor) -> Option<String> {
    let values = tensor.flatten_all().and_then(|tensor| tensor.to_vec1::<f32>());
    match values {
        Ok(values) => {
            let found = values.iter().find(|value| !value.is_finite())?;
            Some(format!("{what} is {found}, allowed is a finite number"))
        }
        Err(error) => Some(error.to_string()),
    }
}

fn not_below(what: &str, tensor: &Tensor, end: usize, has_padding: bool) -> Option<String> {
    let values = tensor.flatten_all().and_then(|tensor| tensor.to_vec1::<u32>());
    match values {
        Ok(values) => {
            let is_wrong = |value: &u32| end <= *value as usize && !(has_padding && *value == PADDING);
            let found = values.iter().find(|value| is_wrong(value))?;
            Some(format!("{what} is {found}, allowed is 0..{end}"))
        }
        Err(error) => Some(error.to_string()),
    }
}
