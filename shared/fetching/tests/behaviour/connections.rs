//! Connections: kept where that is possible, replaced where they went stale, given up where they cost too much.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::{Limits, Outcome};
use fetching::{Enough, FetchMode, FetchOptions, Fetcher};
use tokio::io::AsyncWriteExt;

use crate::support::{
    CORPUS, Server, answer, failure, fetch, fetcher, limits, options, origin, read_request, target,
};

#[tokio::test]
async fn requests_to_one_host_share_a_connection() {
    let server = Server::answering(answer("HTTP/1.1 200 OK", &vec![7; 100_000])).await;
    let fetcher = fetcher();
    for _ in 0..20 {
        fetch(&fetcher, &server.url("/")).await.result.unwrap();
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn short_pages_of_refusals_and_redirects_do_not_cost_the_connection() {
    for head in [
        "HTTP/1.1 404 Not Found",
        "HTTP/1.1 403 Forbidden",
        "HTTP/1.1 302 Found\r\nLocation: ftp://x/",
    ] {
        let server = Server::answering(answer(head, &vec![b'x'; 60_000])).await;
        let fetcher = fetcher();
        for _ in 0..3 {
            failure(&fetcher, &server.url("/")).await;
        }
        assert_eq!(server.accepted(), 1, "{head}");
    }
}

#[tokio::test]
async fn long_pages_of_refusals_are_not_read() {
    let server = Server::answering(answer("HTTP/1.1 404 Not Found", &vec![b'x'; 10_000_000])).await;
    let fetcher = fetcher();
    for _ in 0..2 {
        assert_eq!(
            failure(&fetcher, &server.url("/")).await.0,
            Outcome::NotFound
        );
    }
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn a_connection_closed_while_it_was_idle_is_replaced_within_the_same_attempt() {
    let server = Server::start(|mut stream, _| async move {
        // Two answers, then the connection is closed without a word.
        for _ in 0..2 {
            read_request(&mut stream).await;
            stream
                .write_all(&answer("HTTP/1.1 200 OK", b"x"))
                .await
                .unwrap();
        }
        read_request(&mut stream).await;
    })
    .await;
    let fetcher = fetcher();
    for _ in 0..6 {
        let fetched = fetch(&fetcher, &server.url("/")).await;
        assert_eq!(fetched.attempts, 1);
        fetched.result.unwrap();
    }
    assert_eq!(server.accepted(), 3);
}

#[tokio::test]
async fn a_host_that_says_close_is_asked_on_a_new_connection() {
    let server = Server::answering_once(answer("HTTP/1.1 200 OK\r\nConnection: close", b"x")).await;
    let fetcher = fetcher();
    for _ in 0..3 {
        fetch(&fetcher, &server.url("/")).await.result.unwrap();
    }
    assert_eq!(server.accepted(), 3);
}

#[tokio::test]
async fn a_prefix_that_suffices_ends_the_transfer() {
    let served = 50_000_000;
    let server = Server::answering(answer("HTTP/1.1 200 OK", &vec![7; served])).await;
    let limits = Limits {
        max_body_bytes: 100_000_000,
        ..limits()
    };
    let fetcher = Fetcher::new(&limits, options()).unwrap();
    let longest = AtomicUsize::new(0);
    let is_enough = |prefix: &[u8]| {
        longest.fetch_max(prefix.len(), Ordering::Relaxed);
        if prefix.len() >= 1000 {
            Enough::Yes
        } else {
            Enough::No
        }
    };
    let fetched = fetcher
        .fetch(
            &target(&server.url("/")),
            None,
            FetchMode::Prefix(&is_enough),
        )
        .await;
    let bytes = fetched.result.unwrap();
    assert!(
        bytes.len() >= 1000 && bytes.len() < 1_000_000,
        "{}",
        bytes.len()
    );
    assert_eq!(bytes.len(), longest.load(Ordering::Relaxed));
    assert_eq!(fetched.total_bytes, Some(served as u64));
}

#[tokio::test]
async fn a_prefix_of_a_short_body_keeps_the_connection() {
    let server = Server::answering(answer("HTTP/1.1 200 OK", &vec![7; 60_000])).await;
    let fetcher = fetcher();
    for _ in 0..5 {
        let fetched = fetcher
            .fetch(
                &target(&server.url("/")),
                None,
                FetchMode::Prefix(&|_| Enough::Yes),
            )
            .await;
        assert_eq!(fetched.total_bytes, Some(60_000));
        fetched.result.unwrap();
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_prefix_that_never_suffices_is_the_whole_body_and_the_question_is_asked_rarely() {
    let origin = origin();
    let image = CORPUS
        .images
        .iter()
        .max_by_key(|image| image.bytes.len())
        .unwrap();
    let asked = AtomicUsize::new(0);
    let is_enough = |_: &[u8]| {
        asked.fetch_add(1, Ordering::Relaxed);
        Enough::No
    };
    let url = target(&origin.url(&format!("/image/{}", image.name)));
    let fetched = fetcher()
        .fetch(&url, None, FetchMode::Prefix(&is_enough))
        .await;
    assert_eq!(fetched.result.unwrap(), image.bytes);
    assert!(asked.load(Ordering::Relaxed) < 60);
}

#[tokio::test]
async fn a_result_does_not_wait_for_what_is_left_of_its_answer() {
    for (status, outcome) in [("404 Not Found", Some(Outcome::NotFound)), ("200 OK", None)] {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: 1000\r\n\r\nthe beginning");
        let server = Server::start(move |mut stream, _| {
            let head = head.clone();
            async move {
                read_request(&mut stream).await;
                stream.write_all(head.as_bytes()).await.unwrap();
                std::future::pending::<()>().await;
            }
        })
        .await;
        let limits = Limits {
            request_timeout: Duration::from_millis(300),
            ..limits()
        };
        let fetcher = Fetcher::new(&limits, options()).unwrap();
        let mode = FetchMode::Prefix(&|_| Enough::Yes);
        let fetched = fetcher.fetch(&target(&server.url("/")), None, mode).await;
        assert_eq!(fetched.result.err().map(|error| error.outcome()), outcome);
        assert_eq!(fetched.total_bytes, outcome.is_none().then_some(1000));
    }
}

#[tokio::test]
async fn connections_to_many_hosts_are_bounded() {
    let mut servers = Vec::new();
    for _ in 0..40 {
        servers.push(Server::answering(answer("HTTP/1.1 200 OK", b"x")).await);
    }
    let options = FetchOptions {
        max_concurrent: 1,
        ..options()
    };
    let fetcher = Fetcher::new(&limits(), options).unwrap();
    for round in 1..=2 {
        for server in &servers {
            fetch(&fetcher, &server.url("/")).await.result.unwrap();
            // No connection of the first round is left when its host's turn comes again.
            assert_eq!(server.accepted(), round);
        }
    }
    for server in &servers[servers.len() - 10..] {
        fetch(&fetcher, &server.url("/")).await.result.unwrap();
        assert_eq!(server.accepted(), 2, "recent connections are kept");
    }
}

#[tokio::test]
async fn a_fetch_that_is_dropped_gives_everything_back() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let options = FetchOptions {
        max_concurrent: 1,
        max_concurrent_per_host: 1,
        ..options()
    };
    let fetcher = Fetcher::new(&limits(), options).unwrap();
    for _ in 0..3 {
        let url = server.url("/");
        let fetch = fetch(&fetcher, &url);
        assert!(
            tokio::time::timeout(Duration::from_millis(50), fetch)
                .await
                .is_err()
        );
    }
    assert_eq!(server.accepted(), 3);
}
