//! The trials that a plan asks for.

use super::bracket::{self, Rung, Score, Standing};
use super::checked::{Budget, Grid, Plan, Prune, Rates, RungUnit, Values};
use super::sample;
use crate::LabError;
use crate::sweep::Bracket;
use crate::trial::{Parameter, TrainerSpec, TrialSpec, VERSION, parameters_in_words};
use batchwise_schedule::{Examples, Length, RunLength};
use std::collections::{BTreeMap, HashSet};

/// What a plan does not say itself.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    /// What trains, with the hashes of what it is made of.
    pub trainer: TrainerSpec,
    /// Examples in the training set.
    pub dataset_examples: Option<u64>,
    /// Tokens of an example.
    pub tokens_per_example: Option<f64>,
    /// Version of the code that trains.
    pub code: String,
    /// Examples per second by batch size, where a budget in seconds must become examples.
    pub examples_per_second: BTreeMap<u64, f64>,
}

/// What a plan asks for, given what is known.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Generated {
    /// All trials so far, in the order in which they are asked for; those that ran are among them.
    pub trials: Vec<TrialSpec>,
    /// How the learning rates of each group were found.
    pub brackets: Vec<Bracket>,
    /// Whether more may be asked for once these are done.
    pub may_grow: bool,
}

/// Examples of a run that ends by other things.
const NO_END: u64 = 1 << 50;

/// One setting of the further hyper-parameters.
type Setting = BTreeMap<String, Parameter>;

impl Plan {
    /// The trials that are asked for; `score` tells what is known of a trial by its name, none where it has not ended.
    ///
    /// # Errors
    /// Lengths that need what the world does not know.
    pub fn generate(
        &self,
        world: &World,
        score: &mut dyn FnMut(&str) -> Option<Score>,
    ) -> Result<Generated, LabError> {
        let mut generated = Generated::default();
        match &self.grid {
            Grid::Full(values) => {
                for setting in settings(values) {
                    for batch in &self.batches {
                        self.group(world, *batch, &setting, score, &mut generated)?;
                    }
                }
            }
            Grid::Sampled { values, points, skip } => {
                let mut seen = HashSet::new();
                for i in 0..*points {
                    let (batch, rate, setting) = self.sampled(values, skip.saturating_add(i));
                    for seed in &self.seeds {
                        let spec = self.spec(world, batch, rate, *seed, &setting)?;
                        // Points of short lists may fall on each other.
                        if seen.insert(spec.id()?) {
                            generated.trials.push(spec);
                        }
                    }
                }
            }
        }
        Ok(generated)
    }

    fn group(
        &self,
        world: &World,
        batch: u64,
        setting: &Setting,
        score: &mut dyn FnMut(&str) -> Option<Score>,
        generated: &mut Generated,
    ) -> Result<(), LabError> {
        let follow = self.rule.factor(batch);
        let mut found = Bracket {
            batch,
            parameters: parameters_in_words(setting),
            rates: Vec::new(),
            widened: 0,
            at_edge: false,
        };
        match &self.rates {
            Rates::Listed(rates) => {
                found.rates = rates.iter().map(|rate| rate * follow).collect();
                let mut rungs = Vec::new();
                for rate in &found.rates {
                    rungs.push(self.rung(world, batch, *rate, setting, score, &mut generated.trials)?);
                }
                if let Standing::Settled { at_edge } = bracket::judge(&rungs, false) {
                    found.at_edge = at_edge;
                }
            }
            Rates::Range(..) => {}
            Rates::Bracket { start, factor, points, widenings } => {
                let rate = |k: i64| start * follow * factor.powi(k as i32);
                let mut low = -((*points as i64 - 1) / 2);
                let mut high = low + *points as i64 - 1;
                let mut rungs = BTreeMap::new();
                for k in low..=high {
                    rungs.insert(k, self.rung(world, batch, rate(k), setting, score, &mut generated.trials)?);
                }
                loop {
                    let ladder: Vec<Rung> = rungs.values().cloned().collect();
                    match bracket::judge(&ladder, found.widened < *widenings) {
                        Standing::Pending => {
                            generated.may_grow = true;
                            break;
                        }
                        Standing::Settled { at_edge } => {
                            found.at_edge = at_edge;
                            break;
                        }
                        Standing::Widen { below, above } => {
                            found.widened += 1;
                            let mut add = |k: i64, trials: &mut Vec<TrialSpec>| {
                                let rung = self.rung(world, batch, rate(k), setting, score, trials)?;
                                rungs.insert(k, rung);
                                Ok::<(), LabError>(())
                            };
                            if below {
                                low -= 1;
                                add(low, &mut generated.trials)?;
                            }
                            if above {
                                high += 1;
                                add(high, &mut generated.trials)?;
                            }
                        }
                    }
                }
                found.rates = rungs.keys().map(|k| rate(*k)).collect();
            }
        }
        generated.brackets.push(found);
        Ok(())
    }

    /// Asks for one learning rate with every seed; what is known of it, if nothing is missing.
    fn rung(
        &self,
        world: &World,
        batch: u64,
        rate: f64,
        setting: &Setting,
        score: &mut dyn FnMut(&str) -> Option<Score>,
        trials: &mut Vec<TrialSpec>,
    ) -> Result<Rung, LabError> {
        let mut scores = Some(Vec::new());
        for seed in &self.seeds {
            let spec = self.spec(world, batch, rate, *seed, setting)?;
            match (score(&spec.id()?), &mut scores) {
                (Some(found), Some(scores)) => scores.push(found),
                _ => scores = None,
            }
            trials.push(spec);
        }
        Ok(scores)
    }

    fn sampled(&self, values: &BTreeMap<String, Values>, index: u64) -> (u64, f64, Setting) {
        let point = sample::point(2 + values.len(), index);
        let batch = self.batches[sample::index(point[0], self.batches.len())];
        let rate = match &self.rates {
            Rates::Range(from, to) => sample::between(point[1], *from, *to, true),
            Rates::Listed(rates) => rates[sample::index(point[1], rates.len())],
            Rates::Bracket { start, .. } => *start,
        };
        let value = |values: &Values, share: f64| match values {
            Values::Listed(list) => list[sample::index(share, list.len())].clone(),
            Values::Range { from, to, log } => Parameter::Number(sample::between(share, *from, *to, *log)),
        };
        let setting = values
            .iter()
            .zip(&point[2..])
            .map(|((name, values), share)| (name.clone(), value(values, *share)));
        (batch, rate * self.rule.factor(batch), setting.collect())
    }

    fn spec(
        &self,
        world: &World,
        batch: u64,
        learning_rate: f64,
        seed: u64,
        setting: &Setting,
    ) -> Result<TrialSpec, LabError> {
        let is_command = matches!(world.trainer, TrainerSpec::Command { .. });
        let (examples, seconds) = match self.budget {
            Budget::Steps(steps) => (steps.saturating_mul(batch), None),
            Budget::Seconds(seconds) if is_command => (NO_END, Some(seconds)),
            Budget::Seconds(seconds) => {
                let Some(rate) = world.examples_per_second.get(&batch) else {
                    return Err(LabError::Input(format!(
                        "`run.budget`: the pilot at batch {batch} measured no speed, so seconds cannot become examples: give \
                         examples or epochs, or leave that batch size out"
                    )));
                };
                (((seconds * rate) as u64).max(1), None)
            }
            Budget::Length(length) => (self.resolve(world, length, "run.budget", NO_END)?, None),
        };
        let length = |key, length: Option<Length>| {
            length.map(|length| self.resolve(world, length, key, examples).map(|n| n.max(1))).transpose()
        };
        Ok(TrialSpec {
            version: VERSION,
            trainer: world.trainer.clone(),
            batch,
            learning_rate,
            seed,
            parameters: setting.clone(),
            schedule: self.schedule.clone(),
            examples,
            seconds,
            evaluate_examples: length("run.evaluate_every", self.evaluate_every)?,
            judge: self.judge,
            target: self.target,
            confirm: self.confirm,
            patience_examples: length("run.patience", self.patience)?,
            pruning: self.prune.map(|prune| prune.words(world)).transpose()?,
            code: world.code.clone(),
        })
    }

    fn resolve(&self, world: &World, length: Length, key: &str, total: u64) -> Result<u64, LabError> {
        let run = RunLength {
            total: Examples(total),
            dataset_size: world.dataset_examples,
            tokens_per_example: world.tokens_per_example,
        };
        let found = length.resolve(&run).map_err(|error| {
            LabError::Input(format!(
                "`{key}`: {error}; a command's training set is told by `trainer.dataset_size`"
            ))
        })?;
        Ok(found.0)
    }
}

impl Prune {
    /// Examples or seconds of the first rung.
    ///
    /// # Errors
    /// Epochs of a training set whose size is not known.
    pub fn first_rung(&self, world: &World) -> Result<f64, LabError> {
        match (self.unit, world.dataset_examples) {
            (RungUnit::Epochs, Some(n)) => Ok((self.first * n as f64).round().max(1.0)),
            (RungUnit::Epochs, None) => Err(LabError::Input(
                "`prune.first`: epochs need `trainer.dataset_size`; or write examples".to_owned(),
            )),
            _ => Ok(self.first),
        }
    }

    fn words(&self, world: &World) -> Result<String, LabError> {
        let unit = if self.unit == RungUnit::Seconds { "seconds" } else { "examples" };
        Ok(format!("successive halving by {} from {} {unit}", self.factor, self.first_rung(world)?))
    }
}

/// Every combination.
fn settings(values: &BTreeMap<String, Vec<Parameter>>) -> Vec<Setting> {
    values.iter().fold(vec![Setting::new()], |settings, (name, values)| {
        settings
            .iter()
            .flat_map(|setting| {
                values.iter().map(move |value| {
                    let mut setting = setting.clone();
                    setting.insert(name.clone(), value.clone());
                    setting
                })
            })
            .collect()
    })
}
