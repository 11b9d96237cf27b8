//! What became of a row: exactly one of these, for every row of every list.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! outcomes {
    ($( $(#[doc = $doc:literal])+ $variant:ident = $name:literal, retry $retry:literal; )+) => {
        /// The one terminal result of a row. Names are part of the contract with users.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Outcome {
            $( $(#[doc = $doc])+ #[serde(rename = $name)] $variant, )+
        }

        // Written out: the derivation cannot see through the names of this macro.
        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for Outcome {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::Type::String)
                    .enum_values(Some(Self::ALL.iter().map(|one| one.as_str())))
                    .into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for Outcome {}

        impl Outcome {
            /// Every outcome, in the order reports show them.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )+ ];

            /// The name in result rows, on the command line and in URLs.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $name, )+ }
            }

            /// Whether asking again later may give another answer.
            pub const fn is_retryable(self) -> bool {
                match self { $( Self::$variant => $retry, )+ }
            }

            /// One sentence for a person who meets the name in a report.
            pub fn description(self) -> &'static str {
                match self { $( Self::$variant => concat!($($doc),+).trim_ascii(), )+ }
            }
        }
    };
}

outcomes! {
    /// The image loaded and was measured.
    Ok = "ok", retry false;
    /// The cell is not an http or https URL that may be fetched.
    InvalidUrl = "invalid_url", retry false;
    /// The same URL stands in an earlier row, which `duplicate_of` names.
    DuplicateUrl = "duplicate_url", retry false;
    /// The host has a private, loop-back or otherwise special address.
    BlockedAddress = "blocked_address", retry false;
    /// The host's robots.txt disallows the URL.
    BlockedByRobots = "blocked_by_robots", retry false;
    /// The answer carries an X-Robots-Tag that declines uses like this one.
    OptedOut = "opted_out", retry false;
    /// The host name does not resolve.
    DnsError = "dns_error", retry true;
    /// No connection could be made, or it broke before an answer came.
    ConnectError = "connect_error", retry true;
    /// The TLS handshake failed, or the certificate is not valid for the host.
    TlsError = "tls_error", retry false;
    /// The whole request took longer than its deadline.
    Timeout = "timeout", retry true;
    /// The body came slower than the minimum throughput.
    TooSlow = "too_slow", retry true;
    /// More redirects than allowed, or a loop of them.
    RedirectLimit = "redirect_limit", retry false;
    /// More or longer header fields than allowed.
    HeaderLimit = "header_limit", retry false;
    /// The answer is not valid HTTP, or not one an image can come in.
    BadResponse = "bad_response", retry true;
    /// Status 404 or 410.
    NotFound = "not_found", retry false;
    /// Status 401, 403 or 451.
    Forbidden = "forbidden", retry false;
    /// A challenge page for suspected robots came in place of the image.
    BotWall = "bot_wall", retry false;
    /// Status 429 to the end.
    RateLimited = "rate_limited", retry true;
    /// Another status of the 400 class.
    ClientError = "client_error", retry false;
    /// A status of the 500 class to the end.
    ServerError = "server_error", retry true;
    /// The body is longer than the limit.
    TooLarge = "too_large", retry false;
    /// The body ended before its declared length, or the image before its last pixel.
    Truncated = "truncated", retry true;
    /// The body is something else than an image.
    NotAnImage = "not_an_image", retry false;
    /// The body is an image of a format, or coded in a way, that is recognised but not measured.
    UnsupportedFormat = "unsupported_format", retry false;
    /// The image claims more pixels than the limit, or takes more memory than one image may have.
    PixelLimit = "pixel_limit", retry false;
    /// The image is damaged: its pixels cannot be decoded.
    DecodeError = "decode_error", retry false;
    /// The batch was cancelled before the row's turn came.
    Cancelled = "cancelled", retry true;
    /// The row's chunk failed again and again without an answer and was given up.
    Poisoned = "poisoned", retry true;
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// The text names no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an outcome; see the list of outcomes in the documentation")]
pub struct UnknownOutcome(String);

impl FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|outcome| outcome.as_str() == text)
            .ok_or_else(|| UnknownOutcome(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_and_is_what_json_says() {
        for outcome in Outcome::ALL {
            assert_eq!(outcome.as_str().parse(), Ok(*outcome));
            let json = serde_json::to_string(outcome).unwrap();
            assert_eq!(json, format!("\"{outcome}\""));
        }
        assert_eq!(Outcome::ALL.len(), 28);
    }

    #[test]
    fn every_outcome_is_explained_in_a_sentence() {
        for outcome in Outcome::ALL {
            assert!(outcome.description().ends_with('.'), "{outcome}");
        }
    }
}
