//! One panel of a figure: axes, and what is drawn between them, as SVG.
//!
//! A value that has no place on an axis (missing, not finite, 0 on a logarithmic one) is not drawn.

use super::scale::Scale;
use super::sign::{Shape, mark, text, width};
use super::text::{aligned, escape};

/// Width of every figure, in its own units (pixels at full size).
pub(crate) const WIDTH: f64 = 600.0;
/// Height of one row of labels above a panel.
pub(crate) const ROW: f64 = 16.0;

/// Name of an axis, with its unit, and how its ticks are written.
pub(crate) struct Axis<'a> {
    /// What stands at the axis.
    pub(crate) name: &'a str,
    /// How a tick is written.
    pub(crate) label: &'a dyn Fn(f64) -> String,
    /// The value that is shown as 1.
    pub(crate) unit: f64,
}

impl<'a> Axis<'a> {
    /// An axis whose unit is 1.
    pub(crate) fn new(name: &'a str, label: &'a dyn Fn(f64) -> String) -> Self {
        Self { name, label, unit: 1.0 }
    }
}

/// An upright line: where, of which class, and what stands above it.
pub(crate) type Upright = (f64, &'static str, String);

/// A panel under construction.
pub(crate) struct Chart {
    x: Scale,
    y: Scale,
    /// Everything drawn so far.
    body: String,
    /// Labels, drawn last so that nothing covers them.
    labels: String,
    /// What the rows above the panel hold already: (left, right), the lowest row first.
    rows: Vec<Vec<(f64, f64)>>,
    /// Labels at the right: height, class, text.
    side: Vec<(f64, &'static str, String)>,
}

impl Chart {
    /// A panel between two axes, with so many `rows` for labels above it.
    pub(crate) fn new(x: Scale, y: Scale, rows: usize) -> Self {
        Self {
            x,
            y,
            body: String::new(),
            labels: String::new(),
            rows: vec![Vec::new(); rows],
            side: Vec::new(),
        }
    }

    fn sides(&self) -> (f64, f64, f64, f64) {
        let ((left, right), (bottom, top)) = (self.x.ends(), self.y.ends());
        (left, right, top, bottom)
    }

    /// Draws both axes; the name of the vertical one stands above it, where it reads without turning the head.
    pub(crate) fn axes(&mut self, across: &Axis<'_>, up: &Axis<'_>) {
        let (left, right, top, bottom) = self.sides();
        let widest =
            |ticks: &[f64]| ticks.iter().map(|v| width(&(across.label)(*v))).fold(0.0, f64::max) + 14.0;
        let mut most = 10;
        let mut ticks = self.x.ticks(most, across.unit);
        while most > 2 && widest(&ticks) * ticks.len() as f64 > right - left + 20.0 {
            most -= 1;
            ticks = self.x.ticks(most, across.unit);
        }
        for (v, label) in labelled(&self.x, ticks, across.label) {
            let Some(px) = self.x.px(v) else { continue };
            self.body.push_str(&format!(
                "<line class=\"grid\" x1=\"{px:.1}\" x2=\"{px:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/>"
            ));
            self.text(px, bottom + 16.0, "middle", "tick", &label);
        }
        let most = (((bottom - top) / 30.0) as usize).clamp(2, 8);
        for (v, label) in labelled(&self.y, self.y.ticks(most, up.unit), up.label) {
            let Some(py) = self.y.px(v) else { continue };
            self.body.push_str(&format!(
                "<line class=\"grid\" x1=\"{left:.1}\" x2=\"{right:.1}\" y1=\"{py:.1}\" y2=\"{py:.1}\"/>"
            ));
            self.text(left - 7.0, py + 4.0, "end", "tick", &label);
        }
        self.body
            .push_str(&format!("<path class=\"axis\" d=\"M{left:.1} {top:.1}V{bottom:.1}H{right:.1}\"/>"));
        self.text(f64::midpoint(left, right), bottom + 34.0, "middle", "name", across.name);
        let above = top - 9.0 - ROW * self.rows.len() as f64;
        self.text(8.0, above, "start", "name", up.name);
    }

    /// Shades between two values of x.
    pub(crate) fn band_across(&mut self, low: f64, high: f64, class: &str, tip: &str) {
        let (Some(a), Some(b)) = (self.x.px(low), self.x.px(high)) else { return };
        // A band of one batch size is still to be seen.
        let (a, b) =
            if b - a < 6.0 { (f64::midpoint(a, b) - 3.0, f64::midpoint(a, b) + 3.0) } else { (a, b) };
        let (_, _, top, bottom) = self.sides();
        self.rectangle(a, b, top, bottom, class, tip);
    }

    /// Shades between two values of y.
    pub(crate) fn band_up(&mut self, low: f64, high: f64, class: &str, tip: &str) {
        let (left, right, _, bottom) = self.sides();
        let (Some(a), Some(b)) = (self.y.px(low).or(Some(bottom)), self.y.px(high)) else { return };
        self.rectangle(left, right, b.min(a), a.max(b).max(b.min(a) + 2.0), class, tip);
    }

    fn rectangle(&mut self, x1: f64, x2: f64, y1: f64, y2: f64, class: &str, tip: &str) {
        self.body.push_str(&format!(
            "<rect class=\"{class}\" x=\"{x1:.1}\" y=\"{y1:.1}\" width=\"{:.1}\" \
             height=\"{:.1}\"><title>{}</title></rect>",
            (x2 - x1).max(0.0),
            (y2 - y1).max(0.0),
            escape(tip)
        ));
    }

    /// A cell between two values of x and two of y, with words in its middle where they have room.
    pub(crate) fn cell(&mut self, x: (f64, f64), y: (f64, f64), class: &str, words: &str, tip: &str) {
        let (Some(x1), Some(x2)) = (self.x.px(x.0), self.x.px(x.1)) else { return };
        let (Some(y1), Some(y2)) = (self.y.px(y.0), self.y.px(y.1)) else { return };
        self.rectangle(x1.min(x2), x1.max(x2), y1.min(y2), y1.max(y2), class, tip);
        let has_room = width(words) <= (x2 - x1).abs() + 2.0 && 12.0 <= (y2 - y1).abs();
        if !words.is_empty() && has_room {
            self.text(f64::midpoint(x1, x2), f64::midpoint(y1, y2) + 4.0, "middle", "cell", words);
        }
    }

    /// A line through points; it breaks where one is missing or outside of the panel.
    pub(crate) fn line(&mut self, points: impl IntoIterator<Item = (f64, f64)>, class: &str) {
        let mut path = String::new();
        let mut pen = 'M';
        for (x, y) in points {
            match (self.x.px(x), self.y.px(y)) {
                (Some(px), Some(py)) if self.x.holds(x) && self.y.holds(y) => {
                    path.push_str(&format!("{pen}{px:.1} {py:.1}"));
                    pen = 'L';
                }
                _ => pen = 'M',
            }
        }
        if path.contains('L') {
            self.body.push_str(&format!("<path class=\"line {class}\" d=\"{path}\"/>"));
        }
    }

    /// Shades between two lines, given as (x, low, high).
    pub(crate) fn area(&mut self, points: &[(f64, f64, f64)], class: &str, tip: &str) {
        let place = |x: f64, y: f64| Some((self.x.px(x)?, self.y.px(y)?));
        let upper = points.iter().filter_map(|p| place(p.0, p.2));
        let lower = points.iter().rev().filter_map(|p| place(p.0, p.1));
        let outline: Vec<String> = upper.chain(lower).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        if outline.len() >= 3 {
            self.body.push_str(&format!(
                "<polygon class=\"{class}\" points=\"{}\"><title>{}</title></polygon>",
                outline.join(" "),
                escape(tip)
            ));
        }
    }

    /// One point, with the words that are shown when it is pointed at.
    pub(crate) fn point(&mut self, x: f64, y: f64, shape: Shape, class: &str, tip: &str) {
        let (Some(px), Some(py)) = (self.x.px(x), self.y.px(y)) else { return };
        self.body.push_str(&mark(px, py, shape, class, tip));
    }

    /// A cross just under the upper edge.
    pub(crate) fn cross_at_top(&mut self, x: f64, class: &str, tip: &str) {
        let (_, _, top, _) = self.sides();
        if let Some(px) = self.x.px(x) {
            self.body.push_str(&mark(px, top + 11.0, Shape::Cross, class, tip));
        }
    }

    /// An upright bar between two values of y.
    pub(crate) fn bar(&mut self, x: f64, low: f64, high: f64, class: &str) {
        let (_, _, _, bottom) = self.sides();
        let (Some(px), Some(a), Some(b)) = (self.x.px(x), self.y.px(low).or(Some(bottom)), self.y.px(high))
        else {
            return;
        };
        // An error smaller than its point would only deform the point.
        if (a - b).abs() < 9.0 {
            return;
        }
        let (l, r) = (px - 4.0, px + 4.0);
        self.body.push_str(&format!(
            "<path class=\"bar {class}\" d=\"M{l:.1} {a:.1}H{r:.1}M{px:.1} {a:.1}V{b:.1}M{l:.1} {b:.1}H{r:.1}\"/>"
        ));
    }

    /// A bar from `low` upward without an end.
    pub(crate) fn arrow_up(&mut self, x: f64, low: f64, class: &str, tip: &str) {
        let (_, _, top, _) = self.sides();
        let (Some(px), Some(a)) = (self.x.px(x), self.y.px(low)) else { return };
        let head = (a - 46.0).max(top + 2.0).min(a - 12.0);
        self.body.push_str(&format!(
            "<g><title>{}</title><path class=\"hit\" d=\"M{px:.1} {a:.1}V{head:.1}\"/>\
             <path class=\"bar {class}\" d=\"M{:.1} {a:.1}H{:.1}M{px:.1} {a:.1}V{head:.1}\
             M{:.1} {:.1}L{px:.1} {head:.1}L{:.1} {:.1}\"/></g>",
            escape(tip),
            px - 6.0,
            px + 6.0,
            px - 5.0,
            head + 7.0,
            px + 5.0,
            head + 7.0
        ));
    }

    /// Words that stand upright at the lower edge, in place of a number.
    pub(crate) fn words_at(&mut self, x: f64, words: &str, tip: &str) {
        let (_, _, _, bottom) = self.sides();
        if let Some(px) = self.x.px(x) {
            self.labels.push_str(&format!(
                "<text class=\"label words\" transform=\"translate({:.1} {:.1}) rotate(-90)\">\
                 <title>{}</title>{}</text>",
                px + 4.0,
                bottom - 8.0,
                escape(tip),
                escape(words)
            ));
        }
    }

    /// Words in place of all that was drawn, for a panel that has nothing to show.
    pub(crate) fn words(&mut self, words: &str) {
        let (left, right, top, bottom) = self.sides();
        self.labels.clear();
        self.side.clear();
        self.body = format!(
            "<rect class=\"empty\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
            right - left,
            bottom - top
        );
        self.text(f64::midpoint(left, right), f64::midpoint(top, bottom), "middle", "words", words);
    }

    /// An upright line with its label above the panel.
    pub(crate) fn upright(&mut self, x: f64, class: &'static str, label: &str) {
        let Some(px) = self.x.px(x) else { return };
        let (_, _, top, bottom) = self.sides();
        let span = span(px, label);
        let free = |row: &Vec<(f64, f64)>| row.iter().all(|r| span.1 <= r.0 || span.0 >= r.1);
        let row = self.rows.iter().position(free).or(self.rows.len().checked_sub(1));
        let mut from = top;
        if let (Some(row), false) = (row, label.is_empty()) {
            self.rows[row].push(span);
            let base = top - 7.0 - ROW * row as f64;
            from = base + 3.0;
            self.text(f64::midpoint(span.0, span.1), base, "middle", class, label);
        }
        self.body.push_str(&format!(
            "<line class=\"mark {class}\" x1=\"{px:.1}\" x2=\"{px:.1}\" y1=\"{from:.1}\" y2=\"{bottom:.1}\"/>"
        ));
    }

    /// A level line with its label at the right of the panel.
    pub(crate) fn level(&mut self, y: f64, class: &'static str, label: &str) {
        let Some(py) = self.y.px(y) else { return };
        let (left, right, _, _) = self.sides();
        self.body.push_str(&format!(
            "<line class=\"mark {class}\" x1=\"{left:.1}\" x2=\"{right:.1}\" y1=\"{py:.1}\" y2=\"{py:.1}\"/>"
        ));
        if !label.is_empty() {
            self.side.push((py, class, label.to_owned()));
        }
    }

    /// The finished panel.
    pub(crate) fn finish(mut self) -> String {
        let (_, right, top, bottom) = self.sides();
        let mut side = std::mem::take(&mut self.side);
        side.sort_by(|a, b| a.0.total_cmp(&b.0));
        // Labels that would overlap are pushed down, then back up from the lower edge.
        let gap = 14.0;
        let mut least = top;
        for label in &mut side {
            label.0 = label.0.max(least);
            least = label.0 + gap;
        }
        let mut most = bottom;
        for label in side.iter_mut().rev() {
            label.0 = label.0.min(most);
            most = label.0 - gap;
        }
        for (py, class, label) in side {
            self.text(right + 6.0, py + 4.0, "start", class, &label);
        }
        self.body + &self.labels
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, class: &str, words: &str) {
        self.labels.push_str(&text(x, y, anchor, class, words));
    }
}

/// Ticks with what is written at them.
fn labelled(scale: &Scale, ticks: Vec<f64>, label: &dyn Fn(f64) -> String) -> Vec<(f64, String)> {
    let labels: Vec<String> = ticks.iter().map(|v| label(*v)).collect();
    let labels = if scale.is_log() { labels } else { aligned(labels) };
    ticks.into_iter().zip(labels).collect()
}

/// How many rows of labels these upright lines need above a panel.
pub(crate) fn rows(x: &Scale, lines: &[Upright]) -> usize {
    let spans: Vec<(f64, f64)> = lines.iter().filter_map(|l| Some(span(x.px(l.0)?, &l.2))).collect();
    let apart = |a: &(f64, f64), b: &(f64, f64)| a.1 <= b.0 || b.1 <= a.0;
    if spans.iter().enumerate().all(|(i, a)| spans[..i].iter().all(|b| apart(a, b))) { 1 } else { 2 }
}

/// Left and right end of a label as near to `px` as the figure allows.
fn span(px: f64, label: &str) -> (f64, f64) {
    let half = width(label) / 2.0 + 4.0;
    let at = px.clamp(half + 2.0, (WIDTH - half - 2.0).max(half + 2.0));
    (at - half, at + half)
}
