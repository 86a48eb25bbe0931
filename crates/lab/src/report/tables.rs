//! Every number behind the figures, as tables that open on demand.

use super::text::{UNKNOWN, bytes, digits, escape, int, maybe, num, percent, prose, ratio, seconds};
use crate::advice::Advice;
use batchwise_estimate::fieller::Ratio;

/// A table under construction.
struct Table {
    name: String,
    /// Names of the columns; those that begin with `'` hold words.
    columns: &'static [&'static str],
    rows: Vec<(bool, Vec<String>)>,
}

impl Table {
    fn new(name: impl Into<String>, columns: &'static [&'static str]) -> Self {
        Self { name: name.into(), columns, rows: Vec::new() }
    }

    fn row(&mut self, advised: bool, cells: Vec<String>) {
        self.rows.push((advised, cells));
    }

    fn html(&self) -> String {
        let class = |column: Option<&&str>| {
            if column.is_some_and(|c| c.starts_with('\'')) { " class=\"word\"" } else { "" }
        };
        let head: String = self
            .columns
            .iter()
            .map(|c| {
                format!("<th scope=\"col\"{}>{}</th>", class(Some(c)), escape(c.trim_start_matches('\'')))
            })
            .collect();
        let mut body = String::new();
        for (advised, cells) in &self.rows {
            body.push_str(if *advised { "<tr class=\"advised\">" } else { "<tr>" });
            for (i, cell) in cells.iter().enumerate() {
                body.push_str(&format!("<td{}>{}</td>", class(self.columns.get(i)), escape(cell)));
            }
            body.push_str("</tr>\n");
        }
        let table = if self.rows.is_empty() {
            "<p>Nothing was measured.</p>".to_owned()
        } else {
            format!("<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>")
        };
        format!("<details>\n<summary>{}</summary>\n<div>{table}</div>\n</details>\n", prose(&self.name))
    }
}

/// All tables.
pub(super) fn html(advice: &Advice) -> String {
    let tables = [
        time_to_target(advice),
        throughput(advice),
        noise(advice),
        parameters(advice),
        memory(advice),
        learning_rate(advice),
        confirmation(advice),
    ];
    let tables: String = tables.iter().map(Table::html).collect();
    format!("<section id=\"tables\">\n<h2>The numbers</h2>\n{tables}</section>\n")
}

fn time_to_target(advice: &Advice) -> Table {
    let mut table = Table::new(
        "Figure 1: expected time to target, relative to the best",
        &["Batch size", "Median", "5 %", "95 %", "Expected regret"],
    );
    let time = &advice.time_to_target;
    for b in &time.bands {
        let regret = time.regrets.iter().find(|r| r.0 == b.batch).map(|r| r.1);
        table.row(
            b.batch == advice.batch_size,
            vec![
                int(b.batch),
                digits(b.median, 4),
                digits(b.low, 4),
                digits(b.high, 4),
                maybe(regret, percent),
            ],
        );
    }
    if let Some(closed) = time.closed_form {
        table.name.push_str(&format!("; √(aB_c/c) = {}", num(closed)));
    }
    table
}

fn throughput(advice: &Advice) -> Table {
    let mut table = Table::new(
        "Figure 2: time per step",
        &[
            "Batch size",
            "Micro-batch",
            "Time per step",
            "± error",
            "Examples/s",
            "Steps timed",
            "Waiting for data",
        ],
    );
    for p in &advice.speed.points {
        table.row(
            p.batch == advice.batch_size,
            vec![
                int(p.batch),
                int(p.micro_batch),
                seconds(p.seconds),
                seconds(p.spread),
                num(p.batch as f64 / p.seconds),
                int(p.n_steps),
                percent(p.data_wait),
            ],
        );
    }
    table
}

fn noise(advice: &Advice) -> Table {
    let noise = &advice.noise;
    let mut table = Table::new(
        format!("Figure 3: gradient noise in {}; average φ {}", noise.unit, ratio(&noise.average)),
        &[
            "Examples seen",
            "φ",
            "Low",
            "High",
            "'Grade",
            "‖G‖²",
            "tr Σ",
            "Measurements",
            "Micro-batches",
            "Micro-batch",
            "Loss",
        ],
    );
    for p in &noise.points {
        table.row(
            false,
            vec![
                int(p.examples_seen),
                maybe(p.phi, num),
                maybe(p.low, num),
                maybe(p.high, num),
                p.grade.replace('_', " "),
                num(p.g2),
                num(p.tr_sigma),
                int(p.n_measurements),
                int(p.micro_batches),
                int(p.micro_batch),
                num(p.loss),
            ],
        );
    }
    table
}

fn parameters(advice: &Advice) -> Table {
    let last = advice.noise.points.last();
    let seen = last.map_or_else(|| UNKNOWN.to_owned(), |p| int(p.examples_seen));
    let mut table = Table::new(
        format!("Figure 3: gradient noise of each parameter, after {seen} examples"),
        &["'Parameter", "φ", "Low", "High", "'Grade", "‖G‖²", "tr Σ"],
    );
    for p in last.map(|p| p.parameters.as_slice()).unwrap_or_default() {
        let grade = match &p.phi {
            Ratio::NotIdentified { why } => format!("not identified: {why}"),
            other => other.grade().replace('_', " "),
        };
        table.row(
            false,
            vec![
                p.name.clone(),
                maybe(p.phi.value(), num),
                maybe(p.phi.low(), num),
                maybe(p.phi.high(), num),
                grade,
                num(p.g2),
                num(p.tr_sigma),
            ],
        );
    }
    table
}

fn memory(advice: &Advice) -> Table {
    let memory = &advice.memory;
    let mut table = Table::new("Figure 4: peak memory", &["Micro-batch", "Peak", "Bytes", "'What it is"]);
    let mut row = |advised: bool, batch: String, peak: u64, what: &str| {
        table.row(advised, vec![batch, bytes(peak as f64), int(peak), what.to_owned()]);
    };
    for p in &memory.points {
        row(false, int(p.batch), p.peak_bytes, "measured");
    }
    let own = || int(advice.micro_batch);
    row(true, own(), memory.predicted_peak_bytes, "predicted");
    row(true, own(), memory.predicted_upper_bytes, "upper end of the prediction");
    row(true, own(), memory.verified_peak_bytes, "verified by a run");
    row(false, "0".to_owned(), memory.fixed_bytes, "by the line through the top segment");
    let limit = if memory.limit_is_given { "limit, as asked for" } else { "limit, what the device had free" };
    row(false, UNKNOWN.to_owned(), memory.limit_bytes, limit);
    table
}

fn learning_rate(advice: &Advice) -> Table {
    let search = &advice.learning_rate_search;
    let mut table = Table::new(
        format!("Figure 5: learning-rate search at batch {}", int(search.anchor_batch)),
        &["Learning rate", "Loss", "'Outcome"],
    );
    for p in &search.points {
        let outcome = if p.loss.is_some_and(f64::is_finite) { "finished" } else { "diverged" };
        table.row(
            false,
            vec![digits(p.learning_rate, 4), maybe(p.loss, |l| digits(l, 4)), outcome.to_owned()],
        );
    }
    table
}

fn confirmation(advice: &Advice) -> Table {
    let mut table = Table::new(
        "Figure 6: confirmation",
        &[
            "Batch size",
            "Learning rate",
            "Seed",
            "Examples",
            "Steps",
            "Training loss",
            "Test loss",
            "± error",
            "Test accuracy",
            "± error",
            "Time",
        ],
    );
    for c in &advice.confirmation {
        table.row(
            c.batch == advice.batch_size,
            vec![
                int(c.batch),
                num(c.learning_rate),
                c.seed.to_string(),
                int(c.examples),
                int(c.steps),
                c.train_loss
                    .filter(|l| l.is_finite())
                    .map_or_else(|| "diverged".to_owned(), |l| digits(l, 4)),
                maybe(c.test_loss, |l| digits(l, 4)),
                maybe(c.test_loss_error, |e| digits(e, 2)),
                maybe(c.test_accuracy, |a| format!("{} %", digits(a * 100.0, 4))),
                maybe(c.test_accuracy_error, percent),
                seconds(c.seconds),
            ],
        );
    }
    table
}
