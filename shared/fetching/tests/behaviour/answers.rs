//! What each kind of answer becomes.

use domain::Outcome;
use fetching::{FetchErrorKind, FetchOptions, Fetcher};
use tokio::io::AsyncWriteExt;

use crate::support::{
    CORPUS, Server, answer, failure, fetch, fetcher, limits, options, origin, read_request,
};

#[tokio::test]
async fn every_status_has_its_outcome() {
    let origin = origin();
    let fetcher = fetcher();
    for (outcome, statuses) in [
        (Outcome::NotFound, &[404, 410][..]),
        (Outcome::Forbidden, &[401, 403, 451]),
        (Outcome::RateLimited, &[429]),
        (Outcome::ClientError, &[400, 402, 405, 406, 418, 499]),
        (Outcome::ServerError, &[500, 502, 503, 504, 511, 599]),
        (
            Outcome::BadResponse,
            &[201, 202, 204, 205, 206, 300, 304, 305, 600, 999],
        ),
    ] {
        for status in statuses {
            let fetched = fetch(&fetcher, &origin.url(&format!("/status/{status}"))).await;
            let error = fetched.result.unwrap_err();
            assert_eq!(error.outcome(), outcome, "{status}");
            assert_eq!(fetched.http_status, Some(*status));
            assert_eq!(
                error.to_string(),
                format!("the host answered with status {status}")
            );
        }
    }
}

#[tokio::test]
async fn an_image_comes_with_what_the_host_says_about_it() {
    let image = &CORPUS.images[0];
    let head = "HTTP/1.1 203 Non-Authoritative\r\nContent-Type: image/x-odd; q=1\r\nETag: \"abc\"\r\nLast-Modified: Wed, 21 Oct 2015 07:28:00 GMT";
    let server = Server::answering(answer(head, &image.bytes)).await;
    let fetched = fetch(&fetcher(), &server.url("/")).await;
    assert_eq!(fetched.result.unwrap(), image.bytes);
    assert_eq!(fetched.declared_type.as_deref(), Some("image/x-odd; q=1"));
    assert_eq!(fetched.etag.as_deref(), Some("\"abc\""));
    assert_eq!(
        fetched.last_modified.as_deref(),
        Some("Wed, 21 Oct 2015 07:28:00 GMT")
    );
    assert_eq!(fetched.http_status, Some(203));
}

#[tokio::test]
async fn an_empty_body_is_not_an_image() {
    let origin = origin();
    let (outcome, error) = failure(&fetcher(), &origin.url("/empty")).await;
    assert_eq!(
        (outcome, error.kind()),
        (Outcome::NotAnImage, FetchErrorKind::Empty)
    );
}

#[tokio::test]
async fn a_body_that_breaks_off_is_truncated_however_it_does() {
    let origin = origin();
    let name = &CORPUS.images[0].name;
    let fetcher = fetcher();
    for path in [format!("/truncated/{name}"), "/reset".to_owned()] {
        let fetched = fetch(&fetcher, &origin.url(&path)).await;
        let error = fetched.result.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Truncated, "{path}: {error}");
        assert_eq!(fetched.http_status, Some(200));
    }
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n";
    let server = Server::answering_once(chunked).await;
    assert_eq!(
        failure(&fetcher, &server.url("/")).await.0,
        Outcome::Truncated
    );
}

#[tokio::test]
async fn what_is_not_http_is_a_bad_response() {
    let fetcher = fetcher();
    for (garbage, why) in [
        ("SSH-2.0-OpenSSH_9.6\r\n", "another protocol"),
        ("HTTP/1.1 OK\r\n\r\n", "no status"),
        (
            "HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
            "a malformed field",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "two lengths",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "a negative length",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Le", "half a head"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            "a chunk without a size",
        ),
        ("HTTP/1.1 103 Early Hints\r\n\r\n", "interim answers only"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            "another protocol later",
        ),
        ("HTTP/2.0 200 OK\r\n\r\n", "a version that cannot be"),
    ] {
        let server = Server::answering_once(garbage).await;
        let (outcome, error) = failure(&fetcher, &server.url("/")).await;
        assert_eq!(outcome, Outcome::BadResponse, "{why}: {error}");
    }
    let origin = origin();
    for path in ["/garbage", "/bad-header"] {
        assert_eq!(
            failure(&fetcher, &origin.url(path)).await.0,
            Outcome::BadResponse,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_connection_that_ends_without_an_answer_is_a_connect_error() {
    let fetcher = fetcher();
    let origin = origin();
    let (outcome, error) = failure(&fetcher, &origin.url("/close")).await;
    assert_eq!(outcome, Outcome::ConnectError);
    assert_eq!(
        error.to_string(),
        "the host closed the connection without an answer"
    );

    let hangs_up = Server::start(|stream, _| async move { drop(stream) }).await;
    assert_eq!(
        failure(&fetcher, &hangs_up.url("/")).await.0,
        Outcome::ConnectError
    );

    let (outcome, error) = failure(&fetcher, "http://127.0.0.1:1/").await;
    assert_eq!(outcome, Outcome::ConnectError);
    assert_eq!(error.to_string(), "the host refused the connection");
}

#[tokio::test]
async fn a_challenge_in_place_of_the_image_is_a_bot_wall_with_every_status() {
    let fetcher = fetcher();
    let origin = origin();
    let (outcome, error) = failure(&fetcher, &origin.url("/bot-wall")).await;
    assert_eq!(outcome, Outcome::BotWall);
    assert_eq!(
        error.to_string(),
        "Cloudflare asks whether we are human instead of showing the image"
    );

    let page = b"<!doctype html><html><script src=\"https://ct.captcha-delivery.com/c.js\"></script></html>";
    for status in [200, 202, 403, 405, 429, 503] {
        let head = format!("HTTP/1.1 {status} Whatever\r\nContent-Type: text/html");
        let server = Server::answering(answer(&head, page)).await;
        let fetched = fetch(&fetcher, &server.url("/")).await;
        assert_eq!(
            fetched.result.unwrap_err().outcome(),
            Outcome::BotWall,
            "{status}"
        );
        assert_eq!(fetched.http_status, Some(status));
    }
}

#[tokio::test]
async fn an_ordinary_page_is_handed_on_for_the_decoder_to_refuse() {
    let origin = origin();
    for path in ["/html", "/text-as-image", "/svg"] {
        let fetched = fetch(&fetcher(), &origin.url(path)).await;
        assert!(fetched.result.is_ok(), "{path}: {:?}", fetched.result);
    }
}

/// A page, and where it came from: the path asked for is redirected to `target` if there is one.
async fn page_at(target: Option<&str>, title: &str, body_type: &str) -> Server {
    let page = format!("<!DOCTYPE html><html><head><title>{title}</title></head></html>");
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {body_type}");
    let page = answer(&head, page.as_bytes());
    let redirect =
        target.map(|target| answer(&format!("HTTP/1.1 302 Found\r\nLocation: {target}"), b""));
    Server::start(move |mut stream, _| {
        let (page, redirect) = (page.clone(), redirect.clone());
        async move {
            while let Some(request) = read_request(&mut stream).await {
                let is_first = request.starts_with("GET /a.jpg ");
                let answer = redirect.as_ref().filter(|_| is_first).unwrap_or(&page);
                if stream.write_all(answer).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_page_that_says_with_status_200_that_nothing_was_found_is_not_found() {
    for title in [
        "404 Not Found",
        "Seite nicht gefunden | Stühle",
        "ページが見つかりません",
    ] {
        let server = page_at(None, title, "text/html").await;
        let fetched = fetch(&fetcher(), &server.url("/a.jpg")).await;
        assert_eq!(fetched.http_status, Some(200));
        let error = fetched.result.unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotFound, "{title}");
        let detail =
            "the host answered with status 200 and a page that says that nothing was found";
        assert_eq!(error.to_string(), detail);
    }
    for (title, body_type) in [
        ("Peugeot 404", "text/html"),
        ("Chairs", "text/html"),
        ("404", "image/svg+xml"),
    ] {
        let server = page_at(None, title, body_type).await;
        let fetched = fetch(&fetcher(), &server.url("/a.jpg")).await;
        // The declared type says nothing here: the page begins as HTML does.
        assert_eq!(fetched.result.is_ok(), title != "404", "{title}");
    }
}

#[tokio::test]
async fn a_page_that_redirects_led_to_at_the_root_or_an_error_path_is_not_found() {
    for (target, is_found) in [
        ("/", false),
        ("/?from=a", false),
        ("/404.html", false),
        ("/en/not-found/", false),
        ("/login", true),
    ] {
        let server = page_at(Some(target), "Garden chairs", "text/html").await;
        let fetched = fetch(&fetcher(), &server.url("/a.jpg")).await;
        assert_eq!(fetched.result.is_ok(), is_found, "{target}");
        if let Err(error) = fetched.result {
            assert_eq!(error.outcome(), Outcome::NotFound, "{target}");
            assert!(error.to_string().contains("status 200"), "{error}");
        }
        // The home page itself was asked for: it is no image, and that is all.
        assert!(fetch(&fetcher(), &server.url("/")).await.result.is_ok());
    }
    let image = Server::start(|mut stream, _| async move {
        while let Some(request) = read_request(&mut stream).await {
            let head = if request.starts_with("GET /a.jpg ") {
                answer("HTTP/1.1 302 Found\r\nLocation: /", b"")
            } else {
                answer(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html",
                    b"\x89PNG\r\n\x1a\n",
                )
            };
            stream.write_all(&head).await.unwrap();
        }
    })
    .await;
    assert!(fetch(&fetcher(), &image.url("/a.jpg")).await.result.is_ok());
}

#[tokio::test]
async fn an_answer_that_declines_robots_is_opted_out_unless_told_to_ignore_that() {
    let origin = origin();
    let url = origin.url(&format!("/noai/{}", CORPUS.images[0].name));
    let (outcome, error) = failure(&fetcher(), &url).await;
    assert_eq!(outcome, Outcome::OptedOut);
    assert_eq!(error.to_string(), "the answer's X-Robots-Tag says noai");
    let options = FetchOptions {
        respect_noai: false,
        ..options()
    };
    let fetcher = Fetcher::new(&limits(), options).unwrap();
    assert!(fetch(&fetcher, &url).await.result.is_ok());
}

#[tokio::test]
async fn a_gzip_body_nobody_asked_for_is_unpacked() {
    let origin = origin();
    let image = &CORPUS.images[0];
    let fetched = fetch(&fetcher(), &origin.url(&format!("/gzip/{}", image.name))).await;
    assert_eq!(fetched.result.unwrap(), image.bytes);
    assert_eq!(fetched.total_bytes, Some(image.bytes.len() as u64));

    let brotli = Server::answering(answer("HTTP/1.1 200 OK\r\nContent-Encoding: br", b"abc")).await;
    let (outcome, error) = failure(&fetcher(), &brotli.url("/")).await;
    assert_eq!(outcome, Outcome::BadResponse);
    assert_eq!(
        error.to_string(),
        "the body is encoded as br, which was not asked for"
    );

    let packed_for_its_way =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let server = Server::answering(packed_for_its_way).await;
    let (outcome, error) = failure(&fetcher(), &server.url("/")).await;
    assert_eq!(outcome, Outcome::BadResponse);
    assert_eq!(
        error.to_string(),
        "the body was packed for its way, which was not asked for"
    );
}

#[tokio::test]
async fn a_request_says_who_asks_and_for_what() {
    let (sender, mut requests) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |mut stream, _| {
        let sender = sender.clone();
        async move {
            while let Some(request) = read_request(&mut stream).await {
                sender.send(request).unwrap();
                stream
                    .write_all(&answer("HTTP/1.1 200 OK", b"x"))
                    .await
                    .unwrap();
            }
        }
    })
    .await;
    fetch(&fetcher(), &server.url("/ä b?c=d e#f"))
        .await
        .result
        .unwrap();
    let request = requests.recv().await.unwrap().to_ascii_lowercase();
    let mut lines: Vec<&str> = request.trim_end().lines().collect();
    assert_eq!(lines.remove(0), "get /%c3%a4%20b?c=d%20e http/1.1");
    lines.sort_unstable();
    let host = format!("host: {}", server.address);
    let agent = format!(
        "user-agent: imgsweep/{} (+https://github.com/imgsweep/imgsweep)",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(
        lines,
        [
            "accept-encoding: identity",
            "accept: image/*,*/*;q=0.8",
            &host,
            &agent
        ]
    );
}
