//! What hosts are spared.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use domain::{Limits, Outcome};
use fetching::{FetchErrorKind, FetchOptions, Fetcher};
use futures::future::join_all;
use tokio::io::AsyncWriteExt;

use crate::support::{Server, answer, failure, fetch, limits, options, read_request};

/// A server that notes how many requests it has under way, and the most it ever had.
async fn counting_server(latency: Duration, most: &Arc<AtomicU32>) -> Server {
    let (now, most) = (Arc::new(AtomicU32::new(0)), Arc::clone(most));
    Server::start(move |mut stream, _| {
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        async move {
            while read_request(&mut stream).await.is_some() {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(latency).await;
                now.fetch_sub(1, Ordering::SeqCst);
                stream
                    .write_all(&answer("HTTP/1.1 200 OK", b"x"))
                    .await
                    .unwrap();
            }
        }
    })
    .await
}

fn fetcher_with(max_concurrent: usize, max_concurrent_per_host: usize) -> Fetcher {
    let options = FetchOptions {
        max_concurrent,
        max_concurrent_per_host,
        ..options()
    };
    Fetcher::new(&limits(), options).unwrap()
}

#[tokio::test]
async fn a_host_gets_no_more_requests_at_once_than_allowed() {
    let most = Arc::new(AtomicU32::new(0));
    let server = counting_server(Duration::from_millis(20), &most).await;
    let fetcher = fetcher_with(100, 3);
    let fetches = (0..30).map(|number| {
        let url = server.url(&format!("/{number}"));
        let fetcher = &fetcher;
        async move { fetch(fetcher, &url).await.result.unwrap() }
    });
    join_all(fetches).await;
    assert_eq!(most.load(Ordering::SeqCst), 3);
    assert!(server.accepted() <= 3, "{}", server.accepted());
}

#[tokio::test]
async fn all_hosts_together_get_no_more_requests_at_once_than_allowed() {
    let most = Arc::new(AtomicU32::new(0));
    let running = Arc::new(AtomicU32::new(0));
    let mut servers = Vec::new();
    for _ in 0..6 {
        let (most, running) = (Arc::clone(&most), Arc::clone(&running));
        servers.push(
            Server::start(move |mut stream, _| {
                let (most, running) = (Arc::clone(&most), Arc::clone(&running));
                async move {
                    while read_request(&mut stream).await.is_some() {
                        most.fetch_max(
                            running.fetch_add(1, Ordering::SeqCst) + 1,
                            Ordering::SeqCst,
                        );
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        running.fetch_sub(1, Ordering::SeqCst);
                        stream
                            .write_all(&answer("HTTP/1.1 200 OK", b"x"))
                            .await
                            .unwrap();
                    }
                }
            })
            .await,
        );
    }
    let fetcher = fetcher_with(4, 2);
    let urls: Vec<String> = (0..5)
        .flat_map(|_| servers.iter().map(|server| server.url("/")))
        .collect();
    for fetched in join_all(urls.iter().map(|url| fetch(&fetcher, url))).await {
        fetched.result.unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_crowd_in_front_of_one_host_does_not_hold_up_another() {
    let most = Arc::new(AtomicU32::new(0));
    let slow = counting_server(Duration::from_millis(300), &most).await;
    let fast = Server::answering(answer("HTTP/1.1 200 OK", b"x")).await;
    let fetcher = fetcher_with(4, 1);
    let crowd: Vec<_> = (0..6)
        .map(|_| {
            let (fetcher, url) = (fetcher.clone(), slow.url("/"));
            tokio::spawn(async move { fetch(&fetcher, &url).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let started = Instant::now();
    fetch(&fetcher, &fast.url("/")).await.result.unwrap();
    assert!(
        started.elapsed() < Duration::from_millis(150),
        "{:?}",
        started.elapsed()
    );
    crowd.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn two_hosts_that_redirect_to_each_other_do_not_block_each_other() {
    let first = Server::answering(answer("HTTP/1.1 200 OK", b"x")).await;
    let location = first.url("/end");
    let head = format!("HTTP/1.1 302 Found\r\nLocation: {location}");
    let second = Server::answering(answer(&head, b"")).await;
    let back = Server::answering(answer(
        &format!("HTTP/1.1 302 Found\r\nLocation: {}", second.url("/")),
        b"",
    ))
    .await;
    let fetcher = fetcher_with(2, 1);
    let urls: Vec<String> = (0..20)
        .map(|number| {
            if number % 2 == 0 {
                second.url("/")
            } else {
                back.url("/")
            }
        })
        .collect();
    let all = join_all(urls.iter().map(|url| fetch(&fetcher, url)));
    for fetched in tokio::time::timeout(Duration::from_secs(2), all)
        .await
        .unwrap()
    {
        fetched.result.unwrap();
    }
}

#[tokio::test]
async fn waiting_for_a_turn_is_not_counted_against_the_host() {
    let most = Arc::new(AtomicU32::new(0));
    let server = counting_server(Duration::from_millis(60), &most).await;
    let limits = Limits {
        request_timeout: Duration::from_millis(200),
        ..limits()
    };
    let options = FetchOptions {
        max_concurrent_per_host: 1,
        ..options()
    };
    let fetcher = Fetcher::new(&limits, options).unwrap();
    let url = server.url("/");
    for fetched in join_all((0..8).map(|_| fetch(&fetcher, &url))).await {
        fetched.result.unwrap();
        assert!(
            fetched.elapsed < Duration::from_millis(200),
            "{:?}",
            fetched.elapsed
        );
    }
}

#[tokio::test]
async fn a_host_that_is_down_is_put_aside_and_its_rows_put_off() {
    let fetcher = fetcher_with(10, 2);
    for _ in 0..5 {
        let (outcome, error) = failure(&fetcher, "http://127.0.0.1:1/").await;
        assert_eq!(
            (outcome, error.kind()),
            (Outcome::ConnectError, FetchErrorKind::Connect)
        );
        assert_eq!(error.retry_later(), None);
    }
    for path in ["a", "b"] {
        let fetched = fetch(&fetcher, &format!("http://127.0.0.1:1/{path}")).await;
        assert_eq!(fetched.attempts, 0);
        let error = fetched.result.unwrap_err();
        assert_eq!(error.kind(), FetchErrorKind::PutAside);
        assert_eq!(error.outcome(), Outcome::ConnectError);
        let not_before = error.retry_later().unwrap().not_before.unwrap();
        assert!(not_before > Duration::from_secs(9) && not_before <= Duration::from_secs(10));
    }
    // Other hosts are not affected.
    let server = Server::answering(answer("HTTP/1.1 200 OK", b"x")).await;
    fetch(&fetcher, &server.url("/")).await.result.unwrap();
}

#[tokio::test]
async fn a_host_that_complains_gets_fewer_requests_at_once() {
    let running = Arc::new(AtomicU32::new(0));
    let most_later = Arc::new(AtomicU32::new(0));
    let requests = Arc::new(AtomicU32::new(0));
    let (now, most, seen) = (
        Arc::clone(&running),
        Arc::clone(&most_later),
        Arc::clone(&requests),
    );
    let server = Server::start(move |mut stream, _| {
        let (now, most, seen) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&seen));
        async move {
            while read_request(&mut stream).await.is_some() {
                let number = seen.fetch_add(1, Ordering::SeqCst);
                let together = now.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                if (8..14).contains(&number) {
                    most.fetch_max(together, Ordering::SeqCst);
                }
                let head = if number < 8 {
                    "HTTP/1.1 429 Slow Down"
                } else {
                    "HTTP/1.1 200 OK"
                };
                stream.write_all(&answer(head, b"x")).await.unwrap();
            }
        }
    })
    .await;
    let fetcher = fetcher_with(100, 8);
    let started = Instant::now();
    let url = server.url("/");
    let fetched = join_all((0..30).map(|_| fetch(&fetcher, &url))).await;
    let complaints = fetched
        .iter()
        .filter(|fetched| fetched.http_status == Some(429))
        .count();
    assert_eq!(complaints, 8);
    assert!(
        started.elapsed() >= Duration::from_millis(100),
        "{:?}",
        started.elapsed()
    );
    assert!(most_later.load(Ordering::SeqCst) <= 5, "{most_later:?}");
}

#[tokio::test]
async fn a_host_that_asks_again_and_again_for_a_long_pause_gets_it() {
    let head = "HTTP/1.1 429 Slow Down\r\nRetry-After: 300";
    let server = Server::answering(answer(head, b"")).await;
    let fetcher = fetcher_with(10, 1);
    let mut kinds = Vec::new();
    for _ in 0..4 {
        let (outcome, error) = failure(&fetcher, &server.url("/")).await;
        assert_eq!(outcome, Outcome::RateLimited);
        let not_before = error.retry_later().unwrap().not_before.unwrap();
        assert!(not_before > Duration::from_secs(290), "{not_before:?}");
        kinds.push(error.to_string());
    }
    assert!(kinds[3].contains("asked again and again"), "{kinds:?}");
}

#[tokio::test]
async fn a_host_whose_quota_is_used_up_is_asked_again_when_it_says_so() {
    let head = "HTTP/1.1 200 OK\r\nRateLimit-Remaining: 0\r\nRateLimit-Reset: 1";
    let server = Server::answering(answer(head, b"an image")).await;
    let fetcher = Fetcher::new(&limits(), options()).unwrap();
    let began = Instant::now();
    for expected in [0, 1, 2] {
        assert!(fetch(&fetcher, &server.url("/")).await.result.is_ok());
        assert_eq!(began.elapsed().as_secs(), expected);
    }
}
