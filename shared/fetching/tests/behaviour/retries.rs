//! When another attempt is made, and when the row is put off instead.

use std::time::{Duration, Instant};

use domain::{Limits, Outcome};
use fetching::{FetchErrorKind, FetchMode, Fetcher};

use crate::support::{Server, answer, fetch, limits, options, origin, target};

fn persistent(max_attempts: u32) -> Fetcher {
    let limits = Limits {
        max_attempts,
        ..limits()
    };
    Fetcher::new(&limits, options()).unwrap()
}

#[tokio::test]
async fn a_flaky_host_is_asked_again_until_it_serves() {
    let origin = origin();
    let fetched = fetch(&persistent(3), &origin.url("/flaky/2/key")).await;
    assert_eq!((fetched.attempts, fetched.http_status), (3, Some(200)));
    assert!(fetched.result.is_ok());
    assert!(fetched.elapsed > Duration::ZERO);
}

#[tokio::test]
async fn attempts_end_at_the_limit_with_the_last_outcome() {
    let origin = origin();
    let fetched = fetch(&persistent(2), &origin.url("/status/500")).await;
    assert_eq!((fetched.attempts, origin.requests()), (2, 2));
    let error = fetched.result.unwrap_err();
    assert_eq!(
        (error.outcome(), error.retry_later()),
        (Outcome::ServerError, None)
    );
}

#[tokio::test]
async fn what_is_final_is_asked_once() {
    let origin = origin();
    let fetcher = persistent(5);
    for path in [
        "/status/404",
        "/status/403",
        "/status/204",
        "/bot-wall",
        "/headers/500",
        "/redirect-loop",
        "/empty",
    ] {
        let fetched = fetch(&fetcher, &origin.url(path)).await;
        assert_eq!(fetched.attempts, 1, "{path}");
        assert_eq!(fetched.later(), None, "{path}");
    }
}

#[tokio::test]
async fn a_short_retry_after_is_obeyed_in_place() {
    let origin = origin();
    let started = Instant::now();
    let fetched = fetch(&persistent(2), &origin.url("/status/429?retry_after=1")).await;
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!((fetched.attempts, origin.requests()), (2, 2));
    assert_eq!(fetched.result.unwrap_err().outcome(), Outcome::RateLimited);
}

#[tokio::test]
async fn a_long_retry_after_puts_the_row_off() {
    let origin = origin();
    for status in [429, 503] {
        let fetched = fetch(
            &persistent(3),
            &origin.url(&format!("/status/{status}?retry_after=120")),
        )
        .await;
        assert_eq!(fetched.attempts, 1);
        let later = fetched.later().unwrap();
        assert_eq!(later.not_before, Some(Duration::from_secs(120)), "{status}");
    }
}

#[tokio::test]
async fn no_attempt_goes_beyond_the_callers_time() {
    let origin = origin();
    let fetcher = persistent(3);
    let started = Instant::now();
    let until = Some(started + Duration::from_millis(300));
    for path in ["/stall", "/status/429?retry_after=1"] {
        let fetched = fetcher
            .fetch(&target(&origin.url(path)), until, FetchMode::Whole)
            .await;
        assert!(fetched.later().is_some(), "{path}");
        assert!(started.elapsed() < Duration::from_millis(900), "{path}");
    }
    let before = origin.requests();
    let fetched = fetcher
        .fetch(&target(&origin.url("/html")), until, FetchMode::Whole)
        .await;
    let error = fetched.result.unwrap_err();
    assert_eq!(
        (error.kind(), error.outcome()),
        (FetchErrorKind::OutOfTime, Outcome::Timeout)
    );
    assert_eq!((fetched.attempts, origin.requests()), (0, before));
}

#[tokio::test]
async fn a_truncated_body_is_fetched_again() {
    let server = Server::answering_once("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await;
    let fetched = fetch(&persistent(2), &server.url("/")).await;
    assert_eq!((fetched.attempts, server.accepted()), (2, 2));
    assert_eq!(fetched.result.unwrap_err().outcome(), Outcome::Truncated);
}

#[tokio::test]
async fn the_result_of_the_last_attempt_is_not_mixed_with_that_of_earlier_ones() {
    let redirects_first = Server::start(|mut stream, number| async move {
        use tokio::io::AsyncWriteExt;
        crate::support::read_request(&mut stream).await;
        let head = match number {
            0 => "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nConnection: close",
            1 => "HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\nConnection: close",
            _ => "HTTP/1.1 200 OK\r\nConnection: close",
        };
        stream.write_all(&answer(head, b"x")).await.unwrap();
    })
    .await;
    let fetched = fetch(&persistent(2), &redirects_first.url("/")).await;
    assert_eq!((fetched.attempts, fetched.http_status), (2, Some(200)));
    assert_eq!((fetched.final_url, fetched.declared_type), (None, None));
}
