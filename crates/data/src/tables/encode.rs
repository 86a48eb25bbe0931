//! From columns to inputs: fitted to the training rows, applied to all.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::config::{Missing, TableConfig, TestRows};
use super::dataset::TableDataset;
use super::roles::Roles;
use super::split::Side;
use super::table::{Categories, NONE, Table, Values, list, short};
use super::target::TargetFit;
use crate::{DataError, ElementType, Schema, Unit};

/// Values that one column of categories may become.
const MAX_CATEGORIES: usize = 1_024;

/// Both sides as data sets.
pub(crate) fn encode<'a>(
    name: &str,
    mut train: Side<'a>,
    mut test: Side<'a>,
    roles: &Roles,
    config: &TableConfig,
) -> Result<(TableDataset, TableDataset), DataError> {
    if roles.inputs.is_empty() {
        let found = list(train.table.columns.iter().map(|column| column.name.as_str()));
        let expected = "at least 1 column that is neither target nor key nor dropped".to_owned();
        return Err(train.table.fault_of_file("the list of columns".to_owned(), found, expected));
    }
    for side in [&mut train, &mut test] {
        deal_with_missing(side, roles, config.missing)?;
    }
    check_not_empty(&train, &test, config)?;
    let inputs = InputFit::new(&train, roles, config.missing)?;
    let target = TargetFit::new(&train, roles)?;
    let schema = Schema {
        name: name.to_owned(),
        input_shape: vec![inputs.names.len()],
        input_type: ElementType::F32,
        columns: inputs.names.clone(),
        target: target.schema(),
        unit: Unit::Example,
        uneven: false,
    };
    let finish = |side: &Side<'_>| -> Result<TableDataset, DataError> {
        Ok(TableDataset {
            schema: schema.clone(),
            numbers: inputs.numbers(side)?,
            n_numbers: inputs.numeric.len(),
            codes: inputs.codes(side)?,
            n_codes: inputs.spread.len(),
            targets: target.apply(side)?,
            content_hash: OnceLock::new(),
        })
    };
    Ok((finish(&train)?, finish(&test)?))
}

/// Checks that both sides hold rows.
pub(crate) fn check_not_empty(
    train: &Side<'_>,
    test: &Side<'_>,
    config: &TableConfig,
) -> Result<(), DataError> {
    for (side, what) in [(train, "rows for training"), (test, "rows for testing")] {
        if side.rows.is_empty() {
            let expected = match config.test {
                TestRows::File(_) | TestRows::Found => "at least 1",
                TestRows::Fraction { .. } | TestRows::Key { .. } => {
                    "at least 1 (another `test` or `seed` may do)"
                }
            };
            return Err(side.table.fault_of_file(what.to_owned(), "0".to_owned(), expected.to_owned()));
        }
    }
    Ok(())
}

/// Drops or refuses rows in which something is missing; what is to be filled stays.
pub(crate) fn deal_with_missing(
    side: &mut Side<'_>,
    roles: &Roles,
    missing: Missing,
) -> Result<(), DataError> {
    let table = side.table;
    let needed = roles.targets.iter().chain(&roles.key);
    let checked: Vec<_> = match missing {
        Missing::Refuse | Missing::Drop => needed.chain(&roles.inputs).collect(),
        Missing::Mean | Missing::Zero => needed.collect(),
    };
    let columns: Vec<_> = checked.into_iter().filter_map(|name| table.column(name)).collect();
    if missing == Missing::Drop {
        side.rows.retain(|row| !columns.iter().any(|column| column.values.is_missing(*row)));
        return Ok(());
    }
    let first = side.rows.iter().find_map(|row| {
        let column = columns.iter().find(|column| column.values.is_missing(*row))?;
        Some((*row, column))
    });
    let Some((row, column)) = first else { return Ok(()) };
    let expected = match missing {
        Missing::Refuse => "a value (missing=mean or zero fills it, missing=drop leaves the row out)",
        _ => "a value, which is needed of a target or key (missing=drop leaves the row out)",
    };
    Err(table.fault(row, format!("column `{}`", column.name), "missing".to_owned(), expected.to_owned()))
}

/// How columns become inputs.
#[derive(Debug)]
struct InputFit {
    /// Of the values of an input.
    names: Vec<String>,
    numeric: Vec<NumberFit>,
    spread: Vec<SpreadFit>,
}

/// A column of categories, of which each becomes one value.
#[derive(Debug)]
struct SpreadFit {
    name: String,
    known: Vec<String>,
    /// Where the first one's value is, behind the numbers.
    start: u32,
}

impl InputFit {
    fn new(train: &Side<'_>, roles: &Roles, missing: Missing) -> Result<InputFit, DataError> {
        let (mut names, mut spread_names) = (Vec::new(), Vec::new());
        let (mut numeric, mut spread) = (Vec::new(), Vec::new());
        for name in &roles.inputs {
            match train.table.column(name).map(|column| &column.values) {
                Some(Values::Numbers(numbers)) => {
                    names.push(name.clone());
                    numeric.push(NumberFit::new(name, numbers, train, missing)?);
                }
                Some(Values::Categories(categories)) => {
                    let known = known_categories(categories, &train.rows);
                    if MAX_CATEGORIES < known.len() {
                        let expected = format!("at most {MAX_CATEGORIES} (drop={name} leaves it out)");
                        let what = format!("the number of categories in column `{name}`");
                        return Err(train.table.fault_of_file(what, known.len().to_string(), expected));
                    }
                    let start = spread_names.len() as u32;
                    spread_names.extend(known.iter().map(|category| format!("{name}={category}")));
                    spread.push(SpreadFit { name: name.clone(), known, start });
                }
                None => {}
            }
        }
        names.extend(spread_names);
        Ok(InputFit { names, numeric, spread })
    }

    /// The numbers of all rows, standardised.
    fn numbers(&self, side: &Side<'_>) -> Result<Vec<f32>, DataError> {
        let mut columns = Vec::with_capacity(self.numeric.len());
        for fit in &self.numeric {
            columns.push((fit, fit.column(side.table)?));
        }
        let mut out = Vec::with_capacity(side.rows.len() * columns.len());
        for row in &side.rows {
            for (fit, numbers) in &columns {
                out.push(fit.apply(side.table, *row, numbers[*row])?);
            }
        }
        Ok(out)
    }

    /// The places of the categories of all rows.
    fn codes(&self, side: &Side<'_>) -> Result<Vec<u32>, DataError> {
        let mut columns = Vec::with_capacity(self.spread.len());
        for fit in &self.spread {
            columns.push((fit, places(side.table, &fit.name, &fit.known)?));
        }
        let mut out = Vec::with_capacity(side.rows.len() * columns.len());
        for row in &side.rows {
            for (fit, (categories, places)) in &columns {
                let code = categories.codes[*row];
                match places.get(code as usize) {
                    None => out.push(NONE),
                    Some(Some(place)) => out.push(fit.start + place),
                    Some(None) => {
                        return Err(unknown_category(side.table, *row, &fit.name, categories, &fit.known));
                    }
                }
            }
        }
        Ok(out)
    }
}

/// How one column of numbers is standardised.
#[derive(Debug)]
pub(crate) struct NumberFit {
    pub(crate) name: String,
    /// In place of what is missing.
    fill: f64,
    pub(crate) mean: f64,
    pub(crate) deviation: f64,
}

impl NumberFit {
    pub(crate) fn new(
        name: &str,
        numbers: &[f64],
        train: &Side<'_>,
        missing: Missing,
    ) -> Result<NumberFit, DataError> {
        let there = || train.rows.iter().map(|row| numbers[*row]).filter(|number| !number.is_nan());
        let n_there = there().count();
        let fault = |found: String, expected: &str| {
            train.table.fault_of_file(
                format!("column `{name}` of the training rows"),
                found,
                expected.to_owned(),
            )
        };
        let fill = match missing {
            Missing::Mean if n_there == 0 => {
                return Err(fault("missing throughout".to_owned(), "at least 1 value to take the mean of"));
            }
            Missing::Mean => there().sum::<f64>() / n_there as f64,
            Missing::Zero | Missing::Refuse | Missing::Drop => 0.0,
        };
        let filled = || train.rows.iter().map(|row| numbers[*row]).map(|x| if x.is_nan() { fill } else { x });
        let n = train.rows.len() as f64;
        let (low, high) =
            filled().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        // Where all are equal, the mean by its sum could differ from them in its last bit.
        let (mean, deviation) = if low == high {
            (low, 1.0)
        } else {
            let mean = filled().sum::<f64>() / n;
            let deviation = (filled().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
            (mean, if deviation == 0.0 { 1.0 } else { deviation })
        };
        if !(mean.is_finite() && deviation.is_finite() && fill.is_finite()) {
            return Err(fault(
                format!("in {low:?}..={high:?}"),
                "values of which the squares have a sum below 1e308",
            ));
        }
        Ok(NumberFit { name: name.to_owned(), fill, mean, deviation })
    }

    /// The column of a table that it is for.
    pub(crate) fn column<'a>(&self, table: &'a Table) -> Result<&'a [f64], DataError> {
        match table.column(&self.name).map(|column| &column.values) {
            Some(Values::Numbers(numbers)) => Ok(numbers),
            _ => Err(not_as_in_training(table, &self.name, "numbers")),
        }
    }

    pub(crate) fn apply(&self, table: &Table, row: usize, number: f64) -> Result<f32, DataError> {
        let filled = if number.is_nan() { self.fill } else { number };
        let value = ((filled - self.mean) / self.deviation) as f32;
        if value.is_finite() {
            return Ok(value);
        }
        let expected =
            format!("near {:?} ± {:?}, the mean and deviation of training", self.mean, self.deviation);
        Err(table.fault(row, format!("column `{}`", self.name), format!("{number:?}"), expected))
    }
}

/// The categories of a column that rows hold, in their order: by number if all are whole numbers, else by text; as
/// declared, and all of them, where the file declares them.
pub(crate) fn known_categories(categories: &Categories, rows: &[usize]) -> Vec<String> {
    if categories.declared {
        return categories.names.clone();
    }
    let mut is_there = vec![false; categories.names.len()];
    for row in rows {
        if let Some(there) = is_there.get_mut(categories.codes[*row] as usize) {
            *there = true;
        }
    }
    let there =
        categories.names.iter().zip(is_there).filter_map(|(name, there)| there.then_some(name.clone()));
    let mut known: Vec<String> = there.collect();
    match known.iter().map(|name| name.parse::<i64>().ok()).collect::<Option<Vec<_>>>() {
        // The text decides between 1 and 01.
        Some(_) => known.sort_by_cached_key(|name| (name.parse::<i64>().ok(), name.clone())),
        None => known.sort(),
    }
    known
}

/// A column of categories, and for each of its codes the place among the known ones.
pub(crate) fn places<'a>(
    table: &'a Table,
    name: &str,
    known: &[String],
) -> Result<(&'a Categories, Vec<Option<u32>>), DataError> {
    let Some(Values::Categories(categories)) = table.column(name).map(|column| &column.values) else {
        return Err(not_as_in_training(table, name, "categories"));
    };
    let numbers: HashMap<&str, u32> = known.iter().map(String::as_str).zip(0..).collect();
    let places = categories.names.iter().map(|name| numbers.get(name.as_str()).copied()).collect();
    Ok((categories, places))
}

/// A row holds a category that no training row has.
pub(crate) fn unknown_category(
    table: &Table,
    row: usize,
    name: &str,
    categories: &Categories,
    known: &[String],
) -> DataError {
    let found = short(categories.text(row).unwrap_or_default());
    let expected = format!("one that training rows hold: {}", list(known.iter().map(String::as_str)));
    table.fault(row, format!("column `{name}`"), found, expected)
}

fn not_as_in_training(table: &Table, name: &str, expected: &str) -> DataError {
    let what = format!("column `{name}`");
    table.fault_of_file(what, "of another kind".to_owned(), format!("{expected}, as in training"))
}
