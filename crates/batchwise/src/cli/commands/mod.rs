//! One file for each command.

mod advise;
mod audit;
mod change;
mod check;
mod check_trainer;
mod data;
mod devices;
mod fit;
mod probes;
mod report;
mod runs;
mod schedule;
mod simulate;
mod sweep;
mod train;
mod trial;

use super::arguments::{Arguments, Command};
use super::{Cli, Options};
use batchwise_data::{Splits, Unit};
use batchwise_lab::advise::{MemoryLimit, Settings, Subject};
use batchwise_lab::output::Output;
use batchwise_lab::process::{self, ChildCommand};
use batchwise_lab::provenance::{self, DataProvenance, Provenance};
use batchwise_lab::{LabError, Workload, probe};
use batchwise_nn::device::{self, DeviceSpec};
use batchwise_nn::meter;
use std::path::Path;

pub(super) fn run(cli: &Cli, arguments: &Arguments) -> Result<(), LabError> {
    let options = &arguments.common;
    match &arguments.command {
        Command::Advise(arguments) => advise::run(cli, options, arguments),
        Command::Memory(arguments) => probes::memory(cli, options, arguments),
        Command::Speed(arguments) => probes::speed(cli, options, arguments),
        Command::Noise(arguments) => probes::noise(cli, options, arguments),
        Command::Train(arguments) => train::run(cli, options, arguments),
        Command::Sweep(arguments) => sweep::run(cli, options, arguments),
        Command::Simulate(arguments) => simulate::run(options, arguments),
        Command::Trial(arguments) => trial::run(cli, options, arguments),
        Command::Attempt => trial::serve(cli, options),
        Command::Shepherd(arguments) => trial::shepherd(arguments),
        Command::Change(arguments) => change::run(options, arguments),
        Command::Schedule(arguments) => schedule::run(options, arguments),
        Command::Data(arguments) => data::run(options, arguments),
        Command::Fit(arguments) => fit::run(options, arguments),
        Command::Runs(arguments) => runs::run(options, arguments),
        Command::Report(arguments) => report::run(options, arguments),
        Command::Devices => devices::run(options),
        Command::Audit => audit::run(options),
        Command::Check(arguments) => check::run(cli, options, arguments),
        Command::Probe => serve(cli, options),
    }
}

/// What is measured with unless the user says otherwise.
struct Usual {
    /// Examples of a short training: an epoch, at most this.
    short_training: u64,
    /// The largest batch that is tried.
    max_batch: u64,
}

impl Usual {
    /// A sequence takes about as long as a few dozen images.
    fn of(unit: Unit) -> Self {
        match unit {
            Unit::Token => Self { short_training: 8192, max_batch: 256 },
            _ => Self { short_training: 60_000, max_batch: 2048 },
        }
    }
}

/// Share of the free memory that training may take unless the user says otherwise.
const SHARE_OF_FREE: f64 = 0.8;

/// What a command works on, checked before anything is measured.
struct Session {
    /// The options with the model that was chosen.
    options: Options,
    workload: Box<dyn Workload>,
    data: Splits,
    device: DeviceSpec,
    available_bytes: Option<u64>,
}

impl Session {
    fn open(cli: &Cli, options: &Options) -> Result<Self, LabError> {
        let options = cli.with_model(options)?;
        let workload = cli.make(&options)?;
        let device = open_device(&options)?;
        let data = workload.open()?;
        Ok(Self {
            options,
            workload,
            data,
            device: device::name(&device),
            available_bytes: meter::available_bytes(&device),
        })
    }

    fn subject(&self) -> Result<Subject, LabError> {
        let program = std::env::current_exe()
            .map_err(|error| LabError::Protocol(format!("the program cannot find itself: {error}")))?;
        Ok(Subject {
            train_examples: self.data.train.len(),
            noun: match self.data.train.schema().unit {
                Unit::Token => "sequences",
                _ => "examples",
            },
            data_bytes: self.data.train.resident_bytes() + self.data.test.resident_bytes(),
            optimizer: self.workload.optimizer(),
            anchor_batch: self.workload.anchor_batch(),
            usual_learning_rate: self.workload.usual_learning_rate(),
            child: ChildCommand { program, arguments: child_arguments(&self.options, self.device) },
        })
    }

    fn settings(&self, options: &Options, examples: Option<u64>, max_batch: Option<u64>) -> Settings {
        let usual = Usual::of(self.data.train.schema().unit);
        Settings {
            seed: options.seed,
            examples: examples.unwrap_or(usual.short_training.min(self.data.train.len())),
            memory: self.memory_limit(options),
            max_batch: max_batch.unwrap_or(usual.max_batch),
            confirmation_seeds: 1,
        }
    }

    fn memory_limit(&self, options: &Options) -> MemoryLimit {
        let free_bytes =
            self.available_bytes.map_or(u64::MAX, |available| (available as f64 * SHARE_OF_FREE) as u64);
        let (bytes, is_given) = (options.memory.unwrap_or(free_bytes), options.memory.is_some());
        MemoryLimit { bytes, is_given, free_bytes }
    }

    fn provenance(&self) -> Result<Provenance, LabError> {
        let description = device::list().into_iter().find(|info| info.spec == self.device);
        let cpu = device::cpu_info();
        Ok(Provenance {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("BATCHWISE_COMMIT").map(str::to_owned),
            command: std::env::args().skip(1).collect(),
            seed: self.options.seed,
            model: self.workload.model_name(),
            optimizer: self.workload.optimizer().to_string(),
            data: DataProvenance::of(&self.data)?,
            device: self.device.to_string(),
            device_description: description.unwrap_or_else(|| cpu.clone()).description,
            threads: cpu.threads,
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            started_at: provenance::now(),
        })
    }
}

fn open_device(options: &Options) -> Result<candle_core::Device, LabError> {
    options.device.open().map_err(|error| LabError::Input(error.to_string()))
}

/// The folder for a command's results: --out, or a new one.
fn output(options: &Options, name: &str) -> Result<Output, LabError> {
    match &options.out {
        Some(folder) => Output::create(folder, options.force),
        None => Output::numbered(Path::new("batchwise-out"), name),
    }
}

/// The arguments that lead a child to the same workload on the same device.
fn child_arguments(options: &Options, device: DeviceSpec) -> Vec<String> {
    let mut arguments = vec![
        "probe".to_owned(),
        format!("--data={}", options.data),
        format!("--device={device}"),
        format!("--seed={}", options.seed),
    ];
    if let Some(model) = &options.model {
        arguments.push(format!("--model={model}"));
    }
    if let Some(optimizer) = options.optimizer {
        arguments.push(format!("--optimizer={}", optimizer.name()));
    }
    if let Some(dir) = &options.data_dir {
        arguments.push(format!("--data-dir={}", dir.display()));
    }
    arguments
}

/// The child's side of every probe.
fn serve(cli: &Cli, options: &Options) -> Result<(), LabError> {
    process::serve(|request, emit| {
        let workload = cli.make(options)?;
        let data = workload.open()?;
        let device = open_device(options)?;
        let context = probe::Context { workload: workload.as_ref(), data, device, seed: options.seed };
        probe::answer(&context, request, emit)
    })
}
