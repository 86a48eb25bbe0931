//! What a change of batch size starts from.

use super::{ChangeError, RuleChoice};
use crate::length::Length;
#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The optimizer: which rules hold depends on how its update follows the size of the gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Optimizer {
    /// Plain or with momentum.
    Sgd,
    /// Kingma & Ba 2015.
    Adam,
    /// Loshchilov & Hutter 2019.
    AdamW,
    /// Tieleman & Hinton 2012.
    RmsProp,
    /// Chen et al. 2023.
    Lion,
    /// You, Gitman & Ginsburg 2017.
    Lars,
    /// You et al. 2020.
    Lamb,
}

impl Optimizer {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Sgd, Self::Adam, Self::AdamW, Self::RmsProp, Self::Lion, Self::Lars, Self::Lamb];

    /// The name in small letters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sgd => "sgd",
            Self::Adam => "adam",
            Self::AdamW => "adamw",
            Self::RmsProp => "rmsprop",
            Self::Lion => "lion",
            Self::Lars => "lars",
            Self::Lamb => "lamb",
        }
    }

    /// Whether updates are divided by a running root mean square of the gradient.
    #[must_use]
    pub const fn is_adaptive(self) -> bool {
        matches!(self, Self::Adam | Self::AdamW | Self::RmsProp | Self::Lamb)
    }

    /// Whether it has the hyper-parameter of that name: `momentum`, `beta1`, `beta2` (RMSprop's α) or `eps`.
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        match name {
            "momentum" => matches!(self, Self::Sgd | Self::RmsProp | Self::Lars),
            "beta1" => matches!(self, Self::Adam | Self::AdamW | Self::Lion | Self::Lamb),
            "beta2" => !matches!(self, Self::Sgd | Self::Lars),
            "eps" => self.is_adaptive(),
            _ => true,
        }
    }

    /// Whether the size of an update follows the weights, not the gradient.
    #[must_use]
    pub const fn has_trust_ratio(self) -> bool {
        matches!(self, Self::Lars | Self::Lamb)
    }
}

impl fmt::Display for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Optimizer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|o| o.name() == text)
            .ok_or_else(|| format!("`{text}` is not one of {names}"))
    }
}

/// How often, or how long: by the clock of examples, or in steps, which a change of batch size must rewrite.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Period {
    /// Examples, tokens, epochs, parts of the run.
    Length(Length),
    /// Optimizer steps.
    Steps(u64),
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => length.fmt(f),
            Self::Steps(1) => f.write_str("1 step"),
            Self::Steps(n) => write!(f, "{n} steps"),
        }
    }
}

impl FromStr for Period {
    type Err = crate::text::SpecError;

    /// A [`Length`], or `500 steps`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut cursor = crate::text::Cursor::new(text);
        let joined = text.trim().strip_suffix("steps").or_else(|| text.trim().strip_suffix("step"));
        if let Some(count) = joined.map(str::trim).and_then(crate::text::whole) {
            return Ok(Self::Steps(count));
        }
        let length = Length::read(&mut cursor)
            .map_err(|e| crate::text::SpecError { allowed: format!("{}, or `500 steps`", e.allowed), ..e })?;
        cursor.end("the end")?;
        Ok(Self::Length(length))
    }
}

/// The hyper-parameters of a run; what is `None` is not there or not to be changed.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct HyperParameters {
    /// Peak learning rate, above 0.
    pub learning_rate: Option<f64>,
    /// Momentum of SGD and LARS, or RMSprop's; 0 or more, below 1.
    pub momentum: Option<f64>,
    /// β₁, 0 or more, below 1.
    pub beta1: Option<f64>,
    /// β₂ (RMSprop's α), 0 or more, below 1.
    pub beta2: Option<f64>,
    /// ε beside the root of the second moment, at least 0.
    pub epsilon: Option<f64>,
    /// λ, at least 0: decoupled for AdamW, Lion and LAMB, in the gradient for the others.
    pub weight_decay: Option<f64>,
    /// Decay of an average of the weights, 0 or more, below 1.
    pub ema_decay: Option<f64>,
    /// Length of the warmup.
    pub warmup: Option<Period>,
    /// Length of the run.
    pub total: Option<Period>,
    /// How often the model is evaluated.
    pub evaluate_every: Option<Period>,
    /// How often a checkpoint is written.
    pub checkpoint_every: Option<Period>,
    /// Largest norm of the gradient, above 0.
    pub clip_norm: Option<f64>,
    /// Examples that fit in memory at once, at least 1.
    pub micro_batch: Option<u64>,
}

/// What is known of φ, in examples.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(tag = "grade", rename_all = "snake_case"))]
pub enum Noise {
    /// Measured.
    Measured {
        /// φ, above 0.
        phi: f64,
    },
    /// Bounded from below only.
    LowerBound {
        /// The bound, above 0.
        low: f64,
    },
}

/// What is known beside the hyper-parameters; more evidence allows better rules.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Evidence {
    /// The gradient noise scale.
    pub noise: Option<Noise>,
    /// Examples of the training set, at least 1.
    pub dataset_size: Option<u64>,
    /// The rule for the learning rate, or how to pick one.
    pub rule: RuleChoice,
    /// Decays by 1 − κ(1 − β), as in Malladi et al. 2022, instead of β^κ.
    pub first_order: bool,
    /// β₁ and momentum follow as well, instead of staying.
    pub momentum_follows: bool,
}

impl HyperParameters {
    pub(super) fn check(&self) -> Result<(), ChangeError> {
        let out = |name, found, allowed| Err(ChangeError::OutOfRange { name, found, allowed });
        for (name, value) in
            [("the learning rate", self.learning_rate), ("the clipping norm", self.clip_norm)]
        {
            if let Some(found) = value.filter(|v| !(v.is_finite() && 0.0 < *v)) {
                return out(name, found, "a finite number above 0");
            }
        }
        for (name, value) in [("ε", self.epsilon), ("the weight decay", self.weight_decay)] {
            if let Some(found) = value.filter(|v| !(v.is_finite() && 0.0 <= *v)) {
                return out(name, found, "a finite number of at least 0");
            }
        }
        for (name, value) in [
            ("the momentum", self.momentum),
            ("β₁", self.beta1),
            ("β₂", self.beta2),
            ("the decay of the average of the weights", self.ema_decay),
        ] {
            if let Some(found) = value.filter(|v| !(0.0..1.0).contains(v)) {
                return out(name, found, "0 or more, below 1");
            }
        }
        match self.micro_batch {
            Some(0) => out("the micro-batch", 0.0, "at least 1"),
            _ => Ok(()),
        }
    }
}

impl Evidence {
    pub(super) fn check(&self) -> Result<(), ChangeError> {
        if let Some(Noise::Measured { phi: found } | Noise::LowerBound { low: found }) = self.noise
            && !(found.is_finite() && 0.0 < found)
        {
            return Err(ChangeError::OutOfRange {
                name: "the noise scale",
                found,
                allowed: "a finite number above 0",
            });
        }
        match self.dataset_size {
            Some(0) => Err(ChangeError::OutOfRange {
                name: "the size of the training set",
                found: 0.0,
                allowed: "at least 1",
            }),
            _ => Ok(()),
        }
    }
}
