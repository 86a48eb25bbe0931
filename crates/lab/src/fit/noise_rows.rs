//! Rows of gradient norms, as measurements.

use super::FitError;
use super::columns::Wanted;
use super::error::shown;
use super::source::Source;
use super::table::{FileRead, Row, Table};
use batchwise_estimate::noise::{Measurement, MicroNorm, NormSums, measure_pair};
use std::collections::HashMap;

const WANTED: &[Wanted] = &[
    Wanted::plain("measurement", &["step", "k"]),
    Wanted::plain("micro_batch", &["micro", "microbatch", "micro_batch_size"]),
    Wanted::plain("weight", &["examples", "n_examples"]),
    Wanted::plain("norm2", &["norm_squared", "squared_norm", "grad_norm2", "norm_sq"]),
    Wanted::plain("group", &["parameter_group", "layer"]),
    Wanted::plain("batch", &["batch_size"]),
    Wanted::plain("micro_norm2", &["micro_norm_squared"]),
    Wanted::plain("batch_norm2", &["batch_norm_squared"]),
];
const MEASUREMENT: usize = 0;
const MICRO_BATCH: usize = 1;
const WEIGHT: usize = 2;
const NORM2: usize = 3;
const GROUP: usize = 4;
const BATCH: usize = 5;
const MICRO_NORM2: usize = 6;
const BATCH_NORM2: usize = 7;

/// All measurements of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NoiseRows {
    /// Names of the groups of parameters; one empty name where the file has none.
    pub(super) groups: Vec<String>,
    /// Measurement by measurement, the parts of each group.
    pub(super) measurements: Vec<Vec<Measurement>>,
    /// Examples of each measurement.
    pub(super) batches: Vec<f64>,
    /// Examples of a micro-batch where all are equal.
    pub(super) micro_batch: Option<f64>,
    /// Micro-batches in all.
    pub(super) n_micro_batches: u64,
}

/// Reads the long or the short form.
pub(super) fn read(source: Source) -> Result<(NoiseRows, FileRead), FitError> {
    let mut table = Table::open(source, WANTED, None)?;
    let is_short = table.has(MICRO_NORM2) || table.has(BATCH_NORM2);
    let mut all = Collected::default();
    if is_short {
        table.require(&[BATCH, MICRO_BATCH, MICRO_NORM2, BATCH_NORM2])?;
        if table.has(GROUP) {
            table.require(&[MEASUREMENT])?;
        }
        let mut n = 0;
        while let Some(row) = table.next_row()? {
            n += 1;
            all.short(&row, n)?;
        }
    } else {
        table.require(&[MEASUREMENT, MICRO_BATCH, WEIGHT, NORM2])?;
        while let Some(row) = table.next_row()? {
            all.long(&row)?;
        }
    }
    let rows = all.finish(&table, is_short)?;
    Ok((rows, table.finish()?))
}

/// One group of one measurement.
#[derive(Debug, Default)]
struct Entry {
    line: u64,
    sums: NormSums,
    /// The whole batch: squared norm, line, and its weight where it is given.
    whole: Option<(f64, u64, Option<f64>)>,
    /// A measurement of the short form.
    measured: Option<(Measurement, f64)>,
}

/// A micro-batch's name. Whole numbers are kept as such: a million texts would take a lot of memory.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Name {
    Number(u64),
    Text(Box<str>),
}

impl Name {
    fn of(text: &str) -> Self {
        match text.parse::<u64>() {
            Ok(number) => Self::Number(number),
            Err(_) => Self::Text(text.into()),
        }
    }
}

#[derive(Default)]
struct Collected {
    names: Vec<String>,
    measurements: HashMap<Name, usize>,
    groups: Vec<String>,
    entries: Vec<Vec<Entry>>,
    seen: HashMap<(u32, u32, Name), u64>,
    micro_batch: Option<f64>,
    is_uneven: bool,
    n_micro_batches: u64,
}

impl Collected {
    fn entry(&mut self, row: &Row<'_>, name: &str) -> (usize, usize) {
        let group = row.text(GROUP);
        let g = match self.groups.iter().position(|known| known == group) {
            Some(g) => g,
            None => {
                self.groups.push(group.to_owned());
                self.groups.len() - 1
            }
        };
        let m = *self.measurements.entry(Name::of(name)).or_insert_with(|| {
            self.names.push(name.to_owned());
            self.entries.push(Vec::new());
            self.entries.len() - 1
        });
        let of_measurement = &mut self.entries[m];
        while of_measurement.len() <= g {
            of_measurement.push(Entry::default());
        }
        if of_measurement[g].line == 0 {
            of_measurement[g].line = row.line();
        }
        (m, g)
    }

    fn long(&mut self, row: &Row<'_>) -> Result<(), FitError> {
        let name = row.text(MEASUREMENT);
        if name.is_empty() {
            return Err(
                row.wrong(MEASUREMENT, "a number or name that the rows of one measurement share is needed")
            );
        }
        let micro = row.text(MICRO_BATCH);
        if micro.is_empty() {
            return Err(row.wrong(MICRO_BATCH, "a number or name is needed, or `all` for the whole batch"));
        }
        let (m, g) = self.entry(row, name);
        let norm2 = row.not_negative(NORM2)?;
        let line = row.line();
        if micro.eq_ignore_ascii_case("all") {
            let weight = if row.text(WEIGHT).is_empty() { None } else { Some(row.positive(WEIGHT)?) };
            let entry = &mut self.entries[m][g];
            if let Some((_, other, _)) = entry.whole {
                let found =
                    format!("a second `all` for measurement {}, the first is in line {other}", shown(name));
                return Err(row.error(found, "one row for the whole batch is needed"));
            }
            entry.whole = Some((norm2, line, weight));
            return Ok(());
        }
        let weight = row.positive(WEIGHT)?;
        if let Some(other) = self.seen.insert((m as u32, g as u32, Name::of(micro)), line) {
            let found = format!(
                "micro-batch {} of measurement {} again, as in line {other}",
                shown(micro),
                shown(name)
            );
            return Err(row.error(found, "each micro-batch has one row"));
        }
        self.count(weight);
        let pushed = self.entries[m][g].sums.push(MicroNorm { weight, norm2 });
        pushed.map_err(|error| row.error(error.to_string(), "smaller numbers are needed"))
    }

    fn short(&mut self, row: &Row<'_>, n: u64) -> Result<(), FitError> {
        let name = match row.text(MEASUREMENT) {
            "" => n.to_string(),
            name => name.to_owned(),
        };
        let (batch, micro) = (row.positive(BATCH)?, row.positive(MICRO_BATCH)?);
        let (micro_norm2, batch_norm2) = (row.not_negative(MICRO_NORM2)?, row.not_negative(BATCH_NORM2)?);
        let measured = measure_pair(batch, micro, micro_norm2, batch_norm2).map_err(|error| {
            row.error(error.to_string(), "a batch of 2 or more equal micro-batches is needed")
        })?;
        let (m, g) = self.entry(row, &name);
        let entry = &mut self.entries[m][g];
        if entry.measured.is_some() {
            let found = format!("measurement {} again, as in line {}", shown(&name), entry.line);
            return Err(row.error(found, "each measurement has one row (for each group)"));
        }
        entry.measured = Some((measured, batch));
        self.count(micro);
        self.n_micro_batches += (batch / micro).round() as u64 - 1;
        Ok(())
    }

    fn count(&mut self, micro_batch: f64) {
        self.n_micro_batches += 1;
        self.is_uneven |= self.micro_batch.is_some_and(|other| other != micro_batch);
        self.micro_batch = Some(micro_batch);
    }

    fn finish(self, table: &Table, is_short: bool) -> Result<NoiseRows, FitError> {
        let n_groups = self.groups.len();
        let (mut measurements, mut batches) = (Vec::new(), Vec::new());
        for (name, entries) in self.names.iter().zip(&self.entries) {
            let present = entries.iter().filter(|entry| 0 < entry.line);
            let line = present.clone().map(|entry| entry.line).min().unwrap_or(1);
            if let Some(g) = (0..n_groups).find(|g| entries.get(*g).is_none_or(|entry| entry.line == 0)) {
                let found =
                    format!("measurement {} has no row of group {}", shown(name), shown(&self.groups[g]));
                return Err(table.at(line, found, "each measurement has every group"));
            }
            let mut parts = Vec::with_capacity(n_groups);
            let mut batch = 0.0;
            for entry in present {
                let (part, size) = if is_short {
                    entry.measured.ok_or_else(|| {
                        table.at(line, "a row without a measurement", "four numbers are needed")
                    })?
                } else {
                    long_measurement(table, name, entry)?
                };
                parts.push(part);
                batch = size;
            }
            measurements.push(parts);
            batches.push(batch);
        }
        Ok(NoiseRows {
            groups: self.groups,
            measurements,
            batches,
            micro_batch: self.micro_batch.filter(|_| !self.is_uneven),
            n_micro_batches: self.n_micro_batches,
        })
    }
}

fn long_measurement(table: &Table, name: &str, entry: &Entry) -> Result<(Measurement, f64), FitError> {
    let name = shown(name);
    let Some((norm2, line, weight)) = entry.whole else {
        let found = format!("measurement {name} has no row whose micro_batch is `all`");
        let allowed = "the squared norm of the whole batch's gradient is needed too";
        return Err(table.at(entry.line, found, allowed));
    };
    let n = entry.sums.n_micro_batches();
    if n < 2 {
        let found = format!("measurement {name} has {n} micro-batch{}", if n == 1 { "" } else { "es" });
        return Err(table.at(entry.line, found, "at least 2 at the same parameters are needed"));
    }
    let sum = entry.sums.weight();
    if let Some(weight) = weight.filter(|weight| 1e-6 * sum < (weight - sum).abs()) {
        let found =
            format!("measurement {name} has weight {weight} as a whole, but its micro-batches have {sum}");
        return Err(table.at(
            line,
            found,
            "a row is missing or stands twice; leave the weight of `all` empty if it is no sum",
        ));
    }
    let measured = entry.sums.finish(norm2);
    let measured = measured.map_err(|error| {
        table.at(line, format!("measurement {name}: {error}"), "smaller numbers are needed")
    })?;
    Ok((measured, sum))
}
