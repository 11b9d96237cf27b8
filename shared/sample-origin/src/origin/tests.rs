use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::LazyLock;
use std::time::Instant;

use super::*;

static CORPUS: LazyLock<Arc<Corpus>> = LazyLock::new(|| Arc::new(Corpus::generate(1, 12)));

const PATIENCE: Duration = Duration::from_secs(10);

fn origin() -> Origin {
    Origin::start_with(
        Arc::clone(&CORPUS),
        OriginOptions {
            record_paths: true,
            ..OriginOptions::default()
        },
    )
    .unwrap()
}

fn sample(format: &str) -> (&'static str, &'static [u8]) {
    let sample = CORPUS
        .images
        .iter()
        .find(|sample| sample.format == format)
        .unwrap();
    (&sample.name, &sample.bytes)
}

struct Received {
    status: u16,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

fn connect(origin: &Origin, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(origin.addr()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    stream
}

/// Everything up to the end of the connection.
fn raw(origin: &Origin, path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    connect(origin, path).read_to_end(&mut bytes).unwrap();
    bytes
}

fn get(origin: &Origin, path: &str) -> Received {
    parse(&raw(origin, path))
}

fn parse(bytes: &[u8]) -> Received {
    let end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .expect("a complete head");
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap()[9..12].parse().unwrap();
    let fields = lines.filter_map(|line| line.split_once(": "));
    let headers = fields
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Received {
        status,
        headers,
        body: bytes[end + 4..].to_vec(),
    }
}

#[test]
fn images_come_with_their_content_type_whatever_the_query() {
    let origin = origin();
    for format in ["jpeg", "png", "webp"] {
        let (name, bytes) = sample(format);
        for query in ["", "?row=17"] {
            let received = get(&origin, &format!("/image/{name}{query}"));
            assert_eq!(received.status, 200);
            assert_eq!(received.headers["content-type"], format!("image/{format}"));
            assert_eq!(received.headers["content-length"], bytes.len().to_string());
            assert_eq!(received.body, bytes);
        }
    }
    assert_eq!(get(&origin, "/image/nothing.jpeg").status, 404);
    assert_eq!(get(&origin, "/no-such-route").status, 404);
}

#[test]
fn one_connection_serves_many_requests_and_can_then_be_answered_outside_http() {
    let origin = origin();
    let mut stream = TcpStream::connect(origin.addr()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    for _ in 0..3 {
        write!(
            stream,
            "GET /robots.txt HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(pages::ROBOTS.as_bytes()) {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
    }
    write!(stream, "GET /garbage HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len(), 512);
    assert!(!rest.starts_with(b"HTTP"));
    assert_eq!(origin.requests(), 4);
}

#[test]
fn requests_are_counted_for_each_path_and_query() {
    let origin = origin();
    let (name, _) = sample("png");
    for path in [
        format!("/image/{name}?row=1"),
        format!("/image/{name}?row=2"),
        format!("/image/{name}?row=1"),
    ] {
        get(&origin, &path);
    }
    assert_eq!(origin.requests(), 3);
    assert_eq!(origin.requests_for(&format!("/image/{name}?row=1")), 2);
    assert_eq!(origin.requests_for(&format!("/image/{name}")), 0);
    assert_eq!(origin.recorded_paths().len(), 2);
    assert_eq!(origin.unrecorded_requests(), 0);
}

#[test]
fn latency_delays_every_answer() {
    let latency = Duration::from_millis(120);
    let origin = Origin::start_with(
        Arc::clone(&CORPUS),
        OriginOptions {
            latency,
            ..OriginOptions::default()
        },
    )
    .unwrap();
    let started = Instant::now();
    assert_eq!(get(&origin, "/html").status, 200);
    assert!(started.elapsed() >= latency);
    assert!(origin.recorded_paths().is_empty());
}

#[test]
fn slow_and_dripping_images_arrive_whole_and_late() {
    let origin = origin();
    let (name, bytes) = sample("jpeg");
    let rate = bytes.len() as u64 * 2;
    for path in [format!("/slow/300/{name}"), format!("/drip/{rate}/{name}")] {
        let started = Instant::now();
        assert_eq!(get(&origin, &path).body, bytes);
        assert!(
            started.elapsed() >= Duration::from_millis(300),
            "{path}: {:?}",
            started.elapsed()
        );
    }
    assert_eq!(get(&origin, &format!("/slow/soon/{name}")).status, 400);
}

#[test]
fn a_stalled_request_gets_no_byte_and_ends_with_the_host() {
    let origin = origin();
    let mut stream = connect(&origin, "/stall");
    stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let error = stream.read(&mut [0; 16]).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        "{error}"
    );

    let address = origin.addr();
    drop(origin);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(matches!(stream.read(&mut [0; 16]), Ok(0) | Err(_)));
    assert_eq!(
        TcpStream::connect(address).unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
}

#[test]
fn any_status_can_be_had_with_its_retry_after() {
    let origin = origin();
    for code in [204, 304, 404, 418, 451, 503, 999] {
        assert_eq!(get(&origin, &format!("/status/{code}")).status, code);
    }
    let limited = get(
        &origin,
        "/status/429?retry_after=Wed%2C%2021%20Oct%202015%2007%3A28%3A00%20GMT",
    );
    assert_eq!(
        (limited.status, limited.headers["retry-after"].as_str()),
        (429, "Wed, 21 Oct 2015 07:28:00 GMT")
    );
    assert_eq!(raw(&origin, "/status/103"), b"HTTP/1.1 103 Interim\r\n\r\n");
    assert_eq!(get(&origin, "/status/99").status, 400);
    assert_eq!(get(&origin, "/status/429?retry_after=%0A").status, 400);
}

#[test]
fn a_flaky_key_fails_as_often_as_asked_and_then_serves_an_image() {
    let origin = origin();
    let (name, bytes) = sample("png");
    let path = format!("/flaky/2/{name}");
    assert_eq!(get(&origin, &path).status, 503);
    assert_eq!(get(&origin, &format!("{path}?row=2")).status, 503);
    assert_eq!(get(&origin, &path).body, bytes);
    assert_eq!(get(&origin, "/flaky/1/another-key").status, 503);
    assert_eq!(
        get(&origin, "/flaky/1/another-key").headers["content-type"],
        "image/jpeg"
    );
}

#[test]
fn redirects_count_down_and_keep_the_query() {
    let origin = origin();
    let (name, _) = sample("jpeg");
    let location = |path: &str| {
        let received = get(&origin, path);
        assert_eq!(received.status, 302, "{path}");
        received.headers["location"].clone()
    };
    let second = location(&format!("/redirect/2/{name}?row=5"));
    assert_eq!(second, format!("/redirect/1/{name}?row=5"));
    assert_eq!(location(&second), format!("/image/{name}?row=5"));
    assert_eq!(location("/redirect-loop"), "/redirect-loop");
    assert_eq!(
        location("/redirect-to?url=http%3A%2F%2F10.0.0.1%2Fx.jpg"),
        "http://10.0.0.1/x.jpg"
    );
}

#[test]
fn a_truncated_body_ends_early_with_an_orderly_close() {
    let origin = origin();
    let (name, bytes) = sample("jpeg");
    let received = get(&origin, &format!("/truncated/{name}"));
    assert_eq!(received.headers["content-length"], bytes.len().to_string());
    assert_eq!(received.body, bytes[..bytes.len() / 2]);
}

#[test]
fn close_sends_nothing_and_reset_breaks_off() {
    let origin = origin();
    assert!(raw(&origin, "/close").is_empty());
    let mut received = Vec::new();
    let error = connect(&origin, "/reset")
        .read_to_end(&mut received)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(
        received.starts_with(b"HTTP/1.1 200 OK"),
        "{} bytes",
        received.len()
    );
}

#[test]
fn headers_are_malformed_many_or_long() {
    let origin = origin();
    let malformed = raw(&origin, "/bad-header");
    assert!(
        malformed
            .windows(17)
            .any(|window| window == b"\r\nno colon here\r\n")
    );
    let many = raw(&origin, "/headers/500");
    assert_eq!(
        many.windows(10)
            .filter(|window| window.eq_ignore_ascii_case(b"x-padding:"))
            .count(),
        500
    );
    assert_eq!(
        get(&origin, "/header-bytes/300000").headers["x-padding"].len(),
        300_000
    );
}

#[test]
fn huge_bodies_start_as_an_image_and_go_on() {
    let origin = origin();
    for (path, declared) in [("/huge", None), ("/huge-declared", Some("10737418240"))] {
        let mut stream = connect(&origin, path);
        let mut start = vec![0; 3_000_000];
        stream.read_exact(&mut start).unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
        let received = parse(&start);
        assert_eq!(
            received.headers.get("content-length").map(String::as_str),
            declared
        );
        assert_eq!(
            received.headers.contains_key("transfer-encoding"),
            declared.is_none()
        );
        assert!(
            received.body[..32]
                .windows(3)
                .any(|window| window == b"\xFF\xD8\xFF")
        );
    }
}

#[test]
fn pages_pose_as_images_and_the_other_way_round() {
    let origin = origin();
    let (name, bytes) = sample("jpeg");
    let kind = |path: &str| {
        let received = get(&origin, path);
        (
            received.status,
            received.headers["content-type"].clone(),
            received.body,
        )
    };
    let html = "text/html; charset=utf-8".to_owned();
    assert_eq!(kind("/html"), (200, html.clone(), pages::PAGE.into()));
    assert_eq!(kind("/soft404"), (200, html, pages::NOT_FOUND_PAGE.into()));
    assert_eq!(
        kind("/text-as-image"),
        (200, "image/jpeg".into(), pages::TEXT.into())
    );
    assert_eq!(kind("/empty"), (200, "image/jpeg".into(), Vec::new()));
    assert_eq!(kind("/svg").1, "image/svg+xml");
    assert_eq!(
        kind(&format!("/lying/{name}")),
        (200, "image/png".into(), bytes.to_vec())
    );

    let wall = get(&origin, "/bot-wall");
    assert_eq!(
        (
            wall.status,
            wall.headers["cf-mitigated"].as_str(),
            wall.headers["server"].as_str()
        ),
        (403, "challenge", "cloudflare")
    );
}

#[test]
fn wishes_about_robots_are_stated() {
    let origin = origin();
    let (name, bytes) = sample("jpeg");
    assert!(get(&origin, &format!("/noai/{name}")).headers["x-robots-tag"].contains("noai"));
    assert_eq!(
        get(&origin, "/robots.txt").body,
        b"User-agent: *\nDisallow: /private/\n"
    );
    assert_eq!(get(&origin, &format!("/private/{name}")).body, bytes);
}

#[test]
fn gzip_is_sent_unasked_and_unpacks_to_the_image() {
    let origin = origin();
    let (name, bytes) = sample("png");
    let received = get(&origin, &format!("/gzip/{name}"));
    assert_eq!(received.headers["content-encoding"], "gzip");
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&received.body[..])
        .read_to_end(&mut unpacked)
        .unwrap();
    assert_eq!(unpacked, bytes);
}

#[test]
fn every_hostile_file_is_served_as_the_image_it_pretends_to_be() {
    let origin = origin();
    for (name, bytes) in crate::hostile::all() {
        let received = get(&origin, &format!("/hostile/{name}"));
        let format = name.split('-').next().unwrap();
        assert_eq!(received.headers["content-type"], format!("image/{format}"));
        assert_eq!(received.body, bytes, "{name}");
    }
    assert_eq!(get(&origin, "/hostile/unknown").status, 404);
}

#[test]
fn only_get_and_head_are_answered_with_content() {
    let origin = origin();
    let exchange = |request: &str| {
        let mut stream = TcpStream::connect(origin.addr()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        parse(&bytes)
    };
    let (name, bytes) = sample("jpeg");
    let head = exchange(&format!("HEAD /image/{name}"));
    assert_eq!(
        (head.status, head.headers["content-length"].clone()),
        (200, bytes.len().to_string())
    );
    assert!(head.body.is_empty());
    assert_eq!(exchange(&format!("POST /image/{name}")).status, 405);
}

#[test]
fn a_taken_port_is_an_error_that_names_it() {
    let origin = origin();
    let port = origin.addr().port();
    let error = Origin::start_with(
        Arc::clone(&CORPUS),
        OriginOptions {
            port,
            ..OriginOptions::default()
        },
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the sample host cannot listen on port {port}")
    );
}

#[test]
fn the_host_can_be_started_and_dropped_inside_a_run_time() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async { drop(origin()) });
}

/// The cells of a line, quotes removed.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut is_quoted = false;
    for character in line.chars() {
        match character {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => cells.push(String::new()),
            other => cells.last_mut().unwrap().push(other),
        }
    }
    cells
}

#[test]
fn the_demo_list_has_its_rows_and_at_least_85_percent_good_ones() {
    let origin = origin();
    for count in [0, 1, 100, 1000] {
        let list = origin.demo_list(count, 3);
        let mut lines = list.lines();
        assert_eq!(lines.next(), Some("sku,image_url,title"));
        let mut good = 0;
        let mut rows = 0;
        for line in lines {
            let cells = cells(line);
            assert_eq!(cells.len(), 3, "{line}");
            let path = cells[1]
                .strip_prefix(&origin.base_url())
                .unwrap_or_default();
            let is_good = ["/image/", "/redirect/2/", "/lying/", "/flaky/"]
                .iter()
                .any(|start| path.starts_with(start));
            good += usize::from(is_good);
            rows += 1;
        }
        assert_eq!(rows, count);
        assert!(good * 100 >= rows * 85, "{good} of {rows}");
    }
}

#[test]
fn the_demo_list_is_reproducible_and_repeats_urls_and_content() {
    let origin = origin();
    let list = origin.demo_list(300, 5);
    assert_eq!(list, origin.demo_list(300, 5));
    assert_ne!(list, origin.demo_list(300, 6));
    let mut urls: Vec<_> = list
        .lines()
        .skip(1)
        .map(|line| cells(line)[1].clone())
        .collect();
    let count = urls.len();
    urls.sort();
    urls.dedup();
    assert!(urls.len() < count);
    assert!(urls.iter().any(|url| url.contains("?copy=")));
    for wanted in [
        "/bot-wall",
        "/truncated/",
        "/hostile/",
        "/redirect-loop",
        "/drip/",
    ] {
        assert!(list.contains(wanted), "{wanted}");
    }
    for wanted in [
        "not a url",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/x.jpg",
        "file:///etc/passwd",
        "http://127.0.0.1:1/",
    ] {
        assert!(urls.contains(&wanted.to_owned()), "{wanted}");
    }
}

#[test]
fn every_path_of_the_demo_list_is_known_to_the_host() {
    let origin = origin();
    let list = origin.demo_list(1000, 1);
    let mut checked = 0;
    for line in list.lines().skip(1) {
        let url = cells(line).swap_remove(1);
        let Some(path) = url.strip_prefix(&origin.base_url()) else {
            continue;
        };
        let is_meant_to_fail = [
            "/status/",
            "/close",
            "/reset",
            "/garbage",
            "/bad-header",
            "/huge",
            "/drip",
            "/slow",
            "/flaky",
            "/redirect-",
        ];
        if path.contains("round=") || is_meant_to_fail.iter().any(|start| path.starts_with(start)) {
            continue;
        }
        assert_ne!(get(&origin, path).status, 404, "{path}");
        checked += 1;
    }
    assert!(checked > 50, "{checked}");
}
