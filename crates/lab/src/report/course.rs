//! The course of a run: learning rate, batch size, and noise over examples.

use super::chart::{Axis, Chart, WIDTH};
use super::figure::{Figure, Swatch};
use super::scale::{Kind, Scale};
use super::text::{num, tick};
use batchwise_estimate::fieller::Ratio;

/// One moment of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Examples processed.
    pub examples: f64,
    /// The batch size.
    pub batch: f64,
    /// The learning rate.
    pub learning_rate: f64,
    /// φ, where it was measured.
    pub phi: Option<Ratio>,
}

/// A run to be drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// What was run, for the caption.
    pub title: String,
    /// In the order of the run.
    pub points: Vec<Point>,
}

const ACROSS: (f64, f64) = (66.0, WIDTH - 14.0);
const PANEL: f64 = 150.0;
const GAP: f64 = 46.0;

/// The course as an SVG file of its own: learning rate above, batch size (with φ, where it was measured) in the middle, their
/// ratio, the temperature of the noise, below.
#[must_use]
pub fn course(course: &Course) -> String {
    let points = &course.points;
    let at = |f: &dyn Fn(&Point) -> f64| points.iter().map(|p| (p.examples, f(p))).collect::<Vec<_>>();
    let (rates, sizes) = (at(&|p| p.learning_rate), at(&|p| p.batch));
    let ratio = at(&|p| p.learning_rate / p.batch);
    let mut phis: Vec<(f64, f64)> = Vec::new();
    let mut bands: Vec<(f64, f64, f64)> = Vec::new();
    let mut bounds: Vec<(f64, f64)> = Vec::new();
    for p in points {
        match p.phi {
            Some(Ratio::Measured { value, low, high }) => {
                phis.push((p.examples, value));
                bands.push((p.examples, low, high));
            }
            Some(Ratio::LowerBound { low }) => bounds.push((p.examples, low)),
            _ => phis.push((p.examples, f64::NAN)),
        }
    }
    let measured = phis.iter().any(|p| p.1.is_finite()) || !bounds.is_empty();
    let x = |values: &[(f64, f64)]| Scale::new(Kind::Linear, values.iter().map(|v| v.0), ACROSS);
    let mut body = String::new();
    let mut top = 30.0;
    let mut panel = |name: &str, kind: Panel<'_>, last: bool| {
        let pixels = (top + PANEL, top);
        let all: Vec<f64> = kind.values();
        let y = if kind.is_size {
            let positive: Vec<f64> = all.iter().copied().filter(|v| v.is_finite() && 0.0 < *v).collect();
            Scale::new(Kind::Octaves, positive, pixels)
        } else {
            Scale::new(Kind::FromZero, all, pixels)
        };
        let mut chart = Chart::new(x(kind.line), y, 0);
        let across = if last { "examples" } else { "" };
        let label = |v: f64| if kind.is_size { tick(v) } else { num(v) };
        chart.axes(&Axis::new(across, &tick), &Axis::new(name, &label));
        if !kind.band.is_empty() {
            chart.area(kind.band, "area-data", "95 % interval of φ");
        }
        chart.line(kind.other.iter().copied(), "data");
        for (x, low) in kind.bounds.iter().step_by(kind.bounds.len().div_ceil(30).max(1)) {
            chart.arrow_up(*x, *low, "data", &format!("φ ≥ {}", num(*low)));
        }
        chart.line(stairs(kind.line, kind.is_size), "model");
        body.push_str(&chart.finish());
        top += PANEL + GAP;
    };
    let plain = |line| Panel { line, other: &[], band: &[], bounds: &[], is_size: false };
    panel("learning rate", plain(&rates), false);
    let name = if measured { "batch size and φ (examples, log)" } else { "batch size (examples, log)" };
    panel(name, Panel { line: &sizes, other: &phis, band: &bands, bounds: &bounds, is_size: true }, false);
    panel("learning rate / batch size", plain(&ratio), true);
    let mut legend = vec![(Swatch::Line("model"), "as scheduled".to_owned())];
    if measured {
        legend[0].1 = "in the run".to_owned();
        legend.push((Swatch::Line("data"), "φ".to_owned()));
        legend.push((Swatch::Area("area-data"), "its 95 % interval".to_owned()));
        if !bounds.is_empty() {
            legend.push((Swatch::Arrow("data"), "φ is at least this".to_owned()));
        }
    }
    Figure {
        id: "course",
        name: "The course of a run".to_owned(),
        spoken: "Learning rate, batch size and their ratio over the examples of a run".to_owned(),
        height: top - GAP + 42.0,
        body,
        legend,
        caption: format!(
            "{}. Learning rate over batch size is the temperature of the gradient noise: runs in which it takes the same \
             course learn alike while batches are small (Smith et al. 2018).",
            course.title
        ),
    }
    .standalone()
}

/// What one panel holds.
struct Panel<'a> {
    line: &'a [(f64, f64)],
    other: &'a [(f64, f64)],
    band: &'a [(f64, f64, f64)],
    bounds: &'a [(f64, f64)],
    is_size: bool,
}

impl Panel<'_> {
    fn values(&self) -> Vec<f64> {
        let ends = self.band.iter().flat_map(|b| [b.1, b.2]);
        let lines = self.line.iter().chain(self.other).chain(self.bounds).map(|p| p.1);
        lines.chain(ends).filter(|v| v.is_finite()).collect()
    }
}

/// A batch size jumps: it is drawn as a stair.
fn stairs(line: &[(f64, f64)], jumps: bool) -> Vec<(f64, f64)> {
    if !jumps {
        return line.to_vec();
    }
    let mut out: Vec<(f64, f64)> = Vec::with_capacity(2 * line.len());
    for &(x, y) in line {
        if let Some(&(_, before)) = out.last().filter(|last| last.1 != y) {
            out.push((x, before));
        }
        out.push((x, y));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_what_there_is_and_nothing_else() {
        let point = |i: u64, phi| Point {
            examples: i as f64 * 100.0,
            batch: if i < 5 { 64.0 } else { 128.0 },
            learning_rate: 0.1,
            phi,
        };
        let plain =
            course(&Course { title: "a < b".to_owned(), points: (0..10).map(|i| point(i, None)).collect() });
        assert!(plain.starts_with("<svg") && plain.contains("a &lt; b") && !plain.contains("95 %"));
        let known = Ratio::Measured { value: 200.0, low: 100.0, high: 400.0 };
        let bound = Ratio::LowerBound { low: 80.0 };
        let points =
            (0..10).map(|i| point(i, Some(if i < 3 { bound.clone() } else { known.clone() }))).collect();
        let measured = course(&Course { title: String::new(), points });
        assert!(measured.contains("φ ≥ 80") && measured.contains("95 % interval of φ"));
        for points in [
            vec![],
            vec![point(0, Some(Ratio::Measured { value: f64::NAN, low: -1.0, high: f64::INFINITY }))],
        ] {
            let svg = course(&Course { title: String::new(), points });
            assert!(svg.contains("</svg>") && !svg.contains("NaN"));
        }
    }
}
