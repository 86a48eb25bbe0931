//! What people see: progress on standard error, results on standard output.

use super::Options;
use batchwise_lab::advise::Event;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// One bar for the phase at hand; finished phases leave a line.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    name: &'static str,
    quiet: bool,
    /// Where standard error is no terminal: when the phase began and the last line was written.
    plain: Option<(Instant, Instant)>,
}

/// Between two lines of progress where standard error is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

impl Progress {
    pub(super) fn new(options: &Options) -> Self {
        Self { bar: None, name: "", quiet: options.quiet, plain: None }
    }

    pub(super) fn on(&mut self, event: Event) {
        if self.quiet {
            return;
        }
        match event {
            Event::Phase { number, of, name } => {
                self.finish();
                self.name = name;
                // The draw target hides itself where standard error is no terminal.
                let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
                if let Ok(style) =
                    ProgressStyle::with_template("{prefix:>20} {bar:30} {elapsed:>4}, {eta} left: {wide_msg}")
                {
                    bar.set_style(style.progress_chars("━╸─"));
                }
                bar.set_prefix(format!("[{number}/{of}] {name}"));
                bar.enable_steady_tick(Duration::from_millis(200));
                self.bar = Some(bar);
                let now = Instant::now();
                self.plain = (!std::io::stderr().is_terminal()).then_some((now, now));
            }
            Event::Progress { done, total, note } => {
                if let Some(bar) = &self.bar {
                    bar.set_length(total.max(1));
                    bar.set_position(done);
                    bar.set_message(note.clone());
                }
                self.plain_line(done, total, &note);
            }
            Event::Finding(text) => {
                self.finish();
                error_line(&format!("{:>20}  {text}", self.name));
            }
        }
    }

    /// A line now and then for who reads a log, not a screen.
    fn plain_line(&mut self, done: u64, total: u64, note: &str) {
        let Some((begun, last)) = &mut self.plain else { return };
        let now = Instant::now();
        if now.duration_since(*last) < PLAIN_EVERY {
            return;
        }
        *last = now;
        let share = done as f64 / total.max(1) as f64;
        let left = now.duration_since(*begun).as_secs_f64() * (1.0 / share - 1.0);
        let left = if left.is_finite() { format!(", {left:.0} s left") } else { String::new() };
        error_line(&format!("{:>20}  {:.0} %{left}: {note}", self.name, 100.0 * share));
    }

    pub(super) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

/// An error, with its `hint:` lines if the text has any.
pub(super) fn error(text: &str) {
    error_line(&format!("error: {text}"));
}

/// A bar that hides itself where standard error is no terminal, or where nothing is to be shown.
pub(super) fn bar(options: &Options, template: &str) -> ProgressBar {
    let target = if options.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(1), target);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar
}

/// A line on standard error; where nobody can read it there is nothing left to do.
pub(super) fn error_line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

static FAULT: OnceLock<std::io::Error> = OnceLock::new();

/// Why a line of the result could not be written, if one could not.
pub(super) fn fault() -> Option<&'static std::io::Error> {
    FAULT.get()
}

/// A line of a result. A closed pipe (`| head`) ends the output quietly.
pub(super) fn line(text: &str) {
    if let Err(error) = writeln!(std::io::stdout(), "{text}")
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        FAULT.get_or_init(|| error);
    }
}

/// A result as indented JSON.
pub(super) fn json(value: &impl serde::Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => line(&text),
        Err(problem) => error(&problem.to_string()),
    }
}

/// Columns aligned to the right, the first row as head.
pub(super) fn table(rows: &[Vec<String>]) {
    let n_columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..n_columns).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| {
            let padding = width.saturating_sub(cell.chars().count());
            format!("{}{cell}", " ".repeat(padding))
        });
        line(cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}
