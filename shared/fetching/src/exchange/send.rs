//! Gets a request answered: on a connection that is open, or on a new one.

use std::io;

use bytes::Bytes;
use h2::Reason;
use http::header::{HOST, IF_MODIFIED_SINCE, IF_NONE_MATCH, RANGE};
use http::uri::{PathAndQuery, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;

use super::{Asked, Exchange, FIRST_PART, Progress};
use crate::body::source_of;
use crate::connect::{Connection, Sender};
use crate::hosts::Host;
use crate::{FetchError, FetchErrorKind, TargetUrl, Validators};

const NO_ANSWER: &str = "the host closed the connection without an answer";

/// Bytes that may come before the head of an answer is there, beside as long a head as is allowed: interim answers, and what is read ahead of the
/// body meanwhile.
const BESIDE_HEAD_BYTES: u64 = 512 * 1024;

/// Connections tried for one request: those that others use may go down with the requests of others, one after the other.
const MOST_CONNECTIONS: u32 = 3;

/// Why there is no answer.
enum Unanswered {
    /// The connection had been closed while it was idle: the request was not seen, and another connection may do.
    Stale,
    Failed(FetchError),
}

/// Whether the host let no connection come about, as a host does that is down.
const fn is_of_no_connection(kind: FetchErrorKind) -> bool {
    matches!(kind, FetchErrorKind::Connect | FetchErrorKind::TlsStalled)
}

/// Sets a header field, unless there is no text or it cannot be sent: the answer is then a whole one.
fn insert_text(headers: &mut HeaderMap, name: HeaderName, text: Option<&str>) {
    if let Some(value) = text.and_then(|text| HeaderValue::from_str(text).ok()) {
        headers.insert(name, value);
    }
}

impl Exchange {
    /// Sends the request on a connection that is open, or on a new one.
    pub(super) async fn send(
        &self,
        host: &Host,
        url: &TargetUrl,
        asked: Asked,
        known: Option<&Validators>,
        progress: &mut Progress,
    ) -> Result<(Response<Incoming>, Connection), FetchError> {
        let mut parked = self.pool.take(host.id);
        for _ in 0..MOST_CONNECTIONS {
            let (connection, is_reused) = match parked.take() {
                Some(connection) => (connection, true),
                None => self.open(host, url, progress).await?,
            };
            let request = self.request(url, asked, known, connection.is_shared())?;
            match self.send_on(connection, request, is_reused).await {
                Ok(answered) => return Ok(answered),
                Err(Unanswered::Failed(error)) => return Err(error),
                Err(Unanswered::Stale) if is_reused => {}
                Err(Unanswered::Stale) => break,
            }
        }
        Err(FetchError::new(FetchErrorKind::Connect, NO_ANSWER))
    }

    /// A connection to the host, and whether others use it already: it may be one that was opened meanwhile.
    async fn open(
        &self,
        host: &Host,
        url: &TargetUrl,
        progress: &mut Progress,
    ) -> Result<(Connection, bool), FetchError> {
        let opening = host.opening().await;
        if opening.is_some()
            && let Some(shared) = self.pool.take_shared(host.id)
        {
            return Ok((shared, true));
        }
        progress.is_connecting = true;
        let connected = self
            .connector
            .connect(url, &host.answer, &progress.own)
            .await;
        progress.is_connecting = false;
        match &connected {
            Ok(connection) => {
                host.breaker.note_connected();
                match connection.share() {
                    Some(shared) => self.pool.park(host.id, shared),
                    None => host.speaks_http1(),
                }
            }
            Err(error) if is_of_no_connection(error.kind()) => host.breaker.note_failure(),
            Err(_) => {}
        }
        connected.map(|connection| (connection, false))
    }

    async fn send_on(
        &self,
        mut connection: Connection,
        request: Request<Empty<Bytes>>,
        is_reused: bool,
    ) -> Result<(Response<Incoming>, Connection), Unanswered> {
        let received_before = connection.received.get();
        let long_blocks_before = connection.received.long_header_blocks();
        let answered = match &mut connection.sender {
            Sender::Http1(sender) => {
                sender.ready().await.map_err(|_| Unanswered::Stale)?;
                let head_bytes = self.limits.max_header_bytes as u64;
                connection.received.allow(head_bytes + BESIDE_HEAD_BYTES);
                sender.send_request(request).await
            }
            Sender::Http2(sender) => sender.send_request(request).await,
        };
        let error = match answered {
            Ok(response) => {
                connection.received.allow_all();
                return Ok((response, connection));
            }
            Err(error) => error,
        };
        if connection.received.are_too_many() {
            return Err(Unanswered::Failed(self.header_limit()));
        }
        if let Some(reset) = source_of::<h2::Error>(&error) {
            let is_stale = is_reused && (reset.is_go_away() || reset.is_io());
            return Err(if is_stale {
                Unanswered::Stale
            } else {
                Unanswered::Failed(self.describe_reset(
                    reset,
                    connection.received.long_header_blocks() > long_blocks_before,
                ))
            });
        }
        let was_heard = connection.received.get() > received_before;
        let is_stale = is_reused && (connection.is_shared() || !was_heard) && !error.is_parse();
        Err(if is_stale {
            Unanswered::Stale
        } else {
            Unanswered::Failed(self.describe(&error, was_heard))
        })
    }

    fn request(
        &self,
        url: &TargetUrl,
        asked: Asked,
        known: Option<&Validators>,
        is_http2: bool,
    ) -> Result<Request<Empty<Bytes>>, FetchError> {
        let unsendable = || {
            FetchError::new(
                FetchErrorKind::Unusable,
                "the URL cannot be written into a request",
            )
        };
        let mut request = Request::new(Empty::new());
        *request.headers_mut() = self.headers.clone();
        if asked == Asked::FirstPart {
            request
                .headers_mut()
                .insert(RANGE, HeaderValue::from_static(FIRST_PART));
        }
        if let Some(known) = known {
            insert_text(request.headers_mut(), IF_NONE_MATCH, known.etag.as_deref());
            let date = known.last_modified.as_deref();
            insert_text(request.headers_mut(), IF_MODIFIED_SINCE, date);
        }
        let target = if is_http2 {
            Uri::try_from(url.canonical()).map_err(|_| unsendable())?
        } else {
            let authority = HeaderValue::from_str(url.authority()).map_err(|_| unsendable())?;
            request.headers_mut().insert(HOST, authority);
            let path = PathAndQuery::try_from(url.path_and_query()).map_err(|_| unsendable())?;
            Uri::from(path)
        };
        *request.uri_mut() = target;
        Ok(request)
    }

    /// Why no answer came over HTTP/1, or no connection was left to carry one.
    fn describe(&self, error: &hyper::Error, was_heard: bool) -> FetchError {
        if error.is_parse_too_large() {
            return self.header_limit();
        }
        if error.is_parse() {
            return FetchError::new(
                FetchErrorKind::Garbled,
                format!("the answer is not valid HTTP: {error}"),
            );
        }
        if was_heard {
            return FetchError::new(
                FetchErrorKind::Garbled,
                "the connection ended within the head of the answer",
            );
        }
        let is_reset = source_of::<io::Error>(error)
            .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionReset);
        let detail = if is_reset {
            "the host reset the connection before it answered"
        } else {
            NO_ANSWER
        };
        FetchError::new(FetchErrorKind::Connect, detail)
    }

    /// Why no answer came over HTTP/2 (error codes: RFC 9113, section 7).
    fn describe_reset(&self, reset: &h2::Error, came_long_block: bool) -> FetchError {
        let Some(reason) = reset.reason() else {
            return FetchError::new(FetchErrorKind::Connect, NO_ANSWER);
        };
        if reset.is_library() {
            // What our side ends a connection for with the first code is a flood of header fields; the others may be about anything.
            let is_flood = match reason {
                Reason::ENHANCE_YOUR_CALM => true,
                Reason::PROTOCOL_ERROR | Reason::COMPRESSION_ERROR => came_long_block,
                _ => false,
            };
            if is_flood {
                return self.header_limit();
            }
            let detail = format!("the answer is not valid HTTP/2: {}", reason.description());
            return FetchError::new(FetchErrorKind::Garbled, detail);
        }
        let kind = match reason {
            Reason::ENHANCE_YOUR_CALM => FetchErrorKind::RateLimited,
            Reason::HTTP_1_1_REQUIRED => FetchErrorKind::Unusable,
            _ => FetchErrorKind::Connect,
        };
        FetchError::new(
            kind,
            format!("the host reset the request: {}", reason.description()),
        )
    }
}
