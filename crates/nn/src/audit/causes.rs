//! What is known to be wrong with gradients in candle.

use super::judge::Outcome;
use super::report::Report;
use std::fmt;

/// The candle version whose defects [`known_causes`] lists and whose layers [`stock`](super::stock()) runs.
pub const CANDLE_VERSION: &str = "0.11.1";

/// How a defect shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symptom {
    /// All gradients from there back to the inputs are multiplied by one factor.
    Scaled,
    /// Gradients have wrong values.
    Wrong,
    /// There is no gradient, and nothing says so.
    Cut,
    /// The output itself is wrong.
    WrongValue,
    /// The forward or backward pass ends with an error or a panic.
    Refused,
}

/// A defect of candle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownCause {
    /// The layers and operations that have it, as the cases of [`stock`](super::stock()) name them.
    pub layers: &'static [&'static str],
    /// How it shows.
    pub symptom: Symptom,
    /// What is wrong.
    pub cause: &'static str,
    /// Numbers of candle's issues and pull requests (huggingface/candle); empty where none was found.
    pub threads: &'static str,
    /// What to use in its place.
    pub instead: &'static str,
}

impl fmt::Display for KnownCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads = if self.threads.is_empty() { "no issue found" } else { self.threads };
        writeln!(f, "- {}: {}", self.layers.join(", "), self.cause)?;
        write!(f, "  ({threads}) instead: {}", self.instead)
    }
}

/// The defects of candle [`CANDLE_VERSION`] that touch gradients, as [`stock`](super::stock()) shows them.
pub fn known_causes() -> &'static [KnownCause] {
    CAUSES
}

/// The cause that a layer is known to show this symptom by.
pub(super) fn of(layer: &str, symptom: Symptom) -> Option<&'static KnownCause> {
    CAUSES.iter().find(|cause| cause.symptom == symptom && cause.layers.contains(&layer))
}

/// The causes that may explain the faults of a report: those of the layer it names, else of all layers.
pub(super) fn diagnose(report: &Report) -> Vec<&'static KnownCause> {
    let names = |cause: &KnownCause| cause.layers.contains(&report.subject.as_str());
    let is_known = CAUSES.iter().any(names);
    let explains = |cause: &KnownCause| {
        report.faults().any(|check| {
            symptom(&check.outcome) == Some(cause.symptom)
                && (is_known || explains(cause, &check.outcome, check.shape.len()))
        })
    };
    CAUSES.iter().filter(|cause| !is_known || names(cause)).filter(|cause| explains(cause)).collect()
}

pub(super) fn symptom(outcome: &Outcome) -> Option<Symptom> {
    match outcome {
        Outcome::Scaled { .. } => Some(Symptom::Scaled),
        Outcome::Wrong { .. } => Some(Symptom::Wrong),
        Outcome::Cut { .. } => Some(Symptom::Cut),
        _ => None,
    }
}

/// Whether an outcome that shows the symptom of a cause fits it in detail, too.
fn explains(cause: &KnownCause, outcome: &Outcome, rank: usize) -> bool {
    match outcome {
        Outcome::Scaled { factor } => is_share_of_windows(*factor),
        // Only the kernel of a conv1d has three dimensions.
        Outcome::Wrong { .. } => cause.layers.contains(&"conv1d") == (rank == 3),
        // What has a backward pass that gives nothing is none of candle's layers.
        Outcome::Cut { in_graph } => !in_graph,
        _ => true,
    }
}

/// Whether a factor is 1/k² for a window of k×k, or for several pools in a row: of k₁k₂….
fn is_share_of_windows(factor: f64) -> bool {
    let k = (1.0 / factor).sqrt();
    1.5 < k && (k - k.round()).abs() < 1e-2
}

static CAUSES: &[KnownCause] = &[
    KnownCause {
        layers: &["max_pool2d"],
        symptom: Symptom::Scaled,
        cause: "the backward pass multiplies by the mean of the window's mask, 1/k² for a k×k window",
        threads: "",
        instead: "batchwise_nn::ops::max_pool2d",
    },
    KnownCause {
        layers: &["max_pool2d", "avg_pool2d"],
        symptom: Symptom::Wrong,
        cause: "where the window does not divide the image, the backward pass stretches the gradient over the rest too and misplaces it",
        threads: "",
        instead: "batchwise_nn::ops::max_pool2d, avg_pool2d",
    },
    KnownCause {
        layers: &["max_pool2d", "avg_pool2d"],
        symptom: Symptom::Refused,
        cause: "there is no backward pass where the stride is not the window",
        threads: "",
        instead: "batchwise_nn::ops::max_pool2d, avg_pool2d",
    },
    KnownCause {
        layers: &["conv1d"],
        symptom: Symptom::Wrong,
        cause: "the gradient of the weight convolves with a kernel that is not contiguous, which is read as if it were; that of the input goes through conv_transpose1d",
        threads: "PR #3836, PR #3853",
        instead: "batchwise_nn::ops::conv1d, layers::conv1d",
    },
    KnownCause {
        layers: &["conv1d"],
        symptom: Symptom::WrongValue,
        cause: "a kernel that is not contiguous is read as if it were: the output itself is wrong",
        threads: "PR #3836, PR #3853",
        instead: "batchwise_nn::ops::conv1d, layers::conv1d",
    },
    KnownCause {
        layers: &["conv1d", "conv2d"],
        symptom: Symptom::Refused,
        cause: "the backward pass fails where the stride leaves different rests of rows and columns",
        threads: "",
        instead: "batchwise_nn::ops::conv2d",
    },
    KnownCause {
        layers: &["Linear", "matmul", "conv_transpose1d"],
        symptom: Symptom::WrongValue,
        cause: "on the CPU, a product whose right side is the same for all of a batch reads a left side that is transposed as if it were not: the output itself is wrong",
        threads: "PR #3758",
        instead: "contiguous() on the left side; batchwise_nn::ops::linear",
    },
    KnownCause {
        layers: &["conv_transpose1d"],
        symptom: Symptom::Refused,
        cause: "there is no backward pass",
        threads: "",
        instead: "conv_transpose2d on (n, channels, 1, length)",
    },
    KnownCause {
        layers: &["upsample_bilinear2d"],
        symptom: Symptom::Refused,
        cause: "there is no backward pass",
        threads: "",
        instead: "two products with constant matrices of weights",
    },
    KnownCause {
        layers: &["upsample_nearest1d", "upsample_nearest2d"],
        symptom: Symptom::Wrong,
        cause: "the backward pass overwrites what other uses of the same tensor gave (a skip connection)",
        threads: "PR #3507",
        instead: "unsqueeze, broadcast_as and reshape",
    },
    KnownCause {
        layers: &["upsample_nearest1d", "upsample_nearest2d"],
        symptom: Symptom::Refused,
        cause: "there is no backward pass for factors that are not whole or not the same for rows and columns",
        threads: "",
        instead: "unsqueeze, broadcast_as and reshape for whole factors",
    },
    KnownCause {
        layers: &["LayerNorm", "ops::layer_norm"],
        symptom: Symptom::Cut,
        cause: "the fused kernel (contiguous input, with a bias) has no backward pass",
        threads: "#2977, #3011",
        instead: "batchwise_nn::layers::layer_norm; candle_nn::ops::layer_norm_slow",
    },
    KnownCause {
        layers: &["RmsNorm", "ops::rms_norm"],
        symptom: Symptom::Cut,
        cause: "the fused kernel (contiguous input) has no backward pass",
        threads: "#2168",
        instead: "batchwise_nn::layers::rms_norm; candle_nn::RmsNorm::forward_diff",
    },
    KnownCause {
        layers: &["softmax_last_dim"],
        symptom: Symptom::Cut,
        cause: "the fused kernel has no backward pass",
        threads: "#3569",
        instead: "batchwise_nn::ops::softmax; candle_nn::ops::softmax",
    },
    KnownCause {
        layers: &["rope", "rope_i", "rope_thd"],
        symptom: Symptom::Cut,
        cause: "the fused kernels of rotary embedding have no backward pass",
        threads: "#3568",
        instead: "candle_nn::rotary_emb::rope_slow, rope_i_slow",
    },
    KnownCause {
        layers: &["sdpa"],
        symptom: Symptom::Cut,
        cause: "the fused attention (on Metal only) has no backward pass",
        threads: "",
        instead: "batchwise_nn::ops::causal_attention",
    },
    KnownCause {
        layers: &["scatter"],
        symptom: Symptom::Wrong,
        cause: "the backward pass gives the overwritten elements a gradient",
        threads: "",
        instead: "scatter into zeros, and add the rest times a constant mask",
    },
    KnownCause {
        layers: &["scatter_add"],
        symptom: Symptom::Wrong,
        cause: "the backward pass takes the gradient away from the elements that are added to",
        threads: "",
        instead: "index_add, or a product with a one-hot matrix",
    },
    KnownCause {
        layers: &["scatter_add"],
        symptom: Symptom::Refused,
        cause: "the backward pass fails where the source is smaller than the target",
        threads: "",
        instead: "index_add, or a product with a one-hot matrix",
    },
    KnownCause {
        layers: &["max", "min"],
        symptom: Symptom::Wrong,
        cause: "each element of a tie gets the full gradient",
        threads: "",
        instead: "argmax_keepdim of the detached tensor, and gather",
    },
    KnownCause {
        layers: &["binary_cross_entropy_with_logit"],
        symptom: Symptom::Refused,
        cause: "the logarithm of a rounded sigmoid is infinite",
        threads: "#2561, PR #2562",
        instead: "batchwise_nn::loss::bce_with_logits",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_lock_file() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock");
        let lock = std::fs::read_to_string(path).unwrap();
        for name in ["candle-core", "candle-nn"] {
            let entry = format!("name = \"{name}\"\nversion = \"{CANDLE_VERSION}\"\n");
            assert!(
                lock.contains(&entry),
                "{name}: run the audit again, and name the version that it ran with"
            );
        }
    }

    #[test]
    fn the_share_of_windows_is_an_inverse_square() {
        for factor in [0.25, 1.0 / 9.0, 1.0 / 16.0, 1.0 / 36.0, 0.2501] {
            assert!(is_share_of_windows(factor), "{factor}");
        }
        for factor in [1.02, 0.5, 0.2, -0.25, 2.0, 0.0] {
            assert!(!is_share_of_windows(factor), "{factor}");
        }
    }
}
