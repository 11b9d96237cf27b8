//! Hosts that are down, or that asked to be left alone, are left alone: a million rows of a dead host must not wait a million times
//! for a connection (the circuit breaker pattern).

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{FetchError, FetchErrorKind};

/// Failures to connect, one after the other, before a host is put aside …
const MAX_FAILURES: u32 = 5;
/// … if no longer than this lies between the first and the last.
const WINDOW: Duration = Duration::from_mins(1);
/// For how long at first; doubles each time it is still down.
const FIRST_REST: Duration = Duration::from_secs(10);
const MAX_REST: Duration = Duration::from_mins(10);
/// A request that was let through to see whether the host is back has this long to find out.
const PROBE_TIME: Duration = Duration::from_secs(10);

/// Why a host is put aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Down,
    AskedUsTo,
}

/// Counts the failures of one host.
#[derive(Debug, Default)]
pub(crate) struct Breaker(Mutex<State>);

#[derive(Debug)]
enum State {
    /// Requests pass; so many failures in a row since the given time.
    Closed { failures: u32, since: Instant },
    /// No request passes.
    Open {
        until: Instant,
        rest: Duration,
        cause: Cause,
    },
    /// One request passed, and until the given time no other one does.
    HalfOpen {
        until: Instant,
        rest: Duration,
        cause: Cause,
    },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed {
            failures: 0,
            since: Instant::now(),
        }
    }
}

impl Breaker {
    /// Refuses while the host is put aside, with the wish to be asked again when that is over.
    pub(crate) fn check(&self) -> Result<(), FetchError> {
        let mut state = self.0.lock();
        let (until, rest, cause) = match *state {
            State::Closed { .. } => return Ok(()),
            State::Open { until, rest, cause } | State::HalfOpen { until, rest, cause } => {
                (until, rest, cause)
            }
        };
        let now = Instant::now();
        if until <= now {
            *state = State::HalfOpen {
                until: now + PROBE_TIME,
                rest,
                cause,
            };
            return Ok(());
        }
        let error = match cause {
            Cause::Down => FetchError::new(
                FetchErrorKind::PutAside,
                format!("the host was put aside after {MAX_FAILURES} failed connections"),
            ),
            Cause::AskedUsTo => FetchError::new(
                FetchErrorKind::RateLimited,
                "the host asked again and again for no further requests for a while",
            ),
        };
        Err(error.later(Some(until - now)))
    }

    /// Whether the host is put aside.
    pub(crate) fn is_open(&self) -> bool {
        !matches!(*self.0.lock(), State::Closed { .. })
    }

    /// A connection came about.
    pub(crate) fn note_connected(&self) {
        let mut state = self.0.lock();
        if !matches!(
            *state,
            State::Open {
                cause: Cause::AskedUsTo,
                ..
            }
        ) {
            *state = State::default();
        }
    }

    /// No connection came about.
    pub(crate) fn note_failure(&self) {
        let mut state = self.0.lock();
        let now = Instant::now();
        match &mut *state {
            State::Closed { failures, since } => {
                if *failures == 0 || now - *since > WINDOW {
                    *failures = 0;
                    *since = now;
                }
                *failures += 1;
                if *failures >= MAX_FAILURES {
                    *state = open(FIRST_REST, Cause::Down);
                }
            }
            // Requests that were under way when the host was put aside bring no news.
            State::Open { .. } => {}
            State::HalfOpen { rest, .. } => *state = open((*rest * 2).min(MAX_REST), Cause::Down),
        }
    }

    /// Leaves the host alone for as long as it asked.
    pub(crate) fn rest(&self, time: Duration) {
        *self.0.lock() = open(time.min(MAX_REST), Cause::AskedUsTo);
    }
}

fn open(rest: Duration, cause: Cause) -> State {
    let until = Instant::now() + rest;
    State::Open { until, rest, cause }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn fail(breaker: &Breaker, times: u32) {
        for _ in 0..times {
            breaker.note_failure();
        }
    }

    fn rest_left(breaker: &Breaker) -> Option<u64> {
        let refused = breaker.check().err()?;
        refused
            .retry_later()
            .unwrap()
            .not_before
            .map(|left| left.as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_is_put_aside_after_five_failures_in_a_row() {
        let breaker = Breaker::default();
        fail(&breaker, 4);
        breaker.note_connected();
        fail(&breaker, 4);
        assert!(breaker.check().is_ok());
        fail(&breaker, 1);
        let refused = breaker.check().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the host was put aside after 5 failed connections"
        );
        assert_eq!(refused.kind(), FetchErrorKind::PutAside);
        assert_eq!(rest_left(&breaker), Some(10));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_spread_over_more_than_the_window_do_not_add_up() {
        let breaker = Breaker::default();
        for _ in 0..10 {
            fail(&breaker, 1);
            advance(Duration::from_secs(25)).await;
            assert!(breaker.check().is_ok());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_request_looks_whether_the_host_is_back_and_the_rest_doubles_while_it_is_not() {
        let breaker = Breaker::default();
        fail(&breaker, 5);
        fail(&breaker, 50);
        for expected in [10, 20, 40, 80, 160, 320, 600, 600] {
            assert_eq!(rest_left(&breaker), Some(expected));
            advance(Duration::from_secs(expected)).await;
            assert!(breaker.check().is_ok());
            assert!(breaker.check().is_err(), "only one request looks");
            breaker.note_failure();
        }
        advance(Duration::from_mins(10)).await;
        assert!(breaker.check().is_ok());
        breaker.note_connected();
        assert!(breaker.check().is_ok());
        assert!(!breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_never_reports_back_is_followed_by_another() {
        let breaker = Breaker::default();
        fail(&breaker, 5);
        advance(Duration::from_secs(10)).await;
        assert!(breaker.check().is_ok());
        advance(PROBE_TIME).await;
        assert!(breaker.check().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_asked_for_rest_gets_it_though_connections_succeed() {
        let breaker = Breaker::default();
        breaker.rest(Duration::from_secs(90));
        breaker.note_connected();
        let refused = breaker.check().unwrap_err();
        assert_eq!(refused.kind(), FetchErrorKind::RateLimited);
        assert_eq!(rest_left(&breaker), Some(90));
        advance(Duration::from_secs(90)).await;
        assert!(breaker.check().is_ok());
        breaker.note_connected();
        assert!(!breaker.is_open());
    }
}
