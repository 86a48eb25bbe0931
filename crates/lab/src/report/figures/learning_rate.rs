//! The search for a learning rate.

use super::super::chart::{Axis, Chart, ROW, Upright, rows};
use super::super::figure::{Figure, Swatch};
use super::super::scale::{Kind, Scale};
use super::super::sign::Shape;
use super::super::text::{int, num, tick};
use super::ACROSS;
use crate::advice::Advice;
use batchwise_estimate::ridge::{BestLr, Edge};

/// Draws loss against learning rate.
pub(super) fn figure(advice: &Advice) -> Figure {
    let search = &advice.learning_rate_search;
    let losses: Vec<f64> = search.points.iter().filter_map(|p| p.loss).collect();
    let rates: Vec<f64> =
        search.points.iter().map(|p| p.learning_rate).chain([advice.learning_rate]).collect();
    let x = Scale::new(Kind::Log, rates, ACROSS);
    let lines = lines(advice);
    let rows = rows(&x, &lines);
    let top = 28.0 + ROW * rows as f64;
    let diverged = search.points.iter().any(|p| !p.loss.is_some_and(f64::is_finite));
    // Crosses need room above the curve.
    let upper = if diverged { top + 26.0 } else { top };
    let mut y = Scale::log_beyond(8.0, Kind::Linear, &losses, (310.0, upper));
    y.extend_to(top);
    let up = if y.is_log() { "training loss reached (log)" } else { "training loss reached" };
    let mut chart = Chart::new(x, y, rows);
    if let BestLr::Interior { low, high, learning_rate, .. } = search.best {
        let tip = format!("best {} ({}–{})", num(learning_rate), num(low), num(high));
        chart.band_across(low, high, "area-second", &tip);
    }
    chart.axes(&Axis::new("learning rate (log)", &tick), &Axis::new(up, &tick));
    let mut sorted = search.points.clone();
    sorted.sort_by(|a, b| a.learning_rate.total_cmp(&b.learning_rate));
    chart.line(sorted.iter().map(|p| (p.learning_rate, p.loss.unwrap_or(f64::NAN))), "data thin");
    for (at, class, label) in &lines {
        chart.upright(*at, class, label);
    }
    for p in &search.points {
        match p.loss.filter(|l| l.is_finite()) {
            Some(loss) => {
                let tip = format!("learning rate {}: loss {}", num(p.learning_rate), num(loss));
                chart.point(p.learning_rate, loss, Shape::Dot, "data", &tip);
            }
            None => chart.cross_at_top(
                p.learning_rate,
                "limit",
                &format!("learning rate {}: diverged", num(p.learning_rate)),
            ),
        }
    }
    if search.points.is_empty() {
        chart.words("no learning rate was tried");
    }
    let mut legend = vec![(Swatch::Point(Shape::Dot, "data"), "loss reached".to_owned())];
    if diverged {
        legend.push((Swatch::Point(Shape::Cross, "limit"), "diverged".to_owned()));
    }
    if matches!(search.best, BestLr::Interior { .. }) {
        legend.push((Swatch::Area("area-second"), "as good as the best".to_owned()));
    }
    if search.points.is_empty() {
        legend.clear();
    }
    Figure {
        id: "fig-learning-rate",
        name: "Learning-rate search".to_owned(),
        spoken: format!(
            "Loss against learning rate at batch {}, {} trainings",
            int(search.anchor_batch),
            search.points.len()
        ),
        height: 355.0,
        body: chart.finish(),
        legend,
        caption: caption(advice),
    }
}

/// The best and the advised learning rate.
fn lines(advice: &Advice) -> Vec<Upright> {
    let search = &advice.learning_rate_search;
    let anchor = int(search.anchor_batch);
    let advised = format!("advised at batch {}: {}", int(advice.batch_size), num(advice.learning_rate));
    let mut lines = match search.best {
        BestLr::Interior { learning_rate, .. } => {
            vec![(learning_rate, "knee", format!("best at batch {anchor}: {}", num(learning_rate)))]
        }
        BestLr::AtEdge { learning_rate, .. } => {
            vec![(learning_rate, "knee", format!("best so far, at the edge: {}", num(learning_rate)))]
        }
        BestLr::NotIdentified { .. } => Vec::new(),
    };
    lines.push((advice.learning_rate, "advice", advised));
    lines
}

fn caption(advice: &Advice) -> String {
    let search = &advice.learning_rate_search;
    let mut words = format!(
        "Each point is a training of {} examples with batch {}. ",
        int(search.examples),
        int(search.anchor_batch)
    );
    words.push_str(&match &search.best {
        BestLr::Interior { learning_rate, low, high, .. } => format!(
            "The best lies at {}, and {}–{} are about as good. ",
            num(*learning_rate),
            num(*low),
            num(*high)
        ),
        BestLr::AtEdge { edge, learning_rate } => format!(
            "The best so far, {}, is the {} that was tried: the true best may lie beyond it. ",
            num(*learning_rate),
            if *edge == Edge::High { "largest" } else { "smallest" }
        ),
        BestLr::NotIdentified { why } => format!("The best is not identified: {why}. "),
    });
    words.push_str(&format!(
        "For batch {}, {} is advised.",
        int(advice.batch_size),
        num(advice.learning_rate)
    ));
    words
}
