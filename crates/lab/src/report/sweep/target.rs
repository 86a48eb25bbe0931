//! Examples and seconds to the target by batch size, as they were seen.

use super::super::chart::{Axis, Chart, WIDTH};
use super::super::figure::{Figure, Swatch};
use super::super::scale::{Kind, Scale};
use super::super::sign::Shape;
use super::super::text::{batch_tick, int, num, seconds, tick};
use crate::sweep::answer::{BatchSummary, Fate, Group, SeedRun, Spread};

const ACROSS: (f64, f64) = (66.0, WIDTH - 14.0);
/// Lower and upper edge of the panels.
const PANELS: [(f64, f64); 2] = [(200.0, 34.0), (398.0, 250.0)];
const POINTS: usize = 60;

/// What one panel shows.
struct Panel<'a> {
    of: fn(&SeedRun) -> Option<f64>,
    mean: fn(&BatchSummary) -> Option<Spread>,
    shown: &'a dyn Fn(f64) -> String,
    name: String,
    across: String,
    curve: Vec<(f64, f64)>,
}

/// Draws both panels.
pub(super) fn figure(group: &Group, unit: &str) -> Figure {
    let ends = group.batches.first().zip(group.batches.last()).map(|(a, b)| (a.batch as f64, b.batch as f64));
    let curve = match (group.steps.as_ref().and_then(|steps| steps.fit.curve), ends) {
        (Some(curve), Some((low, high))) => {
            let at = |i: usize| low * (high / low).powf(i as f64 / POINTS as f64);
            (0..=POINTS).map(at).map(|b| (b, curve.examples(b))).collect()
        }
        _ => Vec::new(),
    };
    let has_curve = !curve.is_empty();
    let timed = group.batches.iter().any(|batch| batch.seconds.is_some());
    let across = format!("batch size ({unit})");
    let examples = Panel {
        of: |run| Some(run.examples),
        mean: |batch| batch.examples,
        shown: &num,
        name: format!("{unit} to the target (log)"),
        across: if timed { String::new() } else { across.clone() },
        curve,
    };
    let time = Panel {
        of: |run| run.seconds,
        mean: |batch| batch.seconds,
        shown: &seconds,
        name: "time to the target (log)".to_owned(),
        across,
        curve: Vec::new(),
    };
    let mut body = panel(group, &examples, PANELS[0]);
    if timed {
        body.push_str(&panel(group, &time, PANELS[1]));
    }
    let mut legend = vec![
        (Swatch::Point(Shape::Dot, "data"), "a run".to_owned()),
        (Swatch::Point(Shape::Diamond, "advice"), "mean over the seeds".to_owned()),
    ];
    if has_curve {
        legend.push((Swatch::Line("model"), "examples by the fit, E_min(1 + B/B_c)".to_owned()));
    }
    if group.batches.iter().flat_map(|b| &b.runs).any(|run| run.fate != Fate::Reached) {
        legend.push((Swatch::Arrow("limit"), "not reached within this".to_owned()));
    }
    Figure {
        id: "fig-to-target",
        name: format!("{} and time to the target", crate::prose::capitalized(unit)),
        spoken: format!(
            "{unit} and seconds to the target against batch size, {} batch sizes",
            group.batches.len()
        ),
        height: if timed { 444.0 } else { 246.0 },
        body,
        legend,
        caption: caption(group, unit),
    }
}

fn panel(group: &Group, panel: &Panel<'_>, pixels: (f64, f64)) -> String {
    let runs = || group.batches.iter().flat_map(|b| b.runs.iter().map(move |run| (b.batch as f64, run)));
    let values = runs().filter_map(|(_, run)| (panel.of)(run)).chain(panel.curve.iter().map(|p| p.1));
    let x = Scale::new(Kind::Octaves, group.batches.iter().map(|b| b.batch as f64), ACROSS);
    let mut chart = Chart::new(x, Scale::new(Kind::Log, values, pixels), 0);
    let label: &dyn Fn(f64) -> String = if panel.across.is_empty() { &tick } else { panel.shown };
    chart.axes(&Axis::new(&panel.across, &batch_tick), &Axis::new(&panel.name, label));
    chart.line(panel.curve.iter().copied(), "model");
    for (batch, run) in runs() {
        let Some(value) = (panel.of)(run) else { continue };
        let tip = format!("batch {}, seed {}: {}", int(batch as u64), run.seed, (panel.shown)(value));
        match run.fate {
            Fate::Reached => chart.point(batch, value, Shape::Dot, "data", &tip),
            Fate::Diverged => chart.cross_at_top(batch, "limit", &format!("{tip}, diverged")),
            _ => chart.arrow_up(batch, value, "limit", &format!("{tip}, target not reached")),
        }
    }
    for batch in &group.batches {
        if let Some(mean) = (panel.mean)(batch).filter(|mean| mean.censored == 0) {
            let tip = format!("batch {}: mean {}", int(batch.batch), (panel.shown)(mean.mean));
            chart.point(batch.batch as f64, mean.mean, Shape::Diamond, "advice", &tip);
        }
    }
    if group.batches.iter().all(|batch| (panel.mean)(batch).is_none()) {
        chart.words("no run has a result");
    }
    chart.finish()
}

fn caption(group: &Group, unit: &str) -> String {
    let least = |of: fn(&BatchSummary) -> Option<Spread>| {
        let reached = |s: &Spread| s.censored == 0;
        let all = group.batches.iter().filter_map(|b| Some((b.batch, of(b).filter(reached)?.mean)));
        all.min_by(|a, b| a.1.total_cmp(&b.1))
    };
    let mut words = match least(|b| b.examples) {
        Some((batch, mean)) => {
            format!("The fewest {unit} were needed at batch size {}: {}.", int(batch), num(mean))
        }
        None => "At no batch size did every run reach the target.".to_owned(),
    };
    if let Some((batch, mean)) = least(|b| b.seconds) {
        words.push_str(&format!(
            " The shortest time was seen at batch size {}: {}.",
            int(batch),
            seconds(mean)
        ));
    }
    words
}
