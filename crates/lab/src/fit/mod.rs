//! The statistics of batch size for measurements made anywhere: read, fitted, and answered in words, JSON and a picture.
//!
//! Read in the order of the data: [`Source`] → `record`, `object` and `table` (rows with their places) → one file for
//! each kind of measurement, which turns rows into the arguments of `batchwise-estimate` and its result into an
//! [`Answer`] → `picture`. No formula stands here.
//!
//! ```
//! use batchwise_lab::fit::{Kind, Settings, Source, fit};
//! // Planted: 2 ms for the step and 10 µs for each example.
//! let mut csv = "batch,ms\n".to_owned();
//! for k in 0..10 {
//!     for wobble in [0.99, 1.0, 1.01, 1.005, 0.995] {
//!         let batch = f64::from(1 << k);
//!         csv.push_str(&format!("{batch},{}\n", (2.0 + 0.01 * batch) * wobble));
//!     }
//! }
//! let answer = fit(Kind::Speed, vec![Source::of_bytes("steps.csv", csv.into_bytes())], &Settings::default())?;
//! let overhead = answer.json["overhead_seconds"].as_f64().unwrap_or_default();
//! assert!((overhead - 0.002).abs() < 1e-4, "{}", answer.json);
//! # Ok::<(), batchwise_lab::fit::FitError>(())
//! ```

mod answer;
mod columns;
pub(crate) mod decide;
mod error;
pub(crate) mod memory;
mod noise;
mod noise_rows;
mod object;
pub(crate) mod picture;
mod record;
pub(crate) mod ridge;
mod row;
mod settings;
mod source;
pub(crate) mod speed;
mod table;
pub(crate) mod tradeoff;

pub use answer::Answer;
pub use error::FitError;
pub use settings::Settings;
pub use source::Source;
pub use table::FileRead;

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Squared gradient norms.
    Noise,
    /// Steps to a target.
    Tradeoff,
    /// Times of steps.
    Speed,
    /// Peaks of memory.
    Memory,
    /// Losses by batch size and learning rate.
    Ridge,
    /// Answers of the other kinds.
    Decide,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Noise, Self::Tradeoff, Self::Speed, Self::Memory, Self::Ridge, Self::Decide];

    /// As on the command line and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::Tradeoff => "tradeoff",
            Self::Speed => "speed",
            Self::Memory => "memory",
            Self::Ridge => "ridge",
            Self::Decide => "decide",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Reads measurements and answers. Every kind takes one source, but [`Kind::Decide`] any number.
///
/// # Errors
/// Input that is wrong, with file, line and column, what was found and what is allowed. What sound measurements do not
/// say is no error: the answer's grade says so.
pub fn fit(kind: Kind, mut sources: Vec<Source>, settings: &Settings) -> Result<Answer, FitError> {
    if kind == Kind::Decide {
        return decide::decide(sources, settings);
    }
    let (Some(source), true) = (sources.pop(), sources.is_empty()) else {
        return Err(FitError::of_file(kind.name(), "not one file", "exactly one file is needed"));
    };
    match kind {
        Kind::Noise => noise::noise(source, settings),
        Kind::Tradeoff => tradeoff::tradeoff(source, settings),
        Kind::Speed => speed::speed(source, settings),
        Kind::Memory => memory::memory(source, settings),
        Kind::Ridge | Kind::Decide => ridge::ridge(source, settings),
    }
}
