//! What makes accumulation inexact.

use std::fmt;

/// What makes accumulation inexact; the text says what to do about it.
#[derive(Debug, Clone, PartialEq)]
pub enum Cause {
    /// The same micro-batch gives other figures each time: random numbers that are drawn, not addressed.
    Randomness {
        /// What differs: the outputs, or the loss of fixed outputs.
        of: &'static str,
    },
    /// A forward pass changes what the next one gives, in the same way each time the model is built.
    State {
        /// Parameters that the forward pass has changed; empty if what changes is none.
        parameters: Vec<String>,
    },
    /// Parameters that get no gradient.
    MissingGradients {
        /// Their names, in name order.
        parameters: Vec<String>,
    },
    /// The loss or a gradient of the whole batch is infinite or not a number.
    NotFinite {
        /// The parameter, or [`super::LOSS`].
        name: String,
    },
    /// The outputs of an example depend on the others in its micro-batch.
    Companions {
        /// Layers that keep statistics of their micro-batches, in name order; empty if there are none.
        layers: Vec<String>,
        /// What differs most between the splits, a parameter or [`super::LOSS`], if anything does.
        parameter: Option<String>,
        /// The largest difference of an output, relative to the largest output; infinite where even the shape differs.
        difference: f64,
    },
    /// The loss of an example depends on the outputs of others.
    LossCouples {
        /// |Σ_j L_j − L| / |L| for the sums L_j of the parts of a batch, with its outputs fixed.
        difference: f64,
    },
    /// What the loss returns as a sum is a mean.
    LossIsMean,
    /// The weights of the parts of a batch do not add up to the weight of the batch.
    LossWeight {
        /// The weight of the batch.
        whole: f64,
        /// The sum of the weights of its parts.
        parts: f64,
    },
    /// No experiment tells.
    Unknown {
        /// What differs most, by what is allowed: a parameter, or [`super::LOSS`].
        parameter: String,
        /// Its relative difference.
        difference: f64,
        /// What rounding explains of it.
        allowed: f64,
    },
}

impl Cause {
    /// A short name that stays the same.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Randomness { .. } => "randomness",
            Self::State { .. } => "state",
            Self::MissingGradients { .. } => "missing-gradients",
            Self::NotFinite { .. } => "not-finite",
            Self::Companions { .. } => "companions",
            Self::LossCouples { .. } => "loss-couples",
            Self::LossIsMean => "loss-is-mean",
            Self::LossWeight { .. } => "loss-weight",
            Self::Unknown { .. } => "unknown",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Randomness { of } => write!(
                f,
                "{of} differ each time the same micro-batch is computed: random numbers are drawn from a generator; address them by the number of the example (batchwise_nn::layers::dropout does)"
            ),
            Self::State { parameters } if parameters.is_empty() => write!(
                f,
                "a forward pass changes what the next one gives: the model keeps a state, such as a counter or a generator of its own; take it out, or make it depend on the number of the example only"
            ),
            Self::State { parameters } => write!(
                f,
                "the forward pass changes {}: only the optimizer may, once for each batch",
                listed(parameters)
            ),
            Self::MissingGradients { parameters } => write!(
                f,
                "no gradient reaches {}: the loss does not depend on it, or a layer cuts the gradient (`audit` tells which layers of candle do)",
                listed(parameters)
            ),
            Self::NotFinite { name } => write!(
                f,
                "{} of the whole batch is not finite: nothing can be compared",
                if name == super::LOSS { name.clone() } else { format!("the gradient of `{name}`") }
            ),
            Self::Companions { layers, parameter, difference } => {
                f.write_str("the outputs of an example depend on the others in its micro-batch")?;
                match difference {
                    difference if difference.is_finite() => write!(f, " (they differ by {difference:.1e})")?,
                    _ => f.write_str(" (even their shape)")?,
                }
                match (layers.is_empty(), parameter) {
                    (false, _) => write!(
                        f,
                        ": {} normalises over the micro-batch; use group norm or layer norm, or micro-batches of one fixed size that is part of the recipe",
                        listed(layers)
                    ),
                    (true, Some(parameter)) => write!(f, ": what differs most is {}", quoted(parameter)),
                    (true, None) => Ok(()),
                }
            }
            Self::LossCouples { difference } => write!(
                f,
                "the loss of an example depends on the outputs of others (the sum over two parts differs from that of the whole by {difference:.1e}): a loss over pairs within the batch cannot be accumulated; its batch must fit in one micro-batch"
            ),
            Self::LossIsMean => f.write_str(
                "the loss returns a mean where a sum is expected: multiply it by its weight, the number of examples (or tokens) that it is averaged over",
            ),
            Self::LossWeight { whole, parts } => write!(
                f,
                "the weights of the loss do not add up: {parts} in two parts, {whole} in one; the weight must be the number of examples (or tokens) in the sum"
            ),
            Self::Unknown { parameter, difference, allowed } => write!(
                f,
                "{} differs by {difference:.1e} where rounding explains {allowed:.1e}, and no experiment tells why: a layer may compute wrongly for some sizes (batchwise_nn::audit checks gradients)",
                quoted(parameter)
            ),
        }
    }
}

fn quoted(name: &str) -> String {
    if name == super::LOSS { name.to_owned() } else { format!("`{name}`") }
}

/// The first few names, and how many there are.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| quoted(name)).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
