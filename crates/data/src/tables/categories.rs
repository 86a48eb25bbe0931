//! Texts as numbers of a list of names.

use std::collections::HashMap;

use super::table::Values;

/// The code of a category that is missing.
pub(crate) const NONE: u32 = u32::MAX;

/// Texts as numbers of a list of names.
#[derive(Debug, Default)]
pub(crate) struct Categories {
    /// [`NONE`] is missing.
    pub(crate) codes: Vec<u32>,
    pub(crate) names: Vec<String>,
    numbers: HashMap<String, u32>,
    /// Whether the file says itself which categories there are, in which order.
    pub(crate) declared: bool,
}

impl Categories {
    /// No rows yet, and categories that the file declares.
    #[cfg(feature = "parquet")]
    pub(crate) fn declared(names: Vec<String>) -> Categories {
        let numbers = (0..).zip(&names).map(|(number, name)| (name.clone(), number)).collect();
        Categories { codes: Vec::new(), names, numbers, declared: true }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, text: &str) {
        let code = match self.numbers.get(text) {
            Some(code) => *code,
            None => {
                // Codes are below the number of rows, which are below 2^32: `check_len`.
                let code = self.names.len() as u32;
                self.names.push(text.to_owned());
                self.numbers.insert(text.to_owned(), code);
                code
            }
        };
        self.codes.push(code);
    }

    /// Adds a row in which it is missing.
    pub(crate) fn push_missing(&mut self) {
        self.codes.push(NONE);
    }

    /// The text of a row, if it is there.
    pub(crate) fn text(&self, row: usize) -> Option<&str> {
        self.names.get(self.codes[row] as usize).map(String::as_str)
    }
}

impl From<Values> for Categories {
    /// Numbers are called like themselves.
    fn from(values: Values) -> Categories {
        match values {
            Values::Categories(categories) => categories,
            Values::Numbers(numbers) => {
                let mut categories = Categories::default();
                for number in numbers {
                    match number.is_nan() {
                        true => categories.push_missing(),
                        // Adding 0 makes 0 of -0.
                        false => categories.push(&(number + 0.0).to_string()),
                    }
                }
                categories
            }
        }
    }
}

/// Whether a text says that there is nothing.
pub(crate) fn is_missing(text: &str) -> bool {
    ["", "NA", "N/A", "NaN", "null", "?"].iter().any(|missing| text.eq_ignore_ascii_case(missing))
}
