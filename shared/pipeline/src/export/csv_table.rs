//! The result table as CSV: the columns of the contract, nested fields flattened with `_`.
//!
//! Columns carried from the list become `extra_<name>`. Their names are those of the first rows; what later rows of an
//! irregular list carry besides lies in `extra_other`, as JSON.
//!
//! Cells that a spreadsheet would take for a formula get an apostrophe in front (OWASP, "CSV Injection").

use std::fmt::Display;
use std::io::{self, Write};

use domain::ResultRow;
use serde::Serialize;
use serde_json::{Map, Value};

/// Carried columns that get a column of their own.
const MAX_CARRIED_COLUMNS: usize = 200;

/// The columns, in the order of the contract.
const COLUMNS: &[&str] = &[
    "batch",
    "row",
    "url",
    "outcome",
    "detail",
    "http_status",
    "final_url",
    "attempts",
    "elapsed_ms",
    "fetched_at",
    "bytes",
    "declared_type",
    "format",
    "width",
    "height",
    "frames",
    "has_alpha",
    "orientation",
    "color_space",
    "exif_make",
    "exif_model",
    "exif_taken_at",
    "exif_has_gps",
    "sha256",
    "phash",
    "dhash",
    "thumbhash",
    "mean_rgb",
    "palette",
    "brightness",
    "contrast",
    "saturation",
    "sharpness",
    "entropy",
    "issues",
    "rules",
    "duplicate_of",
    "duplicate_group",
    "vision",
];

/// A CSV file being written.
pub(super) struct CsvTable<W: Write> {
    writer: csv::Writer<W>,
    /// Names of the carried columns; unknown until the first rows come.
    carried: Option<Vec<String>>,
}

impl<W: Write> CsvTable<W> {
    pub(super) fn new(sink: W) -> Self {
        Self {
            writer: csv::Writer::from_writer(sink),
            carried: None,
        }
    }

    /// Writes the rows of a chunk; before the first of them, the header.
    pub(super) fn write_all(&mut self, rows: &[ResultRow]) -> io::Result<()> {
        let carried = match self.carried.take() {
            Some(carried) => carried,
            None => self.start(rows)?,
        };
        for row in rows {
            self.write(row, &carried)?;
        }
        self.carried = Some(carried);
        Ok(())
    }

    fn start(&mut self, rows: &[ResultRow]) -> io::Result<Vec<String>> {
        let mut carried: Vec<String> = Vec::new();
        for name in rows.iter().flat_map(|row| row.extra.keys()) {
            if !carried.contains(name) && carried.len() < MAX_CARRIED_COLUMNS {
                carried.push(name.clone());
            }
        }
        for column in COLUMNS {
            self.writer.write_field(column)?;
        }
        for name in &carried {
            self.untrusted(Some(&format!("extra_{name}")))?;
        }
        self.writer.write_field("extra_other")?;
        self.writer.write_record(None::<&[u8]>)?;
        Ok(carried)
    }

    fn write(&mut self, row: &ResultRow, carried: &[String]) -> io::Result<()> {
        let exif = row.exif.as_ref();
        self.text(&row.batch)?;
        self.text(&row.row)?;
        self.untrusted(Some(&row.url))?;
        self.text(&row.outcome)?;
        self.untrusted(row.detail.as_deref())?;
        self.maybe(row.http_status)?;
        self.untrusted(row.final_url.as_deref())?;
        self.text(&row.attempts)?;
        self.maybe(row.elapsed_ms)?;
        self.maybe(row.fetched_at)?;
        self.maybe(row.bytes)?;
        self.untrusted(row.declared_type.as_deref())?;
        self.maybe(row.format)?;
        self.maybe(row.width)?;
        self.maybe(row.height)?;
        self.maybe(row.frames)?;
        self.maybe(row.has_alpha)?;
        self.maybe(row.orientation)?;
        self.untrusted(row.color_space.as_deref())?;
        self.untrusted(exif.and_then(|exif| exif.make.as_deref()))?;
        self.untrusted(exif.and_then(|exif| exif.model.as_deref()))?;
        self.untrusted(exif.and_then(|exif| exif.taken_at.as_deref()))?;
        self.maybe(exif.map(|exif| exif.has_gps))?;
        self.maybe(row.sha256.as_deref())?;
        self.maybe(row.phash)?;
        self.maybe(row.dhash)?;
        self.untrusted(row.thumbhash.as_deref())?;
        self.maybe(row.mean_rgb)?;
        self.list(row.palette.as_deref().unwrap_or_default())?;
        self.maybe(row.brightness)?;
        self.maybe(row.contrast)?;
        self.maybe(row.saturation)?;
        self.maybe(row.sharpness)?;
        self.maybe(row.entropy)?;
        self.list(&row.issues)?;
        self.json(row.rules.as_ref())?;
        self.maybe(row.duplicate_of)?;
        self.maybe(row.duplicate_group)?;
        self.json(row.vision.as_ref())?;
        for name in carried {
            match row.extra.get(name) {
                None | Some(Value::Null) => self.untrusted(None)?,
                Some(Value::String(text)) => self.untrusted(Some(text))?,
                Some(value) => self.json(Some(value))?,
            }
        }
        let others: Map<String, Value> = row
            .extra
            .iter()
            .filter(|(name, _)| !carried.contains(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        self.json(Some(&others).filter(|others| !others.is_empty()))?;
        self.writer.write_record(None::<&[u8]>)?;
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.carried.is_none() {
            self.start(&[])?;
        }
        self.writer.flush()
    }

    fn text(&mut self, value: &impl Display) -> io::Result<()> {
        Ok(self.writer.write_field(value.to_string())?)
    }

    fn maybe(&mut self, value: Option<impl Display>) -> io::Result<()> {
        match value {
            Some(value) => self.text(&value),
            None => Ok(self.writer.write_field("")?),
        }
    }

    fn untrusted(&mut self, value: Option<&str>) -> io::Result<()> {
        let value = value.unwrap_or_default();
        if value.starts_with(['=', '+', '-', '@', '\t', '\r']) {
            return self.text(&format_args!("'{value}"));
        }
        Ok(self.writer.write_field(value)?)
    }

    fn list<T: Display>(&mut self, values: &[T]) -> io::Result<()> {
        let values: Vec<String> = values.iter().map(T::to_string).collect();
        Ok(self.writer.write_field(values.join(";"))?)
    }

    fn json<T: Serialize>(&mut self, value: Option<&T>) -> io::Result<()> {
        let text = value.map(serde_json::to_string).transpose()?;
        Ok(self.writer.write_field(text.unwrap_or_default())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{BatchId, ChunkRow, Outcome};

    #[test]
    fn every_row_has_a_cell_for_every_column_and_no_formula() {
        let chunk_row = ChunkRow {
            row: 7,
            url: "=HYPERLINK(\"http://example.com\")".to_owned(),
            extra: serde_json::Map::new(),
            verdict: None,
        };
        let batch: BatchId = "00000000000000000000000000".parse().unwrap();
        let row = ResultRow::new(batch, &chunk_row, Outcome::InvalidUrl);
        let mut sink = Vec::new();
        let mut table = CsvTable::new(&mut sink);
        table.write_all(&[row]).unwrap();
        table.finish().unwrap();
        let mut reader = csv::Reader::from_reader(sink.as_slice());
        assert_eq!(reader.headers().unwrap().len(), COLUMNS.len() + 1);
        let record = reader.records().next().unwrap().unwrap();
        assert_eq!(record.len(), COLUMNS.len() + 1);
        assert!(record[2].starts_with("'=HYPERLINK"), "{}", &record[2]);
    }

    #[test]
    fn carried_columns_follow_under_their_names() {
        let batch: BatchId = "00000000000000000000000000".parse().unwrap();
        let row = |extra: &str| {
            let chunk_row = ChunkRow {
                row: 0,
                url: String::new(),
                extra: serde_json::from_str(extra).unwrap(),
                verdict: None,
            };
            ResultRow::new(batch, &chunk_row, Outcome::InvalidUrl)
        };
        let mut sink = Vec::new();
        let mut table = CsvTable::new(&mut sink);
        table.write_all(&[row(r#"{"sku":"A","price":1}"#)]).unwrap();
        table
            .write_all(&[row(r#"{"sku":"B","note":"late"}"#)])
            .unwrap();
        table.finish().unwrap();
        let mut reader = csv::Reader::from_reader(sink.as_slice());
        let headers = reader.headers().unwrap().clone();
        let tail: Vec<&str> = headers.iter().skip(COLUMNS.len()).collect();
        assert_eq!(tail, ["extra_sku", "extra_price", "extra_other"]);
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        let tails: Vec<Vec<&str>> = rows
            .iter()
            .map(|row| row.iter().skip(COLUMNS.len()).collect())
            .collect();
        assert_eq!(
            tails,
            [vec!["A", "1", ""], vec!["B", "", r#"{"note":"late"}"#]]
        );
    }
}
