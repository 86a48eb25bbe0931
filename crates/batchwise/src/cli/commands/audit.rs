//! `audit`: the gradients of candle's layers and of ours against finite differences.

use crate::cli::{Options, show};
use batchwise_lab::LabError;
use batchwise_nn::audit::{CANDLE_VERSION, Outcome, Row, RowOutcome, Table};
use serde::Serialize;

#[derive(Serialize)]
struct Audit {
    candle_version: &'static str,
    ours_are_right: bool,
    stock: Vec<Case>,
    ours: Vec<Case>,
}

#[derive(Serialize)]
struct Case {
    layer: &'static str,
    case: String,
    is_right: bool,
    outcome: String,
    faults: Vec<Fault>,
    issues: Option<&'static str>,
    cause: Option<&'static str>,
    instead: Option<&'static str>,
}

#[derive(Serialize)]
struct Fault {
    variable: String,
    outcome: String,
    factor: Option<f64>,
    relative_error: Option<f64>,
}

pub(super) fn run(options: &Options) -> Result<(), LabError> {
    let table = Table::run();
    if options.json {
        show::json(&Audit {
            candle_version: CANDLE_VERSION,
            ours_are_right: table.ours_are_right(),
            stock: table.stock.iter().map(case).collect(),
            ours: table.ours.iter().map(case).collect(),
        });
    } else {
        show::line(&table.to_string());
    }
    if !table.ours_are_right() {
        let text = "a gradient of ours is not right: the table names it".to_owned();
        return Err(LabError::Candle(candle_core::Error::Msg(text)));
    }
    Ok(())
}

fn case(row: &Row) -> Case {
    let faults = match &row.outcome {
        RowOutcome::Faulty(faults) => faults.iter().map(fault).collect(),
        _ => Vec::new(),
    };
    Case {
        layer: row.layer,
        case: row.case.clone(),
        is_right: row.outcome.is_right(),
        outcome: row.outcome.to_string(),
        faults,
        issues: row.cause.map(|cause| cause.threads).filter(|threads| !threads.is_empty()),
        cause: row.cause.map(|cause| cause.cause),
        instead: row.cause.map(|cause| cause.instead),
    }
}

fn fault((variable, outcome): &(String, Outcome)) -> Fault {
    Fault {
        variable: variable.clone(),
        outcome: outcome.to_string(),
        factor: match outcome {
            Outcome::Scaled { factor } => Some(*factor),
            _ => None,
        },
        relative_error: match outcome {
            Outcome::Wrong { worst } => Some(worst.relative_error()),
            _ => None,
        },
    }
}
