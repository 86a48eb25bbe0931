//! One batch as tensors, gathered on the calling thread.

use std::ops::Range;

use candle_core::{Device, Tensor};

use crate::buffer::Buffer;
use crate::schema::{ElementType, Target, Unit};
use crate::{DataError, Dataset, Order, Row, RowsMut};

/// What to gather: some positions of an order, or rows that a sampler has put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What the sampler has given out before and after this batch: its whole state. Where `rows` is `None`, the
    /// positions of the order to gather.
    pub positions: Range<u64>,
    /// The rows, where they are not simply those at `positions`.
    pub rows: Option<Vec<Row>>,
}

impl From<Range<u64>> for Request {
    fn from(positions: Range<u64>) -> Request {
        Request { positions, rows: None }
    }
}

/// The examples of one request.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Normalised inputs `[n, input_shape..]`; of uneven sequences `[n, longest of the batch]`.
    pub inputs: Tensor,
    /// Targets `[n, target_shape..]`, as the schema says.
    pub targets: Tensor,
    /// 1 for each position that counts and 0 for padding, `[n, longest of the batch]`, f32; for uneven sequences only.
    pub mask: Option<Tensor>,
    /// Examples in the batch.
    pub n_examples: usize,
    /// What the loss is averaged over: examples, or tokens without padding. The loss of a large batch is the mean of
    /// its parts' losses weighted by this.
    pub weight: u64,
    /// The positions of training that these examples stand at.
    pub positions: Range<u64>,
}

/// Gathers the examples at `positions` on the calling thread: the plain twin of [`crate::Loader`].
///
/// On the CPU the gathered buffers become the tensors without a copy.
///
/// # Errors
///
/// [`DataError::OrderLength`], [`DataError::EmptyRequest`], [`DataError::Setting`] for more examples than memory holds, what [`Dataset::gather`] returns, and
/// [`DataError::Tensor`].
pub fn gather_batch(
    dataset: &dyn Dataset,
    order: &Order,
    request: impl Into<Request>,
    device: &Device,
) -> Result<Batch, DataError> {
    let request = request.into();
    check_order(dataset, order)?;
    check_request(&request)?;
    gather_into(dataset, order, request, device, Spare::default())
}

/// Memory of earlier batches that may be written over.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    pub(crate) inputs: Option<Buffer>,
    pub(crate) targets: Option<Buffer>,
}

pub(crate) fn gather_into(
    dataset: &dyn Dataset,
    order: &Order,
    request: Request,
    device: &Device,
    spare: Spare,
) -> Result<Batch, DataError> {
    let Request { positions, rows } = request;
    let rows = match rows {
        Some(rows) => rows,
        None => {
            let mut rows = Vec::new();
            let n = positions.end.saturating_sub(positions.start);
            let reserved = usize::try_from(n).is_ok_and(|n| rows.try_reserve_exact(n).is_ok());
            if !reserved {
                return Err(too_large(n));
            }
            order.rows(positions.clone(), &mut rows);
            rows
        }
    };
    let schema = dataset.schema();
    let n = rows.len();
    let lengths = match schema.uneven {
        true => rows.iter().map(|row| dataset.length(row.index)).collect::<Result<Vec<_>, _>>()?,
        false => Vec::new(),
    };
    let longest = lengths.iter().copied().max();

    let (mut input_shape, mut target_shape) = (vec![n], vec![n]);
    input_shape.extend(&schema.input_shape);
    target_shape.extend(schema.target_shape());
    if let Some(longest) = longest {
        input_shape[1] = longest;
        if matches!(schema.target, Target::NextToken { .. }) {
            target_shape[1] = longest;
        }
    }
    let buffer = |spare: Option<Buffer>, element_type: ElementType, shape: &[usize]| {
        let len = shape.iter().try_fold(1usize, |len, n| len.checked_mul(*n)).filter(|len| has_room(*len));
        let len = len.ok_or_else(|| too_large(n as u64))?;
        Ok::<_, DataError>(Buffer::with_len(spare, element_type, len))
    };
    let mut inputs = buffer(spare.inputs, schema.input_type, &input_shape)?;
    let mut targets = buffer(spare.targets, schema.target.element_type(), &target_shape)?;
    dataset.gather(&rows, RowsMut { inputs: inputs.values_mut(), targets: targets.values_mut() })?;

    let weight = match schema.unit {
        Unit::Example => n as u64,
        Unit::Token if schema.uneven => lengths.iter().map(|length| *length as u64).sum(),
        Unit::Token => n as u64 * schema.longest() as u64,
    };
    let mask = match longest {
        Some(longest) => Some(mask(&lengths, longest, device)?),
        None => None,
    };
    Ok(Batch {
        inputs: inputs.into_tensor(input_shape, device)?,
        targets: targets.into_tensor(target_shape, device)?,
        mask,
        n_examples: n,
        weight,
        positions,
    })
}

/// Whether the system may give memory for so many values of four bytes; asked where it might not, since a refusal
/// later on would end the process.
fn has_room(len: usize) -> bool {
    const MANY: usize = 1 << 26;
    len < MANY || Vec::<u32>::new().try_reserve_exact(len).is_ok()
}

fn too_large(n_examples: u64) -> DataError {
    DataError::Setting {
        field: "the number of examples in a batch",
        found: n_examples.to_string(),
        allowed: "as many as memory holds".to_owned(),
    }
}

/// Row after row, 1 for each position of the sequence and 0 behind its end.
fn mask(lengths: &[usize], longest: usize, device: &Device) -> Result<Tensor, DataError> {
    let mut mask = vec![0.0f32; lengths.len() * longest];
    for (row, length) in mask.chunks_exact_mut(longest.max(1)).zip(lengths) {
        row[..*length].fill(1.0);
    }
    Ok(Tensor::from_vec(mask, (lengths.len(), longest), device)?)
}

/// Checks that `order` was made for `dataset`.
pub(crate) fn check_order(dataset: &dyn Dataset, order: &Order) -> Result<(), DataError> {
    if order.n_examples() == dataset.len() {
        return Ok(());
    }
    let name = dataset.schema().name.clone();
    Err(DataError::OrderLength { order: order.n_examples(), name, dataset: dataset.len() })
}

/// Checks that there is an example to gather.
pub(crate) fn check_request(request: &Request) -> Result<(), DataError> {
    let Range { start, end } = request.positions;
    if end <= start || request.rows.as_ref().is_some_and(Vec::is_empty) {
        return Err(DataError::EmptyRequest { start, end });
    }
    Ok(())
}
