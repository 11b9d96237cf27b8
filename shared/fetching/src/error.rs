//! Why a fetch ended without a body, in terms of outcomes.

use std::fmt;
use std::time::Duration;

use domain::Outcome;

/// Longest detail that a row carries.
const MAX_DETAIL_BYTES: usize = 300;

/// What went wrong, finer than the outcome that the row gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FetchErrorKind {
    /// The host, its port or one of its addresses is not open to us.
    Blocked,
    /// The host's robots.txt disallows the URL.
    Robots,
    /// An X-Robots-Tag declines uses like this one.
    OptedOut,
    /// The name does not exist, or has no address.
    NoSuchName,
    /// The name could not be looked up for now.
    NameLookup,
    /// No connection came about, or it broke before an answer.
    Connect,
    /// No connection came about because this machine ran out of sockets.
    NoSocket,
    /// The host failed to answer so often that it is left alone for a while.
    PutAside,
    /// The TLS handshake failed.
    Tls,
    /// The TLS handshake did not end.
    TlsStalled,
    /// An attempt, or a silence within it, took too long.
    Timeout,
    /// The caller's time ended.
    OutOfTime,
    /// The body came too slowly.
    TooSlow,
    /// Too many redirects, or a circle of them.
    RedirectLimit,
    /// Too many header fields, or too long ones.
    HeaderLimit,
    /// Not HTTP, or broken HTTP. Another try may fare better.
    Garbled,
    /// A sound answer that no image can come in. Another try would get the same.
    Unusable,
    /// 404 or 410.
    NotFound,
    /// 401, 403 or 451.
    Forbidden,
    /// A page that asks whether we are human.
    BotWall,
    /// 429, or its equivalent in HTTP/2.
    RateLimited,
    /// Any other status of the 400 class.
    ClientError,
    /// A status of the 500 class.
    ServerError,
    /// The body is longer than allowed.
    TooLarge,
    /// The body broke off.
    Truncated,
    /// The body is empty.
    Empty,
}

impl FetchErrorKind {
    /// The row's outcome if nothing else is tried.
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Blocked => Outcome::BlockedAddress,
            Self::Robots => Outcome::BlockedByRobots,
            Self::OptedOut => Outcome::OptedOut,
            Self::NoSuchName | Self::NameLookup => Outcome::DnsError,
            Self::Connect | Self::NoSocket | Self::PutAside => Outcome::ConnectError,
            Self::Tls | Self::TlsStalled => Outcome::TlsError,
            Self::Timeout | Self::OutOfTime => Outcome::Timeout,
            Self::TooSlow => Outcome::TooSlow,
            Self::RedirectLimit => Outcome::RedirectLimit,
            Self::HeaderLimit => Outcome::HeaderLimit,
            Self::Garbled | Self::Unusable => Outcome::BadResponse,
            Self::NotFound => Outcome::NotFound,
            Self::Forbidden => Outcome::Forbidden,
            Self::BotWall => Outcome::BotWall,
            Self::RateLimited => Outcome::RateLimited,
            Self::ClientError => Outcome::ClientError,
            Self::ServerError => Outcome::ServerError,
            Self::TooLarge => Outcome::TooLarge,
            Self::Truncated => Outcome::Truncated,
            Self::Empty => Outcome::NotAnImage,
        }
    }

    /// Whether another attempt within the same fetch may help. A name that does not exist and an answer of the wrong kind are
    /// worth a try tomorrow, which is what [`Outcome::is_retryable`] says, but not in a second.
    const fn is_worth_another_attempt(self) -> bool {
        let is_settled_for_now = matches!(
            self,
            Self::NoSuchName | Self::PutAside | Self::OutOfTime | Self::Unusable
        );
        self.outcome().is_retryable() && !is_settled_for_now
    }
}

/// A wish to be asked again later, in another delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Later {
    /// Time from now before which asking is useless; `None` if any later time will do.
    pub not_before: Option<Duration>,
}

/// Why a fetch ended without a body. `Display` is a sentence without a full stop, fit for the row's `detail`; it contains
/// nothing of the URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchError {
    kind: FetchErrorKind,
    detail: String,
    later: Option<Later>,
    is_settled: bool,
}

impl FetchError {
    pub(crate) fn new(kind: FetchErrorKind, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        // Libraries repeat what a host sent in their messages.
        detail.truncate(detail.floor_char_boundary(MAX_DETAIL_BYTES));
        Self {
            kind,
            detail,
            later: None,
            is_settled: false,
        }
    }

    pub(crate) fn later(mut self, not_before: Option<Duration>) -> Self {
        self.later = Some(Later { not_before });
        self
    }

    /// The same error of something that had to be fetched first, as often as it was worth it, and what that was.
    pub(crate) fn of_prerequisite(mut self, what: Option<&str>) -> Self {
        if let Some(what) = what {
            self.detail = format!("{what}: {}", self.detail);
        }
        self.is_settled = true;
        self
    }

    /// Whether another attempt within the same fetch may help.
    pub(crate) fn is_worth_another_attempt(&self) -> bool {
        self.later.is_none() && !self.is_settled && self.kind.is_worth_another_attempt()
    }

    /// The caller's time ended before there was a result.
    pub(crate) fn out_of_time() -> Self {
        Self::new(
            FetchErrorKind::OutOfTime,
            "there was no time left for this row",
        )
        .later(None)
    }

    /// What went wrong.
    pub fn kind(&self) -> FetchErrorKind {
        self.kind
    }

    /// The outcome of the row.
    pub fn outcome(&self) -> Outcome {
        self.kind.outcome()
    }

    /// Set if the row had better be left over to a later delivery than be settled with [`Self::outcome`].
    pub fn retry_later(&self) -> Option<Later> {
        self.later
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.detail)
    }
}

impl std::error::Error for FetchError {}

/// Why no fetcher can be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchSetupError {
    /// The User-Agent cannot be sent.
    #[error("the user agent {0:?} contains characters that no header field may carry")]
    UserAgent(String),
    /// A count that has to be at least one is zero.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// A root certificate is not one.
    #[error("a root certificate cannot be read")]
    Root(#[source] rustls::Error),
    /// The TLS library refused its configuration.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

/// A duration as a person would say it.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{} s", (duration.as_secs_f64() * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_bounded_whatever_a_host_sent() {
        let error = FetchError::new(FetchErrorKind::Tls, "ä".repeat(MAX_DETAIL_BYTES));
        assert_eq!(error.to_string().len(), MAX_DETAIL_BYTES);
    }

    #[test]
    fn no_immediate_retry_is_made_for_an_outcome_that_is_not_retryable() {
        for kind in [
            FetchErrorKind::Blocked,
            FetchErrorKind::Tls,
            FetchErrorKind::NotFound,
            FetchErrorKind::TooLarge,
            FetchErrorKind::NoSuchName,
            FetchErrorKind::Unusable,
        ] {
            assert!(!kind.is_worth_another_attempt(), "{kind:?}");
        }
        for kind in [
            FetchErrorKind::Connect,
            FetchErrorKind::Timeout,
            FetchErrorKind::RateLimited,
            FetchErrorKind::ServerError,
            FetchErrorKind::Truncated,
        ] {
            assert!(kind.is_worth_another_attempt(), "{kind:?}");
        }
    }
}
