//! A record of a table to its cells.

use std::ops::Range;

use csv_core::{ReadRecordResult, ReaderBuilder, Terminator};
use domain::Limits;
use memchr::memchr_iter;

use crate::columns::{self, MAX_COLUMNS};
use crate::row::UNREADABLE;
use crate::{Extra, ListRow, RowFault};

/// Cuts records into cells. Its buffers are reused from record to record.
#[derive(Debug)]
pub(crate) struct Splitter {
    delimiter: u8,
    reader: csv_core::Reader,
    unquoted: Vec<u8>,
    ends: Vec<usize>,
    cells: Vec<Range<usize>>,
}

/// The record cannot be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Uncuttable {
    TooManyCells,
    Unclosed,
}

impl Splitter {
    pub(crate) fn new(delimiter: u8) -> Self {
        Self {
            delimiter,
            reader: csv_reader(delimiter),
            unquoted: Vec::new(),
            ends: Vec::new(),
            cells: Vec::new(),
        }
    }

    /// Cuts `record`. Gives the text the cells are in and where in it they are.
    pub(crate) fn split<'a>(
        &'a mut self,
        record: &'a [u8],
        quoted: bool,
    ) -> Result<(&'a [u8], &'a mut Vec<Range<usize>>), Uncuttable> {
        self.cells.clear();
        if quoted {
            self.unquote(record)?;
            return Ok((&self.unquoted, &mut self.cells));
        }
        let mut start = 0;
        for end in memchr_iter(self.delimiter, record) {
            if self.cells.len() == MAX_COLUMNS {
                return Err(Uncuttable::TooManyCells);
            }
            self.cells.push(start..end);
            start = end + 1;
        }
        self.cells.push(start..record.len());
        if self.cells.len() > MAX_COLUMNS {
            return Err(Uncuttable::TooManyCells);
        }
        Ok((record, &mut self.cells))
    }

    fn unquote(&mut self, record: &[u8]) -> Result<(), Uncuttable> {
        if self.unquoted.len() <= record.len() {
            self.unquoted.resize(record.len() + 1, 0);
        }
        if self.ends.is_empty() {
            self.ends.resize(64, 0);
        }
        let (mut read, mut written, mut cells) = (0, 0, 0);
        loop {
            let input = if read < record.len() {
                &record[read..]
            } else {
                b"\n"
            };
            let output = &mut self.unquoted[written..];
            let ends = &mut self.ends[cells..];
            let (result, input_read, output_written, ends_written) =
                self.reader.read_record(input, output, ends);
            let after_record = read >= record.len();
            read += input_read;
            written += output_written;
            cells += ends_written;
            match result {
                ReadRecordResult::InputEmpty if !after_record => {}
                ReadRecordResult::Record => break,
                ReadRecordResult::OutputEndsFull if self.ends.len() <= MAX_COLUMNS => {
                    let length = self.ends.len() * 2;
                    self.ends.resize(length, 0);
                }
                ReadRecordResult::OutputEndsFull => {
                    self.reader = csv_reader(self.delimiter);
                    return Err(Uncuttable::TooManyCells);
                }
                ReadRecordResult::InputEmpty
                | ReadRecordResult::OutputFull
                | ReadRecordResult::End => {
                    self.reader = csv_reader(self.delimiter);
                    return Err(Uncuttable::Unclosed);
                }
            }
        }
        if cells > MAX_COLUMNS {
            return Err(Uncuttable::TooManyCells);
        }
        let mut start = 0;
        for &end in &self.ends[..cells] {
            self.cells.push(start..end);
            start = end;
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        let cells = self.cells.capacity() * size_of::<Range<usize>>();
        self.unquoted.capacity() + self.ends.capacity() * size_of::<usize>() + cells
    }
}

/// A CSV parser at the start of a record. Built anew where one is stuck within a record: the clone of a built parser parses nothing
/// (csv-core 0.1.13 leaves half of its tables behind).
fn csv_reader(delimiter: u8) -> csv_core::Reader {
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        // Where a record ends is known before it gets here; a carriage return is part of a cell.
        .terminator(Terminator::Any(b'\n'))
        .build();
    // The very first call would take a byte order mark off the cell.
    reader.read_record(b"\n", &mut [0; 1], &mut [0; 1]);
    reader
}

/// Turns records of a table into rows.
#[derive(Debug)]
pub(crate) struct TableParser {
    splitter: Splitter,
    /// Names of the columns: the header's, then made-up ones for rows that are longer than the header.
    names: Vec<String>,
    header_columns: usize,
    url: usize,
    max_cell_bytes: usize,
    max_url_bytes: usize,
    /// Cells that are UTF-8, out of a record that is not.
    readable: String,
}

impl TableParser {
    pub(crate) fn new(delimiter: u8, names: Vec<String>, url: usize, limits: &Limits) -> Self {
        Self {
            splitter: Splitter::new(delimiter),
            header_columns: names.len(),
            names,
            url,
            max_cell_bytes: limits.max_field_bytes,
            max_url_bytes: limits.max_url_bytes,
            readable: String::new(),
        }
    }

    /// Bytes allocated.
    pub(crate) fn capacity(&self) -> usize {
        let names: usize = self.names.iter().map(String::capacity).sum();
        self.splitter.capacity() + self.readable.capacity() + names
    }

    pub(crate) fn parse<'a>(
        &'a mut self,
        record: &'a [u8],
        line: u64,
        quoted: bool,
    ) -> ListRow<'a> {
        let (bytes, cells) = match self.splitter.split(record, quoted) {
            Ok(split) => split,
            Err(uncuttable) => return uncut(uncuttable, line),
        };
        for column in self.names.len()..cells.len() {
            let name =
                columns::unique(columns::made_up(column), &self.names[..self.header_columns]);
            self.names.push(name);
        }
        // Cells that are no UTF-8 one by one can look like it when put side by side, hence the look at the record.
        let text = match str::from_utf8(record) {
            Ok(text) if !quoted => Ok(text),
            Ok(_) => str::from_utf8(bytes_of(bytes, cells)),
            Err(error) => Err(error),
        };
        let Ok(text) = text else {
            keep_readable(bytes, cells, &mut self.readable);
            drop_overlong(cells, self.max_cell_bytes);
            let extra = Extra::columns(&self.readable, &self.names, cells, self.url);
            let cell = Err(RowFault::NotUtf8 { line });
            return ListRow { line, cell, extra };
        };
        let overlong =
            text.len() > self.max_cell_bytes && drop_overlong(cells, self.max_cell_bytes);
        let extra = Extra::columns(text, &self.names, cells, self.url);
        let cell = if overlong {
            let limit = self.max_cell_bytes;
            Err(RowFault::CellTooLong { line, limit })
        } else {
            match cells.get(self.url).and_then(|cell| text.get(cell.clone())) {
                Some(cell) => check_url(cell, line, &self.names[self.url], self.max_url_bytes),
                None => Err(RowFault::MissingCell {
                    line,
                    column: columns::shortened(&self.names[self.url]),
                }),
            }
        };
        ListRow { line, cell, extra }
    }
}

/// Leaves out cells longer than `max_cell_bytes`, and says whether there were any.
fn drop_overlong(cells: &mut [Range<usize>], max_cell_bytes: usize) -> bool {
    let mut any = false;
    for cell in cells.iter_mut().filter(|cell| cell.len() > max_cell_bytes) {
        any = true;
        *cell = UNREADABLE;
    }
    any
}

/// What a URL cell must be before it is anybody's business whether it is a URL.
pub(crate) fn check_url<'a>(
    cell: &'a str,
    line: u64,
    column: &str,
    max_url_bytes: usize,
) -> Result<&'a str, RowFault> {
    let url = cell.trim();
    if url.is_empty() {
        let column = columns::shortened(column);
        return Err(RowFault::EmptyCell { line, column });
    }
    if url.len() > max_url_bytes {
        return Err(RowFault::UrlTooLong {
            line,
            bytes: url.len(),
            limit: max_url_bytes,
        });
    }
    if memchr::memchr(0, url.as_bytes()).is_some() {
        return Err(RowFault::Nul { line });
    }
    Ok(url)
}

fn uncut(uncuttable: Uncuttable, line: u64) -> ListRow<'static> {
    let fault = match uncuttable {
        Uncuttable::TooManyCells => RowFault::TooManyCells {
            line,
            limit: MAX_COLUMNS,
        },
        Uncuttable::Unclosed => RowFault::UnclosedQuote {
            line,
            quote_line: line,
        },
    };
    ListRow {
        line,
        cell: Err(fault),
        extra: Extra::default(),
    }
}

/// The part of the buffer that holds the cells.
fn bytes_of<'a>(bytes: &'a [u8], cells: &[Range<usize>]) -> &'a [u8] {
    let end = cells.last().map_or(0, |cell| cell.end);
    &bytes[..end]
}

/// Copies the cells that are UTF-8 to `readable`, and marks the others.
fn keep_readable(bytes: &[u8], cells: &mut [Range<usize>], readable: &mut String) {
    readable.clear();
    for cell in cells {
        *cell = match str::from_utf8(&bytes[cell.clone()]) {
            Ok(text) => {
                let start = readable.len();
                readable.push_str(text);
                start..readable.len()
            }
            Err(_) => UNREADABLE,
        };
    }
}
