//! Finds where a record ends, without looking at what its cells mean.
//!
//! A quote is special only as the first byte of a cell (RFC 4180); elsewhere it is a letter like any other. A quoted cell may span
//! lines. Where it turns out that its quote was never meant to be closed on another line, the scan tells where the line after the
//! quote begins, so that no later row is swallowed.

use memchr::{memchr, memchr2, memchr3};

pub(crate) const QUOTE: u8 = b'"';

/// Stands for "cells are not separated": this byte is in no UTF-8 text.
pub(crate) const NO_DELIMITER: u8 = 0xff;

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// Between two cells; [`NO_DELIMITER`] where a record is one cell.
    pub(crate) delimiter: u8,
    /// Whether a cell can be quoted.
    pub(crate) quotes: bool,
    /// Whether a carriage return without a line feed ends a line.
    pub(crate) lone_cr: bool,
}

impl Dialect {
    /// One record a line, whatever is in it.
    pub(crate) const fn lines(lone_cr: bool) -> Self {
        Self {
            delimiter: NO_DELIMITER,
            quotes: false,
            lone_cr,
        }
    }

    /// Cells between `delimiter`s, quoted or not.
    pub(crate) const fn table(delimiter: u8, lone_cr: bool) -> Self {
        Self {
            delimiter,
            quotes: true,
            lone_cr,
        }
    }
}

/// What a step came to. Positions are indices into the data of that step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scan {
    /// The record goes on after the data.
    More,
    /// There is no further record.
    End,
    /// A record of `length` bytes; the next one begins at `next`.
    Record {
        length: usize,
        next: usize,
        quoted: bool,
    },
    /// A quote is never closed; the line after it begins at `next`.
    Unclosed { next: usize },
    /// A quoted cell is too long within its first line; the next line begins at `next`.
    Overlong { next: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    CellStart,
    Unquoted,
    Quoted,
    /// After a quote in a quoted cell: the end of the cell, or half of an escaped quote.
    QuoteInQuoted,
}

/// Finds the end of one record, going on where it was when more data comes. All positions count from the start of the record.
#[derive(Debug)]
pub(crate) struct Scanner {
    dialect: Dialect,
    max_cell_bytes: usize,
    state: State,
    position: usize,
    /// Bytes of the record that are no longer part of the data.
    dropped: usize,
    quoted: bool,
    opened: usize,
    /// Start of the second line that the current quoted cell touches.
    second_line: Option<usize>,
}

impl Scanner {
    pub(crate) const fn new(dialect: Dialect, max_cell_bytes: usize) -> Self {
        Self {
            dialect,
            max_cell_bytes,
            state: State::CellStart,
            position: 0,
            dropped: 0,
            quoted: false,
            opened: 0,
            second_line: None,
        }
    }

    pub(crate) const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Begins a new record.
    pub(crate) const fn restart(&mut self) {
        *self = Self::new(self.dialect, self.max_cell_bytes);
    }

    /// Gives up the bytes that are not needed to find the record's end and says how many that are. From the next step on the data
    /// must begin after them.
    pub(crate) fn release(&mut self) -> usize {
        let in_quotes = matches!(self.state, State::Quoted | State::QuoteInQuoted);
        let needed = match self.second_line {
            Some(second_line) if in_quotes => second_line,
            _ => self.position,
        };
        let released = needed - self.dropped;
        self.dropped = needed;
        released
    }

    /// Looks at `data`: the record from its start, or from where [`Self::release`] left it. `at_end` says that nothing follows.
    pub(crate) fn step(&mut self, data: &[u8], at_end: bool) -> Scan {
        loop {
            let at = self.position - self.dropped;
            let scan = match self.state {
                State::CellStart => self.start_cell(data, at, at_end),
                State::Unquoted => self.unquoted(data, at, at_end),
                State::Quoted => self.in_quotes(data, at, at_end),
                State::QuoteInQuoted => self.after_quote(data, at, at_end),
            };
            if let Some(scan) = scan {
                return scan;
            }
        }
    }

    fn start_cell(&mut self, data: &[u8], at: usize, at_end: bool) -> Option<Scan> {
        match data.get(at) {
            None => return Some(self.exhausted(data, at_end)),
            Some(&QUOTE) if self.dialect.quotes => {
                self.opened = self.position;
                self.second_line = None;
                self.quoted = true;
                self.position += 1;
                self.state = State::Quoted;
            }
            Some(_) => self.state = State::Unquoted,
        }
        None
    }

    fn unquoted(&mut self, data: &[u8], at: usize, at_end: bool) -> Option<Scan> {
        let delimiter = self.dialect.delimiter;
        let found = if self.dialect.lone_cr {
            memchr3(delimiter, b'\n', b'\r', &data[at..])
        } else {
            memchr2(delimiter, b'\n', &data[at..])
        };
        let Some(found) = found.map(|found| at + found) else {
            self.position = self.dropped + data.len();
            return Some(self.exhausted(data, at_end));
        };
        self.position = self.dropped + found;
        if data[found] != delimiter {
            return Some(self.line_end(data, found, at_end));
        }
        self.position += 1;
        self.state = State::CellStart;
        None
    }

    fn in_quotes(&mut self, data: &[u8], at: usize, at_end: bool) -> Option<Scan> {
        let closing = memchr(QUOTE, &data[at..]).map(|found| at + found);
        let until = closing.unwrap_or(data.len());
        self.position = self.dropped + until;
        if self.second_line.is_none()
            && let Some(line_break) = self.find_line_break(&data[at..until])
        {
            let line_break = at + line_break;
            let Some(next) = after_line_break(data, line_break, at_end) else {
                self.position = self.dropped + line_break;
                return Some(Scan::More);
            };
            self.second_line = Some(self.dropped + next);
        }
        if let Some(second_line) = self.second_line
            && self.position - self.opened > self.max_cell_bytes
        {
            let next = second_line - self.dropped;
            let overlong_at_once = second_line - self.opened > self.max_cell_bytes;
            return Some(if overlong_at_once {
                Scan::Overlong { next }
            } else {
                Scan::Unclosed { next }
            });
        }
        if closing.is_none() {
            return Some(self.exhausted(data, at_end));
        }
        self.position += 1;
        self.state = State::QuoteInQuoted;
        None
    }

    fn after_quote(&mut self, data: &[u8], at: usize, at_end: bool) -> Option<Scan> {
        let Some(&byte) = data.get(at) else {
            return Some(self.exhausted(data, at_end));
        };
        if byte == QUOTE {
            self.position += 1;
            self.state = State::Quoted;
            return None;
        }
        if byte == self.dialect.delimiter {
            self.position += 1;
            self.state = State::CellStart;
            return None;
        }
        if byte == b'\n' || (byte == b'\r' && self.dialect.lone_cr) {
            return Some(self.line_end(data, at, at_end));
        }
        if byte == b'\r' {
            match data.get(at + 1) {
                Some(b'\n') => return Some(self.line_end(data, at + 1, at_end)),
                None => return Some(self.exhausted(data, at_end)),
                Some(_) => {}
            }
        }
        // The cell does not end after this quote, so on another line than the first the quote is the start of a later cell.
        if let Some(second_line) = self.second_line {
            let next = second_line - self.dropped;
            return Some(Scan::Unclosed { next });
        }
        self.state = State::Unquoted;
        None
    }

    fn line_end(&self, data: &[u8], line_break: usize, at_end: bool) -> Scan {
        let Some(next) = after_line_break(data, line_break, at_end) else {
            return Scan::More;
        };
        let length = without_cr(&data[..line_break]);
        Scan::Record {
            length,
            next,
            quoted: self.quoted,
        }
    }

    fn exhausted(&self, data: &[u8], at_end: bool) -> Scan {
        if !at_end {
            return Scan::More;
        }
        if self.position == 0 {
            return Scan::End;
        }
        let next = data.len();
        if self.state == State::Quoted {
            let next = self
                .second_line
                .map_or(next, |second_line| second_line - self.dropped);
            return Scan::Unclosed { next };
        }
        Scan::Record {
            length: without_cr(data),
            next,
            quoted: self.quoted,
        }
    }

    fn find_line_break(&self, data: &[u8]) -> Option<usize> {
        if self.dialect.lone_cr {
            memchr2(b'\n', b'\r', data)
        } else {
            memchr(b'\n', data)
        }
    }
}

/// Length of a record without the carriage return of its line end.
pub(crate) fn without_cr(record: &[u8]) -> usize {
    record.strip_suffix(b"\r").unwrap_or(record).len()
}

/// Where the next line begins; unknown while a carriage return is the last byte there is.
fn after_line_break(data: &[u8], line_break: usize, at_end: bool) -> Option<usize> {
    if data[line_break] == b'\n' {
        return Some(line_break + 1);
    }
    match data.get(line_break + 1) {
        Some(b'\n') => Some(line_break + 2),
        Some(_) => Some(line_break + 1),
        None => at_end.then_some(line_break + 1),
    }
}
