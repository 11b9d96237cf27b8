//! Where the beginning of a body may do, no more than its first part is asked for.

use std::sync::Arc;

use domain::Outcome;
use fetching::{Enough, FetchMode, Fetched};
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;

use crate::support::{Server, answer, fetcher, read_request, target};

const PART: usize = 16 * 1024;

/// A server that answers requests for a part with `part` and all others with `whole`; tells which ones came.
async fn server(part: Vec<u8>, whole: Vec<u8>) -> (Server, Arc<Mutex<Vec<&'static str>>>) {
    let requests: Arc<Mutex<Vec<&'static str>>> = Arc::default();
    let noted = Arc::clone(&requests);
    let server = Server::start(move |mut stream, _| {
        let (part, whole, noted) = (part.clone(), whole.clone(), Arc::clone(&noted));
        async move {
            while let Some(request) = read_request(&mut stream).await {
                let is_part = request.to_lowercase().contains("range: bytes=0-16383");
                noted.lock().push(if is_part { "part" } else { "whole" });
                let answer = if is_part { &part } else { &whole };
                if stream.write_all(answer).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    (server, requests)
}

fn part(range: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 206 Partial Content\r\nContent-Range: {range}");
    answer(&head, body)
}

fn whole() -> Vec<u8> {
    answer("HTTP/1.1 200 OK", &vec![7; 100_000])
}

async fn fetch(server: &Server, needed: usize) -> Fetched {
    let is_enough = |prefix: &[u8]| {
        if prefix.len() >= needed {
            Enough::Yes
        } else {
            Enough::No
        }
    };
    let url = target(&server.url("/"));
    fetcher()
        .fetch(&url, None, FetchMode::Prefix(&is_enough))
        .await
}

#[tokio::test]
async fn a_part_that_tells_enough_is_all_that_is_fetched() {
    for range in ["bytes 0-16383/100000", "bytes 0-16383/*"] {
        let (server, requests) = server(part(range, &vec![7; PART]), whole()).await;
        let fetched = fetch(&server, PART).await;
        assert_eq!(fetched.result.unwrap().len(), PART);
        assert_eq!(fetched.http_status, Some(206));
        let expected = Some(100_000).filter(|_| range.ends_with("100000"));
        assert_eq!(fetched.total_bytes, expected);
        assert_eq!(*requests.lock(), ["part"]);
    }
}

#[tokio::test]
async fn a_part_that_is_the_whole_body_is_not_asked_for_again() {
    let (server, requests) = server(part("bytes 0-999/1000", &[7; 1000]), whole()).await;
    let fetched = fetch(&server, usize::MAX).await;
    assert_eq!(fetched.result.unwrap().len(), 1000);
    assert_eq!(fetched.total_bytes, Some(1000));
    assert_eq!(*requests.lock(), ["part"]);
}

#[tokio::test]
async fn what_a_part_does_not_tell_is_looked_for_in_the_whole() {
    let gzip = "HTTP/1.1 206 Partial Content\r\nContent-Encoding: gzip\r\n\
                Content-Range: bytes 0-16383/100000";
    for (told, needed) in [
        (part("bytes 0-16383/100000", &vec![7; PART]), PART + 1),
        (part("bytes 0-16383/*", &vec![7; PART]), PART + 1),
        (part("bytes 500-999/1000", &[7; 500]), 1),
        (part("anything", &[7; 500]), 1),
        (part("bytes 0-16383/5", &vec![7; PART]), 1),
        (part("bytes 0--5/10", &[7; 500]), 1),
        (part("bytes 0-1,5-6/99", &[7; 500]), 1),
        (part("bytes 0-998/1000", &[7; 1000]), 1),
        (answer(gzip, &vec![7; PART]), 1),
        (answer("HTTP/1.1 416 Range Not Satisfiable", b"no"), 1),
    ] {
        let (server, requests) = server(told, whole()).await;
        let fetched = fetch(&server, needed).await;
        assert!(fetched.result.unwrap().len() >= needed);
        assert_eq!(fetched.http_status, Some(200));
        assert_eq!(fetched.total_bytes, Some(100_000));
        assert_eq!(fetched.attempts, 1);
        assert_eq!(*requests.lock(), ["part", "whole"]);
        assert_eq!(server.accepted(), 1, "the connection is kept");
    }
}

#[tokio::test]
async fn a_part_of_a_body_that_is_too_large_is_refused_like_the_whole() {
    let range = "bytes 0-16383/10000000000";
    let (server, _) = server(part(range, &vec![7; PART]), whole()).await;
    let error = fetch(&server, 1).await.result.unwrap_err();
    assert_eq!(error.outcome(), Outcome::TooLarge);
}

#[tokio::test]
async fn a_part_that_was_not_asked_for_is_no_body() {
    let unasked = part("bytes 0-16383/100000", &vec![7; PART]);
    let (server, requests) = server(part("anything", b"x"), unasked).await;
    let error = fetch(&server, 1).await.result.unwrap_err();
    assert_eq!(error.outcome(), Outcome::BadResponse);
    assert_eq!(*requests.lock(), ["part", "whole"]);
}
