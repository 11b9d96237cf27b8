//! What robots.txt allows, how often it is asked for, and what happens when it cannot be had.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{Limits, Outcome};
use fetching::{FetchMode, FetchOptions, Fetcher, Robots};
use flate2::Compression;
use futures::future::join_all;
use parking_lot::Mutex;
use sample_origin::{Origin, OriginOptions};
use tokio::io::AsyncWriteExt;

use crate::support::{
    CORPUS, Server, answer, failure, fetch, limits, options, packed_answer, read_request,
};

const FILE: &str = "/robots.txt";

fn polite() -> Fetcher {
    polite_within(&limits())
}

fn polite_within(limits: &Limits) -> Fetcher {
    let options = FetchOptions {
        robots: Robots::Honor,
        ..options()
    };
    Fetcher::new(limits, options).unwrap()
}

/// A host with this answer for robots.txt and an image everywhere else. Returns the paths it was asked for.
async fn host(file: impl Into<Vec<u8>>) -> (Server, Arc<Mutex<Vec<String>>>) {
    let file: Arc<[u8]> = file.into().into();
    let paths: Arc<Mutex<Vec<String>>> = Arc::default();
    let asked = Arc::clone(&paths);
    let server = Server::start(move |mut stream, _| {
        let (file, asked) = (Arc::clone(&file), Arc::clone(&asked));
        async move {
            while let Some(request) = read_request(&mut stream).await {
                let path = request.split(' ').nth(1).unwrap().to_owned();
                let is_file = path == FILE;
                asked.lock().push(path);
                let image = answer("HTTP/1.1 200 OK", b"an image");
                let written = stream.write_all(if is_file { &file } else { &image }).await;
                if written.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    (server, paths)
}

#[tokio::test]
async fn what_robots_txt_disallows_is_not_asked_for() {
    let recording = OriginOptions {
        record_paths: true,
        ..OriginOptions::default()
    };
    let origin = Origin::start_with(Arc::clone(&CORPUS), recording).unwrap();
    let name = &CORPUS.images[0].name;
    let (private, open) = (format!("/private/{name}"), format!("/image/{name}"));
    let fetcher = polite();
    let fetched = fetch(&fetcher, &origin.url(&private)).await;
    let error = fetched.result.unwrap_err();
    assert_eq!(error.outcome(), Outcome::BlockedByRobots);
    assert_eq!(
        error.to_string(),
        "the host's robots.txt disallows this URL"
    );
    assert_eq!((fetched.attempts, fetched.http_status), (0, None));
    assert!(fetch(&fetcher, &origin.url(&open)).await.result.is_ok());
    assert_eq!(
        (origin.requests_for(&private), origin.requests_for(FILE)),
        (0, 1)
    );

    let options = FetchOptions {
        robots: Robots::Ignore,
        ..options()
    };
    let rude = Fetcher::new(&limits(), options).unwrap();
    assert!(fetch(&rude, &origin.url(&private)).await.result.is_ok());
    assert_eq!(origin.requests_for(FILE), 1);
}

#[tokio::test]
async fn robots_txt_is_asked_for_once_however_many_rows_wait_for_it() {
    let (server, paths) = host(answer("HTTP/1.1 200 OK", b"User-agent: *\nDisallow: /no\n")).await;
    let fetcher = polite();
    let urls: Vec<String> = (0..20)
        .map(|number| server.url(&format!("/{number}")))
        .collect();
    for fetched in join_all(urls.iter().map(|url| fetch(&fetcher, url))).await {
        assert_eq!(fetched.attempts, 1);
        fetched.result.unwrap();
    }
    let paths = paths.lock();
    assert_eq!(paths.iter().filter(|path| *path == FILE).count(), 1);
    assert_eq!(paths.len(), 21);
}

#[tokio::test]
async fn rules_for_us_by_name_win_over_those_for_everybody() {
    let rules =
        b"User-agent: *\nDisallow: /\n\nUser-agent: ImgSweep\nDisallow: /*.gif$\nAllow: /\n";
    let (server, _) = host(answer("HTTP/1.1 200 OK", rules)).await;
    let fetcher = polite();
    assert!(fetch(&fetcher, &server.url("/a.png")).await.result.is_ok());
    assert!(
        fetch(&fetcher, &server.url("/a.gif?x"))
            .await
            .result
            .is_ok()
    );
    assert_eq!(
        failure(&fetcher, &server.url("/a.gif")).await.0,
        Outcome::BlockedByRobots
    );
}

#[tokio::test]
async fn a_crawl_delay_keeps_requests_apart_and_leaves_other_hosts_alone() {
    let file = |delay| {
        answer(
            "HTTP/1.1 200 OK",
            format!("User-agent: *\nCrawl-delay: {delay}\n").as_bytes(),
        )
    };
    let (slow, asked) = host(file("0.3")).await;
    let (other, _) = host(file("0")).await;
    let fetcher = polite();
    let began = Instant::now();
    let to = |server: &Server, count: usize| {
        (0..count)
            .map(|row| server.url(&format!("/{row}")))
            .collect::<Vec<_>>()
    };
    let (slow_urls, other_urls) = (to(&slow, 4), to(&other, 20));
    let ours = join_all(slow_urls.iter().map(|url| fetch(&fetcher, url)));
    let others = join_all(other_urls.iter().map(|url| fetch(&fetcher, url)));
    let others = async {
        others.await;
        began.elapsed()
    };
    let (fetched, others_took) = tokio::join!(ours, others);
    assert!(fetched.iter().all(|fetched| fetched.result.is_ok()));
    // Waiting for its turn is not the host's fault.
    assert!(
        fetched
            .iter()
            .all(|fetched| fetched.elapsed < Duration::from_millis(300))
    );
    assert!(
        began.elapsed() >= Duration::from_millis(900),
        "{:?}",
        began.elapsed()
    );
    assert!(others_took < Duration::from_millis(800), "{others_took:?}");
    assert_eq!(asked.lock().len(), 5);
}

#[tokio::test]
async fn a_crawl_delay_is_obeyed_up_to_ten_seconds_and_only_where_it_is_for_us() {
    let (server, _) = host(answer(
        "HTTP/1.1 200 OK",
        b"User-agent: *\nCrawl-delay: 86400\n\nUser-agent: other\nCrawl-delay: 1\n",
    ))
    .await;
    let fetcher = polite();
    fetch(&fetcher, &server.url("/1")).await.result.unwrap();
    let until = |time: u64| Some(std::time::Instant::now() + Duration::from_secs(time));
    let second = server.url("/2");
    let url = crate::support::target(&second);
    let too_soon = fetcher.fetch(&url, until(1), FetchMode::Whole).await;
    assert_eq!(too_soon.result.unwrap_err().outcome(), Outcome::Timeout);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(9)).await;
    tokio::time::resume();
    let in_time = fetcher.fetch(&url, until(20), FetchMode::Whole).await;
    assert!(in_time.result.is_ok(), "{:?}", in_time.result);
}

#[tokio::test]
async fn a_host_without_rules_allows_everything() {
    for file in [
        answer("HTTP/1.1 404 Not Found", b"no such file"),
        answer("HTTP/1.1 403 Forbidden", b""),
        answer("HTTP/1.1 200 OK", b""),
        answer(
            "HTTP/1.1 200 OK\r\nX-Robots-Tag: noindex",
            b"<html>a page for everything</html>",
        ),
        answer("HTTP/1.1 302 Found\r\nLocation: /robots.txt", b""),
    ] {
        let (server, _) = host(file.clone()).await;
        let fetched = fetch(&polite(), &server.url("/a.png")).await;
        assert!(
            fetched.result.is_ok(),
            "{:?}: {}",
            fetched.result,
            String::from_utf8_lossy(&file)
        );
    }
}

#[tokio::test]
async fn a_host_that_cannot_tell_its_rules_is_left_alone_for_now() {
    let (server, paths) = host(answer("HTTP/1.1 500 Oops", b"")).await;
    let limits = Limits {
        max_attempts: 2,
        ..limits()
    };
    let fetcher = polite_within(&limits);
    // The row that finds out is settled; the others wait for another time.
    for is_put_off in [false, true, true] {
        let fetched = fetch(&fetcher, &server.url("/a.png")).await;
        assert_eq!(fetched.attempts, 0);
        let error = fetched.result.unwrap_err();
        assert_eq!(error.outcome(), Outcome::ServerError);
        assert_eq!(
            error.to_string(),
            "robots.txt: the host answered with status 500"
        );
        assert_eq!(error.retry_later().is_some(), is_put_off);
    }
    assert_eq!(*paths.lock(), [FILE, FILE]);
}

#[tokio::test]
async fn a_host_that_is_down_is_a_connect_error_for_every_row_as_ever() {
    let limits = Limits {
        max_attempts: 2,
        ..limits()
    };
    let fetcher = polite_within(&limits);
    for _ in 0..3 {
        let (outcome, error) = failure(&fetcher, "http://127.0.0.1:1/a.png").await;
        assert_eq!(outcome, Outcome::ConnectError);
        assert_eq!(error.to_string(), "the host refused the connection");
        assert_eq!(error.retry_later(), None);
    }
}

#[tokio::test]
async fn only_the_beginning_of_an_endless_file_is_read() {
    let head =
        "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nUser-agent: *\nDisallow: /no\n";
    let mut file = head.as_bytes().to_vec();
    file.resize(3_000_000, b'#');
    let (server, _) = host(file).await;
    let fetcher = polite();
    assert!(fetch(&fetcher, &server.url("/a.png")).await.result.is_ok());
    assert_eq!(
        failure(&fetcher, &server.url("/no.png")).await.0,
        Outcome::BlockedByRobots
    );
}

#[tokio::test]
async fn the_rules_of_every_host_on_the_way_are_asked() {
    let (second, _) = host(answer(
        "HTTP/1.1 200 OK",
        b"User-agent: *\nDisallow: /secret\n",
    ))
    .await;
    let location = second.url("/secret.png");
    let redirect = answer(&format!("HTTP/1.1 302 Found\r\nLocation: {location}"), b"");
    let first = Server::start(move |mut stream, _| {
        let redirect = redirect.clone();
        async move {
            while let Some(request) = read_request(&mut stream).await {
                let missing = answer("HTTP/1.1 404 Not Found", b"");
                let is_file = request.starts_with("GET /robots.txt ");
                stream
                    .write_all(if is_file { &missing } else { &redirect })
                    .await
                    .unwrap();
            }
        }
    })
    .await;
    let fetched = fetch(&polite(), &first.url("/a.png")).await;
    assert_eq!(
        fetched.result.unwrap_err().outcome(),
        Outcome::BlockedByRobots
    );
    assert_eq!((fetched.attempts, fetched.final_url), (1, Some(location)));
}

#[tokio::test]
async fn robots_txt_is_not_waited_for_beyond_the_callers_time() {
    let stalling = Server::start(|mut stream, _| async move {
        read_request(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let fetcher = polite();
    let until = Some(std::time::Instant::now() + Duration::from_millis(200));
    let url = crate::support::target(&stalling.url("/a.png"));
    let fetches = (0..3).map(|_| fetcher.fetch(&url, until, fetching::FetchMode::Whole));
    for fetched in join_all(fetches).await {
        assert!(fetched.later().is_some());
        assert!(fetched.elapsed < Duration::from_millis(400));
    }
}

#[tokio::test]
async fn a_robots_txt_behind_a_forbidden_address_is_none_and_hides_no_image() {
    let location = "http://10.1.2.3/robots.txt";
    let (server, paths) = host(answer(
        &format!("HTTP/1.1 302 Found\r\nLocation: {location}"),
        b"",
    ))
    .await;
    let fetched = fetch(&polite(), &server.url("/a.png")).await;
    assert_eq!(fetched.result.unwrap(), b"an image"[..]);
    assert_eq!(*paths.lock(), [FILE, "/a.png"]);
}

#[tokio::test]
async fn the_beginning_of_packed_rules_counts_however_much_there_is_unpacked() {
    let rules = "User-agent: *\nDisallow: /private\n#".to_owned() + &"x".repeat(1_000_000);
    let (server, _) = host(packed_answer(rules.as_bytes(), Compression::fast())).await;
    let fetcher = polite_within(&Limits {
        max_body_bytes: 100_000,
        ..limits()
    });
    assert!(fetch(&fetcher, &server.url("/image")).await.result.is_ok());
    let (outcome, _) = failure(&fetcher, &server.url("/private/image")).await;
    assert_eq!(outcome, Outcome::BlockedByRobots);
}
