//! Records of all kinds, to write.

use batchwise_estimate::fieller::Ratio;
use batchwise_train::observe::{
    Csv, EvaluationRecord, JsonLines, ObserveError, Observer, PreconditionedSums, Record,
};
use batchwise_train::observe::{Table, TensorBoard, event_file_name};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// When all runs of these tests began.
pub(crate) const STARTED: u64 = 1_700_000_000;

pub(crate) fn started() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(STARTED)
}

/// What an observer may be told.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    Step(Record),
    Evaluation(EvaluationRecord),
}

impl Told {
    pub(crate) fn to(&self, observer: &mut dyn Observer) -> Result<(), ObserveError> {
        match self {
            Self::Step(record) => observer.record(record),
            Self::Evaluation(record) => observer.evaluation(record),
        }
    }
}

/// A file observer of any kind.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    JsonLines,
    Csv(Table),
    TensorBoard,
}

pub(crate) const KINDS: [Kind; 5] = [
    Kind::JsonLines,
    Kind::Csv(Table::Steps),
    Kind::Csv(Table::Evaluations),
    Kind::Csv(Table::Groups),
    Kind::TensorBoard,
];

impl Kind {
    pub(crate) fn path(self, folder: &Path) -> PathBuf {
        folder.join(match self {
            Self::JsonLines => "run.jsonl".to_owned(),
            Self::Csv(table) => format!("{table:?}.csv"),
            Self::TensorBoard => event_file_name(started()),
        })
    }

    pub(crate) fn create(self, folder: &Path) -> Box<dyn Observer> {
        let path = self.path(folder);
        match self {
            Self::JsonLines => Box::new(JsonLines::create(&path).unwrap()),
            Self::Csv(table) => Box::new(Csv::create(&path, table).unwrap()),
            Self::TensorBoard => Box::new(TensorBoard::create(&path, started()).unwrap()),
        }
    }

    pub(crate) fn resume(self, folder: &Path, length: u64) -> Result<Box<dyn Observer>, ObserveError> {
        let path = self.path(folder);
        Ok(match self {
            Self::JsonLines => Box::new(JsonLines::resume(&path, length)?),
            Self::Csv(table) => Box::new(Csv::resume(&path, table, length)?),
            Self::TensorBoard => Box::new(TensorBoard::resume(&path, length)?),
        })
    }
}

/// A step and an evaluation with everything in them.
pub(crate) fn full(i: u64) -> [Told; 2] {
    let x = i as f64;
    let step = Record {
        examples: 100 * (i + 1),
        steps: i + 1,
        epoch: 0.1 * (x + 1.0),
        seconds: 0.25 * (x + 1.0),
        batch: 100,
        batch_size: 128,
        n_micro_batches: 4,
        loss: 2.0 / (x + 1.0),
        learning_rate: 0.1 + 0.01 * x,
        gradient_norm: Some(1.5 + x),
        update_norm: Some(0.015),
        clipped: Some(0.25),
        skipped: i,
        g2: Some(6.0),
        tr_sigma: Some(600.0 + x),
        n_readings: 3,
        preconditioned: Some(PreconditionedSums {
            inverse_curvature_g2: 0.5,
            inverse_curvature_tr_sigma: 50.0,
            identity_curvature_g2: 0.1,
            identity_curvature_tr_sigma: 20.0,
            n_readings: 3,
        }),
        phi: Some(Ratio::Measured { value: 100.0 + x, low: 50.0, high: 200.5 }),
        examples_per_second: 1234.5,
        data_wait_seconds: 0.001,
        groups: Some(vec![("fc1.weight".to_owned(), 3.0, 300.0), ("a, \"b\"".to_owned(), 3.0, 300.0)]),
    };
    let evaluation = EvaluationRecord {
        examples: step.examples,
        steps: step.steps,
        seconds: step.seconds,
        set: if i.is_multiple_of(2) { "test" } else { "train" }.to_owned(),
        loss: 1.0 / (x + 1.0),
        loss_error: Some(0.01),
        accuracy: Some(0.9),
        accuracy_error: Some(0.003),
    };
    [Told::Step(step), Told::Evaluation(evaluation)]
}

/// All there are, infinite ones and those that are no number too (one of those, since they do not differ in meaning).
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        proptest::num::f64::ANY.prop_map(|x| if x.is_nan() { f64::NAN } else { x }),
        -10.0..10.0f64,
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
    ]
}

fn text() -> impl Strategy<Value = String> {
    let char =
        prop_oneof![proptest::char::any(), prop::sample::select(vec!['"', ',', '\n', '\r', '\\', '/', 'a'])];
    proptest::collection::vec(char, 0..6).prop_map(String::from_iter)
}

fn ratio() -> impl Strategy<Value = Ratio> {
    prop_oneof![
        (0.0..1e9f64, 0.0..1e9f64, 0.0..1e9f64).prop_map(|(value, low, high)| Ratio::Measured {
            value,
            low,
            high
        }),
        (1e-9..1e9f64).prop_map(|low| Ratio::LowerBound { low }),
        Just(Ratio::WholeLine),
        text().prop_map(Ratio::not_identified),
    ]
}

fn maybe() -> impl Strategy<Value = Option<f64>> {
    proptest::option::of(number())
}

/// Seconds are finite and examples below 2⁶³, as every writer takes them.
pub(crate) fn step() -> impl Strategy<Value = Record> {
    let counts = (0..=i64::MAX as u64, any::<[u64; 6]>());
    let numbers = (0.0..1e9f64, [number(), number(), number(), number()], number());
    let optional = (maybe(), maybe(), maybe(), maybe(), maybe(), proptest::option::of(ratio()));
    let groups = proptest::option::of(proptest::collection::vec((text(), number(), number()), 0..3));
    (counts, numbers, optional, groups).prop_map(|(counts, numbers, optional, groups)| {
        let (examples, [steps, batch, batch_size, n_micro_batches, skipped, n_readings]) = counts;
        let (seconds, [epoch, loss, learning_rate, examples_per_second], data_wait_seconds) = numbers;
        let (gradient_norm, update_norm, clipped, g2, tr_sigma, phi) = optional;
        let preconditioned = g2.zip(tr_sigma).map(|(g2, tr_sigma)| PreconditionedSums {
            inverse_curvature_g2: g2,
            inverse_curvature_tr_sigma: tr_sigma,
            identity_curvature_g2: loss,
            identity_curvature_tr_sigma: epoch,
            n_readings,
        });
        Record {
            examples,
            steps,
            epoch,
            seconds,
            batch,
            batch_size,
            n_micro_batches,
            loss,
            learning_rate,
            gradient_norm,
            update_norm,
            clipped,
            skipped,
            g2,
            tr_sigma,
            n_readings,
            preconditioned,
            phi,
            examples_per_second,
            data_wait_seconds,
            groups,
        }
    })
}

pub(crate) fn evaluation() -> impl Strategy<Value = EvaluationRecord> {
    (0..=i64::MAX as u64, any::<u64>(), 0.0..1e9f64, text(), number(), maybe(), maybe(), maybe()).prop_map(
        |(examples, steps, seconds, set, loss, loss_error, accuracy, accuracy_error)| EvaluationRecord {
            examples,
            steps,
            seconds,
            set,
            loss,
            loss_error,
            accuracy,
            accuracy_error,
        },
    )
}

pub(crate) fn told() -> impl Strategy<Value = Vec<Told>> {
    let one = prop_oneof![step().prop_map(Told::Step), evaluation().prop_map(Told::Evaluation)];
    proptest::collection::vec(one, 0..8)
}
