//! Batch sizes that follow what a run measures.
//!
//! A [`Controller`] is asked now and then with an [`Observation`] and answers with a [`Verdict`]: the batch size from now on,
//! and why. What it wants comes from a [`Policy`]; a frame common to all policies keeps it from harm:
//!
//! - it never leaves its bounds and multiples, whatever it is told, NaN and negative 𝒢 included;
//! - it changes only when the wanted batch differs by more than the dead band, not before `dwell` examples have passed since the last
//!   change, and by at most `most` at once, before rounding. Counted in examples, none of this depends on the batch;
//! - it shrinks as well as grows, unless told otherwise;
//! - where φ is bounded from below only, it grows as far as the bound supports and never shrinks; where φ is not identified it
//!   holds. A guess is never acted on.
//!
//! Its state is three numbers ([`State`]); restored at any point it goes on identically. φ must come in smoothed, as a ratio of averages
//! (never an average of ratios: theory.md §0, traps 2 and 3).
//!
//! ```
//! use batchwise_schedule::controller::{Controller, ControllerSpec, Observation, Phi, Policy};
//! use batchwise_schedule::{Examples, RunLength, batch::Bounds};
//!
//! let spec = ControllerSpec::new(Policy::NoiseScale { factor: 1.0 });
//! let bounds = Bounds { min: 16, max: 1024, ..Bounds::default() };
//! let mut controller = Controller::new(&spec, 32, bounds, &RunLength::of(Examples(60_000)))?;
//! let seen = |progress, phi| Observation { phi: Phi::Measured { value: phi }, ..Observation::at(Examples(progress)) };
//! // φ = 200: doubled twice, and once more to 200 itself.
//! let sizes: Vec<u64> = (1..6).map(|k| controller.observe(&seen(5000 * k, 200.0)).batch).collect();
//! assert_eq!(sizes, [64, 128, 200, 200, 200]);
//! // Nothing is known: nothing changes.
//! let verdict = controller.observe(&Observation::at(Examples(40_000)));
//! assert_eq!((verdict.batch, verdict.reason.to_string().as_str()), (200, "held: the noise scale is not identified"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod policy;
pub mod pollux;

pub use policy::{InnerProducts, Observation, Phi, Policy};

use crate::batch::{BatchError, Bounds};
use crate::length::{Length, RunLength};
use crate::progress::Examples;
use policy::Wanted;
#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};
use std::fmt;

/// A policy and its frame, as written.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct ControllerSpec {
    /// What batch is wanted.
    pub policy: Policy,
    /// Wanted batches nearer than this factor change nothing; at least 1. For goodput it is the gain that a change must bring.
    pub band: f64,
    /// Examples between two changes, at least.
    pub dwell: Length,
    /// Largest factor of one change, above 1.
    pub most: f64,
    /// Never shrink.
    pub grow_only: bool,
}

impl ControllerSpec {
    /// A policy in the usual frame: a band of 1.2 (1.05 for goodput, as Pollux), a dwell of 2 % of the run, doubling at most.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { policy, band: policy.usual_band(), dwell: Length::Fraction(0.02), most: 2.0, grow_only: false }
    }
}

/// Why a controller cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ControllerError {
    /// A number out of range.
    #[error("{name} is {found}, allowed is {allowed}")]
    OutOfRange {
        /// What it is.
        name: &'static str,
        /// What was found.
        found: f64,
        /// What is allowed.
        allowed: &'static str,
    },
    /// Bounds that allow nothing, or not the first batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
}

/// What a controller remembers.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct State {
    /// The batch size now.
    pub batch: u64,
    /// The progress at the last change; 0 before the first.
    pub changed_at: Examples,
    /// Changes so far.
    pub changes: u64,
}

/// A batch size, and why.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Verdict {
    /// The batch size from now on.
    pub batch: u64,
    /// The batch size until now.
    pub before: u64,
    /// Why it changed or did not.
    pub reason: Reason,
}

/// Why a batch size changed or did not.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "reason", rename_all = "snake_case"))]
pub enum Reason {
    /// It changed towards the wanted size.
    Changed {
        /// The size wanted, before bounds.
        wanted: f64,
    },
    /// The last change is too recent.
    Dwell {
        /// When a change is possible again.
        until: Examples,
    },
    /// The wanted size is near enough.
    Band {
        /// The size wanted.
        wanted: f64,
    },
    /// Bounds, multiples or `grow_only` allow no change towards the wanted size.
    Bound {
        /// The size wanted.
        wanted: f64,
    },
    /// φ is bounded from below only, and the bound does not reach further.
    LowerBound {
        /// The bound.
        low: f64,
    },
    /// φ is not identified.
    NotIdentified,
    /// Something the policy needs was not observed.
    Missing,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { wanted } => write!(f, "changed: {wanted:.0} examples are wanted"),
            Self::Dwell { until } => write!(f, "held: no change before {until}"),
            Self::Band { wanted } => write!(f, "held: the wanted {wanted:.0} is near enough"),
            Self::Bound { wanted } => write!(f, "held: {wanted:.0} is wanted, which the bounds do not allow"),
            Self::LowerBound { low } => {
                write!(f, "held: the noise scale is only known to be at least {low:.0}")
            }
            Self::NotIdentified => f.write_str("held: the noise scale is not identified"),
            Self::Missing => f.write_str("held: what the policy needs was not observed"),
        }
    }
}

/// A batch size that follows observations.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Controller {
    policy: Policy,
    band: f64,
    dwell: u64,
    most: f64,
    grow_only: bool,
    bounds: Bounds,
    /// The first batch size, from which doublings and efficiencies are counted.
    base: u64,
    state: State,
}

impl Controller {
    /// A controller that begins with a batch of `base`.
    ///
    /// # Errors
    /// Numbers out of range; bounds that allow nothing, or not `base`; a dwell that cannot be told in examples.
    pub fn new(
        spec: &ControllerSpec,
        base: u64,
        bounds: Bounds,
        run: &RunLength,
    ) -> Result<Self, ControllerError> {
        spec.policy.check()?;
        let out = |name, found, allowed| ControllerError::OutOfRange { name, found, allowed };
        if !(spec.band.is_finite() && 1.0 <= spec.band) {
            return Err(out("the dead band", spec.band, "a finite factor of at least 1"));
        }
        if !(spec.most.is_finite() && 1.0 < spec.most) {
            return Err(out("the largest change", spec.most, "a finite factor above 1"));
        }
        bounds.admit(base, base)?;
        let dwell = spec.dwell.resolve(run).map_err(BatchError::from)?.0;
        let state = State { batch: base, changed_at: Examples(0), changes: 0 };
        let ControllerSpec { policy, band, most, grow_only, .. } = *spec;
        Ok(Self { policy, band, dwell, most, grow_only, bounds, base, state })
    }

    /// Takes an observation into account.
    pub fn observe(&mut self, seen: &Observation<'_>) -> Verdict {
        let before = self.state.batch;
        let (batch, reason) = self.judge(seen);
        if batch != before {
            self.state = State { batch, changed_at: seen.progress, changes: self.state.changes + 1 };
        }
        Verdict { batch, before, reason }
    }

    fn judge(&self, seen: &Observation<'_>) -> (u64, Reason) {
        let now = self.state.batch;
        let until = Examples(self.state.changed_at.0.saturating_add(self.dwell));
        if 0 < self.state.changes && seen.progress < until {
            return (now, Reason::Dwell { until });
        }
        let (wanted, bound) = match self.policy.wanted(seen, now, self.base, &self.bounds) {
            Wanted::Size(size) => (size, None),
            Wanted::AtLeast { size, low } => (size, Some(low)),
            Wanted::NotIdentified => return (now, Reason::NotIdentified),
            Wanted::Missing => return (now, Reason::Missing),
        };
        if wanted.is_nan() {
            return (now, Reason::NotIdentified);
        }
        let ratio = wanted / now as f64;
        if let Some(low) = bound.filter(|_| ratio <= self.band) {
            return (now, Reason::LowerBound { low });
        }
        let near = match self.policy {
            // Goodput is flat about its best, so the gain decides, not the distance.
            Policy::Goodput => !self.policy.gains(seen, now, wanted, self.base, self.band),
            _ => 1.0 / self.band <= ratio && ratio <= self.band,
        };
        if near {
            return (now, Reason::Band { wanted });
        }
        let step = wanted.clamp(now as f64 / self.most, now as f64 * self.most);
        let size = self.bounds.apply(step, self.base);
        let towards = (size < now) == (wanted < now as f64) && size != now;
        if !towards || (self.grow_only && size < now) {
            return (now, Reason::Bound { wanted });
        }
        (size, Reason::Changed { wanted })
    }

    /// What it follows.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// The batch size now.
    #[must_use]
    pub fn batch(&self) -> u64 {
        self.state.batch
    }

    /// The batch size at the beginning of the run.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.base
    }

    /// What to save.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Goes on from a saved state.
    ///
    /// # Errors
    /// A batch size outside the bounds: the state is another controller's.
    pub fn restore(&mut self, state: State) -> Result<(), BatchError> {
        self.bounds.admit(state.batch, self.base)?;
        self.state = state;
        Ok(())
    }
}
