//! One change of batch size that changes everything it must.
//!
//! Frameworks scale the learning rate at best, by a factor that is hard-coded, and leave β₂, weight decay, averages of the
//! weights, warmup and everything that counts steps as it was. [`change`] takes the hyper-parameters of a run tuned at one
//! batch size and returns those for another as a list of differences, each with its rule, its source, what is doubtful about it, and
//! what would settle the doubt. What lies outside a rule's domain is refused with a reason instead of guessed.
//!
//! ```
//! use batchwise_schedule::change::{Evidence, HyperParameters, Optimizer, change};
//!
//! let run = HyperParameters { learning_rate: Some(3e-4), beta2: Some(0.999), weight_decay: Some(0.1), ..Default::default() };
//! let change = change(256, 1024, Optimizer::AdamW, &run, &Evidence::default())?;
//! let new = &change.settings;
//! assert!((new.learning_rate.unwrap() - 6e-4).abs() < 1e-12);        // √4
//! assert!((new.beta2.unwrap() - 0.999f64.powi(4)).abs() < 1e-12);    // the same half-life in examples
//! assert!((new.weight_decay.unwrap() - 0.2).abs() < 1e-12);          // the same timescale B/(ηλ) in examples
//! assert!(change.changes.iter().all(|c| !c.source.is_empty()));
//! # Ok::<(), batchwise_schedule::change::ChangeError>(())
//! ```

mod learning_rate;
mod paste;
mod rest;
mod settings;

pub use learning_rate::RuleChoice;
pub use paste::{Framework, paste};
pub use settings::{Evidence, HyperParameters, Noise, Optimizer, Period};

use crate::rules::Scaling;
#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// One hyper-parameter that was looked at: its value may stay, and why is said as well.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Difference {
    /// Its name, as in PyTorch where it has one there.
    pub name: String,
    /// The value at the old batch size.
    pub old: Value,
    /// The value at the new one.
    pub new: Value,
    /// The rule, in a few words and a formula.
    pub rule: String,
    /// The paper it comes from.
    pub source: String,
    /// What is doubtful about it; empty where nothing is.
    pub caveat: String,
    /// The evidence that would settle the doubt; empty where there is none.
    pub settle: String,
    /// Whether going back by the same rule gives the old value again, and B₁ → B₂ → B₃ is B₁ → B₃.
    pub exact: bool,
}

/// A number, or a length as it is written.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(untagged))]
pub enum Value {
    /// A number.
    Number(f64),
    /// A length such as `10000ex` or `500 steps`.
    Text(String),
}

/// A hyper-parameter that no rule can carry over.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Refusal {
    /// Its name.
    pub name: String,
    /// Why, and what to do instead.
    pub reason: String,
}

/// What a change of batch size does.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Change {
    /// The old batch size.
    pub from: u64,
    /// The new batch size.
    pub to: u64,
    /// κ = to/from.
    pub kappa: f64,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// The rule for the learning rate; `None` where it was refused.
    pub rule: Option<Scaling>,
    /// One by one, the learning rate first.
    pub changes: Vec<Difference>,
    /// What could not be carried over.
    pub refused: Vec<Refusal>,
    /// Learning rates to try at the new batch size, ascending; the new one alone for a change of at most 2.
    pub sweep: Vec<f64>,
    /// The hyper-parameters at the new batch size; what was refused has its old value.
    pub settings: HyperParameters,
}

/// A change that cannot be begun.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ChangeError {
    /// A batch size of 0.
    #[error("the batch size is changed from {from} to {to}; both must be at least 1")]
    ZeroBatch {
        /// The old one.
        from: u64,
        /// The new one.
        to: u64,
    },
    /// A value out of range.
    #[error("{name} is {found}, allowed is {allowed}")]
    OutOfRange {
        /// Which.
        name: &'static str,
        /// The value found.
        found: f64,
        /// What is allowed.
        allowed: &'static str,
    },
}

/// The hyper-parameters at batch size `to`, given those that suit batch size `from`.
///
/// Only what is given is changed. Lengths in examples, tokens, epochs or parts of the run stay; what counts steps is divided by
/// κ. Where the rule is exact (every [`Difference::exact`]), changes compose and can be undone; `auto` may pick another rule on the way
/// back, so name the rule to undo a change.
///
/// # Errors
/// A batch size of 0; a hyper-parameter or a piece of evidence out of its range.
pub fn change(
    from: u64,
    to: u64,
    optimizer: Optimizer,
    old: &HyperParameters,
    evidence: &Evidence,
) -> Result<Change, ChangeError> {
    if from == 0 || to == 0 {
        return Err(ChangeError::ZeroBatch { from, to });
    }
    old.check()?;
    evidence.check()?;
    let kappa = to as f64 / from as f64;
    let mut out = Change {
        from,
        to,
        kappa,
        optimizer,
        rule: None,
        changes: Vec::new(),
        refused: Vec::new(),
        sweep: Vec::new(),
        settings: old.clone(),
    };
    let mut old = old.clone();
    for (name, value) in [
        ("momentum", &mut old.momentum),
        ("beta1", &mut old.beta1),
        ("beta2", &mut old.beta2),
        ("eps", &mut old.epsilon),
    ] {
        if value.is_some() && !optimizer.has(name) {
            *value = None;
            out.refuse(name, format!("{optimizer} has none"));
        }
    }
    out.settings = old.clone();
    learning_rate::apply(&mut out, &old, evidence);
    rest::apply(&mut out, &old, evidence);
    Ok(out)
}

impl Change {
    fn add(&mut self, difference: Difference) {
        self.changes.push(difference);
    }

    fn refuse(&mut self, name: &str, reason: impl Into<String>) {
        self.refused.push(Refusal { name: name.to_owned(), reason: reason.into() });
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(v) => f.write_str(&crate::text::shortest(*v)),
            Self::Text(text) => f.write_str(text),
        }
    }
}
