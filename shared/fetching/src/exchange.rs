//! One request and its answer: no redirects, no retries.

use std::io;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use domain::Limits;
use h2::Reason;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, ETAG, HOST, LAST_MODIFIED, LOCATION, USER_AGENT,
};
use http::response::Parts;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::{Body as _, Incoming};

use crate::body::{Body, BodyReader, beginning, drain, source_of};
use crate::budget::{Budget, Reservation};
use crate::challenge;
use crate::connect::{Connection, Connector, Sender};
use crate::encoding::{self, Encoding};
use crate::hosts::Host;
use crate::pool::Pool;
use crate::retry::retry_after;
use crate::robots;
use crate::tags::declining_directive;
use crate::{FetchError, FetchErrorKind, FetchMode, FetchSetupError, TargetUrl};

/// Longest header field value that is handed on.
const MAX_VALUE_BYTES: usize = 256;
const NO_ANSWER: &str = "the host closed the connection without an answer";

/// How an exchange ended well.
pub(crate) enum End {
    /// The Location that the answer points to.
    Redirect(String),
    /// What was asked for.
    Body(Bytes),
}

/// What is asked for.
#[derive(Clone, Copy)]
pub(crate) enum Wanted<'a> {
    Image(FetchMode<'a>),
    /// robots.txt: no wish about the use of images concerns it, and only its beginning counts, however long it is.
    Rules,
}

/// What is known of an exchange so far, also when the rest of it never comes.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) is_connecting: bool,
    pub(crate) status: Option<StatusCode>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) declared_type: Option<String>,
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
    pub(crate) total_bytes: Option<u64>,
}

/// Sends requests and judges their answers.
pub(crate) struct Exchange {
    limits: Limits,
    connector: Connector,
    pool: Pool,
    budget: Budget,
    headers: HeaderMap,
    robot: String,
    respect_noai: bool,
}

/// Why there is no answer.
enum Unanswered {
    /// The connection had been closed while it was idle: the request was not seen, and another connection may do.
    Stale,
    Failed(FetchError),
}

impl Exchange {
    pub(crate) fn new(
        limits: &Limits,
        connector: Connector,
        max_connections: usize,
        max_body_bytes_in_flight: u64,
        user_agent: &str,
        respect_noai: bool,
    ) -> Result<Self, FetchSetupError> {
        let agent = HeaderValue::from_str(user_agent)
            .map_err(|_| FetchSetupError::UserAgent(user_agent.to_owned()))?;
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(USER_AGENT, agent);
        // No format is preferred: hosts that convert on demand then send the original.
        headers.insert(ACCEPT, HeaderValue::from_static("image/*,*/*;q=0.8"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        Ok(Self {
            limits: limits.clone(),
            connector,
            pool: Pool::new(max_connections),
            budget: Budget::new(max_body_bytes_in_flight),
            headers,
            robot: robot_name(user_agent).to_owned(),
            respect_noai,
        })
    }

    /// The name that hosts know us by in their wishes to robots.
    pub(crate) fn robot(&self) -> &str {
        &self.robot
    }

    pub(crate) fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Asks `host` for `url`.
    pub(crate) async fn run(
        &self,
        host: &Host,
        url: &TargetUrl,
        wanted: Wanted<'_>,
        progress: &mut Progress,
    ) -> Result<End, FetchError> {
        let (response, connection) = self.send(host, url, progress).await?;
        let (head, mut body) = response.into_parts();
        progress.note_head(&head);
        let declared = body.size_hint().exact();
        let (end, left) = match self.judge(&head, wanted) {
            Ok(Answer::Image(encoding)) => {
                let read = self
                    .read(&mut body, declared, encoding, wanted, progress)
                    .await?;
                (Ok(End::Body(read.bytes)), read.left)
            }
            Ok(Answer::Redirect(location)) => (Ok(End::Redirect(location)), declared),
            Err(error) => (Err(look_behind(error, &head, &mut body).await), declared),
        };
        if drain(&mut body, left).await {
            self.pool.park(host.id, connection);
        }
        end
    }

    /// Decides what an answer is from its head alone.
    fn judge(&self, head: &Parts, wanted: Wanted<'_>) -> Result<Answer, FetchError> {
        self.check_size(&head.headers)?;
        if let Some(filter) = challenge::by_header(&head.headers) {
            return Err(bot_wall(filter));
        }
        let status = head.status.as_u16();
        let refused = |kind| {
            Err(FetchError::new(
                kind,
                format!("the host answered with status {status}"),
            ))
        };
        match status {
            // 203: a proxy on the way changed the representation (RFC 9110, section 15.3.4).
            200 | 203 => {}
            301 | 302 | 303 | 307 | 308 => return redirect(&head.headers).map(Answer::Redirect),
            404 | 410 => return refused(FetchErrorKind::NotFound),
            401 | 403 | 451 => return refused(FetchErrorKind::Forbidden),
            429 => return refused(FetchErrorKind::RateLimited),
            400..=499 => return refused(FetchErrorKind::ClientError),
            500..=599 => return refused(FetchErrorKind::ServerError),
            _ => return refused(FetchErrorKind::Unusable),
        }
        if self.respect_noai
            && matches!(wanted, Wanted::Image(_))
            && let Some(directive) = declining_directive(&head.headers, &self.robot)
        {
            let detail = format!("the answer's X-Robots-Tag says {directive}");
            return Err(FetchError::new(FetchErrorKind::OptedOut, detail));
        }
        encoding::of(&head.headers).map(Answer::Image)
    }

    /// HTTP/1 heads are bounded while they are parsed; an HTTP/2 head is here, within twice the limit, before it can be measured.
    fn check_size(&self, headers: &HeaderMap) -> Result<(), FetchError> {
        let bytes: usize = headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
            .sum();
        if headers.len() > self.limits.max_header_fields || bytes > self.limits.max_header_bytes {
            return Err(self.header_limit());
        }
        Ok(())
    }

    fn header_limit(&self) -> FetchError {
        let Limits {
            max_header_fields,
            max_header_bytes,
            ..
        } = self.limits;
        FetchError::new(
            FetchErrorKind::HeaderLimit,
            format!(
                "the answer has more than {max_header_fields} header fields or {max_header_bytes} bytes of them"
            ),
        )
    }

    async fn read(
        &self,
        body: &mut Incoming,
        declared: Option<u64>,
        encoding: Encoding,
        wanted: Wanted<'_>,
        progress: &mut Progress,
    ) -> Result<Read, FetchError> {
        let max = self.limits.max_body_bytes;
        let (mode, max_bytes) = match wanted {
            // The beginning of a packed body says nothing about the beginning of what is packed.
            _ if encoding == Encoding::Gzip => (FetchMode::Whole, max),
            Wanted::Image(mode) => (mode, max),
            Wanted::Rules => (FetchMode::Prefix(&robots::is_enough), u64::MAX),
        };
        let reader = BodyReader {
            limits: &self.limits,
            max_bytes,
            budget: &self.budget,
        };
        let Body { bytes, is_complete } = reader.read(body, declared, mode).await?;
        let received = bytes.len() as u64;
        let left = if is_complete {
            Some(0)
        } else {
            declared.map(|length| length - received)
        };
        progress.total_bytes = if is_complete {
            Some(received)
        } else {
            declared
        };
        if bytes.is_empty() {
            return Err(FetchError::new(FetchErrorKind::Empty, "the body is empty"));
        }
        let bytes = match encoding {
            Encoding::Identity => bytes,
            Encoding::Gzip => {
                let unpacked = self.gunzip(bytes).await?;
                progress.total_bytes = Some(unpacked.len() as u64);
                unpacked
            }
        };
        let status = progress.status.unwrap_or_default();
        if let Some(filter) =
            challenge::by_content(status, progress.declared_type.as_deref(), &bytes)
        {
            return Err(bot_wall(filter));
        }
        Ok(Read { bytes, left })
    }

    async fn gunzip(&self, packed: Bytes) -> Result<Bytes, FetchError> {
        let max = self.limits.max_body_bytes;
        let mut reservation = Reservation::default();
        self.budget.grow(&mut reservation, max).await;
        let unpacked = tokio::task::spawn_blocking(move || encoding::gunzip(&packed, max)).await;
        // The task can only be gone because the run time is going down, and then nobody reads this.
        unpacked.unwrap_or_else(|_| {
            Err(FetchError::new(
                FetchErrorKind::Truncated,
                "unpacking was interrupted",
            ))
        })
    }

    /// Sends the request on a connection that is open, or on a new one.
    async fn send(
        &self,
        host: &Host,
        url: &TargetUrl,
        progress: &mut Progress,
    ) -> Result<(Response<Incoming>, Connection), FetchError> {
        if let Some(connection) = self.pool.take(host.id) {
            match self.send_on(connection, url, true).await {
                Ok(answered) => return Ok(answered),
                Err(Unanswered::Failed(error)) => return Err(error),
                Err(Unanswered::Stale) => {}
            }
        }
        let connection = self.open(host, url, progress).await?;
        match self.send_on(connection, url, false).await {
            Ok(answered) => Ok(answered),
            Err(Unanswered::Failed(error)) => Err(error),
            Err(Unanswered::Stale) => Err(FetchError::new(FetchErrorKind::Connect, NO_ANSWER)),
        }
    }

    async fn open(
        &self,
        host: &Host,
        url: &TargetUrl,
        progress: &mut Progress,
    ) -> Result<Connection, FetchError> {
        let opening = host.opening().await;
        if opening.is_some()
            && let Some(shared) = self.pool.take_shared(host.id)
        {
            return Ok(shared);
        }
        progress.is_connecting = true;
        let connected = self.connector.connect(url, &host.answer).await;
        progress.is_connecting = false;
        match &connected {
            Ok(connection) => {
                host.breaker.note_connected();
                match connection.share() {
                    Some(shared) => self.pool.park(host.id, shared),
                    None => host.speaks_http1(),
                }
            }
            Err(error) if error.kind() == FetchErrorKind::Connect => host.breaker.note_failure(),
            Err(_) => {}
        }
        connected
    }

    async fn send_on(
        &self,
        mut connection: Connection,
        url: &TargetUrl,
        is_reused: bool,
    ) -> Result<(Response<Incoming>, Connection), Unanswered> {
        let request = self
            .request(url, connection.is_shared())
            .map_err(Unanswered::Failed)?;
        let received_before = connection.received.get();
        let answered = match &mut connection.sender {
            Sender::Http1(sender) => {
                sender.ready().await.map_err(|_| Unanswered::Stale)?;
                sender.send_request(request).await
            }
            Sender::Http2(sender) => sender.send_request(request).await,
        };
        let error = match answered {
            Ok(response) => return Ok((response, connection)),
            Err(error) => error,
        };
        if let Some(reset) = source_of::<h2::Error>(&error) {
            let is_stale = is_reused && (reset.is_go_away() || reset.is_io());
            return Err(if is_stale {
                Unanswered::Stale
            } else {
                Unanswered::Failed(self.describe_reset(reset))
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
    fn describe_reset(&self, reset: &h2::Error) -> FetchError {
        let Some(reason) = reset.reason() else {
            return FetchError::new(FetchErrorKind::Connect, NO_ANSWER);
        };
        if reset.is_library() {
            // What our side ends a connection for with this code is a flood of header fields.
            if reason == Reason::ENHANCE_YOUR_CALM {
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

/// What the head of an answer promises.
enum Answer {
    Image(Encoding),
    Redirect(String),
}

/// What was read of a body.
struct Read {
    bytes: Bytes,
    /// Bytes that are still to come, where that is known.
    left: Option<u64>,
}

impl Progress {
    fn note_head(&mut self, head: &Parts) {
        self.status = Some(head.status);
        self.retry_after = retry_after(&head.headers, SystemTime::now());
        self.declared_type = text(&head.headers, &CONTENT_TYPE);
        self.etag = text(&head.headers, &ETAG);
        self.last_modified = text(&head.headers, &LAST_MODIFIED);
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    (value.len() <= MAX_VALUE_BYTES).then(|| value.to_owned())
}

fn redirect(headers: &HeaderMap) -> Result<String, FetchError> {
    let Some(location) = headers.get(LOCATION) else {
        return Err(FetchError::new(
            FetchErrorKind::Unusable,
            "the host redirected to nowhere",
        ));
    };
    // Some hosts write UTF-8 here although RFC 9110 allows ASCII only.
    std::str::from_utf8(location.as_bytes())
        .map(str::to_owned)
        .map_err(|_| {
            FetchError::new(
                FetchErrorKind::Unusable,
                "the host redirected to an unreadable URL",
            )
        })
}

/// Replaces `error` if the page that came with it turns out to be a challenge.
async fn look_behind(error: FetchError, head: &Parts, body: &mut Incoming) -> FetchError {
    let is_image_declined = head.status == StatusCode::OK;
    if is_image_declined || !challenge::may_be_challenge(head.status) {
        return error;
    }
    let start = beginning(body, challenge::LOOKED_AT).await;
    let declared_type = text(&head.headers, &CONTENT_TYPE);
    challenge::by_content(head.status, declared_type.as_deref(), &start).map_or(error, bot_wall)
}

fn bot_wall(filter: &str) -> FetchError {
    FetchError::new(
        FetchErrorKind::BotWall,
        format!("{filter} asks whether we are human instead of showing the image"),
    )
}

/// The product token of a user agent (RFC 9309, section 2.2.1): what stands before its version.
fn robot_name(user_agent: &str) -> &str {
    user_agent.split(['/', ' ']).next().unwrap_or_default()
}
