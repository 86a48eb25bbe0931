//! A table of measurements, row by row: delimited text with a header, or JSON lines.
//!
//! Nothing is held but the row at hand, so the length of a file does not matter.

use super::columns::{Found, Wanted, locate};
use super::error::shown;
use super::object::{self, Object, Value};
use super::record::{Delimiter, Record};
use super::source::Lines;
use super::{FitError, Source};

/// Whole numbers up to here are exact in f64.
const LARGEST_WHOLE: f64 = 9_007_199_254_740_992.0;

/// An open table.
pub(super) struct Table {
    lines: Lines,
    form: Form,
    wanted: &'static [Wanted],
    unit: Option<String>,
    columns: Vec<Option<Found>>,
    record: Record,
    /// A row that was read to learn the columns, and is still to be given.
    pending: bool,
    /// Cells of a row of JSON.
    object: Object,
    n_rows: u64,
}

#[derive(Debug, Clone, Copy)]
enum Form {
    Delimited(Delimiter, usize),
    JsonLines,
}

/// What became of a source that was read to its end.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct FileRead {
    /// The file as it was named.
    pub file: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Rows below the header.
    pub rows: u64,
    /// The columns that were used: what they were taken for, and their headers.
    pub columns: Vec<(String, String)>,
}

impl Table {
    /// Reads the header of `source`, or the first object where it is JSON lines.
    pub(super) fn open(
        source: Source,
        wanted: &'static [Wanted],
        unit: Option<&str>,
    ) -> Result<Self, FitError> {
        let mut table = Self {
            lines: Lines::new(source),
            form: Form::JsonLines,
            wanted,
            unit: unit.map(str::to_owned),
            columns: vec![None; wanted.len()],
            record: Record::default(),
            pending: false,
            object: Vec::new(),
            n_rows: 0,
        };
        let mut comment = String::new();
        if !table.record.next_line(&mut table.lines, Some(&mut comment))? {
            let empty = if table.lines.number() == 0 { "it is empty" } else { "it holds no row" };
            return Err(table.of_file(empty, table.example()));
        }
        if table.record.raw().trim_start().starts_with(['{', '[']) {
            table.read_object()?;
            let headers: Vec<String> = table.object.iter().map(|(key, _)| key.clone()).collect();
            table.columns = table.located(&headers)?;
        } else {
            table.read_header(&comment)?;
        }
        Ok(table)
    }

    fn read_header(&mut self, comment: &str) -> Result<(), FitError> {
        let first = self.record.raw().to_owned();
        let is_number = |word: &str| word.trim().parse::<f64>().is_ok();
        let has_words =
            first.split([',', ';', '\t', ' ']).any(|word| !word.trim().is_empty() && !is_number(word));
        let mut header = first.as_str();
        if !has_words {
            // numpy.savetxt writes its header as a comment.
            if comment.is_empty() {
                let found = format!("no header: the first line is {}", shown(&first));
                return Err(FitError::at(self.lines.name(), self.record.line, found, self.example()));
            }
            header = comment;
        }
        let delimiter = Delimiter::of(if has_words { header } else { &first });
        // A comment may separate its names otherwise than the rows their numbers.
        let header_delimiter = Delimiter::of(header);
        self.record.set_raw(header.to_owned());
        self.record.split(header_delimiter, &mut self.lines)?;
        let headers: Vec<String> =
            (0..self.record.fields.len()).map(|i| self.record.field(i).to_owned()).collect();
        self.form = Form::Delimited(delimiter, headers.len());
        self.columns = self.located(&headers)?;
        if !has_words {
            self.record.set_raw(first);
            self.pending = true;
        }
        Ok(())
    }

    fn located(&self, headers: &[String]) -> Result<Vec<Option<Found>>, FitError> {
        locate(headers, self.wanted, self.unit.as_deref())
            .map_err(|(found, allowed)| FitError::at(self.lines.name(), self.record.line, found, allowed))
    }

    fn read_object(&mut self) -> Result<(), FitError> {
        let line = self.record.raw();
        self.object = object::read(line).map_err(|(column, clause)| FitError {
            column: column.map(|column| column.to_string()),
            ..FitError::at(
                self.lines.name(),
                self.record.line,
                format!("no row of JSON lines ({clause})"),
                "each line is one object with the columns as keys",
            )
        })?;
        self.pending = true;
        Ok(())
    }

    /// The next row, or `None` at the end.
    pub(super) fn next_row(&mut self) -> Result<Option<Row<'_>>, FitError> {
        let is_new = !std::mem::take(&mut self.pending);
        if is_new && !self.record.next_line(&mut self.lines, None)? {
            return Ok(None);
        }
        self.n_rows += 1;
        match self.form {
            Form::Delimited(delimiter, n) => {
                self.record.split(delimiter, &mut self.lines)?;
                let found = self.record.fields.len();
                if found != n {
                    let hint = match delimiter {
                        Delimiter::Char(';') => "; decimals are written with a point",
                        Delimiter::Space => "; an empty field is written as `-`",
                        Delimiter::Char(_) => "",
                    };
                    let found = format!("{found} {}", if found == 1 { "field" } else { "fields" });
                    let allowed = format!("the header has {n}{hint}");
                    return Err(FitError::at(self.lines.name(), self.record.line, found, allowed));
                }
            }
            Form::JsonLines => {
                if is_new {
                    self.read_object()?;
                    self.pending = false;
                }
                self.match_keys()?;
            }
        }
        Ok(Some(Row { table: self }))
    }

    /// Keys that the rows before did not have.
    fn match_keys(&mut self) -> Result<(), FitError> {
        let known = |object: &[(String, Value)], columns: &[Option<Found>]| {
            columns.iter().flatten().all(|c| object.iter().any(|(key, _)| *key == c.header))
        };
        if known(&self.object, &self.columns) {
            return Ok(());
        }
        let headers: Vec<String> = self.object.iter().map(|(key, _)| key.clone()).collect();
        let located = self.located(&headers)?;
        for (at, (old, new)) in self.columns.iter_mut().zip(located).enumerate() {
            match (&old, new) {
                (Some(old), Some(new)) if old.header != new.header => {
                    return Err(FitError::at(
                        self.lines.name(),
                        self.record.line,
                        format!(
                            "{} is called `{}` here and `{}` before",
                            self.wanted[at].name, new.header, old.header
                        ),
                        "one name and one unit in a file",
                    ));
                }
                (None, Some(new)) => *old = Some(new),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the file has this column.
    pub(super) fn has(&self, column: usize) -> bool {
        self.columns.get(column).is_some_and(Option::is_some)
    }

    /// Fails unless the file has these columns.
    pub(super) fn require(&self, columns: &[usize]) -> Result<(), FitError> {
        let missing: Vec<&str> =
            columns.iter().filter(|c| !self.has(**c)).map(|c| self.wanted[*c].name).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let noun = if missing.len() == 1 { "column" } else { "columns" };
        let found = format!("no {noun} `{}` among {}", missing.join("`, `"), self.headers());
        Err(FitError::at(self.lines.name(), self.record.line, found, self.example()))
    }

    /// The names that the file has, for a message.
    pub(super) fn headers(&self) -> String {
        let names: Vec<String> = match self.form {
            Form::JsonLines => self.object.iter().map(|(key, _)| key.clone()).collect(),
            Form::Delimited(..) => {
                (0..self.record.fields.len()).map(|i| self.record.field(i).to_owned()).collect()
            }
        };
        shown(&names.join(", "))
    }

    /// What is allowed where the header is wrong.
    fn example(&self) -> String {
        let names: Vec<&str> = self.wanted.iter().map(|w| w.name).collect();
        format!("a header with the columns' names is needed (known here: {})", names.join(", "))
    }

    /// An error about the whole file.
    pub(super) fn of_file(&self, found: impl Into<String>, allowed: impl Into<String>) -> FitError {
        FitError::of_file(self.lines.name(), found, allowed)
    }

    /// An error about a line that was read before.
    pub(super) fn at(&self, line: u64, found: impl Into<String>, allowed: impl Into<String>) -> FitError {
        FitError::at(self.lines.name(), line, found, allowed)
    }

    /// What was read; fails where there was no row.
    pub(super) fn finish(self) -> Result<FileRead, FitError> {
        if self.n_rows == 0 {
            return Err(self.of_file("a header and no row", "a row for each measurement is needed"));
        }
        let file = self.lines.name().to_owned();
        let columns = self
            .columns
            .iter()
            .zip(self.wanted)
            .filter_map(|(found, wanted)| Some((wanted.name.to_owned(), found.as_ref()?.header.clone())))
            .collect();
        Ok(FileRead { file, rows: self.n_rows, columns, sha256: self.lines.sha256() })
    }
}

/// The row at hand.
pub(super) struct Row<'a> {
    table: &'a Table,
}

impl Row<'_> {
    /// The line it begins on.
    pub(super) fn line(&self) -> u64 {
        self.table.record.line
    }

    /// The text of a column; empty where the row, or the file, has none.
    pub(super) fn text(&self, column: usize) -> &str {
        let Some(found) = self.table.columns.get(column).and_then(Option::as_ref) else { return "" };
        let text = match self.table.form {
            Form::Delimited(..) => self.table.record.field(found.number),
            Form::JsonLines => match self.table.object.iter().find(|(key, _)| *key == found.header) {
                Some((_, Value::Text(text))) => text.as_str(),
                Some((_, Value::Other(name))) => name,
                _ => "",
            },
        };
        if text == "-" { "" } else { text }
    }

    /// A number above 0, in seconds or bytes where the column has a unit.
    pub(super) fn positive(&self, column: usize) -> Result<f64, FitError> {
        self.number(column, "a finite number above 0 is needed", |v| 0.0 < v)
    }

    /// A number of at least 0.
    pub(super) fn not_negative(&self, column: usize) -> Result<f64, FitError> {
        self.number(column, "a finite number of at least 0 is needed", |v| 0.0 <= v)
    }

    /// Any finite number.
    pub(super) fn finite(&self, column: usize) -> Result<f64, FitError> {
        self.number(column, "a finite number is needed", |_| true)
    }

    /// A whole number of at least `least`.
    pub(super) fn whole(&self, column: usize, least: u64) -> Result<u64, FitError> {
        let allowed = format!("a whole number of at least {least} is needed");
        let is_good = |v: f64| v.fract() == 0.0 && (least as f64..=LARGEST_WHOLE).contains(&v);
        Ok(self.number(column, &allowed, is_good)? as u64)
    }

    /// A whole number, or none where the field is empty.
    pub(super) fn maybe_whole(&self, column: usize) -> Result<Option<u64>, FitError> {
        if self.text(column).is_empty() { Ok(None) } else { self.whole(column, 0).map(Some) }
    }

    fn number(&self, column: usize, allowed: &str, is_good: impl Fn(f64) -> bool) -> Result<f64, FitError> {
        let text = self.text(column);
        let factor =
            self.table.columns.get(column).and_then(Option::as_ref).map_or(1.0, |found| found.factor);
        match text.parse::<f64>() {
            Ok(value) if (value * factor).is_finite() && is_good(value * factor) => Ok(value * factor),
            Err(_) if text.contains(',') => {
                Err(self.wrong(column, &format!("{allowed}, with a decimal point")))
            }
            Err(_) if text.starts_with(|c: char| c.is_ascii_digit()) => {
                Err(self.wrong(column, &format!("{allowed}, its unit in the header or by --unit")))
            }
            _ => Err(self.wrong(column, allowed)),
        }
    }

    /// An error about one field.
    pub(super) fn wrong(&self, column: usize, allowed: &str) -> FitError {
        let text = self.text(column);
        let found =
            if text.is_empty() { "an empty field".to_owned() } else { format!("found {}", shown(text)) };
        FitError { column: Some(self.column(column)), ..self.table.at(self.line(), found, allowed) }
    }

    /// An error about the row.
    pub(super) fn error(&self, found: impl Into<String>, allowed: impl Into<String>) -> FitError {
        self.table.at(self.line(), found, allowed)
    }

    /// Number and name of a column, for a message.
    fn column(&self, column: usize) -> String {
        match (self.table.columns.get(column).and_then(Option::as_ref), self.table.form) {
            (Some(found), Form::Delimited(..)) => format!("{} ({})", found.number + 1, found.header),
            (Some(found), Form::JsonLines) => found.header.clone(),
            (None, _) => self.table.wanted.get(column).map_or("", |w| w.name).to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::columns::Measure;
    use super::*;

    const WANTED: &[Wanted] = &[
        Wanted::plain("batch", &["batch_size"]),
        Wanted { name: "seconds", also: &["time"], measure: Measure::Time },
    ];

    fn rows(text: &str) -> Result<Vec<(u64, f64)>, FitError> {
        let mut table = Table::open(Source::of_bytes("t", text.as_bytes().to_vec()), WANTED, None)?;
        table.require(&[0, 1])?;
        let mut all = Vec::new();
        while let Some(row) = table.next_row()? {
            all.push((row.whole(0, 1)?, row.positive(1)?));
        }
        table.finish().map(|_| all)
    }

    #[test]
    fn every_form_gives_the_same_rows() {
        for text in [
            "batch,seconds\n32,0.5\n64,1\n",
            "\u{feff}Note;Seconds; BATCH\r\nx;0.5;32\r\n\r\n# no\r\n\"a;b\";1;64",
            "time_ms\tbatch_size\n500\t32\n1e3\t64.0\n",
            "  batch   seconds\n   32  5e-1\n   64  1\n",
            "{\"batch\": 32, \"seconds\": 0.5}\n\n{\"seconds\": \"1\", \"x\": [1, {}], \"batch\": 64}\n",
            "# batch seconds\n32 0.5\n64 1\n",
            "# batch,seconds\n32,0.5\n64,1\n",
            "# batch seconds\n32,0.5\n64,1\n",
        ] {
            assert_eq!(rows(text), Ok(vec![(32, 0.5), (64, 1.0)]), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (text, place, part) in [
            ("", (None, None), "empty"),
            ("# x\n\n", (None, None), "no row"),
            ("batch,seconds\n", (None, None), "no row"),
            ("32,0.5\n", (Some(1), None), "no header"),
            ("batch,time_s,seconds\n1,1,1\n", (Some(1), None), "both"),
            ("batch\n1\n", (Some(1), None), "`seconds`"),
            ("batch,seconds\n1\n", (Some(2), None), "1 field"),
            ("batch,seconds\n1,x\n", (Some(2), Some("2 (seconds)")), "`x`"),
            ("batch,seconds\n\n1,\n", (Some(3), Some("2 (seconds)")), "empty field"),
            ("batch,seconds\n1,nan\n", (Some(2), Some("2 (seconds)")), "`nan`"),
            ("batch,seconds\n1,1e999\n", (Some(2), Some("2 (seconds)")), "`1e999`"),
            ("batch,seconds\n1.5,1\n", (Some(2), Some("1 (batch)")), "whole"),
            ("batch,seconds\n0,1\n", (Some(2), Some("1 (batch)")), "at least 1"),
            ("batch,seconds\n1,2 ms\n", (Some(2), Some("2 (seconds)")), "--unit"),
            ("batch;seconds\n1;0,5\n", (Some(2), Some("2 (seconds)")), "point"),
            ("{\"batch\": 1, \"seconds\": true}\n", (Some(1), Some("seconds")), "`true`"),
            ("{\"batch\": 1, \"seconds\": 1}\n{\"batch\": 1, \"ms\": 1}\n", (Some(2), None), "one unit"),
            ("{\"batch\": 1, \"seconds\": 1}\n[1]\n", (Some(2), Some("0")), "object"),
        ] {
            let error = rows(text).expect_err(text);
            let column = error.column.as_deref();
            assert!(error.to_string().contains(part), "{text}: {error}");
            assert!(error.line == place.0, "{text}: {error}");
            assert!(place.1 == Some("0") || column == place.1, "{text}: {error}");
        }
    }
}
