//! Hosts that are down, or that asked to be left alone, are left alone: a million rows of a dead host must not wait a million times
//! for a connection (the circuit breaker pattern).

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{FetchError, FetchErrorKind};

/// Failures to connect, one after the other, before a host is put aside …
const MAX_FAILURES: u32 = 5;
/// … if no longer than this lies between the first and the last, or than so many connections may take.
const WINDOW: Duration = Duration::from_mins(1);
/// Requests, one after the other, that a host accepted and did not answer in time, before it is put aside. More than of connections:
/// some hosts make an image when it is asked for.
const MAX_SILENCES: u32 = 12;
/// For how long at first; doubles each time it is still down.
const FIRST_REST: Duration = Duration::from_secs(10);
const MAX_REST: Duration = Duration::from_mins(10);
/// A request that was let through to see whether the host is back has this long to find out.
const PROBE_TIME: Duration = Duration::from_secs(10);

/// Why a host is put aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Down,
    Silent,
    AskedUsTo,
}

/// Counts the failures of one host.
#[derive(Debug)]
pub(crate) struct Breaker {
    window: Duration,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    silences: u32,
}

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

impl State {
    fn closed() -> Self {
        Self::Closed {
            failures: 0,
            since: Instant::now(),
        }
    }
}

impl Breaker {
    /// For a host whose connections may take `connect_timeout` each.
    pub(crate) fn new(connect_timeout: Duration) -> Self {
        Self {
            window: WINDOW.max(connect_timeout * (MAX_FAILURES + 1)),
            inner: Mutex::new(Inner {
                state: State::closed(),
                silences: 0,
            }),
        }
    }

    /// Refuses while the host is put aside, with the wish to be asked again when that is over.
    pub(crate) fn check(&self) -> Result<(), FetchError> {
        let state = &mut self.inner.lock().state;
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
            Cause::Silent => FetchError::new(
                FetchErrorKind::Timeout,
                format!(
                    "the host was put aside after {MAX_SILENCES} requests that it did not answer in time"
                ),
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
        !matches!(self.inner.lock().state, State::Closed { .. })
    }

    /// A connection came about: the host is not down. Whether it answers is another question.
    pub(crate) fn note_connected(&self) {
        let state = &mut self.inner.lock().state;
        let is_about_connections = match *state {
            State::Closed { .. } => true,
            State::Open { cause, .. } => cause == Cause::Down,
            State::HalfOpen { cause, .. } => cause != Cause::Silent,
        };
        if is_about_connections {
            *state = State::closed();
        }
    }

    /// No connection came about.
    pub(crate) fn note_failure(&self) {
        let state = &mut self.inner.lock().state;
        let now = Instant::now();
        match state {
            State::Closed { failures, since } => {
                if *failures == 0 || now - *since > self.window {
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

    /// A request was answered in time, whatever the answer was.
    pub(crate) fn note_answered(&self) {
        let mut inner = self.inner.lock();
        inner.silences = 0;
        if let State::Open { cause, .. } | State::HalfOpen { cause, .. } = inner.state
            && cause == Cause::Silent
        {
            inner.state = State::closed();
        }
    }

    /// A request was accepted and not answered in time, or so slowly that it was given up.
    pub(crate) fn note_silence(&self) {
        let mut inner = self.inner.lock();
        match inner.state {
            State::Closed { .. } => {
                inner.silences += 1;
                if inner.silences >= MAX_SILENCES {
                    inner.state = open(FIRST_REST, Cause::Silent);
                }
            }
            // As above.
            State::Open { .. } => {}
            State::HalfOpen { rest, .. } => {
                inner.state = open((rest * 2).min(MAX_REST), Cause::Silent);
            }
        }
    }

    /// Leaves the host alone for as long as it asked.
    pub(crate) fn rest(&self, time: Duration) {
        self.inner.lock().state = open(time.min(MAX_REST), Cause::AskedUsTo);
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
        let breaker = Breaker::new(Duration::from_secs(10));
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
        let breaker = Breaker::new(Duration::from_secs(10));
        for _ in 0..10 {
            fail(&breaker, 1);
            advance(Duration::from_secs(25)).await;
            assert!(breaker.check().is_ok());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_add_up_however_long_each_connection_is_waited_for() {
        let breaker = Breaker::new(Duration::from_secs(40));
        for _ in 0..MAX_FAILURES {
            assert!(breaker.check().is_ok());
            advance(Duration::from_secs(40)).await;
            breaker.note_failure();
        }
        assert!(breaker.check().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_accepts_and_never_answers_is_put_aside_until_it_answers() {
        let breaker = Breaker::new(Duration::from_secs(10));
        let stay_silent = |times: u32| {
            for _ in 0..times {
                breaker.note_connected();
                breaker.note_silence();
            }
        };
        stay_silent(MAX_SILENCES - 1);
        breaker.note_answered();
        stay_silent(MAX_SILENCES - 1);
        assert!(breaker.check().is_ok());
        stay_silent(3);
        let refused = breaker.check().unwrap_err();
        assert_eq!(refused.kind(), FetchErrorKind::Timeout);
        for expected in [10, 20, 40] {
            assert_eq!(rest_left(&breaker), Some(expected));
            advance(Duration::from_secs(expected)).await;
            assert!(breaker.check().is_ok(), "one request looks");
            breaker.note_connected();
            assert!(breaker.check().is_err(), "a connection is no answer");
            breaker.note_silence();
        }
        advance(Duration::from_secs(80)).await;
        assert!(breaker.check().is_ok());
        breaker.note_answered();
        assert!(!breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn one_request_looks_whether_the_host_is_back_and_the_rest_doubles_while_it_is_not() {
        let breaker = Breaker::new(Duration::from_secs(10));
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
        let breaker = Breaker::new(Duration::from_secs(10));
        fail(&breaker, 5);
        advance(Duration::from_secs(10)).await;
        assert!(breaker.check().is_ok());
        advance(PROBE_TIME).await;
        assert!(breaker.check().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_asked_for_rest_gets_it_though_connections_succeed() {
        let breaker = Breaker::new(Duration::from_secs(10));
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
