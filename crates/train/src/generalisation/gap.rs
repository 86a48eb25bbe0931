//! How much worse a model does on the test set than on the training set.

use crate::Evaluation;
use batchwise_estimate::grade::Grade;
use serde::{Deserialize, Serialize};

/// The gap between training and test set; above 0 where the model does better on what it learnt from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// Test loss − training loss; `None` where one of them is not finite.
    pub loss: Option<f64>,
    /// Its standard error from the finite number of examples on both sides.
    pub loss_error: Option<f64>,
    /// Training accuracy − test accuracy, where targets are classes.
    pub accuracy: Option<f64>,
    /// Its standard error.
    pub accuracy_error: Option<f64>,
    /// [`Grade::Measured`]; [`Grade::Approximate`] where an error is missing; [`Grade::NotIdentified`] without a loss.
    pub grade: Grade,
    /// What the grade means here, where it is not measured.
    pub why: Option<String>,
}

/// The gap between two evaluations of the same parameters, both in evaluation mode.
///
/// The two sets hold different examples, so the errors add in squares. They are of this model on more examples, not of
/// more runs: another seed moves the gap, too, and a claim about batch sizes needs several (theory.md §5.5).
///
/// ```
/// use batchwise_train::Evaluation;
/// use batchwise_train::generalisation::gap;
///
/// let at = |loss, accuracy| Evaluation {
///     loss,
///     loss_error: Some(0.03),
///     accuracy: Some(accuracy),
///     n_examples: 900,
/// };
/// let gap = gap(&at(0.2, 0.9), &at(0.5, 0.8));
/// assert!((gap.loss.unwrap() - 0.3).abs() < 1e-12 && (gap.accuracy.unwrap() - 0.1).abs() < 1e-12);
/// assert!((gap.loss_error.unwrap() - 0.03 * 2f64.sqrt()).abs() < 1e-12);
/// ```
#[must_use]
pub fn gap(train: &Evaluation, test: &Evaluation) -> Gap {
    let both =
        |a: Option<f64>, b: Option<f64>| Some((a?, b?)).filter(|(a, b)| a.is_finite() && b.is_finite());
    let error = |pair: Option<(f64, f64)>| pair.map(|(a, b)| a.hypot(b));
    let loss = both(Some(train.loss), Some(test.loss)).map(|(train, test)| test - train);
    let accuracy = both(train.accuracy, test.accuracy).map(|(train, test)| train - test);
    let loss_error = error(both(train.loss_error, test.loss_error)).filter(|_| loss.is_some());
    let accuracy_error =
        error(both(train.accuracy_error(), test.accuracy_error())).filter(|_| accuracy.is_some());
    let (grade, why) = match (loss, loss_error) {
        (None, _) => {
            let why = format!("the losses are {} in training and {} in testing", train.loss, test.loss);
            (Grade::NotIdentified, Some(why))
        }
        (_, None) => {
            let why = "too few examples to tell the error of the loss: evaluate on 2 or more on each side";
            (Grade::Approximate, Some(why.to_owned()))
        }
        _ => (Grade::Measured, None),
    };
    Gap { loss, loss_error, accuracy, accuracy_error, grade, why }
}
