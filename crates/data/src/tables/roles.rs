//! What each column is for.

use super::categories::Categories;
use super::config::{TableConfig, Task, TestRows};
use super::message::no_such_column;
use super::table::{Table, Values};
use crate::DataError;

/// What each column is for.
#[derive(Debug)]
pub(crate) struct Roles {
    pub(crate) inputs: Vec<String>,
    pub(crate) targets: Vec<String>,
    /// The column whose values are kept on one side.
    pub(crate) key: Option<String>,
    pub(crate) task: Task,
}

impl Roles {
    /// What the configuration says of the columns of `table`.
    pub(crate) fn find(table: &Table, config: &TableConfig) -> Result<Roles, DataError> {
        let names = || table.columns.iter().map(|column| column.name.as_str());
        let key = match &config.test {
            TestRows::Key { column, .. } => Some(column.clone()),
            _ => None,
        };
        let named = [("target", &config.target), ("categories", &config.categories)];
        let named = named.iter().flat_map(|(field, names)| names.iter().map(move |name| (*field, name)));
        for (field, name) in named.chain(key.iter().map(|name| ("key", name))) {
            if table.column(name).is_none() {
                return Err(no_such_column(field, name, table.path(), names()));
            }
        }
        let mut targets = config.target.clone();
        targets.sort();
        targets.dedup();
        if targets.len() != config.target.len() {
            let allowed = "each column once".to_owned();
            return Err(DataError::Setting { field: "target", found: config.target.join("+"), allowed });
        }
        let targets = config.target.clone();
        let Some(first) = targets.first().and_then(|name| table.column(name)) else {
            return Err(no_such_column("target", "", table.path(), names()));
        };
        if let Some(key) = &key
            && targets.contains(key)
        {
            let allowed = "a column that is no target".to_owned();
            return Err(DataError::Setting { field: "key", found: key.clone(), allowed });
        }
        let task = config.task.unwrap_or(match first.values {
            Values::Numbers(_) if !config.categories.contains(&first.name) => Task::Values,
            Values::Numbers(_) | Values::Categories(_) => Task::Class,
        });
        if task == Task::Class && targets.len() != 1 {
            let allowed = "one column, where it holds classes".to_owned();
            return Err(DataError::Setting { field: "target", found: targets.join("+"), allowed });
        }
        let is_input = |name: &&str| !targets.iter().chain(&key).any(|other| other == name);
        let inputs = names().filter(is_input).map(str::to_owned).collect();
        Ok(Roles { inputs, targets, key, task })
    }

    /// Turns numbers into categories where a class, a category or a key is wanted.
    pub(crate) fn prepare(&self, table: &mut Table, config: &TableConfig) -> Result<(), DataError> {
        let class = self.targets.first().filter(|_| self.task == Task::Class);
        if let Some(name) = class {
            check_integers(table, name)?;
        }
        let wanted: Vec<&String> = config.categories.iter().chain(&self.key).chain(class).collect();
        for column in &mut table.columns {
            if wanted.contains(&&column.name) {
                let values = std::mem::replace(&mut column.values, Values::Numbers(Vec::new()));
                column.values = Values::Categories(Categories::from(values));
            }
        }
        Ok(())
    }
}

/// Class numbers are whole, and small enough that no two of them are the same number.
fn check_integers(table: &Table, name: &str) -> Result<(), DataError> {
    let Some(Values::Numbers(numbers)) = table.column(name).map(|column| &column.values) else {
        return Ok(());
    };
    let is_wrong = |number: &f64| number.fract() != 0.0 || 2f64.powi(53) <= number.abs();
    match numbers.iter().position(|number| !number.is_nan() && is_wrong(number)) {
        None => Ok(()),
        Some(row) => Err(table.fault(
            row,
            format!("the class in column `{name}`"),
            format!("{:?}", numbers[row]),
            "a whole number, or a text".to_owned(),
        )),
    }
}
