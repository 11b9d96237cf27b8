//! One request and its answer: no redirects, no retries.

mod send;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use domain::Limits;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED, LOCATION, USER_AGENT,
};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use hyper::body::{Body as _, Incoming};

use crate::body::{Body, BodyReader, beginning, drain, held};
use crate::budget::{Budget, Reservation};
use crate::challenge;
use crate::connect::{Connection, Connector};
use crate::encoding::{self, Beyond, Encoding};
use crate::hosts::Host;
use crate::own_time::OwnTime;
use crate::page;
use crate::pool::Pool;
use crate::retry::{quota_used_up, retry_after};
use crate::robots;
use crate::soft_404;
use crate::tags::declining_directive;
use crate::{
    Enough, FetchError, FetchErrorKind, FetchMode, FetchSetupError, TargetUrl, Validators,
};

/// Longest header field value that is handed on.
const MAX_VALUE_BYTES: usize = 256;

/// Bytes that are asked for where the beginning of a body may do (RFC 9110, section 14.1.2): nearly every image tells its dimensions
/// in fewer, and the connection is free again without a body being read for nothing or broken off.
const FIRST_PART: &str = "bytes=0-16383";

/// How an exchange ended well.
pub(crate) enum End {
    /// The Location that the answer points to.
    Redirect(String),
    /// What was asked for.
    Body(Bytes),
    /// It is still what it was when the validators were given out (RFC 9110, section 15.4.5).
    NotModified,
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
    /// How long until the host grants further requests, if it says that it grants none until then.
    pub(crate) quota_reset: Option<Duration>,
    pub(crate) declared_type: Option<String>,
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
    pub(crate) total_bytes: Option<u64>,
    /// Time of the exchange that is not the host's.
    pub(crate) own: OwnTime,
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

    /// Asks `host` for `url`, or whether it has changed since `known`. What is left of the answer, if anything is, belongs to [`Self::drain`]: it must not make a result wait.
    pub(crate) async fn run(
        &self,
        host: &Host,
        url: &TargetUrl,
        wanted: Wanted<'_>,
        mut known: Option<&Validators>,
        progress: &mut Progress,
    ) -> (Result<End, FetchError>, Option<Rest>) {
        let mut asked = match wanted {
            Wanted::Image(FetchMode::Prefix(_)) => Asked::FirstPart,
            Wanted::Image(FetchMode::Whole) | Wanted::Rules => Asked::Whole,
        };
        loop {
            let question = (asked, known);
            let (told, rest) = self.ask(host, url, wanted, question, progress).await;
            match told {
                Ok(Told::Enough(end)) => return (Ok(end), rest),
                Err(error) => return (Err(error), rest),
                Ok(Told::TooLittle) => {}
            }
            if let Some(rest) = rest {
                self.drain(host, rest).await;
            }
            progress.begin_again();
            asked = Asked::Whole;
            // It was sent in part, so it has changed.
            known = None;
        }
    }

    async fn ask(
        &self,
        host: &Host,
        url: &TargetUrl,
        wanted: Wanted<'_>,
        (asked, known): (Asked, Option<&Validators>),
        progress: &mut Progress,
    ) -> (Result<Told, FetchError>, Option<Rest>) {
        let (response, connection) = match self.send(host, url, asked, known, progress).await {
            Ok(answered) => answered,
            Err(error) => return (Err(error), None),
        };
        let (head, mut body) = response.into_parts();
        progress.note_head(&head);
        let declared = body.size_hint().exact();
        let (told, left) = match self.judge(&head, wanted, asked, declared) {
            Ok(Answer::Image(encoding)) => {
                let length = Length::of(&head, declared);
                match self
                    .read(&mut body, length, encoding, wanted, progress)
                    .await
                {
                    Ok(read) => (read.told, read.left),
                    Err(error) => return (Err(error), None),
                }
            }
            Ok(Answer::TooLittle) => (Ok(Told::TooLittle), declared),
            Ok(Answer::NotModified) if known.is_some() => {
                (Ok(Told::Enough(End::NotModified)), declared)
            }
            Ok(Answer::NotModified) => (Err(refused(FetchErrorKind::Unusable, 304)), declared),
            Ok(Answer::Redirect(location)) => (Ok(Told::Enough(End::Redirect(location))), declared),
            Err(error) => (Err(look_behind(error, &head, &mut body).await), declared),
        };
        if left == Some(0) {
            self.pool.park(host.id, connection);
            return (told, None);
        }
        let rest = Rest {
            connection,
            body,
            left,
        };
        (told, Some(rest))
    }

    /// Reads what is left of an answer, if that is cheaper than a new connection, and keeps the connection.
    pub(crate) async fn drain(&self, host: &Host, mut rest: Rest) {
        if drain(&mut rest.body, rest.left).await {
            self.pool.park(host.id, rest.connection);
        }
    }

    /// Decides what an answer is from its head alone.
    fn judge(
        &self,
        head: &Parts,
        wanted: Wanted<'_>,
        asked: Asked,
        declared: Option<u64>,
    ) -> Result<Answer, FetchError> {
        self.check_size(&head.headers)?;
        if let Some(filter) = challenge::by_header(&head.headers) {
            return Err(bot_wall(filter));
        }
        let status = head.status.as_u16();
        let refused = |kind| Err(refused(kind, status));
        match status {
            // 203: a proxy on the way changed the representation (RFC 9110, section 15.3.4).
            200 | 203 => {}
            206 if asked == Asked::FirstPart && part_of(&head.headers, declared).is_some() => {}
            // An empty body has no first part (RFC 9110, section 15.5.17).
            206 | 416 if asked == Asked::FirstPart => return Ok(Answer::TooLittle),
            301 | 302 | 303 | 307 | 308 => return redirect(&head.headers).map(Answer::Redirect),
            304 => return Ok(Answer::NotModified),
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
        encoding::check_transfer(&head.headers)?;
        match encoding::of(&head.headers)? {
            Encoding::Gzip if status == 206 => Ok(Answer::TooLittle),
            encoding => Ok(Answer::Image(encoding)),
        }
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
        length: Length,
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
            own: &progress.own,
        };
        let Body {
            bytes,
            reservation,
            is_complete,
        } = reader.read(body, length.of_all, mode).await?;
        let received = bytes.len() as u64;
        let left = if is_complete {
            Some(0)
        } else {
            length.of_this.map(|length| length.saturating_sub(received))
        };
        let is_whole = is_complete && (!length.is_part || length.of_all == Some(received));
        progress.total_bytes = if is_whole {
            Some(received)
        } else {
            length.of_all
        };
        if let FetchMode::Prefix(is_enough) = mode
            && is_complete
            && !is_whole
            && is_enough(&bytes) == Enough::No
        {
            let told = Ok(Told::TooLittle);
            return Ok(Read { told, left });
        }
        let bytes = match encoding {
            Encoding::Identity => Ok(held(bytes, reservation)),
            Encoding::Gzip => self.gunzip(bytes, reservation, wanted, progress).await,
        };
        let told = bytes.and_then(|bytes| look_into(bytes, progress).map(Told::Enough));
        Ok(Read { told, left })
    }

    /// Unpacks a body, in memory that is added to what it was granted already: waiting for memory of its own while it holds some, it might
    /// wait for itself.
    async fn gunzip(
        &self,
        packed: Bytes,
        mut reservation: Reservation,
        wanted: Wanted<'_>,
        progress: &mut Progress,
    ) -> Result<Bytes, FetchError> {
        if packed.is_empty() {
            return Ok(packed);
        }
        let (max, beyond) = match wanted {
            Wanted::Image(_) => (self.limits.max_body_bytes, Beyond::TooLarge),
            Wanted::Rules => (robots::MOST_BYTES, Beyond::Dropped),
        };
        let both = max.saturating_add(packed.len() as u64);
        let granted = self.budget.grow(&mut reservation, both);
        progress.own.wait(granted).await;
        let unpack = move || encoding::gunzip(&packed, max, beyond);
        // The task can only be gone because the run time is going down, and then nobody reads this.
        let unpacked = tokio::task::spawn_blocking(unpack)
            .await
            .unwrap_or_else(|_| {
                Err(FetchError::new(
                    FetchErrorKind::Truncated,
                    "unpacking was interrupted",
                ))
            })?;
        reservation.shrink(unpacked.len() as u64);
        progress.total_bytes = Some(unpacked.len() as u64);
        Ok(held(unpacked, reservation))
    }
}

/// Tells a body from none, and from a page that some hosts send in its place.
fn look_into(bytes: Bytes, progress: &Progress) -> Result<End, FetchError> {
    if bytes.is_empty() {
        return Err(FetchError::new(FetchErrorKind::Empty, "the body is empty"));
    }
    let status = progress.status.unwrap_or_default();
    let declared_type = progress.declared_type.as_deref();
    if let Some(filter) = challenge::by_content(status, declared_type, &bytes) {
        return Err(bot_wall(filter));
    }
    if soft_404::is_error_page(declared_type, &bytes) {
        let status = status.as_u16();
        return Err(FetchError::new(
            FetchErrorKind::NotFound,
            format!(
                "the host answered with status {status} and a page that says that nothing was found"
            ),
        ));
    }
    Ok(End::Body(bytes))
}

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Whole,
    /// [`FIRST_PART`]; the host may send the whole nevertheless.
    FirstPart,
}

/// What the head of an answer promises.
enum Answer {
    Image(Encoding),
    Redirect(String),
    /// No part that is of use.
    TooLittle,
    /// None, because it has not changed.
    NotModified,
}

/// What an answer told.
enum Told {
    Enough(End),
    /// It was a part, and the whole body is needed.
    TooLittle,
}

/// How long a body is, as far as that is declared.
#[derive(Clone, Copy)]
struct Length {
    of_all: Option<u64>,
    /// Of what this answer carries.
    of_this: Option<u64>,
    is_part: bool,
}

impl Length {
    fn of(head: &Parts, declared: Option<u64>) -> Self {
        let is_part = head.status == StatusCode::PARTIAL_CONTENT;
        let of_all = if is_part {
            part_of(&head.headers, declared).and_then(|whole| match whole {
                Whole::Bytes(bytes) => Some(bytes),
                Whole::Untold => None,
            })
        } else {
            declared
        };
        Self {
            of_all,
            of_this: declared,
            is_part,
        }
    }
}

/// The whole of which an answer is a part.
enum Whole {
    /// It has this length.
    Bytes(u64),
    /// Its length is not told.
    Untold,
}

/// The whole that an answer is the first part of (RFC 9110, section 14.4), which is `declared` to have so many bytes; `None` for any other
/// part, and where the numbers contradict each other.
fn part_of(headers: &HeaderMap, declared: Option<u64>) -> Option<Whole> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (last, of_all) = range.strip_prefix("bytes 0-")?.split_once('/')?;
    let last: u64 = last.parse().ok()?;
    if declared.is_some_and(|declared| declared.checked_sub(1) != Some(last)) {
        return None;
    }
    if of_all == "*" {
        return Some(Whole::Untold);
    }
    let of_all = of_all.parse().ok()?;
    (last < of_all).then_some(Whole::Bytes(of_all))
}

/// What was read of a body.
struct Read {
    told: Result<Told, FetchError>,
    /// Bytes that are still to come, where that is known.
    left: Option<u64>,
}

/// What is left of an answer that was not read to its end.
pub(crate) struct Rest {
    connection: Connection,
    body: Incoming,
    left: Option<u64>,
}

impl Progress {
    /// Forgets everything but our own time, which is still ours.
    pub(crate) fn begin_again(&mut self) {
        *self = Self {
            own: std::mem::take(&mut self.own),
            ..Self::default()
        };
    }

    fn note_head(&mut self, head: &Parts) {
        self.status = Some(head.status);
        let now = SystemTime::now();
        self.retry_after = retry_after(&head.headers, now);
        self.quota_reset = quota_used_up(&head.headers, now);
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
    let is_image_declined = matches!(head.status, StatusCode::OK | StatusCode::PARTIAL_CONTENT);
    if is_image_declined || !challenge::may_be_challenge(head.status) {
        return error;
    }
    let start = beginning(body, page::LOOKED_AT).await;
    let declared_type = text(&head.headers, &CONTENT_TYPE);
    challenge::by_content(head.status, declared_type.as_deref(), &start).map_or(error, bot_wall)
}

fn refused(kind: FetchErrorKind, status: u16) -> FetchError {
    FetchError::new(kind, format!("the host answered with status {status}"))
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
