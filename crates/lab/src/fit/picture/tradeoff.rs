//! Steps to the target by batch size, and the fitted hyperbola.

use super::{ACROSS, batch_axis, between, thinned};
use crate::fit::Settings;
use crate::report::chart::{Axis, Chart, ROW};
use crate::report::figure::{Figure, Swatch};
use crate::report::scale::{Kind, Scale};
use crate::report::sign::Shape;
use crate::report::text::{batch_tick, int, num, tick};
use batchwise_estimate::grade::Grade;
use batchwise_estimate::tradeoff::{End, Run, TradeoffFit};

/// Draws every run, the curve with its asymptotes, and B_c with its interval.
pub(crate) fn figure(fit: &TradeoffFit, runs: &[Run], settings: &Settings) -> Figure {
    let steps = |run: &Run| match run.end {
        End::Reached { steps, .. } => Some(steps),
        End::Censored { after } => after,
    };
    let batches: Vec<f64> = runs.iter().map(|run| run.batch).collect();
    let (low, high) = batches.iter().fold((f64::INFINITY, 0.0_f64), |(l, h), b| (l.min(*b), h.max(*b)));
    let b_crit = fit.b_crit.value().filter(|b| (low / 8.0..=high * 8.0).contains(b));
    let bound = fit.b_crit.low().filter(|b| b_crit.is_none() && (low / 8.0..=high * 8.0).contains(b));
    let x = Scale::new(Kind::Octaves, batches.iter().copied().chain(b_crit).chain(bound), ACROSS);
    let curve: Vec<(f64, f64)> = match fit.curve {
        Some(curve) => between(low, high).map(|b| (b, curve.steps(b))).collect(),
        None => Vec::new(),
    };
    let all = runs.iter().filter_map(steps).chain(curve.iter().map(|p| p.1));
    let y = Scale::new(Kind::Log, all, (310.0, 34.0 + ROW));
    let mut chart = Chart::new(x, y, 1);
    if let (Some(from), Some(to), Some(_)) = (fit.b_crit.low(), fit.b_crit.high(), b_crit) {
        chart.band_across(from, to, "area-second", "interval of B_c");
    }
    chart
        .axes(&Axis::new(&batch_axis(settings), &batch_tick), &Axis::new("steps to the target (log)", &tick));
    chart.line(curve, "model");
    if let Some(curve) = fit.curve {
        // The two asymptotes: perfect scaling E_min/B, and S_min.
        chart.line(between(low, high).map(|b| (b, curve.e_min() / b)), "model thin");
        chart.line(between(low, high).map(|b| (b, curve.s_min)), "model thin");
    }
    if let Some(b) = b_crit {
        chart.upright(b, "knee", &format!("B_c = {}", num(b)));
    }
    if let Some(b) = bound {
        chart.upright(b, "knee", &format!("B_c at least {}", num(b)));
    }
    for run in thinned(runs) {
        match run.end {
            End::Reached { steps, .. } => {
                let tip = format!("batch {}: {} steps", int(run.batch as u64), num(steps));
                chart.point(run.batch, steps, Shape::Dot, "data", &tip);
            }
            End::Censored { after: Some(after) } => {
                let tip = format!("batch {}: not reached within {} steps", int(run.batch as u64), num(after));
                chart.arrow_up(run.batch, after, "limit", &tip);
            }
            End::Censored { after: None } => {
                chart.cross_at_top(
                    run.batch,
                    "limit",
                    &format!("batch {}: never reached", int(run.batch as u64)),
                );
            }
        }
    }
    let mut legend = vec![(Swatch::Point(Shape::Dot, "data"), "a run".to_owned())];
    if fit.curve.is_some() {
        legend.push((Swatch::Line("model"), "S_min(1 + B_c/B), thin: its two limits".to_owned()));
    }
    if b_crit.is_some() {
        legend.push((Swatch::Area("area-second"), format!("B_c, {} interval", settings.percent())));
    }
    if runs.iter().any(|run| matches!(run.end, End::Censored { after: Some(_) })) {
        legend.push((Swatch::Arrow("limit"), "not reached within these steps".to_owned()));
    }
    if runs.iter().any(|run| matches!(run.end, End::Censored { after: None })) {
        legend.push((Swatch::Point(Shape::Cross, "limit"), "never reached".to_owned()));
    }
    Figure {
        id: "fit-tradeoff",
        name: "Steps to the target".to_owned(),
        spoken: format!("Steps to the target against batch size, {} runs", runs.len()),
        height: 356.0,
        body: chart.finish(),
        legend,
        caption: match fit.grade {
            Grade::Measured => {
                "Left of B_c a doubled batch nearly halves the steps; right of it, it buys little.".to_owned()
            }
            _ => super::super::answer::sentence(&fit.reasons),
        },
    }
}
