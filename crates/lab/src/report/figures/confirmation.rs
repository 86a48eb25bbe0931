//! Short trainings at the advised batch and its neighbours.

use super::super::chart::WIDTH;
use super::super::figure::{Figure, Swatch};
use super::super::scale::{Kind, Scale};
use super::super::sign::{Shape, mark, text};
use super::super::text::{aligned, escape, int, num, rough, seconds, tick, with_error};
use crate::advice::{Advice, Confirmation, Score};

/// Left and right end of the two panels.
const SCORE: (f64, f64) = (150.0, 318.0);
const LOSS: (f64, f64) = (352.0, 520.0);
/// Top of the first row, and height of each.
const TOP: f64 = 44.0;
const LINE: f64 = 48.0;

/// Draws a row for each training.
pub(super) fn figure(advice: &Advice) -> Figure {
    let mut runs: Vec<&Confirmation> = advice.confirmation.iter().collect();
    runs.sort_by_key(|c| (c.batch, c.seed));
    let bottom = TOP + LINE * runs.len().max(2) as f64;
    let scores: Vec<Score> = runs.iter().filter_map(|c| c.score()).collect();
    // Without a class there is no accuracy in any run; runs that diverged have no score at all.
    let measure = if scores.iter().any(|s| !s.is_accuracy) { Measure::LOSS } else { Measure::ACCURACY };
    let ends = scores.iter().flat_map(|s| [s.value - s.error, s.value + s.error]);
    let score = Scale::new(Kind::Linear, ends, SCORE);
    let losses = runs.iter().filter_map(|c| c.train_loss);
    let loss = Scale::log_beyond(20.0, Kind::Linear, &losses.collect::<Vec<_>>(), LOSS);
    let mut body = String::new();
    for (row, run) in runs.iter().enumerate() {
        if run.batch == advice.batch_size {
            body.push_str(&format!(
                "<rect class=\"area-advice\" x=\"2\" y=\"{:.1}\" width=\"{:.1}\" height=\"{LINE:.1}\"/>",
                TOP + LINE * row as f64,
                WIDTH - 4.0
            ));
        }
    }
    body.push_str(&panel(&score, measure.axis, bottom, measure.times));
    body.push_str(&panel(
        &loss,
        if loss.is_log() { "training loss (log)" } else { "training loss" },
        bottom,
        1.0,
    ));
    body.push_str(&text(WIDTH - 10.0, TOP - 12.0, "end", "name", "time"));
    for (row, run) in runs.iter().enumerate() {
        let y = TOP + LINE * (row as f64 + 0.5);
        let advised = run.batch == advice.batch_size;
        let class = if advised { "advice" } else { "name" };
        let name = if advised {
            format!("batch {}, advised", int(run.batch))
        } else {
            format!("batch {}", int(run.batch))
        };
        body.push_str(&text(10.0, y - 2.0, "start", class, &name));
        let setting = format!("lr {}, seed {}", num(run.learning_rate), int(run.seed));
        body.push_str(&text(10.0, y + 12.0, "start", "tick", &setting));
        body.push_str(&cells(run, y, measure, &score, &loss));
        body.push_str(&text(WIDTH - 10.0, y + 4.0, "end", "name", &seconds(run.seconds)));
    }
    let mut legend = vec![
        (Swatch::Bar("data"), "± standard error from the size of the test set".to_owned()),
        (Swatch::Area("area-advice"), "advised batch".to_owned()),
    ];
    if runs.is_empty() {
        body = text(WIDTH / 2.0, TOP + LINE, "middle", "words", "no confirmation was run");
        legend.clear();
    }
    Figure {
        id: "fig-confirmation",
        name: "Confirmation by short trainings".to_owned(),
        spoken: format!("{}, training loss and time of {} short trainings", measure.name, runs.len()),
        height: bottom + 44.0,
        body,
        legend,
        caption: caption(advice),
    }
}

/// Both points of one training, or what is known instead.
fn cells(run: &Confirmation, y: f64, measure: Measure, scale: &Scale, loss: &Scale) -> String {
    let class = "data";
    let diverged = run.train_loss.is_none();
    let missing = |panel: (f64, f64), words: &str| {
        let label = if words == "diverged" { "limit" } else { "words" };
        text(f64::midpoint(panel.0, panel.1), y + 4.0, "middle", label, words)
    };
    let mut out = String::new();
    match run.score().and_then(|score| Some((score, scale.px(score.value)?))) {
        Some((Score { value, error: e, .. }, px)) => {
            if let (Some(l), Some(r)) = (scale.px(value - e), scale.px(value + e)) {
                out.push_str(&format!(
                    "<path class=\"bar {class}\" d=\"M{l:.1} {y:.1}H{r:.1}M{l:.1} {:.1}v8M{r:.1} {:.1}v8\"/>",
                    y - 4.0,
                    y - 4.0
                ));
            }
            let tip = format!("batch {}: {}", int(run.batch), measure.show(value, e));
            out.push_str(&mark(px, y, Shape::Dot, class, &tip));
        }
        None => out.push_str(&missing(SCORE, if diverged { "diverged" } else { "not measured" })),
    }
    match run.train_loss.and_then(|l| Some((l, loss.px(l)?))) {
        Some((value, px)) => {
            out.push_str(&mark(
                px,
                y,
                Shape::Dot,
                class,
                &format!("batch {}: loss {}", int(run.batch), num(value)),
            ));
        }
        None => out.push_str(&missing(LOSS, "diverged")),
    }
    out
}

/// Grid, ticks and name of one panel; values are shown `times` as large.
fn panel(scale: &Scale, name: &str, bottom: f64, times: f64) -> String {
    let (left, right) = scale.ends();
    let mut out = String::new();
    let ticks = scale.ticks(4, 1.0);
    let labels = aligned(ticks.iter().map(|v| tick(v * times)).collect());
    for (v, label) in ticks.into_iter().zip(labels) {
        let Some(px) = scale.px(v) else { continue };
        out.push_str(&format!(
            "<line class=\"grid\" x1=\"{px:.1}\" x2=\"{px:.1}\" y1=\"{TOP:.1}\" y2=\"{bottom:.1}\"/>"
        ));
        out.push_str(&text(px, bottom + 16.0, "middle", "tick", &label));
    }
    out.push_str(&format!(
        "<path class=\"axis\" d=\"M{left:.1} {TOP:.1}V{bottom:.1}H{right:.1}\"><title>{}</title></path>",
        escape(name)
    ));
    out.push_str(&text(left, TOP - 12.0, "start", "name", name));
    out
}

/// What the runs are compared by, and how it is shown.
#[derive(Clone, Copy)]
struct Measure {
    name: &'static str,
    axis: &'static str,
    /// Shown values are so many times as large.
    times: f64,
    unit: &'static str,
    difference: &'static str,
}

impl Measure {
    const ACCURACY: Self = Self {
        name: "Test accuracy",
        axis: "test accuracy (%)",
        times: 100.0,
        unit: " %",
        difference: " points",
    };
    const LOSS: Self = Self { name: "Test loss", axis: "test loss", times: 1.0, unit: "", difference: "" };

    fn show(self, value: f64, error: f64) -> String {
        format!("{}{}", with_error(value * self.times, error * self.times), self.unit)
    }
}

fn caption(advice: &Advice) -> String {
    let runs = &advice.confirmation;
    let Some(own) = runs.iter().find(|c| c.batch == advice.batch_size) else {
        return "The advised batch size was not tried in a training of its own.".to_owned();
    };
    let mut words = format!(
        "Each training processes {} examples, so a larger batch takes fewer steps. ",
        int(own.examples)
    );
    let Some(score) = own.score() else {
        words.push_str("The advised setting diverged: do not use it without a smaller learning rate.");
        return words;
    };
    let measure = if score.is_accuracy { Measure::ACCURACY } else { Measure::LOSS };
    words.push_str(&format!(
        "The advised batch reaches {}{}. ",
        if score.is_accuracy { "" } else { "a test loss of " },
        measure.show(score.value, score.error)
    ));
    let mut others: Vec<&Confirmation> = runs.iter().filter(|c| c.batch != own.batch).collect();
    others.sort_by_key(|c| c.batch);
    for other in others.iter().take(4) {
        let Some(theirs) = other.score() else {
            words.push_str(&format!("Batch {} diverged. ", int(other.batch)));
            continue;
        };
        let (difference, e) = (theirs.value - score.value, score.error.hypot(theirs.error));
        let verdict = if difference.abs() <= 2.0 * e { "within the noise" } else { "more than the noise" };
        let sign = if difference >= 0.0 { "+" } else { "" };
        words.push_str(&format!(
            "Batch {}: {sign}{}{}, {verdict}. ",
            int(other.batch),
            rough(difference * measure.times),
            measure.difference
        ));
    }
    words.push_str("The errors hold the size of the test set only, not the spread between seeds.");
    words
}
