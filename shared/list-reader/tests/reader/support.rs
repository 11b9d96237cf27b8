//! Reading a whole list into owned rows.

use std::io::{self, Read};

use domain::Limits;
use list_reader::{ListError, ListOptions, ListReader, RowFault};

/// A row that outlives its reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) line: u64,
    pub(crate) cell: Result<String, RowFault>,
    pub(crate) extra: Vec<(String, String)>,
}

pub(crate) fn named(name: &str) -> ListOptions {
    ListOptions {
        name: name.to_owned(),
        ..ListOptions::default()
    }
}

pub(crate) fn with_column(name: &str, column: &str) -> ListOptions {
    ListOptions {
        name: name.to_owned(),
        url_column: Some(column.to_owned()),
        ..ListOptions::default()
    }
}

pub(crate) fn small_limits() -> Limits {
    Limits {
        max_url_bytes: 40,
        max_field_bytes: 100,
        max_row_bytes: 400,
        ..Limits::default()
    }
}

/// Opens a list with the default limits.
pub(crate) fn open<'a>(name: &str, list: &'a [u8]) -> ListReader<&'a [u8]> {
    ListReader::open(list, &named(name), &Limits::default()).unwrap()
}

/// Every row, and the error that ended the list.
pub(crate) fn read_all<R: Read>(mut reader: ListReader<R>) -> (Vec<Row>, Option<ListError>) {
    let mut rows = Vec::new();
    while let Some(row) = reader.next_row() {
        match row {
            Ok(row) => rows.push(Row {
                line: row.line,
                cell: row.cell.map(str::to_owned),
                extra: row
                    .extra
                    .iter()
                    .map(|(name, text)| (name.to_owned(), text.to_owned()))
                    .collect(),
            }),
            Err(error) => {
                assert!(reader.next_row().is_none(), "an error is the end");
                return (rows, Some(error));
            }
        }
    }
    (rows, None)
}

/// Every row of a list that can be read to its end.
pub(crate) fn rows(name: &str, list: impl AsRef<[u8]>) -> Vec<Row> {
    rows_with(name, list, &Limits::default())
}

pub(crate) fn rows_with(name: &str, list: impl AsRef<[u8]>, limits: &Limits) -> Vec<Row> {
    let reader = ListReader::open(list.as_ref(), &named(name), limits).unwrap();
    let (rows, error) = read_all(reader);
    assert!(error.is_none(), "{error:?}");
    rows
}

/// The URLs of a list without a faulty row.
pub(crate) fn urls(name: &str, list: impl AsRef<[u8]>) -> Vec<String> {
    let rows = rows(name, list);
    rows.into_iter().map(|row| row.cell.unwrap()).collect()
}

/// Line and URL of good rows, line and fault of the others.
pub(crate) fn outcomes(rows: &[Row]) -> Vec<(u64, Result<&str, &RowFault>)> {
    rows.iter()
        .map(|row| (row.line, row.cell.as_deref()))
        .collect()
}

/// Why a list cannot be opened.
pub(crate) fn refusal(name: &str, list: impl AsRef<[u8]>) -> ListError {
    refusal_with(&named(name), list)
}

pub(crate) fn refusal_with(options: &ListOptions, list: impl AsRef<[u8]>) -> ListError {
    match ListReader::open(list.as_ref(), options, &Limits::default()) {
        Err(error) => error,
        Ok(reader) => panic!("opened as {:?}", reader.detected()),
    }
}

/// Hands out its bytes a few at a time, then a failure if it has one.
pub(crate) struct Trickle<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) step: usize,
    pub(crate) failure: Option<io::ErrorKind>,
}

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() {
            return match self.failure {
                Some(kind) => Err(kind.into()),
                None => Ok(0),
            };
        }
        let length = self.step.min(buffer.len()).min(self.bytes.len());
        let (now, later) = self.bytes.split_at(length);
        buffer[..length].copy_from_slice(now);
        self.bytes = later;
        Ok(length)
    }
}
