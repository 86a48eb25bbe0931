//! The map: batch size against learning rate, shaded by how much worse than the best of the batch size.

use super::super::chart::{Axis, Chart, WIDTH};
use super::super::figure::{Figure, Swatch};
use super::super::scale::{Kind, Scale};
use super::super::sign::Shape;
use super::super::text::{batch_tick, digits, int, num, tick};
use crate::sweep::answer::{Cell, Group};
use crate::sweep::tables::{fates, spread, value};
use batchwise_estimate::outcome::Outcome;

/// Its anchor on the page.
pub(super) const ID: &str = "fig-map";

const ACROSS: (f64, f64) = (66.0, WIDTH - 14.0);
const TOP: f64 = 34.0;
/// Height of a row of cells.
const ROW: f64 = 23.0;
const SHADES: [&str; 6] = ["heat-0", "heat-1", "heat-2", "heat-3", "heat-4", "heat-5"];
/// Shares of the examples that a cell takes more than the best; the last shade is beyond all.
const MORE: [f64; 5] = [0.03, 0.10, 0.25, 0.60, 1.50];
/// The same where values are compared: shares of the worst difference on the map.
const WORSE: [f64; 5] = [0.02, 0.10, 0.25, 0.50, 0.80];
/// Ratio of the edges of the only column: wide enough for ticks beside it.
const ALONE: f64 = 8.0;
/// Where the interval of the best rate stands, from the middle of its cell to its left edge at −½.
const BESIDE: f64 = -0.4;
/// Points on the line of the law.
const POINTS: usize = 40;

/// Draws the map.
pub(super) fn figure(group: &Group, unit: &str) -> Figure {
    let has_target = group.target.is_some();
    let (wide, high) = (least_ratio(group.cells.iter().map(|c| c.batch as f64), ALONE), rate_ratio(group));
    let half = (wide.sqrt(), high.sqrt());
    let rates = || group.cells.iter().map(|c| c.learning_rate);
    let (low, top) = rates().fold((f64::INFINITY, 0.0_f64), |(l, h), r| (l.min(r), h.max(r)));
    let rows = if low < top { ((top / low).ln() / high.ln()).round() + 1.0 } else { 1.0 };
    let bottom = TOP + (rows * ROW * 1.1).clamp(200.0, 720.0);
    let ends = |v: f64, half: f64| [v / half, v * half];
    let x = Scale::new(Kind::Octaves, group.cells.iter().flat_map(|c| ends(c.batch as f64, half.0)), ACROSS);
    let y = Scale::new(Kind::Log, rates().flat_map(|r| ends(r, half.1)), (bottom, TOP));
    let mut chart = Chart::new(x, y, 0);
    let across = format!("batch size ({unit}, log)");
    chart.axes(&Axis::new(&across, &batch_tick), &Axis::new("learning rate (log)", &tick));
    let by = Shades::of(group);
    for cell in &group.cells {
        let counts =
            group.batches.iter().any(|b| b.batch == cell.batch && b.rate.counts == Some(cell.learning_rate));
        let class = format!("{}{}", by.shade(cell), if counts { " chosen" } else { "" });
        let (x, y) = (ends(cell.batch as f64, half.0), ends(cell.learning_rate, half.1));
        let words = words(cell, has_target);
        chart.cell((x[0], x[1]), (y[0], y[1]), &class, &words, &tip(cell, has_target, unit));
    }
    ridge(&mut chart, group, wide);
    Figure {
        id: ID,
        name: "Batch size and learning rate".to_owned(),
        spoken: format!(
            "Map of {} by batch size and learning rate, {} cells",
            if has_target { "examples to the target" } else { group.judge.name() },
            group.cells.len()
        ),
        height: bottom + 46.0,
        body: chart.finish(),
        legend: legend(group, by),
        caption: caption(group, has_target),
    }
}

/// The law of the best learning rate, and the best at each batch size with its interval.
fn ridge(chart: &mut Chart, group: &Group, wide: f64) {
    let Some(ridge) = &group.ridge else { return };
    let ends = ridge.best.first().zip(ridge.best.last()).map(|(a, b)| (a.batch as f64, b.batch as f64));
    if let Some((low, high)) = ends {
        let at = |i: usize| (low * (high / low).powf(i as f64 / POINTS as f64)).round().max(1.0);
        let point = |b: f64| Some((b, ridge.at(b as u64).learning_rate.value()?));
        chart.line((0..=POINTS).filter_map(|i| point(at(i))), "model thin");
    }
    for best in &ridge.best {
        if let Outcome::Measured { value, low, high } = best.learning_rate {
            let tip = format!("batch {}: best {} ({}–{})", int(best.batch), num(value), num(low), num(high));
            // Beside the number of the cell.
            let at = best.batch as f64 * wide.powf(BESIDE);
            chart.bar(at, low, high, "advice");
            chart.point(at, value, Shape::Dot, "advice", &tip);
        }
    }
}

/// What the shade of a cell is measured by.
#[derive(Clone, Copy)]
enum Shades {
    /// The share of the examples that it takes more than the best.
    Examples,
    /// The share by which its value is more than the best.
    Value,
    /// The difference from the best, in units of this one, which is that of the worst but one in ten.
    Difference(f64),
}

impl Shades {
    fn of(group: &Group) -> Self {
        if group.target.is_some() {
            return Self::Examples;
        }
        let scores = || group.cells.iter().filter_map(|c| Some((c.score?.mean, c.excess?)));
        if !group.judge.more_is_better && scores().all(|(score, excess)| excess < score) {
            return Self::Value;
        }
        let mut all: Vec<f64> = scores().map(|s| s.1).collect();
        all.sort_by(f64::total_cmp);
        let at = all.len() * 9 / 10;
        Self::Difference(all.get(at).copied().filter(|v| 0.0 < *v).unwrap_or(1.0))
    }

    fn steps(self) -> [f64; 5] {
        match self {
            Self::Examples | Self::Value => MORE,
            Self::Difference(_) => WORSE,
        }
    }

    fn shade(self, cell: &Cell) -> &'static str {
        let (Some(excess), Some(score)) = (cell.excess, cell.score) else {
            return if 0 < cell.fates.results() { "heat-none" } else { "heat-wait" };
        };
        let size = match self {
            Self::Examples => excess,
            Self::Value => excess / (score.mean - excess),
            Self::Difference(unit) => excess / unit,
        };
        SHADES[self.steps().iter().filter(|step| **step < size).count()]
    }

    fn words(self) -> &'static str {
        match self {
            Self::Examples | Self::Value => "more",
            Self::Difference(_) => "of the largest differences",
        }
    }

    fn within(self) -> &'static str {
        match self {
            Self::Examples | Self::Value => "of the best of its batch size",
            Self::Difference(_) => "of the largest differences from the best",
        }
    }
}

/// The number or sign in a cell.
fn words(cell: &Cell, has_target: bool) -> String {
    let all = cell.fates;
    match (cell.excess, cell.score) {
        (Some(excess), Some(score)) => {
            let bound = if 0 < score.censored { "≥" } else { "" };
            let number = if has_target { two(1.0 + excess) } else { digits(score.mean, 3) };
            format!("{bound}{number}")
        }
        _ if 0 < all.not_reached => "↑".to_owned(),
        _ if 0 < all.diverged => "×".to_owned(),
        _ if 0 < all.pruned => "…".to_owned(),
        _ if 0 < all.failed + all.cancelled => "!".to_owned(),
        _ => "·".to_owned(),
    }
}

/// Two decimals below 10.
fn two(ratio: f64) -> String {
    if ratio < 9.95 { format!("{ratio:.2}") } else { digits(ratio, 2) }
}

fn tip(cell: &Cell, has_target: bool, unit: &str) -> String {
    let score = if has_target {
        format!("{} {unit} to the target", spread(cell.score, |v| digits(v, 4)))
    } else {
        format!("{} at the end", spread(cell.score, value))
    };
    format!(
        "batch {}, learning rate {}: {score}; {}",
        int(cell.batch),
        num(cell.learning_rate),
        fates(&cell.fates)
    )
}

fn legend(group: &Group, by: Shades) -> Vec<(Swatch, String)> {
    let shares = by.steps();
    let what = by.words();
    let mut legend =
        vec![(Swatch::Area(SHADES[0]), format!("within {:.0} % {}", shares[0] * 100.0, by.within()))];
    for (i, pair) in shares.windows(2).enumerate() {
        legend.push((
            Swatch::Area(SHADES[i + 1]),
            format!("{:.0}–{:.0} % {what}", pair[0] * 100.0, pair[1] * 100.0),
        ));
    }
    legend.push((Swatch::Area(SHADES[5]), "beyond".to_owned()));
    let any = |f: &dyn Fn(&Cell) -> bool| group.cells.iter().any(f);
    if any(&|c| c.excess.is_none() && 0 < c.fates.results()) {
        legend.push((Swatch::Area("heat-none"), "no run got there".to_owned()));
    }
    if any(&|c| c.fates.results() == 0) {
        legend.push((Swatch::Area("heat-wait"), "no result".to_owned()));
    }
    if group.ridge.as_ref().is_some_and(|r| r.best.iter().any(|b| b.learning_rate.value().is_some())) {
        legend.push((Swatch::Bar("advice"), "best learning rate, with its interval".to_owned()));
    }
    if group
        .ridge
        .as_ref()
        .is_some_and(|r| r.best.iter().any(|b| r.at(b.batch).learning_rate.value().is_some()))
    {
        legend.push((Swatch::Line("model"), "the law that fits best".to_owned()));
    }
    legend
}

fn caption(group: &Group, has_target: bool) -> String {
    let mut words = if has_target {
        "Each cell says how many times the examples it takes to the target that the best learning rate of its batch size \
         takes."
            .to_owned()
    } else {
        format!(
            "Each cell says the {} at the end, shaded by how far it is from the best of its batch size.",
            group.judge.name()
        )
    };
    words.push_str(" An outline marks the rate whose runs count in the figures below.");
    let all = group.fates;
    let signs = [
        (
            group.cells.iter().any(|c| c.score.is_some_and(|s| 0 < s.censored && !s.none_got_there())),
            "≥ some run never got there",
        ),
        (0 < all.not_reached, "↑ no run reached the target"),
        (0 < all.diverged, "× diverged"),
        (0 < all.pruned, "… stopped early"),
        (0 < all.failed + all.cancelled, "! failed or given up"),
        (0 < all.waiting, "· no result yet"),
    ];
    let signs: Vec<&str> = signs.iter().filter(|s| s.0).map(|s| s.1).collect();
    if !signs.is_empty() {
        words.push_str(&format!(" Signs: {}.", signs.join(", ")));
    }
    if let Some(Outcome::Measured { value, low, high }) = group.ridge.as_ref().map(|ridge| &ridge.exponent) {
        words.push_str(&format!(
            " The best learning rate follows the batch size to the power {} ({} to {}).",
            num(*value),
            num(*low),
            num(*high)
        ));
    }
    words
}

/// The least ratio between neighbours that is more than rounding.
fn least_ratio(values: impl Iterator<Item = f64>, otherwise: f64) -> f64 {
    let mut all: Vec<f64> = values.collect();
    all.sort_by(f64::total_cmp);
    let ratios = all.windows(2).map(|pair| pair[1] / pair[0]).filter(|ratio| 1.02 < *ratio);
    ratios.reduce(f64::min).unwrap_or(otherwise)
}

/// That of the learning rates of one batch size, over all batch sizes.
fn rate_ratio(group: &Group) -> f64 {
    let of = |batch: u64| {
        let mine = group.cells.iter().filter(move |c| c.batch == batch).map(|c| c.learning_rate);
        least_ratio(mine, f64::INFINITY)
    };
    let least = group.batches.iter().map(|b| of(b.batch)).fold(f64::INFINITY, f64::min);
    if least.is_finite() { least } else { 2.0 }
}
