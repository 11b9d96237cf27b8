//! Comma-separated values (RFC 4180), safe to open in a spreadsheet.
//!
//! Text that a spreadsheet would take for a formula gets an apostrophe in front (OWASP, "CSV Injection"); a negative number is no
//! formula and stays as it is. Lists are joined with `;`, instants are RFC 3339, nothing is an empty cell.

use std::io::{self, Write};

use domain::ResultRow;

use crate::TableWriter;
use crate::columns::{Cell, Schema};

/// What makes a spreadsheet calculate, at the beginning of a cell; the last four are full-width forms of the first.
const FORMULA_STARTS: &[char] = &['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// Between the texts of a list.
const LIST_SEPARATOR: &str = ";";

pub(crate) struct CsvTable<W: Write> {
    writer: csv::Writer<W>,
    schema: Schema,
    /// The cell being written, kept for its memory.
    text: String,
}

impl<W: Write> CsvTable<W> {
    /// Writes the header.
    pub(crate) fn start(sink: W, schema: &Schema) -> io::Result<Self> {
        let mut writer = csv::Writer::from_writer(sink);
        for column in schema.columns() {
            writer.write_field(&*column.name)?;
        }
        writer.write_record(None::<&[u8]>)?;
        Ok(Self {
            writer,
            schema: schema.clone(),
            text: String::new(),
        })
    }
}

impl<W: Write + Send> TableWriter for CsvTable<W> {
    fn write(&mut self, rows: &[&ResultRow]) -> io::Result<()> {
        for row in rows {
            for column in self.schema.columns() {
                write_cell(&mut self.text, &column.cell(row));
                self.writer.write_field(&self.text)?;
            }
            self.writer.write_record(None::<&[u8]>)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.writer.flush()
    }
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
            if is_formula(value) {
                text.push('\'');
            }
            text.push_str(value);
            Ok(())
        }
        Cell::List(texts) => {
            if texts.first().is_some_and(|first| is_formula(first)) {
                text.push('\'');
            }
            for (position, one) in texts.iter().enumerate() {
                if position > 0 {
                    text.push_str(LIST_SEPARATOR);
                }
                text.push_str(one);
            }
            Ok(())
        }
    };
}

fn is_formula(text: &str) -> bool {
    text.starts_with(FORMULA_STARTS) && !is_negative_number(text)
}

/// Digits, with a point among them at most.
fn is_negative_number(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('-') else {
        return false;
    };
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
            let expected = if is_formula {
                format!("'{text}")
            } else {
                text.to_owned()
            };
            assert_eq!(cell, expected);
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
