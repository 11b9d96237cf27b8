//! Text of a list's cell to a URL that may be asked for, decided once.

use std::fmt;

use domain::Limits;
use url::{Host, Url};

/// Longest name the DNS can carry (RFC 1035, section 2.3.4).
const MAX_HOST_NAME_BYTES: usize = 253;

/// An absolute http or https URL with a host, without user info and without a fragment.
///
/// Whether its port and its addresses may be dialled is decided when it is fetched. `Debug` shows the URL redacted.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TargetUrl(Url);

/// Why a text is no [`TargetUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidUrl {
    /// Nothing but white space.
    #[error("the URL is empty")]
    Empty,
    /// Longer than `max_url_bytes`, as written or percent-encoded.
    #[error("the URL is longer than {max} bytes")]
    TooLong {
        /// The limit, in bytes.
        max: usize,
    },
    /// A control character inside; browsers drop some of these in silence, which hides what a list really says.
    #[error("the URL contains a control character")]
    ControlCharacter,
    /// No scheme, as in `example.com/a.jpg`.
    #[error("the URL has no scheme; it should begin with http:// or https://")]
    NoScheme,
    /// A scheme that is neither http nor https.
    #[error("the URL's scheme is neither http nor https")]
    UnsupportedScheme,
    /// No host, as in `http://`.
    #[error("the URL has no host")]
    NoHost,
    /// A host that is neither a name nor an address.
    #[error("the URL's host is neither a valid name nor a valid address")]
    InvalidHost,
    /// A port that is no number up to 65,535.
    #[error("the URL's port is not a number from 0 to 65535")]
    InvalidPort,
    /// A user name or password before the host.
    #[error("the URL contains a user name or password, which are not sent to hosts")]
    UserInfo,
    /// Anything else the URL standard rejects.
    #[error("the URL is malformed")]
    Malformed,
}

impl TargetUrl {
    /// Parses `text` as the WHATWG URL standard says, and refuses what is never fetched. White space around it is ignored.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, InvalidUrl> {
        Self::parse_with(text, limits, None)
    }

    /// Parses the target of a redirect, which may be relative to this URL.
    pub fn join(&self, location: &str, limits: &Limits) -> Result<Self, InvalidUrl> {
        Self::parse_with(location, limits, Some(&self.0))
    }

    fn parse_with(text: &str, limits: &Limits, base: Option<&Url>) -> Result<Self, InvalidUrl> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidUrl::Empty);
        }
        let too_long = InvalidUrl::TooLong {
            max: limits.max_url_bytes,
        };
        if text.len() > limits.max_url_bytes {
            return Err(too_long);
        }
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(InvalidUrl::ControlCharacter);
        }
        let mut url = match base {
            None => Url::parse(text).map_err(|error| describe(error, text))?,
            Some(base) => base.join(text).map_err(|error| describe(error, text))?,
        };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(InvalidUrl::UnsupportedScheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidUrl::UserInfo);
        }
        match url.host() {
            None => return Err(InvalidUrl::NoHost),
            Some(Host::Domain(name)) if name.len() > MAX_HOST_NAME_BYTES => {
                return Err(InvalidUrl::InvalidHost);
            }
            Some(_) => {}
        }
        url.set_fragment(None);
        if url.as_str().len() > limits.max_url_bytes {
            return Err(too_long);
        }
        Ok(Self(url))
    }

    /// The normal form: two rows with the same one ask for the same thing. Scheme and host are in lower case, the default port
    /// and the fragment are gone, dot segments are resolved.
    pub fn canonical(&self) -> &str {
        self.0.as_str()
    }

    /// The URL without its query, for logs and traces: signatures and tokens live in queries.
    pub fn redacted(&self) -> Redacted<'_> {
        Redacted(&self.0)
    }

    /// Name or literal address of the host, without a port; an IPv6 address stands in brackets.
    pub fn host_str(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// The host as a name or an address. Decimal, octal and hexadecimal forms of an IPv4 address are addresses here.
    pub(crate) fn host(&self) -> Option<Host<&str>> {
        self.0.host()
    }

    pub(crate) fn port(&self) -> u16 {
        let default = if self.is_https() { 443 } else { 80 };
        self.0.port().unwrap_or(default)
    }

    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// `https://host:port`, where a default port is left out.
    pub(crate) fn origin(&self) -> &str {
        &self.0[..url::Position::BeforePath]
    }

    /// `host:port`, where a default port is left out: the Host header field.
    pub(crate) fn authority(&self) -> &str {
        &self.0[url::Position::BeforeHost..url::Position::BeforePath]
    }

    pub(crate) fn path(&self) -> &str {
        self.0.path()
    }

    /// The request target in origin form (RFC 9112, section 3.2.1).
    pub(crate) fn path_and_query(&self) -> &str {
        &self.0[url::Position::BeforePath..url::Position::AfterQuery]
    }
}

impl fmt::Debug for TargetUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TargetUrl({})", self.redacted())
    }
}

/// A URL as logs may show it.
#[derive(Debug, Clone, Copy)]
pub struct Redacted<'a>(&'a Url);

impl fmt::Display for Redacted<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0[..url::Position::AfterPath])?;
        if self.0.query().is_some() {
            formatter.write_str("?…")?;
        }
        Ok(())
    }
}

fn describe(error: url::ParseError, text: &str) -> InvalidUrl {
    use url::ParseError as Parse;
    match error {
        Parse::RelativeUrlWithoutBase => InvalidUrl::NoScheme,
        Parse::EmptyHost => InvalidUrl::NoHost,
        Parse::InvalidPort => InvalidUrl::InvalidPort,
        Parse::IdnaError | Parse::InvalidIpv4Address | Parse::InvalidIpv6Address => {
            InvalidUrl::InvalidHost
        }
        Parse::InvalidDomainCharacter if text.ends_with("://") => InvalidUrl::NoHost,
        Parse::InvalidDomainCharacter => InvalidUrl::InvalidHost,
        _ => InvalidUrl::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<TargetUrl, InvalidUrl> {
        TargetUrl::parse(text, &Limits::default())
    }

    fn canonical(text: &str) -> String {
        parse(text).unwrap().canonical().to_owned()
    }

    #[test]
    fn equivalent_urls_have_one_canonical_form() {
        let expected = "http://example.com/a.jpg?b=1";
        for text in [
            "http://example.com/a.jpg?b=1",
            " http://example.com/a.jpg?b=1\u{a0}",
            "HTTP://EXAMPLE.com:80/a.jpg?b=1#top",
            "http://example.com/x/../a.jpg?b=1",
        ] {
            assert_eq!(canonical(text), expected, "{text}");
        }
        assert_eq!(canonical("https://example.com:443"), "https://example.com/");
        assert_eq!(
            canonical("http://example.com:443/"),
            "http://example.com:443/"
        );
    }

    #[test]
    fn what_is_no_fetchable_url_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", InvalidUrl::Empty),
            (" \t ", InvalidUrl::Empty),
            ("not a url", InvalidUrl::NoScheme),
            ("example.com/a.jpg", InvalidUrl::NoScheme),
            ("//cdn.example.com/a.jpg", InvalidUrl::NoScheme),
            ("ftp://example.com/a.jpg", InvalidUrl::UnsupportedScheme),
            ("file:///etc/passwd", InvalidUrl::UnsupportedScheme),
            ("javascript:alert(1)", InvalidUrl::UnsupportedScheme),
            ("data:image/png;base64,AAAA", InvalidUrl::UnsupportedScheme),
            ("http://", InvalidUrl::NoHost),
            ("http://[::1", InvalidUrl::InvalidHost),
            ("http://exa mple.com/a.jpg", InvalidUrl::InvalidHost),
            ("http://example.com:99999/", InvalidUrl::InvalidPort),
            ("http://example.com:http/", InvalidUrl::InvalidPort),
            ("http://user@example.com/", InvalidUrl::UserInfo),
            ("http://user:secret@example.com/", InvalidUrl::UserInfo),
            ("http://:secret@example.com/", InvalidUrl::UserInfo),
            ("http://exam\nple.com/", InvalidUrl::ControlCharacter),
            ("http://example.com/a\0b", InvalidUrl::ControlCharacter),
        ] {
            assert_eq!(parse(text).unwrap_err(), reason, "{text:?}");
        }
    }

    #[test]
    fn every_reason_is_a_clause_a_person_can_read() {
        for reason in [
            InvalidUrl::Empty,
            InvalidUrl::TooLong { max: 9 },
            InvalidUrl::UserInfo,
        ] {
            assert!(reason.to_string().starts_with("the URL"), "{reason}");
        }
    }

    #[test]
    fn the_length_limit_counts_percent_encoding() {
        let limits = Limits {
            max_url_bytes: 30,
            ..Limits::default()
        };
        let too_long = Err(InvalidUrl::TooLong { max: 30 });
        assert!(TargetUrl::parse("http://example.com/0123456789a", &limits).is_ok());
        assert_eq!(
            TargetUrl::parse("http://example.com/0123456789ab", &limits),
            too_long
        );
        assert_eq!(
            TargetUrl::parse("http://example.com/ääääää", &limits),
            too_long
        );
    }

    #[test]
    fn a_host_name_longer_than_the_dns_carries_is_refused() {
        let labels = vec!["abcdefghi"; 26].join(".");
        assert_eq!(
            parse(&format!("http://{labels}/")),
            Err(InvalidUrl::InvalidHost)
        );
    }

    #[test]
    fn logs_show_neither_query_nor_fragment() {
        let url = parse("https://example.com/a.jpg?X-Amz-Signature=secret#f").unwrap();
        assert_eq!(url.redacted().to_string(), "https://example.com/a.jpg?…");
        assert_eq!(format!("{url:?}"), "TargetUrl(https://example.com/a.jpg?…)");
    }

    #[test]
    fn a_redirect_target_may_be_relative() {
        let url = parse("https://example.com/a/b.jpg?x=1").unwrap();
        let join = |location| url.join(location, &Limits::default());
        assert_eq!(
            join("c.jpg").unwrap().canonical(),
            "https://example.com/a/c.jpg"
        );
        assert_eq!(
            join("//other.example/").unwrap().canonical(),
            "https://other.example/"
        );
        assert_eq!(
            join("ftp://other.example/"),
            Err(InvalidUrl::UnsupportedScheme)
        );
    }

    #[test]
    fn the_parts_of_a_request_are_slices_of_the_url() {
        let url = parse("https://Example.com:8443/a%20b?c=d#e").unwrap();
        assert_eq!(url.origin(), "https://example.com:8443");
        assert_eq!(url.authority(), "example.com:8443");
        assert_eq!(url.path_and_query(), "/a%20b?c=d");
        assert_eq!((url.port(), url.is_https()), (8443, true));
        assert_eq!(parse("http://[::1]/").unwrap().authority(), "[::1]");
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_and_what_is_parsed_can_be_requested(text in "(http://|https://|)?\\PC{0,60}") {
            if let Ok(url) = parse(&text) {
                prop_assert_eq!(parse(url.canonical()).unwrap(), url.clone());
                prop_assert!(url.canonical().starts_with("http"));
                prop_assert!(http::uri::PathAndQuery::try_from(url.path_and_query()).is_ok(), "{}", url.canonical());
                prop_assert!(http::HeaderValue::from_str(url.authority()).is_ok());
            }
        }
    }
}
