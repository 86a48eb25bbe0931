//! Comma-separated values. What is not known and an empty text look the same.

use super::table::{Cell, Column, Sink};
use std::fs::File;
use std::io;

pub(super) struct Csv<'a> {
    writer: csv::Writer<&'a mut File>,
}

impl<'a> Csv<'a> {
    pub(super) fn new(columns: Vec<Column>, file: &'a mut File) -> io::Result<Self> {
        let mut writer = csv::WriterBuilder::new().buffer_capacity(1 << 16).from_writer(file);
        writer.write_record(columns.iter().map(|column| column.name.as_str()))?;
        Ok(Self { writer })
    }
}

impl Sink for Csv<'_> {
    fn row(&mut self, row: Vec<Cell>) -> io::Result<()> {
        for cell in row {
            match cell {
                Cell::Null => self.writer.write_field("")?,
                Cell::Text(text) => self.writer.write_field(text)?,
                Cell::Integer(n) => self.writer.write_field(n.to_string())?,
                Cell::Unsigned(n) => self.writer.write_field(n.to_string())?,
                // The shortest digits that read back to the bit, with an exponent where that is shorter.
                Cell::Number(x) => self.writer.write_field(format!("{x:?}"))?,
                Cell::Flag(flag) => self.writer.write_field(flag.to_string())?,
            }
        }
        Ok(self.writer.write_record(None::<&[u8]>)?)
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.writer.flush()
    }
}
