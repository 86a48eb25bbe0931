//! Under which tag each number stands.

use super::super::{EvaluationRecord, Record};
use batchwise_estimate::fieller::Ratio;

/// The scalars of a stretch of training; what was not measured is left out.
pub(super) fn step(record: &Record) -> Vec<(String, f64)> {
    let phi = record.phi.as_ref();
    let mean =
        |sum: Option<f64>| sum.filter(|_| 0 < record.n_readings).map(|sum| sum / record.n_readings as f64);
    let mut values: Vec<(String, f64)> = [
        ("loss/train", Some(record.loss)),
        ("learning_rate", Some(record.learning_rate)),
        ("batch_size", Some(record.batch_size as f64)),
        ("micro_batches", Some(record.n_micro_batches as f64)),
        ("epoch", Some(record.epoch)),
        ("steps", Some(record.steps as f64)),
        ("gradient_norm", record.gradient_norm),
        ("update_norm", record.update_norm),
        ("clipped", record.clipped),
        ("skipped", Some(record.skipped as f64)),
        ("examples_per_second", Some(record.examples_per_second)),
        ("data_wait_seconds", Some(record.data_wait_seconds)),
        ("noise/phi", phi.and_then(Ratio::value)),
        ("noise/phi_low", phi.and_then(Ratio::low)),
        ("noise/phi_high", phi.and_then(Ratio::high)),
        ("noise/g2", mean(record.g2)),
        ("noise/tr_sigma", mean(record.tr_sigma)),
    ]
    .into_iter()
    .filter_map(|(tag, value)| Some((tag.to_owned(), value?)))
    .collect();
    for (name, g2, tr_sigma) in record.groups.iter().flatten() {
        let group = |tag: &str, sum| mean(Some(sum)).map(|mean| (format!("{tag}/{name}"), mean));
        values.extend(group("noise_g2", *g2));
        values.extend(group("noise_tr_sigma", *tr_sigma));
    }
    values
}

/// The scalars of an evaluation.
pub(super) fn evaluation(record: &EvaluationRecord) -> Vec<(String, f64)> {
    // `loss/train` is the loss that training itself sees.
    let set = if record.set == "train" { "train_evaluated" } else { &record.set };
    [
        ("loss", Some(record.loss)),
        ("loss_error", record.loss_error),
        ("accuracy", record.accuracy),
        ("accuracy_error", record.accuracy_error),
    ]
    .into_iter()
    .filter_map(|(tag, value)| Some((format!("{tag}/{set}"), value?)))
    .collect()
}
