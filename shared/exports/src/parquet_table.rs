//! Apache Parquet: typed columns, Zstandard, statistics of every row group and page.

use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Float32Builder, Int16Builder, Int32Builder, Int64Builder, ListBuilder,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema as ArrowSchema, SchemaRef, TimeUnit};
use domain::ResultRow;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::WriterProperties;

use crate::TableWriter;
use crate::columns::{Cell, Column, Kind, Schema};

/// What `DuckDB` reads as one piece of work: its vectors of 2,048 values, sixty of them.
const ROW_GROUP_ROWS: usize = 122_880;
/// A row group of long cells is cut earlier, so that memory stays bounded.
const ROW_GROUP_BYTES: usize = 64 * 1024 * 1024;
/// Rows that are turned into arrays together.
const ROWS_TOGETHER: usize = 4_096;
/// Longest value kept in statistics: enough to tell URLs of hosts apart.
const STATISTICS_BYTES: usize = 64;

const UTC: &str = "UTC";

pub(crate) struct ParquetTable<W: Write + Send> {
    writer: ArrowWriter<W>,
    arrow: SchemaRef,
    columns: Vec<(Column, Cells)>,
    /// Rows in `columns`.
    rows: usize,
}

impl<W: Write + Send> ParquetTable<W> {
    pub(crate) fn start(sink: W, schema: &Schema) -> io::Result<Self> {
        let columns = schema.columns();
        let arrow: Vec<Field> = columns.iter().map(field_of).collect();
        let arrow = Arc::new(ArrowSchema::new(arrow));
        let level = ZstdLevel::try_new(3).map_err(fault)?;
        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("imgsweep ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
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
        let writer = ArrowWriter::try_new(sink, Arc::clone(&arrow), Some(properties.build()));
        let columns = columns.iter().cloned();
        Ok(Self {
            writer: writer.map_err(fault)?,
            arrow,
            columns: columns
                .map(|column| {
                    let cells = Cells::of(column.kind);
                    (column, cells)
                })
                .collect(),
            rows: 0,
        })
    }

    fn write_batch(&mut self) -> io::Result<()> {
        let arrays = self.columns.iter_mut();
        let arrays: Vec<ArrayRef> = arrays.map(|(_, cells)| cells.take()).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.arrow), arrays);
        self.rows = 0;
        self.writer
            .write(&batch.map_err(io::Error::other)?)
            .map_err(fault)
    }
}

impl<W: Write + Send> TableWriter for ParquetTable<W> {
    fn write(&mut self, rows: &[&ResultRow]) -> io::Result<()> {
        for row in rows {
            for (column, cells) in &mut self.columns {
                cells.push(column.cell(row));
            }
            self.rows += 1;
            if self.rows == ROWS_TOGETHER {
                self.write_batch()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        if self.rows > 0 {
            self.write_batch()?;
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

fn field_of(column: &Column) -> Field {
    Field::new(&*column.name, type_of(column.kind), !column.is_required)
}

fn item() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Utf8, false))
}

fn type_of(kind: Kind) -> DataType {
    match kind {
        Kind::Text | Kind::Json => DataType::Utf8,
        Kind::Int16 => DataType::Int16,
        Kind::Int32 => DataType::Int32,
        Kind::Int64 => DataType::Int64,
        Kind::Float => DataType::Float32,
        Kind::Bool => DataType::Boolean,
        Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
        Kind::List => DataType::List(item()),
    }
}

/// Cells of a column, by its kind.
enum Cells {
    Text(StringBuilder),
    Int16(Int16Builder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float(Float32Builder),
    Bool(BooleanBuilder),
    Time(TimestampMicrosecondBuilder),
    List(ListBuilder<StringBuilder>),
}

impl Cells {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Text | Kind::Json => Self::Text(StringBuilder::new()),
            Kind::Int16 => Self::Int16(Int16Builder::new()),
            Kind::Int32 => Self::Int32(Int32Builder::new()),
            Kind::Int64 => Self::Int64(Int64Builder::new()),
            Kind::Float => Self::Float(Float32Builder::new()),
            Kind::Bool => Self::Bool(BooleanBuilder::new()),
            Kind::Time => Self::Time(TimestampMicrosecondBuilder::new().with_timezone(UTC)),
            Kind::List => Self::List(ListBuilder::new(StringBuilder::new()).with_field(item())),
        }
    }

    /// Adds a cell; one of another kind than the column's, or too large for it, is as none.
    fn push(&mut self, cell: Cell<'_>) {
        match (self, cell) {
            (Self::Text(cells), Cell::Text(text)) => cells.append_value(text),
            (Self::Text(cells), _) => cells.append_null(),
            (Self::Int16(cells), cell) => cells.append_option(integer(&cell)),
            (Self::Int32(cells), cell) => cells.append_option(integer(&cell)),
            (Self::Int64(cells), cell) => cells.append_option(integer(&cell)),
            (Self::Float(cells), Cell::Float(number)) => cells.append_value(number),
            (Self::Float(cells), _) => cells.append_null(),
            (Self::Bool(cells), Cell::Bool(value)) => cells.append_value(value),
            (Self::Bool(cells), _) => cells.append_null(),
            (Self::Time(cells), Cell::Time(time)) => cells.append_value(time.as_microsecond()),
            (Self::Time(cells), _) => cells.append_null(),
            (Self::List(cells), Cell::List(texts)) => {
                for text in texts {
                    cells.values().append_value(text);
                }
                cells.append(true);
            }
            (Self::List(cells), _) => cells.append(false),
        }
    }

    /// The cells added since the last time.
    fn take(&mut self) -> ArrayRef {
        match self {
            Self::Text(cells) => Arc::new(cells.finish()),
            Self::Int16(cells) => Arc::new(cells.finish()),
            Self::Int32(cells) => Arc::new(cells.finish()),
            Self::Int64(cells) => Arc::new(cells.finish()),
            Self::Float(cells) => Arc::new(cells.finish()),
            Self::Bool(cells) => Arc::new(cells.finish()),
            Self::Time(cells) => Arc::new(cells.finish()),
            Self::List(cells) => Arc::new(cells.finish()),
        }
    }
}

fn integer<T: TryFrom<i64>>(cell: &Cell<'_>) -> Option<T> {
    let Cell::Integer(number) = cell else {
        return None;
    };
    T::try_from(*number).ok()
}
