//! Writes the result table of a batch to a file or a response, in list order, a chunk in memory at a time.

use std::io::{self, Write};

use domain::{BatchId, ResultRow};

use crate::Ports;
use crate::objects::read_results;
use crate::results::{by_chunk, result_keys};

mod csv_table;

/// A format of the result table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExportFormat {
    /// One JSON object a line.
    Ndjson,
    /// Comma-separated values, safe to open in a spreadsheet.
    Csv,
}

impl ExportFormat {
    /// Every format.
    pub const ALL: &'static [Self] = &[Self::Ndjson, Self::Csv];

    /// Its name on the command line, and the ending of its files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }
}

/// What came out of an export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The results could not be read.
    #[error(transparent)]
    Pipeline(#[from] crate::PipelineError),
    /// The table could not be written.
    #[error("the table could not be written")]
    Write(#[from] io::Error),
}

/// A table being written.
enum TableWriter<W: Write> {
    Ndjson(W),
    Csv(Box<csv_table::CsvTable<W>>),
}

impl<W: Write> TableWriter<W> {
    fn write_all(&mut self, rows: &[ResultRow]) -> io::Result<()> {
        match self {
            Self::Ndjson(sink) => {
                for row in rows {
                    serde_json::to_writer(&mut *sink, row)?;
                    sink.write_all(b"\n")?;
                }
                Ok(())
            }
            Self::Csv(table) => table.write_all(rows),
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Ndjson(mut sink) => sink.flush(),
            Self::Csv(table) => table.finish(),
        }
    }
}

/// Writes every committed row of a batch to `sink`, ascending by row number, and returns how many there were.
pub async fn export<W: Write + Send>(
    ports: &Ports,
    batch: BatchId,
    format: ExportFormat,
    sink: W,
) -> Result<u64, ExportError> {
    let keys = result_keys(ports, batch).await?;
    let mut table = match format {
        ExportFormat::Ndjson => TableWriter::Ndjson(sink),
        ExportFormat::Csv => TableWriter::Csv(Box::new(csv_table::CsvTable::new(sink))),
    };
    let mut written = 0;
    for parts in by_chunk(&keys) {
        let mut rows: Vec<ResultRow> = Vec::new();
        for key in parts {
            rows.extend(read_results::<ResultRow>(ports, key).await?);
        }
        rows.sort_unstable_by_key(|row| row.row);
        table.write_all(&rows)?;
        written += rows.len() as u64;
    }
    table.finish()?;
    Ok(written)
}
