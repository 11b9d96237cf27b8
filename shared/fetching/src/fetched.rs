//! What came of a fetch.

use std::time::Duration;

use bytes::Bytes;

use crate::{FetchError, Later};

/// How much of a body is wanted.
#[derive(Clone, Copy)]
pub enum FetchMode<'a> {
    /// All of it.
    Whole,
    /// As much as the function, called on ever longer prefixes, says is enough. It is not called for every byte: a body may
    /// come longer than needed.
    Prefix(&'a (dyn Fn(&[u8]) -> Enough + Sync)),
}

/// Whether a prefix of a body suffices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enough {
    /// No further byte is needed.
    Yes,
    /// Go on.
    No,
}

/// What a host gave out with an image, for it to say later whether the image has changed (RFC 9110, section 8.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validators {
    /// The URL that answered, in its canonical form: after redirects, where they led.
    pub url: String,
    /// Its `ETag`.
    pub etag: Option<String>,
    /// Its Last-Modified.
    pub last_modified: Option<String>,
}

/// What came of a fetch, whether or not there is a body.
#[derive(Debug)]
pub struct Fetched {
    /// Requests made, redirects not counted; 0 if the URL was refused before anything was sent or looked up.
    pub attempts: u32,
    /// From the first attempt to the last byte, pauses between attempts included, waiting for a turn not.
    pub elapsed: Duration,
    /// Status of the last answer.
    pub http_status: Option<u16>,
    /// Where redirects led, if there were any.
    pub final_url: Option<String>,
    /// The Content-Type of the last answer.
    pub declared_type: Option<String>,
    /// The `ETag` of the last answer.
    pub etag: Option<String>,
    /// The Last-Modified of the last answer.
    pub last_modified: Option<String>,
    /// Length of the whole body in bytes, where it was read to its end or declared.
    pub total_bytes: Option<u64>,
    /// Whether the host said that the image is what it was before, in answer to the caller's [`Validators`]; the body is then empty.
    pub is_not_modified: bool,
    /// The body, or its beginning in [`FetchMode::Prefix`]. It counts against `max_body_bytes_in_flight` until it is dropped.
    pub result: Result<Bytes, FetchError>,
}

impl Fetched {
    /// Set if the row had better be left over to a later delivery than be settled now.
    pub fn later(&self) -> Option<Later> {
        self.result.as_ref().err().and_then(FetchError::retry_later)
    }
}
