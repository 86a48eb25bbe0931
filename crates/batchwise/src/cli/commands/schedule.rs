//! `schedule`: what a schedule will do, before a run.

use crate::cli::arguments::ScheduleArguments;
use crate::cli::{Options, show};
use batchwise_lab::LabError;
use batchwise_lab::report::course::{Course, Point, course};
use batchwise_schedule::{BatchSpec, Examples, LearningRate, LrSpec, Pair, RunLength, SpecError};
use serde::Serialize;
use std::str::FromStr;

/// Enough points for a curve.
const PLOTTED: u64 = 400;

pub(super) fn run(options: &Options, arguments: &ScheduleArguments) -> Result<(), LabError> {
    let (pair, lr, batch) = resolve(arguments)?;
    let total = Examples(arguments.examples);
    let steps = pair.count_steps(total, arguments.dataset_size);
    let rows = sample(&pair, total, arguments.dataset_size, arguments.rows);
    if let Some(path) = &arguments.plot {
        let svg = course(&Course {
            title: format!("{lr}, batch {batch}"),
            points: sample(&pair, total, arguments.dataset_size, PLOTTED).iter().map(point).collect(),
        });
        std::fs::write(path, svg)
            .map_err(|error| LabError::Input(format!("cannot write {}: {error}", path.display())))?;
    }
    if options.json {
        show::json(&Answer { lr, batch, examples: total.0, steps, rows });
    } else if arguments.csv {
        show::line("examples,step,batch,learning_rate,temperature");
        for row in &rows {
            let Row { examples, step, batch, learning_rate, temperature } = row;
            show::line(&format!("{examples},{step},{batch},{learning_rate:e},{temperature:e}"));
        }
    } else {
        show::line(&format!("lr     {lr}\nbatch  {batch}\n{} examples in {steps} steps\n", total.0));
        let head = ["examples", "step", "batch", "lr", "lr/batch"].map(str::to_owned).to_vec();
        let body = rows.iter().map(|r| {
            let part = 100.0 * r.examples as f64 / total.0 as f64;
            vec![
                format!("{} ({part:.0} %)", r.examples),
                r.step.to_string(),
                r.batch.to_string(),
                format!("{:.3e}", r.learning_rate),
                format!("{:.3e}", r.temperature),
            ]
        });
        show::table(&std::iter::once(head).chain(body).collect::<Vec<_>>());
    }
    Ok(())
}

#[derive(Serialize)]
struct Answer {
    lr: String,
    batch: String,
    examples: u64,
    steps: u64,
    rows: Vec<Row>,
}

/// A step of the run.
#[derive(Serialize)]
struct Row {
    /// Examples before it.
    examples: u64,
    /// Its number, from 0.
    step: u64,
    batch: u64,
    learning_rate: f64,
    /// lr/batch.
    temperature: f64,
}

fn point(row: &Row) -> Point {
    Point {
        examples: row.examples as f64,
        batch: row.batch as f64,
        learning_rate: row.learning_rate,
        phi: None,
    }
}

fn resolve(arguments: &ScheduleArguments) -> Result<(Pair, String, String), LabError> {
    let mut lr: Option<LrSpec> = None;
    let mut batch: Option<BatchSpec> = None;
    for part in arguments.spec.split(';').map(str::trim) {
        let is_batch = part.starts_with("batch");
        if is_batch && batch.is_none() {
            batch = Some(read(part)?);
        } else if !is_batch && lr.is_none() {
            lr = Some(read(part)?);
        } else {
            let text = format!("`{part}`: a learning rate and a batch size were given already");
            return Err(LabError::Input(text));
        }
    }
    if let Some(text) = &arguments.batch {
        if batch.is_some() {
            let text = "the batch size is given twice, in the schedule and by --batch".to_owned();
            return Err(LabError::Input(text));
        }
        batch = Some(read(text)?);
    }
    let lr = lr.unwrap_or_default();
    let batch = batch.unwrap_or_else(|| BatchSpec::constant(64));
    let run = RunLength {
        total: Examples(arguments.examples),
        dataset_size: arguments.dataset_size,
        tokens_per_example: arguments.tokens_per_example,
    };
    let peak = LearningRate(arguments.lr.unwrap_or(1.0));
    let schedule = lr.resolve(&run, Some(peak)).map_err(|e| LabError::Input(e.to_string()))?;
    let pair = batch.resolve(&run, schedule).map_err(|e| LabError::Input(e.to_string()))?;
    let text = match lr.peak {
        Some(_) => lr.to_string(),
        None => format!("{} {lr}", peak.0).trim_end().to_owned(),
    };
    Ok((pair, text, batch.to_string()))
}

fn read<T: FromStr<Err = SpecError>>(text: &str) -> Result<T, LabError> {
    text.parse().map_err(|error: SpecError| LabError::Input(error.to_string()))
}

/// The steps in progress at `n` + 1 places at equal distances, the first and the last step among them.
fn sample(pair: &Pair, total: Examples, epoch: Option<u64>, n: u64) -> Vec<Row> {
    let place = |i: u64| (u128::from(total.0) * u128::from(i) / u128::from(n)) as u64;
    let places: Vec<Examples> = (0..=n).map(|i| Examples(place(i).min(total.0.saturating_sub(1)))).collect();
    pair.steps_at(&places, total, epoch)
        .into_iter()
        .map(|(number, step)| Row {
            examples: step.start.0,
            step: number,
            batch: step.batch,
            learning_rate: step.learning_rate.0,
            temperature: step.learning_rate.0 / step.batch as f64,
        })
        .collect()
}
