//! A result as a person reads it.

use super::result::{LayerNoise, TrainResult};
use crate::cli::show;
use batchwise_estimate::fieller::Ratio;
use batchwise_lab::bytes;
use batchwise_lab::probe::trial::Generalisation;
use batchwise_train::best::Stop;

/// Shows a result as a person reads it.
pub(super) fn print(result: &TrainResult) {
    let known =
        |value: Option<f64>, digits: usize| value.map_or("–".to_owned(), |v| format!("{v:.digits$}"));
    let percent = |value: Option<f64>| known(value.map(|value| 100.0 * value), 2);
    let mut rows = vec![
        ("examples", format!("{} in {} steps of {}", result.examples, result.steps, result.batch_schedule)),
        ("micro-batch", result.micro_batch.to_string()),
        ("learning rate", result.learning_rate_schedule.clone()),
        (
            "time",
            format!(
                "{:.1} s, {:.0} examples/s",
                result.seconds,
                result.examples as f64 / result.seconds.max(1e-9)
            ),
        ),
        ("train loss", known(result.train_loss, 4)),
        ("test loss", format!("{} ± {}", known(result.test_loss, 4), known(result.test_loss_error, 4))),
        ("peak memory", result.memory.peak_bytes.map_or("–".to_owned(), bytes::human)),
        ("weights", result.weights_sha256.clone()),
    ];
    if result.test_accuracy.is_some() {
        let text = format!("{} ± {} %", percent(result.test_accuracy), percent(result.test_accuracy_error));
        rows.insert(6, ("test accuracy", text));
    }
    if !result.changes.is_empty() {
        rows.insert(1, ("batch", sizes(result)));
    }
    if let Some(target) = &result.target {
        let when = result.reached_target_at.as_ref().map_or("not reached".to_owned(), |at| {
            let between = &at.between.examples;
            format!(
                "after {:.0} examples ({:.0} to {:.0}), {:.0} steps, {:.1} s",
                at.examples, between.low, between.high, at.steps, at.seconds
            )
        });
        rows.push(("target", format!("{target}: {when}")));
    }
    if let Some(noise) = &result.noise {
        rows.push((
            "noise scale φ",
            format!("{}, second half, {} readings", phi(&noise.phi), noise.readings),
        ));
        for scale in &noise.preconditioned {
            rows.push(("preconditioned φ", format!("{}, by {}", phi(&scale.phi), scale.formula)));
        }
        if let Some(cost) = &noise.cost {
            let (each, all) = (100.0 * cost.per_measurement, 100.0 * cost.of_training);
            rows.push((
                "its cost",
                format!("{each:+.1} % of a step that measures, {all:+.1} % of the training"),
            ));
        }
    }
    if let Some(average) = &result.average {
        let accuracy = average.test_accuracy.map(|a| format!(", accuracy {:.2} %", 100.0 * a));
        rows.push((
            "average of weights",
            format!("test loss {:.4}{}", average.test_loss, accuracy.unwrap_or_default()),
        ));
    }
    if let Some(best) = &result.best {
        let file = best.weights.map(|file| format!(", in {file}")).unwrap_or_default();
        let (metric, examples) = (best.metric, best.examples);
        rows.push(("best evaluation", format!("{metric} {:.4} after {examples} examples{file}", best.value)));
    }
    if let Some(Stop::NoImprovement { examples }) = &result.ended {
        rows.push(("ended", format!("no evaluation was better for {} examples", examples.0)));
    }
    if let Some(seen) = &result.generalisation {
        rows.extend(generalisation(seen));
    }
    if 0 < result.skipped {
        rows.push(("left out", format!("{} batches that were not finite", result.skipped)));
    }
    for (name, value) in rows {
        show::line(&format!("{name:>20}  {value}"));
    }
    layers(result);
    if let Some(timing) = &result.timing {
        show::line(&format!("\n{}", timing.phases));
        if let Some(trace) = &timing.trace {
            let dropped = match trace.n_dropped {
                0 => String::new(),
                n => format!("; {n} more did not fit"),
            };
            let (n, path) = (trace.n_events, trace.path.display());
            show::line(&format!("\nTrace: {path}, {n} spans{dropped} (open it in https://ui.perfetto.dev)"));
        }
    }
}

fn phi(phi: &Ratio) -> String {
    match phi {
        Ratio::Measured { value, low, high } => format!("{value:.0} examples ({low:.0} to {high:.0})"),
        Ratio::LowerBound { low } => format!("at least {low:.0} examples"),
        Ratio::WholeLine | Ratio::NotIdentified { .. } => "not identified".to_owned(),
    }
}

/// The noise of each parameter, if it was asked for.
fn layers(result: &TrainResult) {
    let layers = result.noise.as_ref().map_or(&[][..], |noise| &noise.layers);
    if layers.is_empty() {
        return;
    }
    show::line("");
    let head = ["parameter", "share of tr Σ", "φ"].map(str::to_owned).to_vec();
    let row = |layer: &LayerNoise| {
        vec![layer.name.clone(), format!("{:.1} %", 100.0 * layer.share), phi(&layer.phi)]
    };
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(layers.iter().map(row)).collect();
    show::table(&rows);
}

fn generalisation(seen: &Generalisation) -> Vec<(&'static str, String)> {
    let number = |value: Option<f64>, error: Option<f64>| match (value, error) {
        (Some(value), Some(error)) => format!("{value:.4} ± {error:.4}"),
        (Some(value), None) => format!("{value:.4}"),
        (None, _) => "not identified".to_owned(),
    };
    let why = |why: &Option<String>| why.as_ref().map_or(String::new(), |why| format!(" ({why})"));
    let (gap, sharp, top) = (&seen.gap, &seen.sharpness, &seen.top_eigenvalue);
    let on = format!("on {} training examples", sharp.n_examples);
    let within = match (top.low, top.high) {
        (Some(low), Some(high)) => format!(" ({low:.3} to {high:.3})"),
        _ => String::new(),
    };
    let curvature = match (top.value, top.low) {
        (Some(value), _) => format!("{value:.3}{within}"),
        (None, Some(low)) => format!("at least {low:.3}"),
        (None, None) => "not identified".to_owned(),
    };
    let mut rows = vec![
        ("test − train loss", format!("{}{}", number(gap.loss, gap.loss_error), why(&gap.why))),
        (
            "sharpness",
            format!(
                "{} at radius {}, {on}{}",
                number(sharp.value, sharp.error),
                sharp.config.rho,
                why(&sharp.why)
            ),
        ),
        ("top eigenvalue", format!("{curvature}, {} iterations, {on}{}", top.iterations, why(&top.why))),
    ];
    if let Some(temperature) = seen.temperature {
        rows.push(("temperature", format!("{temperature:.3e} at the peak learning rate")));
    }
    rows
}

/// The sizes a run went through, at most a dozen.
fn sizes(result: &TrainResult) -> String {
    let most = 12;
    let shown = result.changes.iter().take(most).map(|c| {
        let part = 100.0 * c.examples as f64 / result.examples.max(1) as f64;
        format!(" → {} at {part:.0} %", c.after)
    });
    let more = result.changes.len().saturating_sub(most);
    let rest = if 0 < more { format!(" and {more} more changes") } else { String::new() };
    format!("{}{}{rest}", result.batch_size, shown.collect::<String>())
}
