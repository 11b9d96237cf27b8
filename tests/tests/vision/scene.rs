//! A batch whose images are analysed in real time, and labelled in tokio's paused time against a provider that stands in.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use adapters_embedded::{DataFolder, SqliteQueue};
use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use bytes::Bytes;
use caching::{Cache, CacheSettings};
use domain::ports::{Clock, Queue, UlidIds};
use domain::{
    BatchId, BatchOptions, BatchStatus, ChunkMessage, FinalizeMessage, Limits, MetricsMessage,
    ResultRow, SplitMessage, VisionMessage, VisionOptions,
};
use fetching::{FetchOptions, Fetcher, Robots};
use imgsweep_tests::labelling::InProcess;
use jiff::Timestamp;
use object_store::local::LocalFileSystem;
use pipeline::accept::{NewBatch, create_batch, start, store_list};
use pipeline::analyze_chunk::{AnalyzeSettings, Analyzer, Budget};
use pipeline::earlier::KeptComparison;
use pipeline::label_images::{LabelSettings, Labeller};
use pipeline::report::Report;
use pipeline::split::{SplitSettings, split};
use pipeline::{Ports, finalize, parse_message, record_metrics};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use test_support::vision_provider::{KeyRules, StandInProvider};
use tokio::task::JoinSet;
use tokio::time::Instant;
use vision::{KeyPool, Pricing, RateSettings, Task};

const VISIBILITY: Duration = Duration::from_secs(120);

/// Real time until tokio's clock is paused, its time from then on.
pub(crate) struct TokioClock {
    wall: Timestamp,
    start: Instant,
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.wall + self.start.elapsed()
    }
}

/// How messages reach the workers that label.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery {
    pub(crate) workers: usize,
    /// Every message comes twice, to two workers at about the same time.
    pub(crate) twice: bool,
    /// One in so many deliveries ends with the worker's death, somewhere; 0 for none.
    pub(crate) deaths: u64,
}

/// What the workers did.
#[derive(Debug, Default)]
pub(crate) struct Worked {
    pub(crate) deaths: AtomicU64,
    pub(crate) deliveries: AtomicU64,
    pub(crate) handler_ms: AtomicU64,
}

pub(crate) struct Scene {
    pub(crate) ports: Ports,
    pub(crate) data: DataFolder,
    pub(crate) clock: Arc<TokioClock>,
    pub(crate) provider: Arc<StandInProvider>,
    pub(crate) keys: Vec<String>,
    pub(crate) calls_at_once: usize,
    pub(crate) max_images: usize,
    pub(crate) lost: Arc<AtomicU64>,
    images: SocketAddr,
    _folder: TempDir,
}

impl Scene {
    pub(crate) async fn new(keys: Vec<(String, KeyRules)>, latency: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        let clock = Arc::new(TokioClock {
            wall: Timestamp::now(),
            start: Instant::now(),
        });
        let queue = SqliteQueue::new(data.database().clone(), Arc::clone(&clock) as _);
        let objects = LocalFileSystem::new_with_prefix(folder.path().join("objects")).unwrap();
        let ports = Ports {
            store: data.store(),
            queue: Arc::new(queue),
            objects: Arc::new(objects),
            clock: Arc::clone(&clock) as _,
            ids: Arc::new(UlidIds),
            scratch: folder.path().to_owned(),
        };
        let names = keys.iter().map(|(name, _)| name.clone()).collect();
        Self {
            ports,
            data,
            clock,
            provider: Arc::new(StandInProvider::new(keys, latency)),
            keys: names,
            calls_at_once: 64,
            max_images: 1,
            lost: Arc::default(),
            images: serve_images().await,
            _folder: folder,
        }
    }

    /// A labeller of another process, of another machine: nothing in memory, nothing on its disk.
    pub(crate) fn labeller(&self) -> Arc<Labeller> {
        let task = Task::new("model", None, None).unwrap();
        let settings = LabelSettings {
            question: task.hash().to_owned(),
            pricing: Pricing {
                per_million_input: 0.15,
                per_million_output: 0.60,
                ..Pricing::default()
            },
            keep_answers: Duration::from_secs(7 * 86_400),
            keep_errors: Duration::from_secs(3_600),
            lease: Duration::from_secs(20),
            calls_at_once: self.calls_at_once,
        };
        let provider = InProcess {
            provider: Arc::clone(&self.provider),
            clock: Arc::clone(&self.clock) as _,
            task,
            max_images: self.max_images,
            lost: Arc::clone(&self.lost),
        };
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let cache = CacheSettings::default();
        let keys = self.keys.iter().map(|key| SecretString::from(key.clone()));
        Arc::new(Labeller::new(
            self.ports.clone(),
            self.data.keys(),
            Arc::new(Cache::new(cache, self.data.cache(), Arc::clone(&clock))),
            Arc::new(KeyPool::new(
                "stand-in",
                keys,
                RateSettings::default(),
                self.data.keys(),
                clock,
            )),
            Arc::new(provider),
            settings,
        ))
    }

    /// A batch of `rows` rows of `distinct` images, analysed; its vision messages are out.
    pub(crate) async fn analysed(
        &self,
        rows: usize,
        distinct: usize,
        chunk_size: u32,
        wish: VisionOptions,
    ) -> BatchId {
        let numbers = (0..rows).map(|row| row * 7_919 % distinct);
        self.analysed_of(numbers, chunk_size, wish).await
    }

    /// The same of the images with these numbers, one a row.
    pub(crate) async fn analysed_of(
        &self,
        numbers: impl Iterator<Item = usize>,
        chunk_size: u32,
        wish: VisionOptions,
    ) -> BatchId {
        let mut list = "url\n".to_owned();
        for (row, number) in numbers.enumerate() {
            writeln!(list, "http://{}/{number}/{row}.bmp", self.images).unwrap();
        }
        let body = futures::stream::iter([Ok(Bytes::from(list))]);
        let stored = store_list(&self.ports, body).await.unwrap();
        let request = NewBatch {
            name: "catalogue".to_owned(),
            owner: "tests".to_owned(),
            list_name: "catalogue.csv".to_owned(),
            options: BatchOptions {
                chunk_size: Some(chunk_size),
                vision: Some(wish),
                ..BatchOptions::default()
            },
        };
        let id = create_batch(&self.ports, stored, request).await.unwrap().id;
        start(&self.ports, id).await.unwrap();
        for message in self.take::<SplitMessage>(Queue::Split).await {
            let settings = SplitSettings {
                limits: Limits::default(),
                chunk_size: 1_000,
                scratch: self.ports.scratch.clone(),
                soft_deadline: None,
                kept: KeptComparison::default(),
            };
            split(&self.ports, &settings, &message).await.unwrap();
        }
        let analyzer = self.analyzer();
        for message in self.take::<ChunkMessage>(Queue::Chunks).await {
            analyzer
                .analyze_chunk(&message, Budget::default())
                .await
                .unwrap();
        }
        id
    }

    fn analyzer(&self) -> Analyzer {
        let limits = Limits::default();
        let options = FetchOptions {
            allow_private: vec!["127.0.0.0/8".parse().unwrap()],
            robots: Robots::Ignore,
            max_concurrent_per_host: 32,
            ..FetchOptions::default()
        };
        let fetcher = Fetcher::new(&limits, options).unwrap();
        let settings = AnalyzeSettings {
            limits,
            concurrency: 32,
            decoders: 2,
            decode_bytes: 64 * 1024 * 1024,
            model_image_side: Some(1_024),
        };
        Analyzer::new(self.ports.clone(), fetcher, settings, None)
    }

    /// Receives everything that is visible in `queue`, and deletes it.
    pub(crate) async fn take<M: DeserializeOwned>(&self, queue: Queue) -> Vec<M> {
        let mut messages = Vec::new();
        loop {
            let queues = &self.ports.queue;
            let received = queues.receive(queue, 10, VISIBILITY, Duration::ZERO).await;
            let received = received.unwrap();
            if received.is_empty() {
                return messages;
            }
            for delivery in received {
                messages.push(parse_message(queue, &delivery.body).unwrap());
                queues.delete(queue, &[delivery.receipt]).await.unwrap();
            }
        }
    }

    /// Lets workers label until nothing is left to do, in paused time. Each worker is a process of its own.
    pub(crate) async fn label_all(&self, how: Delivery) -> Arc<Worked> {
        let worked = Arc::new(Worked::default());
        let stop = Arc::new(AtomicBool::new(false));
        let mut workers = JoinSet::new();
        for _ in 0..how.workers {
            let worker = Worker {
                ports: self.ports.clone(),
                labeller: self.labeller(),
                how,
                worked: Arc::clone(&worked),
                stop: Arc::clone(&stop),
            };
            workers.spawn(worker.run());
        }
        for queue in [Queue::VisionHigh, Queue::Vision] {
            loop {
                let depth = self.ports.queue.depth(queue).await.unwrap();
                assert_eq!(depth.dead, 0);
                if depth.visible + depth.in_flight + depth.delayed == 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        stop.store(true, Ordering::SeqCst);
        while let Some(ended) = workers.join_next().await {
            ended.unwrap();
        }
        worked
    }

    /// Records and finalizes what is waiting.
    pub(crate) async fn finish(&self, id: BatchId) -> Report {
        for message in self.take::<MetricsMessage>(Queue::Metrics).await {
            record_metrics::record_metrics(&self.ports, &message)
                .await
                .unwrap();
        }
        assert_eq!(self.status(id).await, BatchStatus::Completed);
        let messages: Vec<FinalizeMessage> = self.take(Queue::Finalize).await;
        assert!(!messages.is_empty());
        finalize::finalize(&self.ports, id).await.unwrap().unwrap()
    }

    pub(crate) async fn status(&self, id: BatchId) -> BatchStatus {
        self.ports.store.batch(id).await.unwrap().unwrap().status
    }

    /// The result table as an owner gets it.
    pub(crate) async fn rows(&self, id: BatchId) -> Vec<ResultRow> {
        let filter = pipeline::results::ResultFilter::default();
        let page = pipeline::results::results_page(&self.ports, id, &filter, None, 100_000).await;
        page.unwrap().rows
    }
}

struct Worker {
    ports: Ports,
    labeller: Arc<Labeller>,
    how: Delivery,
    worked: Arc<Worked>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    async fn run(self) {
        while !self.stop.load(Ordering::SeqCst) {
            for queue in [Queue::VisionHigh, Queue::Vision] {
                let wait = Duration::from_millis(100);
                let queues = &self.ports.queue;
                let received = queues.receive(queue, 1, VISIBILITY, wait).await.unwrap();
                for delivery in received {
                    let message: VisionMessage = parse_message(queue, &delivery.body).unwrap();
                    if self.handle(&message).await {
                        queues.delete(queue, &[delivery.receipt]).await.unwrap();
                    }
                }
            }
        }
    }

    async fn label(&self, message: &VisionMessage) {
        let first = self.labeller.label(message, None);
        if self.how.twice {
            let second = self.labeller.label(message, None);
            let (first, second) = tokio::join!(first, second);
            first.unwrap();
            second.unwrap();
        } else {
            first.await.unwrap();
        }
    }

    /// Whether it lived to see the end.
    async fn handle(&self, message: &VisionMessage) -> bool {
        let number = self.worked.deliveries.fetch_add(1, Ordering::SeqCst);
        let started = Instant::now();
        let dies = self.how.deaths > 0 && number % self.how.deaths == self.how.deaths - 1;
        let lived = if dies {
            // Whatever is under way then is dropped, as with the process.
            let life = Duration::from_millis(fastrand::u64(1..600));
            tokio::time::timeout(life, self.label(message))
                .await
                .is_ok()
        } else {
            self.label(message).await;
            true
        };
        let elapsed = started.elapsed().as_millis() as u64;
        self.worked.handler_ms.fetch_add(elapsed, Ordering::SeqCst);
        if !lived {
            self.worked.deaths.fetch_add(1, Ordering::SeqCst);
        }
        lived
    }
}

/// From this number on, an image is a copy of the picture that is so much lower: other bytes, the same pixels.
pub(crate) const COPIES: u32 = 1_000_000;

/// `/<number>/<anything>`: another small image for every number.
async fn serve_images() -> SocketAddr {
    let image = get(|Path((number, _)): Path<(u32, String)>| async move { bitmap(number) });
    let router: Router = Router::new().route("/{number}/{name}", image);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// 32 × 32 pixels, 24 bits each.
fn bitmap(number: u32) -> Vec<u8> {
    const SIDE: u32 = 32;
    let pixels = SIDE * SIDE * 3;
    let mut file = b"BM".to_vec();
    for word in [54 + pixels, 0, 54, 40, SIDE, SIDE] {
        file.extend(word.to_le_bytes());
    }
    file.extend([1, 0, 24, 0]);
    let per_metre = 2_835 + number / COPIES;
    for word in [0, pixels, per_metre, per_metre, 0, 0] {
        file.extend(word.to_le_bytes());
    }
    let mut random = fastrand::Rng::with_seed(u64::from(number % COPIES));
    file.extend((0..pixels).map(|_| random.u8(..)));
    file
}

pub(crate) fn keys(count: usize, per_minute: usize) -> Vec<(String, KeyRules)> {
    let rules = KeyRules {
        per_minute,
        ..KeyRules::default()
    };
    let name = |number| format!("key-{number}");
    (0..count)
        .map(|number| (name(number), rules.clone()))
        .collect()
}
