//! The whole procedure: measure memory, speed, learning rate and noise; decide; verify; confirm.

mod decide;
mod measure;
mod words;

use crate::LabError;
use crate::advice::{
    Advice, Confirmation, LearningRateSearch, MemoryAdvice, NoiseAdvice, SCHEMA, SpeedAdvice,
};
use crate::output::Output;
use crate::probe::{learning_rate, noise, trial};
use crate::process::ChildCommand;
use crate::provenance::Provenance;
use batchwise_estimate::fieller::Ratio;
use batchwise_estimate::ridge::BestLr;
use batchwise_nn::optim::OptimizerConfig;
use measure::{MemoryModel, Probes};

pub use measure::MemoryReport;

/// What the user asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Of everything random.
    pub seed: u64,
    /// Examples of each short training, at least 1,000 or one epoch of a smaller set.
    pub examples: u64,
    /// Bytes that training may take.
    pub memory: MemoryLimit,
    /// No batch above this is tried.
    pub max_batch: u64,
    /// Seeds of the confirmation, at least 1.
    pub confirmation_seeds: u64,
}

/// Bytes that training may take, and who said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimit {
    /// The limit.
    pub bytes: u64,
    /// Whether the user gave it.
    pub is_given: bool,
    /// What the machine could give, at least `bytes` unless the user asked for more than there is.
    pub free_bytes: u64,
}

impl MemoryLimit {
    /// What a micro-batch may take by its measured peak: 2 % are kept for what a long run may add. Peaks of runs were
    /// within 0.8 % of the measured ones; what the user has not set is four fifths of what is free already.
    #[must_use]
    pub fn usable(self) -> u64 {
        self.bytes - self.bytes / 50
    }

    /// A limit under which a measured peak is [usable](Self::usable), rounded up for people to type.
    #[must_use]
    pub fn for_peak(peak_bytes: u64) -> u64 {
        peak_bytes.saturating_add(peak_bytes / 45 + 1)
    }
}

/// What the procedure needs to know of the workload; the rest happens in child processes.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// Examples in the training set.
    pub train_examples: u64,
    /// What an example is, in the plural: `examples` or `sequences`.
    pub noun: &'static str,
    /// Bytes that the data set holds itself.
    pub data_bytes: u64,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// Batch size at which the learning rate is searched.
    pub anchor_batch: u64,
    /// Middle of the learning rates to try.
    pub usual_learning_rate: f64,
    /// How to start a child that probes this workload.
    pub child: ChildCommand,
}

/// What happens, for whoever shows it.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A phase begins.
    Phase {
        /// Its number, from 1.
        number: usize,
        /// Of so many.
        of: usize,
        /// What it does.
        name: &'static str,
    },
    /// How far the phase is.
    Progress {
        /// Units of work done.
        done: u64,
        /// Of so many.
        total: u64,
        /// What is being done.
        note: String,
    },
    /// What the phase found.
    Finding(String),
}

/// Share of the peak throughput that defines the knee.
pub const KNEE_EFFICIENCY: f64 = 0.9;
/// Confidence of the noise intervals.
const CONFIDENCE: f64 = 0.95;
pub use batchwise_estimate::decide::LARGEST_PART;
/// Steps of each training of the range test, at least, where the whole training has so many.
const LEAST_STEPS: u64 = 20;
/// Size and number of a noise measurement's micro-batches: many small ones know tr Σ best (theory.md §1.3).
const NOISE_MICRO_BATCH: u64 = 8;
const NOISE_MICRO_BATCHES: u64 = 16;

/// Runs the whole procedure and returns the advice; every finished part is also written to `output`.
///
/// # Errors
/// Wrong input, [`LabError::NoAdvice`] where the measurements allow none, [`LabError::Cancelled`], faults of
/// the machine.
pub fn advise(
    subject: &Subject,
    settings: &Settings,
    provenance: Provenance,
    output: &Output,
    on_event: &mut dyn FnMut(Event),
) -> Result<Advice, LabError> {
    let max_batch = subject.max_batch(settings);
    let mut probes = Probes { child: &subject.child, on_event, phase: 0, n_phases: 6 };

    let memory = probes.memory(max_batch, settings.memory)?;
    output.write_json("memory.json", &memory.report(settings.memory))?;
    let room = probes.room(max_batch, &memory, settings.memory)?;
    let speed = speed_advice(&mut probes, max_batch, &room)?;
    output.write_json("speed.json", &speed)?;
    let search = learning_rate_search(&mut probes, subject, settings, &room)?;
    output.write_json("learning-rate.json", &search)?;
    let anchor_rate = anchor_rate(&search)?;
    let noise = noise_advice(&mut probes, subject, settings, &room, search.anchor_batch, anchor_rate)?;
    output.write_json("noise.json", &noise)?;

    let decision = decide::decide(&speed, &noise, subject.train_examples, settings.seed)?;
    let (optimizer, anchor_batch) = (subject.optimizer, search.anchor_batch);
    let rule = decide::Rule { optimizer, anchor_batch, anchor_rate, phi: noise.average.value() };
    let batch_size = decision.batch_size;

    probes.begin("verify");
    let (memory, micro_batch, verified) = probes.verify(memory, batch_size, settings.memory)?;
    let memory = memory_advice(&memory, batch_size, micro_batch, verified, subject, settings.memory);
    probes.found(words::verified(&memory, micro_batch));

    probes.begin("confirm");
    let confirmation = confirm(&mut probes, settings, batch_size, max_batch, micro_batch, &rule)?;
    output.write_json("confirmation.json", &confirmation)?;
    let verdict = words::verdict(&confirmation, batch_size, decision.equivalent);
    probes.found(verdict.text.clone());

    let accumulation_steps = batch_size.div_ceil(micro_batch);
    let reasons = words::reasons(&words::Grounds {
        speed: &speed,
        noise: &noise,
        search: &search,
        memory: &memory,
        decision: &decision,
        rule: &rule,
        batch_size,
        micro_batch,
        train_examples: subject.train_examples,
        confirmation: &confirmation,
        verdict: &verdict,
    });
    Ok(Advice {
        schema: SCHEMA,
        batch_size,
        micro_batch,
        accumulation_steps,
        learning_rate: rule.learning_rate(batch_size)?,
        learning_rate_rule: rule.in_words(batch_size),
        equivalent_batch_sizes: [decision.equivalent.0, decision.equivalent.1],
        expected_regret: decision.expected_regret,
        binding: decide::binding(&decision, accumulation_steps),
        grade: decide::grade(&search, &decision),
        reasons,
        next_measurement: words::next_measurement(&search, &noise, &verdict, &decision),
        memory,
        time_to_target: decide::time_to_target(&speed, &noise, &decision)?,
        speed,
        noise,
        learning_rate_search: search,
        confirmation,
        provenance,
    })
}

/// Peak memory by micro-batch, up to the limit.
///
/// # Errors
/// As [`advise`].
pub fn memory(
    subject: &Subject,
    settings: &Settings,
    on_event: &mut dyn FnMut(Event),
) -> Result<MemoryReport, LabError> {
    let mut probes = Probes { child: &subject.child, on_event, phase: 0, n_phases: 1 };
    Ok(probes.memory(subject.max_batch(settings), settings.memory)?.report(settings.memory))
}

/// Time of a step by batch size, in the micro-batches that fit.
///
/// # Errors
/// As [`advise`].
pub fn speed(
    subject: &Subject,
    settings: &Settings,
    on_event: &mut dyn FnMut(Event),
) -> Result<SpeedAdvice, LabError> {
    let mut probes = Probes { child: &subject.child, on_event, phase: 0, n_phases: 2 };
    let max_batch = subject.max_batch(settings);
    let memory = probes.memory(max_batch, settings.memory)?;
    speed_advice(&mut probes, max_batch, &memory)
}

/// Gradient noise over a short training, at `learning_rate` or at the best of a range test.
///
/// # Errors
/// As [`advise`].
pub fn noise(
    subject: &Subject,
    settings: &Settings,
    learning_rate: Option<f64>,
    on_event: &mut dyn FnMut(Event),
) -> Result<NoiseAdvice, LabError> {
    let n_phases = if learning_rate.is_some() { 2 } else { 3 };
    let mut probes = Probes { child: &subject.child, on_event, phase: 0, n_phases };
    let max_batch = subject.max_batch(settings);
    let memory = probes.memory(max_batch, settings.memory)?;
    let room = probes.room(max_batch, &memory, settings.memory)?;
    let learning_rate = match learning_rate {
        Some(learning_rate) => learning_rate,
        None => anchor_rate(&learning_rate_search(&mut probes, subject, settings, &room)?)?,
    };
    noise_advice(&mut probes, subject, settings, &room, subject.usable_anchor(), learning_rate)
}

/// The largest micro-batch in which `batch` fits the memory, tried at that size.
///
/// # Errors
/// As [`advise`].
pub fn micro_batch(
    subject: &Subject,
    settings: &Settings,
    batch: u64,
    on_event: &mut dyn FnMut(Event),
) -> Result<u64, LabError> {
    let mut probes = Probes { child: &subject.child, on_event, phase: 0, n_phases: 1 };
    let memory = probes.memory(batch.min(subject.train_examples), settings.memory)?;
    Ok(probes.verify(memory, batch, settings.memory)?.1)
}

/// One training run in a child; `on_line` sees its log.
///
/// # Errors
/// As [`advise`]; a run that dies for memory.
pub fn train(
    subject: &Subject,
    request: trial::Request,
    on_event: &mut dyn FnMut(Event),
    on_line: &mut dyn FnMut(serde_json::Value),
) -> Result<trial::Outcome, LabError> {
    let mut probes = Probes { child: &subject.child, on_event, phase: 0, n_phases: 1 };
    probes.begin("train");
    probes.trial(request, 0, 1, on_line)
}

impl Subject {
    /// The largest batch that is tried.
    fn max_batch(&self, settings: &Settings) -> u64 {
        settings.max_batch.min(self.train_examples).max(1)
    }

    /// The anchor batch, at most a tenth of the data set.
    fn usable_anchor(&self) -> u64 {
        self.anchor_batch.min(self.train_examples / LARGEST_PART).max(1)
    }
}

fn speed_advice(
    probes: &mut Probes<'_>,
    max_batch: u64,
    memory: &MemoryModel,
) -> Result<SpeedAdvice, LabError> {
    probes.begin("speed");
    let speed = decide::speed(probes.speed(max_batch, memory)?)?;
    probes.found(words::speed(&speed));
    Ok(speed)
}

fn learning_rate_search(
    probes: &mut Probes<'_>,
    subject: &Subject,
    settings: &Settings,
    memory: &MemoryModel,
) -> Result<LearningRateSearch, LabError> {
    probes.begin("learning rate");
    let anchor_batch = subject.usable_anchor();
    // A rate that two steps favour may well diverge over a whole training.
    let examples = (settings.examples / 8).max((LEAST_STEPS * anchor_batch).min(settings.examples));
    let request = learning_rate::Request {
        batch: anchor_batch,
        micro_batch: memory.micro_batch(anchor_batch)?,
        examples,
        middle: subject.usual_learning_rate,
    };
    let found = probes.learning_rate(request)?;
    let search = LearningRateSearch { anchor_batch, examples, points: found.points, best: found.best };
    probes.found(words::learning_rate(&search));
    Ok(search)
}

/// The learning rate found at the anchor batch.
fn anchor_rate(search: &LearningRateSearch) -> Result<f64, LabError> {
    match &search.best {
        BestLr::Interior { learning_rate, .. } | BestLr::AtEdge { learning_rate, .. } => Ok(*learning_rate),
        BestLr::NotIdentified { why } => Err(LabError::NoAdvice(format!(
            "no learning rate trains this model at batch {}: {why}",
            search.anchor_batch
        ))),
    }
}

fn noise_advice(
    probes: &mut Probes<'_>,
    subject: &Subject,
    settings: &Settings,
    memory: &MemoryModel,
    anchor_batch: u64,
    learning_rate: f64,
) -> Result<NoiseAdvice, LabError> {
    probes.begin("noise");
    let request = noise::Request {
        batch: anchor_batch,
        train_micro_batch: memory.micro_batch(anchor_batch)?,
        learning_rate,
        examples: settings.examples,
        moments: [0, 1, 2, 4, 6].iter().map(|eighth| settings.examples * eighth / 8).collect(),
        micro_batch: NOISE_MICRO_BATCH.min(memory.largest_accumulating()?),
        micro_batches: NOISE_MICRO_BATCHES,
        min_measurements: 16,
        max_measurements: 128,
        relative_error: 0.15,
        confidence: CONFIDENCE,
    };
    let measured = probes.noise(request)?;
    if let Some(diverged) = measured.diverged {
        return Err(LabError::NoAdvice(format!(
            "the training on which the gradient noise was to be measured failed: {diverged}"
        )));
    }
    let phis: Vec<(f64, Ratio)> =
        measured.points.iter().map(|p| (p.examples_seen as f64, decide::ratio(p))).collect();
    let average = batchwise_estimate::trajectory::average_phi(&phis);
    let critical_batch = batchwise_estimate::critical::critical_batch_from_phi(
        &average,
        batchwise_estimate::critical::Task::Supervised,
    );
    let noise = NoiseAdvice {
        unit: subject.noun.to_owned(),
        confidence: CONFIDENCE,
        anchor_batch,
        learning_rate,
        points: measured.points,
        average,
        critical_batch,
    };
    probes.found(words::noise(&noise));
    Ok(noise)
}

fn memory_advice(
    memory: &MemoryModel,
    batch_size: u64,
    micro_batch: u64,
    verified_peak_bytes: u64,
    subject: &Subject,
    limit: MemoryLimit,
) -> MemoryAdvice {
    let accumulating = micro_batch < batch_size;
    let series = memory.series(accumulating);
    MemoryAdvice {
        points: series.points.clone(),
        accumulating,
        fixed_bytes: series.fixed_bytes(),
        bytes_per_example: series.bytes_per_example(),
        predicted_peak_bytes: series.predict(micro_batch),
        predicted_upper_bytes: series.upper(micro_batch),
        verified_peak_bytes,
        limit_bytes: limit.bytes,
        limit_is_given: limit.is_given,
        data_bytes: subject.data_bytes,
        does_not_fit: series.does_not_fit,
    }
}

/// Short trainings at the advised batch, half and twice of it, on the same examples in the same order.
fn confirm(
    probes: &mut Probes<'_>,
    settings: &Settings,
    batch_size: u64,
    max_batch: u64,
    micro_batch: u64,
    rule: &decide::Rule,
) -> Result<Vec<Confirmation>, LabError> {
    let mut batches = vec![batch_size / 2, batch_size, batch_size * 2];
    batches.retain(|batch| 0 < *batch && *batch <= max_batch.max(batch_size));
    let n_trials = batches.len() as u64 * settings.confirmation_seeds;
    let mut confirmation = Vec::new();
    for seed in (0..settings.confirmation_seeds).map(|i| settings.seed.wrapping_add(i)) {
        for batch in &batches {
            let request = trial::Request {
                batch: *batch,
                micro_batch: micro_batch.min(*batch),
                learning_rate: rule.learning_rate(*batch)?,
                course: None,
                examples: settings.examples,
                seed,
                noise: None,
                limit_bytes: Some(settings.memory.bytes),
                weights: None,
                keep: None,
            };
            let learning_rate = request.learning_rate;
            let outcome = probes.trial(request, confirmation.len() as u64, n_trials, &mut |_| {})?;
            confirmation.push(Confirmation {
                batch: *batch,
                learning_rate,
                seed,
                examples: outcome.examples,
                steps: outcome.steps,
                train_loss: outcome.train_loss,
                test_loss: outcome.test_loss,
                test_loss_error: outcome.test_loss_error,
                test_accuracy: outcome.test_accuracy,
                test_accuracy_error: outcome.test_accuracy_error,
                seconds: outcome.seconds,
            });
        }
    }
    Ok(confirmation)
}
