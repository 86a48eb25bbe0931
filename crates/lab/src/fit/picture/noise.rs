//! 𝒮 against 𝒢: φ is the slope of the line from the origin to the mean.

use super::{ACROSS, MOST_POINTS, thinned};
use crate::fit::Settings;
use crate::report::chart::{Axis, Chart};
use crate::report::figure::{Figure, Swatch};
use crate::report::scale::{Kind, Scale};
use crate::report::sign::Shape;
use crate::report::text::{int, num, ratio, tick};
use batchwise_estimate::fieller::Ratio;
use batchwise_estimate::noise::Measurement;

/// Draws the measurements, their mean, and the lines of the interval.
pub(in crate::fit) fn figure(all: &[Measurement], phi: &Ratio, settings: &Settings) -> Figure {
    let n = all.len().max(1) as f64;
    let mean = |of: fn(&Measurement) -> f64| all.iter().map(|m| of(m) / n).sum::<f64>();
    let (g2, tr_sigma) = (mean(|m| m.g2), mean(|m| m.tr_sigma));
    let x = Scale::new(Kind::Linear, all.iter().map(|m| m.g2).chain([0.0]), ACROSS);
    let y = Scale::new(Kind::Linear, all.iter().map(|m| m.tr_sigma).chain([0.0]), (310.0, 34.0));
    let mut chart = Chart::new(x, y, 0);
    let up = format!("𝒮: estimates tr Σ, per {}", settings.example.name());
    chart.axes(&Axis::new("𝒢: estimates ‖G‖²", &tick), &Axis::new(&up, &tick));
    let largest = all.iter().map(|m| m.g2).fold(g2, f64::max);
    // A steep line leaves the panel: its points are close enough to be cut at the edge.
    let ray =
        |slope: f64| (0..=400).map(move |i| largest * f64::from(i) / 400.0).map(move |v| (v, slope * v));
    if let (Some(low), Some(high)) = (phi.low(), phi.high()) {
        chart.line(ray(low), "model thin");
        chart.line(ray(high), "model thin");
    } else if let Some(low) = phi.low() {
        chart.line(ray(low), "model thin");
    }
    if let Some(value) = phi.value() {
        chart.line(ray(value), "model");
    }
    for m in thinned(all) {
        let tip = format!("𝒢 {}, 𝒮 {}", num(m.g2), num(m.tr_sigma));
        chart.point(m.g2, m.tr_sigma, Shape::Dot, "data", &tip);
    }
    chart.point(g2, tr_sigma, Shape::Diamond, "advice", &format!("mean: 𝒢 {}, 𝒮 {}", num(g2), num(tr_sigma)));
    let mut legend = vec![
        (Swatch::Point(Shape::Dot, "data"), "one measurement".to_owned()),
        (Swatch::Point(Shape::Diamond, "advice"), "mean".to_owned()),
    ];
    if phi.low().is_some() {
        legend.push((Swatch::Line("model"), "slope φ, thin: the ends of its interval".to_owned()));
    }
    let mut caption = format!(
        "The noise scale φ is tr Σ/‖G‖², the slope from the origin to the mean: {} {}. Single measurements may lie left of \
         0; only their mean counts.",
        ratio(phi),
        settings.examples()
    );
    if MOST_POINTS < all.len() {
        caption.push_str(&format!(
            " Of {} measurements every {}th is drawn.",
            int(all.len() as u64),
            all.len().div_ceil(MOST_POINTS)
        ));
    }
    Figure {
        id: "fit-noise",
        name: "Gradient noise".to_owned(),
        spoken: format!(
            "Estimates of the gradient's noise against those of its squared norm, {} measurements",
            all.len()
        ),
        height: 352.0,
        body: chart.finish(),
        legend,
        caption,
    }
}
