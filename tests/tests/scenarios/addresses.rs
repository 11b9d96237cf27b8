//! The address catalogue: however a list or a redirect writes a forbidden address, nothing is dialled.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use domain::{Limits, Outcome, ResultRow};
use fetching::{FetchOptions, Robots, special_ranges};
use ipnet::IpNet;
use sample_origin::Origin;

use crate::special_ranges::{iana_ranges, is_public};
use crate::support::{CORPUS, IMAGE, Names, Traps, beside_others, describe, limits, run};

/// Where the spellings below lead, were they followed.
const TRAPPED: &[&str] = &[
    "127.0.0.1",
    "127.0.0.2",
    "127.0.255.255",
    "127.255.255.254",
    "::1",
];

/// Hosts, as a URL may write them, that lead to this machine. The port follows.
const LOOP_BACK_SPELLINGS: &[&str] = &[
    // Dotted, with fewer parts, in other bases, and mixed (inet_aton, which the URL standard follows)
    "127.0.0.1",
    "127.0.0.2",
    "127.255.255.254",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "127.65535",
    "2130706433",
    "2130706433.",
    "0x7f000001",
    "0X7F000001",
    "0x7F.0.0.1",
    "0x7f.1",
    "0x7f.0x0.0x0.0x1",
    "0x000000007f.0.0.1",
    "017700000001",
    "0177.0.0.1",
    "0177.1",
    "0000000000177.0.0.1",
    "0177.0x0.0.1",
    "127.0x1",
    "127.00.00.01",
    "0",
    "0x",
    "0x0",
    "00",
    "0.0.0.0",
    "0.",
    "0.0",
    "127.0.0.0x1",
    // IPv6
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[0::1]",
    "[::0.0.0.1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::FFFF:7F00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:0:0]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[fe80::1]",
    // Percent-encoded
    "%31%32%37.0.0.1",
    "127%2e0%2e0%2e1",
    "%31%32%37%2E%30%2E%30%2E%31",
    "%30x7f.1",
    "%6cocalhost",
    "127.0.0.%31",
    // What Unicode turns into ASCII: full-width and circled digits, full stops, ignored characters (UTS 46)
    "１２７.０.０.１",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "127．0．0．1",
    "127｡0｡0｡1",
    "０ｘ７ｆ．１",
    "𝟏𝟐𝟕.𝟎.𝟎.𝟏",
    "127.0.0.1\u{ad}",
    "127\u{200b}.0.0.1",
    "%EF%BC%91%EF%BC%92%EF%BC%97.0.0.1",
    "ｌｏｃａｌｈｏｓｔ",
    "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
    // Names: every one is answered with a private address
    "localhost",
    "LocalHost",
    "localhost.",
    "images.localhost",
    "127.0.0.1.nip.example",
    "0x7f.1.example",
    "internal",
    "xn--bcher-kva.example",
    "127.0.0.1..",
    // An empty user name is none
    "@127.0.0.1",
    ":@127.0.0.1",
    "@[::1]",
];

/// Hosts that are none, or that bring a user name along.
const INVALID_SPELLINGS: &[&str] = &[
    // Addresses with a zone belong to one machine's interfaces and have no place in a URL (RFC 6874 was withdrawn from browsers)
    "[::1%lo]",
    "[::1%25lo]",
    "[fe80::1%25eth0]",
    "[fe80::1%1]",
    "[::1%25]",
    // Brackets
    "[::1",
    "::1]",
    "::1",
    "[127.0.0.1]",
    "[localhost]",
    "[[::1]]",
    "[::1]x",
    "[]",
    "[::ffff:127.0.0.1.]",
    "[::ffff:127.1]",
    "[::ffff:0x7f.0.0.1]",
    "[::ffff:127.0.0.01]",
    "[1:2:3:4:5:6:7:8:9]",
    "[::1::]",
    "[:::1]",
    "%5b::1%5d",
    // Numbers that are too large, too many or no numbers
    "256.0.0.1",
    "127.0.0.256",
    "127.0.0.1.1",
    "0.0.0.0.0",
    "4294967296",
    "0x100000000",
    "0400.0.0.1",
    "127.16777216",
    "08.0.0.1",
    "127.0.0.08",
    "0xg.0.0.1.0x1",
    "1.2.3.4.5.6.7.8",
    "127..0.1",
    ".127.0.0.1",
    // What ends a host, or may not be part of one
    "127.0.0.1%00",
    "127.0.0.1%20",
    "127.0.0.1%09",
    "127.0.0.1%2f",
    "127.0.0.1%3a80",
    "127.0.0.1%23",
    "%4c%00",
    "127.0.0.1%40",
    "127.0.0.1^",
    "127.0.0.1|",
    "127 .0.0.1",
    "127.0.0.1<",
    "%",
    "%zz",
    "a%80b",
    "127。0。0。256",
    // User names and passwords that look like hosts
    "1.1.1.1@127.0.0.1",
    "user@127.0.0.1",
    "user:word@127.0.0.1",
    ":word@127.0.0.1",
    "1.1.1.1:80@127.0.0.1",
    "127.0.0.1@127.0.0.2",
    "a@b@127.0.0.1",
    "images.example%20@127.0.0.1",
    "%31@[::1]",
    "1.1.1.1%2f@127.0.0.1",
];

/// Whole URLs that hide their host from a hasty reader. `{}` is the port.
const LOOP_BACK_URLS: &[&str] = &[
    "http:127.0.0.1:{}/",
    "http:/127.0.0.1:{}/",
    "http:////127.0.0.1:{}/",
    "http:\\\\127.0.0.1:{}\\",
    "http://127.0.0.1:{}\\@1.1.1.1/",
    "http://127.0.0.1:{}#@1.1.1.1/",
    "http://127.0.0.1:{}?@1.1.1.1/",
    "http://127.0.0.1:{}/@1.1.1.1/",
    "HTTP://127.0.0.1:{}/",
    "https://127.0.0.1:{}/",
    "https://[::1]:{}/",
    "http://127.0.0.1:0{}/",
    "http://127.0.0.1:00000{}/",
    "\u{a0}http://127.0.0.1:{}/ ",
    "http://127.0.0.1:{}",
    "http:\\/localhost:{}/",
];

const INVALID_URLS: &[&str] = &[
    "//127.0.0.1:{}/",
    "127.0.0.1:{}",
    "localhost:{}/a.jpg",
    "ftp://127.0.0.1:{}/",
    "gopher://127.0.0.1:{}/",
    "file://127.0.0.1:{}/",
    "ws://127.0.0.1:{}/",
    "blob:http://127.0.0.1:{}/",
    "view-source:http://127.0.0.1:{}/",
    "http://127.0.0.1:{}99/",
    "http://127.0.0.1:-{}/",
    "http://127.0.0.1:{}x/",
    "http://127.0.0.1:0x{}/",
    "http://127.0.0.1 :{}/",
    "http://127.0.\n0.1:{}/",
    "http://127.0.0.1\t:{}/",
    "ht\ttp://127.0.0.1:{}/",
    "http://127.0.0.1\0:{}/",
    "http://:{}/",
    "http://",
    "http:///",
    "jar:http://127.0.0.1:{}/!/",
    "dict://127.0.0.1:{}/",
];

/// Every host of `hosts` in a URL of its own, so that none is a repetition of another.
fn urls(hosts: &[&str], port: u16, round: &str) -> Vec<String> {
    let numbered = hosts.iter().enumerate();
    numbered
        .map(|(number, host)| format!("http://{host}:{port}/{round}/{number}.jpg"))
        .collect()
}

fn with_port(urls: &[&str], port: u16) -> Vec<String> {
    urls.iter()
        .map(|url| url.replace("{}", &port.to_string()))
        .collect()
}

fn assert_outcomes(rows: &[ResultRow], expected: Outcome) {
    let mut wrong = String::new();
    for row in rows {
        if row.outcome != expected {
            writeln!(wrong, "{}", describe(row)).unwrap();
        }
    }
    assert!(wrong.is_empty(), "not {}:\n{wrong}", expected.as_str());
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Leads every name to loop-back.
fn names() -> Arc<Names> {
    Names::new(|_, _| Some(addresses(&["127.0.0.1", "::1"])))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_of_a_loop_back_address_leads_there() {
    let _turn = beside_others().await;
    let traps = Traps::set(TRAPPED).await;
    let blocked = urls(LOOP_BACK_SPELLINGS, traps.port, "host");
    let invalid = urls(INVALID_SPELLINGS, traps.port, "host");
    // The fragment is no part of a URL, so that these are told apart by the order of their rows alone.
    let blocked_urls = with_port(LOOP_BACK_URLS, traps.port);
    let invalid_urls = with_port(INVALID_URLS, traps.port);
    let lists = [
        (blocked, Outcome::BlockedAddress),
        (invalid, Outcome::InvalidUrl),
        (invalid_urls, Outcome::InvalidUrl),
    ];
    for (list, expected) in lists {
        let rows = run(&list, closed(&traps), &limits()).await;
        assert_outcomes(&rows, expected);
    }
    let rows = run(&blocked_urls, closed(&traps), &limits()).await;
    let is_refused = |row: &&ResultRow| row.outcome != Outcome::DuplicateUrl;
    let refused: Vec<ResultRow> = rows.iter().filter(is_refused).cloned().collect();
    assert_outcomes(&refused, Outcome::BlockedAddress);
    assert_eq!(traps.connections(), 0);
}

/// Nothing is opened but the port of the traps: what refuses to dial them is their address.
fn closed(traps: &Traps) -> FetchOptions {
    FetchOptions {
        allow_ports: vec![traps.port],
        resolver: Some(names()),
        ..FetchOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_traps_are_reached_when_their_range_is_opened() {
    let _turn = beside_others().await;
    let traps = Traps::set(TRAPPED).await;
    let opened = FetchOptions {
        allow_private: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        robots: Robots::Ignore,
        ..closed(&traps)
    };
    let hosts = [
        "127.0.0.2",
        "2130706433",
        "①②⑦.⓪.⓪.①",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "localhost",
    ];
    let limits = Limits {
        request_timeout: Duration::from_millis(300),
        ..limits()
    };
    run(&urls(&hosts, traps.port, "open"), opened, &limits).await;
    assert_eq!(traps.connections(), hosts.len() as u32);
}

/// A closed port: an address that passed by mistake would still not be dialled, and the detail tells the one from the other.
const CLOSED_PORT: u16 = 9;

fn literal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("http://{address}:{CLOSED_PORT}/"),
        IpAddr::V6(address) => format!("http://[{address}]:{CLOSED_PORT}/"),
    }
}

/// The addresses of `list` that the engine takes for special-purpose ones.
async fn denied(list: &[IpAddr]) -> Vec<bool> {
    let urls: Vec<String> = list.iter().copied().map(literal).collect();
    let rows = run(&urls, FetchOptions::default(), &limits()).await;
    assert_outcomes(&rows, Outcome::BlockedAddress);
    let mut denied = Vec::new();
    for row in &rows {
        assert_eq!((row.attempts, row.elapsed_ms), (0, None), "{}", row.url);
        let detail = row.detail.as_deref().unwrap();
        let is_denied = detail.starts_with("the host has a special-purpose address");
        assert!(
            is_denied || detail.starts_with("port 9 is not open"),
            "{detail}"
        );
        denied.push(is_denied);
    }
    denied
}

fn sorted(mut list: Vec<IpAddr>) -> Vec<IpAddr> {
    list.sort();
    list.dedup();
    list
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_edges_of_every_special_range_are_blocked() {
    let _turn = beside_others().await;
    let own: Vec<IpNet> = special_ranges().map(|(net, _)| net).collect();
    let both = iana_ranges().into_iter().chain(own);
    let edges = sorted(
        both.flat_map(|net| [net.network(), net.broadcast()])
            .collect(),
    );
    assert!(edges.len() > 90, "{}", edges.len());
    for (edge, is_denied) in edges.iter().zip(denied(&edges).await) {
        assert!(is_denied, "{edge}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outside_neighbours_of_every_range_pass_unless_they_lie_in_another() {
    let _turn = beside_others().await;
    let own: Vec<IpNet> = special_ranges().map(|(net, _)| net).collect();
    let both = iana_ranges().into_iter().chain(own);
    let neighbours = sorted(both.flat_map(neighbours).collect());
    let mut public = 0;
    for (neighbour, is_denied) in neighbours.iter().zip(denied(&neighbours).await) {
        assert_eq!(!is_denied, is_public(*neighbour), "{neighbour}");
        public += u32::from(!is_denied);
    }
    assert!(public > 40, "{public}");
}

fn neighbours(net: IpNet) -> Vec<IpAddr> {
    let (before, after) = match net {
        IpNet::V4(net) => (
            u32::from(net.network())
                .checked_sub(1)
                .map(|bits| IpAddr::V4(bits.into())),
            u32::from(net.broadcast())
                .checked_add(1)
                .map(|bits| IpAddr::V4(bits.into())),
        ),
        IpNet::V6(net) => (
            u128::from(net.network())
                .checked_sub(1)
                .map(|bits| IpAddr::V6(bits.into())),
            u128::from(net.broadcast())
                .checked_add(1)
                .map(|bits| IpAddr::V6(bits.into())),
        ),
    };
    before.into_iter().chain(after).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_ipv4_address_is_blocked_in_each_of_six_encodings() {
    let _turn = beside_others().await;
    let mut wrapped = Vec::new();
    let private = [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "168.63.129.16",
    ];
    for address in private {
        let [a, b, c, d] = address.parse::<Ipv4Addr>().unwrap().octets();
        let (ia, ib, ic, id) = (!a, !b, !c, !d);
        let texts = [
            format!("::ffff:{address}"),
            format!("::{address}"),
            format!("2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1"),
            format!("64:ff9b::{address}"),
            format!("64:ff9b:1:{a:02x}{b:02x}:{c:x}:{d:02x}00::"),
            format!("64:ff9b:1::{address}"),
            format!("2001:0:808:808::{ia:02x}{ib:02x}:{ic:02x}{id:02x}"),
            format!("2001:0:{a:02x}{b:02x}:{c:02x}{d:02x}::f7f7:f7f7"),
            format!("2606:4700::5efe:{address}"),
            format!("2606:4700::200:5efe:{address}"),
        ];
        wrapped.extend(texts.iter().map(|text| text.parse::<IpAddr>().unwrap()));
    }
    for (address, is_denied) in wrapped.iter().zip(denied(&wrapped).await) {
        assert!(is_denied, "{address}");
    }
    // The same where routes lead to a public host: the wrapping alone denies nothing.
    let public = addresses(&[
        "::ffff:1.1.1.1",
        "64:ff9b::1.1.1.1",
        "2606:4700::5efe:1.1.1.1",
    ]);
    assert_eq!(denied(&public).await, [false; 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_to_private_addresses_are_refused_at_every_hop() {
    let _turn = beside_others().await;
    let origin = Origin::start(Arc::clone(&CORPUS)).unwrap();
    let traps = Traps::set(&["127.0.0.2", "::1"]).await;
    let port = traps.port;
    let names = Names::new(|name, _| match name {
        "inside.example" => Some(addresses(&["127.0.0.2"])),
        "mixed.example" => Some(addresses(&["127.0.0.1", "127.0.0.2"])),
        _ => None,
    });
    let fetch = FetchOptions {
        allow_private: vec!["127.0.0.1/32".parse().unwrap()],
        allow_ports: vec![port],
        resolver: Some(names),
        ..FetchOptions::default()
    };
    let targets = [
        "127.0.0.2",
        "2130706434",
        "0x7f.2",
        "0177.0.0.2",
        "[::ffff:127.0.0.2]",
        "[::1]",
        "１２７.０.０.２",
        "%31%32%37.0.0.2",
        "inside.example",
        "mixed.example",
        "@127.0.0.2",
    ];
    let mut list = Vec::new();
    for (number, target) in targets.iter().enumerate() {
        for hops in 1..=5 {
            let mut url = format!("http://{target}:{port}/{number}/{hops}");
            for _ in 0..hops {
                let query: String = url::form_urlencoded::byte_serialize(url.as_bytes()).collect();
                url = origin.url(&format!("/redirect-to?url={query}"));
            }
            list.push(url);
        }
    }
    let rows = run(&list, fetch, &limits()).await;
    assert_outcomes(&rows, Outcome::BlockedAddress);
    assert!(rows.iter().all(|row| row.final_url.is_some()));
    assert_eq!(traps.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_private_address_among_many_open_ones_denies_the_host() {
    let _turn = beside_others().await;
    let traps = Traps::set(&["127.0.0.1", "::1", "127.0.1.1", "127.0.1.2", "127.0.1.3"]).await;
    let private = [
        "127.0.0.1",
        "::1",
        "10.0.0.1",
        "169.254.169.254",
        "::ffff:127.0.0.1",
        "64:ff9b::127.0.0.1",
        "fd00:ec2::254",
        "0.0.0.0",
    ];
    let names = Names::new(move |name, _| {
        // `2.5.example`: the third private address, at the sixth place among those that the options open.
        let mut numbers = name.split('.').map(|part| part.parse::<usize>().ok());
        let (which, place) = (numbers.next()??, numbers.next()??);
        let mut all = vec![
            "127.0.1.1",
            "127.0.1.2",
            "127.0.1.3",
            "127.0.1.4",
            "127.0.1.5",
            "127.0.1.6",
            "::ffff:127.0.1.7",
        ];
        all.insert(place, private[which]);
        Some(addresses(&all))
    });
    let mut list = Vec::new();
    for which in 0..8 {
        for place in 0..8 {
            list.push(format!(
                "http://{which}.{place}.example:{}/{IMAGE}",
                traps.port
            ));
        }
    }
    let fetch = FetchOptions {
        allow_private: vec!["127.0.1.0/24".parse().unwrap()],
        allow_ports: vec![traps.port],
        resolver: Some(names),
        ..FetchOptions::default()
    };
    let rows = run(&list, fetch, &limits()).await;
    assert_outcomes(&rows, Outcome::BlockedAddress);
    assert_eq!(traps.connections(), 0);
}
