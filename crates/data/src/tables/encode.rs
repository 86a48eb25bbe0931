//! From columns to inputs: fitted to the training rows, applied to all.

use std::sync::OnceLock;

use super::categories::NONE;
use super::config::{Missing, TableConfig, TestRows};
use super::dataset::TableDataset;
use super::known::{known_categories, places, unknown_category};
use super::message::list;
use super::number::NumberFit;
use super::roles::Roles;
use super::split::Side;
use super::table::Values;
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
