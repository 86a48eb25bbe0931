//! The temperature of the gradient noise.

use crate::TrainError;

/// T = η/B · (N − B)/(N − 1) / (1 − μ): how strongly the noise of batches of B out of N examples shakes the parameters at
/// learning rate η and momentum μ.
///
/// η/(1 − μ) is the learning rate that heavy-ball momentum amounts to (with a momentum buffer that is not damped). A
/// mean gradient over B examples drawn without replacement has the variance tr Σ/B · (N − B)/(N − 1) (theory.md §1.6), which
/// is 0 for the whole set. Times N and for B ≪ N this is Smith & Le's noise scale (2018, g ≈ ηN/(B(1 − μ))). It is a
/// number to compare runs of SGD by, of one model on one data set; what φ does with it is contested (theory.md §1.8).
/// Unit: learning rate per example.
///
/// # Errors
/// A learning rate that is not finite or below 0; a batch of 0 or above N; a momentum not in [0, 1).
///
/// ```
/// use batchwise_train::generalisation::temperature;
///
/// let t = temperature(0.1, 100, 50_000, 0.9)?;
/// assert!((t - 0.1 / 100.0 * 49_900.0 / 49_999.0 * 10.0).abs() < 1e-15);
/// assert_eq!(temperature(0.1, 500, 500, 0.0)?, 0.0);
/// # Ok::<(), batchwise_train::TrainError>(())
/// ```
pub fn temperature(
    learning_rate: f64,
    batch: u64,
    n_examples: u64,
    momentum: f64,
) -> Result<f64, TrainError> {
    let config = |name, found: String, allowed| Err(TrainError::Config { name, found, allowed });
    if !(learning_rate.is_finite() && 0.0 <= learning_rate) {
        return config("the learning rate", learning_rate.to_string(), "finite and not negative");
    }
    if batch == 0 || n_examples < batch {
        return config(
            "the batch size of a temperature",
            batch.to_string(),
            "1 to the size of the training set",
        );
    }
    if !(0.0..1.0).contains(&momentum) {
        return config("the momentum", momentum.to_string(), "at least 0 and below 1");
    }
    // The only batch of a set of one example is the whole set.
    let finite = (n_examples - batch) as f64 / (n_examples - 1).max(1) as f64;
    Ok(learning_rate / batch as f64 * finite / (1.0 - momentum))
}
