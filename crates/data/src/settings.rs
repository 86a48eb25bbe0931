//! The settings that a data set's name may carry, as in `housing.csv:target=price,test=0.2`.

use std::fmt::Display;
use std::str::FromStr;

use crate::DataError;

/// Settings by name, each to be taken once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    entries: Vec<(String, String)>,
    allowed: Vec<&'static str>,
}

impl Settings {
    /// Reads `name=value,name=value`. A value may not hold a comma; lists are joined by `+`.
    pub(crate) fn parse(text: &str) -> Settings {
        let parts = text.split(',').map(str::trim).filter(|setting| !setting.is_empty());
        let entries = parts.map(|setting| {
            let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
            (name.trim().to_owned(), value.trim().to_owned())
        });
        Settings { entries: entries.collect(), allowed: Vec::new() }
    }

    /// The text of a setting, if it was given.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        self.allowed.push(name);
        let at = self.entries.iter().position(|(found, _)| found == name)?;
        Some(self.entries.remove(at).1)
    }

    /// A setting as a number (or anything that is read from text), if it was given; `allowed` says what it may be.
    pub(crate) fn value<T: FromStr>(
        &mut self,
        name: &'static str,
        allowed: &str,
    ) -> Result<Option<T>, DataError> {
        let Some(found) = self.text(name) else { return Ok(None) };
        match found.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(DataError::Setting { field: name, found, allowed: allowed.to_owned() }),
        }
    }

    /// A number within bounds, if it was given.
    pub(crate) fn within<T>(&mut self, name: &'static str, least: T, most: T) -> Result<Option<T>, DataError>
    where
        T: FromStr + PartialOrd + Display,
    {
        let allowed = format!("{least}..={most}");
        match self.value::<T>(name, &allowed)? {
            // Written so that NaN is outside.
            Some(value) if !(least <= value && value <= most) => {
                Err(DataError::Setting { field: name, found: value.to_string(), allowed })
            }
            value => Ok(value),
        }
    }

    /// Refuses what nobody has taken, naming what could have been.
    pub(crate) fn finish(&self, of: &str) -> Result<(), DataError> {
        let Some((name, _)) = self.entries.first() else { return Ok(()) };
        let allowed = match self.allowed.is_empty() {
            true => "none".to_owned(),
            false => self.allowed.join(", "),
        };
        Err(DataError::UnknownSetting { of: of.to_owned(), found: name.clone(), allowed })
    }
}
