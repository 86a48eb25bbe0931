//! Published laws for batch size and learning rate, as calculators (theory.md §4.1).
//!
//! Each was fitted to one family of models on one kind of data. They say what others found, not what a new task needs: every
//! answer names its unit, its source, and whether the arguments lie within what was fitted.

#[cfg(feature = "serde")]
use serde::Serialize;

/// What a published law says.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(Serialize))]
pub struct Published {
    /// The value, finite and above 0.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// Whether the arguments lie within the range that was fitted; `None` where that range is not stated in the source read.
    pub within_domain: Option<bool>,
    /// What was fitted.
    pub domain: &'static str,
    /// Paper.
    pub source: &'static str,
}

fn law(
    value: f64,
    unit: &'static str,
    within_domain: Option<bool>,
    domain: &'static str,
    source: &'static str,
) -> Option<Published> {
    let sound = value.is_finite() && value > 0.0;
    sound.then_some(Published { value, unit, within_domain, domain, source })
}

fn positive(values: &[f64]) -> bool {
    values.iter().all(|v| v.is_finite() && *v > 0.0)
}

/// Kaplan et al. 2020: B_crit(L) = 2·10⁸/L^4.76 tokens, L the loss in nats per token. `None` unless L is finite and above 0.
#[must_use]
pub fn kaplan_critical_batch(loss: f64) -> Option<Published> {
    let value = if positive(&[loss]) { 2e8 * loss.powf(-4.76) } else { f64::NAN };
    law(value, "tokens", None, "transformer language models under Adam", "Kaplan et al. 2020")
}

const DEEPSEEK: &str = "DeepSeek-AI 2024 (DeepSeek LLM)";
const DEEPSEEK_DOMAIN: &str = "1e17 to 2e19 FLOPs, their data";

/// DeepSeek LLM 2024: B = 0.2920·C^0.3271 tokens, C the compute in FLOPs. `None` unless C is finite and above 0.
#[must_use]
pub fn deepseek_batch(flops: f64) -> Option<Published> {
    let value = if positive(&[flops]) { 0.2920 * flops.powf(0.3271) } else { f64::NAN };
    law(value, "tokens", Some((1e17..=2e19).contains(&flops)), DEEPSEEK_DOMAIN, DEEPSEEK)
}

/// DeepSeek LLM 2024: η = 0.3118·C^−0.1250, C the compute in FLOPs. `None` unless C is finite and above 0.
#[must_use]
pub fn deepseek_learning_rate(flops: f64) -> Option<Published> {
    let value = if positive(&[flops]) { 0.3118 * flops.powf(-0.1250) } else { f64::NAN };
    law(value, "learning rate", Some((1e17..=2e19).contains(&flops)), DEEPSEEK_DOMAIN, DEEPSEEK)
}

const STEP_LAW: &str = "Li et al. 2025 (Step Law)";

/// Step Law 2025: B = 0.58·D^0.571 tokens, D the training tokens. `None` unless D is finite and above 0.
#[must_use]
pub fn step_law_batch(tokens: f64) -> Option<Published> {
    let value = if positive(&[tokens]) { 0.58 * tokens.powf(0.571) } else { f64::NAN };
    law(value, "tokens", None, "language models", STEP_LAW)
}

/// Step Law 2025: η = 1.79·N^−0.713·D^0.307, N the parameters, D the training tokens. `None` unless both are finite and above 0.
#[must_use]
pub fn step_law_learning_rate(parameters: f64, tokens: f64) -> Option<Published> {
    let value = if positive(&[parameters, tokens]) {
        1.79 * parameters.powf(-0.713) * tokens.powf(0.307)
    } else {
        f64::NAN
    };
    law(value, "learning rate", None, "language models", STEP_LAW)
}

const ZHANG: &str = "Zhang et al. 2024 (How does critical batch size scale in pre-training?)";
/// The unit of N is inferred: the constants fit in millions.
const ZHANG_DOMAIN: &str = "85M to 1.2B parameters on C4, 512-token sequences";
const ZHANG_UNIT: &str = "sequences of 512 tokens";

fn zhang(millions: f64, value: impl Fn(f64) -> f64) -> Option<Published> {
    let value = if positive(&[millions]) { value(millions) } else { f64::NAN };
    law(value, ZHANG_UNIT, Some((85.0..=1200.0).contains(&millions)), ZHANG_DOMAIN, ZHANG)
}

/// Zhang 2024, Chinchilla-optimal data: B* = 93.20·N^0.47 sequences, N in millions of parameters; B* as in
/// [`zhang_b_star`]. `None` unless N is finite and above 0.
#[must_use]
pub fn zhang_chinchilla(millions: f64) -> Option<Published> {
    zhang(millions, |n| 93.20 * n.powf(0.47))
}

/// Zhang 2024, fixed data: B* = 621.341·N^0.087 sequences, N in millions of parameters. `None` unless N is finite and above 0.
#[must_use]
pub fn zhang_fixed_data(millions: f64) -> Option<Published> {
    zhang(millions, |n| 621.341 * n.powf(0.087))
}

/// Zhang's critical batch size from the hyperbola's: B* = 1.2·B_opt + 0.2·B_c (derived in theory.md §4.1).
///
/// They fit S = a + b/B and ask where the steps are 20 % above perfect scaling from `b_opt` (256 in the paper). b/a is
/// McCandlish's B_c, so that B* and B_c are different numbers: with B_c = 800, B* = 467. Same unit as the arguments. `None`
/// unless both are finite and above 0.
///
/// ```
/// use batchwise_estimate::tradeoff::published::zhang_b_star;
/// assert!((zhang_b_star(256.0, 800.0).unwrap() - 467.2).abs() < 1e-9);
/// ```
#[must_use]
pub fn zhang_b_star(b_opt: f64, b_crit: f64) -> Option<f64> {
    positive(&[b_opt, b_crit]).then_some(1.2 * b_opt + 0.2 * b_crit).filter(|v| v.is_finite())
}

const BERGSMA: &str = "Bergsma et al. 2025 (Power Lines)";
const BERGSMA_DOMAIN: &str = "µP language models of 111M to 3.3B parameters";

/// Bergsma 2025: τ = 1.084·TPP^−0.527, the AdamW timescale B/(ηλD) as a share of the run, TPP the tokens per parameter.
///
/// The constant is from memory; it gives 0.224 at 20, where the paper reads about 0.21 (theory.md §4.1). `None` unless TPP is finite
/// and above 0.
#[must_use]
pub fn bergsma_timescale(tokens_per_parameter: f64) -> Option<Published> {
    let value =
        if positive(&[tokens_per_parameter]) { 1.084 * tokens_per_parameter.powf(-0.527) } else { f64::NAN };
    law(value, "share of the training tokens", None, BERGSMA_DOMAIN, BERGSMA)
}

/// Bergsma 2025: B_opt ∝ D^0.383. The batch that is best for `to` tokens where `batch` was for `from`, in its unit. `None` unless all
/// are finite and above 0.
#[must_use]
pub fn bergsma_optimal_batch(batch: f64, from: f64, to: f64) -> Option<Published> {
    bergsma(batch, from, to, 0.383)
}

/// Bergsma 2025: B_crit ∝ D^0.462, likewise. (Zhang et al. 2024 have 0.47.)
#[must_use]
pub fn bergsma_critical_batch(batch: f64, from: f64, to: f64) -> Option<Published> {
    bergsma(batch, from, to, 0.462)
}

fn bergsma(batch: f64, from: f64, to: f64, exponent: f64) -> Option<Published> {
    let value = if positive(&[batch, from, to]) {
        batch * ((to.ln() - from.ln()) * exponent).exp()
    } else {
        f64::NAN
    };
    law(value, "that of the batch size given", None, BERGSMA_DOMAIN, BERGSMA)
}
