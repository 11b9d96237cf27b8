//! Every limit, against a server that goes beyond it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::{
    CORPUS, FixedNames, Server, answer, failure, fetch, fetcher, limits, options, origin,
    packed_answer, read_request,
};
use domain::{Limits, Outcome};
use fetching::{FetchErrorKind, FetchOptions, Fetcher};
use flate2::Compression;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

fn with(limits: &Limits) -> Fetcher {
    Fetcher::new(limits, options()).unwrap()
}

#[tokio::test]
async fn a_host_that_never_answers_is_a_timeout_of_the_request() {
    let origin = origin();
    let limits = Limits {
        request_timeout: Duration::from_millis(400),
        ..limits()
    };
    let started = Instant::now();
    let (outcome, error) = failure(&with(&limits), &origin.url("/stall")).await;
    assert_eq!(
        (outcome, error.to_string().as_str()),
        (Outcome::Timeout, "no answer came within 0.4 s")
    );
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn the_request_timeout_counts_all_redirects_together() {
    let server = Server::start(|mut stream, _| async move {
        let mut number = 0;
        while read_request(&mut stream).await.is_some() {
            tokio::time::sleep(Duration::from_millis(200)).await;
            number += 1;
            let head = format!("HTTP/1.1 302 Found\r\nLocation: /{number}");
            stream.write_all(&answer(&head, b"")).await.unwrap();
        }
    })
    .await;
    let limits = Limits {
        request_timeout: Duration::from_millis(500),
        ..limits()
    };
    let started = Instant::now();
    let (outcome, _) = failure(&with(&limits), &server.url("/")).await;
    assert_eq!(outcome, Outcome::Timeout);
    assert!(
        started.elapsed() < Duration::from_millis(900),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn silence_within_a_body_is_a_timeout() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
        stream.write_all(head).await.unwrap();
        stream.write_all(&vec![7; 500_000]).await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let limits = Limits {
        read_timeout: Duration::from_millis(300),
        ..limits()
    };
    let (outcome, error) = failure(&with(&limits), &server.url("/")).await;
    assert_eq!(outcome, Outcome::Timeout);
    assert_eq!(error.to_string(), "no byte of the body came for 0.3 s");
}

#[tokio::test]
async fn a_trickling_body_is_too_slow_once_its_grace_is_over() {
    let origin = origin();
    let limits = Limits {
        throughput_grace: Duration::from_millis(400),
        ..limits()
    };
    let started = Instant::now();
    let url = origin.url(&format!("/drip/2000/{}", CORPUS.images[0].name));
    let (outcome, error) = failure(&with(&limits), &url).await;
    assert_eq!(outcome, Outcome::TooSlow);
    assert_eq!(
        error.to_string(),
        "the body came slower than 10000 bytes a second"
    );
    let elapsed = started.elapsed();
    assert!(
        elapsed > Duration::from_millis(350) && elapsed < Duration::from_secs(1),
        "{elapsed:?}"
    );
}

#[tokio::test]
async fn a_declared_length_beyond_the_limit_is_refused_before_a_byte_is_read() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n")
            .await
            .unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let started = Instant::now();
    let (outcome, error) = failure(&fetcher(), &server.url("/")).await;
    assert_eq!(outcome, Outcome::TooLarge);
    assert_eq!(error.to_string(), "the body is longer than 20971520 bytes");
    assert!(started.elapsed() < Duration::from_millis(500));
}

#[tokio::test]
async fn an_undeclared_body_is_read_up_to_the_limit_and_no_further() {
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let server = Server::start(move |mut stream, _| {
        let sent = Arc::clone(&counter);
        async move {
            read_request(&mut stream).await;
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.write_all(head).await.unwrap();
            let mut chunk = b"10000\r\n".to_vec();
            chunk.extend_from_slice(&vec![7; 0x10000]);
            chunk.extend_from_slice(b"\r\n");
            while stream.write_all(&chunk).await.is_ok() {
                sent.fetch_add(0x10000, Ordering::SeqCst);
            }
        }
    })
    .await;
    let limits = Limits {
        max_body_bytes: 300_000,
        ..limits()
    };
    let (outcome, _) = failure(&with(&limits), &server.url("/")).await;
    assert_eq!(outcome, Outcome::TooLarge);
    tokio::time::sleep(Duration::from_millis(100)).await;
    // What is beyond the limit sits in the buffers of two sockets.
    assert!(sent.load(Ordering::SeqCst) < 16 * 1024 * 1024);
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_passes() {
    let server = Server::answering(answer("HTTP/1.1 200 OK", &[7; 5000])).await;
    for (max_body_bytes, expected) in [(5000, None), (4999, Some(Outcome::TooLarge))] {
        let limits = Limits {
            max_body_bytes,
            ..limits()
        };
        let fetched = fetch(&with(&limits), &server.url("/")).await;
        assert_eq!(fetched.result.err().map(|error| error.outcome()), expected);
    }
}

#[tokio::test]
async fn too_many_or_too_long_header_fields_are_a_header_limit() {
    let origin = origin();
    let fetcher = fetcher();
    for path in ["/headers/500", "/header-bytes/300000"] {
        let (outcome, error) = failure(&fetcher, &origin.url(path)).await;
        assert_eq!(outcome, Outcome::HeaderLimit, "{path}: {error}");
        assert_eq!(
            error.to_string(),
            "the answer has more than 100 header fields or 65536 bytes of them"
        );
    }
    let fetched = fetch(&fetcher, &origin.url("/headers/80")).await;
    assert!(fetched.result.is_ok(), "{:?}", fetched.result);
}

#[tokio::test]
async fn an_endless_head_ends_at_the_limit() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await.unwrap();
        while stream.write_all(&[b'x'; 10_000]).await.is_ok() {}
    })
    .await;
    assert_eq!(
        failure(&fetcher(), &server.url("/")).await.0,
        Outcome::HeaderLimit
    );
}

#[tokio::test]
async fn endless_interim_answers_of_few_bytes_end_with_the_request_timeout() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await;
        while stream
            .write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            .await
            .is_ok()
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let limits = Limits {
        request_timeout: Duration::from_millis(300),
        ..limits()
    };
    assert_eq!(
        failure(&with(&limits), &server.url("/")).await.0,
        Outcome::Timeout
    );
}

#[tokio::test]
async fn redirects_are_followed_up_to_the_limit() {
    let origin = origin();
    let fetcher = fetcher();
    let image = &CORPUS.images[0];
    for count in [1, 5] {
        let fetched = fetch(
            &fetcher,
            &origin.url(&format!("/redirect/{count}/{}?x=1", image.name)),
        )
        .await;
        assert_eq!(fetched.result.unwrap(), image.bytes);
        assert_eq!(
            fetched.final_url,
            Some(origin.url(&format!("/image/{}?x=1", image.name)))
        );
        assert_eq!(fetched.attempts, 1);
    }
    let (outcome, error) = failure(
        &fetcher,
        &origin.url(&format!("/redirect/6/{}", image.name)),
    )
    .await;
    assert_eq!(
        (outcome, error.to_string().as_str()),
        (Outcome::RedirectLimit, "there are more than 5 redirects")
    );
    let (outcome, error) = failure(&fetcher, &origin.url("/redirect-loop")).await;
    assert_eq!(
        (outcome, error.to_string().as_str()),
        (Outcome::RedirectLimit, "the redirects lead in a circle")
    );
}

#[tokio::test]
async fn redirects_to_what_is_no_fetchable_url_are_bad_responses() {
    let origin = origin();
    let fetcher = fetcher();
    for (location, reason) in [
        (
            "file%3A%2F%2F%2Fetc%2Fpasswd",
            "the URL's scheme is neither http nor https",
        ),
        ("http%3A%2F%2F", "the URL has no host"),
        (
            "http%3A%2F%2Fuser%3Apw%40127.0.0.1%2F",
            "the URL contains a user name or password, which are not sent to hosts",
        ),
    ] {
        let fetched = fetch(
            &fetcher,
            &origin.url(&format!("/redirect-to?url={location}")),
        )
        .await;
        let error = fetched.result.unwrap_err();
        assert_eq!(error.outcome(), Outcome::BadResponse);
        assert_eq!(
            error.to_string(),
            format!("the host redirected to no fetchable URL: {reason}")
        );
        assert_eq!((fetched.attempts, fetched.http_status), (1, Some(302)));
    }
    let nowhere = Server::answering(answer("HTTP/1.1 302 Found", b"")).await;
    assert_eq!(
        failure(&fetcher, &nowhere.url("/")).await.0,
        Outcome::BadResponse
    );
}

#[tokio::test]
async fn a_slow_name_server_ends_with_the_connect_timeout() {
    let names = FixedNames::default().slow(Duration::from_secs(60));
    let limits = Limits {
        connect_timeout: Duration::from_millis(200),
        ..limits()
    };
    let options = FetchOptions {
        resolver: Some(Arc::new(names)),
        ..options()
    };
    let fetcher = Fetcher::new(&limits, options).unwrap();
    let (outcome, error) = failure(&fetcher, "http://slow.example/").await;
    assert_eq!(outcome, Outcome::DnsError);
    assert_eq!(
        error.to_string(),
        "the host name could not be looked up: no answer within 0.2 s"
    );
}

#[tokio::test]
async fn a_host_that_does_not_accept_ends_with_the_connect_timeout() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    // Fills the queue of connections that nobody accepts, until one more has to wait.
    let mut queued = Vec::new();
    loop {
        let connect = TcpStream::connect(address);
        match tokio::time::timeout(Duration::from_millis(200), connect).await {
            Ok(stream) => queued.push(stream.unwrap()),
            Err(_) => break,
        }
        assert!(queued.len() < 10_000, "the queue has no end");
    }
    let limits = Limits {
        connect_timeout: Duration::from_millis(300),
        ..limits()
    };
    let started = Instant::now();
    let (outcome, error) = failure(&with(&limits), &format!("http://{address}/")).await;
    assert_eq!(
        (outcome, error.kind()),
        (Outcome::ConnectError, FetchErrorKind::Connect),
        "{error}"
    );
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn bodies_beyond_the_memory_budget_wait_for_each_other_and_all_arrive() {
    let server = Server::answering(answer("HTTP/1.1 200 OK", &vec![7; 900_000])).await;
    let options = FetchOptions {
        max_body_bytes_in_flight: 1_000_000,
        max_concurrent_per_host: 16,
        ..options()
    };
    let fetcher = Fetcher::new(
        &Limits {
            request_timeout: Duration::from_secs(20),
            ..limits()
        },
        options,
    )
    .unwrap();
    let fetches: Vec<_> = (0..12)
        .map(|_| {
            let (fetcher, url) = (fetcher.clone(), server.url("/"));
            tokio::spawn(async move { fetch(&fetcher, &url).await.result.map(|bytes| bytes.len()) })
        })
        .collect();
    for fetched in fetches {
        assert_eq!(fetched.await.unwrap(), Ok(900_000));
    }
}

#[tokio::test]
async fn a_host_that_accepts_and_never_answers_is_put_aside() {
    let server = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let limits = Limits {
        request_timeout: Duration::from_millis(50),
        ..limits()
    };
    let fetcher = with(&limits);
    let mut put_aside = 0;
    for _ in 0..20 {
        let (outcome, error) = failure(&fetcher, &server.url("/")).await;
        assert_eq!(outcome, Outcome::Timeout);
        put_aside += u32::from(error.retry_later().is_some());
    }
    assert_eq!((server.accepted(), put_aside), (12, 8));
}

#[tokio::test]
async fn waiting_for_our_own_memory_is_not_the_hosts_time() {
    let body = vec![7; 400_000];
    let server = Server::answering(answer("HTTP/1.1 200 OK", &body)).await;
    let options = FetchOptions {
        max_body_bytes_in_flight: 100_000,
        ..options()
    };
    let limits = Limits {
        request_timeout: Duration::from_millis(300),
        ..limits()
    };
    let fetcher = Fetcher::new(&limits, options).unwrap();
    let first = fetch(&fetcher, &server.url("/1")).await.result.unwrap();
    let url = server.url("/2");
    let (second, ()) = tokio::join!(fetch(&fetcher, &url), async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        drop(first);
    });
    assert_eq!(second.result.unwrap().len(), body.len());
    assert!(
        second.elapsed < Duration::from_millis(300),
        "{:?}",
        second.elapsed
    );
}

/// A fetcher for bodies of `max_body_bytes`, which has `in_flight` for all of them together.
fn with_memory(in_flight: u64, max_body_bytes: u64) -> Fetcher {
    let options = FetchOptions {
        max_body_bytes_in_flight: in_flight,
        ..options()
    };
    let limits = Limits {
        max_body_bytes,
        ..limits()
    };
    Fetcher::new(&limits, options).unwrap()
}

#[tokio::test]
async fn an_unpacked_body_counts_while_somebody_holds_it() {
    let body = vec![7; 400_000];
    let server = Server::answering(packed_answer(&body, Compression::fast())).await;
    let fetcher = with_memory(600_000, 500_000);
    let url = server.url("/");
    let first = fetch(&fetcher, &url).await.result.unwrap();
    // One body at a time may exceed what there is.
    let second = fetch(&fetcher, &url).await.result.unwrap();
    let third = tokio::time::timeout(Duration::from_millis(200), fetch(&fetcher, &url)).await;
    assert!(third.is_err(), "there was memory for a third");
    drop((first, second));
    assert_eq!(fetch(&fetcher, &url).await.result.unwrap().len(), 400_000);
}

#[tokio::test]
async fn packed_bodies_do_not_wait_for_memory_that_they_hold_themselves() {
    let body = vec![7; 300_000];
    let server = Server::answering(packed_answer(&body, Compression::none())).await;
    let fetcher = with_memory(400_000, 350_000);
    let urls: Vec<_> = (0..8).map(|row| server.url(&format!("/{row}"))).collect();
    let fetches = urls
        .iter()
        .map(|url| async { fetch(&fetcher, url).await.result.map(|body| body.len()) });
    let all = futures::future::join_all(fetches);
    let lengths = tokio::time::timeout(Duration::from_secs(20), all)
        .await
        .unwrap();
    assert_eq!(lengths, vec![Ok(300_000); 8]);
}

#[tokio::test]
async fn interim_answers_are_passed_over_but_not_for_ever() {
    let interim = format!(
        "HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n",
        "x".repeat(1000)
    );
    let few = interim.repeat(3).into_bytes();
    let server = Server::answering([few, answer("HTTP/1.1 200 OK", b"abc")].concat()).await;
    let fetched = fetch(&fetcher(), &server.url("/")).await;
    assert_eq!(fetched.result.unwrap(), &b"abc"[..]);

    let flood = Server::start(move |mut stream, _| {
        let interim = interim.clone();
        async move {
            read_request(&mut stream).await;
            while stream.write_all(interim.as_bytes()).await.is_ok() {}
        }
    })
    .await;
    let began = Instant::now();
    let (outcome, error) = failure(&fetcher(), &flood.url("/")).await;
    assert_eq!(outcome, Outcome::HeaderLimit);
    assert!(error.to_string().contains("header fields"), "{error}");
    assert!(began.elapsed() < limits().request_timeout);
}
