//! Everything but the learning rate.

use super::{Change, Difference, Evidence, HyperParameters, Optimizer, Period, Value};
use crate::length::Length;
use crate::rules::decays::{first_order, half_life};

const MALLADI: &str = "Malladi et al. 2022, arXiv 2205.10287";
const MAREK: &str = "Marek et al. 2025, arXiv 2507.07101";

pub(super) fn apply(out: &mut Change, old: &HyperParameters, evidence: &Evidence) {
    momentum(out, old, evidence);
    let beta2 = decay(out, "beta2", old.beta2, evidence.first_order, MAREK, MALLADI);
    out.settings.beta2 = beta2.or(old.beta2);
    epsilon(out, old);
    weight_decay(out, old);
    let busbridge = "Busbridge et al. 2023, arXiv 2307.13813";
    let ema = decay(out, "ema_decay", old.ema_decay, false, busbridge, busbridge);
    out.settings.ema_decay = ema.or(old.ema_decay);
    warmup(out, old);
    let periods = [
        ("total", old.total, "the same examples"),
        ("evaluate_every", old.evaluate_every, "as many examples between evaluations"),
        ("checkpoint_every", old.checkpoint_every, "as many examples between checkpoints"),
    ];
    for (name, period, why) in periods {
        let new = period.map(|period| same_examples(out, name, period, why));
        match name {
            "total" => out.settings.total = new,
            "evaluate_every" => out.settings.evaluate_every = new,
            _ => out.settings.checkpoint_every = new,
        }
    }
    clip(out, old);
    accumulation(out, old);
}

/// A decay by its half-life in examples.
fn decay(
    out: &mut Change,
    name: &str,
    old: Option<f64>,
    first: bool,
    source: &str,
    source_first: &str,
) -> Option<f64> {
    let beta = old?;
    let result = if first { first_order(beta, out.kappa) } else { half_life(beta, out.kappa) };
    match result {
        Ok(new) => {
            let rule = if first {
                "first order of the half-life, 1 − κ(1 − β)"
            } else {
                "the same half-life in examples, β^κ"
            };
            let averages_little = name == "beta2" && new < 0.9 && 1.0 < out.kappa;
            out.add(Difference {
                name: name.to_owned(),
                old: Value::Number(beta),
                new: Value::Number(new),
                rule: rule.to_owned(),
                source: if first { source_first } else { source }.to_owned(),
                caveat: if averages_little {
                    "an average over so few steps is itself noisy; many keep at least 0.95".to_owned()
                } else if first {
                    "neither composes nor goes back exactly".to_owned()
                } else {
                    String::new()
                },
                settle: if averages_little {
                    "a run with the old value beside one with the new".to_owned()
                } else {
                    String::new()
                },
                exact: !first,
            });
            Some(new)
        }
        Err(error) => {
            out.refuse(name, error.to_string());
            None
        }
    }
}

/// β₁ of Adam and momentum of SGD: a dispute, so the cautious default is no change.
fn momentum(out: &mut Change, old: &HyperParameters, evidence: &Evidence) {
    for (name, value) in [("momentum", old.momentum), ("beta1", old.beta1)] {
        let Some(beta) = value else { continue };
        let new = if evidence.momentum_follows {
            decay(out, name, Some(beta), evidence.first_order, MALLADI, MALLADI).unwrap_or(beta)
        } else {
            out.add(Difference {
                name: name.to_owned(),
                old: Value::Number(beta),
                new: Value::Number(beta),
                rule: "unchanged".to_owned(),
                source: if name == "beta1" { MAREK } else { "Goyal et al. 2017, arXiv 1706.02677" }.to_owned(),
                caveat: if name == "beta1" && out.kappa != 1.0 {
                    "disputed: Malladi et al. 2022 scale β₁ as they do β₂; Marek et al. 2025 found 0.9 good at every batch size".to_owned()
                } else {
                    String::new()
                },
                settle: if out.kappa == 1.0 { "" } else { "two short runs, with the value kept and with the same half-life in examples" }.to_owned(),
                exact: true,
            });
            beta
        };
        if name == "momentum" {
            out.settings.momentum = Some(new);
        } else {
            out.settings.beta1 = Some(new);
        }
    }
}

fn epsilon(out: &mut Change, old: &HyperParameters) {
    let Some(epsilon) = old.epsilon else { return };
    let follows = out.optimizer.is_adaptive();
    let new = if follows { epsilon / out.kappa.sqrt() } else { epsilon };
    out.settings.epsilon = Some(new);
    out.add(Difference {
        name: "eps".to_owned(),
        old: Value::Number(epsilon),
        new: Value::Number(new),
        rule: if follows { "follows the root of the second moment, ε/√κ" } else { "unchanged" }.to_owned(),
        source: MALLADI.to_owned(),
        caveat: if follows {
            "matters only where ε is not small against the root of the second moment"
        } else {
            ""
        }
        .to_owned(),
        settle: String::new(),
        exact: true,
    });
}

/// λ → λ·κ·η/η′: the timescale B/(ηλ) over which weights are forgotten, in examples, stays.
fn weight_decay(out: &mut Change, old: &HyperParameters) {
    let Some(decay) = old.weight_decay else { return };
    let ratio = match (old.learning_rate, out.rule, out.settings.learning_rate) {
        (Some(before), Some(_), Some(after)) => before / after,
        (Some(_), ..) => {
            return out.refuse("weight_decay", "it follows the learning rate, for which no rule holds here");
        }
        (None, ..) if out.kappa == 1.0 => 1.0,
        (None, ..) => {
            return out.refuse("weight_decay", "it follows the learning rate, which is not given");
        }
    };
    let new = decay * out.kappa * ratio;
    out.settings.weight_decay = Some(new);
    let decoupled = matches!(out.optimizer, Optimizer::AdamW | Optimizer::Lion | Optimizer::Lamb);
    let adam = out.optimizer == Optimizer::Adam || out.optimizer == Optimizer::RmsProp;
    out.add(Difference {
        name: "weight_decay".to_owned(),
        old: Value::Number(decay),
        new: Value::Number(new),
        rule: "the same timescale B/(ηλ) in examples, λ·κ·η/η′".to_owned(),
        source: "Wang & Aitchison 2024, arXiv 2405.13698; Bergsma et al. 2025, arXiv 2505.13738".to_owned(),
        caveat: if adam {
            "derived for decoupled decay; here it goes through the gradient and is divided by its size"
                .to_owned()
        } else if decoupled && out.kappa != 1.0 {
            "for batches below the critical one".to_owned()
        } else {
            String::new()
        },
        settle: String::new(),
        exact: true,
    });
}

fn warmup(out: &mut Change, old: &HyperParameters) {
    let Some(warmup) = old.warmup else {
        if 4.0 <= out.kappa {
            out.refuse("warmup", least_warmup(out));
        }
        return;
    };
    let new = same_examples(out, "warmup", warmup, "the same examples");
    out.settings.warmup = Some(new);
    if 4.0 <= out.kappa
        && let Some(last) = out.changes.last_mut()
    {
        last.caveat = format!("the batch grows {:.0}-fold: a longer warmup may be needed", out.kappa);
        last.settle = "the loss of the first steps: a spike asks for a longer one".to_owned();
    }
}

fn least_warmup(out: &Change) -> String {
    let usual = match (out.optimizer.is_adaptive(), out.settings.beta2) {
        (true, Some(beta2)) if beta2 < 1.0 => {
            let steps = (2.0 / (1.0 - beta2)).ceil();
            format!("about 2/(1 − β₂) = {steps:.0} steps are usual")
        }
        _ => "Goyal et al. 2017 use 5 epochs".to_owned(),
    };
    format!("none is given, and the batch grows {:.0}-fold: begin with a linear one ({usual})", out.kappa)
}

/// A length in examples stays; steps are divided by κ, rounded up, so that no example is lost.
fn same_examples(out: &mut Change, name: &str, period: Period, why: &str) -> Period {
    let (new, rule, exact) = match period {
        Period::Length(
            length @ (Length::Fraction(_) | Length::Epochs(_) | Length::Examples(_) | Length::Tokens(_)),
        ) => (Period::Length(length), format!("unchanged: {why}"), true),
        Period::Steps(steps) => {
            let examples = u128::from(steps) * u128::from(out.from);
            let new = u64::try_from(examples.div_ceil(u128::from(out.to))).unwrap_or(u64::MAX);
            (
                Period::Steps(new),
                format!("{why}: steps/κ, rounded up"),
                examples.is_multiple_of(u128::from(out.to)),
            )
        }
    };
    out.add(Difference {
        name: name.to_owned(),
        old: Value::Text(period.to_string()),
        new: Value::Text(new.to_string()),
        rule,
        source: "every clock counts examples".to_owned(),
        caveat: if exact { "" } else { "rounded to whole steps; set it in examples to be exact" }.to_owned(),
        settle: String::new(),
        exact,
    });
    new
}

fn clip(out: &mut Change, old: &HyperParameters) {
    let Some(norm) = old.clip_norm else { return };
    out.add(Difference {
        name: "clip_norm".to_owned(),
        old: Value::Number(norm),
        new: Value::Number(norm),
        rule: "unchanged".to_owned(),
        source: "practice".to_owned(),
        caveat: match out.kappa {
            k if k < 1.0 => {
                "gradients of smaller batches are noisier and longer: more of them will be clipped"
            }
            k if 1.0 < k => "gradients of larger batches are shorter: fewer of them will be clipped",
            _ => "",
        }
        .to_owned(),
        settle: "the share of steps that are clipped, before and after".to_owned(),
        exact: true,
    });
}

fn accumulation(out: &mut Change, old: &HyperParameters) {
    let Some(micro) = old.micro_batch else { return };
    let (before, after) = (out.from.div_ceil(micro), out.to.div_ceil(micro));
    let new = micro.min(out.to);
    out.settings.micro_batch = Some(new);
    out.add(Difference {
        name: "accumulation_steps".to_owned(),
        old: Value::Number(before as f64),
        new: Value::Number(after as f64),
        rule: format!("micro-batches of {new} as before"),
        source: "memory changes never change the mathematics".to_owned(),
        caveat: if out.to.is_multiple_of(micro) || out.to < micro {
            String::new()
        } else {
            "the last micro-batch is smaller: weigh it by its examples".to_owned()
        },
        settle: String::new(),
        exact: true,
    });
}
