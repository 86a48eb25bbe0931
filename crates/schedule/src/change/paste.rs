//! The new hyper-parameters as code or settings to paste.

use super::{Change, HyperParameters, Optimizer, Period};
use crate::text::shortest;
#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// What the settings are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Framework {
    /// Python with PyTorch.
    PyTorch,
    /// Python with optax.
    Optax,
    /// Rust with candle and this project's optimizers.
    Candle,
    /// TOML.
    Toml,
}

/// The new hyper-parameters for one framework. Learning rates are rounded down to three digits: below the best costs less than above.
/// What was refused is a comment.
#[must_use]
pub fn paste(change: &Change, framework: Framework) -> String {
    let s = &change.settings;
    let mark = if framework == Framework::Candle { "//" } else { "#" };
    let mut out = format!("{mark} batch {} -> {}, {}\n", change.from, change.to, change.optimizer);
    for refusal in &change.refused {
        let _ = writeln!(out, "{mark} {} is not changed: {}", refusal.name, refusal.reason);
    }
    match framework {
        Framework::PyTorch => pytorch(&mut out, change, s),
        Framework::Optax => optax(&mut out, change, s),
        Framework::Candle => candle(&mut out, change, s),
        Framework::Toml => toml(&mut out, change, s),
    }
    out
}

/// The learning rate: rounded down where a rule carried it over, else as it was given.
fn rate(change: &Change, s: &HyperParameters) -> Option<String> {
    let is_carried = change.kappa != 1.0 && !matches!(change.rule, None | Some(crate::rules::Scaling::Keep));
    s.learning_rate.map(|rate| if is_carried { down(rate) } else { shortest(rate) })
}

/// Three digits, rounded down.
fn down(rate: f64) -> String {
    if rate <= 0.0 {
        return "0".to_owned();
    }
    let text = format!("{rate:.2e}");
    let rounded: f64 = text.parse().unwrap_or(rate);
    if rounded <= rate * (1.0 + 1e-12) {
        return shortest(rounded);
    }
    let unit = 10f64.powf(rate.log10().floor() - 2.0);
    let lower: f64 = format!("{:.2e}", rounded - unit).parse().unwrap_or(rate);
    shortest(lower)
}

/// As many digits as matter.
fn digits(value: f64) -> String {
    format!("{value:.6e}").parse::<f64>().map_or_else(|_| shortest(value), shortest)
}

/// β to as many digits as its distance from 1 needs.
fn beta(value: f64) -> String {
    let places = (4.0 - (1.0 - value).max(1e-12).log10()).ceil().clamp(4.0, 16.0) as usize;
    let text = format!("{value:.places$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn list(pairs: &[(&str, Option<String>)]) -> String {
    let given: Vec<String> =
        pairs.iter().filter_map(|(k, v)| v.as_ref().map(|v| format!("{k}={v}"))).collect();
    given.join(", ")
}

/// (β₁, β₂) where at least one is given.
fn betas(s: &HyperParameters) -> Option<(f64, f64)> {
    (s.beta1.is_some() || s.beta2.is_some()).then(|| (s.beta1.unwrap_or(0.9), s.beta2.unwrap_or(0.999)))
}

fn extras(out: &mut String, change: &Change, s: &HyperParameters) {
    let _ = writeln!(out, "batch_size = {}", change.to);
    if let Some(micro) = s.micro_batch {
        let _ =
            writeln!(out, "micro_batch_size = {micro}\naccumulation_steps = {}", change.to.div_ceil(micro));
    }
    for (name, period) in [
        ("warmup", s.warmup),
        ("total", s.total),
        ("evaluate_every", s.evaluate_every),
        ("checkpoint_every", s.checkpoint_every),
    ] {
        match period {
            Some(Period::Steps(steps)) => {
                let _ = writeln!(out, "{name}_steps = {steps}");
            }
            Some(Period::Length(crate::length::Length::Examples(n))) => {
                let _ = writeln!(out, "{name}_steps = {}  # {n} examples", n.div_ceil(change.to));
            }
            Some(Period::Length(length)) => {
                let _ = writeln!(out, "# {name}: {length}");
            }
            None => {}
        }
    }
    if let Some(decay) = s.ema_decay {
        let _ = writeln!(out, "ema_decay = {}", beta(decay));
    }
    if let Some(norm) = s.clip_norm {
        let _ = writeln!(out, "max_grad_norm = {}", digits(norm));
    }
}

fn pytorch(out: &mut String, change: &Change, s: &HyperParameters) {
    extras(out, change, s);
    let name = match change.optimizer {
        Optimizer::Sgd => "torch.optim.SGD",
        Optimizer::Adam => "torch.optim.Adam",
        Optimizer::AdamW => "torch.optim.AdamW",
        Optimizer::RmsProp => "torch.optim.RMSprop",
        // Not in PyTorch: the names that the usual packages give them.
        Optimizer::Lion => "Lion",
        Optimizer::Lars => "LARS",
        Optimizer::Lamb => "Lamb",
    };
    if matches!(change.optimizer, Optimizer::Lion | Optimizer::Lars | Optimizer::Lamb) {
        let _ = writeln!(out, "# {name} is not part of PyTorch: import it from a package that has it");
    }
    let both = betas(s).map(|(one, two)| format!("({}, {})", beta(one), beta(two)));
    let is_rms = change.optimizer == Optimizer::RmsProp;
    let arguments = list(&[
        ("lr", rate(change, s)),
        ("momentum", s.momentum.map(beta)),
        ("betas", both.filter(|_| !is_rms)),
        ("alpha", s.beta2.filter(|_| is_rms).map(beta)),
        ("eps", s.epsilon.map(digits)),
        ("weight_decay", s.weight_decay.map(digits)),
    ]);
    let _ = writeln!(out, "optimizer = {name}(model.parameters(), {arguments})");
}

fn optax(out: &mut String, change: &Change, s: &HyperParameters) {
    extras(out, change, s);
    let name = match change.optimizer {
        Optimizer::Sgd => "sgd",
        // optax.adam has no weight decay; the chain below adds it to the gradient, as PyTorch's Adam does.
        Optimizer::Adam => "adam",
        Optimizer::AdamW => "adamw",
        Optimizer::RmsProp => "rmsprop",
        Optimizer::Lion => "lion",
        Optimizer::Lars => "lars",
        Optimizer::Lamb => "lamb",
    };
    let decays =
        matches!(change.optimizer, Optimizer::AdamW | Optimizer::Lion | Optimizer::Lars | Optimizer::Lamb);
    let is_rms = change.optimizer == Optimizer::RmsProp;
    let has_betas =
        matches!(change.optimizer, Optimizer::Adam | Optimizer::AdamW | Optimizer::Lion | Optimizer::Lamb);
    let has_epsilon = change.optimizer.is_adaptive();
    let arguments = list(&[
        ("learning_rate", rate(change, s)),
        ("momentum", s.momentum.filter(|_| !has_betas).map(beta)),
        ("b1", s.beta1.filter(|_| has_betas).map(beta)),
        ("b2", s.beta2.filter(|_| has_betas).map(beta)),
        ("decay", s.beta2.filter(|_| is_rms).map(beta)),
        ("eps", s.epsilon.filter(|_| has_epsilon).map(digits)),
        ("weight_decay", s.weight_decay.filter(|_| decays).map(digits)),
    ]);
    let mut chain = Vec::new();
    if let Some(norm) = s.clip_norm {
        chain.push(format!("optax.clip_by_global_norm({})", digits(norm)));
    }
    if let Some(decay) = s.weight_decay.filter(|d| !decays && 0.0 < *d) {
        chain.push(format!("optax.add_decayed_weights({})", digits(decay)));
    }
    chain.push(format!("optax.{name}({arguments})"));
    let _ = match chain.as_slice() {
        [only] => writeln!(out, "optimizer = {only}"),
        _ => writeln!(out, "optimizer = optax.chain({})", chain.join(", ")),
    };
}

fn candle(out: &mut String, change: &Change, s: &HyperParameters) {
    let (config, fields): (&str, Vec<(&str, Option<String>)>) = match change.optimizer {
        Optimizer::Sgd => {
            ("Sgd", vec![("momentum", s.momentum.map(beta)), ("weight_decay", s.weight_decay.map(digits))])
        }
        Optimizer::Lars => {
            ("Lars", vec![("momentum", s.momentum.map(beta)), ("weight_decay", s.weight_decay.map(digits))])
        }
        Optimizer::RmsProp => (
            "RmsProp",
            vec![
                ("alpha", s.beta2.map(beta)),
                ("momentum", s.momentum.map(beta)),
                ("epsilon", s.epsilon.map(digits)),
                ("weight_decay", s.weight_decay.map(digits)),
            ],
        ),
        Optimizer::Lion => (
            "Lion",
            vec![
                ("beta1", s.beta1.map(beta)),
                ("beta2", s.beta2.map(beta)),
                ("weight_decay", s.weight_decay.map(digits)),
            ],
        ),
        Optimizer::Adam | Optimizer::AdamW | Optimizer::Lamb => (
            match change.optimizer {
                Optimizer::Adam => "Adam",
                Optimizer::AdamW => "AdamW",
                _ => "Lamb",
            },
            vec![
                ("beta1", s.beta1.map(beta)),
                ("beta2", s.beta2.map(beta)),
                ("epsilon", s.epsilon.map(digits)),
                ("weight_decay", s.weight_decay.map(digits)),
            ],
        ),
    };
    let mut body = String::new();
    for (name, value) in fields {
        if let Some(value) = value {
            let point = if value.contains(['.', 'e']) { "" } else { ".0" };
            let _ = write!(body, " {name}: {value}{point},");
        }
    }
    let _ = writeln!(
        out,
        "let optimizer = OptimizerConfig::{config}({config}Config {{{body} ..{config}Config::USUAL }});\nlet batch: u64 = {};",
        change.to
    );
    if let Some(micro) = s.micro_batch {
        let _ = writeln!(out, "let micro_batch: u64 = {micro};");
    }
    if let Some(rate) = rate(change, s) {
        let point = if rate.contains(['.', 'e']) { "" } else { ".0" };
        let _ = writeln!(out, "let learning_rate = LearningRate({rate}{point});");
    }
    for (name, period) in [("warmup", s.warmup), ("total", s.total), ("evaluate_every", s.evaluate_every)] {
        if let Some(period) = period {
            let _ = writeln!(out, "// {name}: {period}");
        }
    }
}

fn toml(out: &mut String, change: &Change, s: &HyperParameters) {
    let _ = writeln!(out, "batch = {}\noptimizer = \"{}\"", change.to, change.optimizer);
    let numbers = [
        ("lr", rate(change, s)),
        ("momentum", s.momentum.map(beta)),
        ("beta1", s.beta1.map(beta)),
        ("beta2", s.beta2.map(beta)),
        ("eps", s.epsilon.map(digits)),
        ("weight_decay", s.weight_decay.map(digits)),
        ("ema_decay", s.ema_decay.map(beta)),
        ("clip_norm", s.clip_norm.map(digits)),
        ("micro_batch", s.micro_batch.map(|m| m.to_string())),
    ];
    for (name, value) in numbers {
        if let Some(value) = value {
            let _ = writeln!(out, "{name} = {value}");
        }
    }
    for (name, period) in [
        ("warmup", s.warmup),
        ("total", s.total),
        ("evaluate_every", s.evaluate_every),
        ("checkpoint_every", s.checkpoint_every),
    ] {
        if let Some(period) = period {
            let _ = writeln!(out, "{name} = \"{period}\"");
        }
    }
}
