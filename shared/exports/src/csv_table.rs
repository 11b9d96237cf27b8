//! Comma-separated values (RFC 4180), safe to open in a spreadsheet.
//!
//! Text that a spreadsheet would take for a formula gets an apostrophe in front (OWASP, "CSV Injection"); a negative number is no
//! formula and stays as it is. So does text behind a `;`, a tab or a line break inside a cell, where a spreadsheet that was told another
//! separator begins a new one, quotation marks or not. Lists are joined with `;`, instants are RFC 3339, nothing is an empty cell.

use std::io::{self, BufWriter, Write};

use domain::ResultRow;

use crate::TableWriter;
use crate::columns::{Cell, Schema};

/// What makes a spreadsheet calculate, at the beginning of a cell; the last four are full-width forms of the first.
const FORMULA_STARTS: &[char] = &['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// Bytes collected before they are handed on.
const BUFFER_BYTES: usize = 64 * 1024;
/// Between the texts of a list.
const LIST_SEPARATOR: &str = ";";

/// What a cell is in quotation marks for.
const QUOTED: &[u8] = b",;\t\"\r\n";
/// Where a reader begins a new cell that takes something else than a comma for the separator. It sees no quotation marks in the middle of
/// what it takes for a cell.
const OTHER_SEPARATORS: &[char] = &[';', '\t', '\r', '\n'];

pub(crate) struct CsvTable<W: Write> {
    sink: BufWriter<W>,
    schema: Schema,
    /// The cell being written, kept for its memory.
    text: String,
}

impl<W: Write> CsvTable<W> {
    /// Writes the header.
    pub(crate) fn start(sink: W, schema: &Schema) -> io::Result<Self> {
        let mut table = Self {
            sink: BufWriter::with_capacity(BUFFER_BYTES, sink),
            schema: schema.clone(),
            text: String::new(),
        };
        for (position, column) in schema.columns().iter().enumerate() {
            write_quoted(&mut table.sink, position, &column.name)?;
        }
        table.sink.write_all(b"\n")?;
        Ok(table)
    }
}

impl<W: Write + Send> TableWriter for CsvTable<W> {
    fn write(&mut self, rows: &[&ResultRow]) -> io::Result<()> {
        for row in rows {
            for (position, column) in self.schema.columns().iter().enumerate() {
                write_cell(&mut self.text, &column.cell(row));
                write_quoted(&mut self.sink, position, &self.text)?;
            }
            self.sink.write_all(b"\n")?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.sink.flush()
    }
}

/// Writes a cell, in quotation marks where it needs them.
fn write_quoted(sink: &mut impl Write, position: usize, text: &str) -> io::Result<()> {
    if position > 0 {
        sink.write_all(b",")?;
    }
    if !text.bytes().any(|byte| QUOTED.contains(&byte)) {
        return sink.write_all(text.as_bytes());
    }
    sink.write_all(b"\"")?;
    for (position, piece) in text.split('"').enumerate() {
        if position > 0 {
            sink.write_all(b"\"\"")?;
        }
        sink.write_all(piece.as_bytes())?;
    }
    sink.write_all(b"\"")
}

fn write_cell(text: &mut String, cell: &Cell<'_>) {
    use std::fmt::Write;
    text.clear();
    // Writing to a string cannot fail.
    let _ = match cell {
        Cell::Null => Ok(()),
        Cell::Integer(number) => write!(text, "{number}"),
        Cell::Float(number) => write!(text, "{number}"),
        Cell::Bool(value) => write!(text, "{value}"),
        Cell::Time(time) => write!(text, "{time}"),
        Cell::Text(value) => {
            push_safe(text, value);
            Ok(())
        }
        Cell::List(texts) => {
            for (position, one) in texts.iter().enumerate() {
                if position > 0 {
                    text.push_str(LIST_SEPARATOR);
                }
                push_safe(text, one);
            }
            Ok(())
        }
    };
}

/// Adds text with an apostrophe wherever a reader might begin a formula.
fn push_safe(text: &mut String, value: &str) {
    let mut rest = value;
    loop {
        if is_formula(rest) {
            text.push('\'');
        }
        let Some(at) = rest.find(OTHER_SEPARATORS) else {
            text.push_str(rest);
            return;
        };
        text.push_str(&rest[..=at]);
        rest = &rest[at + 1..];
    }
}

fn is_formula(text: &str) -> bool {
    text.starts_with(FORMULA_STARTS) && !is_negative_number(text)
}

/// Digits, with a point among them at most, up to where another cell may begin.
fn is_negative_number(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('-') else {
        return false;
    };
    let digits = digits.split(OTHER_SEPARATORS).next().unwrap_or_default();
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|one| one.is_ascii_digit());
    is_number(whole) && is_number(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::field_names;
    use crate::columns::tests::row;

    fn written(rows: &[ResultRow]) -> Vec<csv::StringRecord> {
        let schema = Schema::of(&[], rows);
        let mut sink = Vec::new();
        let mut table = Box::new(CsvTable::start(&mut sink, &schema).unwrap());
        let rows: Vec<&ResultRow> = rows.iter().collect();
        table.write(&rows).unwrap();
        table.finish().unwrap();
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(sink.as_slice());
        reader.records().map(Result::unwrap).collect()
    }

    #[test]
    fn a_cell_that_would_be_a_formula_is_made_text_and_a_number_stays_one() {
        let cases = [
            ("=HYPERLINK(\"http://example.com\")", true),
            ("+1 555 0100", true),
            ("@SUM(A1)", true),
            ("-2+3+cmd|' /C calc'!A0", true),
            ("\t=1+1", true),
            ("\n=1+1", true),
            ("＝1+1", true),
            ("-", true),
            ("-1.", true),
            ("-5", false),
            ("-5.25", false),
            ("5", false),
            ("a=1", false),
            ("", false),
        ];
        for (text, is_formula) in cases {
            let extra = serde_json::json!({ "note": text }).to_string();
            let records = written(&[row(0, &extra)]);
            let cell = records[1].get(records[1].len() - 2).unwrap();
            // Behind a tab or a line break, another cell may begin.
            let safe = text.replace("\t=", "\t'=").replace("\n=", "\n'=");
            let expected = if is_formula { format!("'{safe}") } else { safe };
            assert_eq!(cell, expected);
        }
    }

    #[test]
    fn a_reader_with_another_separator_finds_no_formula_either() {
        for separator in [b',', b';', b'\t'] {
            for between in [";", "\t", "\n", "\r\n", "\";"] {
                let note = format!("a{between}=cmd(){between}-1{between}@x");
                let extra = serde_json::json!({ "note": note }).to_string();
                let mut row = row(0, &extra);
                row.detail = Some(format!("{between}+1"));
                let schema = Schema::of(&[], std::slice::from_ref(&row));
                let mut sink = Vec::new();
                let mut table = Box::new(CsvTable::start(&mut sink, &schema).unwrap());
                table.write(&[&row]).unwrap();
                table.finish().unwrap();
                let mut reader = csv::ReaderBuilder::new()
                    .has_headers(false)
                    .flexible(true)
                    .delimiter(separator)
                    .from_reader(sink.as_slice());
                for record in reader.byte_records() {
                    for cell in &record.unwrap() {
                        let cell = std::str::from_utf8(cell).unwrap();
                        assert!(!is_formula(cell), "{separator}: {cell:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_row_has_a_cell_for_every_column() {
        let mut measured = row(1, r#"{"sku":"a,\"b\"\n"}"#);
        measured.contrast = Some(0.1);
        measured.issues = vec![domain::Issue::Dark, domain::Issue::Small];
        measured.fetched_at = Some("2026-01-31T12:00:00.5Z".parse().unwrap());
        let records = written(&[measured, row(2, "{}")]);
        let columns = field_names().count() + 2;
        assert!(records.iter().all(|record| record.len() == columns));
        let cell = |name: &str| {
            let place = records[0].iter().position(|column| column == name).unwrap();
            records[1][place].to_owned()
        };
        assert_eq!(cell("contrast"), "0.1");
        assert_eq!(cell("issues"), "dark;small");
        assert_eq!(cell("fetched_at"), "2026-01-31T12:00:00.5Z");
        assert_eq!(cell("width"), "");
        assert_eq!(cell("extra_sku"), "a,\"b\"\n");
    }

    #[test]
    fn a_table_without_rows_has_its_header() {
        let records = written(&[]);
        assert_eq!(records.len(), 1);
        assert_eq!(&records[0][0], "batch");
    }
}
