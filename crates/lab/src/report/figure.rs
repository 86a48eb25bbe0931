//! A figure on the page: drawing, legend and caption.

use super::chart::WIDTH;
use super::sign::{Shape, mark};
use super::text::{escape, prose};

/// How one entry of a legend is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Swatch {
    /// A point.
    Point(Shape, &'static str),
    /// A point with its error bar.
    Bar(&'static str),
    /// An arrow upward: a bound from below.
    Arrow(&'static str),
    /// A curve.
    Line(&'static str),
    /// A straight marking line.
    Mark(&'static str),
    /// A shaded area.
    Area(&'static str),
}

/// One figure.
pub(super) struct Figure {
    /// Its anchor on the page.
    pub(super) id: &'static str,
    /// What it shows, in a few words.
    pub(super) name: String,
    /// The same in a sentence, for those who do not see it.
    pub(super) spoken: String,
    /// Height of the drawing; its width is [`WIDTH`].
    pub(super) height: f64,
    /// The drawing.
    pub(super) body: String,
    /// What the signs mean.
    pub(super) legend: Vec<(Swatch, String)>,
    /// What is seen and what follows from it, as plain text.
    pub(super) caption: String,
}

impl Figure {
    /// As HTML, with its number.
    pub(super) fn html(&self, number: usize) -> String {
        let Self { id, height, body, .. } = self;
        let (name, spoken, caption) = (escape(&self.name), escape(&self.spoken), prose(&self.caption));
        let legend: String = self
            .legend
            .iter()
            .map(|(sign, words)| format!("<li>{}<span>{}</span></li>", swatch(*sign), prose(words)))
            .collect();
        let legend = if legend.is_empty() { legend } else { format!("<ul class=\"legend\">{legend}</ul>\n") };
        format!(
            "<figure id=\"{id}\">\n<h3>{name}</h3>\n\
             <svg viewBox=\"0 0 {WIDTH:.0} {height:.0}\" role=\"img\" aria-label=\"{spoken}\">\
             <title>{name}</title>{body}</svg>\n{legend}\
             <figcaption><b>Figure {number}.</b> {caption}</figcaption>\n</figure>\n"
        )
    }
}

fn swatch(sign: Swatch) -> String {
    let drawn = match sign {
        Swatch::Point(shape, class) => mark(12.0, 7.0, shape, class, ""),
        Swatch::Bar(class) => format!(
            "<path class=\"bar {class}\" d=\"M9 1H15M12 1V13M9 13H15\"/>\
             <circle class=\"dot {class}\" cx=\"12\" cy=\"7\" r=\"3\"/>"
        ),
        Swatch::Arrow(class) => format!("<path class=\"bar {class}\" d=\"M7 13H17M12 13V1M8 5L12 1L16 5\"/>"),
        Swatch::Line(class) => format!("<path class=\"line {class}\" d=\"M1 7H23\"/>"),
        Swatch::Mark(class) => format!("<line class=\"mark {class}\" x1=\"1\" x2=\"23\" y1=\"7\" y2=\"7\"/>"),
        Swatch::Area(class) => {
            format!("<rect class=\"{class}\" x=\"1\" y=\"1\" width=\"22\" height=\"12\"/>")
        }
    };
    let drawn = drawn.replace("<title></title>", "");
    format!("<svg class=\"swatch\" viewBox=\"0 0 24 14\" aria-hidden=\"true\">{drawn}</svg>")
}
