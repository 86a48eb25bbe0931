//! The learning rate at the new batch size: which rule, and whether it holds there.

use super::{Change, Difference, Evidence, HyperParameters, Noise, Optimizer, Value};
use crate::progress::LearningRate;
use crate::rules::{Scaling, scale};
#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};

/// Which rule for the learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum RuleChoice {
    /// By optimizer and evidence: SGD follows the measured noise scale, or without one the cautious side (linear down, square root
    /// up); adaptive optimizers follow the root of the noise scale, or without one the square root.
    #[default]
    Auto,
    /// This one.
    Use(Scaling),
}

/// A batch above this part of the data set has noise that no rule here describes (theory.md §1.6: flag any B > N/10).
const LARGEST_PART: u64 = 10;

const SWEEP: &str = "a sweep of η/2, η/√2, η, √2·η and 2η at the new batch size";

pub(super) fn apply(out: &mut Change, old: &HyperParameters, evidence: &Evidence) {
    let Some(rate) = old.learning_rate else { return };
    let (rule, why, doubt) = pick(out, evidence);
    if let Some(reason) = outside(out, rule, evidence) {
        out.refuse("lr", reason);
        return;
    }
    let new = match scale(rule, LearningRate(rate), out.from, out.to) {
        Ok(LearningRate(new)) if new.is_finite() && 0.0 < new => new,
        Ok(LearningRate(new)) => {
            out.refuse("lr", format!("the {rule} rule gives {new}, which is no learning rate"));
            return;
        }
        Err(error) => {
            out.refuse("lr", error.to_string());
            return;
        }
    };
    let near = out.kappa.log2().abs() <= 1.0;
    out.sweep =
        if near { vec![new] } else { [-1.0, -0.5, 0.0, 0.5, 1.0].map(|k: f64| new * k.exp2()).to_vec() };
    let mut caveat =
        doubt.map_or_else(|| rule.caveat().to_owned(), |doubt| format!("{doubt}; {}", rule.caveat()));
    if out.kappa == 1.0 {
        caveat = String::new();
    }
    out.rule = Some(rule);
    out.settings.learning_rate = Some(new);
    out.add(Difference {
        name: "lr".to_owned(),
        old: Value::Number(rate),
        new: Value::Number(new),
        rule: format!("{}: {why}", formula(rule, out.kappa, new / rate)),
        source: rule.source().to_owned(),
        settle: if near {
            String::new()
        } else {
            format!(
                "{SWEEP}; when in doubt, below: half the best rate costs a quarter of a step, twice it all"
            )
        },
        caveat,
        exact: true,
    });
}

/// The rule, why it, and what is doubtful about the choice.
fn pick(out: &Change, evidence: &Evidence) -> (Scaling, String, Option<&'static str>) {
    let up = out.from < out.to;
    let scaling = match evidence.rule {
        RuleChoice::Use(rule) => return (rule, "as named".to_owned(), mismatch(out.optimizer, rule)),
        RuleChoice::Auto => match (out.optimizer, evidence.noise) {
            (Optimizer::Sgd, Some(Noise::Measured { phi })) => {
                return (Scaling::NoiseScale { phi }, format!("SGD follows φ = {phi:.0}"), None);
            }
            (Optimizer::Sgd, Some(Noise::LowerBound { low })) if up => {
                let why = format!("SGD follows φ, of which at least {low:.0} is known");
                return (Scaling::NoiseScale { phi: low }, why, Some("a larger φ allows a higher rate"));
            }
            (Optimizer::Sgd, _) if up => {
                let why = "SGD without a noise scale, upwards: the cautious rule".to_owned();
                return (
                    Scaling::SquareRoot,
                    why,
                    Some("below the noise scale the linear rule gives the same run in fewer steps"),
                );
            }
            (Optimizer::Sgd, _) => Scaling::Linear,
            (o, Some(Noise::Measured { phi })) if o.is_adaptive() && !o.has_trust_ratio() => {
                return (
                    Scaling::RootNoiseScale { phi },
                    format!("{o} follows the root of φ = {phi:.0}"),
                    None,
                );
            }
            (o, Some(Noise::LowerBound { low })) if up && o.is_adaptive() && !o.has_trust_ratio() => {
                let why = format!("{o} follows the root of φ, of which at least {low:.0} is known");
                return (Scaling::RootNoiseScale { phi: low }, why, Some("a larger φ allows a higher rate"));
            }
            _ => Scaling::SquareRoot,
        },
    };
    match (scaling, out.optimizer) {
        (Scaling::Linear, _) => (scaling, "SGD downwards, away from the noise scale".to_owned(), None),
        (_, o) if o.has_trust_ratio() => {
            let doubt = "a step's size follows the weights, not the gradient, so no theory of noise applies";
            (scaling, format!("practice for {o}"), Some(doubt))
        }
        (_, Optimizer::Lion) => (scaling, "updates by sign".to_owned(), None),
        (_, o) => (scaling, format!("{o} divides by the noise, which falls as 1/√B"), None),
    }
}

fn mismatch(optimizer: Optimizer, rule: Scaling) -> Option<&'static str> {
    match (optimizer, rule) {
        (o, Scaling::Linear | Scaling::NoiseScale { .. }) if o.is_adaptive() || o == Optimizer::Lion => {
            Some("a rule for SGD; the update of this optimizer does not grow with the gradient")
        }
        (o, Scaling::Linear | Scaling::NoiseScale { .. } | Scaling::RootNoiseScale { .. })
            if o.has_trust_ratio() =>
        {
            Some("a rule for SGD; with a trust ratio a step's size follows the weights")
        }
        (Optimizer::Sgd, Scaling::Surge { .. }) => Some("a rule for updates by sign, such as Adam's"),
        (Optimizer::Sgd, Scaling::RootNoiseScale { .. }) => Some("a rule for Adam and its kin"),
        _ => None,
    }
}

/// Why the rule does not hold at the new batch size.
fn outside(out: &Change, rule: Scaling, evidence: &Evidence) -> Option<String> {
    let (from, to) = (out.from, out.to);
    if let Some(n) = evidence.dataset_size {
        let cap = n / LARGEST_PART;
        if cap < to && from < to {
            return Some(format!(
                "a batch of {to} is more than a tenth of the {n} training examples: its noise is not that of independent draws, and no \
                 rule holds; stay at or below {cap}, or sweep the learning rate at {to}"
            ));
        }
    }
    let bound = match evidence.noise {
        Some(Noise::Measured { phi }) => phi,
        _ => return None,
    };
    let is_large = bound < to.max(from) as f64;
    match rule {
        Scaling::Linear if is_large => Some(format!(
            "the linear rule needs batches far below the noise scale, and {} is above φ = {bound:.0}: use the noise-scale rule",
            to.max(from)
        )),
        Scaling::SquareRoot if is_large && out.optimizer.is_adaptive() && bound < to as f64 && from < to => {
            Some(format!(
                "the square root holds while noise dominates, and a batch of {to} is above φ = {bound:.0}: sweep from the rate at {}, \
             or stay below φ",
                (bound as u64).max(from)
            ))
        }
        _ => None,
    }
}

fn formula(rule: Scaling, kappa: f64, factor: f64) -> String {
    let name = match rule {
        Scaling::Linear => "linear, η·κ".to_owned(),
        Scaling::SquareRoot => "square root, η·√κ".to_owned(),
        Scaling::Power { exponent } => format!("power, η·κ^{exponent}"),
        Scaling::NoiseScale { .. } => "noise scale, η·κ(φ + B)/(φ + κB)".to_owned(),
        Scaling::RootNoiseScale { .. } => "root of the noise scale, η·√(κ(φ + B)/(φ + κB))".to_owned(),
        Scaling::Surge { peak_batch } => format!("Surge, highest at {peak_batch:.0}"),
        Scaling::Keep => "unchanged".to_owned(),
    };
    if kappa == 1.0 { name } else { format!("{name} = ×{factor:.3}") }
}
