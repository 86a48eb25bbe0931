//! What a sweep says, as it is stored and shown.

use crate::trial::{Judge, Target};
use batchwise_estimate::decide::Decision;
use batchwise_estimate::memory::{MemoryFit, MemoryPoint};
use batchwise_estimate::outcome::Outcome;
use batchwise_estimate::ridge::{Edge, Next, RidgeFit};
use batchwise_estimate::time::{SpeedFit, Timing};
use batchwise_estimate::tradeoff::{Run, TradeoffFit, Tuning};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the form of [`SweepAnswer`].
pub const ANSWER_VERSION: u32 = 1;

/// How a sweep is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Two-sided confidence of every interval, in [0.5, 0.999].
    pub confidence: f64,
    /// Seed of the resampling and of the draws: equal records give equal answers.
    pub seed: u64,
    /// Bytes that training may take on one device, where a limit is to count.
    pub memory_limit: Option<u64>,
}

impl Default for Reading {
    /// 95 %, seed 1, no limit.
    fn default() -> Self {
        Self { confidence: 0.95, seed: 1, memory_limit: None }
    }
}

/// What a sweep says: every number with its interval or its spread over seeds, or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepAnswer {
    /// Version of this form.
    pub version: u32,
    /// Version of the program that made it.
    pub program: String,
    /// The sweep's name.
    pub name: String,
    /// What trains, in words.
    pub trainer: String,
    /// What a batch size counts, in the plural.
    pub unit: String,
    /// Examples in the training set, where they are known.
    pub dataset_examples: Option<u64>,
    /// Whether nothing is left to run.
    pub is_complete: bool,
    /// What ran it.
    pub machine: BTreeMap<String, String>,
    /// How it was read.
    pub reading: Reading,
    /// What was asked for.
    pub plan: PlanFacts,
    /// What became of all trials.
    pub fates: Fates,
    /// One for each setting of the hyper-parameters beside batch size and learning rate, the best first.
    pub groups: Vec<Group>,
    /// Trials that failed, diverged, were stopped early or given up, took several attempts, or do not repeat.
    pub troubles: Vec<Trouble>,
    /// What must be kept in mind about the sweep as a whole, in sentences.
    pub notes: Vec<String>,
}

/// What was asked for: each list ascending, without repeats.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PlanFacts {
    /// Batch sizes.
    pub batches: Vec<u64>,
    /// Learning rates.
    pub learning_rates: Vec<f64>,
    /// Seeds.
    pub seeds: Vec<u64>,
    /// Settings of the other hyper-parameters, in words.
    pub settings: Vec<String>,
    /// Schedules of the learning rate.
    pub schedules: Vec<String>,
    /// What is judged.
    pub judges: Vec<String>,
    /// Targets; `none` for trials without one.
    pub targets: Vec<String>,
    /// Budgets, in examples.
    pub budgets: Vec<u64>,
    /// Examples from one evaluation to the next; 0 where the trainer decides.
    pub evaluate_examples: Vec<u64>,
    /// Rules of stopping early; `none` for trials without one.
    pub pruning: Vec<String>,
    /// What trains.
    pub trainers: Vec<String>,
    /// Versions of the code that trains.
    pub codes: Vec<String>,
}

/// How many trials came to which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fates {
    /// Reached their target.
    pub reached: u64,
    /// Ended in good order without reaching it: censored.
    pub not_reached: u64,
    /// Ended in good order where there was no target.
    pub finished: u64,
    /// Lost their finite loss or gradient.
    pub diverged: u64,
    /// Stopped early, because others were better.
    pub pruned: u64,
    /// Given up after failing.
    pub failed: u64,
    /// Given up by the user.
    pub cancelled: u64,
    /// Without a result yet.
    pub waiting: u64,
}

impl Fates {
    /// All trials.
    #[must_use]
    pub fn trials(&self) -> u64 {
        self.results() + self.failed + self.cancelled + self.waiting
    }

    /// Those that brought a result, of whatever kind.
    #[must_use]
    pub fn results(&self) -> u64 {
        self.reached + self.not_reached + self.finished + self.diverged + self.pruned
    }

    /// Counts one more.
    pub(super) fn add(&mut self, fate: Fate) {
        *match fate {
            Fate::Reached => &mut self.reached,
            Fate::NotReached => &mut self.not_reached,
            Fate::Finished => &mut self.finished,
            Fate::Diverged => &mut self.diverged,
            Fate::Pruned => &mut self.pruned,
            Fate::Failed => &mut self.failed,
            Fate::Cancelled => &mut self.cancelled,
            Fate::Waiting => &mut self.waiting,
        } += 1;
    }
}

/// What became of one trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It reached its target.
    Reached,
    /// It ended in good order without reaching it.
    NotReached,
    /// It ended in good order; there was no target.
    Finished,
    /// Its loss or gradient was no longer finite.
    Diverged,
    /// It was stopped early, because others were better.
    Pruned,
    /// It was given up after failing.
    Failed,
    /// The user gave it up.
    Cancelled,
    /// It has no result yet.
    Waiting,
}

impl Fate {
    /// As in tables.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Reached => "reached the target",
            Self::NotReached => "did not reach the target",
            Self::Finished => "finished",
            Self::Diverged => "diverged",
            Self::Pruned => "stopped early",
            Self::Failed => "failed",
            Self::Cancelled => "given up",
            Self::Waiting => "no result yet",
        }
    }
}

/// One setting of the hyper-parameters beside batch size and learning rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The setting in words; empty where there is only one.
    pub setting: String,
    /// What is judged.
    pub judge: Judge,
    /// What is to be reached, if anything.
    pub target: Option<Target>,
    /// What became of its trials.
    pub fates: Fates,
    /// Batch by batch, ascending.
    pub batches: Vec<BatchSummary>,
    /// Every batch size and learning rate that was asked for, ascending.
    pub cells: Vec<Cell>,
    /// The best learning rates and how they follow the batch size; none without results.
    pub ridge: Option<RidgeFit>,
    /// Steps to the target by batch size; none without a target or results.
    pub steps: Option<StepsToTarget>,
    /// The time of a step by batch size; none where nothing was timed.
    pub time: Option<StepTimes>,
    /// Peak memory by batch size; none where it was not measured.
    pub memory: Option<Peaks>,
    /// At how many examples and steps the batch sizes are compared.
    pub equal: Equal,
    /// The batch size and learning rate that all this leads to.
    pub choice: Choice,
    /// What must be kept in mind, in sentences.
    pub notes: Vec<String>,
    /// What to measure next, in sentences.
    pub next: Vec<String>,
}

/// What is known at one batch size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchSummary {
    /// The batch size.
    pub batch: u64,
    /// What became of its trials.
    pub fates: Fates,
    /// The learning rate.
    pub rate: BestRate,
    /// The runs at [`BestRate::counts`], by seed: what all numbers below are of, unless said.
    pub runs: Vec<SeedRun>,
    /// Examples to the target.
    pub examples: Option<Spread>,
    /// Steps to the target.
    pub steps: Option<Spread>,
    /// Seconds of training to the target.
    pub seconds: Option<Spread>,
    /// The judged value at the end of the runs.
    pub value_at_end: Option<Spread>,
    /// The judged value at [`Equal::examples`].
    pub value_at_equal_examples: Option<Spread>,
    /// The judged value at [`Equal::steps`].
    pub value_at_equal_steps: Option<Spread>,
    /// Seconds of a step, over the runs at every learning rate.
    pub step_seconds: Option<Spread>,
    /// Most bytes that any run took at once, at whatever learning rate.
    pub peak_bytes: Option<u64>,
    /// Noise scale over the run, in what a batch size counts, where norms were measured.
    pub noise_scale: Option<Spread>,
}

/// The learning rate at one batch size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BestRate {
    /// The best one, with its interval.
    pub best: Outcome,
    /// The side on which the rates that were tried end too early.
    pub at_edge: Option<Edge>,
    /// The rate whose runs count: the best of those tried.
    pub counts: Option<f64>,
    /// Rates as good as the best: by how much the valley is flat, not how well it is known.
    pub as_good: Option<(f64, f64)>,
    /// Rates that were tried, ascending.
    pub tried: Vec<f64>,
    /// How often the bracket was widened, where there was one.
    pub widened: Option<u64>,
    /// Which rates to try next.
    pub next: Next,
}

/// One run at the learning rate that counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeedRun {
    /// Name of the trial.
    pub trial: String,
    /// Its seed.
    pub seed: u64,
    /// What became of it.
    pub fate: Fate,
    /// Examples to the target, or how many were processed in vain.
    pub examples: f64,
    /// Steps to the target, or how many were made in vain.
    pub steps: f64,
    /// Steps from the evaluation before to the one that saw the target reached: how exactly `steps` is known.
    pub period: f64,
    /// Seconds of training to the target, or how many went by in vain, where they were measured.
    pub seconds: Option<f64>,
    /// The judged value at the end.
    pub value: Option<f64>,
}

/// A number over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The mean; with censored runs a lower bound of it, in which they count with what they ran.
    pub mean: f64,
    /// The standard deviation between seeds; none below two, or where runs were censored.
    pub sd: Option<f64>,
    /// Runs, the censored ones included.
    pub n: u64,
    /// Runs that never got there.
    pub censored: u64,
}

/// One batch size and learning rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The batch size.
    pub batch: u64,
    /// The learning rate.
    pub learning_rate: f64,
    /// What became of its trials.
    pub fates: Fates,
    /// Examples to the target; where there is none, the judged value at the end.
    pub score: Option<Spread>,
    /// The judged value at the end.
    pub value: Option<Spread>,
    /// By how much the score is worse than the best of this batch size, at least 0: the share of the examples that it
    /// takes more, or the difference in the judged value where there is no target.
    pub excess: Option<f64>,
}

/// Steps to the target by batch size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepsToTarget {
    /// The runs that were fitted: those of the learning rate that counts at each batch size.
    pub runs: Vec<Run>,
    /// S(B) = S_min(1 + B_c/B).
    pub fit: TradeoffFit,
    /// How the learning rates were chosen.
    pub tuning: Tuning,
    /// By which share the steps are too few at the most, because the best learning rate was picked by the runs that then
    /// count; none where seeds were not repeated.
    pub luck: Option<f64>,
    /// The fit in words: (name, words).
    pub lines: Vec<(String, String)>,
}

/// The time of a step by batch size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepTimes {
    /// One for each run: the mean time of its steps.
    pub timings: Vec<Timing>,
    /// The fit; none with fewer than three batch sizes.
    pub fit: Option<SpeedFit>,
    /// The fit in words: (name, words).
    pub lines: Vec<(String, String)>,
}

/// Peak memory by batch size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Peaks {
    /// The largest peak at each batch size.
    pub points: Vec<MemoryPoint>,
    /// The line through them; none where they do not lie on one that grows.
    pub fit: Option<MemoryFit>,
    /// The fit in words: (name, words).
    pub lines: Vec<(String, String)>,
}

/// At how many examples and steps the batch sizes are compared: the most that every run which counts was evaluated up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Equal {
    /// Examples; none without evaluations, or with one batch size.
    pub examples: Option<u64>,
    /// Steps.
    pub steps: Option<u64>,
}

/// The batch size and learning rate that a group leads to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Choice {
    /// The batch size; none where the measurements do not say.
    pub batch_size: Option<u64>,
    /// The learning rate there.
    pub learning_rate: Option<ChosenRate>,
    /// Name of the grade of the evidence.
    pub grade: String,
    /// The decision behind it.
    pub decision: Option<Decision>,
    /// The choice in words, or what is missing: (name, words).
    pub lines: Vec<(String, String)>,
}

/// The learning rate for the chosen batch size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChosenRate {
    /// The learning rate.
    pub value: f64,
    /// Lower end of its interval.
    pub low: Option<f64>,
    /// Upper end of its interval.
    pub high: Option<f64>,
    /// Whether the batch size lies beyond those at which rates were tried.
    pub extrapolated: bool,
    /// How it came about.
    pub how: String,
}

/// A trial that went wrong in some way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trouble {
    /// Name of the trial.
    pub trial: String,
    /// Batch size, learning rate, seed and parameters.
    pub label: String,
    /// What became of it.
    pub fate: Fate,
    /// Why, in words.
    pub reason: String,
    /// How often it was attempted.
    pub attempts: u64,
    /// How the attempts without a result ended: kind and reason.
    pub ends: Vec<(String, String)>,
    /// Whether two attempts brought different results.
    pub differs: bool,
}
