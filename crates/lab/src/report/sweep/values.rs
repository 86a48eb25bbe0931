//! The judged value by batch size: after equally many examples, after equally many steps, and at the end.

use super::super::chart::{Axis, Chart, WIDTH};
use super::super::figure::{Figure, Swatch};
use super::super::scale::{Kind, Scale};
use super::super::sign::Shape;
use super::super::text::{batch_tick, int, tick};
use crate::sweep::answer::{BatchSummary, Group, Spread};
use crate::sweep::tables::{spread, value};

const ACROSS: (f64, f64) = (66.0, WIDTH - 14.0);

/// One kind of value: its sign and where it stands beside the batch size.
struct Series {
    of: fn(&BatchSummary) -> Option<Spread>,
    shape: Shape,
    class: &'static str,
    beside: f64,
    words: String,
}

/// Draws the values with their standard deviations over the seeds.
pub(super) fn figure(group: &Group, unit: &str) -> Figure {
    let equal = group.equal;
    let at = |n: Option<u64>, what: &str| n.map(|n| format!("after {} {what}", int(n)));
    let mut all = vec![Series {
        of: |b| b.value_at_end,
        shape: Shape::Ring,
        class: "data",
        beside: 1.0,
        words: "at the end of the run".to_owned(),
    }];
    if let Some(words) = at(equal.examples, unit) {
        all.push(Series {
            of: |b| b.value_at_equal_examples,
            shape: Shape::Dot,
            class: "data",
            beside: 0.9,
            words,
        });
    }
    if let Some(words) = at(equal.steps, "steps") {
        all.push(Series {
            of: |b| b.value_at_equal_steps,
            shape: Shape::Diamond,
            class: "advice",
            beside: 1.1,
            words,
        });
    }
    let spreads: Vec<Spread> = all.iter().flat_map(|s| group.batches.iter().filter_map(s.of)).collect();
    let ends = |s: &Spread| [s.mean - s.sd.unwrap_or(0.0), s.mean, s.mean + s.sd.unwrap_or(0.0)];
    let values: Vec<f64> = spreads.iter().flat_map(ends).collect();
    let x = Scale::new(Kind::Octaves, group.batches.iter().map(|b| b.batch as f64), ACROSS);
    let y = Scale::log_beyond(8.0, Kind::Linear, &values, (310.0, 34.0));
    let name =
        if y.is_log() { format!("{} (log)", group.judge.name()) } else { group.judge.name().to_owned() };
    let mut chart = Chart::new(x, y, 0);
    let across = format!("batch size ({unit})");
    chart.axes(&Axis::new(&across, &batch_tick), &Axis::new(&name, &tick));
    let mut legend = Vec::new();
    for series in &all {
        for batch in &group.batches {
            let Some(s) = (series.of)(batch) else { continue };
            let at = batch.batch as f64 * series.beside;
            if let Some(sd) = s.sd {
                chart.bar(at, s.mean - sd, s.mean + sd, series.class);
            }
            let tip = format!("batch {}, {}: {}", int(batch.batch), series.words, spread(Some(s), value));
            chart.point(at, s.mean, series.shape, series.class, &tip);
        }
        legend.push((Swatch::Point(series.shape, series.class), series.words.clone()));
    }
    Figure {
        id: "fig-values",
        name: format!("{} at equal budgets", crate::prose::capitalized(group.judge.name())),
        spoken: format!(
            "{} against batch size, after equally many examples, equally many steps and at the end",
            group.judge.name()
        ),
        height: 352.0,
        body: chart.finish(),
        legend,
        caption: caption(group, unit),
    }
}

fn caption(group: &Group, unit: &str) -> String {
    let better = if group.judge.more_is_better { "more" } else { "less" };
    let mut words = format!(
        "Each batch size at its best learning rate, mean ± standard deviation over the seeds; {better} is better."
    );
    match (group.equal.examples, group.equal.steps) {
        (Some(examples), Some(steps)) => words.push_str(&format!(
            " {} {unit} and {} steps are the most up to which every run was evaluated; between evaluations the value is read \
             off a straight line.",
            int(examples),
            int(steps)
        )),
        _ => words.push_str(" At equal budgets nothing can be compared: evaluations at two batch sizes or more are needed."),
    }
    if group.equal.steps.is_some() && group.batches.iter().any(|b| b.value_at_equal_steps.is_none()) {
        words
            .push_str(" Batch sizes that had no evaluation so early are missing there: evaluate more often.");
    }
    if group.target.is_some() {
        words.push_str(" Runs end at their target, so the values at the end are alike.");
    }
    words
}
