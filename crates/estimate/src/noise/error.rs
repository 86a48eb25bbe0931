//! Why a noise measurement could not be made.

/// Why a noise measurement could not be made. What the data merely do not say is an outcome, not an error.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NoiseError {
    /// The spread between micro-batches needs two of them.
    #[error("{found} micro-batches, at least 2 at the same parameters are needed")]
    TooFewMicroBatches {
        /// How many there were.
        found: usize,
    },
    /// A weight that is no positive number.
    #[error("micro-batch {index} has weight {value}, a finite number above 0 is needed")]
    BadWeight {
        /// Position in the slice, or in the order of arrival.
        index: usize,
        /// The value found.
        value: f64,
    },
    /// A squared norm that is negative, infinite or NaN.
    #[error("micro-batch {index} has squared gradient norm {value}, a finite number of at least 0 is needed")]
    BadNorm {
        /// Position in the slice, or in the order of arrival.
        index: usize,
        /// The value found.
        value: f64,
    },
    /// An inner product or a curvature that is infinite or NaN.
    #[error("micro-batch {index} has product {value}, a finite number is needed")]
    BadProduct {
        /// Position in the slice, or in the order of arrival.
        index: usize,
        /// The value found.
        value: f64,
    },
    /// The batch's squared norm is negative, infinite or NaN.
    #[error("the batch has squared gradient norm {value}, a finite number of at least 0 is needed")]
    BadBatchNorm {
        /// The value found.
        value: f64,
    },
    /// The batch's curvature is infinite or NaN.
    #[error("the batch has curvature product {value}, a finite number is needed")]
    BadBatchProduct {
        /// The value found.
        value: f64,
    },
    /// Sizes that do not make a batch of at least two micro-batches.
    #[error(
        "a batch of {batch} in micro-batches of {micro_batch}: both must be finite and above 0, and the batch a \
         whole number of at least 2 micro-batches"
    )]
    BadSizes {
        /// Batch size found.
        batch: f64,
        /// Micro-batch size found.
        micro_batch: f64,
    },
    /// A gradient of another length than the first.
    #[error("gradient {index} has {found} entries, {expected} are needed")]
    BadLength {
        /// Position in the order of arrival.
        index: usize,
        /// Entries found.
        found: usize,
        /// Entries of the first gradient, or of the preconditioner.
        expected: usize,
    },
    /// An entry of a gradient that is infinite or NaN.
    #[error("gradient {index} has entry {entry} = {value}, a finite number is needed")]
    BadEntry {
        /// Position in the order of arrival.
        index: usize,
        /// Position in the gradient.
        entry: usize,
        /// The value found.
        value: f64,
    },
    /// A factor of a preconditioner that is no positive number.
    #[error("the preconditioner has entry {entry} = {value}, a finite number above 0 is needed")]
    BadPreconditioner {
        /// Position in the preconditioner.
        entry: usize,
        /// The value found.
        value: f64,
    },
    /// Groups of parameters without names, or two of one name.
    #[error("group {index} has name {name:?}, which is empty or taken: every group needs a name of its own")]
    BadGroupName {
        /// Position of the group.
        index: usize,
        /// The name found.
        name: String,
    },
    /// A row with another number of groups than there are names.
    #[error("{found} group measurements, {expected} are needed, one for each name")]
    WrongGroupCount {
        /// Measurements found.
        found: usize,
        /// Number of names.
        expected: usize,
    },
    /// Another number of weights than of gradients.
    #[error("{found} weights, {expected} are needed, one for each gradient")]
    WrongWeightCount {
        /// Weights found.
        found: usize,
        /// Number of gradients.
        expected: usize,
    },
    /// Nothing to average.
    #[error("no measurement to average")]
    NoMeasurements,
    /// A measurement that is infinite or NaN.
    #[error("measurement {index} is not finite")]
    BadMeasurement {
        /// Position in the slice.
        index: usize,
    },
    /// A confidence outside (0, 1).
    #[error("confidence {value} is not between 0 and 1")]
    BadConfidence {
        /// The value found.
        value: f64,
    },
    /// A data set that cannot hold the draws.
    #[error("the data set has {value} examples, a finite number of at least 2 is needed")]
    BadDatasetSize {
        /// The value found.
        value: f64,
    },
    /// A smoothing factor outside (0, 1), or a half-life that gives none.
    #[error(
        "the smoothing factor or half-life is {value}; a factor lies between 0 and 1, a half-life above 0"
    )]
    BadSmoothing {
        /// The value found.
        value: f64,
    },
    /// The sums leave the range of f64.
    #[error("the sums of weights and squared norms are beyond the range of floating point numbers")]
    Overflow,
}
