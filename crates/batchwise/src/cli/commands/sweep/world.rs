//! What a plan does not say itself: the data behind a workload, the files behind a command, the machine.

use super::super::{Session, open_device};
use super::{How, root};
use crate::cli::{Cli, OptimizerName, Options};
use batchwise_data::Unit;
use batchwise_lab::plan::{Plan, TrainerPlan, World};
use batchwise_lab::process::ChildCommand;
use batchwise_lab::provenance::DataProvenance;
use batchwise_lab::runner::Settings;
use batchwise_lab::trial::TrainerSpec;
use batchwise_lab::{LabError, file_sha256};
use batchwise_nn::device;
use batchwise_nn::meter;
use clap::ValueEnum;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a sweep runs with.
pub(super) struct Setting {
    pub(super) world: World,
    pub(super) settings: Settings,
}

/// Share of the free memory that trials may take together unless the user says otherwise.
const SHARE_OF_FREE: f64 = 0.8;

pub(super) fn setting(
    cli: &Cli,
    options: &Options,
    plan: &Plan,
    folder: PathBuf,
    how: &How,
) -> Result<Setting, LabError> {
    let program = std::env::current_exe()
        .map_err(|error| LabError::Protocol(format!("the program cannot find itself: {error}")))?;
    let cpu = device::cpu_info();
    let mut machine = BTreeMap::from([
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("platform".to_owned(), format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
        ("cpu".to_owned(), cpu.description.clone()),
    ]);
    if let Some(commit) = option_env!("BATCHWISE_COMMIT") {
        machine.insert("commit".to_owned(), commit.to_owned());
    }
    let (world, unit, free) = match &plan.trainer {
        TrainerPlan::Workload { model, data, optimizer, device } => {
            let workload = Workload { model, data, optimizer, device };
            workload.world(cli, options, &program, &mut machine)?
        }
        TrainerPlan::Command { command, files, dataset_size, unit } => {
            let files = hashes(command, files.as_deref(), &folder)?;
            let world = World {
                trainer: TrainerSpec::Command { command: command.clone(), files },
                dataset_examples: *dataset_size,
                tokens_per_example: None,
                code: "1".to_owned(),
                examples_per_second: BTreeMap::new(),
            };
            let free = meter::available_bytes(&candle_core::Device::Cpu);
            (world, unit.clone(), free)
        }
    };
    let given = plan.limits.memory.or(options.memory);
    let memory =
        given.unwrap_or_else(|| free.map_or(u64::MAX / 2, |free| (free as f64 * SHARE_OF_FREE) as u64));
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let is_command = matches!(plan.trainer, TrainerPlan::Command { .. });
    let settings = Settings {
        root: root(options)?,
        child: ChildCommand { program, arguments: vec!["attempt".to_owned()] },
        folder,
        data_dir: options.data_dir.clone(),
        jobs: plan.limits.jobs.unwrap_or((cores / plan.limits.threads).max(1)),
        memory,
        memory_is_given: given.is_some(),
        wait: how.wait,
        retry_failed: how.retry_failed,
        // What a command takes is asked for where it matters; of a workload it is known within seconds.
        pilots: !how.no_pilots && (!is_command || given.is_some()),
        trainer: world.trainer.name(),
        unit,
        machine,
    };
    Ok(Setting { world, settings })
}

/// A workload as a plan names it.
struct Workload<'a> {
    model: &'a Option<String>,
    data: &'a Option<String>,
    optimizer: &'a Option<String>,
    device: &'a Option<String>,
}

impl Workload<'_> {
    fn world(
        &self,
        cli: &Cli,
        options: &Options,
        program: &Path,
        machine: &mut BTreeMap<String, String>,
    ) -> Result<(World, String, Option<u64>), LabError> {
        let optimizer = match self.optimizer {
            None => options.optimizer,
            Some(name) => Some(OptimizerName::from_str(name, true).map_err(|_| {
                let names: Vec<&str> =
                    OptimizerName::value_variants().iter().map(|name| name.name()).collect();
                LabError::Input(format!("`trainer.optimizer`: `{name}` is none of {}", names.join(", ")))
            })?),
        };
        let device = match self.device {
            None => options.device,
            Some(text) => {
                text.parse().map_err(|error| LabError::Input(format!("`trainer.device`: {error}")))?
            }
        };
        let options = Options {
            model: self.model.clone().or_else(|| options.model.clone()),
            data: self.data.clone().unwrap_or_else(|| options.data.clone()),
            optimizer,
            device,
            ..options.clone()
        };
        let session = Session::open(cli, &options)?;
        let data = DataProvenance::of(&session.data)?;
        let schema = session.data.train.schema();
        let is_text = schema.unit == Unit::Token;
        let tokens_per_example = match is_text {
            true => schema.input_shape.first().map(|n| *n as f64),
            false => None,
        };
        let spec = TrainerSpec::Workload {
            model: session.options.model.clone().unwrap_or_default(),
            data: session.options.data.clone(),
            data_sha256: format!("{}{}", data.train_hash, data.test_hash),
            optimizer: optimizer.map(|optimizer| optimizer.name().to_owned()),
            device: session.device.to_string(),
        };
        machine.insert("device".to_owned(), session.device.to_string());
        machine.insert("optimizer".to_owned(), session.workload.optimizer().to_string());
        let free = meter::available_bytes(&open_device(&options)?);
        let world = World {
            trainer: spec,
            dataset_examples: Some(data.train_examples),
            tokens_per_example,
            code: code(program)?,
            examples_per_second: BTreeMap::new(),
        };
        Ok((world, if is_text { "sequences" } else { "examples" }.to_owned(), free))
    }
}

/// Version of the code that trains: the commit it was built from if nothing was changed since, else the program itself,
/// whose models may be anyone's.
fn code(program: &Path) -> Result<String, LabError> {
    match option_env!("BATCHWISE_COMMIT").filter(|commit| !commit.ends_with("-modified")) {
        Some(commit) => Ok(format!("{} {commit}", env!("CARGO_PKG_VERSION"))),
        None => Ok(format!("{} program {}", env!("CARGO_PKG_VERSION"), &file_sha256(program)?[..16])),
    }
}

/// Hashes of the files that a command is made of: those that are named, or all arguments that are files.
fn hashes(
    command: &[String],
    files: Option<&[String]>,
    folder: &Path,
) -> Result<BTreeMap<String, String>, LabError> {
    let named: Vec<&String> = match files {
        Some(files) => files.iter().collect(),
        None => {
            let is_own = |(i, argument): &(usize, &String)| {
                // The program itself where it lies beside the plan; an interpreter is not the trainer.
                let is_candidate = 0 < *i || (argument.contains('/') && Path::new(argument).is_relative());
                is_candidate && folder.join(argument).is_file()
            };
            command.iter().enumerate().filter(is_own).map(|(_, argument)| argument).collect()
        }
    };
    let hash = |name: &&String| {
        let path = folder.join(name);
        match path.is_file() {
            true => Ok(((*name).clone(), file_sha256(&path)?)),
            false => Err(LabError::Input(format!("`trainer.files`: {} is no file", path.display()))),
        }
    };
    named.iter().map(hash).collect()
}
