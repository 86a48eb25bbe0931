//! `check accumulation`: whether k micro-batches give what the whole batch gives, on the user's model and data.

use super::open_device;
use crate::cli::arguments::{AccumulationArguments, Check, CheckArguments};
use crate::cli::{Cli, Options, show};
use batchwise_lab::LabError;
use batchwise_nn::Parameters;
use batchwise_train::Task;
use batchwise_train::check::{AccumulationConfig, AccumulationReport, AccumulationRow, accumulation};
use serde::Serialize;

#[derive(Serialize)]
struct Report {
    ok: bool,
    model: String,
    batch: u64,
    /// What the causes say.
    cause: Option<String>,
    /// Their short names.
    causes: Vec<&'static str>,
    rows: Vec<Row>,
    /// Why there are no rows in f64.
    no_f64: Option<String>,
}

#[derive(Serialize)]
struct Row {
    dtype: &'static str,
    micro_batch: u64,
    k: u64,
    difference: f64,
    allowed: f64,
    parameter: String,
    element: f64,
    loss_difference: f64,
    ok: bool,
}

pub(super) fn run(cli: &Cli, options: &Options, arguments: &CheckArguments) -> Result<(), LabError> {
    match &arguments.what {
        Check::Accumulation(arguments) => run_accumulation(cli, options, arguments),
        Check::Trainer(arguments) => super::check_trainer::run(options, arguments),
    }
}

fn run_accumulation(cli: &Cli, options: &Options, arguments: &AccumulationArguments) -> Result<(), LabError> {
    let options = cli.with_model(options)?;
    let workload = cli.make(&options)?;
    let device = open_device(&options)?;
    let data = workload.open()?.train;
    let schema = data.schema();
    let build = |dtype| {
        let parameters = Parameters::new();
        let model = workload.build(schema, parameters.builder(options.seed, dtype, &device))?;
        Ok(Task::new(parameters, model, workload.loss(schema), device.clone()))
    };
    let mut config =
        AccumulationConfig { seed: options.seed, ..AccumulationConfig::of_batch(arguments.batch) };
    if !arguments.micro_batches.is_empty() {
        config.micro_batches.clone_from(&arguments.micro_batches);
    }
    let report = accumulation(&build, &data, &config)?;
    if options.json {
        show::json(&json(&report, workload.model_name()));
    } else {
        print(&report, &workload.model_name());
    }
    match report.is_ok() {
        true => Ok(()),
        false => {
            let text = format!("accumulation is not exact for {}", workload.model_name());
            Err(LabError::Candle(candle_core::Error::Msg(text)))
        }
    }
}

fn json(report: &AccumulationReport, model: String) -> Report {
    let texts: Vec<String> = report.causes.iter().map(ToString::to_string).collect();
    Report {
        ok: report.is_ok(),
        model,
        batch: report.batch,
        cause: (!texts.is_empty()).then(|| texts.join("; ")),
        causes: report.causes.iter().map(|cause| cause.name()).collect(),
        rows: report.rows.iter().map(row).collect(),
        no_f64: report.no_f64.clone(),
    }
}

fn row(row: &AccumulationRow) -> Row {
    Row {
        dtype: row.dtype.as_str(),
        micro_batch: row.micro_batch,
        k: row.k,
        difference: row.difference,
        allowed: row.allowed,
        parameter: row.parameter.clone(),
        element: row.element,
        loss_difference: row.loss,
        ok: row.is_equal,
    }
}

fn print(report: &AccumulationReport, model: &str) {
    let head = ["", "micro-batch", "k", "largest difference", "allowed", "of", "verdict"];
    let mut table = vec![head.map(str::to_owned).to_vec()];
    table.extend(report.rows.iter().map(|row| {
        vec![
            row.dtype.as_str().to_owned(),
            row.micro_batch.to_string(),
            row.k.to_string(),
            format!("{:.1e}", row.difference),
            format!("{:.1e}", row.allowed),
            row.parameter.clone(),
            if row.is_equal { "equal" } else { "DIFFERS" }.to_owned(),
        ]
    }));
    if 1 < table.len() {
        show::table(&table);
        show::line("");
    }
    if let Some(reason) = &report.no_f64 {
        show::line(&format!("Not checked in f64: {reason}"));
    }
    let precisions = if report.no_f64.is_some() { "in f32" } else { "in f32 and f64" };
    match report.is_ok() {
        true => show::line(&format!(
            "Accumulation is exact for {model}: a batch of {} is the same in any micro-batches, {precisions}.",
            report.batch
        )),
        false => report.causes.iter().for_each(|cause| show::line(&format!("Cause: {cause}."))),
    }
}
