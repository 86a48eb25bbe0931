//! What a sweep shows while it runs, and of its predictions.

use crate::cli::Options;
use crate::cli::show;
use batchwise_lab::plan::{Generated, Plan};
use batchwise_lab::runner::{Event, Prediction, PredictionCheck, Row, Table};
use batchwise_lab::{bytes, trial::EndKind};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Between two lines where standard error is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// A live table of trials on standard error.
pub(super) struct View {
    quiet: bool,
    is_terminal: bool,
    all: MultiProgress,
    total: Option<ProgressBar>,
    rows: Vec<ProgressBar>,
    last: Option<Instant>,
}

impl View {
    pub(super) fn new(options: &Options) -> Self {
        let quiet = options.quiet;
        let is_terminal = std::io::stderr().is_terminal() && !quiet;
        let target = if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let all = MultiProgress::with_draw_target(target);
        Self { quiet, is_terminal, all, total: None, rows: Vec::new(), last: None }
    }

    pub(super) fn on(&mut self, event: Event) {
        if self.quiet {
            return;
        }
        match event {
            Event::Note(text) => self.line(&text),
            Event::Done { trial, result } => self.line(&format!("{:>9}  {trial}: {result}", "done")),
            Event::Ended { trial, kind, reason, again } => {
                let next = match (again, kind) {
                    (true, EndKind::Memory) => "; again with more memory or half the micro-batch",
                    (true, _) => "; again",
                    (false, _) => "; given up",
                };
                // Of a traceback the last line says it.
                let mut lines = reason.lines().map(str::trim).filter(|line| !line.is_empty());
                let (first, last) = (lines.next().unwrap_or_default(), lines.next_back());
                let reason = last.map_or_else(|| first.to_owned(), |last| format!("{first} … {last}"));
                self.line(&format!("{:>9}  {trial}: {reason}{next}", kind.name()));
            }
            Event::Table(table) => self.table(&table),
        }
    }

    fn line(&self, text: &str) {
        if self.is_terminal {
            let _ = self.all.println(text);
        } else {
            show::error_line(text);
        }
    }

    fn table(&mut self, table: &Table) {
        let total = summary(table);
        if !self.is_terminal {
            let now = Instant::now();
            if self.last.is_none_or(|last| PLAIN_EVERY <= now.duration_since(last)) {
                if self.last.is_some() {
                    show::error_line(&total);
                }
                self.last = Some(now);
            }
            return;
        }
        let bar = self.total.get_or_insert_with(|| {
            let bar = self.all.add(ProgressBar::no_length());
            bar.set_style(plain_style());
            bar
        });
        bar.set_message(total);
        while self.rows.len() < table.running.len() {
            let bar = self.all.add(ProgressBar::new(1));
            if let Ok(style) = ProgressStyle::with_template("  {bar:24} {wide_msg}") {
                bar.set_style(style.progress_chars("━╸─"));
            }
            self.rows.push(bar);
        }
        for (i, bar) in self.rows.iter().enumerate() {
            match table.running.get(i) {
                Some(row) => {
                    bar.set_length(row.of.max(1));
                    bar.set_position(row.examples.min(row.of));
                    bar.set_message(in_words(row));
                }
                None => {
                    bar.set_position(0);
                    bar.set_message("");
                }
            }
        }
    }

    pub(super) fn finish(&mut self) {
        for bar in self.rows.drain(..).chain(self.total.take()) {
            bar.finish_and_clear();
        }
    }
}

fn plain_style() -> ProgressStyle {
    ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn summary(table: &Table) -> String {
    let mut text = format!(
        "{} done, {} running, {} waiting{}",
        table.done,
        table.running.len(),
        table.waiting,
        if table.may_grow { " or more" } else { "" }
    );
    if 0 < table.failed {
        text.push_str(&format!(", {} given up", table.failed));
    }
    if table.is_paused {
        text.push_str(", paused");
    }
    if let Some(seconds) = table.seconds_left.filter(|seconds| 0.0 < *seconds) {
        text.push_str(&format!(", at most {} left", duration(seconds)));
    }
    text
}

fn in_words(row: &Row) -> String {
    let value = row.value.map_or_else(String::new, |value| format!(", {value:.4}"));
    let left = row.seconds_left.map_or_else(String::new, |left| format!(", at most {} left", duration(left)));
    format!("{}: {} examples{value}, {}{left}", row.trial, examples(row.examples), duration(row.seconds))
}

/// Examples, of a run that ends by other things none.
pub(super) fn examples(examples: u64) -> String {
    if examples < 1 << 50 { examples.to_string() } else { "open".to_owned() }
}

/// Seconds for people.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// What a sweep will take, in lines.
pub(super) fn predicted(
    plan: &Plan,
    generated: &Generated,
    prediction: &Prediction,
    jobs: u64,
) -> Vec<String> {
    let ends = match (plan.target, generated.may_grow) {
        (Some(_), true) => " if no trial reaches its target; brackets may widen and add trials",
        (Some(_), false) => " if no trial reaches its target",
        (None, true) => "; brackets may widen and add trials",
        (None, false) => "",
    };
    let most = if plan.target.is_some() { "at most " } else { "" };
    let mut lines = vec![format!(
        "{} trials to run, {jobs} at once: {most}{} (predicted){ends}",
        prediction.trials,
        duration(prediction.seconds)
    )];
    if 0 < prediction.unknown {
        lines.push(format!("of {} of them no pilot told what they take", prediction.unknown));
    }
    let memory = prediction.bytes.map_or_else(|| "not known".to_owned(), bytes::human);
    lines.push(format!(
        "memory at most {memory} at once beside the data, disk at most {} (predicted)",
        bytes::human(prediction.disk_bytes)
    ));
    lines
}

/// How good the predictions were.
pub(super) fn checked(check: &PredictionCheck) -> String {
    let memory = check
        .worst_memory
        .map_or_else(String::new, |off| format!("; peaks of memory at most {:.1} % off", 100.0 * off));
    format!(
        "predictions: {} trials were to take {:.1} s for what they did, and took {:.1} s ({:+.1} %){memory}",
        check.trials,
        check.predicted_seconds,
        check.seconds,
        100.0 * (check.predicted_seconds / check.seconds - 1.0)
    )
}
