//! Records, one after the other, out of the window.

use std::io::{self, Read};
use std::ops::Range;

use memchr::{memchr, memchr2};

use crate::RowFault;
use crate::scanner::{Dialect, QUOTE, Scan, Scanner, without_cr};
use crate::window::Window;

/// A record, or what stands in its place.
#[derive(Debug)]
pub(crate) enum Record {
    Whole {
        /// Where it is in the window, without its line end; valid until the next record.
        range: Range<usize>,
        /// Line it starts on, from 1.
        line: u64,
        /// Whether at least one of its cells is quoted.
        quoted: bool,
    },
    Faulty(RowFault),
}

/// Cuts the text into records, never holding more than one row's limit.
#[derive(Debug)]
pub(crate) struct Records<R> {
    window: Window<R>,
    scanner: Scanner,
    max_cell_bytes: usize,
    max_row_bytes: usize,
}

impl<R: Read> Records<R> {
    pub(crate) const fn new(
        window: Window<R>,
        dialect: Dialect,
        max_cell_bytes: usize,
        max_row_bytes: usize,
    ) -> Self {
        Self {
            window,
            scanner: Scanner::new(dialect, max_cell_bytes),
            max_cell_bytes,
            max_row_bytes,
        }
    }

    pub(crate) const fn window(&self) -> &Window<R> {
        &self.window
    }

    /// The next record that is not a blank line.
    pub(crate) fn next(&mut self) -> io::Result<Option<Record>> {
        loop {
            let record = self.next_line_or_record()?;
            if let Some(Record::Whole { range, .. }) = &record
                && is_blank(self.window.slice(range.clone()), self.scanner.dialect())
            {
                continue;
            }
            return Ok(record);
        }
    }

    fn next_line_or_record(&mut self) -> io::Result<Option<Record>> {
        match self.simple_line() {
            Some(record) => Ok(Some(record)),
            None => self.scan(),
        }
    }

    /// The common case: the whole record is in the window, on one line, without a quote.
    fn simple_line(&mut self) -> Option<Record> {
        let dialect = self.scanner.dialect();
        let data = self.window.data();
        if dialect.lone_cr {
            return None;
        }
        let line_break = if dialect.quotes {
            memchr2(b'\n', QUOTE, data).filter(|found| data[*found] == b'\n')?
        } else {
            memchr(b'\n', data)?
        };
        let length = without_cr(&data[..line_break]);
        let line = self.window.line();
        let range = self.window.range(length);
        self.window.consume_line(line_break + 1);
        if length > self.max_row_bytes {
            return Some(self.too_long(line));
        }
        let quoted = false;
        Some(Record::Whole {
            range,
            line,
            quoted,
        })
    }

    fn scan(&mut self) -> io::Result<Option<Record>> {
        let line = self.window.line();
        let mut too_long = false;
        self.scanner.restart();
        loop {
            let data = self.window.data();
            let scan = self.scanner.step(data, self.window.at_end());
            match scan {
                Scan::More => {
                    too_long |= data.len() > self.max_row_bytes;
                    if too_long {
                        let released = self.scanner.release();
                        self.window.consume(released);
                    }
                    self.window.fill()?;
                }
                Scan::End => return Ok(None),
                Scan::Record {
                    length,
                    next,
                    quoted,
                } => {
                    let range = self.window.range(length);
                    self.window.consume(next);
                    if too_long || length > self.max_row_bytes {
                        return Ok(Some(self.too_long(line)));
                    }
                    return Ok(Some(Record::Whole {
                        range,
                        line,
                        quoted,
                    }));
                }
                Scan::Unclosed { next } => {
                    let ends_in_break = matches!(data[..next].last(), Some(b'\n' | b'\r'));
                    self.window.consume(next);
                    let quote_line = self.window.line() - u64::from(ends_in_break);
                    let fault = RowFault::UnclosedQuote { line, quote_line };
                    return Ok(Some(Record::Faulty(fault)));
                }
                Scan::Overlong { next } => {
                    self.window.consume(next);
                    let limit = self.max_cell_bytes;
                    let fault = RowFault::CellTooLong { line, limit };
                    return Ok(Some(Record::Faulty(fault)));
                }
            }
        }
    }

    const fn too_long(&self, line: u64) -> Record {
        let limit = self.max_row_bytes;
        Record::Faulty(RowFault::RowTooLong { line, limit })
    }
}

/// White space only; but a line of tabs in a table of tabs is a row of empty cells.
pub(crate) fn is_blank(record: &[u8], dialect: Dialect) -> bool {
    match record.first() {
        None => true,
        Some(first) if !first.is_ascii_whitespace() => false,
        Some(_) => record
            .iter()
            .all(|byte| byte.is_ascii_whitespace() && *byte != dialect.delimiter),
    }
}
