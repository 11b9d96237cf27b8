//! The engine over a list of URLs, names with chosen addresses, and traps for connections that must not be made.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use adapters_embedded::DataFolder;
use async_trait::async_trait;
use bytes::Bytes;
use domain::{BatchOptions, Limits, ListFormat, ResultRow};
use exports::export;
use fetching::{FetchOptions, Resolve, ResolveError, Resolved};
use imgsweep::engine::{self, Engine, EngineSettings};
use parking_lot::Mutex;
use pipeline::accept::{NewBatch, create_batch, start, store_list};
use pipeline::export::ExportFormat;
use sample_origin::Corpus;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// One photograph of a few kilobytes, in every variant.
pub(crate) static CORPUS: LazyLock<Arc<Corpus>> =
    LazyLock::new(|| Arc::new(Corpus::variants(1, 96, 64)));

/// The name of the photograph itself.
pub(crate) const IMAGE: &str = "plain.jpeg";

/// Limits that let a scenario end soon: one attempt, no second part, a few seconds for everything.
pub(crate) fn limits() -> Limits {
    Limits {
        connect_timeout: Duration::from_secs(1),
        read_timeout: Duration::from_secs(1),
        request_timeout: Duration::from_secs(4),
        throughput_grace: Duration::from_secs(1),
        max_attempts: 1,
        max_deferrals: 0,
        ..Limits::default()
    }
}

/// Scenarios that are judged by the clock run alone, whatever the number of tests at once; all others beside each other.
static TURNS: RwLock<()> = RwLock::const_new(());

/// Waits until nothing runs that is judged by the clock.
pub(crate) async fn beside_others() -> RwLockReadGuard<'static, ()> {
    TURNS.read().await
}

/// Waits until nothing else runs.
pub(crate) async fn alone() -> RwLockWriteGuard<'static, ()> {
    TURNS.write().await
}

/// Runs the engine of `imgsweep run` over `urls`, all in one chunk, and returns the result rows in the order of the list.
pub(crate) async fn run<U: AsRef<str>>(
    urls: &[U],
    fetch: FetchOptions,
    limits: &Limits,
) -> Vec<ResultRow> {
    run_in_chunks(urls, 100_000, fetch, limits).await
}

/// As [`run`], in chunks of at most `chunk_size` rows.
pub(crate) async fn run_in_chunks<U: AsRef<str>>(
    urls: &[U],
    chunk_size: u32,
    fetch: FetchOptions,
    limits: &Limits,
) -> Vec<ResultRow> {
    let folder = tempfile::tempdir().unwrap();
    let data = DataFolder::open(folder.path()).unwrap();
    let ports = engine::ports(&data);
    let settings = EngineSettings {
        limits: limits.clone(),
        fetch,
        chunk_size: None,
        memory_limit_bytes: None,
        webhook: None,
        vision: None,
    };
    let engine = Engine::start(&data, settings, None).await.unwrap();
    let body = futures::stream::iter([Ok(Bytes::from(list_of(urls)))]);
    let request = NewBatch {
        name: "scenario".to_owned(),
        owner: "tests".to_owned(),
        list_name: "scenario.ndjson".to_owned(),
        options: BatchOptions {
            chunk_size: Some(chunk_size),
            list_format: Some(ListFormat::Ndjson),
            url_column: Some("url".to_owned()),
            ..BatchOptions::default()
        },
    };
    let stored = store_list(&ports, body).await.unwrap();
    let batch = create_batch(&ports, stored, request).await.unwrap();
    start(&ports, batch.id).await.unwrap();
    engine.wait_for(batch.id).await.unwrap();
    let mut table = Vec::new();
    export(&ports, batch.id, ExportFormat::Ndjson, &mut table)
        .await
        .unwrap();
    let table = String::from_utf8(table).unwrap();
    let rows: Vec<ResultRow> = table
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), urls.len(), "one result for every row");
    rows
}

/// A list that carries every URL exactly as it is written here.
pub(crate) fn list_of<U: AsRef<str>>(urls: &[U]) -> String {
    let lines = urls
        .iter()
        .map(|url| format!("{}\n", json!({ "url": url.as_ref() })));
    lines.collect()
}

/// The outcome of a row with everything that tells why it has it.
pub(crate) fn describe(row: &ResultRow) -> String {
    format!(
        "{}: {} ({}), {:?} ms",
        row.url,
        row.outcome.as_str(),
        row.detail.as_deref().unwrap_or_default(),
        row.elapsed_ms
    )
}

type Answer = dyn Fn(&str, usize) -> Option<Vec<IpAddr>> + Send + Sync;

/// Answers every look-up of a name with what a function says to the name and the number of its look-ups before.
pub(crate) struct Names {
    answer: Box<Answer>,
    lookups: Mutex<HashMap<String, usize>>,
}

impl Names {
    pub(crate) fn new(
        answer: impl Fn(&str, usize) -> Option<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            answer: Box::new(answer),
            lookups: Mutex::default(),
        })
    }

    /// How often `name` was looked up.
    pub(crate) fn lookups(&self, name: &str) -> usize {
        self.lookups.lock().get(name).copied().unwrap_or_default()
    }
}

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, name: &str) -> Result<Resolved, ResolveError> {
        let before = {
            let mut lookups = self.lookups.lock();
            let count = lookups.entry(name.to_owned()).or_default();
            *count += 1;
            *count - 1
        };
        let addresses = (self.answer)(name, before).ok_or(ResolveError::NoSuchName)?;
        Ok(Resolved {
            addresses,
            ttl: Duration::from_secs(60),
        })
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Names")
    }
}

/// Listens where nobody may connect to, on one port of several addresses, and counts who does.
pub(crate) struct Traps {
    pub(crate) port: u16,
    connections: Arc<AtomicU32>,
}

impl Traps {
    /// Traps on a free port.
    pub(crate) async fn set(addresses: &[&str]) -> Self {
        // A port that is free on the first address may be taken on another one.
        for _ in 0..100 {
            let probe = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = probe.local_addr().unwrap().port();
            drop(probe);
            if let Some(traps) = Self::try_set(addresses, port).await {
                return traps;
            }
        }
        panic!("no port is free on all of {addresses:?}; do the loop-back addresses exist here?");
    }

    /// Traps on this port.
    pub(crate) async fn set_at(addresses: &[&str], port: u16) -> Self {
        let traps = Self::try_set(addresses, port).await;
        traps.unwrap_or_else(|| panic!("port {port} is taken on one of {addresses:?}"))
    }

    async fn try_set(addresses: &[&str], port: u16) -> Option<Self> {
        let mut listeners = Vec::new();
        for address in addresses {
            let address: IpAddr = address.parse().unwrap();
            let bound = TcpListener::bind(SocketAddr::new(address, port)).await;
            listeners.push(bound.ok()?);
        }
        let connections: Arc<AtomicU32> = Arc::default();
        for listener in listeners {
            let counter = Arc::clone(&connections);
            tokio::spawn(async move {
                while listener.accept().await.is_ok() {
                    counter.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        Some(Self { port, connections })
    }

    /// Connections made to any of them.
    pub(crate) fn connections(&self) -> u32 {
        self.connections.load(Ordering::SeqCst)
    }
}
