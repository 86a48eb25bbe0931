//! `data`: what a data set holds.

use crate::cli::Options;
use crate::cli::show;
use batchwise_data::{GlyphsConfig, dataset_info};
use batchwise_lab::{LabError, bytes};

pub(super) fn run(options: &Options) -> Result<(), LabError> {
    let splits = batchwise_data::open(&options.data, options.data_dir.as_deref(), &GlyphsConfig::default())?;
    let info = dataset_info(&splits)?;
    if options.json {
        show::json(&info);
        return Ok(());
    }
    let shape: Vec<String> = info.schema.input_shape.iter().map(ToString::to_string).collect();
    let rows = [
        ("name", info.schema.name.clone()),
        ("input", format!("{} (channels × rows × columns)", shape.join(" × "))),
        ("classes", info.schema.n_classes.to_string()),
        ("training examples", info.train_len.to_string()),
        ("test examples", info.test_len.to_string()),
        (
            "normalised inputs",
            format!("mean {:.3}, deviation {:.3}", info.train_inputs.mean, info.train_inputs.deviation),
        ),
        ("in memory", bytes::human(info.resident_bytes)),
        ("training hash", info.train_hash.clone()),
        ("test hash", info.test_hash.clone()),
    ];
    for (name, value) in rows {
        show::line(&format!("{name:>20}  {value}"));
    }
    let mut rows = vec![["class", "training", "test"].map(str::to_owned).to_vec()];
    for (class, (train, test)) in info.train_classes.counts.iter().zip(&info.test_classes.counts).enumerate()
    {
        rows.push(vec![class.to_string(), train.to_string(), test.to_string()]);
    }
    show::line("");
    show::table(&rows);
    Ok(())
}
