//! Trials as their files, small ones.

use crate::sweep::{Root, SweepFile};
use crate::trial::{
    AttemptEnd, Begin, EndKind, EndOfTrial, Evaluation, LogLine, Measured, Parameter, Reached, Span,
    TrainerSpec, TrialFolder, TrialRecord, TrialResult, TrialSpec, VERSION,
};
use crate::trial::{Judge, State};
use std::collections::BTreeMap;

pub(crate) fn spec(batch: u64, learning_rate: f64, seed: u64) -> TrialSpec {
    TrialSpec {
        version: VERSION,
        trainer: TrainerSpec::Command { command: vec!["train".to_owned()], files: BTreeMap::new() },
        batch,
        learning_rate,
        seed,
        parameters: BTreeMap::new(),
        schedule: "constant".to_owned(),
        examples: 100_000,
        seconds: None,
        evaluate_examples: Some(1000),
        judge: Judge::LOSS,
        target: Some("loss <= 0.1".parse().unwrap()),
        confirm: 1,
        patience_examples: None,
        pruning: None,
        code: "1".to_owned(),
    }
}

pub(crate) fn result(id: &str) -> TrialResult {
    let span = |value: f64| Span { low: value - 1.0, high: value + 1.0, value };
    TrialResult {
        version: VERSION,
        trial: id.to_owned(),
        end: EndOfTrial::Target,
        examples: 1000,
        steps: 125,
        train_loss: Some(0.3),
        loss: Some(0.1),
        metric: None,
        reached: Some(Reached { examples: span(990.5), steps: span(123.25), value: 0.1 }),
        evaluations: vec![Evaluation {
            examples: 1000,
            steps: 125,
            loss: Some(0.1),
            ..Evaluation::default()
        }],
        weights_sha256: Some("ab".repeat(32)),
    }
}

pub(crate) fn measured() -> Measured {
    Measured {
        seconds: 1.5,
        seconds_to_target: Some(1.25),
        wall_seconds: 2.5,
        step_seconds: None,
        evaluation_seconds: Some(0.1 + 0.2),
        peak_bytes: Some(1 << 33),
        noise_scale: None,
    }
}

/// A trial that is done, made up.
pub(crate) fn record(batch: u64, learning_rate: f64, seed: u64) -> TrialRecord {
    let spec = spec(batch, learning_rate, seed);
    let id = spec.id().unwrap();
    let (result, measured) = (Some(result(&id)), Some(measured()));
    let (state, failed, attempts, differs) = (State::Done, None, Vec::new(), false);
    TrialRecord { id, spec, state, result, measured, failed, attempts, differs }
}

pub(crate) fn create(root: &Root, spec: &TrialSpec) -> TrialFolder {
    let folder = root.trial(&spec.id().unwrap());
    folder.create(spec).unwrap();
    folder
}

/// A trial without an attempt.
pub(crate) fn waiting(root: &Root, batch: u64, learning_rate: f64, seed: u64) -> TrialFolder {
    create(root, &spec(batch, learning_rate, seed))
}

pub(crate) fn step(examples: u64) -> LogLine {
    LogLine::Step {
        examples,
        steps: examples / 8,
        seconds: examples as f64 * 1e-3,
        train_loss: Some(1.0 / (1.0 + examples as f64)),
        micro_norm2: (examples > 100).then_some(3.5),
        batch_norm2: None,
        micro_batch: Some(4),
    }
}

pub(crate) fn evaluation(examples: u64, loss: f64) -> LogLine {
    let evaluation = Evaluation { examples, steps: examples / 8, loss: Some(loss), ..Evaluation::default() };
    LogLine::Evaluation { seconds: examples as f64 * 1e-3, evaluation }
}

/// A trial with an attempt that was killed, and one that brought the result.
pub(crate) fn done(root: &Root, batch: u64, learning_rate: f64, seed: u64) -> TrialFolder {
    let folder = waiting(root, batch, learning_rate, seed);
    let mut killed = folder.begin(&Begin { at: 100, pid: 1, ..Begin::default() }).unwrap();
    for line in [step(40), step(400), evaluation(500, 0.25), step(600)] {
        killed.write(&line).unwrap();
    }
    let reason = "a signal,\nsaid \"kill\"".to_owned();
    folder.write_end(killed.name(), &AttemptEnd { at: 110, kind: EndKind::Killed, reason }).unwrap();
    let begin = Begin { at: 120, pid: 2, resumed_at: Some(400), ..Begin::default() };
    let mut log = folder.begin(&begin).unwrap();
    let text = LogLine::Text { text: "hello".to_owned() };
    for line in [text, evaluation(500, 0.25), step(1000), evaluation(1000, 0.1), LogLine::End(measured())] {
        log.write(&line).unwrap();
    }
    folder.publish(&result(folder.id()), log.name()).unwrap();
    folder
}

/// A trial that was given up, with parameters.
pub(crate) fn failed(root: &Root, batch: u64) -> TrialFolder {
    let mut spec = spec(batch, 0.5, u64::MAX);
    spec.parameters.insert("odd \"name\",\nof it".to_owned(), Parameter::Text("a,\"b\"\nc".to_owned()));
    spec.parameters.insert("momentum".to_owned(), Parameter::Number(0.9));
    let folder = create(root, &spec);
    let log = folder.begin(&Begin { at: 7, pid: 3, ..Begin::default() }).unwrap();
    let end = AttemptEnd { at: 9, kind: EndKind::Memory, reason: "took 3 GiB".to_owned() };
    folder.write_end(log.name(), &end).unwrap();
    folder.write_failed(&end).unwrap();
    folder
}

pub(crate) fn sweep(root: &Root, name: &str, trials: &[&TrialFolder]) -> SweepFile {
    let file = SweepFile {
        version: VERSION,
        name: name.to_owned(),
        trainer: "train".to_owned(),
        unit: "examples".to_owned(),
        dataset_examples: None,
        trials: trials.iter().map(|folder| folder.id().to_owned()).collect(),
        brackets: Vec::new(),
        is_complete: false,
        machine: BTreeMap::new(),
    };
    file.write(root).unwrap();
    file
}
