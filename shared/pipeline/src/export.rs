//! Writes the result table of a batch to a file or a response, in list order, a chunk in memory at a time.

use std::io::{self, Write};

use domain::{BatchId, ResultRow, RowNumber};
use serde::Deserialize;

use crate::annotations::{Annotations, annotate, of_row};
use crate::objects::{lines, parse_lines};
use crate::parts::{Part, read_current_rows, read_parts};
use crate::results::{by_chunk, result_keys};
use crate::{PipelineResult, Ports};

use csv_table::CsvTable;

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

/// Writes every committed row of a batch to `sink`, ascending by row number, and returns how many there were.
pub async fn export<W: Write + Send>(
    ports: &Ports,
    batch: BatchId,
    format: ExportFormat,
    sink: W,
) -> Result<u64, ExportError> {
    let keys = result_keys(ports, batch).await?;
    let annotations = Annotations::of(ports, batch).await?;
    match format {
        ExportFormat::Ndjson => export_ndjson(ports, &keys, annotations, sink).await,
        ExportFormat::Csv => export_csv(ports, &keys, annotations, sink).await,
    }
}

/// The number of a row that is not looked at otherwise.
#[derive(Deserialize)]
struct Numbered {
    row: RowNumber,
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

/// Rows are stored as the table has them, so that those with nothing to add are passed on unread.
async fn export_ndjson<W: Write + Send>(
    ports: &Ports,
    keys: &[String],
    mut annotations: Annotations,
    mut sink: W,
) -> Result<u64, ExportError> {
    let mut written = 0;
    for parts in by_chunk(keys) {
        let parts = read_parts(ports, parts).await?;
        let known = annotations.around(ports, outermost_rows(&parts)?).await?;
        if let [only] = parts.as_slice()
            && known.is_empty()
        {
            sink.write_all(&only.text)?;
            written += lines(&only.text).count() as u64;
            continue;
        }
        // Each part is in order; together they have to be brought into it.
        let mut rows: Vec<(RowNumber, &[u8])> = Vec::new();
        for part in &parts {
            let numbers: Vec<Numbered> = part.rows()?;
            let numbered = numbers.iter().map(|numbered| numbered.row);
            let numbered = numbered.zip(lines(&part.text));
            rows.extend(numbered.filter(|(number, _)| part.is_current(*number)));
        }
        rows.sort_unstable_by_key(|(row, _)| *row);
        for (number, line) in &rows {
            match of_row(&known, *number) {
                None => sink.write_all(line)?,
                Some(annotation) => {
                    let mut row: ResultRow =
                        serde_json::from_slice(line).map_err(io::Error::from)?;
                    annotation.apply(&mut row);
                    serde_json::to_writer(&mut sink, &row).map_err(io::Error::from)?;
                }
            }
            sink.write_all(b"\n")?;
        }
        written += rows.len() as u64;
    }
    sink.flush()?;
    Ok(written)
}

async fn export_csv<W: Write + Send>(
    ports: &Ports,
    keys: &[String],
    mut annotations: Annotations,
    sink: W,
) -> Result<u64, ExportError> {
    let mut table = CsvTable::new(sink);
    let mut written = 0;
    for parts in by_chunk(keys) {
        let mut rows: Vec<ResultRow> = read_current_rows(ports, parts).await?;
        rows.sort_unstable_by_key(|row| row.row);
        let numbers = rows.iter().map(|row| row.row);
        let known = annotations.around(ports, numbers).await?;
        for row in &mut rows {
            annotate(row, &known);
        }
        table.write_all(&rows)?;
        written += rows.len() as u64;
    }
    table.finish()?;
    Ok(written)
}
