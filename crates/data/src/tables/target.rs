//! From columns to targets: fitted to the training rows, applied to all.

use super::config::{Missing, Task};
use super::dataset::Targets;
use super::known::{known_categories, places, unknown_category};
use super::message::short;
use super::number::NumberFit;
use super::roles::Roles;
use super::split::Side;
use super::table::Values;
use crate::{DataError, Target, TargetValue};

/// Classes that one column may hold.
const MAX_CLASSES: usize = 65_536;

/// How columns become targets.
#[derive(Debug)]
pub(crate) enum TargetFit {
    Class { name: String, known: Vec<String> },
    Values(Vec<NumberFit>),
}

impl TargetFit {
    pub(crate) fn new(train: &Side<'_>, roles: &Roles) -> Result<TargetFit, DataError> {
        let mut fits = Vec::new();
        for name in &roles.targets {
            match (train.table.column(name).map(|column| &column.values), roles.task) {
                (Some(Values::Categories(categories)), Task::Class) => {
                    let known = known_categories(categories, &train.rows);
                    let fault = |found: String, expected: String| {
                        train.table.fault_of_file(format!("the classes in column `{name}`"), found, expected)
                    };
                    let first = train.rows.first().map(|row| categories.codes[*row]);
                    if train.rows.iter().all(|row| Some(categories.codes[*row]) == first) {
                        let only =
                            train.rows.first().and_then(|row| categories.text(*row)).unwrap_or_default();
                        return Err(fault(format!("only {}", short(only)), "at least 2".to_owned()));
                    }
                    if MAX_CLASSES < known.len() {
                        return Err(fault(known.len().to_string(), format!("at most {MAX_CLASSES}")));
                    }
                    return Ok(TargetFit::Class { name: name.clone(), known });
                }
                (Some(Values::Numbers(numbers)), Task::Values) => {
                    // None is missing any more.
                    fits.push(NumberFit::new(name, numbers, train, Missing::Refuse)?);
                }
                (_, Task::Values) => {
                    let (found, expected) = ("categories".to_owned(), "numbers (or task=class)".to_owned());
                    return Err(train.table.fault_of_file(format!("target `{name}`"), found, expected));
                }
                (_, Task::Class) => {
                    let (found, expected) = ("numbers".to_owned(), "classes".to_owned());
                    return Err(train.table.fault_of_file(format!("target `{name}`"), found, expected));
                }
            }
        }
        Ok(TargetFit::Values(fits))
    }

    pub(crate) fn schema(&self) -> Target {
        match self {
            TargetFit::Class { known, .. } => Target::Class { n_classes: known.len(), names: known.clone() },
            TargetFit::Values(fits) => {
                let value = |fit: &NumberFit| TargetValue {
                    name: fit.name.clone(),
                    mean: fit.mean,
                    deviation: fit.deviation,
                };
                Target::Values { values: fits.iter().map(value).collect() }
            }
        }
    }

    /// The targets of all rows.
    pub(crate) fn apply(&self, side: &Side<'_>) -> Result<Targets, DataError> {
        match self {
            TargetFit::Class { name, known } => {
                let (categories, places) = places(side.table, name, known)?;
                let class = |row: &usize| {
                    let place = places.get(categories.codes[*row] as usize).copied().flatten();
                    place.ok_or_else(|| unknown_category(side.table, *row, name, categories, known))
                };
                Ok(Targets::Classes(side.rows.iter().map(class).collect::<Result<_, _>>()?))
            }
            TargetFit::Values(fits) => {
                let mut columns = Vec::with_capacity(fits.len());
                for fit in fits {
                    columns.push((fit, fit.column(side.table)?));
                }
                let mut values = Vec::with_capacity(side.rows.len() * fits.len());
                for row in &side.rows {
                    for (fit, numbers) in &columns {
                        values.push(fit.apply(side.table, *row, numbers[*row])?);
                    }
                }
                Ok(Targets::Values(values, fits.len()))
            }
        }
    }
}
