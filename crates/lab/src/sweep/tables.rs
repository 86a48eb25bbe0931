//! The numbers of a sweep as tables: the same on a terminal and on a page.

use super::answer::{BatchSummary, Fates, Group, Spread, SweepAnswer, Trouble};
use crate::report::text::{UNKNOWN, bytes, digits, int, maybe, num, percent_rough, rough, seconds};
use batchwise_estimate::outcome::Outcome;
use batchwise_estimate::ridge::{Edge, Next};

/// A table: columns whose names begin with `'` hold words, the others numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
    /// A row to point out.
    pub(crate) advised: Option<usize>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|c| (*c).to_owned()).collect();
        Self { title: title.into(), columns, rows: Vec::new(), advised: None }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Whether a column says nothing in any row.
    fn is_silent(&self, column: usize) -> bool {
        let is_empty = |cell: &String| cell.is_empty() || cell == UNKNOWN;
        self.rows.iter().all(|row| row.get(column).is_none_or(is_empty))
    }

    /// Without the columns that say nothing; the first stays.
    pub(crate) fn trimmed(mut self) -> Self {
        for column in (1..self.columns.len()).rev() {
            if self.is_silent(column) {
                self.columns.remove(column);
                self.rows.iter_mut().for_each(|row| drop(row.remove(column)));
            }
        }
        self
    }

    /// Rows of plain text, the head first.
    pub(crate) fn plain(&self) -> Vec<Vec<String>> {
        let head = self.columns.iter().map(|c| c.trim_start_matches('\'').to_owned()).collect();
        std::iter::once(head).chain(self.rows.iter().cloned()).collect()
    }
}

/// A number over seeds: `≥` where runs were censored, `±` its standard deviation where that is known.
pub(crate) fn spread(spread: Option<Spread>, shown: impl Fn(f64) -> String) -> String {
    let Some(spread) = spread else { return UNKNOWN.to_owned() };
    match spread.sd {
        _ if 0 < spread.censored => format!("≥ {}", shown(spread.mean)),
        Some(sd) => format!("{} ± {}", shown(spread.mean), shown_error(sd, &shown)),
        None => shown(spread.mean),
    }
}

/// The error in the number's own unit, to two digits where it has none.
fn shown_error(sd: f64, shown: &impl Fn(f64) -> String) -> String {
    let words = shown(sd);
    if words.contains(' ') { words } else { rough(sd) }
}

/// The value of an outcome, or what bounds it.
pub(crate) fn outcome(outcome: &Outcome, shown: impl Fn(f64) -> String) -> String {
    match outcome {
        Outcome::Measured { value, low, high } => {
            format!("{} ({}–{})", shown(*value), shown(*low), shown(*high))
        }
        Outcome::LowerBound { low } => format!("≥ {}", shown(*low)),
        Outcome::UpperBound { high } => format!("≤ {}", shown(*high)),
        Outcome::NotIdentified { .. } => "not identified".to_owned(),
    }
}

/// Three or more digits: what is judged differs in late ones.
pub(crate) fn value(v: f64) -> String {
    digits(v, 4)
}

fn four(v: f64) -> String {
    digits(v, 4)
}

/// The best learning rate at each batch size.
pub(crate) fn rates(group: &Group, percent: &str) -> Table {
    let interval = format!("Best learning rate ({percent} interval)");
    let mut table = Table::new(
        "Best learning rate",
        &[
            "Batch size",
            "'best",
            "'Edge",
            "Rate that counts",
            "Rates tried",
            "Runs",
            "Diverged",
            "Widened",
            "'Try next",
        ],
    );
    table.columns[1] = format!("'{interval}");
    for batch in &group.batches {
        let rate = &batch.rate;
        let edge = match rate.at_edge {
            Some(Edge::Low) => "the smallest tried is best",
            Some(Edge::High) => "the largest tried is best",
            None => "",
        };
        let best = match &rate.best {
            Outcome::NotIdentified { why } => format!("not identified: {why}"),
            other => outcome(other, num),
        };
        table.row(vec![
            int(batch.batch),
            best,
            edge.to_owned(),
            maybe(rate.counts, num),
            int(rate.tried.len() as u64),
            int(batch.fates.results()),
            int(batch.fates.diverged),
            rate.widened.map_or_else(|| UNKNOWN.to_owned(), int),
            next(&rate.next),
        ]);
    }
    point_out(table, group).trimmed()
}

fn next(next: &Next) -> String {
    let list = |rates: &[f64]| rates.iter().map(|v| num(*v)).collect::<Vec<_>>().join(", ");
    match next {
        Next::Enough => String::new(),
        Next::Extend { learning_rates, .. } | Next::Refine { learning_rates } => list(learning_rates),
        Next::MoreSeeds { learning_rates } if learning_rates.is_empty() => String::new(),
        Next::MoreSeeds { learning_rates } => format!("another seed of {}", list(learning_rates)),
    }
}

/// Steps, examples and seconds to the target, and the fitted curve.
pub(crate) fn to_target(group: &Group) -> Table {
    let mut table = Table::new(
        "To the target, at the best learning rate tried",
        &[
            "Batch size",
            "Learning rate",
            "Runs",
            "Reached",
            "Steps",
            "Examples",
            "Seconds",
            "Steps by the fit",
            "Off the fit",
        ],
    );
    for batch in &group.batches {
        let fits = group.steps.as_ref().map(|steps| steps.fit.batches.as_slice()).unwrap_or_default();
        let fit = fits.iter().find(|row| row.batch == batch.batch as f64);
        let reached = batch.examples.map(|s| s.n - s.censored);
        table.row(vec![
            int(batch.batch),
            maybe(batch.rate.counts, num),
            if batch.runs.is_empty() { UNKNOWN.to_owned() } else { int(batch.runs.len() as u64) },
            reached.map_or_else(|| UNKNOWN.to_owned(), int),
            spread(batch.steps, four),
            spread(batch.examples, four),
            spread(batch.seconds, seconds),
            maybe(fit.and_then(|row| row.fitted), four),
            maybe(fit.and_then(|row| row.residual), percent_rough),
        ]);
    }
    point_out(table, group).trimmed()
}

/// Every cell of the map.
pub(crate) fn cells(group: &Group) -> Table {
    let (score, excess) = match group.target {
        Some(_) => ("Examples to target", "More than the best"),
        None => ("Value at the end", "Worse than the best by"),
    };
    let mut table = Table::new(
        "Every batch size and learning rate",
        &["Batch size", "Learning rate", score, excess, "'Trials"],
    );
    for cell in &group.cells {
        let excess = |v: f64| if group.target.is_some() { percent_rough(v) } else { value(v) };
        table.row(vec![
            int(cell.batch),
            num(cell.learning_rate),
            spread(cell.score, if group.target.is_some() { four } else { value }),
            maybe(cell.excess, excess),
            fates(&cell.fates),
        ]);
    }
    table
}

/// What became of trials, in words.
pub(crate) fn fates(fates: &Fates) -> String {
    let all = [
        (fates.reached, "reached"),
        (fates.not_reached, "not reached"),
        (fates.finished, "finished"),
        (fates.diverged, "diverged"),
        (fates.pruned, "stopped early"),
        (fates.failed, "failed"),
        (fates.cancelled, "given up"),
        (fates.waiting, "no result yet"),
    ];
    let words: Vec<String> =
        all.iter().filter(|(n, _)| 0 < *n).map(|(n, words)| format!("{} {words}", int(*n))).collect();
    words.join(", ")
}

/// The judged value at equal examples, at equal steps, and at the end.
pub(crate) fn values(group: &Group) -> Table {
    let name = group.judge.name();
    let at = |n: Option<u64>, what: &str| match n {
        Some(n) => format!("{name} at {} {what}", int(n)),
        None => format!("{name} at equal {what}"),
    };
    let mut table = Table::new(
        format!(
            "The {name} at equal examples, at equal steps and at the end, at the best learning rate tried"
        ),
        &["Batch size", "Learning rate", "", "", "", "Seeds"],
    );
    table.columns[2] = at(group.equal.examples, "examples");
    table.columns[3] = at(group.equal.steps, "steps");
    table.columns[4] = format!("{name} at the end");
    for batch in &group.batches {
        table.row(vec![
            int(batch.batch),
            maybe(batch.rate.counts, num),
            spread(batch.value_at_equal_examples, value),
            spread(batch.value_at_equal_steps, value),
            spread(batch.value_at_end, value),
            batch.value_at_end.map_or_else(|| UNKNOWN.to_owned(), |s| int(s.n)),
        ]);
    }
    point_out(table, group).trimmed()
}

/// Time of a step, throughput, memory and noise.
pub(crate) fn costs(group: &Group, unit: &str) -> Table {
    let mut table = Table::new(
        "Time of a step, memory and noise as they were seen",
        &["Batch size", "Time of a step", "", "Runs timed", "Peak memory", "Noise scale"],
    );
    table.columns[2] = format!("{unit}/s");
    for batch in &group.batches {
        let rate = batch.step_seconds.map(|s| batch.batch as f64 / s.mean);
        table.row(vec![
            int(batch.batch),
            spread(batch.step_seconds, seconds),
            maybe(rate, num),
            batch.step_seconds.map_or_else(|| UNKNOWN.to_owned(), |s| int(s.n)),
            maybe(batch.peak_bytes.map(|b| b as f64), bytes),
            spread(batch.noise_scale, num),
        ]);
    }
    point_out(table, group).trimmed()
}

/// Peak memory alone.
pub(crate) fn peaks(group: &Group) -> Table {
    let mut table = Table::new("Peak memory", &["Batch size", "Peak", "Bytes"]);
    for point in group.memory.iter().flat_map(|memory| &memory.points) {
        table.row(vec![int(point.batch), bytes(point.peak_bytes as f64), int(point.peak_bytes)]);
    }
    table
}

/// Expected time to the target of every batch size that was timed.
pub(crate) fn standings(group: &Group) -> Table {
    let mut table = Table::new(
        "Expected time to the target",
        &["Batch size", "Time (90 % interval)", "Expected regret", "Best in"],
    );
    let Some(decision) = &group.choice.decision else { return table };
    let shown = |v: f64| if decision.absolute { seconds(v) } else { num(v) };
    for standing in &decision.standings {
        if standing.batch == decision.batch_size {
            table.advised = Some(table.rows.len());
        }
        let time = standing.time;
        table.row(vec![
            int(standing.batch),
            format!("{} ({}–{})", shown(time.median), shown(time.low), shown(time.high)),
            percent_rough(standing.expected_regret),
            percent_rough(standing.probability_best),
        ]);
    }
    table
}

/// Trials that went wrong in some way.
pub(crate) fn troubles<'a>(troubles: impl IntoIterator<Item = &'a Trouble>) -> Table {
    let mut table = Table::new(
        "Trials that went wrong, ended early or took several attempts",
        &["'Trial", "'Setting", "'What became of it", "'Why", "Attempts", "'Attempts without a result"],
    );
    for trouble in troubles {
        let ends: Vec<String> = trouble
            .ends
            .iter()
            .map(|(kind, reason)| format!("{}: {reason}", kind.replace('_', " ")))
            .filter(|end| *end != trouble.reason)
            .collect();
        table.row(vec![
            trouble.trial.clone(),
            trouble.label.clone(),
            trouble.fate.words().to_owned(),
            trouble.reason.clone(),
            int(trouble.attempts),
            ends.join("; "),
        ]);
    }
    table.trimmed()
}

/// The settings of the other hyper-parameters side by side.
pub(crate) fn settings(answer: &SweepAnswer) -> Table {
    let mut table = Table::new(
        "Settings of the other hyper-parameters",
        &[
            "'Setting",
            "'Trials",
            "Best batch size",
            "'Score there",
            "'B_c",
            "Advised batch size",
            "Advised learning rate",
        ],
    );
    for group in &answer.groups {
        let best = best(group);
        let score = |batch: &BatchSummary| match group.target {
            Some(_) => format!("{} {}", spread(batch.examples, four), answer.unit),
            None => format!("{} {}", group.judge.name(), spread(batch.value_at_end, value)),
        };
        let b_crit = group.steps.as_ref().map(|steps| outcome(&steps.fit.b_crit, num));
        table.row(vec![
            group.setting.clone(),
            fates(&group.fates),
            best.map_or_else(|| UNKNOWN.to_owned(), |batch| int(batch.batch)),
            best.map_or_else(|| UNKNOWN.to_owned(), score),
            b_crit.unwrap_or_else(|| UNKNOWN.to_owned()),
            group.choice.batch_size.map_or_else(|| UNKNOWN.to_owned(), int),
            maybe(group.choice.learning_rate.as_ref().map(|rate| rate.value), num),
        ]);
    }
    table.trimmed()
}

/// The batch size with the best score: the fewest examples to the target, or the best value at the end.
pub(crate) fn best(group: &Group) -> Option<&BatchSummary> {
    let merit = |batch: &BatchSummary| match group.target {
        Some(_) => batch.examples.filter(|s| !s.none_got_there()).map(|s| s.mean),
        None => batch.value_at_end.map(|s| group.judge.as_loss(s.mean)),
    };
    let all = group.batches.iter().filter_map(|batch| Some((batch, merit(batch)?)));
    all.min_by(|a, b| a.1.total_cmp(&b.1)).map(|found| found.0)
}

fn point_out(mut table: Table, group: &Group) -> Table {
    table.advised = group.batches.iter().position(|batch| Some(batch.batch) == group.choice.batch_size);
    table
}

/// Every run that counts, to the target or in vain.
pub(crate) fn runs(group: &Group, unit: &str) -> Table {
    let mut table = Table::new(
        "Every run at the best learning rate tried",
        &["Batch size", "Seed", "'What became of it", "Steps", "", "Seconds", "", "'Trial"],
    );
    table.columns[4] = crate::prose::capitalized(unit);
    table.columns[6] = format!("{} at the end", group.judge.name());
    for batch in &group.batches {
        for run in &batch.runs {
            table.row(vec![
                int(batch.batch),
                run.seed.to_string(),
                run.fate.words().to_owned(),
                four(run.steps),
                four(run.examples),
                maybe(run.seconds, seconds),
                maybe(run.value, value),
                run.trial.clone(),
            ]);
        }
    }
    table.trimmed()
}
