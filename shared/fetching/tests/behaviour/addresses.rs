//! Which addresses are dialled, seen from the addresses.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{
    FixedNames, Server, answer, failure, fetch, fetcher, limits, options, origin, read_request,
};
use domain::Outcome;
use fetching::{FetchError, FetchOptions, Fetcher};
use tokio::io::AsyncWriteExt;

const IMAGE: &[u8] = b"\x89PNG\r\n\x1a\n and so on";

async fn image_server(address: &str) -> Server {
    Server::start_at(address, |mut stream, _| async move {
        while read_request(&mut stream).await.is_some() {
            let image = answer("HTTP/1.1 200 OK", IMAGE);
            stream.write_all(&image).await.unwrap();
        }
    })
    .await
}

/// Opens 127.0.0.1, and the port of `private` everywhere: what refuses to dial it is its address.
fn fetcher_beside(private: &Server, names: &Arc<FixedNames>) -> Fetcher {
    let options = FetchOptions {
        allow_ports: vec![private.address.port()],
        resolver: Some(Arc::clone(names) as _),
        ..options()
    };
    Fetcher::new(&limits(), options).unwrap()
}

/// Asserts that an address was refused, not its port.
fn assert_blocked(error: &FetchError) {
    assert_eq!(error.outcome(), Outcome::BlockedAddress, "{error}");
    let detail = "the host has a special-purpose address";
    assert!(error.to_string().starts_with(detail), "{error}");
    assert_eq!(error.retry_later(), None);
}

#[tokio::test]
async fn loop_back_is_refused_by_default_and_not_dialled() {
    let server = image_server("127.0.0.1:0").await;
    let port = server.address.port();
    let options = FetchOptions {
        allow_ports: vec![port],
        ..FetchOptions::default()
    };
    let fetcher = Fetcher::new(&limits(), options).unwrap();
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "[::ffff:127.0.0.1]",
        "localhost",
    ] {
        let fetched = fetch(&fetcher, &format!("http://{host}:{port}/")).await;
        assert_blocked(&fetched.result.unwrap_err());
        assert_eq!(fetched.http_status, None);
    }
    assert_eq!(server.accepted(), 0);
}

#[tokio::test]
async fn an_opened_range_is_dialled_at_any_port() {
    let server = image_server("127.0.0.1:0").await;
    let fetched = fetch(&fetcher(), &server.url("/a.png")).await;
    assert_eq!(&fetched.result.unwrap()[..], IMAGE);
    assert_eq!((fetched.attempts, fetched.http_status), (1, Some(200)));
    assert_eq!(fetched.final_url, None);
    assert_eq!(fetched.total_bytes, Some(IMAGE.len() as u64));
}

#[tokio::test]
async fn a_name_of_the_hosts_file_resolves_without_a_name_server() {
    let server = image_server("127.0.0.1:0").await;
    let options = FetchOptions {
        allow_private: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        ..options()
    };
    let fetcher = Fetcher::new(&limits(), options).unwrap();
    for host in ["localhost", "LOCALHOST", "localhost.", "images.localhost"] {
        let fetched = fetch(
            &fetcher,
            &format!("http://{host}:{}/", server.address.port()),
        )
        .await;
        assert!(fetched.result.is_ok(), "{host}: {:?}", fetched.result);
    }
}

#[tokio::test]
async fn a_redirect_to_a_private_address_is_refused_at_every_hop_without_a_connection() {
    let private = image_server("127.0.0.2:0").await;
    for hop in 1..=5 {
        let private_url = private.url("/secret");
        let public = Server::start(move |mut stream, _| {
            let private_url = private_url.clone();
            async move {
                while let Some(request) = read_request(&mut stream).await {
                    let number: u32 = request.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
                    let location = if number == hop {
                        private_url.clone()
                    } else {
                        format!("/{}", number + 1)
                    };
                    let head = format!("HTTP/1.1 302 Found\r\nLocation: {location}");
                    stream.write_all(&answer(&head, b"")).await.unwrap();
                }
            }
        })
        .await;
        let fetcher = fetcher_beside(&private, &Arc::default());
        let fetched = fetch(&fetcher, &public.url("/1")).await;
        assert_blocked(&fetched.result.unwrap_err());
        assert_eq!(fetched.final_url, Some(private.url("/secret")));
        assert_eq!(fetched.attempts, 1);
    }
    assert_eq!(private.accepted(), 0);
}

#[tokio::test]
async fn a_redirect_to_a_name_with_a_private_address_is_refused_without_a_connection() {
    let private = image_server("127.0.0.2:0").await;
    let port = private.address.port();
    let names = Arc::new(FixedNames::default().with("inside.example", &[&["127.0.0.2"]]));
    let head = format!("HTTP/1.1 301 Moved\r\nLocation: http://inside.example:{port}/");
    let public = Server::answering(answer(&head, b"")).await;
    let (_, error) = failure(&fetcher_beside(&private, &names), &public.url("/")).await;
    assert_blocked(&error);
    assert!(!error.to_string().contains("127"), "{error}");
    assert_eq!(
        (private.accepted(), names.lookups("inside.example")),
        (0, 1)
    );
}

#[tokio::test]
async fn one_private_address_among_the_answers_denies_the_host() {
    let public = image_server("127.0.0.1:0").await;
    let port = public.address.port();
    let names = FixedNames::default()
        .with("mixed.example", &[&["127.0.0.1", "10.0.0.1"]])
        .with(
            "mapped.example",
            &[&["127.0.0.1", "::ffff:169.254.169.254"]],
        )
        .with("open.example", &[&["127.0.0.1", "::ffff:127.0.0.1"]]);
    let fetcher = fetcher_beside(&public, &Arc::new(names));
    for host in ["mixed.example", "mapped.example"] {
        let (_, error) = failure(&fetcher, &format!("http://{host}:{port}/")).await;
        assert_blocked(&error);
    }
    assert_eq!(public.accepted(), 0);
    assert!(
        fetch(&fetcher, &format!("http://open.example:{port}/"))
            .await
            .result
            .is_ok()
    );
}

#[tokio::test]
async fn a_name_that_changes_its_address_is_checked_again_whenever_it_is_looked_up() {
    // Every request needs a connection of its own.
    let public = Server::answering_once(answer("HTTP/1.1 200 OK", IMAGE)).await;
    let port = public.address.port();
    let private = image_server(&format!("127.0.0.3:{port}")).await;
    let names = FixedNames::default().with("rebinding.example", &[&["127.0.0.1"], &["127.0.0.3"]]);
    let names = Arc::new(names);
    let fetcher = fetcher_beside(&private, &names);
    let url = format!("http://rebinding.example:{port}/");
    // The address that was checked is the one that is dialled, however often the name is used.
    for _ in 0..5 {
        assert!(fetch(&fetcher, &url).await.result.is_ok());
    }
    assert_eq!(
        (public.accepted(), names.lookups("rebinding.example")),
        (5, 1)
    );
    // Another fetcher has no answer yet: it looks the name up for the second time, and gets the private address.
    let (_, error) = failure(&fetcher_beside(&private, &names), &url).await;
    assert_blocked(&error);
    assert_eq!(names.lookups("rebinding.example"), 2);
    assert_eq!(private.accepted(), 0);
}

#[tokio::test]
async fn requests_for_one_name_share_one_look_up() {
    let server = image_server("127.0.0.1:0").await;
    let names = FixedNames::default().slow(Duration::from_millis(100));
    let names = Arc::new(names.with("popular.example", &[&["127.0.0.1"]]));
    let fetcher = fetcher_beside(&server, &names);
    let url = format!("http://popular.example:{}/", server.address.port());
    let fetches = (0..8).map(|_| fetch(&fetcher, &url));
    for fetched in futures::future::join_all(fetches).await {
        assert!(fetched.result.is_ok());
    }
    assert_eq!(names.lookups("popular.example"), 1);
}

#[tokio::test]
async fn a_name_without_an_address_is_a_dns_error_and_not_tried_twice() {
    let names = Arc::new(FixedNames::default());
    let options = FetchOptions {
        resolver: Some(Arc::clone(&names) as _),
        ..options()
    };
    let limits = domain::Limits {
        max_attempts: 3,
        ..limits()
    };
    let fetcher = Fetcher::new(&limits, options).unwrap();
    for _ in 0..2 {
        let fetched = fetch(&fetcher, "http://no-such-host.invalid/a.jpg").await;
        assert_eq!(fetched.attempts, 1);
        assert_eq!(fetched.result.unwrap_err().outcome(), Outcome::DnsError);
    }
    assert_eq!(names.lookups("no-such-host.invalid"), 1);
}

#[tokio::test]
async fn the_next_address_is_tried_when_the_first_refuses() {
    let server = image_server("127.0.0.1:0").await;
    let names = FixedNames::default().with("two.example", &[&["127.0.0.4", "127.0.0.1"]]);
    let options = FetchOptions {
        resolver: Some(Arc::new(names)),
        allow_private: vec!["127.0.0.0/8".parse().unwrap()],
        ..options()
    };
    let fetcher = Fetcher::new(&limits(), options).unwrap();
    let url = format!("http://two.example:{}/", server.address.port());
    assert!(fetch(&fetcher, &url).await.result.is_ok());
}

#[tokio::test]
async fn hosts_refused_by_name_and_closed_ports_are_not_asked() {
    let origin = origin();
    let names = Arc::new(FixedNames::default().with("api.example", &[&["127.0.0.1"]]));
    let options = FetchOptions {
        refuse_hosts: vec!["api.example".to_owned()],
        resolver: Some(Arc::clone(&names) as _),
        ..options()
    };
    let fetcher = Fetcher::new(&limits(), options).unwrap();
    let port = origin.addr().port();
    let fetched = fetch(&fetcher, &format!("http://v2.API.example:{port}/")).await;
    assert_eq!(fetched.attempts, 0);
    assert_eq!(
        fetched.result.unwrap_err().outcome(),
        Outcome::BlockedAddress
    );
    let (outcome, error) = failure(&fetcher, "http://1.1.1.1:22/").await;
    assert_eq!(outcome, Outcome::BlockedAddress);
    assert!(error.to_string().contains("port 22"), "{error}");
    assert_eq!((origin.requests(), names.lookups("api.example")), (0, 0));
}
