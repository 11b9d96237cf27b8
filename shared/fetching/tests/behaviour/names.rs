//! The way through the DNS, with a name server on loop-back: what each kind of answer comes to, and how long it is believed.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use domain::{Limits, Outcome};
use fetching::{FetchError, FetchErrorKind, FetchOptions, Fetcher};
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::CNAME;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use parking_lot::Mutex;
use tokio::net::UdpSocket;

use crate::support::{Server, answer, fetch, limits, options, read_request};

/// What the name server says to one question.
#[derive(Clone)]
enum Said {
    /// These addresses of the type asked for, to be believed for so many seconds, behind this chain of aliases.
    Addresses {
        addresses: Vec<IpAddr>,
        ttl: u32,
        aliases: Vec<&'static str>,
    },
    /// This code and nothing else.
    Code(ResponseCode),
    Nothing,
}

fn addresses(addresses: &[&str]) -> Said {
    behind(&[], addresses)
}

fn behind(aliases: &[&'static str], addresses: &[&str]) -> Said {
    Said::Addresses {
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        ttl: 60,
        aliases: aliases.to_vec(),
    }
}

fn for_seconds(seconds: u32, addresses: &[&str]) -> Said {
    let addresses = addresses.iter().map(|text| text.parse().unwrap());
    Said::Addresses {
        addresses: addresses.collect(),
        ttl: seconds,
        aliases: Vec::new(),
    }
}

/// A name server for names with fixed answers. The n-th question for a name and type gets the n-th of its answers, then the last.
struct NameServer {
    address: SocketAddr,
    questions: Arc<Mutex<HashMap<(String, RecordType), usize>>>,
}

impl NameServer {
    async fn start(zone: &[(&str, &[Said])]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let zone: HashMap<String, Vec<Said>> = zone
            .iter()
            .map(|(name, said)| (format!("{name}."), said.to_vec()))
            .collect();
        let questions: Arc<Mutex<HashMap<_, usize>>> = Arc::default();
        let asked = Arc::clone(&questions);
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let question = Message::from_vec(&buffer[..length]).unwrap();
                let query = &question.queries[0];
                let key = (query.name().to_lowercase().to_ascii(), query.query_type());
                let nth = {
                    let mut asked = asked.lock();
                    let count = asked.entry(key.clone()).or_default();
                    *count += 1;
                    *count - 1
                };
                let said = zone
                    .get(&key.0)
                    .and_then(|said| said.get(nth).or(said.last()));
                let said = said.cloned().unwrap_or(Said::Code(ResponseCode::NXDomain));
                if let Some(reply) = reply(&question, said) {
                    socket.send_to(&reply, from).await.unwrap();
                }
            }
        });
        Self { address, questions }
    }

    /// How often the IPv4 addresses of `name` were asked for.
    fn questions(&self, name: &str) -> usize {
        let key = (format!("{name}."), RecordType::A);
        self.questions.lock().get(&key).copied().unwrap_or_default()
    }

    /// Asks this name server, and dials 127.0.0.1 and `::1` only.
    fn fetcher(&self) -> Fetcher {
        self.fetcher_within(&limits())
    }

    fn fetcher_within(&self, limits: &Limits) -> Fetcher {
        let options = FetchOptions {
            name_servers: vec![self.address],
            allow_private: vec!["127.0.0.1/32".parse().unwrap(), "::1/128".parse().unwrap()],
            ..options()
        };
        Fetcher::new(limits, options).unwrap()
    }
}

fn reply(question: &Message, said: Said) -> Option<Vec<u8>> {
    let query = question.queries[0].clone();
    let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
    reply.metadata.recursion_available = true;
    reply.add_query(query.clone());
    match said {
        Said::Nothing => return None,
        Said::Code(code) => reply.metadata.response_code = code,
        Said::Addresses {
            addresses,
            ttl,
            aliases,
        } => {
            let mut owner = query.name().clone();
            for alias in aliases {
                let alias = Name::from_str(&format!("{alias}.")).unwrap();
                let record = RData::CNAME(CNAME(alias.clone()));
                reply.add_answer(Record::from_rdata(owner, ttl, record));
                owner = alias;
            }
            for address in addresses {
                let record = RData::from(address);
                if record.record_type() == query.query_type() {
                    reply.add_answer(Record::from_rdata(owner.clone(), ttl, record));
                }
            }
        }
    }
    Some(reply.to_vec().unwrap())
}

/// Answers every request with an image, and closes the connection, so that the next request has to dial again.
async fn image_server(address: &str) -> Server {
    Server::start_at(address, |mut stream, _| async move {
        if read_request(&mut stream).await.is_some() {
            let image = answer("HTTP/1.1 200 OK\r\nConnection: close", b"an image");
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, &image).await;
        }
    })
    .await
}

async fn failure_of(fetcher: &Fetcher, url: &str) -> FetchError {
    let fetched = fetch(fetcher, url).await;
    fetched.result.unwrap_err()
}

#[tokio::test]
async fn names_lead_to_their_addresses_however_the_answer_is_written() {
    let server = image_server("127.0.0.1:0").await;
    let port = server.address.port();
    let _ipv6 = image_server(&format!("[::1]:{port}")).await;
    let names = NameServer::start(&[
        ("plain.example", &[addresses(&["127.0.0.1"])]),
        ("both.example", &[addresses(&["::1", "127.0.0.1"])]),
        ("ipv6-only.example", &[addresses(&["::1"])]),
        (
            "alias.example",
            &[behind(&["plain.example"], &["127.0.0.1"])],
        ),
        (
            "chain.example",
            &[behind(
                &["one.example", "two.example", "three.example"],
                &["127.0.0.1"],
            )],
        ),
        // The aliases come without the address: it takes another question.
        (
            "unfinished.example",
            &[behind(&["one.example", "plain.example"], &[])],
        ),
    ])
    .await;
    let fetcher = names.fetcher();
    for name in [
        "plain",
        "both",
        "ipv6-only",
        "alias",
        "chain",
        "unfinished",
        "PLAIN",
    ] {
        let fetched = fetch(&fetcher, &format!("http://{name}.example:{port}/")).await;
        assert!(fetched.result.is_ok(), "{name}: {:?}", fetched.result);
    }
}

#[tokio::test]
async fn names_without_an_address_are_told_from_name_servers_that_fail() {
    let names = NameServer::start(&[
        ("empty.example", &[addresses(&[])]),
        ("failing.example", &[Said::Code(ResponseCode::ServFail)]),
        ("refused.example", &[Said::Code(ResponseCode::Refused)]),
        ("circle.example", &[behind(&["circle.example"], &[])]),
        ("dangling.example", &[behind(&["gone.example"], &[])]),
    ])
    .await;
    let fetcher = names.fetcher();
    for (name, kind) in [
        ("gone.example", FetchErrorKind::NoSuchName),
        ("empty.example", FetchErrorKind::NoSuchName),
        ("dangling.example", FetchErrorKind::NoSuchName),
        ("failing.example", FetchErrorKind::NameLookup),
        ("refused.example", FetchErrorKind::NameLookup),
    ] {
        let error = failure_of(&fetcher, &format!("http://{name}/")).await;
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert_eq!(error.outcome(), Outcome::DnsError);
    }
    let error = failure_of(&fetcher, "http://circle.example/").await;
    assert_eq!(error.outcome(), Outcome::DnsError, "{error}");
}

#[tokio::test]
async fn a_name_server_that_does_not_answer_ends_with_the_connect_timeout() {
    let names = NameServer::start(&[("silent.example", &[Said::Nothing])]).await;
    let patience = Limits {
        connect_timeout: Duration::from_millis(300),
        ..limits()
    };
    let error = failure_of(&names.fetcher_within(&patience), "http://silent.example/").await;
    assert_eq!(error.kind(), FetchErrorKind::NameLookup);
    assert_eq!(
        error.to_string(),
        "the host name could not be looked up: no answer within 0.3 s"
    );
}

#[tokio::test]
async fn a_private_address_among_the_records_denies_the_host_behind_any_alias() {
    let private = image_server("127.0.0.2:0").await;
    let port = private.address.port();
    let names = NameServer::start(&[
        ("mixed.example", &[addresses(&["127.0.0.1", "127.0.0.2"])]),
        (
            "mixed-types.example",
            &[addresses(&["127.0.0.1", "fd00::1"])],
        ),
        (
            "mapped.example",
            &[addresses(&["127.0.0.1", "::ffff:127.0.0.2"])],
        ),
        ("inside.example", &[addresses(&["127.0.0.2"])]),
        (
            "alias.example",
            &[behind(&["one.example", "inside.example"], &["127.0.0.2"])],
        ),
        ("unfinished.example", &[behind(&["inside.example"], &[])]),
    ])
    .await;
    let fetcher = names.fetcher();
    for name in [
        "mixed",
        "mixed-types",
        "mapped",
        "inside",
        "alias",
        "unfinished",
    ] {
        let error = failure_of(&fetcher, &format!("http://{name}.example:{port}/")).await;
        assert_eq!(error.outcome(), Outcome::BlockedAddress, "{name}: {error}");
    }
    assert_eq!(private.accepted(), 0);
}

#[tokio::test]
async fn an_answer_is_believed_as_long_as_its_record_says_and_a_failure_for_ten_seconds() {
    let server = image_server("127.0.0.1:0").await;
    let port = server.address.port();
    let names = NameServer::start(&[
        ("minute.example", &[for_seconds(60, &["127.0.0.1"])]),
        ("never.example", &[for_seconds(0, &["127.0.0.1"])]),
        ("day.example", &[for_seconds(86_400, &["127.0.0.1"])]),
        (
            "late.example",
            &[
                Said::Code(ResponseCode::NXDomain),
                addresses(&["127.0.0.1"]),
            ],
        ),
    ])
    .await;
    let fetcher = names.fetcher();
    for (name, believed) in [("minute", 60), ("never", 5), ("day", 300), ("late", 10)] {
        let url = format!("http://{name}.example:{port}/");
        for _ in 0..3 {
            let _ = fetch(&fetcher, &url).await;
        }
        assert_eq!(names.questions(&format!("{name}.example")), 1, "{name}");
        pass(Duration::from_millis(believed * 1_000 - 500)).await;
        let _ = fetch(&fetcher, &url).await;
        assert_eq!(names.questions(&format!("{name}.example")), 1, "{name}");
        pass(Duration::from_secs(1)).await;
        let fetched = fetch(&fetcher, &url).await;
        assert!(fetched.result.is_ok(), "{name}: {:?}", fetched.result);
        assert_eq!(names.questions(&format!("{name}.example")), 2, "{name}");
    }
}

/// Lets time pass at once, for everything that looks at the run time's clock.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_name_that_turns_private_is_refused_from_its_next_look_up_on() {
    let public = image_server("127.0.0.1:0").await;
    let port = public.address.port();
    let private = image_server(&format!("127.0.0.2:{port}")).await;
    let names = NameServer::start(&[(
        "rebinding.example",
        &[
            for_seconds(0, &["127.0.0.1"]),
            for_seconds(0, &["127.0.0.2"]),
            for_seconds(0, &["127.0.0.1", "127.0.0.2"]),
            for_seconds(0, &["127.0.0.1"]),
        ],
    )])
    .await;
    let fetcher = names.fetcher();
    let url = format!("http://rebinding.example:{port}/");
    for is_open in [true, false, false, true] {
        // The same answer, however often it is dialled meanwhile.
        for _ in 0..3 {
            let result = fetch(&fetcher, &url).await.result;
            assert_eq!(result.is_ok(), is_open, "{result:?}");
        }
        pass(Duration::from_secs(6)).await;
    }
    assert_eq!(names.questions("rebinding.example"), 4);
    assert_eq!((public.accepted(), private.accepted()), (6, 0));
}
