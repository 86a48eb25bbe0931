//! Single signs: points and labels.

use super::text::escape;

/// Width of a character, about.
const LETTER: f64 = 6.4;

/// How a point is drawn: shape as well as colour says what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A filled circle.
    Dot,
    /// A circle with a hole.
    Ring,
    /// A square with a hole.
    Square,
    /// A filled diamond.
    Diamond,
    /// Two crossed strokes.
    Cross,
}

/// Words at a place, for what no panel holds; the index of B_c is set low.
pub(crate) fn text(x: f64, y: f64, anchor: &str, class: &str, words: &str) -> String {
    let words = match words.split_once("B_c") {
        Some((before, after)) => format!(
            "{}B<tspan class=\"sub\" dy=\"3\">c</tspan><tspan dy=\"-3\">{}</tspan>",
            escape(before),
            escape(after)
        ),
        None => escape(words),
    };
    format!("<text class=\"label {class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>")
}

/// A point with a larger invisible one around it, easier to point at.
pub(crate) fn mark(x: f64, y: f64, shape: Shape, class: &str, tip: &str) -> String {
    let drawn = match shape {
        Shape::Dot => format!("<circle class=\"dot {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>"),
        Shape::Ring => format!("<circle class=\"ring {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>"),
        Shape::Square => format!(
            "<rect class=\"ring {class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"11\" height=\"11\"/>",
            x - 5.5,
            y - 5.5
        ),
        Shape::Diamond => {
            format!("<path class=\"dot {class}\" d=\"M{x:.1} {:.1}l6 6l-6 6l-6 -6z\"/>", y - 6.0)
        }
        Shape::Cross => {
            format!("<path class=\"bar {class}\" d=\"M{:.1} {:.1}l9 9m0 -9l-9 9\"/>", x - 4.5, y - 4.5)
        }
    };
    format!(
        "<g><title>{}</title><circle class=\"hit\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"10\"/>{drawn}</g>",
        escape(tip)
    )
}

/// Width of words on the page, about.
pub(crate) fn width(words: &str) -> f64 {
    words.chars().count() as f64 * LETTER
}
