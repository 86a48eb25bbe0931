//! `change`: the hyper-parameters at another batch size.

use crate::cli::arguments::{ChangeArguments, RuleName};
use crate::cli::{Options, show};
use batchwise_estimate::fieller::Ratio;
use batchwise_lab::LabError;
use batchwise_lab::advice::Advice;
use batchwise_schedule::Scaling;
use batchwise_schedule::change::{
    Change, Evidence, Framework, HyperParameters, Noise, Optimizer, RuleChoice, Value, change, paste,
};
use std::path::Path;

pub(super) fn run(options: &Options, arguments: &ChangeArguments) -> Result<(), LabError> {
    let advice = arguments.advice.as_deref().map(read).transpose()?;
    let change = plan(options, arguments, advice.as_ref())?;
    if options.json {
        show::json(&change);
    } else if let Some(framework) = framework(arguments) {
        show::line(paste(&change, framework).trim_end());
    } else {
        table(&change);
    }
    Ok(())
}

fn framework(arguments: &ChangeArguments) -> Option<Framework> {
    let chosen = [
        (arguments.pytorch, Framework::PyTorch),
        (arguments.optax, Framework::Optax),
        (arguments.candle, Framework::Candle),
        (arguments.toml, Framework::Toml),
    ];
    chosen.into_iter().find(|(is_chosen, _)| *is_chosen).map(|(_, framework)| framework)
}

fn plan(options: &Options, arguments: &ChangeArguments, advice: Option<&Advice>) -> Result<Change, LabError> {
    let input = |text: &str| LabError::Input(text.to_owned());
    let optimizer: Optimizer = match (options.optimizer, advice) {
        (Some(name), _) => name.rules(),
        (None, Some(advice)) => of_advice(advice)?,
        (None, None) => {
            return Err(input("which rules hold depends on the optimizer: name it with --optimizer"));
        }
    };
    let from = arguments.from.or(advice.map(|a| a.batch_size)).ok_or_else(|| {
        input("the batch size that the hyper-parameters suit is missing: give --from, or --advice with advice.json")
    })?;
    let settings = HyperParameters {
        learning_rate: arguments.lr.or(advice.map(|a| a.learning_rate)),
        momentum: arguments.momentum,
        beta1: arguments.beta1,
        beta2: arguments.beta2,
        epsilon: arguments.eps,
        weight_decay: arguments.weight_decay,
        ema_decay: arguments.ema,
        warmup: arguments.warmup,
        total: arguments.total,
        evaluate_every: arguments.evaluate_every,
        checkpoint_every: arguments.checkpoint_every,
        clip_norm: arguments.clip_norm,
        micro_batch: arguments.micro_batch,
    };
    let noise = match (arguments.noise_scale, advice.map(|a| &a.noise.average)) {
        (Some(phi), _) => Some(Noise::Measured { phi }),
        (None, Some(Ratio::Measured { value, .. })) => Some(Noise::Measured { phi: *value }),
        (None, Some(Ratio::LowerBound { low })) => Some(Noise::LowerBound { low: *low }),
        (None, _) => None,
    };
    let dataset_size = arguments.dataset_size.or(advice.map(|a| a.provenance.data.train_examples));
    let evidence = Evidence {
        noise,
        dataset_size,
        rule: rule(arguments, noise)?,
        first_order: arguments.first_order,
        momentum_follows: arguments.momentum_follows,
    };
    change(from, arguments.to, optimizer, &settings, &evidence)
        .map_err(|error| LabError::Input(error.to_string()))
}

fn rule(arguments: &ChangeArguments, noise: Option<Noise>) -> Result<RuleChoice, LabError> {
    let phi = || match noise {
        Some(Noise::Measured { phi } | Noise::LowerBound { low: phi }) => Ok(phi),
        None => {
            Err(LabError::Input("this rule needs the noise scale: give --noise-scale or --advice".to_owned()))
        }
    };
    let missing = |what: &str| LabError::Input(format!("this rule needs {what}"));
    if arguments.exponent.is_some() && arguments.rule != RuleName::Power {
        return Err(LabError::Input("--exponent goes with --rule power".to_owned()));
    }
    if arguments.peak_batch.is_some() && arguments.rule != RuleName::Surge {
        return Err(LabError::Input("--peak-batch goes with --rule surge".to_owned()));
    }
    if let Some(found) = arguments.exponent.filter(|e| !(-1.0..=2.0).contains(e)) {
        return Err(LabError::Input(format!("--exponent is {found}, but must be between -1 and 2")));
    }
    if let Some(found) = arguments.peak_batch.filter(|b| !(b.is_finite() && 0.0 < *b)) {
        return Err(LabError::Input(format!("--peak-batch is {found}, but must be a finite number above 0")));
    }
    Ok(RuleChoice::Use(match arguments.rule {
        RuleName::Auto => return Ok(RuleChoice::Auto),
        RuleName::Linear => Scaling::Linear,
        RuleName::Sqrt => Scaling::SquareRoot,
        RuleName::Keep => Scaling::Keep,
        RuleName::NoiseScale => Scaling::NoiseScale { phi: phi()? },
        RuleName::RootNoiseScale => Scaling::RootNoiseScale { phi: phi()? },
        RuleName::Power => {
            Scaling::Power { exponent: arguments.exponent.ok_or_else(|| missing("--exponent"))? }
        }
        RuleName::Surge => {
            Scaling::Surge { peak_batch: arguments.peak_batch.ok_or_else(|| missing("--peak-batch"))? }
        }
    }))
}

fn read(path: &Path) -> Result<Advice, LabError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| LabError::Input(format!("cannot read {}: {error}", path.display())))?;
    serde_json::from_str(&text)
        .map_err(|error| LabError::Input(format!("{} is no advice.json: {error}", path.display())))
}

/// The optimizer that an advice was made for, by the first word of its description.
fn of_advice(advice: &Advice) -> Result<Optimizer, LabError> {
    let word = advice.provenance.optimizer.split_whitespace().next().unwrap_or_default().to_lowercase();
    word.parse().map_err(|_| {
        LabError::Input(format!(
            "the advice is for `{}`: name the optimizer with --optimizer",
            advice.provenance.optimizer
        ))
    })
}

fn table(change: &Change) {
    show::line(&format!(
        "batch {} -> {} (×{}), {}\n",
        change.from, change.to, change.kappa, change.optimizer
    ));
    let value = |v: &Value| match v {
        Value::Number(x) => short(*x),
        Value::Text(text) => text.clone(),
    };
    let rows: Vec<[String; 4]> = change
        .changes
        .iter()
        .map(|d| {
            let new = if d.old == d.new { "same".to_owned() } else { value(&d.new) };
            [d.name.clone(), value(&d.old), new, d.rule.clone()]
        })
        .collect();
    let width = |k: usize| rows.iter().map(|r| r[k].chars().count()).max().unwrap_or(0);
    let (name, old, new) = (width(0), width(1), width(2));
    for row in &rows {
        show::line(&format!("  {:<name$}  {:>old$}  ->  {:<new$}  {}", row[0], row[1], row[2], row[3]));
    }
    for refusal in &change.refused {
        show::line(&format!("\n  {} is refused: {}", refusal.name, refusal.reason));
    }
    let doubtful: Vec<_> = change.changes.iter().filter(|d| !d.caveat.is_empty()).collect();
    if !doubtful.is_empty() {
        show::line("\nDoubtful:");
    }
    for d in doubtful {
        let settle =
            if d.settle.is_empty() { String::new() } else { format!(" To settle it: {}.", d.settle) };
        show::line(&format!("  {}: {}.{settle}", d.name, d.caveat));
    }
    if 1 < change.sweep.len() {
        let rates: Vec<String> = change.sweep.iter().map(|r| short(*r)).collect();
        show::line(&format!("\nLearning rates to try: {}", rates.join(", ")));
    }
    let sources: Vec<String> = change.changes.iter().map(|d| format!("{}: {}", d.name, d.source)).collect();
    if sources.is_empty() {
        show::line("  nothing to change was given: --lr, --beta2, --weight-decay, --warmup, …");
    } else {
        show::line(&format!("\nSources: {}", sources.join("; ")));
    }
}

/// Four digits, or what a number close to 1 needs.
fn short(value: f64) -> String {
    if value != 0.0 && !(1e-3..1e6).contains(&value.abs()) {
        return format!("{value:.3e}");
    }
    let digits = if 0.9 < value && value < 1.0 {
        (3.0 - (1.0 - value).log10()).ceil().clamp(3.0, 15.0) as usize
    } else {
        (4.0 - value.abs().max(1e-3).log10().floor()).clamp(0.0, 8.0) as usize
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
