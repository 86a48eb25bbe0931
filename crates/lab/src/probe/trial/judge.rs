//! What a model is worth after its run.

use super::super::Context;
use super::runner::Runner;
use super::{Generalisation, Outcome};
use crate::LabError;
use batchwise_data::{Loader, Unit};
use batchwise_nn::optim::OptimizerConfig;
use batchwise_train::generalisation::{
    EigenvalueConfig, Point, SharpnessConfig, gap, sharpness, temperature, top_eigenvalue,
};
use batchwise_train::{Evaluation, evaluate, evaluate_on};
use std::sync::Arc;
use std::time::Instant;

/// The training loss is taken on so many examples, or sequences, at most.
const TRAIN_LOSS_ON: [u64; 2] = [10_000, 1000];

/// The losses after the run.
pub(super) fn judge(
    context: &Context<'_>,
    runner: &Runner,
    batch: u64,
    outcome: &mut Outcome,
) -> Result<Option<(Evaluation, Evaluation)>, LabError> {
    let mut loader = Loader::sequential(Arc::clone(&context.data.train), context.device.clone())?;
    let is_text = context.data.train.schema().unit == Unit::Token;
    let judged = context.data.train.len().min(TRAIN_LOSS_ON[usize::from(is_text)]);
    let on_train = evaluate_on(runner.task(), &mut loader, 0..judged, batch)?;
    let begun = Instant::now();
    let on_test = evaluate(runner.task(), &context.data.test, batch)?;
    outcome.evaluation_seconds.get_or_insert(begun.elapsed().as_secs_f64());
    if !(on_train.loss.is_finite() && on_test.loss.is_finite()) {
        outcome.diverged = Some("the loss after training is not finite".to_owned());
        return Ok(None);
    }
    outcome.train_loss = Some(on_train.loss);
    outcome.test_loss = Some(on_test.loss);
    outcome.test_loss_error = on_test.loss_error;
    outcome.test_accuracy = on_test.accuracy;
    outcome.test_accuracy_error = on_test.accuracy_error();
    Ok(Some((on_train, on_test)))
}

/// How the trained model generalises, on the first `n_examples` of the training set.
pub(super) fn generalisation(
    context: &Context<'_>,
    runner: &Runner,
    (on_train, on_test): (&Evaluation, &Evaluation),
    n_examples: u64,
    batch: u64,
) -> Result<Generalisation, LabError> {
    let (task, n) = (runner.task(), context.data.train.len());
    let mut loader = Loader::sequential(Arc::clone(&context.data.train), context.device.clone())?;
    let mut point = Point::new(task, &mut loader, 0..n_examples.min(n), batch)?;
    let plan = runner.plan();
    let temperature = match runner.run().optimizer {
        OptimizerConfig::Sgd(sgd) if sgd.dampening == 0.0 => {
            Some(temperature(plan.schedule().peak().0, plan.base().min(n), n, sgd.momentum)?)
        }
        // Of a step that is divided by the gradient's own size the number says nothing.
        _ => None,
    };
    Ok(Generalisation {
        gap: gap(on_train, on_test),
        sharpness: sharpness(&mut point, &SharpnessConfig::USUAL)?,
        top_eigenvalue: top_eigenvalue(&mut point, &EigenvalueConfig::USUAL)?,
        temperature,
    })
}
