//! The untrusted source: counted, its failures marked, its beginning looked at without being lost.

use std::io::{self, Read};

/// Marks an error as the source's own, so that it is not taken for a damaged stream further up.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SourceFailure(#[source] io::Error);

impl SourceFailure {
    /// The error as the source gave it.
    pub(crate) fn into_inner(self) -> io::Error {
        self.0
    }
}

/// Counts what is read and marks what fails.
#[derive(Debug)]
pub(crate) struct Source<R> {
    inner: R,
    bytes: u64,
}

impl<R> Source<R> {
    pub(crate) const fn new(inner: R) -> Self {
        Self { inner, bytes: 0 }
    }

    /// Bytes read so far.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.inner.read(buffer) {
                Ok(read) => {
                    self.bytes += read as u64;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(io::Error::new(error.kind(), SourceFailure(error))),
            }
        }
    }
}

/// A reader whose first bytes were looked at and are read again. A failure met while looking comes after those bytes, where it
/// belongs: the rows before it are good.
#[derive(Debug)]
pub(crate) struct Peeked<R> {
    head: Vec<u8>,
    position: usize,
    failure: Option<io::Error>,
    inner: R,
}

impl<R: Read> Peeked<R> {
    /// Reads up to `limit` bytes of `inner`.
    pub(crate) fn new(mut inner: R, limit: u64) -> Self {
        let mut head = Vec::new();
        let failure = inner.by_ref().take(limit).read_to_end(&mut head).err();
        Self {
            head,
            position: 0,
            failure,
            inner,
        }
    }

    /// The first bytes.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// What went wrong, where not a single byte could be read.
    pub(crate) fn immediate_failure(&mut self) -> Option<io::Error> {
        if self.head.is_empty() {
            self.failure.take()
        } else {
            None
        }
    }

    /// The reader behind.
    pub(crate) const fn get_ref(&self) -> &R {
        &self.inner
    }
}

impl<R: Read> Read for Peeked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = &self.head[self.position..];
        if !left.is_empty() {
            let length = left.len().min(buffer.len());
            buffer[..length].copy_from_slice(&left[..length]);
            self.position += length;
            return Ok(length);
        }
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => self.inner.read(buffer),
        }
    }
}
