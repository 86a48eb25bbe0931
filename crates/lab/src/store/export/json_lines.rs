//! An object of JSON in each line.

use super::table::{Cell, Column, Sink};
use std::fs::File;
use std::io::{self, BufWriter, Write};

pub(super) struct JsonLines<'a> {
    /// The names as JSON, each with the mark that goes before it and the colon after.
    names: Vec<String>,
    writer: BufWriter<&'a mut File>,
}

impl<'a> JsonLines<'a> {
    pub(super) fn new(columns: Vec<Column>, file: &'a mut File) -> Self {
        let marks = std::iter::once('{').chain(std::iter::repeat(','));
        let name =
            |(column, mark): (Column, char)| format!("{mark}{}:", serde_json::Value::from(column.name));
        Self { names: columns.into_iter().zip(marks).map(name).collect(), writer: BufWriter::new(file) }
    }
}

impl Sink for JsonLines<'_> {
    fn row(&mut self, row: Vec<Cell>) -> io::Result<()> {
        for (name, cell) in self.names.iter().zip(row) {
            self.writer.write_all(name.as_bytes())?;
            match cell {
                Cell::Null => self.writer.write_all(b"null")?,
                Cell::Text(text) => serde_json::to_writer(&mut self.writer, &text)?,
                Cell::Integer(n) => serde_json::to_writer(&mut self.writer, &n)?,
                Cell::Unsigned(n) => serde_json::to_writer(&mut self.writer, &n)?,
                Cell::Number(x) => serde_json::to_writer(&mut self.writer, &x)?,
                Cell::Flag(flag) => serde_json::to_writer(&mut self.writer, &flag)?,
            }
        }
        self.writer.write_all(b"}\n")
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.writer.flush()
    }
}
