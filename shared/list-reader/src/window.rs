//! A bounded window that slides over the text.

use std::io::{self, Read};
use std::ops::Range;

use memchr::{memchr_iter, memchr2_iter};

/// Text read at once, at most.
const READ_BYTES: usize = 64 * 1024;

/// What comes after the bytes in the window.
#[derive(Debug)]
enum Rest {
    Unknown,
    Nothing,
    Failure(io::Error),
}

/// The part of the text that is held in memory. Never longer than the limit it was made with.
#[derive(Debug)]
pub(crate) struct Window<R> {
    source: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    rest: Rest,
    line: u64,
    lone_cr: bool,
    max_bytes: usize,
}

impl<R: Read> Window<R> {
    /// A window that can hold `max_bytes` and still read on.
    pub(crate) fn new(source: R, max_bytes: usize) -> Self {
        let max_bytes = max_bytes.saturating_add(READ_BYTES);
        Self {
            source,
            buffer: vec![0; max_bytes.min(2 * READ_BYTES)],
            start: 0,
            end: 0,
            rest: Rest::Unknown,
            line: 1,
            lone_cr: false,
            max_bytes,
        }
    }

    /// Makes a carriage return without a line feed end a line.
    pub(crate) const fn set_lone_cr(&mut self, lone_cr: bool) {
        self.lone_cr = lone_cr;
    }

    /// Whether a carriage return without a line feed ends a line.
    pub(crate) const fn lone_cr(&self) -> bool {
        self.lone_cr
    }

    /// The bytes not consumed yet.
    pub(crate) fn data(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Where the next `length` bytes are; stays valid until [`Self::fill`].
    pub(crate) const fn range(&self, length: usize) -> Range<usize> {
        self.start..self.start + length
    }

    /// The bytes of a range, even if consumed since.
    pub(crate) fn slice(&self, range: Range<usize>) -> &[u8] {
        &self.buffer[range]
    }

    /// Line of the first byte not consumed, from 1.
    pub(crate) const fn line(&self) -> u64 {
        self.line
    }

    /// Whether nothing comes after [`Self::data`].
    pub(crate) const fn at_end(&self) -> bool {
        matches!(self.rest, Rest::Nothing)
    }

    /// Bytes allocated.
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Lets go of the first `length` bytes.
    pub(crate) fn consume(&mut self, length: usize) {
        self.line += count_lines(&self.data()[..length], self.lone_cr);
        self.start += length;
    }

    /// Lets go of the first `length` bytes, known to be exactly one line.
    pub(crate) const fn consume_line(&mut self, length: usize) {
        self.line += 1;
        self.start += length;
    }

    /// Reads some more. An error comes back once; the text ends there.
    pub(crate) fn fill(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.rest, Rest::Nothing) {
            Rest::Nothing => return Ok(()),
            Rest::Failure(error) => return Err(error),
            Rest::Unknown => {}
        }
        self.make_room();
        let until = self.buffer.len().min(self.end + READ_BYTES);
        let space = &mut self.buffer[self.end..until];
        if space.is_empty() {
            return Err(io::Error::other("a row does not fit into the window"));
        }
        let read = loop {
            match self.source.read(space) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        self.end += read;
        if read > 0 {
            self.rest = Rest::Unknown;
        }
        Ok(())
    }

    /// Reads on until `length` bytes are there or the text ends. A failure is kept for the rows that run into it.
    pub(crate) fn look_ahead(&mut self, length: usize) {
        while self.data().len() < length && matches!(self.rest, Rest::Unknown) {
            if let Err(error) = self.fill() {
                self.rest = Rest::Failure(error);
            }
        }
    }

    /// Takes the failure that [`Self::look_ahead`] met.
    pub(crate) fn take_failure(&mut self) -> Option<io::Error> {
        match std::mem::replace(&mut self.rest, Rest::Nothing) {
            Rest::Failure(error) => Some(error),
            rest => {
                self.rest = rest;
                None
            }
        }
    }

    fn make_room(&mut self) {
        if self.buffer.len() - self.end >= READ_BYTES {
            return;
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() - self.end < READ_BYTES {
            let length = self.buffer.len().saturating_mul(2).min(self.max_bytes);
            self.buffer.reserve_exact(length - self.buffer.len());
            self.buffer.resize(length, 0);
        }
    }
}

/// Line ends in `bytes`, which do not begin between a carriage return and its line feed.
fn count_lines(bytes: &[u8], lone_cr: bool) -> u64 {
    if !lone_cr {
        return memchr_iter(b'\n', bytes).count() as u64;
    }
    let mut lines = 0;
    for at in memchr2_iter(b'\r', b'\n', bytes) {
        let ends_a_pair = bytes[at] == b'\n' && at > 0 && bytes[at - 1] == b'\r';
        lines += u64::from(!ends_a_pair);
    }
    lines
}
