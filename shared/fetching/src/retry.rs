//! Whether and when to try again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use domain::Limits;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName};

use crate::FetchError;

/// Longest random pause before the second attempt; doubles with each further one ("full jitter").
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
const MAX_BACKOFF: Duration = Duration::from_secs(10);
/// Latest time that a row is put off to, whatever the host says: the longest delay of an SQS message.
const MAX_PUT_OFF: Duration = Duration::from_mins(15);

/// What to do after a failed attempt.
#[derive(Debug)]
pub(crate) enum Next {
    /// Report this error.
    GiveUp(FetchError),
    /// Try again after this pause.
    TryAfter(Duration),
}

/// What to do after attempt number `attempts` ended with `error` and the host asked for a pause of `retry_after`; `left` is the
/// caller's time, if that is limited.
pub(crate) fn next(
    error: FetchError,
    attempts: u32,
    retry_after: Option<Duration>,
    left: Option<Duration>,
    limits: &Limits,
) -> Next {
    if !error.is_worth_another_attempt() {
        return Next::GiveUp(error);
    }
    if let Some(told) = retry_after
        && told > limits.max_retry_after
    {
        return Next::GiveUp(error.later(Some(told.min(MAX_PUT_OFF))));
    }
    if attempts >= limits.max_attempts {
        return Next::GiveUp(error);
    }
    let pause = retry_after.unwrap_or_default() + backoff(attempts);
    if left.is_some_and(|left| left <= pause) {
        return Next::GiveUp(error.later(Some(pause)));
    }
    Next::TryAfter(pause)
}

fn backoff(attempts: u32) -> Duration {
    let longest =
        (FIRST_BACKOFF * 2_u32.saturating_pow(attempts.saturating_sub(1))).min(MAX_BACKOFF);
    longest.mul_f64(fastrand::f64())
}

/// The pause that a host asks for, in seconds or as a date (RFC 9110, section 10.2.3). A date that has passed means no pause.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// How long until a host grants further requests, if it says that none is left: `RateLimit` of the IETF's drafts, the pair of fields that
/// came before it, and the pair with `X-` that is the most common, whose reset is a time rather than a span with many hosts.
pub(crate) fn quota_used_up(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    /// Seconds that are more than a span can mean are a time.
    const EARLIEST_TIME: u64 = 1_000_000_000;
    let number = |name: &'static str| {
        let value = headers.get(HeaderName::from_static(name))?.to_str().ok()?;
        value.trim().parse::<u64>().ok()
    };
    let pairs = [
        ("ratelimit-remaining", "ratelimit-reset"),
        ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ];
    let pair = pairs
        .into_iter()
        .find_map(|(remaining, reset)| number(remaining).zip(number(reset)));
    let (remaining, reset) = pair.or_else(|| {
        let value = headers.get("ratelimit")?.to_str().ok()?;
        let parameter = |names: [&str; 2]| {
            value.split([';', ',']).find_map(|part| {
                let (name, value) = part.split_once('=')?;
                let is_meant = names.contains(&name.trim());
                is_meant.then(|| value.trim().parse::<u64>().ok())?
            })
        };
        parameter(["r", "remaining"]).zip(parameter(["t", "reset"]))
    })?;
    if remaining > 0 {
        return None;
    }
    if reset < EARLIEST_TIME {
        return Some(Duration::from_secs(reset));
    }
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(reset))?;
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FetchErrorKind;

    fn error(kind: FetchErrorKind) -> FetchError {
        FetchError::new(kind, "test")
    }

    fn next_after(
        kind: FetchErrorKind,
        attempts: u32,
        retry_after: Option<u64>,
        left: Option<u64>,
    ) -> Next {
        let seconds = |value: Option<u64>| value.map(Duration::from_secs);
        next(
            error(kind),
            attempts,
            seconds(retry_after),
            seconds(left),
            &Limits::default(),
        )
    }

    #[test]
    fn backoff_is_random_doubles_and_is_bounded() {
        for attempts in [1, 2, 3, 10, u32::MAX] {
            let longest = FIRST_BACKOFF
                .mul_f64(2_f64.powi(attempts.min(12) as i32 - 1))
                .min(MAX_BACKOFF);
            let pauses: Vec<Duration> = (0..200).map(|_| backoff(attempts)).collect();
            assert!(pauses.iter().all(|pause| *pause <= longest), "{attempts}");
            assert!(
                pauses.iter().any(|pause| *pause > longest / 2),
                "{attempts}"
            );
            assert!(
                pauses.iter().any(|pause| *pause < longest / 2),
                "{attempts}"
            );
        }
    }

    #[test]
    fn attempts_are_limited() {
        assert!(matches!(
            next_after(FetchErrorKind::ServerError, 2, None, None),
            Next::TryAfter(_)
        ));
        assert!(matches!(
            next_after(FetchErrorKind::ServerError, 3, None, None),
            Next::GiveUp(_)
        ));
        assert!(matches!(
            next_after(FetchErrorKind::NotFound, 1, None, None),
            Next::GiveUp(_)
        ));
    }

    #[test]
    fn a_short_retry_after_is_waited_for_in_place() {
        let Next::TryAfter(pause) = next_after(FetchErrorKind::RateLimited, 1, Some(7), None)
        else {
            panic!("gave up");
        };
        assert!(pause >= Duration::from_secs(7) && pause < Duration::from_secs(8));
    }

    #[test]
    fn a_long_retry_after_puts_the_row_off_even_after_the_last_attempt() {
        for (attempts, told, not_before) in [(1, 11, 11), (3, 60, 60), (1, 999_999, 900)] {
            let Next::GiveUp(error) =
                next_after(FetchErrorKind::RateLimited, attempts, Some(told), None)
            else {
                panic!("waits in place for {told} s");
            };
            let expected = Some(Duration::from_secs(not_before));
            assert_eq!(error.retry_later().unwrap().not_before, expected);
        }
    }

    #[test]
    fn no_pause_goes_beyond_the_callers_time() {
        let Next::GiveUp(error) = next_after(FetchErrorKind::RateLimited, 1, Some(5), Some(5))
        else {
            panic!("waits beyond the caller's time");
        };
        assert!(error.retry_later().unwrap().not_before.unwrap() >= Duration::from_secs(5));
    }

    #[test]
    fn a_quota_that_is_used_up_is_told_in_all_its_forms() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let told = |fields: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.insert(*name, value.parse().unwrap());
            }
            quota_used_up(&headers, now).map(|left| left.as_secs())
        };
        assert_eq!(told(&[]), None);
        for (fields, expected) in [
            (
                &[("ratelimit-remaining", "0"), ("ratelimit-reset", "12")][..],
                Some(12),
            ),
            (
                &[("ratelimit-remaining", "3"), ("ratelimit-reset", "12")],
                None,
            ),
            (&[("ratelimit-remaining", "0")], None),
            (
                &[
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset", "1800000030"),
                ],
                Some(30),
            ),
            (
                &[
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset", "1700000000"),
                ],
                Some(0),
            ),
            (
                &[
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset", "18446744073709551615"),
                ],
                None,
            ),
            (&[("ratelimit", "limit=100, remaining=0, reset=7")], Some(7)),
            (&[("ratelimit", "\"default\";r=0;t=9")], Some(9)),
            (&[("ratelimit", "\"default\";r=50;t=9")], None),
            (&[("ratelimit", "nonsense=;;r,t")], None),
        ] {
            assert_eq!(told(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now = httpdate::parse_http_date("Wed, 21 Oct 2015 07:28:00 GMT").unwrap();
        for (value, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Wed, 21 Oct 2015 07:29:30 GMT", Some(90)),
            ("Wed, 21 Oct 2015 07:00:00 GMT", Some(0)),
            ("soon", None),
            ("-5", None),
            ("1.5", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().unwrap());
            assert_eq!(
                retry_after(&headers, now),
                expected.map(Duration::from_secs),
                "{value}"
            );
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
