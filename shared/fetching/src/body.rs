//! Reads a body within its limits: length, pace, silence, memory.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use domain::Limits;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until, timeout};

use crate::budget::{Budget, Reservation};
use crate::error::seconds;
use crate::own_time::OwnTime;
use crate::{Enough, FetchError, FetchErrorKind, FetchMode};

/// Longest stretch of memory allocated because a host declared a length.
const TRUSTED_LENGTH: u64 = 256 * 1024;
/// What is left of a body is read to keep the connection if it is no longer than this and comes at once.
const MAX_DRAIN: u64 = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_millis(500);

/// A body, or its beginning.
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    /// The memory they were granted.
    pub(crate) reservation: Reservation,
    /// Whether nothing follows.
    pub(crate) is_complete: bool,
}

/// What bodies are read with.
pub(crate) struct BodyReader<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) max_bytes: u64,
    pub(crate) budget: &'a Budget,
    /// Where time spent waiting for the budget is added up.
    pub(crate) own: &'a OwnTime,
}

impl BodyReader<'_> {
    /// Reads `body`, which was declared to be `declared` bytes long, or of unknown length.
    pub(crate) async fn read(
        &self,
        body: &mut Incoming,
        declared: Option<u64>,
        mode: FetchMode<'_>,
    ) -> Result<Body, FetchError> {
        if declared.is_some_and(|length| length > self.max_bytes) {
            return Err(self.too_large());
        }
        let mut buffer = Buffer::default();
        let mut pace = Pace::new(self.limits);
        let mut next_question = 0;
        let mut timer = std::pin::pin!(sleep_until(pace.deadline()));
        loop {
            let frame = tokio::select! {
                // Data that is there counts, even if this task got round to it late.
                biased;
                frame = body.frame() => frame,
                () = &mut timer => {
                    let deadline = pace.deadline();
                    if deadline <= Instant::now() {
                        return Err(pace.verdict());
                    }
                    timer.as_mut().reset(deadline);
                    continue;
                }
            };
            let Some(frame) = frame else {
                break;
            };
            let frame = frame.map_err(|error| broken_off(&error))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let length = buffer.len() + data.len() as u64;
            if length > self.max_bytes {
                return Err(self.too_large());
            }
            pace.note(data.len() as u64);
            let waited = buffer.push(data, declared, self).await;
            pace.forgive(waited);
            if let FetchMode::Prefix(is_enough) = mode
                && length >= next_question
            {
                if is_enough(buffer.as_slice()) == Enough::Yes {
                    return Ok(buffer.into_body(declared == Some(length)));
                }
                // Asked at lengths that grow by a quarter, so that the answers cost no more than a few passes over the body.
                next_question = length + length / 4;
            }
        }
        Ok(buffer.into_body(true))
    }

    fn too_large(&self) -> FetchError {
        FetchError::new(
            FetchErrorKind::TooLarge,
            format!("the body is longer than {} bytes", self.max_bytes),
        )
    }
}

/// Reads and drops the rest of a body whose content is not wanted, if that is cheaper than a new connection. `false` if some is left.
pub(crate) async fn drain(body: &mut Incoming, left: Option<u64>) -> bool {
    if left.is_some_and(|left| left > MAX_DRAIN) {
        return false;
    }
    let mut drained = 0;
    let all = async {
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                return false;
            };
            drained += frame.data_ref().map_or(0, |data| data.len() as u64);
            if drained > MAX_DRAIN {
                return false;
            }
        }
        true
    };
    timeout(DRAIN_TIME, all).await.unwrap_or(false)
}

/// The first bytes of a body, for a look at what kind of page it is: up to `max`, and only those that come soon.
pub(crate) async fn beginning(body: &mut Incoming, max: usize) -> Vec<u8> {
    let mut start = Vec::new();
    let some = async {
        while start.len() < max {
            let Some(Ok(frame)) = body.frame().await else {
                return;
            };
            if let Some(data) = frame.data_ref() {
                let wanted = data.len().min(max - start.len());
                start.extend_from_slice(&data[..wanted]);
            }
        }
    };
    // What came in time is looked at.
    let _ = timeout(DRAIN_TIME, some).await;
    start
}

/// Bytes with the memory they were granted.
struct Held<T> {
    bytes: T,
    _reservation: Reservation,
}

/// Bytes that give `reservation` back when the last of them is dropped.
pub(crate) fn held<T: AsRef<[u8]> + Send + 'static>(bytes: T, reservation: Reservation) -> Bytes {
    Bytes::from_owner(Held {
        bytes,
        _reservation: reservation,
    })
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Held<T> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

/// Collects a body. Most come in one piece, which is then handed on as it is.
#[derive(Default)]
struct Buffer {
    content: Content,
    reservation: Reservation,
}

#[derive(Default)]
enum Content {
    #[default]
    Empty,
    One(Bytes),
    Many(Vec<u8>),
}

impl Buffer {
    fn as_slice(&self) -> &[u8] {
        match &self.content {
            Content::Empty => &[],
            Content::One(bytes) => bytes,
            Content::Many(bytes) => bytes,
        }
    }

    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }

    /// Appends `data`; returns the time that was spent waiting for memory.
    async fn push(
        &mut self,
        data: Bytes,
        declared: Option<u64>,
        reader: &BodyReader<'_>,
    ) -> Duration {
        if data.is_empty() {
            return Duration::ZERO;
        }
        let length = self.len() + data.len() as u64;
        let capacity = match &self.content {
            Content::Empty => length,
            Content::One(_) => grown(0, length, declared),
            Content::Many(bytes) if bytes.capacity() as u64 >= length => bytes.capacity() as u64,
            Content::Many(bytes) => grown(bytes.capacity() as u64, length, declared),
        };
        let started = Instant::now();
        let granted = reader.budget.grow(&mut self.reservation, capacity);
        reader.own.wait(granted).await;
        let waited = started.elapsed();
        self.content = match std::mem::take(&mut self.content) {
            Content::Empty => Content::One(data),
            Content::One(first) => {
                let mut bytes = Vec::with_capacity(capacity as usize);
                bytes.extend_from_slice(&first);
                bytes.extend_from_slice(&data);
                Content::Many(bytes)
            }
            Content::Many(mut bytes) => {
                bytes.reserve_exact(capacity as usize - bytes.len());
                bytes.extend_from_slice(&data);
                Content::Many(bytes)
            }
        };
        waited
    }

    fn into_body(self, is_complete: bool) -> Body {
        let bytes = match self.content {
            Content::Empty => Bytes::new(),
            Content::One(bytes) => bytes,
            Content::Many(bytes) => bytes.into(),
        };
        Body {
            bytes,
            reservation: self.reservation,
            is_complete,
        }
    }
}

/// The next capacity for a body of at least `length` bytes: twice the last one, or the declared length as far as that is trusted.
fn grown(capacity: u64, length: u64, declared: Option<u64>) -> u64 {
    let doubled = length.max(capacity * 2);
    match declared {
        Some(declared) => doubled
            .max(declared.min(TRUSTED_LENGTH))
            .min(declared.max(length)),
        None => doubled,
    }
}

/// How fast a body comes.
struct Pace {
    started: Instant,
    last_byte: Instant,
    received: u64,
    read_timeout: Duration,
    grace: Duration,
    min_bytes_per_second: u64,
}

impl Pace {
    fn new(limits: &Limits) -> Self {
        let now = Instant::now();
        Self {
            started: now,
            last_byte: now,
            received: 0,
            read_timeout: limits.read_timeout,
            grace: limits.throughput_grace,
            min_bytes_per_second: limits.min_bytes_per_second,
        }
    }

    fn note(&mut self, bytes: u64) {
        self.received += bytes;
        self.last_byte = Instant::now();
    }

    /// Time that was ours, not the host's.
    fn forgive(&mut self, waited: Duration) {
        self.started += waited;
        self.last_byte += waited;
    }

    /// When the body has lost if not a byte more has come by then.
    fn deadline(&self) -> Instant {
        self.silent_at().min(self.too_slow_at())
    }

    fn silent_at(&self) -> Instant {
        self.last_byte + self.read_timeout
    }

    fn too_slow_at(&self) -> Instant {
        let millis = (self.received * 1000).checked_div(self.min_bytes_per_second);
        let Some(millis) = millis else {
            return self.silent_at();
        };
        self.started + self.grace.max(Duration::from_millis(millis))
    }

    fn verdict(&self) -> FetchError {
        if self.silent_at() <= self.too_slow_at() {
            let silence = seconds(self.read_timeout);
            return FetchError::new(
                FetchErrorKind::Timeout,
                format!("no byte of the body came for {silence}"),
            );
        }
        let detail = format!(
            "the body came slower than {} bytes a second",
            self.min_bytes_per_second
        );
        FetchError::new(FetchErrorKind::TooSlow, detail)
    }
}

/// The error of a body that did not come to its end.
fn broken_off(error: &hyper::Error) -> FetchError {
    if let Some(reset) = source_of::<h2::Error>(error) {
        let reason = reset.reason().unwrap_or(h2::Reason::NO_ERROR);
        let detail = format!("the host broke the body off: {}", reason.description());
        return FetchError::new(FetchErrorKind::Truncated, detail);
    }
    let is_malformed = source_of::<io::Error>(error).is_some_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
        )
    });
    if is_malformed || error.is_parse() {
        return FetchError::new(FetchErrorKind::Garbled, "the body's chunks are malformed");
    }
    FetchError::new(
        FetchErrorKind::Truncated,
        "the body ended before its declared length",
    )
}

/// The first error of type `E` behind `error`.
pub(crate) fn source_of<E: Error + 'static>(error: &hyper::Error) -> Option<&E> {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(found) = inner.downcast_ref::<E>() {
            return Some(found);
        }
        source = inner.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader<'a>(limits: &'a Limits, budget: &'a Budget, own: &'a OwnTime) -> BodyReader<'a> {
        BodyReader {
            limits,
            max_bytes: limits.max_body_bytes,
            budget,
            own,
        }
    }

    #[test]
    fn memory_follows_what_arrived_and_not_what_was_declared() {
        let mib = 1024 * 1024;
        assert_eq!(grown(0, 9_000, None), 9_000);
        assert_eq!(grown(9_000, 17_000, None), 18_000);
        assert_eq!(grown(0, 9_000, Some(100_000)), 100_000);
        assert_eq!(grown(0, 9_000, Some(20 * mib)), TRUSTED_LENGTH);
        assert_eq!(
            grown(TRUSTED_LENGTH, TRUSTED_LENGTH + 1, Some(20 * mib)),
            2 * TRUSTED_LENGTH
        );
        assert_eq!(grown(16 * mib, 16 * mib + 1, Some(20 * mib)), 20 * mib);
        assert_eq!(grown(0, 500, Some(10)), 500);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_too_slow_at_the_moment_its_average_falls_below_the_minimum() {
        let limits = Limits {
            min_bytes_per_second: 1000,
            throughput_grace: Duration::from_secs(2),
            read_timeout: Duration::from_secs(30),
            ..Limits::default()
        };
        let mut pace = Pace::new(&limits);
        let left = |pace: &Pace| pace.deadline() - pace.started;
        assert_eq!(left(&pace), Duration::from_secs(2));
        pace.note(1_500);
        assert_eq!(left(&pace), Duration::from_secs(2));
        pace.note(8_500);
        assert_eq!(left(&pace), Duration::from_secs(10));
        assert_eq!(pace.verdict().kind(), FetchErrorKind::TooSlow);
        pace.note(990_000);
        assert_eq!(left(&pace), Duration::from_secs(30));
        assert_eq!(pace.verdict().kind(), FetchErrorKind::Timeout);
        pace.forgive(Duration::from_secs(5));
        assert_eq!(left(&pace), Duration::from_secs(30));
    }

    #[tokio::test]
    async fn a_body_in_one_piece_is_not_copied() {
        let budget = Budget::new(1024 * 1024);
        let piece = Bytes::from(vec![7; 5000]);
        let mut buffer = Buffer::default();
        let (limits, own) = (Limits::default(), OwnTime::default());
        let reader = reader(&limits, &budget, &own);
        buffer.push(piece.clone(), Some(5000), &reader).await;
        let body = buffer.into_body(true);
        assert_eq!(body.bytes.as_ptr(), piece.as_ptr());
        assert!(budget.free_bytes() < 1024 * 1024);
        drop(body);
        assert_eq!(budget.free_bytes(), 1024 * 1024);
    }

    #[tokio::test]
    async fn pieces_are_joined_in_order() {
        let budget = Budget::new(1024 * 1024);
        let (limits, own) = (Limits::default(), OwnTime::default());
        let reader = reader(&limits, &budget, &own);
        let mut buffer = Buffer::default();
        for piece in [&b"ab"[..], b"", b"cde", b"f"] {
            buffer.push(Bytes::from_static(piece), None, &reader).await;
        }
        assert_eq!(&buffer.into_body(true).bytes[..], b"abcdef");
    }
}
