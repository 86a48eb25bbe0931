//! What two tensors mean as inputs and targets.

use super::values::Values;
use crate::schema::{ElementType, TargetValue};
use crate::text::MAX_TOKENS;
use crate::{DataError, Schema, Target};

/// What two tensors are, from their types and shapes.
pub(crate) fn schema(name: &str, inputs: &Values, targets: &Values) -> Result<Schema, DataError> {
    if inputs.n_rows != targets.n_rows {
        let expected = format!("{}, as in tensor `{}`", inputs.n_rows, inputs.name);
        return Err(targets.wrong("number of rows", targets.n_rows.to_string(), &expected));
    }
    let input_shape = match inputs.row_shape.as_slice() {
        [] => vec![1],
        shape => shape.to_vec(),
    };
    let are_tokens = inputs.is_integer() && targets.is_integer();
    if are_tokens
        && inputs.row_shape.len() == 1
        && inputs.row_shape == targets.row_shape
        && 1 < input_shape[0]
    {
        let greatest = inputs.greatest(MAX_TOKENS)?.max(targets.greatest(MAX_TOKENS)?);
        return Ok(Schema::tokens(name, input_shape[0], greatest as usize + 1));
    }
    let mut schema = Schema::classes(name, &input_shape, 0);
    if inputs.is_integer() && !inputs.is_byte() {
        schema.input_type = ElementType::U32;
    }
    schema.target = match (targets.is_integer(), targets.row_shape.as_slice()) {
        (true, [] | [1]) => {
            let n_classes = targets.greatest(MAX_TOKENS)? as usize + 1;
            Target::Class { n_classes, names: Vec::new() }
        }
        (false, [] | [_]) => {
            let n_values = targets.row_len();
            let name = |at| if n_values == 1 { "target".to_owned() } else { format!("target {at}") };
            let value = |at| TargetValue { name: name(at), mean: 0.0, deviation: 1.0 };
            Target::Values { values: (0..n_values).map(value).collect() }
        }
        (true, _) => {
            let expected = "[] (a class number), or that of integer inputs `[positions]` (the next tokens)";
            return Err(targets.wrong("shape of a row", format!("{:?}", targets.row_shape), expected));
        }
        (false, _) => {
            let expected = "[] or [values]";
            return Err(targets.wrong("shape of a row", format!("{:?}", targets.row_shape), expected));
        }
    };
    Ok(schema)
}
