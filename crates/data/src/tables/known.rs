//! The categories that training rows hold, and those that other rows should not.

use std::collections::HashMap;

use super::categories::Categories;
use super::message::{list, short};
use super::table::{Table, Values};
use crate::DataError;

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

/// A column that is not of the kind that it was in training.
pub(crate) fn not_as_in_training(table: &Table, name: &str, expected: &str) -> DataError {
    let what = format!("column `{name}`");
    table.fault_of_file(what, "of another kind".to_owned(), format!("{expected}, as in training"))
}
