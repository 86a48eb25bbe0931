//! Parameter groups: rules by name that change how an optimizer treats some of the parameters.

use crate::Parameters;
use candle_core::{Result, bail};

/// How an optimizer treats one parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    /// What the learning rate of a step is multiplied by; 0 leaves the parameter as it is.
    pub learning_rate: f64,
    /// Whether weight decay applies.
    pub weight_decay: bool,
    /// Whether the trust ratio of LARS and LAMB applies; where not, the ratio is 1.
    pub trust_ratio: bool,
}

impl Setting {
    /// What a parameter gets that no rule matches: factor 1, decay and trust ratio as the optimizer says.
    pub const USUAL: Self = Self { learning_rate: 1.0, weight_decay: true, trust_ratio: true };
}

/// A change of [`Setting`] for the parameters of some names; what it does not mention stays as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    names: String,
    learning_rate: Option<f64>,
    weight_decay: Option<bool>,
    trust_ratio: Option<bool>,
}

impl Rule {
    /// A rule for all parameters whose whole name is `names`, in which `*` stands for any characters, also none:
    /// `head.*`, `*.bias`.
    pub fn new(names: impl Into<String>) -> Self {
        Self { names: names.into(), learning_rate: None, weight_decay: None, trust_ratio: None }
    }

    /// Multiplies the learning rate by this factor, at least 0.
    #[must_use]
    pub fn learning_rate(self, factor: f64) -> Self {
        Self { learning_rate: Some(factor), ..self }
    }

    /// Switches weight decay on or off.
    #[must_use]
    pub fn weight_decay(self, applies: bool) -> Self {
        Self { weight_decay: Some(applies), ..self }
    }

    /// Switches the trust ratio of LARS and LAMB on or off.
    #[must_use]
    pub fn trust_ratio(self, applies: bool) -> Self {
        Self { trust_ratio: Some(applies), ..self }
    }
}

/// Rules in their order: of two that speak of the same thing for the same parameter, the later one decides.
///
/// ```
/// use batchwise_nn::Parameters;
/// use batchwise_nn::optim::{AdamWConfig, Groups, OptimizerConfig, Rule};
/// use candle_core::{DType, Device};
///
/// let parameters = Parameters::new();
/// candle_nn::linear(4, 2, parameters.builder(7, DType::F32, &Device::Cpu).pp("head"))?;
/// let groups = Groups::decay_matrices_only(&parameters).with(Rule::new("head.*").learning_rate(0.1));
/// let optimizer = OptimizerConfig::AdamW(AdamWConfig::USUAL).build_with(&parameters, &groups)?;
/// # let _ = optimizer;
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Groups {
    rules: Vec<Rule>,
}

impl Groups {
    /// No rules: every parameter is treated alike.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a rule behind the others.
    #[must_use]
    pub fn with(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Weight decay on tensors of rank 2 and more only, so that biases and the scale and shift of norms get none.
    pub fn decay_matrices_only(parameters: &Parameters) -> Self {
        Self::for_vectors(parameters, |rule| rule.weight_decay(false))
    }

    /// Weight decay and the trust ratio on tensors of rank 2 and more only, as is usual with LARS and LAMB.
    pub fn matrices_only(parameters: &Parameters) -> Self {
        Self::for_vectors(parameters, |rule| rule.weight_decay(false).trust_ratio(false))
    }

    fn for_vectors(parameters: &Parameters, change: impl Fn(Rule) -> Rule) -> Self {
        let vectors = parameters.named().into_iter().filter(|(_, var)| var.rank() < 2);
        Self { rules: vectors.map(|(name, _)| change(Rule::new(name))).collect() }
    }

    /// The setting of each parameter, in name order.
    ///
    /// # Errors
    /// A rule that matches no parameter, or whose factor is not a finite number of at least 0; it is named.
    pub fn settings(&self, parameters: &Parameters) -> Result<Vec<(String, Setting)>> {
        let mut settings: Vec<_> =
            parameters.named().into_iter().map(|(name, _)| (name, Setting::USUAL)).collect();
        for rule in &self.rules {
            if let Some(factor) = rule.learning_rate
                && !(factor.is_finite() && 0.0 <= factor)
            {
                bail!("the group `{}` multiplies the learning rate by {factor}", rule.names);
            }
            let mut matches = settings.iter_mut().filter(|(name, _)| covers(&rule.names, name)).peekable();
            if matches.peek().is_none() {
                bail!("the group `{}` matches no parameter", rule.names);
            }
            for (_, setting) in matches {
                *setting = Setting {
                    learning_rate: rule.learning_rate.unwrap_or(setting.learning_rate),
                    weight_decay: rule.weight_decay.unwrap_or(setting.weight_decay),
                    trust_ratio: rule.trust_ratio.unwrap_or(setting.trust_ratio),
                };
            }
        }
        Ok(settings)
    }
}

/// Whether a pattern with `*` for any characters covers a whole name.
fn covers(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    // The leftmost place of each part leaves the most for the parts behind it.
    for part in middle.split('*') {
        match name.find(part) {
            Some(at) => name = &name[at + part.len()..],
            None => return false,
        }
    }
    name.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_whole_names() {
        for (pattern, name) in [
            ("a.b", "a.b"),
            ("*", ""),
            ("*", "a"),
            ("**", "a"),
            ("a*", "a"),
            ("*.bias", "head.bias"),
            ("head.*", "head.bias"),
            ("a*b*c", "axxbyybzc"),
            ("*a*a", "aa"),
            ("a*a*", "aa"),
        ] {
            assert!(covers(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("a.b", "a.bc"),
            ("*.bias", "bias"),
            ("head.*", "ahead.x"),
            ("a*a", "a"),
            ("*a*a", "a"),
            ("a*b*c", "acb"),
            ("ab*bc", "abc"),
            ("", "a"),
        ] {
            assert!(!covers(pattern, name), "{pattern} {name}");
        }
    }
}
