//! A figure on the page: drawing, legend and caption.

use super::chart::WIDTH;
use super::sign::{Shape, mark, text, width};
use super::text::{escape, prose};

/// The style of every drawing.
pub(crate) const STYLE: &str = include_str!("style.css");

/// How one entry of a legend is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Swatch {
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
pub(crate) struct Figure {
    /// Its anchor on the page.
    pub(crate) id: &'static str,
    /// What it shows, in a few words.
    pub(crate) name: String,
    /// The same in a sentence, for those who do not see it.
    pub(crate) spoken: String,
    /// Height of the drawing; its width is [`WIDTH`].
    pub(crate) height: f64,
    /// The drawing.
    pub(crate) body: String,
    /// What the signs mean.
    pub(crate) legend: Vec<(Swatch, String)>,
    /// What is seen and what follows from it, as plain text.
    pub(crate) caption: String,
}

impl Figure {
    /// As HTML, with its number.
    pub(crate) fn html(&self, number: usize) -> String {
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

/// Height of a line of running text under a drawing.
const LINE: f64 = 18.0;

impl Figure {
    /// As an SVG file of its own that loads nothing: title, drawing, legend and caption.
    pub(crate) fn standalone(&self) -> String {
        const TITLE: f64 = 30.0;
        let mut body = text(8.0, 20.0, "start", "title", &self.name);
        body.push_str(&format!("<g transform=\"translate(0 {TITLE:.0})\">{}</g>", self.body));
        let mut y = TITLE + self.height + 8.0;
        let mut x = 8.0;
        for (sign, words) in &self.legend {
            let wide = 30.0 + width(words) + 18.0;
            if x > 8.0 && x + wide > WIDTH {
                (x, y) = (8.0, y + LINE);
            }
            body.push_str(&format!("<g transform=\"translate({x:.1} {:.1})\">{}</g>", y - 3.0, drawn(*sign)));
            body.push_str(&text(x + 30.0, y + 8.0, "start", "words", words));
            x += wide;
        }
        y += if self.legend.is_empty() { 0.0 } else { LINE + 6.0 };
        for line in wrapped(&self.caption, WIDTH - 16.0) {
            body.push_str(&text(8.0, y + 8.0, "start", "", &line));
            y += LINE;
        }
        let height = y + 8.0;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" \
             width=\"{WIDTH:.0}\" height=\"{height:.0}\" role=\"img\" aria-label=\"{}\">\n<title>{}</title>\n\
             <style>\n{STYLE}svg {{ font-family: system-ui, \"Segoe UI\", Roboto, \"DejaVu Sans\", sans-serif; }}\n\
             svg .label.title {{ font-size: 15px; font-weight: 650; }}\n</style>\n\
             <rect width=\"{WIDTH:.0}\" height=\"{height:.0}\" style=\"fill: var(--page)\"/>\n{body}\n</svg>\n",
            escape(&self.spoken),
            escape(&self.name)
        )
    }
}

/// Running text as lines of at most this width.
fn wrapped(words: &str, most: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line) + width(word) + width(" ") <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn swatch(sign: Swatch) -> String {
    format!("<svg class=\"swatch\" viewBox=\"0 0 24 14\" aria-hidden=\"true\">{}</svg>", drawn(sign))
}

/// The sign of a legend's entry in a box of 24 by 14.
fn drawn(sign: Swatch) -> String {
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
    drawn.replace("<title></title>", "")
}
