//! Why no batch size could be chosen.

/// Why no batch size could be chosen.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DecideError {
    /// Nothing to choose from.
    #[error("no candidate batch size")]
    NoCandidates,
    /// A candidate that is no measurement.
    #[error(
        "candidate {index} has batch {batch}, {seconds} s and relative error {relative_error}; the batch and the \
         seconds must be above 0, the error between 0 and 1"
    )]
    BadCandidate {
        /// Position in the slice.
        index: usize,
        /// The batch found.
        batch: u64,
        /// The seconds found.
        seconds: f64,
        /// The relative error found.
        relative_error: f64,
    },
    /// Two candidates with one batch size.
    #[error("batch size {batch} is a candidate twice")]
    Duplicate {
        /// The batch size.
        batch: u64,
    },
    /// A belief with a median or a spread out of range.
    #[error(
        "the critical batch has median {median} and ln sd {ln_sd}; finite numbers above 0, and at least 0, are needed"
    )]
    BadCritical {
        /// The median found.
        median: f64,
        /// The scale found.
        ln_sd: f64,
    },
    /// No draw, no expectation.
    #[error("0 draws were asked for, about 1000 are needed")]
    NoDraws,
    /// More draws than can be held.
    #[error("{asked} draws of {settings} settings were asked for; their product may be at most {allowed}")]
    TooManyDraws {
        /// Draws asked for.
        asked: usize,
        /// Pairs of batch and devices.
        settings: usize,
        /// Largest product of the two.
        allowed: usize,
    },
    /// A model of the step time without any draw of its parameters.
    #[error("the step time is a model without draws; one draw of (a, c) at least is needed")]
    NoTimeDraws,
    /// A batch size of no examples among those of a model.
    #[error("batch size {index} of the model's grid is 0; it must be above 0")]
    ZeroBatch {
        /// Position in the slice.
        index: usize,
    },
    /// A draw of the step time's parameters that gives no time.
    #[error(
        "time draw {index} has a = {overhead_seconds} s, c = {seconds_per_example} s per example and γ = {gamma:?}; \
         a and c must be finite, at least 0 and not both 0, γ between 1 and 10, and every step must take between \
         1e-300 and 1e300 s"
    )]
    BadTimeDraw {
        /// Position in the slice.
        index: usize,
        /// The overhead found.
        overhead_seconds: f64,
        /// The seconds per example found.
        seconds_per_example: f64,
        /// The overlap found, where the model has one.
        gamma: Option<f64>,
    },
    /// A belief about S_min out of range.
    #[error(
        "S_min has median {median}, ln sd {ln_sd} and correlation {correlation}; a finite number above 0, one of at \
         least 0 and one between -1 and 1 are needed"
    )]
    BadSteps {
        /// The median found.
        median: f64,
        /// The scale found.
        ln_sd: f64,
        /// The correlation found.
        correlation: f64,
    },
    /// A row of memory that is no measurement.
    #[error(
        "memory row {index} has micro-batch {micro_batch}, {expected_bytes} bytes expected and {upper_bytes} at the \
         most; the micro-batch must be above 0, the bytes finite, at least 0 and in this order"
    )]
    BadMemory {
        /// Position in the slice.
        index: usize,
        /// The micro-batch found.
        micro_batch: u64,
        /// The expected bytes found.
        expected_bytes: f64,
        /// The upper band found.
        upper_bytes: f64,
    },
    /// Numbers of devices, or the time they take to agree, out of range.
    #[error(
        "devices: {found}; counts must be distinct and above 0, seconds finite and at least 0, the relative error \
         between 0 and 1, γ between 1 and 10"
    )]
    BadDevices {
        /// What was found.
        found: String,
    },
    /// An overhead tolerance out of range.
    #[error("the tolerated overhead in examples is {tau}; a finite number above 0 is needed")]
    BadTolerance {
        /// The value found.
        tau: f64,
    },
    /// A quantile of the regret out of range.
    #[error("the quantile of the regret is {quantile}; it must lie in [0.5, 1)")]
    BadQuantile {
        /// The value found.
        quantile: f64,
    },
    /// Every candidate is excluded.
    #[error("the smallest candidate, batch {smallest}, is above what is allowed: {reason}")]
    NothingFeasible {
        /// The smallest candidate.
        smallest: u64,
        /// The limit in words.
        reason: String,
    },
}
