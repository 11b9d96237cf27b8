//! Hands out the result rows of a batch in the order of its list, a chunk in memory at a time, for whoever writes tables.
//!
//! The formats themselves are in the crate `exports`, which most functions do without: [`TableExporter`] is what they see of it.

use std::io::{self, Write};

use domain::{Batch, BatchId, ResultRow, RowNumber};
use futures::future::BoxFuture;
use serde::Deserialize;

use crate::annotations::{Annotation, Annotations, Finish, of_row};
use crate::objects::{lines, parse_lines};
use crate::parts::{Part, read_parts};
use crate::results::{by_chunk, result_keys};
use crate::{PipelineResult, Ports};

/// A format of the result table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ExportFormat {
    /// One JSON object a line.
    Ndjson,
    /// The same, compressed with Zstandard (RFC 8878).
    NdjsonZst,
    /// Comma-separated values, safe to open in a spreadsheet.
    Csv,
    /// Apache Parquet: typed columns, compressed, with statistics.
    Parquet,
    /// A database file with one table.
    Sqlite,
}

impl ExportFormat {
    /// Every format.
    pub const ALL: &'static [Self] = &[
        Self::Ndjson,
        Self::NdjsonZst,
        Self::Csv,
        Self::Parquet,
        Self::Sqlite,
    ];

    /// Its name on the command line, and the ending of its files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::NdjsonZst => "ndjson.zst",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Sqlite => "sqlite",
        }
    }

    /// Its media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::NdjsonZst => "application/zstd",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Sqlite => "application/vnd.sqlite3",
        }
    }

    /// Whether it can be written from its first byte to its last, as a download is.
    pub const fn is_streamed(self) -> bool {
        !matches!(self, Self::Sqlite)
    }
}

/// Which rows and columns of a table are wanted, as a person says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableRequest {
    /// Names of columns, in the order they are to have; all when empty.
    pub columns: Vec<String>,
    /// Conditions that a row has to meet, such as `outcome=ok` or `width>=500`; every one of them.
    pub conditions: Vec<String>,
}

/// What came out of an export.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The results could not be read.
    #[error(transparent)]
    Pipeline(#[from] crate::PipelineError),
    /// The table could not be written.
    #[error("the table could not be written")]
    Write(#[from] io::Error),
    /// There is no such column or condition; the sentence says which, and what there is.
    #[error("{0}")]
    Request(String),
}

/// Says whether any batch can meet a request: `Err` of kind [`ExportError::Request`] names what is wrong with it.
pub type TableCheck = fn(&TableRequest) -> Result<(), ExportError>;

/// Writes tables. A function that was given none carries no library of a format.
pub trait TableExporter: Send + Sync + 'static {
    /// As [`TableCheck`].
    fn check(&self, request: &TableRequest) -> Result<(), ExportError>;

    /// Writes the rows of `batch` that are committed to `sink`, ascending by number, and returns how many there were.
    fn export<'a>(
        &'a self,
        ports: &'a Ports,
        batch: &'a Batch,
        format: ExportFormat,
        request: &'a TableRequest,
        sink: Box<dyn Write + Send>,
    ) -> BoxFuture<'a, Result<u64, ExportError>>;
}

/// Reads the committed rows of a batch, chunk by chunk.
pub struct RowReader {
    ports: Ports,
    keys: std::vec::IntoIter<Vec<String>>,
    annotations: Annotations,
}

impl RowReader {
    /// Begins with the first chunk. Chunks that are committed later are not seen.
    pub async fn of(ports: &Ports, batch: BatchId) -> PipelineResult<Self> {
        let annotations = Annotations::of(ports, batch).await?;
        Self::with(ports, batch, annotations).await
    }

    /// As [`RowReader::of`], of a batch whose annotations are written and whose report is not.
    pub(crate) async fn annotated(ports: &Ports, batch: &Batch) -> PipelineResult<Self> {
        Self::with(ports, batch.id, Annotations::of_report(batch)).await
    }

    async fn with(ports: &Ports, batch: BatchId, annotations: Annotations) -> PipelineResult<Self> {
        let keys = result_keys(ports, batch).await?;
        let chunks: Vec<Vec<String>> = by_chunk(&keys).map(<[String]>::to_vec).collect();
        Ok(Self {
            ports: ports.clone(),
            keys: chunks.into_iter(),
            annotations,
        })
    }

    /// The rows of the next chunk, or `None` after the last.
    pub async fn next_chunk(&mut self) -> PipelineResult<Option<ChunkRows>> {
        let Some(keys) = self.keys.next() else {
            return Ok(None);
        };
        let parts = read_parts(&self.ports, &keys).await?;
        let rows = outermost_rows(&parts)?;
        let known = self.annotations.around(&self.ports, rows).await?;
        Ok(Some(ChunkRows {
            parts,
            known,
            finish: self.annotations.finish(),
        }))
    }
}

/// The rows of one chunk.
pub struct ChunkRows {
    parts: Vec<Part>,
    /// What is known of them since all rows are done.
    known: Vec<Annotation>,
    finish: Finish,
}

/// The number of a row that is not looked at otherwise.
#[derive(Deserialize)]
struct Numbered {
    row: RowNumber,
}

impl ChunkRows {
    /// The rows, ascending by number.
    pub fn rows(&self) -> PipelineResult<Vec<ResultRow>> {
        let mut rows = Vec::new();
        for part in &self.parts {
            rows.extend(part.current_rows::<ResultRow>()?);
        }
        // Each part is in order; together they have to be brought into it.
        rows.sort_unstable_by_key(|row| row.row);
        for row in &mut rows {
            self.finish.apply(row, &self.known);
        }
        Ok(rows)
    }

    /// Writes the rows as NDJSON, ascending by number, and returns how many there were. They are stored as the table has them, so
    /// that those with nothing to add are passed on unread.
    pub fn write_ndjson(&self, mut sink: impl Write) -> Result<u64, ExportError> {
        if let [only] = self.parts.as_slice()
            && self.known.is_empty()
            && self.finish.is_idle()
        {
            sink.write_all(&only.text)?;
            return Ok(lines(&only.text).count() as u64);
        }
        let mut rows: Vec<(RowNumber, &[u8])> = Vec::new();
        for part in &self.parts {
            let numbers: Vec<Numbered> = part.rows()?;
            let numbered = numbers.iter().map(|numbered| numbered.row);
            let numbered = numbered.zip(lines(&part.text));
            rows.extend(numbered.filter(|(number, _)| part.is_current(*number)));
        }
        rows.sort_unstable_by_key(|(row, _)| *row);
        for (number, line) in &rows {
            if self.finish.is_idle() && of_row(&self.known, *number).is_none() {
                sink.write_all(line)?;
            } else {
                let mut row: ResultRow = serde_json::from_slice(line).map_err(io::Error::from)?;
                self.finish.apply(&mut row, &self.known);
                serde_json::to_writer(&mut sink, &row).map_err(io::Error::from)?;
            }
            sink.write_all(b"\n")?;
        }
        Ok(rows.len() as u64)
    }
}

/// The first and the last row of each part, which are in order.
fn outermost_rows(
    parts: &[Part],
) -> PipelineResult<impl Iterator<Item = RowNumber> + Clone + use<>> {
    let mut numbers = Vec::with_capacity(2 * parts.len());
    for part in parts {
        let mut lines = lines(&part.text);
        let first = lines.next();
        for line in [first, lines.last()].into_iter().flatten() {
            let numbered: Vec<Numbered> = parse_lines(&part.key, line)?;
            numbers.extend(numbered.iter().map(|numbered| numbered.row));
        }
    }
    Ok(numbers.into_iter())
}
