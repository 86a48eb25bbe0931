//! The best learning rate by batch size.

use super::{ACROSS, batch_axis, between};
use crate::fit::Settings;
use crate::report::chart::{Axis, Chart};
use crate::report::figure::{Figure, Swatch};
use crate::report::scale::{Kind, Scale};
use crate::report::sign::Shape;
use crate::report::text::{batch_tick, int, num, tick};
use batchwise_estimate::ridge::RidgeFit;

/// Draws the best learning rates with their intervals, and the band of every law that the data leave.
pub(crate) fn figure(fit: &RidgeFit, settings: &Settings) -> Figure {
    let x = Scale::new(Kind::Octaves, fit.best.iter().map(|b| b.batch as f64), ACROSS);
    let rates = fit.best.iter().flat_map(|b| {
        [b.learning_rate.value(), b.learning_rate.low(), b.learning_rate.high(), b.grid_best]
            .into_iter()
            .flatten()
    });
    let y = Scale::new(Kind::Log, rates, (310.0, 34.0));
    let mut chart = Chart::new(x, y, 0);
    chart.axes(&Axis::new(&batch_axis(settings), &batch_tick), &Axis::new("best learning rate (log)", &tick));
    let ends = fit.best.first().zip(fit.best.last()).map(|(a, b)| (a.batch as f64, b.batch as f64));
    let law: Vec<(f64, f64, f64, f64)> = ends.map_or_else(Vec::new, |(low, high)| {
        between(low, high)
            .filter_map(|b| {
                let batch = b.round().max(1.0);
                let rate = fit.at(batch as u64).learning_rate;
                Some((batch, rate.value()?, rate.low()?, rate.high()?))
            })
            .collect()
    });
    let band: Vec<(f64, f64, f64)> = law.iter().map(|p| (p.0, p.2, p.3)).collect();
    chart.area(&band, "area-data", "laws that agree with the data");
    chart.line(law.iter().map(|p| (p.0, p.1)), "model");
    for best in &fit.best {
        let (at, rate) = (best.batch as f64, &best.learning_rate);
        let words = format!("batch {}", int(best.batch));
        match (rate.value(), rate.low(), rate.high()) {
            (Some(value), Some(low), Some(high)) => {
                chart.bar(at, low, high, "data");
                chart.point(
                    at,
                    value,
                    Shape::Dot,
                    "data",
                    &format!("{words}: {} ({}–{})", num(value), num(low), num(high)),
                );
            }
            (_, Some(low), None) => {
                chart.arrow_up(at, low, "limit", &format!("{words}: at least {}", num(low)))
            }
            (_, None, Some(high)) => {
                chart.point(at, high, Shape::Ring, "data", &format!("{words}: at most {}", num(high)));
            }
            _ => {
                if let Some(grid) = best.grid_best {
                    chart.point(
                        at,
                        grid,
                        Shape::Square,
                        "data",
                        &format!("{words}: best tried {}, no interval", num(grid)),
                    );
                }
            }
        }
    }
    let mut legend = vec![(Swatch::Bar("data"), format!("best, {} interval", settings.percent()))];
    let any = |f: &dyn Fn(&batchwise_estimate::ridge::BestAtBatch) -> bool| fit.best.iter().any(f);
    if any(&|b| b.learning_rate.grade() == "lower_bound") {
        legend.push((Swatch::Arrow("limit"), "a lower bound".to_owned()));
    }
    if any(&|b| b.learning_rate.grade() == "upper_bound") {
        legend.push((Swatch::Point(Shape::Ring, "data"), "an upper bound".to_owned()));
    }
    if any(&|b| b.learning_rate.grade() == "not_identified") {
        legend.push((Swatch::Point(Shape::Square, "data"), "best tried, no interval".to_owned()));
    }
    if !law.is_empty() {
        legend.push((Swatch::Line("model"), "the law that fits best".to_owned()));
        legend.push((Swatch::Area("area-data"), "every law not excluded".to_owned()));
    }
    Figure {
        id: "fit-ridge",
        name: "Best learning rate".to_owned(),
        spoken: format!("Best learning rate against batch size, {} batch sizes", fit.best.len()),
        height: 352.0,
        body: chart.finish(),
        legend,
        caption: match (fit.exponent.value(), fit.exponent.low(), fit.exponent.high()) {
            (Some(p), Some(low), Some(high)) => {
                format!(
                    "LR* grows as the batch size to the power {} ({} to {}).",
                    num(p),
                    num(low),
                    num(high)
                )
            }
            _ => "The exponent has no number.".to_owned(),
        },
    }
}
