//! The command line: arguments, commands, and what they show.

mod arguments;
mod built_in;
mod commands;
mod logging;
mod show;

pub use arguments::{OptimizerName, Options};

use arguments::{Arguments, Command};
use batchwise_lab::process::FailureKind;
use batchwise_lab::{LabError, Workload, process};
use clap::Parser;
use std::process::ExitCode;

/// Makes a workload from the options of the command line.
///
/// The text of an error is shown as wrong input.
pub type Factory = fn(&Options) -> Result<Box<dyn Workload>, String>;

/// The commands for a set of workloads.
#[derive(Debug, Clone, Default)]
pub struct Cli {
    workloads: Vec<(String, Factory)>,
}

impl Cli {
    /// With the built-in models `cnn`, `mlp` and `gpt`.
    pub fn built_in() -> Self {
        Self::default()
            .workload("cnn", built_in::cnn)
            .workload("mlp", built_in::mlp)
            .workload("gpt", built_in::gpt)
    }

    /// Adds a workload that `--model name` selects; a later one of the same name replaces an earlier one.
    #[must_use]
    pub fn workload(mut self, name: &str, factory: Factory) -> Self {
        self.workloads.retain(|(other, _)| other != name);
        self.workloads.push((name.to_owned(), factory));
        self
    }

    /// Reads the arguments of the process, runs the command, and returns the exit status: 0 done, 2 wrong
    /// input or usage, 3 no advice can be given, 130 ended by the user, 1 a fault of the program.
    pub fn main(self) -> ExitCode {
        // clap itself ends the process with 2 on wrong usage, and with 0 after --help.
        let arguments = Arguments::parse();
        if let Err(error) = logging::start(&arguments.common) {
            return fail(&error);
        }
        // A probe ends when its parent closes its input; the parent alone handles the keyboard. A simulated trainer ends as
        // any trainer does that knows nothing of us.
        let is_child = matches!(
            arguments.command,
            Command::Probe | Command::Attempt | Command::Shepherd(_) | Command::Simulate(_)
        );
        if !is_child {
            // Without a handler Ctrl-C still ends everything, only less tidily.
            let is_attempt = matches!(arguments.command, Command::Trial(_));
            let _ = ctrlc::set_handler(move || {
                if process::is_cancelled() || (is_attempt && process::is_asked_to_stop()) {
                    std::process::exit(130);
                }
                match is_attempt {
                    // It has no runner that would ask it.
                    true => process::ask_to_stop(),
                    false => process::interrupt(),
                }
            });
        }
        match commands::run(&self, &arguments) {
            Ok(()) => match show::fault() {
                // The work is done and its files are written, but nobody could read the answer.
                Some(error) => {
                    show::error(&format!("cannot write standard output: {error}"));
                    ExitCode::from(1)
                }
                None => ExitCode::SUCCESS,
            },
            Err(error) => fail(&error),
        }
    }

    /// The options with a model: the one asked for, or the one that suits the data, or the first there is.
    fn with_model(&self, options: &Options) -> Result<Options, LabError> {
        if options.model.is_some() {
            return Ok(options.clone());
        }
        let has = |model: &str| self.workloads.iter().any(|(name, _)| name == model);
        let usual = match self.workloads.as_slice() {
            [(only, _)] => only.clone(),
            _ => {
                let splits = batchwise_data::open(&options.data, options.data_dir.as_deref())?;
                built_in::usual_model(splits.train.schema()).to_owned()
            }
        };
        let first = || self.workloads.first().map(|(name, _)| name.clone());
        let model = if has(&usual) { Some(usual) } else { first() };
        Ok(Options { model, ..options.clone() })
    }

    /// The workload that `--model` names.
    fn make(&self, options: &Options) -> Result<Box<dyn Workload>, LabError> {
        let model = options.model.as_deref().unwrap_or_default();
        match self.workloads.iter().find(|(name, _)| name == model) {
            Some((_, factory)) => factory(options).map_err(LabError::Input),
            None => {
                let names: Vec<&str> = self.workloads.iter().map(|(name, _)| name.as_str()).collect();
                Err(LabError::Input(format!("unknown model `{}`: there are {}", model, names.join(", "))))
            }
        }
    }
}

fn fail(error: &LabError) -> ExitCode {
    tracing::debug!(?error);
    show::error(&error.to_string());
    match (error, error.kind()) {
        (LabError::Cancelled | LabError::Stopped(_), _) => ExitCode::from(130),
        (_, FailureKind::Input) => ExitCode::from(2),
        (_, FailureKind::NoAdvice) => ExitCode::from(3),
        (_, FailureKind::Fault) => ExitCode::from(1),
    }
}
