//! One table into one sink, from its first row to its last.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use domain::{Batch, BatchId, ResultRow};
use futures::FutureExt;
use futures::future::BoxFuture;
use pipeline::Ports;
use pipeline::export::{ExportError, ExportFormat, RowReader, TableExporter, TableRequest};
use pipeline::rule_packs::Packs;

use crate::TableWriter;
use crate::columns::Schema;
use crate::conditions::{Condition, Conditions};
use crate::csv_table::CsvTable;
use crate::ndjson::{Ndjson, Zstd};
use crate::parquet_table::ParquetTable;
use crate::sqlite_table::SqliteTable;

/// Every format there is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tables;

impl TableExporter for Tables {
    fn check(&self, request: &TableRequest) -> Result<(), ExportError> {
        check(request)
    }

    fn export<'a>(
        &'a self,
        ports: &'a Ports,
        batch: &'a Batch,
        format: ExportFormat,
        request: &'a TableRequest,
        sink: Box<dyn Write + Send>,
    ) -> BoxFuture<'a, Result<u64, ExportError>> {
        export_table(ports, batch, format, request, sink).boxed()
    }
}

/// Whether any batch can meet the request; what writes tables is not needed for it.
pub fn check(request: &TableRequest) -> Result<(), ExportError> {
    conditions(request).map(drop)
}

/// Writes every committed row of a batch with all its columns to `sink`, ascending by number, and returns how many there were.
pub async fn export<'a, W: Write + Send + 'a>(
    ports: &Ports,
    batch: BatchId,
    format: ExportFormat,
    sink: W,
) -> Result<u64, ExportError> {
    let found = ports.store.batch(batch).await;
    let found = found.map_err(pipeline::PipelineError::from)?;
    let Some(batch) = found else {
        return Err(ExportError::Request(format!("there is no batch {batch}")));
    };
    export_table(
        ports,
        &batch,
        format,
        &TableRequest::default(),
        Box::new(sink),
    )
    .await
}

/// Writes the rows that are asked for.
async fn export_table<'a>(
    ports: &Ports,
    batch: &Batch,
    format: ExportFormat,
    request: &TableRequest,
    mut sink: Box<dyn Write + Send + 'a>,
) -> Result<u64, ExportError> {
    let mut reader = RowReader::of(ports, batch.id).await?;
    if format == ExportFormat::Ndjson && *request == TableRequest::default() {
        return copy_ndjson(&mut reader, sink).await;
    }
    if format == ExportFormat::Sqlite {
        // A database is written in no order: a file first.
        let folder = tempfile::tempdir_in(&ports.scratch)?;
        let path = folder.path().join("results.sqlite");
        let mut selection = Selection::new(batch, request)?;
        let start = |schema: &Schema| -> io::Result<Box<dyn TableWriter>> {
            Ok(Box::new(SqliteTable::create(&path, schema)?))
        };
        let written = write_rows(&mut reader, &mut selection, start).await?;
        io::copy(&mut File::open(&path)?, &mut sink)?;
        sink.flush()?;
        return Ok(written);
    }
    let mut selection = Selection::new(batch, request)?;
    let whole_rows = request.columns.is_empty();
    let start = |schema: &Schema| streamed(format, sink, schema, whole_rows);
    write_rows(&mut reader, &mut selection, start).await
}

/// Rows are stored as the table has them.
async fn copy_ndjson(
    reader: &mut RowReader,
    mut sink: Box<dyn Write + Send + '_>,
) -> Result<u64, ExportError> {
    let mut written = 0;
    while let Some(chunk) = reader.next_chunk().await? {
        written += chunk.write_ndjson(&mut sink)?;
    }
    sink.flush()?;
    Ok(written)
}

/// A table of a format that can be written from its first byte to its last.
pub(crate) fn streamed<'a>(
    format: ExportFormat,
    sink: Box<dyn Write + Send + 'a>,
    schema: &Schema,
    whole_rows: bool,
) -> io::Result<Box<dyn TableWriter + 'a>> {
    let flat = || (!whole_rows).then(|| schema.clone());
    Ok(match format {
        // JSON comes in pieces of a few bytes.
        ExportFormat::Ndjson => Box::new(Ndjson::new(BufWriter::new(sink), flat())),
        ExportFormat::NdjsonZst => {
            let zstd = BufWriter::new(Zstd::new(sink)?);
            Box::new(Ndjson::new(zstd, flat()))
        }
        ExportFormat::Csv => Box::new(CsvTable::start(sink, schema)?),
        ExportFormat::Parquet => Box::new(ParquetTable::start(sink, schema)?),
        ExportFormat::Sqlite => {
            return Err(io::Error::other("a database cannot be streamed"));
        }
    })
}

async fn write_rows<'a>(
    reader: &mut RowReader,
    selection: &mut Selection,
    start: impl FnOnce(&Schema) -> io::Result<Box<dyn TableWriter + 'a>>,
) -> Result<u64, ExportError> {
    let mut start = Some(start);
    let mut table: Option<Box<dyn TableWriter + 'a>> = None;
    let mut written = 0;
    loop {
        let chunk = reader.next_chunk().await?;
        let is_end = chunk.is_none();
        let rows = chunk.map_or_else(|| Ok(Vec::new()), |chunk| chunk.rows())?;
        let rows = selection.of(&rows)?;
        if let Some(start) = start.take() {
            table = Some(start(selection.schema()?)?);
        }
        if let Some(table) = &mut table {
            written += rows.len() as u64;
            table.write(&rows)?;
        }
        if is_end {
            break;
        }
    }
    if let Some(table) = table {
        table.finish()?;
    }
    Ok(written)
}

/// The conditions of a request.
pub(crate) fn conditions(request: &TableRequest) -> Result<Vec<Condition>, ExportError> {
    let conditions = request.conditions.iter();
    conditions.map(|text| text.parse()).collect()
}

/// Which rows and columns of a batch are wanted. What columns there are is known once its first rows are.
pub(crate) struct Selection {
    packs: Vec<String>,
    columns: Vec<String>,
    asked: Vec<Condition>,
    known: Option<(Schema, Conditions)>,
}

impl Selection {
    pub(crate) fn new(batch: &Batch, request: &TableRequest) -> Result<Self, ExportError> {
        Ok(Self {
            packs: rule_packs(batch),
            columns: request.columns.clone(),
            asked: conditions(request)?,
            known: None,
        })
    }

    /// Those of a chunk's rows that are wanted. Before the first call nothing is known of carried columns.
    pub(crate) fn of<'a>(
        &mut self,
        rows: &'a [ResultRow],
    ) -> Result<Vec<&'a ResultRow>, ExportError> {
        if self.known.is_none() {
            let all = Schema::of(&self.packs, rows);
            let conditions = Conditions::on(&all, &self.asked)?;
            self.known = Some((all.select(&self.columns)?, conditions));
        }
        let Some((_, conditions)) = &self.known else {
            return Ok(Vec::new());
        };
        Ok(rows.iter().filter(|row| conditions.hold(row)).collect())
    }

    /// The columns that are wanted.
    pub(crate) fn schema(&self) -> Result<&Schema, ExportError> {
        let known = self.known.as_ref().map(|(schema, _)| schema);
        known.ok_or_else(|| ExportError::Request("no row was looked at yet".to_owned()))
    }
}

/// The rule packs that a batch is checked against.
fn rule_packs(batch: &Batch) -> Vec<String> {
    Packs::of(batch).names().map(str::to_owned).collect()
}
