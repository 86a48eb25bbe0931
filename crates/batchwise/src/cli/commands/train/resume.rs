//! A run that goes on from its folder.

use super::course::micro_batch;
use super::{Session, checkpoints, go, resolve, rules};
use crate::cli::arguments::TrainArguments;
use crate::cli::show::Progress;
use crate::cli::{Cli, OptimizerName, Options};
use batchwise_lab::LabError;
use batchwise_lab::output::Output;
use batchwise_lab::probe::trial;
use batchwise_schedule::{Examples, LearningRate};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The version of `run.json`.
const SCHEMA: u32 = 1;

/// What `run.json` holds: all that it takes to start the run again.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunFile {
    schema: u32,
    data: String,
    data_dir: Option<PathBuf>,
    model: Option<String>,
    optimizer: Option<String>,
    device: String,
    memory: Option<u64>,
    pub(super) request: trial::Request,
}

impl RunFile {
    pub(super) fn new(options: &Options, request: trial::Request) -> Self {
        Self {
            schema: SCHEMA,
            data: absolute_data(&options.data),
            data_dir: options.data_dir.as_deref().map(absolute),
            model: options.model.clone(),
            optimizer: options.optimizer.map(|optimizer| optimizer.name().to_owned()),
            device: options.device.to_string(),
            memory: options.memory,
            request,
        }
    }

    fn read(folder: &Path) -> Result<Self, LabError> {
        let path = folder.join("run.json");
        let wrong =
            |what: String| LabError::Input(format!("{} is no run that can go on: {what}", path.display()));
        let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
        let value: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        match value.get("schema").and_then(serde_json::Value::as_u64) {
            Some(schema) if schema == u64::from(SCHEMA) => {}
            Some(schema) => {
                return Err(wrong(format!("its schema is {schema}, this program knows {SCHEMA}")));
            }
            None => return Err(wrong("it has no `schema`".to_owned())),
        }
        serde_json::from_value(value).map_err(|error| wrong(error.to_string()))
    }

    /// The options that the run was started with; what only concerns the screen is taken from `typed`.
    fn options(&self, typed: &Options, folder: &Path) -> Result<Options, LabError> {
        let wrong = |what: &str, found: &str| {
            LabError::Input(format!(
                "{}: the {what} `{found}` is not known",
                folder.join("run.json").display()
            ))
        };
        let optimizer = match &self.optimizer {
            None => None,
            Some(name) => Some(OptimizerName::from_str(name, false).map_err(|_| wrong("optimizer", name))?),
        };
        Ok(Options {
            data: self.data.clone(),
            data_dir: self.data_dir.clone(),
            model: self.model.clone(),
            optimizer,
            device: self.device.parse().map_err(|_| wrong("device", &self.device))?,
            memory: typed.memory.or(self.memory),
            seed: self.request.seed,
            out: Some(folder.to_owned()),
            force: true,
            ..typed.clone()
        })
    }
}

/// As it can be read from anywhere.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The same for data named by a path, which options may follow.
fn absolute_data(data: &str) -> String {
    let (path, options) = data.split_once(':').map_or((data, None), |(path, options)| (path, Some(options)));
    if !Path::new(path).exists() {
        return data.to_owned();
    }
    let path = absolute(Path::new(path));
    match options {
        None => path.display().to_string(),
        Some(options) => format!("{}:{options}", path.display()),
    }
}

/// Goes on where the newest checkpoint in `folder` is.
pub(super) fn run(
    cli: &Cli,
    typed: &Options,
    arguments: &TrainArguments,
    folder: &Path,
) -> Result<(), LabError> {
    let mut file = RunFile::read(folder)?;
    let options = file.options(typed, folder)?;
    let session = Session::open(cli, &options)?;
    let output = Output::create(folder, true)?;
    let mut progress = Progress::new(&options);
    change(&mut file.request, &session, &options, arguments, &mut progress)?;
    let provenance = session.provenance()?;
    let request = &mut file.request;
    if let Some(keep) = &mut request.keep {
        keep.resume = true;
        folder.clone_into(&mut keep.folder);
        // Of the data as they are now: the checkpoint says what they were.
        keep.data_sha256.clone_from(&provenance.data.train_hash);
    }
    request.weights = Some(output.path("weights.safetensors"));
    go(&options, &output, session, file.request, provenance, progress)
}

/// What is typed beside --resume is another now.
fn change(
    request: &mut trial::Request,
    session: &Session,
    options: &Options,
    arguments: &TrainArguments,
    progress: &mut Progress,
) -> Result<(), LabError> {
    let n = session.data.train.len();
    if let Some(examples) = arguments.examples.or(arguments.epochs.map(|epochs| n.saturating_mul(epochs))) {
        request.examples = examples;
    }
    let mut largest = request.micro_batch;
    if let (Some(batch), Some(course)) = (&arguments.batch, &mut request.course) {
        let run = trial::run_length(session.data.train.as_ref(), Examples(request.examples));
        let input = |error: String| LabError::Input(error);
        let lr = course.lr.resolve(&run, Some(LearningRate(request.learning_rate)));
        let lr = lr.map_err(|error| input(error.to_string()))?;
        if batch.controller(&run).map_err(|error| input(error.to_string()))?.is_some() {
            return Err(input(
                "a run goes on with a batch size laid down beforehand, not an adaptive one".to_owned(),
            ));
        }
        let pair = batch.resolve(&run, lr).map_err(|error| input(error.to_string()))?;
        largest = pair.steps(run.total, None).map(|step| step.batch).max().unwrap_or(batch.base);
        course.batch = batch.clone();
        request.batch = batch.base;
    }
    if arguments.micro_batch.is_some() || arguments.batch.is_some() {
        request.micro_batch = micro_batch(session, options, arguments, largest.max(1), progress)?;
    }
    let examples = request.examples;
    if let Some(keep) = &mut request.keep {
        if arguments.checkpoint_every.is_some() {
            (keep.checkpoint_examples, keep.checkpoint_seconds) = checkpoints(session, arguments, examples)?;
        }
        if let Some(every) = &arguments.evaluate_every {
            keep.evaluate_examples = Some(resolve(session, "--evaluate-every", every, examples)?);
        }
        if arguments.until.is_some() || arguments.patience.is_some() {
            let rules = rules(session, arguments, examples)?;
            keep.rules.target = rules.target.or(keep.rules.target);
            keep.rules.patience = rules.patience.or(keep.rules.patience);
        }
        keep.workers = arguments.workers.or(keep.workers);
        keep.generalisation = arguments.generalisation.or(keep.generalisation);
        // These are of one process.
        keep.max_seconds = arguments.max_seconds;
        keep.phases = arguments.phases;
        keep.trace.clone_from(&arguments.trace);
        let is_watched = keep.rules.target.is_some() || keep.rules.patience.is_some();
        if is_watched && keep.evaluate_examples.is_none() {
            keep.evaluate_examples =
                Some(resolve(session, "--evaluate-every", &super::EVALUATE_EVERY, examples)?);
        }
    }
    Ok(())
}
