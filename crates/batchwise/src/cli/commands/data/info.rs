//! `data info`: what a data set holds.

use crate::cli::Options;
use crate::cli::show;
use batchwise_data::{DataError, Dataset, Schema, Target, Unit, contact_sheet, dataset_info};
use batchwise_lab::{LabError, bytes};

/// Examples of each class in the picture.
const SHEET_COLUMNS: usize = 10;
/// Classes in the picture, at most.
const SHEET_ROWS: usize = 100;

pub(super) fn run(options: &Options) -> Result<(), LabError> {
    let splits = batchwise_data::open(&options.data, options.data_dir.as_deref())?;
    let info = dataset_info(&splits)?;
    draw(options, splits.train.as_ref())?;
    if options.json {
        show::json(&info);
        return Ok(());
    }
    let channels = |values: &[f64]| values.iter().map(|x| format!("{x:.4}")).collect::<Vec<_>>().join(" ");
    let pixels = splits.train.normaliser().map(|normaliser| {
        format!("mean {}, deviation {}", channels(normaliser.mean()), channels(normaliser.deviation()))
    });
    let mut rows = vec![
        ("name", info.schema.name.clone()),
        ("input", input(&info.schema)),
        ("target", target(&info.schema.target)),
        ("training examples", info.train_len.to_string()),
        ("test examples", info.test_len.to_string()),
    ];
    if let Some(inputs) = info.train_inputs {
        let text = format!("mean {:.3}, deviation {:.3}", inputs.mean, inputs.deviation);
        rows.push(("normalised inputs", text));
    }
    rows.extend(pixels.map(|pixels| ("raw pixels", pixels)));
    rows.extend([
        ("in memory", bytes::human(info.resident_bytes)),
        ("training hash", info.train_hash.clone()),
        ("test hash", info.test_hash.clone()),
    ]);
    for (name, value) in rows {
        show::line(&format!("{name:>20}  {value}"));
    }
    let (Some(train), Some(test)) = (&info.train_classes, &info.test_classes) else { return Ok(()) };
    let names: &[String] = match &info.schema.target {
        Target::Class { names, .. } => names,
        _ => &[],
    };
    let mut rows = vec![["class", "training", "test"].map(str::to_owned).to_vec()];
    for (class, (train, test)) in train.counts.iter().zip(&test.counts).enumerate() {
        let name = names.get(class).map_or_else(|| class.to_string(), |name| format!("{class} {name}"));
        rows.push(vec![name, train.to_string(), test.to_string()]);
    }
    show::line("");
    show::table(&rows);
    Ok(())
}

/// Writes a picture of each class's first examples to --out, if that is given.
fn draw(options: &Options, dataset: &dyn Dataset) -> Result<(), LabError> {
    if options.out.is_none() {
        return Ok(());
    }
    match contact_sheet(dataset, SHEET_COLUMNS, SHEET_ROWS) {
        Ok(picture) => {
            let path = super::super::output(options, "data")?.write("contact-sheet.png", &picture)?;
            if !options.quiet {
                show::error_line(&format!("{:>20}  {}", "contact sheet", path.display()));
            }
            Ok(())
        }
        // There is nothing to draw, which is no fault.
        Err(error @ (DataError::NoPixels { .. } | DataError::NoClasses { .. })) => {
            if !options.quiet {
                show::error_line(&format!("no contact sheet: {error}"));
            }
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

fn input(schema: &Schema) -> String {
    let shape = schema.input_shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(" × ");
    match (schema.columns.is_empty(), schema.unit) {
        (false, _) => format!("{shape} columns: {}", schema.columns.join(", ")),
        (true, Unit::Token) if schema.uneven => format!("up to {shape} tokens"),
        (true, Unit::Token) => format!("{shape} tokens"),
        _ if schema.input_shape.len() == 3 => format!("{shape} (channels × rows × columns)"),
        _ => format!("{shape} values"),
    }
}

fn target(target: &Target) -> String {
    match target {
        Target::Class { n_classes, .. } => format!("one of {n_classes} classes"),
        Target::Values { values } => {
            values.iter().map(|value| value.name.as_str()).collect::<Vec<_>>().join(", ")
        }
        Target::NextToken { n_tokens } => format!("the next of {n_tokens} tokens"),
        _ => "a probability for each class".to_owned(),
    }
}
