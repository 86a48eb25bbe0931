//! `data head`: the first examples, as pictures or numbers.

use crate::cli::arguments::HeadArguments;
use crate::cli::{Options, show};
use batchwise_data::{Dataset, ElementType, Order, Target, gather_batch};
use batchwise_lab::LabError;
use candle_core::{Device, Tensor};
use serde::Serialize;

/// Values or tokens of an input that are shown.
const MOST_VALUES: usize = 24;
/// Characters of a picture's line.
const MOST_COLUMNS: usize = 56;
/// From dark to light.
const SHADES: &[u8] = b" .:-=+*#%@";

#[derive(Serialize)]
struct Example {
    index: u64,
    target: String,
    input: Vec<f64>,
    text: Option<String>,
    #[serde(skip)]
    picture: Option<Vec<String>>,
}

pub(super) fn run(options: &Options, arguments: &HeadArguments) -> Result<(), LabError> {
    let splits = batchwise_data::open(&options.data, options.data_dir.as_deref())?;
    let dataset = splits.train.as_ref();
    let order = Order::sequential(dataset.len())?;
    let indices = 0..arguments.n.min(dataset.len());
    let examples =
        indices.map(|index| example(dataset, &order, index)).collect::<Result<Vec<Example>, LabError>>()?;
    if options.json {
        show::json(&examples);
        return Ok(());
    }
    for example in examples {
        show::line(&format!("example {}: {}", example.index, example.target));
        match example.picture {
            Some(lines) => lines.iter().for_each(|line| show::line(line.trim_end())),
            None => match &example.text {
                Some(text) => text.lines().for_each(|line| show::line(&format!("  | {line}"))),
                None => show::line(&values(dataset, &example.input)),
            },
        }
    }
    Ok(())
}

fn example(dataset: &dyn Dataset, order: &Order, index: u64) -> Result<Example, LabError> {
    let batch = gather_batch(dataset, order, index..index + 1, &Device::Cpu)?;
    let schema = dataset.schema();
    let target = target(&schema.target, &numbers(&batch.targets)?);
    let (input, text) = (numbers(&batch.inputs)?, dataset.text(index));
    Ok(Example { index, target, input, text, picture: picture(dataset, index) })
}

/// The values of a tensor, whatever their type.
fn numbers(tensor: &Tensor) -> Result<Vec<f64>, LabError> {
    Ok(tensor.flatten_all()?.to_dtype(candle_core::DType::F64)?.to_vec1()?)
}

fn target(target: &Target, found: &[f64]) -> String {
    match target {
        Target::Class { names, .. } => {
            let class = found.first().copied().unwrap_or_default() as usize;
            match names.get(class) {
                Some(name) => format!("class {class}, {name}"),
                None => format!("class {class}"),
            }
        }
        Target::Values { values } => {
            let shown = values.iter().zip(found);
            shown
                .map(|(value, found)| format!("{} = {:.4}", value.name, found * value.deviation + value.mean))
                .collect::<Vec<_>>()
                .join(", ")
        }
        Target::NextToken { .. } => format!("{} tokens", found.len()),
        _ => list(found),
    }
}

fn values(dataset: &dyn Dataset, input: &[f64]) -> String {
    let schema = dataset.schema();
    if schema.input_type == ElementType::F32 && schema.columns.len() == input.len() {
        let named = schema.columns.iter().zip(input).take(MOST_VALUES);
        return named.map(|(name, value)| format!("  {name} = {value:.4}")).collect::<Vec<_>>().join("\n");
    }
    format!("  {}", list(input))
}

fn list(values: &[f64]) -> String {
    let shown = values.iter().take(MOST_VALUES).map(|value| match value.fract() == 0.0 {
        true => format!("{value}"),
        false => format!("{value:.4}"),
    });
    let more = if MOST_VALUES < values.len() { " ..." } else { "" };
    format!("{}{more}", shown.collect::<Vec<_>>().join(" "))
}

/// An image as lines of characters, twice as high as wide; `None` where there is none.
fn picture(dataset: &dyn Dataset, index: u64) -> Option<Vec<String>> {
    let [_, n_rows, n_columns] = dataset.schema().input_shape[..] else { return None };
    let mut pixels = vec![0; dataset.schema().input_len()];
    dataset.pixels(index, &mut pixels).ok()?;
    let width = n_columns.min(MOST_COLUMNS);
    let height = (n_rows * width / n_columns.max(1) / 2).max(1);
    // The part of `len` rows or columns that character `i` of `n` stands for: never empty.
    let part = |i: usize, n: usize, len: usize| i * len / n..((i + 1) * len / n).max(i * len / n + 1);
    let line = |y: usize| -> String {
        let shades = (0..width)
            .map(|x| shade(&pixels, [n_rows, n_columns], part(y, height, n_rows), part(x, width, n_columns)));
        shades.collect()
    };
    Some((0..height).map(line).collect())
}

/// The mean of a part of an image, over all channels, as a character.
fn shade(
    pixels: &[u8],
    [n_rows, n_columns]: [usize; 2],
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
) -> char {
    let channels = pixels.chunks_exact((n_rows * n_columns).max(1));
    let (mut sum, mut n) = (0usize, 0usize);
    for channel in channels {
        for row in rows.clone() {
            for pixel in channel.iter().skip(row * n_columns + columns.start).take(columns.len()) {
                (sum, n) = (sum + usize::from(*pixel), n + 1);
            }
        }
    }
    let level = sum * (SHADES.len() - 1) / (255 * n.max(1));
    char::from(SHADES.get(level).copied().unwrap_or(b'@'))
}
