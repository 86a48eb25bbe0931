//! The files of a run: its lines, its event file, its checkpoints.

use super::diary::Diary;
use super::runner::Runner;
use super::{Keep, Request, make_folder_of};
use crate::LabError;
use batchwise_train::average::{self, Average};
use batchwise_train::checkpoint::{CheckpointError, Expected, Manifest, Period, Snapshot, Store, to_value};
use batchwise_train::observe::{
    Csv, EvaluationRecord, JsonLines, ObserveError, Observer, Record, Table, TensorBoard,
};
use batchwise_train::{Numbers, State};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// What of a run's settings may be another when it goes on: what changes no mathematics, where it ends, and the batch,
/// which changes the run from there on as a change within it would.
const MAY_CHANGE: &[&str] =
    &["batch", "micro_batch", "examples", "course", "learning_rate", "noise", "workers"];

/// Each with the name that a checkpoint keeps its length under.
type Observers = Vec<(&'static str, Box<dyn Observer>)>;

/// The files of a run that is going on.
pub(super) struct Journal {
    observers: Observers,
    store: Store,
    period: Period,
    configuration: Value,
    data_sha256: String,
}

/// What a checkpoint stores beside tensors.
#[derive(Serialize, Deserialize)]
struct Stored {
    trainer: Numbers,
    diary: Diary,
}

/// Where a run begins.
pub(super) struct Begin {
    pub(super) journal: Journal,
    /// What a checkpoint said, if the run goes on from one.
    pub(super) stored: Option<Restored>,
    /// Newer checkpoints that are damaged, in words.
    pub(super) damaged: Vec<String>,
}

/// What a checkpoint said.
pub(super) struct Restored {
    pub(super) diary: Diary,
    pub(super) state: State,
    /// The average of the weights, if there was one.
    pub(super) average: BTreeMap<String, Tensor>,
}

impl Journal {
    /// Opens the files of a run, and reads the newest checkpoint if it goes on.
    pub(super) fn open(keep: &Keep, request: &Request, trainer: &Runner) -> Result<Begin, LabError> {
        let mut store = open_store(&keep.folder.join("checkpoints"))?;
        let configuration = configuration(keep, request, trainer);
        let latest = if keep.resume { store.load_latest()? } else { None };
        let (mut restored, mut lengths, mut damaged) = (None, None, Vec::new());
        if let Some(latest) = latest {
            damaged = latest.refused.iter().map(|refused| refused.reason.to_string()).collect();
            let snapshot = latest.snapshot;
            let model = Snapshot::new(Manifest::new(Value::Null, ""), trainer.tensors()).manifest.model;
            let expected =
                Expected { configuration: &configuration, data_sha256: &keep.data_sha256, model: &model };
            snapshot.check(&expected, MAY_CHANGE)?;
            let stored: Stored =
                serde_json::from_value(snapshot.manifest.state.clone()).map_err(|error| {
                    LabError::Input(format!("{} holds no state of a run: {error}", latest.path.display()))
                })?;
            let state = State {
                numbers: stored.trainer,
                parameters: snapshot.of_kind("parameters"),
                optimizer: snapshot.of_kind("optimizer"),
            };
            let average = snapshot.tensors.iter().filter(|(name, _)| name.starts_with(average::PREFIX));
            let average = average.map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
            restored = Some(Restored { diary: stored.diary, state, average });
            lengths = Some(snapshot.manifest.files);
        }
        let observers = observers(keep, lengths.as_ref())?;
        let period = Period::new(keep.checkpoint_examples, keep.checkpoint_seconds)?;
        let data_sha256 = keep.data_sha256.clone();
        let journal = Self { observers, store, period, configuration, data_sha256 };
        Ok(Begin { journal, stored: restored, damaged })
    }

    /// Whether a checkpoint is due between so many examples and so many, so many seconds after the last.
    pub(super) fn is_due(&self, before: u64, after: u64, seconds: f64) -> bool {
        self.period.due(before, after, seconds)
    }

    pub(super) fn record(&mut self, record: &Record) -> Result<(), ObserveError> {
        self.observers.iter_mut().try_for_each(|(_, observer)| observer.record(record))
    }

    pub(super) fn evaluation(&mut self, record: &EvaluationRecord) -> Result<(), ObserveError> {
        self.observers.iter_mut().try_for_each(|(_, observer)| observer.evaluation(record))
    }

    /// Puts all that was written on the disk, and the state of the run with it.
    pub(super) fn save(
        &mut self,
        trainer: &Runner,
        average: Option<&Average>,
        diary: &Diary,
        is_best: bool,
    ) -> Result<(), LabError> {
        let mut manifest = Manifest::new(self.configuration.clone(), &self.data_sha256);
        for (name, observer) in &mut self.observers {
            manifest.files.insert((*name).to_owned(), observer.sync()?);
        }
        let stored = Stored { trainer: trainer.numbers(), diary: diary.clone() };
        manifest.state = to_value("the state of the run", &stored)?;
        (manifest.examples, manifest.steps) = (trainer.progress().0, trainer.steps().0);
        let mut tensors: BTreeMap<String, Tensor> = trainer.tensors();
        if let Some(average) = average {
            tensors.append(&mut average.state()?);
        }
        let saved = self.store.save(&Snapshot::new(manifest, tensors), is_best)?;
        for old in saved.not_removed {
            tracing::warn!(path = %old.display(), "an old checkpoint cannot be removed");
        }
        Ok(())
    }

    /// Puts all lines on the disk.
    pub(super) fn sync(&mut self) -> Result<(), ObserveError> {
        self.observers.iter_mut().try_for_each(|(_, observer)| observer.sync().map(|_| ()))
    }

    /// The newest checkpoint, in words.
    pub(super) fn last(&self) -> Option<String> {
        self.store.list().ok()?.last().map(|path| path.display().to_string())
    }
}

/// How long a run that was killed may take to let go of its folder.
const LET_GO: Duration = Duration::from_secs(3);

/// The store of checkpoints. The training of a program that was killed sees its parent's end a moment later, and who
/// resumes at once should not have to try again.
fn open_store(folder: &Path) -> Result<Store, LabError> {
    let end = Instant::now() + LET_GO;
    loop {
        match Store::create(folder) {
            Err(CheckpointError::InUse { .. }) if Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(50));
            }
            opened => return Ok(opened?),
        }
    }
}

/// The observers of a run, cut to what a checkpoint knows of.
fn observers(keep: &Keep, lengths: Option<&BTreeMap<String, u64>>) -> Result<Observers, LabError> {
    let length = |name: &str| lengths.and_then(|lengths| lengths.get(name)).copied();
    let mut observers: Observers = Vec::new();
    if !keep.result_only {
        let lines = keep.folder.join("steps.jsonl");
        let lines = match length("steps.jsonl") {
            Some(length) => JsonLines::resume(&lines, length)?,
            None => JsonLines::create(&lines)?,
        };
        observers.push(("steps.jsonl", Box::new(lines)));
    }
    if let Some(path) = &keep.tensorboard {
        let events = match length("tensorboard") {
            Some(length) => TensorBoard::resume(path, length)?,
            None => create_events(path)?,
        };
        observers.push(("tensorboard", Box::new(events)));
    }
    if keep.csv {
        for (name, table) in [("steps.csv", Table::Steps), ("evaluations.csv", Table::Evaluations)] {
            let path = keep.folder.join(name);
            let csv = match length(name) {
                Some(length) => Csv::resume(&path, table, length)?,
                None => Csv::create(&path, table)?,
            };
            observers.push((name, Box::new(csv)));
        }
    }
    Ok(observers)
}

fn create_events(path: &Path) -> Result<TensorBoard, LabError> {
    make_folder_of(path)?;
    Ok(TensorBoard::create(path, SystemTime::now())?)
}

/// The settings that decide what a run does.
fn configuration(keep: &Keep, request: &Request, trainer: &Runner) -> Value {
    json!({
        "batch": request.batch,
        "micro_batch": request.micro_batch,
        "learning_rate": request.learning_rate,
        "course": request.course.as_ref().map(|course| json!({
            "lr": course.lr.to_string(),
            "batch": course.batch.to_string(),
        })),
        "examples": request.examples,
        "optimizer": trainer.run().optimizer.to_string(),
        "seed": request.seed,
        "noise": request.noise,
        "clip_norm": keep.clip_norm,
        "skip": keep.skip,
        "average_half_life": keep.average_half_life,
        "workers": keep.workers,
    })
}
