//! `memory`, `speed` and `noise`: one measurement each, as a table or as JSON.

use super::Session;
use crate::cli::arguments::{NoiseArguments, ProbeArguments};
use crate::cli::show::{self, Progress};
use crate::cli::{Cli, Options};
use batchwise_lab::output::Output;
use batchwise_lab::{LabError, advise, bytes};
use serde::Serialize;

pub(super) fn memory(cli: &Cli, options: &Options, arguments: &ProbeArguments) -> Result<(), LabError> {
    let session = Session::open(cli, options)?;
    let output = wanted_output(options)?;
    let settings = session.settings(options, None, arguments.max_batch);
    let mut progress = Progress::new(options);
    let report = advise::memory(&session.subject()?, &settings, &mut |event| progress.on(event))?;
    progress.finish();
    finish(&session, options, output, "memory", &report, || {
        let mut rows = vec![vec!["micro-batch".to_owned(), "peak".to_owned(), "bytes".to_owned()]];
        let row = |p: &batchwise_lab::advice::MemoryPoint| {
            vec![p.batch.to_string(), bytes::human(p.peak_bytes), p.peak_bytes.to_string()]
        };
        rows.extend(report.points.iter().map(row));
        show::table(&rows);
    })
}

pub(super) fn speed(cli: &Cli, options: &Options, arguments: &ProbeArguments) -> Result<(), LabError> {
    let session = Session::open(cli, options)?;
    let output = wanted_output(options)?;
    let settings = session.settings(options, None, arguments.max_batch);
    let mut progress = Progress::new(options);
    let speed = advise::speed(&session.subject()?, &settings, &mut |event| progress.on(event))?;
    progress.finish();
    finish(&session, options, output, "speed", &speed, || {
        let head = ["batch", "micro-batch", "ms a step", "±", "examples/s", "waiting for data"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(speed.points.iter().map(|p| {
            vec![
                p.batch.to_string(),
                p.micro_batch.to_string(),
                format!("{:.3}", 1e3 * p.seconds),
                format!("{:.3}", 1e3 * p.spread),
                format!("{:.0}", p.batch as f64 / p.seconds),
                format!("{:.0} %", 100.0 * p.data_wait),
            ]
        }));
        show::table(&rows);
    })
}

pub(super) fn noise(cli: &Cli, options: &Options, arguments: &NoiseArguments) -> Result<(), LabError> {
    if let Some(lr) = arguments.lr.filter(|lr| !(lr.is_finite() && 0.0 < *lr)) {
        return Err(LabError::Input(format!("--lr is {lr}, but must be positive and finite")));
    }
    let session = Session::open(cli, options)?;
    let output = wanted_output(options)?;
    let settings = session.settings(options, arguments.examples, arguments.probe.max_batch);
    let mut progress = Progress::new(options);
    let noise = advise::noise(&session.subject()?, &settings, arguments.lr, &mut |event| progress.on(event))?;
    progress.finish();
    finish(&session, options, output, "noise", &noise, || {
        let head = ["examples seen", "loss", "‖G‖²", "tr Σ", "φ", "low", "high", "measurements", "grade"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        let known = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.1}"));
        rows.extend(noise.points.iter().map(|p| {
            vec![
                p.examples_seen.to_string(),
                format!("{:.4}", p.loss),
                format!("{:.3e}", p.g2),
                format!("{:.3e}", p.tr_sigma),
                known(p.phi),
                known(p.low),
                known(p.high),
                p.n_measurements.to_string(),
                p.grade.clone(),
            ]
        }));
        show::table(&rows);
    })
}

/// These commands write files only when asked to.
fn wanted_output(options: &Options) -> Result<Option<Output>, LabError> {
    options.out.as_deref().map(|folder| Output::create(folder, options.force)).transpose()
}

#[derive(Serialize)]
struct WithProvenance<'a, T> {
    schema: u32,
    #[serde(flatten)]
    result: &'a T,
    provenance: batchwise_lab::provenance::Provenance,
}

fn finish<T: Serialize>(
    session: &Session,
    options: &Options,
    output: Option<Output>,
    name: &str,
    result: &T,
    table: impl FnOnce(),
) -> Result<(), LabError> {
    let schema = batchwise_lab::advice::SCHEMA;
    let result = WithProvenance { schema, result, provenance: session.provenance()? };
    if let Some(output) = output {
        output.write_json(&format!("{name}.json"), &result)?;
    }
    if options.json {
        show::json(&result);
    } else {
        table();
    }
    Ok(())
}
