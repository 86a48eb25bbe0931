//! Parquet, written column by column in groups of rows.

use super::table::{Cell, Column, Kind, Sink};
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::column::writer::{ColumnWriter, ColumnWriterImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};
use std::fs::File;
use std::io;
use std::sync::Arc;

/// Rows of a group, which are in memory at once.
const GROUP: usize = 1 << 16;

pub(super) struct Parquet<'a> {
    writer: SerializedFileWriter<&'a mut File>,
    /// The cells of each column that are not yet written.
    columns: Vec<Vec<Cell>>,
    n_rows: usize,
}

impl<'a> Parquet<'a> {
    pub(super) fn new(columns: Vec<Column>, file: &'a mut File) -> io::Result<Self> {
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let writer = SerializedFileWriter::new(file, schema(&columns)?, Arc::new(properties))?;
        Ok(Self { writer, columns: vec![Vec::new(); columns.len()], n_rows: 0 })
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        for cells in &mut self.columns {
            let Some(mut column) = group.next_column()? else { break };
            write_column(column.untyped(), cells)?;
            column.close()?;
            cells.clear();
        }
        group.close()?;
        self.n_rows = 0;
        Ok(())
    }
}

impl Sink for Parquet<'_> {
    fn row(&mut self, row: Vec<Cell>) -> io::Result<()> {
        self.columns.iter_mut().zip(row).for_each(|(column, cell)| column.push(cell));
        self.n_rows += 1;
        if self.n_rows == GROUP {
            self.write_group()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        if 0 < self.n_rows {
            self.write_group()?;
        }
        self.writer.close()?;
        Ok(())
    }
}

fn schema(columns: &[Column]) -> Result<TypePtr, ParquetError> {
    let field = |column: &Column| {
        let (physical, logical) = match column.kind {
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Integer => (Physical::INT64, None),
            Kind::Unsigned => (Physical::INT64, Some(LogicalType::integer(64, false))),
            Kind::Number => (Physical::DOUBLE, None),
            Kind::Flag => (Physical::BOOLEAN, None),
        };
        Type::primitive_type_builder(&column.name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical)
            .build()
            .map(Arc::new)
    };
    let fields = columns.iter().map(field).collect::<Result<_, _>>()?;
    Type::group_type_builder("rows").with_fields(fields).build().map(Arc::new)
}

/// Writes the cells of a column; one of another kind than the column's is null.
fn write_column(writer: &mut ColumnWriter<'_>, cells: &[Cell]) -> Result<(), ParquetError> {
    match writer {
        ColumnWriter::ByteArrayColumnWriter(writer) => write(writer, cells, |cell| match cell {
            Cell::Text(text) => Some(ByteArray::from(text.as_str())),
            _ => None,
        }),
        ColumnWriter::Int64ColumnWriter(writer) => write(writer, cells, |cell| match cell {
            Cell::Integer(n) => Some(*n),
            // The same 64 bits; the column says that they have no sign.
            Cell::Unsigned(n) => Some(n.cast_signed()),
            _ => None,
        }),
        ColumnWriter::DoubleColumnWriter(writer) => write(writer, cells, |cell| match cell {
            Cell::Number(x) => Some(*x),
            _ => None,
        }),
        ColumnWriter::BoolColumnWriter(writer) => write(writer, cells, |cell| match cell {
            Cell::Flag(flag) => Some(*flag),
            _ => None,
        }),
        _ => Err(ParquetError::General("a column of a type that is not written".to_owned())),
    }
}

fn write<T: DataType>(
    writer: &mut ColumnWriterImpl<'_, T>,
    cells: &[Cell],
    get: impl Fn(&Cell) -> Option<T::T>,
) -> Result<(), ParquetError> {
    let values: Vec<Option<T::T>> = cells.iter().map(get).collect();
    // 1 where there is a value, 0 where it is null.
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    let values: Vec<T::T> = values.into_iter().flatten().collect();
    writer.write_batch(&values, Some(&levels), None).map(drop)
}
