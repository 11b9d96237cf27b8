//! Apache Parquet: typed columns, Zstandard, statistics of every row group and page.
//!
//! Cells are gathered by column with the levels of Dremel (S. Melnik et al., VLDB 2010; `parquet-format`, "Nested Encoding"), and written a row group at a time. The
//! arrays of Arrow would say the same in half a dozen more crates.

use std::io::{self, Write};
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use domain::ResultRow;
use parquet::basic::{
    Compression, LogicalType, Repetition, TimeUnit, Type as PhysicalType, ZstdLevel,
};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, FloatType, Int32Type, Int64Type,
};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};

use crate::TableWriter;
use crate::columns::{Cell, Column, Kind, Schema};

/// What `DuckDB` reads as one piece of work: its vectors of 2,048 values, sixty of them.
const ROW_GROUP_ROWS: usize = 122_880;
/// A row group of long cells is cut earlier, so that memory stays bounded.
const ROW_GROUP_BYTES: usize = 48 * 1024 * 1024;
/// Longest value kept in statistics: enough to tell URLs of hosts apart.
const STATISTICS_BYTES: usize = 64;

pub(crate) struct ParquetTable<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Vec<(Column, Cells)>,
    /// Rows in `columns`.
    rows: usize,
}

impl<W: Write + Send> ParquetTable<W> {
    pub(crate) fn start(sink: W, schema: &Schema) -> io::Result<Self> {
        let columns = schema.columns();
        let fields: ParquetResult<Vec<TypePtr>> = columns.iter().map(field_of).collect();
        let root = Type::group_type_builder("schema")
            .with_fields(fields.map_err(fault)?)
            .build()
            .map_err(fault)?;
        let level = ZstdLevel::try_new(3).map_err(fault)?;
        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("imgsweep ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(level))
            .set_statistics_truncate_length(Some(STATISTICS_BYTES))
            .set_column_index_truncate_length(Some(STATISTICS_BYTES));
        let row = columns.iter().position(|column| column.name == "row");
        if let Some(row) = row {
            properties = properties.set_sorting_columns(Some(vec![SortingColumn {
                // Every kind has one leaf, lists as well.
                column_idx: row as i32,
                descending: false,
                nulls_first: false,
            }]));
        }
        let properties = Arc::new(properties.build());
        let writer = SerializedFileWriter::new(sink, Arc::new(root), properties);
        let cells = |column: &Column| (column.clone(), Cells::of(column));
        Ok(Self {
            writer: writer.map_err(fault)?,
            columns: columns.iter().map(cells).collect(),
            rows: 0,
        })
    }

    fn write_row_group(&mut self) -> ParquetResult<()> {
        self.rows = 0;
        let mut group = self.writer.next_row_group()?;
        for (_, cells) in &mut self.columns {
            let column = group.next_column()?;
            let mut column = column.ok_or_else(|| {
                ParquetError::General("the schema has fewer columns than the table".to_owned())
            })?;
            cells.write(&mut column)?;
            column.close()?;
        }
        group.close()?;
        Ok(())
    }
}

impl<W: Write + Send> TableWriter for ParquetTable<W> {
    fn write(&mut self, rows: &[&ResultRow]) -> io::Result<()> {
        for row in rows {
            for (column, cells) in &mut self.columns {
                cells.push(column.cell(row));
            }
            self.rows += 1;
            let bytes = || self.columns.iter().map(|(_, cells)| cells.bytes());
            if self.rows == ROW_GROUP_ROWS || bytes().sum::<usize>() >= ROW_GROUP_BYTES {
                self.write_row_group().map_err(fault)?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        if self.rows > 0 {
            self.write_row_group().map_err(fault)?;
        }
        let mut sink = self.writer.into_inner().map_err(fault)?;
        sink.flush()
    }
}

fn fault(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(cause) => io::Error::other(cause),
        },
        error => io::Error::other(error),
    }
}

fn field_of(column: &Column) -> ParquetResult<TypePtr> {
    let repetition = if column.is_required {
        Repetition::REQUIRED
    } else {
        Repetition::OPTIONAL
    };
    let leaf = |name: &str, repetition| {
        let (physical, logical) = types_of(column.kind);
        Type::primitive_type_builder(name, physical)
            .with_repetition(repetition)
            .with_logical_type(logical)
            .build()
            .map(Arc::new)
    };
    if column.kind != Kind::List {
        return leaf(&column.name, repetition);
    }
    let elements = Type::group_type_builder("list")
        .with_repetition(Repetition::REPEATED)
        .with_fields(vec![leaf("element", Repetition::REQUIRED)?])
        .build()?;
    let list = Type::group_type_builder(&column.name)
        .with_repetition(repetition)
        .with_logical_type(Some(LogicalType::List))
        .with_fields(vec![Arc::new(elements)])
        .build()?;
    Ok(Arc::new(list))
}

/// How the values of a column are stored, and what they mean.
fn types_of(kind: Kind) -> (PhysicalType, Option<LogicalType>) {
    match kind {
        Kind::Text | Kind::Json | Kind::List => {
            (PhysicalType::BYTE_ARRAY, Some(LogicalType::String))
        }
        Kind::Int16 => (PhysicalType::INT32, Some(LogicalType::integer(16, true))),
        Kind::Int32 => (PhysicalType::INT32, None),
        Kind::Int64 => (PhysicalType::INT64, None),
        Kind::Float => (PhysicalType::FLOAT, None),
        Kind::Bool => (PhysicalType::BOOLEAN, None),
        Kind::Time => (
            PhysicalType::INT64,
            Some(LogicalType::timestamp(true, TimeUnit::MICROS)),
        ),
    }
}

/// What there is in a column, without what there is not.
enum Values {
    Text(Texts),
    Int16(Vec<i32>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float(Vec<f32>),
    Bool(Vec<bool>),
}

impl Values {
    /// Adds what is in a cell. Says whether there was something.
    fn push(&mut self, cell: Cell<'_>) -> bool {
        match (self, cell) {
            (Self::Text(texts), Cell::Text(text)) => texts.push(&text),
            (Self::Int16(values), Cell::Integer(number)) => match i16::try_from(number) {
                Ok(number) => values.push(number.into()),
                Err(_) => return false,
            },
            (Self::Int32(values), Cell::Integer(number)) => match i32::try_from(number) {
                Ok(number) => values.push(number),
                Err(_) => return false,
            },
            (Self::Int64(values), Cell::Integer(number)) => values.push(number),
            (Self::Int64(values), Cell::Time(time)) => values.push(time.as_microsecond()),
            (Self::Float(values), Cell::Float(number)) => values.push(number),
            (Self::Bool(values), Cell::Bool(value)) => values.push(value),
            _ => return false,
        }
        true
    }

    /// Bytes in memory, about.
    fn bytes(&self) -> usize {
        match self {
            Self::Text(texts) => texts.bytes.len() + size_of_val(&*texts.ends),
            Self::Int16(values) | Self::Int32(values) => size_of_val(&**values),
            Self::Int64(values) => size_of_val(&**values),
            Self::Float(values) => size_of_val(&**values),
            Self::Bool(values) => values.len(),
        }
    }
}

/// Texts, one after another.
#[derive(Default)]
struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    fn push(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(self.bytes.len());
    }

    fn take(&mut self) -> Vec<ByteArray> {
        let bytes = Bytes::from(mem::take(&mut self.bytes));
        let mut start = 0;
        let one = |end| bytes.slice(mem::replace(&mut start, end)..end).into();
        self.ends.drain(..).map(one).collect()
    }
}

/// The cells of a column. Levels say for each of them how much of it there is, and for each element of a list whether it begins one.
struct Cells {
    values: Values,
    is_required: bool,
    definition: Vec<i16>,
    repetition: Vec<i16>,
}

impl Cells {
    fn of(column: &Column) -> Self {
        let values = match column.kind {
            Kind::Text | Kind::Json | Kind::List => Values::Text(Texts::default()),
            Kind::Int16 => Values::Int16(Vec::new()),
            Kind::Int32 => Values::Int32(Vec::new()),
            Kind::Int64 | Kind::Time => Values::Int64(Vec::new()),
            Kind::Float => Values::Float(Vec::new()),
            Kind::Bool => Values::Bool(Vec::new()),
        };
        Self {
            values,
            is_required: column.is_required,
            definition: Vec::new(),
            repetition: Vec::new(),
        }
    }

    /// Bytes in memory, about.
    fn bytes(&self) -> usize {
        let levels = size_of_val(&*self.definition) + size_of_val(&*self.repetition);
        self.values.bytes() + levels
    }

    /// Adds a cell; one of another kind than the column's, or too large for it, is as none.
    fn push(&mut self, cell: Cell<'_>) {
        if let (Values::Text(texts), Cell::List(elements)) = (&mut self.values, &cell) {
            let there = i16::from(!self.is_required);
            // Each element is one level more than its list; a list without any has a place of its own, too.
            self.repetition.push(0);
            self.definition
                .push(there + i16::from(!elements.is_empty()));
            for (at, element) in elements.iter().enumerate() {
                if at > 0 {
                    self.repetition.push(1);
                    self.definition.push(there + 1);
                }
                texts.push(element);
            }
            return;
        }
        let is_there = self.values.push(cell);
        self.definition.push(i16::from(is_there));
        self.repetition.push(0);
    }

    /// Writes the cells added since the last time.
    fn write(&mut self, column: &mut SerializedColumnWriter<'_>) -> ParquetResult<()> {
        let levels = (&*self.definition, &*self.repetition);
        match &mut self.values {
            Values::Text(texts) => put::<ByteArrayType>(column, &mut texts.take(), levels)?,
            Values::Int16(values) | Values::Int32(values) => {
                put::<Int32Type>(column, values, levels)?;
            }
            Values::Int64(values) => put::<Int64Type>(column, values, levels)?,
            Values::Float(values) => put::<FloatType>(column, values, levels)?,
            Values::Bool(values) => put::<BoolType>(column, values, levels)?,
        }
        self.definition.clear();
        self.repetition.clear();
        Ok(())
    }
}

/// Hands over values with their levels and empties them; the writer looks only at those levels that the column's type has.
fn put<T: DataType>(
    column: &mut SerializedColumnWriter<'_>,
    values: &mut Vec<T::T>,
    (definition, repetition): (&[i16], &[i16]),
) -> ParquetResult<()> {
    let column = column.typed::<T>();
    column.write_batch(values, Some(definition), Some(repetition))?;
    values.clear();
    Ok(())
}
