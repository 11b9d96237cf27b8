//! Every hostile server and file of the security design: what its row says, and that it costs its neighbours nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{Issue, Limits, Outcome, ResultRow};
use fetching::FetchOptions;
use sample_origin::{Origin, OriginOptions, hostile};

use crate::servers::{
    Authority, BlackHole, Certificate, serve, serve_endlessly, serve_http2, serve_tls,
};
use crate::support::{CORPUS, IMAGE, Names, alone, describe, limits, run};

/// Good rows for each bad one.
const NEIGHBOURS: usize = 3;

/// What the paths of the sample host do, and the outcome of each.
const PATHS: &[(&str, Outcome)] = &[
    ("/stall", Outcome::Timeout),
    ("/slow/60000/plain.jpeg", Outcome::Timeout),
    ("/drip/1000/plain.jpeg", Outcome::TooSlow),
    ("/drip/1/plain.jpeg", Outcome::TooSlow),
    ("/huge", Outcome::TooLarge),
    ("/huge-declared", Outcome::TooLarge),
    ("/truncated/plain.jpeg", Outcome::Truncated),
    ("/reset", Outcome::Truncated),
    ("/close", Outcome::ConnectError),
    ("/garbage", Outcome::BadResponse),
    ("/bad-header", Outcome::BadResponse),
    ("/headers/99", Outcome::HeaderLimit),
    ("/headers/10000", Outcome::HeaderLimit),
    ("/header-bytes/70000", Outcome::HeaderLimit),
    ("/header-bytes/16000000", Outcome::HeaderLimit),
    ("/redirect-loop", Outcome::RedirectLimit),
    ("/redirect/6/plain.jpeg", Outcome::RedirectLimit),
    ("/redirect/5/plain.jpeg", Outcome::Ok),
    (
        "/redirect-to?url=file%3A%2F%2F%2Fetc%2Fpasswd",
        Outcome::BadResponse,
    ),
    (
        "/redirect-to?url=http%3A%2F%2Fuser%40127.0.0.1%2F",
        Outcome::BadResponse,
    ),
    (
        "/redirect-to?url=http%3A%2F%2F169.254.169.254%2Flatest%2F",
        Outcome::BlockedAddress,
    ),
    ("/redirect-to?url=%2Fhtml", Outcome::NotAnImage),
    ("/redirect-to?url=%2Fsoft404", Outcome::NotFound),
    ("/empty", Outcome::NotAnImage),
    ("/text-as-image", Outcome::NotAnImage),
    ("/html", Outcome::NotAnImage),
    ("/soft404", Outcome::NotFound),
    ("/svg", Outcome::UnsupportedFormat),
    ("/bot-wall", Outcome::BotWall),
    ("/lying/plain.jpeg", Outcome::Ok),
    ("/gzip/plain.jpeg", Outcome::Ok),
    ("/noai/plain.jpeg", Outcome::OptedOut),
    ("/private/plain.jpeg", Outcome::BlockedByRobots),
    ("/status/204", Outcome::BadResponse),
    ("/status/206", Outcome::BadResponse),
    ("/status/304", Outcome::BadResponse),
    ("/status/101", Outcome::BadResponse),
    ("/status/401", Outcome::Forbidden),
    ("/status/403", Outcome::Forbidden),
    ("/status/404", Outcome::NotFound),
    ("/status/410", Outcome::NotFound),
    ("/status/418", Outcome::ClientError),
    ("/status/429?retry_after=99999999", Outcome::RateLimited),
    ("/status/451", Outcome::Forbidden),
    ("/status/500", Outcome::ServerError),
    ("/status/503?retry_after=99999999", Outcome::ServerError),
    ("/status/599", Outcome::ServerError),
    ("/status/999", Outcome::BadResponse),
];

/// Files that attack the decoder, and the outcome of each.
const FILES: &[(&str, Outcome)] = &[
    ("gif-claims-65535x32767", Outcome::PixelLimit),
    ("gif-ten-thousand-frames", Outcome::Ok),
    ("png-bomb-50000x50000", Outcome::PixelLimit),
    ("png-claimed-iccp-length", Outcome::Truncated),
    ("png-iccp-bomb", Outcome::Ok),
    ("png-ztxt-bomb", Outcome::Ok),
    // Every pixel can be had; the checksum behind the last of them is not asked.
    ("png-wrong-checksum", Outcome::Ok),
    ("png-truncated", Outcome::Truncated),
    ("png-zero-width", Outcome::DecodeError),
    ("jpeg-truncated", Outcome::Truncated),
    ("jpeg-corrupt-entropy", Outcome::DecodeError),
    ("jpeg-header-only", Outcome::Truncated),
    ("jpeg-zero-width", Outcome::DecodeError),
    ("jpeg-html-polyglot", Outcome::Ok),
    ("jpeg-many-scans", Outcome::DecodeError),
    ("bmp-negative-width", Outcome::DecodeError),
    ("bmp-overflowing-dimensions", Outcome::PixelLimit),
    ("bmp-short-palette", Outcome::Ok),
    ("bmp-claimed-palette-length", Outcome::Truncated),
    ("tiff-directory-loop", Outcome::DecodeError),
];

/// A row of the list, and the outcome it must have.
struct Row {
    url: String,
    expected: Outcome,
}

impl Row {
    fn new(url: impl Into<String>, expected: Outcome) -> Self {
        Self {
            url: url.into(),
            expected,
        }
    }
}

/// Longest that a row may take, with some room for a busy machine.
fn deadline(limits: &Limits) -> Duration {
    limits.request_timeout + Duration::from_secs(2)
}

/// Runs `bad` among good neighbours on another host, in one chunk.
async fn run_among_neighbours(bad: &[Row], origin: &Origin, fetch: FetchOptions) -> Vec<ResultRow> {
    let limits = limits();
    let mut urls = Vec::new();
    for (number, row) in bad.iter().enumerate() {
        urls.push(row.url.clone());
        urls.extend(
            (0..NEIGHBOURS)
                .map(|neighbour| origin.url(&format!("/slow/50/{IMAGE}?row={number}.{neighbour}"))),
        );
    }
    let started = Instant::now();
    let rows = run(&urls, fetch, &limits).await;
    // One round of requests, whatever the number of rows: none waits for another one's deadline.
    let most = deadline(&limits) * 2;
    assert!(started.elapsed() < most, "{:?}", started.elapsed());
    let mut wrong = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let expected = match number % (1 + NEIGHBOURS) {
            0 => bad[number / (1 + NEIGHBOURS)].expected,
            _ => Outcome::Ok,
        };
        let elapsed = Duration::from_millis(row.elapsed_ms.unwrap_or_default());
        if row.outcome != expected || elapsed > deadline(&limits) {
            wrong.push(format!("{}, expected {}", describe(row), expected.as_str()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let bad_only = rows.into_iter().step_by(1 + NEIGHBOURS);
    bad_only.collect()
}

fn opened() -> FetchOptions {
    FetchOptions {
        max_concurrent: 128,
        max_concurrent_per_host: 16,
        allow_private: vec!["127.0.0.0/8".parse().unwrap()],
        ..FetchOptions::default()
    }
}

/// A host with as many addresses as needed, so that no misbehaviour is blamed on another row's host.
fn origin(further_hosts: usize) -> Origin {
    let options = OriginOptions {
        further_hosts: further_hosts as u16,
        ..OriginOptions::default()
    };
    Origin::start_with(Arc::clone(&CORPUS), options).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_answers_have_their_outcomes_and_spare_their_neighbours() {
    let _turn = alone().await;
    let origin = origin(PATHS.len());
    let bad: Vec<Row> = PATHS
        .iter()
        .zip(1..)
        .map(|((path, expected), host)| Row::new(origin.url_on(host, path), *expected))
        .collect();
    let rows = run_among_neighbours(&bad, &origin, opened()).await;
    let lying = rows.iter().find(|row| row.url.contains("/lying/")).unwrap();
    assert!(
        lying.issues.contains(&Issue::TypeMismatch),
        "{:?}",
        lying.issues
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_files_have_their_outcomes_and_spare_their_neighbours() {
    let _turn = alone().await;
    let names: Vec<&str> = hostile::all().iter().map(|(name, _)| *name).collect();
    let listed: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
    assert_eq!(listed, names, "a hostile file has no expected outcome");
    let origin = origin(FILES.len());
    let bad: Vec<Row> = FILES
        .iter()
        .zip(1..)
        .map(|((name, expected), host)| {
            Row::new(origin.url_on(host, &format!("/hostile/{name}")), *expected)
        })
        .collect();
    run_among_neighbours(&bad, &origin, opened()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_never_come_to_the_point_are_given_up_and_spare_their_neighbours() {
    let _turn = alone().await;
    let origin = origin(0);
    let hole = BlackHole::open("127.0.0.2").await;
    let pause = Duration::from_millis(20);
    let interim = serve_endlessly("127.0.0.3", "", "HTTP/1.1 103 Early Hints\r\n\r\n", pause).await;
    let slow_head = serve_endlessly("127.0.0.4", "HTTP/1.1 200 OK\r\nX-Long: ", "y", pause).await;
    let fields = serve_endlessly(
        "127.0.0.5",
        "HTTP/1.1 200 OK\r\n",
        &"X-More: y\r\n".repeat(50),
        Duration::ZERO,
    )
    .await;
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let extension = serve_endlessly("127.0.0.6", head, "1;extension\r\ny\r\n", pause).await;
    let no_head = serve_endlessly("127.0.0.7", "", "y", Duration::ZERO).await;
    let silent = serve("127.0.0.8", |stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let bad = [
        Row::new(
            format!("http://{}/x.jpg", hole.address),
            Outcome::ConnectError,
        ),
        Row::new(format!("http://{interim}/x.jpg"), Outcome::Timeout),
        Row::new(format!("http://{slow_head}/x.jpg"), Outcome::Timeout),
        Row::new(format!("http://{fields}/x.jpg"), Outcome::HeaderLimit),
        Row::new(format!("http://{extension}/x.jpg"), Outcome::TooSlow),
        Row::new(format!("http://{no_head}/x.jpg"), Outcome::BadResponse),
        Row::new(format!("http://{silent}/x.jpg"), Outcome::Timeout),
        // A handshake that stalls.
        Row::new(format!("https://{silent}/x.jpg"), Outcome::TlsError),
        Row::new(
            format!("https://{}/x.jpg", origin.addr()),
            Outcome::TlsError,
        ),
    ];
    // Their robots.txt would come no sooner than their images.
    let fetch = FetchOptions {
        robots: fetching::Robots::Ignore,
        ..opened()
    };
    run_among_neighbours(&bad, &origin, fetch).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_never_lowered_and_http2_resets_are_told_apart() {
    const HOST: &str = "images.example";
    let _turn = alone().await;
    let origin = origin(0);
    let image = CORPUS.get(IMAGE).unwrap().bytes.clone();
    let authority = Authority::new();
    let mut bad = Vec::new();
    for (number, certificate, expected) in [
        (2, Certificate::Good, Outcome::Ok),
        (3, Certificate::Expired, Outcome::TlsError),
        (4, Certificate::NotYetValid, Outcome::TlsError),
        (5, Certificate::OfAnotherHost, Outcome::TlsError),
        (6, Certificate::SelfSigned, Outcome::TlsError),
    ] {
        let acceptor = authority.acceptor(HOST, certificate, "http/1.1");
        let address = serve_tls(&format!("127.0.0.{number}"), acceptor, image.clone()).await;
        bad.push(Row::new(
            format!("https://host-{number}.{HOST}:{}/x.jpg", address.port()),
            expected,
        ));
    }
    let paths = [
        ("/image", Outcome::Ok),
        ("/reset", Outcome::ConnectError),
        ("/calm", Outcome::RateLimited),
        ("/half", Outcome::Truncated),
        ("/fields", Outcome::HeaderLimit),
        ("/long", Outcome::HeaderLimit),
        ("/list", Outcome::HeaderLimit),
        ("/flood", Outcome::HeaderLimit),
        ("/stall", Outcome::Timeout),
    ];
    for (number, (path, expected)) in (20..).zip(paths) {
        let acceptor = authority.acceptor(HOST, Certificate::Good, "h2");
        let address = serve_http2(&format!("127.0.0.{number}"), acceptor, image.clone()).await;
        bad.push(Row::new(
            format!("https://host-{number}.{HOST}:{}{path}", address.port()),
            expected,
        ));
    }
    // Every server shows a certificate of the same names at an address of its own.
    let names = Names::new(|name, _| {
        let number: u8 = name
            .strip_prefix("host-")?
            .split('.')
            .next()?
            .parse()
            .ok()?;
        Some(vec![IpAddr::from([127, 0, 0, number])])
    });
    let fetch = FetchOptions {
        resolver: Some(names),
        extra_roots: vec![authority.root()],
        ..opened()
    };
    run_among_neighbours(&bad, &origin, fetch).await;
}
