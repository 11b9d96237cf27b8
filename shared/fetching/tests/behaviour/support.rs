//! Fetchers with short limits, and servers that do exactly what a test says.
use std::collections::HashMap;
use std::future::Future;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use domain::{Limits, Outcome};
use fetching::{
    FetchError, FetchMode, FetchOptions, Fetched, Fetcher, Resolve, ResolveError, Resolved, Robots,
    TargetUrl,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use parking_lot::Mutex;
use sample_origin::{Corpus, Origin};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) static CORPUS: LazyLock<Arc<Corpus>> =
    LazyLock::new(|| Arc::new(Corpus::generate(7, 8)));

pub(crate) fn origin() -> Origin {
    Origin::start(Arc::clone(&CORPUS)).unwrap()
}

/// Limits that let a test end soon: one attempt, a second for everything.
pub(crate) fn limits() -> Limits {
    Limits {
        connect_timeout: Duration::from_secs(1),
        read_timeout: Duration::from_secs(1),
        request_timeout: Duration::from_secs(2),
        throughput_grace: Duration::from_secs(1),
        max_attempts: 1,
        max_retry_after: Duration::from_secs(1),
        ..Limits::default()
    }
}

/// Options that open 127.0.0.1 and ask for no robots.txt.
pub(crate) fn options() -> FetchOptions {
    FetchOptions {
        allow_private: vec!["127.0.0.1/32".parse().unwrap()],
        robots: Robots::Ignore,
        ..FetchOptions::default()
    }
}

pub(crate) fn fetcher() -> Fetcher {
    Fetcher::new(&limits(), options()).unwrap()
}

pub(crate) fn target(url: &str) -> TargetUrl {
    TargetUrl::parse(url, &Limits::default()).unwrap()
}

pub(crate) async fn fetch(fetcher: &Fetcher, url: &str) -> Fetched {
    fetcher.fetch(&target(url), None, FetchMode::Whole).await
}

/// The outcome and the error of a fetch that is expected to fail.
pub(crate) async fn failure(fetcher: &Fetcher, url: &str) -> (Outcome, FetchError) {
    let error = fetch(fetcher, url).await.result.unwrap_err();
    (error.outcome(), error)
}

/// A server on a loop-back address that counts its connections.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicU32>,
}

impl Server {
    /// Runs `serve` for each connection, with the connection's number.
    pub(crate) async fn start<S, F>(serve: S) -> Self
    where
        S: Fn(TcpStream, u32) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self::start_at("127.0.0.1:0", serve).await
    }

    pub(crate) async fn start_at<S, F>(address: &str, serve: S) -> Self
    where
        S: Fn(TcpStream, u32) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&accepted);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let number = counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, number));
            }
        });
        Self { address, accepted }
    }

    /// Reads a request and writes `answer`, again and again on the same connection.
    pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::start(move |mut stream, _| {
            let answer = Arc::clone(&answer);
            async move {
                while read_request(&mut stream).await.is_some() {
                    if stream.write_all(&answer).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await
    }

    /// Reads a request, writes `answer`, and closes the connection.
    pub(crate) async fn answering_once(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::start(move |mut stream, _| {
            let answer = Arc::clone(&answer);
            async move {
                if read_request(&mut stream).await.is_some() {
                    let _ = stream.write_all(&answer).await;
                    let _ = stream.shutdown().await;
                }
            }
        })
        .await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn accepted(&self) -> u32 {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// The head of the next request on `stream`; nothing if there is none.
pub(crate) async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await.ok()?;
        head.push(byte);
    }
    String::from_utf8(head).ok()
}

/// An answer with a correct length.
pub(crate) fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = format!("{head}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// An answer whose body is packed with gzip.
pub(crate) fn packed_answer(body: &[u8], compression: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), compression);
    encoder.write_all(body).unwrap();
    let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip";
    answer(head, &encoder.finish().unwrap())
}

/// Names with fixed addresses. Each look-up of a name takes the next of its answers, the last one for ever.
#[derive(Debug, Default)]
pub(crate) struct FixedNames {
    answers: HashMap<String, Vec<Vec<IpAddr>>>,
    lookups: Mutex<HashMap<String, usize>>,
    delay: Duration,
}

impl FixedNames {
    pub(crate) fn with(mut self, name: &str, answers: &[&[&str]]) -> Self {
        let parse = |answer: &&[&str]| answer.iter().map(|ip| ip.parse().unwrap()).collect();
        let answers = answers.iter().map(parse).collect();
        self.answers.insert(name.to_owned(), answers);
        self
    }

    /// Makes every look-up last this long.
    pub(crate) fn slow(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    pub(crate) fn lookups(&self, name: &str) -> usize {
        self.lookups.lock().get(name).copied().unwrap_or_default()
    }
}

#[async_trait]
impl Resolve for FixedNames {
    async fn resolve(&self, name: &str) -> Result<Resolved, ResolveError> {
        let number = {
            let mut lookups = self.lookups.lock();
            let count = lookups.entry(name.to_owned()).or_default();
            *count += 1;
            *count - 1
        };
        tokio::time::sleep(self.delay).await;
        let answers = self.answers.get(name).ok_or(ResolveError::NoSuchName)?;
        let answer = answers.get(number).or(answers.last());
        Ok(Resolved {
            addresses: answer.ok_or(ResolveError::NoSuchName)?.clone(),
            ttl: Duration::from_secs(60),
        })
    }
}
