//! `trial`, and the child's side of `sweep`.

use crate::cli::arguments::{ShepherdArguments, TrialArguments};
use crate::cli::{Cli, OptimizerName, Options, show};
use batchwise_lab::process::{self, Message};
use batchwise_lab::runner::{self, Report, Request};
use batchwise_lab::sweep::Root;
use batchwise_lab::trial::{TrainerSpec, TrialSpec};
use batchwise_lab::{LabError, Workload};
use clap::ValueEnum;
use std::path::{Path, PathBuf};

/// Where sweeps and trials lie: --out, or the usual folder.
pub(super) fn root_folder(options: &Options) -> PathBuf {
    options.out.clone().unwrap_or_else(|| PathBuf::from("batchwise-out/store"))
}

/// The folder of all sweeps and trials: --out, or the usual one.
///
/// # Errors
/// A folder that the system cannot name.
pub(super) fn root(options: &Options) -> Result<Root, LabError> {
    let folder = root_folder(options);
    let absolute = std::path::absolute(&folder)
        .map_err(|error| LabError::Input(format!("{}: {error}", folder.display())))?;
    Ok(Root::new(&absolute))
}

/// One attempt by hand or by a cluster: no runner stands behind it.
pub(super) fn run(cli: &Cli, options: &Options, arguments: &TrialArguments) -> Result<(), LabError> {
    let root = root(options)?;
    let id = match (&arguments.id, &arguments.sweep, arguments.index) {
        (Some(id), ..) => id.clone(),
        (None, Some(sweep), Some(index)) => {
            let file = root.read_sweep(sweep)?;
            let n = file.trials.len();
            file.trials.get(index).cloned().ok_or_else(|| {
                LabError::Input(format!("--index {index}: the sweep `{sweep}` has {n} trials, from 0 on"))
            })?
        }
        _ => return Err(LabError::Input("name a trial, or --sweep and --index".to_owned())),
    };
    let folder = root.trial(&id);
    if folder.result()?.is_some() {
        show::line(&format!("{id} has a result already: {}", folder.path("result.json").display()));
        return Ok(());
    }
    let spec = folder.spec()?;
    let here =
        std::env::current_dir().map_err(|error| LabError::Input(format!("the current folder: {error}")))?;
    let request = Request {
        root: root.folder().to_owned(),
        trial: id.clone(),
        runner: None,
        data_dir: options.data_dir.clone(),
        folder: arguments.folder.clone().unwrap_or(here),
        micro_batch: arguments.micro_batch.unwrap_or(spec.batch),
        threads: arguments.threads,
        limit_bytes: options.memory,
        seconds: None,
        silence: f64::MAX,
        output: u64::MAX,
        pilot: None,
    };
    let report = runner::attempt(&request, &|spec, dir| make(cli, spec, dir), &mut |_: Message| {})?;
    match report {
        Report::Result { differs } => {
            let note =
                if differs { "; another attempt had brought a different one, which stays" } else { "" };
            show::line(&format!("{id}: {}{note}", folder.path("result.json").display()));
            Ok(())
        }
        Report::Ended(end) => Err(LabError::NoAdvice(format!("{id}: {}: {}", end.kind.name(), end.reason))),
        Report::Pilot(_) => Ok(()),
    }
}

/// The child's side of `sweep`.
pub(super) fn serve(cli: &Cli, _options: &Options) -> Result<(), LabError> {
    process::serve(|request: Request, emit| {
        let report = runner::attempt(&request, &|spec, dir| make(cli, spec, dir), emit)?;
        serde_json::to_value(report).map_err(|error| LabError::Protocol(error.to_string()))
    })
}

/// Becomes a trainer.
pub(super) fn shepherd(arguments: &ShepherdArguments) -> Result<(), LabError> {
    show::error_line(&runner::shepherd(arguments.parent, &arguments.command).to_string());
    std::process::exit(127)
}

/// The workload of a trial.
fn make(cli: &Cli, spec: &TrialSpec, data_dir: Option<&Path>) -> Result<Box<dyn Workload>, LabError> {
    let TrainerSpec::Workload { model, data, optimizer, device, .. } = &spec.trainer else {
        return Err(LabError::Input("a command is no workload".to_owned()));
    };
    let optimizer = match optimizer {
        None => None,
        Some(name) => Some(
            OptimizerName::from_str(name, true)
                .map_err(|_| LabError::Input(format!("`{name}` is no optimizer of this program")))?,
        ),
    };
    let device = device.parse().map_err(|error| LabError::Input(format!("device `{device}`: {error}")))?;
    cli.make(&Options {
        data: data.clone(),
        data_dir: data_dir.map(Path::to_owned),
        model: Some(model.clone()),
        optimizer,
        device,
        memory: None,
        seed: spec.seed,
        out: None,
        force: false,
        json: false,
        quiet: true,
        log_json: None,
    })
}
