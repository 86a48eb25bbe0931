//! A small world whose sweeps are known beforehand: SGD on a noisy quadratic, with noise over seeds.

use crate::sweep::{Bracket, SweepFile};
use crate::trial::{
    Attempt, AttemptEnd, EndKind, EndOfTrial, Evaluation, Judge, Measured, Parameter, Reached, Span, State,
    Target, TrainerSpec, TrialRecord, TrialResult, TrialSpec, VERSION,
};
use batchwise_estimate::oracle::quadratic::Quadratic;
use batchwise_estimate::oracle::{Optimizer, Setting, Tuned};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// A sweep in a world with a known answer.
pub(crate) struct World {
    pub(crate) batches: Vec<u64>,
    pub(crate) seeds: u64,
    /// Standard deviation of ln S between runs.
    pub(crate) noise: f64,
    /// Examples after which a run ends, in units of E_min.
    pub(crate) budget: f64,
    pub(crate) has_target: bool,
    /// Learning rates a factor of √2 apart on each side of the best.
    pub(crate) reach: i32,
    /// A further hyper-parameter: its name and values, each of which multiplies the noise of the steps.
    pub(crate) parameter: Option<(&'static str, Vec<f64>)>,
    pub(crate) salt: u64,
    model: Quadratic,
}

/// The loss that is to be reached.
pub(crate) const TARGET: f64 = 0.02;
/// Seconds of a step, and of each example in it.
pub(crate) const OVERHEAD: f64 = 2e-3;
pub(crate) const PER_EXAMPLE: f64 = 1e-5;

impl World {
    pub(crate) fn usual() -> Self {
        let (has_target, reach, parameter) = (true, 4, None);
        let model = Quadratic::zhang(60).unwrap();
        let batches = (1..=9).map(|k| 1 << k).collect();
        Self { batches, seeds: 3, noise: 0.04, budget: 14.0, has_target, reach, parameter, salt: 0, model }
    }

    /// The sweep of the usual world, which many tests start from.
    pub(crate) fn usual_sweep() -> (SweepFile, Vec<TrialRecord>) {
        static USUAL: OnceLock<(SweepFile, Vec<TrialRecord>)> = OnceLock::new();
        USUAL.get_or_init(|| Self::usual().sweep()).clone()
    }

    /// The best learning rate and the steps there, without noise.
    pub(crate) fn best(&self, batch: f64) -> Tuned {
        self.model.best_learning_rate(Optimizer::Sgd, batch, TARGET, 1 << 40).unwrap().unwrap()
    }

    /// E_min, the examples at a vanishing batch size.
    pub(crate) fn e_min(&self) -> f64 {
        let batch = 1.0 / 64.0;
        batch * self.best(batch).crossing
    }

    /// B_c = E_min/S_min, by the definition of both.
    pub(crate) fn b_crit(&self) -> f64 {
        self.e_min() / self.best(1e7).crossing
    }

    /// The sweep and its records.
    pub(crate) fn sweep(&self) -> (SweepFile, Vec<TrialRecord>) {
        let (mut records, mut brackets) = (Vec::new(), Vec::new());
        let values =
            self.parameter.as_ref().map_or_else(|| vec![None], |p| p.1.iter().copied().map(Some).collect());
        for value in values {
            for &batch in &self.batches {
                let rates = self.rates(batch);
                for &rate in &rates {
                    records.extend((1..=self.seeds).map(|seed| self.record(batch, rate, seed, value)));
                }
                let name = self.parameter.as_ref().map_or("", |p| p.0);
                let parameters = value.map_or_else(String::new, |value| format!("{name}={value}"));
                brackets.push(Bracket {
                    batch,
                    parameters,
                    rates,
                    widened: u64::from(batch == 2),
                    at_edge: false,
                });
            }
        }
        let machine = [("device", "cpu"), ("threads", "2"), ("jobs at once", "1")];
        let file = SweepFile {
            version: 1,
            name: "quadratic".to_owned(),
            trainer: "a noisy quadratic".to_owned(),
            unit: "examples".to_owned(),
            dataset_examples: None,
            trials: records.iter().map(|record| record.id.clone()).collect(),
            brackets,
            is_complete: true,
            machine: machine.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        };
        (file, records)
    }

    /// A grid that is the same for all batch sizes, cut around the best.
    fn rates(&self, batch: u64) -> Vec<f64> {
        let middle = (self.best(batch as f64).learning_rate.log2() * 2.0).round() as i32;
        (middle - self.reach..=middle + self.reach).map(|k| 2f64.powf(f64::from(k) / 2.0)).collect()
    }

    fn record(&self, batch: u64, rate: f64, seed: u64, value: Option<f64>) -> TrialRecord {
        let mut parameters = BTreeMap::new();
        if let (Some((name, _)), Some(value)) = (&self.parameter, value) {
            parameters.insert((*name).to_owned(), Parameter::Number(value));
        }
        let period = (self.e_min() / 24.0).max(1.0).round() as u64;
        let spec = TrialSpec {
            version: VERSION,
            trainer: TrainerSpec::Command { command: vec!["quadratic".to_owned()], files: BTreeMap::new() },
            batch,
            learning_rate: rate,
            seed,
            parameters,
            schedule: "constant".to_owned(),
            examples: (self.budget * self.e_min()) as u64,
            seconds: None,
            evaluate_examples: Some(period),
            judge: Judge::LOSS,
            target: self.has_target.then_some(Target { judge: Judge::LOSS, value: TARGET }),
            confirm: 1,
            patience_examples: None,
            pruning: None,
            code: "1".to_owned(),
        };
        let id = spec.id().unwrap();
        let salt = self.salt.wrapping_add(batch << 20).wrapping_add(seed << 40).wrapping_add(rate.to_bits());
        let slower = value.unwrap_or(1.0) * (self.noise * normal(salt)).exp();
        let result = self.run(&spec, slower);
        let step = (OVERHEAD + PER_EXAMPLE * batch as f64) * (0.02 * normal(salt ^ 7)).exp();
        let seconds = step * result.steps as f64;
        let measured = Measured {
            seconds,
            seconds_to_target: result.reached.map(|reached| step * reached.steps.value),
            wall_seconds: seconds * 1.1,
            step_seconds: Some(step),
            evaluation_seconds: Some(0.01),
            peak_bytes: Some((50 << 20) + (batch << 18)),
            noise_scale: Some(self.b_crit() * (0.2 * normal(salt ^ 11)).exp()),
        };
        let attempts = vec![Attempt { log: "log-0.1.1.jsonl".to_owned(), at: 1_785_585_599, end: None }];
        TrialRecord {
            id,
            spec,
            state: State::Done,
            result: Some(result),
            measured: Some(measured),
            failed: None,
            attempts,
            differs: false,
        }
    }

    /// A run whose every step does what 1/`slower` steps do.
    fn run(&self, spec: &TrialSpec, slower: f64) -> TrialResult {
        let setting = Setting::sgd(spec.batch as f64, spec.learning_rate);
        let batch = spec.batch;
        let loss = |steps: f64| -> Option<f64> {
            let at = |t: f64| self.model.loss(&setting, t as u64).ok().filter(|loss| loss.is_finite());
            let t = steps / slower;
            let (a, b) = (at(t.floor())?, at(t.ceil())?);
            Some(a + (b - a) * t.fract())
        };
        let most = spec.examples.div_ceil(batch);
        let period = spec.evaluate_examples.unwrap_or(1).div_ceil(batch);
        let mut result = TrialResult {
            version: VERSION,
            trial: String::new(),
            end: EndOfTrial::Finished,
            examples: 0,
            steps: 0,
            train_loss: None,
            loss: None,
            metric: None,
            reached: None,
            evaluations: Vec::new(),
            weights_sha256: None,
        };
        let start = self.model.start_loss();
        while result.steps < most {
            let before = result.steps;
            result.steps = (result.steps + period).min(most);
            result.examples = result.steps * batch;
            let Some(loss) = loss(result.steps as f64).filter(|loss| *loss < 20.0 * start) else {
                result.end =
                    EndOfTrial::Diverged { why: format!("the loss is no longer finite after step {before}") };
                (result.loss, result.reached) = (None, None);
                return result;
            };
            let (examples, steps) = (result.examples, result.steps);
            result.evaluations.push(Evaluation {
                examples,
                steps,
                loss: Some(loss),
                ..Evaluation::default()
            });
            result.loss = Some(loss);
            if spec.target.is_some_and(|target| target.is_met(loss)) {
                let (low, high) = (before as f64, steps as f64);
                let span = Span { low, high, value: f64::midpoint(low, high) };
                let unit = batch as f64;
                let examples = Span { low: low * unit, high: high * unit, value: span.value * unit };
                result.reached = Some(Reached { examples, steps: span, value: loss });
                result.end = EndOfTrial::Target;
                return result;
            }
        }
        result
    }
}

/// A normal draw, a pure function of its number.
fn normal(n: u64) -> f64 {
    let mix = |n: u64| {
        let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    let (u, v) = (mix(n), mix(n ^ 0x5555_5555));
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Gives a trial up.
pub(crate) fn fail(record: &mut TrialRecord, kind: EndKind, reason: &str) {
    let end = AttemptEnd { at: 1, kind, reason: reason.to_owned() };
    record.state = if kind == EndKind::Cancelled { State::Cancelled } else { State::Failed };
    (record.result, record.measured) = (None, None);
    record.attempts = vec![Attempt { log: "log-0.1.1.jsonl".to_owned(), at: 1, end: Some(end.clone()) }];
    record.failed = Some(end);
}

/// Takes a trial's result away.
pub(crate) fn forget(record: &mut TrialRecord) {
    (record.result, record.measured, record.state) = (None, None, State::Waiting);
    record.attempts.clear();
}

/// Stops a trial early, after a share of its examples.
pub(crate) fn prune(record: &mut TrialRecord, share: f64) {
    let Some(result) = &mut record.result else { return };
    let rung = (share * result.examples as f64).floor();
    result.evaluations.retain(|e| e.examples as f64 <= rung);
    let last = result.evaluations.last().copied().unwrap_or_default();
    (result.examples, result.steps, result.loss) = (last.examples, last.steps, last.loss);
    (result.reached, result.end) = (None, EndOfTrial::Pruned { rung });
}
