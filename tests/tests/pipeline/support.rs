//! What the tests share: ports over a data folder, an origin on loop-back, a clock that stands still, and a recount that does not
//! go through the pipeline.

use std::fmt::Write;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use adapters_embedded::{DataFolder, SqliteQueue};
use bytes::Bytes;
use domain::ports::{Clock, Delivery, Queue, UlidIds};
use domain::{
    Batch, BatchId, BatchOptions, BatchStatus, ChunkMessage, ChunkRow, Counters, FinalizeMessage,
    Issue, KpiDelta, Limits, MetricsMessage, Minute, Outcome, ResultRow, SplitMessage, keys,
};
use fetching::{FetchOptions, Fetcher, Robots};
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use parking_lot::Mutex;
use pipeline::accept::{NewBatch, create_batch, start, store_list};
use pipeline::analyze_chunk::{AnalyzeSettings, Analyzer, Budget};
use pipeline::earlier::KeptComparison;
use pipeline::report::Report;
use pipeline::split::{SplitEnd, SplitSettings, split};
use pipeline::sweep::{Swept, sweep};
use pipeline::{PipelineResult, Ports, notify, parse_message, progress, record_metrics};
use sample_origin::{Corpus, Origin, OriginOptions};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;
use test_support::ManualClock;

use crate::faults::{Plan, Tap};

/// Longer than any test lets its clock run: nothing comes again unless it is given back.
const VISIBILITY: Duration = Duration::from_secs(12 * 60 * 60);

/// More than it takes to play any test's messages to their end.
const MAX_ROUNDS: u32 = 1_000;

/// One photograph, small, in every variant.
static CORPUS: LazyLock<Arc<Corpus>> = LazyLock::new(|| Arc::new(Corpus::variants(1, 96, 64)));

/// Everything a test needs. Nothing works by itself: the test plays every stage.
pub(crate) struct Scene {
    /// Ports that work; completions are noted.
    pub(crate) ports: Ports,
    pub(crate) data: DataFolder,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) origin: Arc<Origin>,
    pub(crate) limits: Limits,
    real: Ports,
    fetcher: Fetcher,
    completions: Arc<Mutex<Vec<BatchId>>>,
    folder: TempDir,
}

/// An origin that counts the requests for every path.
pub(crate) fn origin() -> Arc<Origin> {
    let options = OriginOptions {
        record_paths: true,
        ..OriginOptions::default()
    };
    Arc::new(Origin::start_with(Arc::clone(&CORPUS), options).unwrap())
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::over(origin())
    }

    pub(crate) fn over(origin: Arc<Origin>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        let clock = Arc::new(ManualClock::default());
        let queue = SqliteQueue::new(data.database().clone(), Arc::clone(&clock) as _);
        // The folder's own, but for the flush of every file: no test cuts the power, and together they write thousands.
        let objects = LocalFileSystem::new_with_prefix(folder.path().join("objects"))
            .unwrap()
            .with_automatic_cleanup(true);
        let real = Ports {
            store: data.store(),
            queue: Arc::new(queue),
            objects: Arc::new(objects),
            clock: Arc::clone(&clock) as _,
            ids: Arc::new(UlidIds),
            scratch: folder.path().to_owned(),
        };
        let completions = Arc::default();
        let (ports, _tap) = Tap::over(&real, None, &completions);
        let limits = Limits {
            max_attempts: 1,
            ..Limits::default()
        };
        Self {
            ports,
            data,
            clock,
            origin,
            fetcher: fetcher(&limits),
            limits,
            real,
            completions,
            folder,
        }
    }

    /// The ports of another process, one call of which goes wrong.
    pub(crate) fn tapped(&self, plan: Plan) -> (Ports, Arc<Tap>) {
        Tap::over(&self.real, Some(plan), &self.completions)
    }

    /// A list with one column, `count` rows, all of the same good image under different URLs.
    pub(crate) fn good_list(&self, count: usize) -> String {
        let mut list = "url\n".to_owned();
        for row in 0..count {
            writeln!(list, "{}", self.image(row)).unwrap();
        }
        list
    }

    /// The URL of a good image, another one for every number.
    pub(crate) fn image(&self, number: usize) -> String {
        self.origin.url(&image_path(number))
    }

    /// A started batch; its split message is out.
    pub(crate) async fn start(&self, list: impl Into<Bytes>, chunk_size: u32) -> BatchId {
        let options = BatchOptions {
            chunk_size: Some(chunk_size),
            ..BatchOptions::default()
        };
        self.start_with(list, options).await
    }

    pub(crate) async fn start_with(
        &self,
        list: impl Into<Bytes>,
        options: BatchOptions,
    ) -> BatchId {
        let body = futures::stream::iter([Ok(list.into())]);
        let stored = store_list(&self.ports, body).await.unwrap();
        let request = NewBatch {
            name: "spring catalogue".to_owned(),
            owner: "tests".to_owned(),
            list_name: "spring.csv".to_owned(),
            options,
        };
        let batch = create_batch(&self.ports, stored, request).await.unwrap();
        start(&self.ports, batch.id).await.unwrap();
        batch.id
    }

    /// A batch whose split is done, with the messages of its chunks.
    pub(crate) async fn start_and_split(
        &self,
        list: impl Into<Bytes>,
        chunk_size: u32,
    ) -> (BatchId, Vec<ChunkMessage>) {
        let id = self.start(list, chunk_size).await;
        let messages: Vec<SplitMessage> = self.take(Queue::Split).await;
        assert_eq!(messages.len(), 1);
        let end = self.split(id).await;
        assert!(matches!(end, SplitEnd::Done(_)), "{end:?}");
        (id, self.take(Queue::Chunks).await)
    }

    pub(crate) fn split_settings(&self) -> SplitSettings {
        SplitSettings {
            limits: self.limits.clone(),
            chunk_size: 1_000,
            scratch: self.folder.path().to_owned(),
            soft_deadline: None,
            kept: KeptComparison::default(),
        }
    }

    pub(crate) async fn split(&self, id: BatchId) -> SplitEnd {
        let message = split_message(id);
        split(&self.ports, &self.split_settings(), &message)
            .await
            .unwrap()
    }

    /// An analyser of another process: connections of its own.
    pub(crate) fn analyzer(&self, ports: &Ports) -> Analyzer {
        self.analyzer_with(ports, fetcher(&self.limits))
    }

    fn analyzer_with(&self, ports: &Ports, fetcher: Fetcher) -> Analyzer {
        let settings = AnalyzeSettings {
            limits: self.limits.clone(),
            concurrency: 16,
            decoders: 2,
            decode_bytes: 64 * 1024 * 1024,
            model_image_side: None,
        };
        Analyzer::new(ports.clone(), fetcher, settings, None)
    }

    pub(crate) async fn analyze(&self, message: ChunkMessage) {
        self.analyze_within(message, Budget::default()).await;
    }

    pub(crate) async fn analyze_within(&self, message: ChunkMessage, budget: Budget) {
        self.analyzer_with(&self.ports, self.fetcher.clone())
            .analyze_chunk(&message, budget)
            .await
            .unwrap();
    }

    /// Receives everything that is visible in `queue`.
    pub(crate) async fn receive(&self, queue: Queue) -> Vec<Delivery> {
        let mut all = Vec::new();
        loop {
            let received = self
                .ports
                .queue
                .receive(queue, 10, VISIBILITY, Duration::ZERO)
                .await
                .unwrap();
            if received.is_empty() {
                return all;
            }
            all.extend(received);
        }
    }

    /// Receives everything that is visible in `queue`, and deletes it.
    pub(crate) async fn take<M: DeserializeOwned>(&self, queue: Queue) -> Vec<M> {
        let mut messages = Vec::new();
        for delivery in self.receive(queue).await {
            messages.push(parse_message(queue, &delivery.body).unwrap());
            self.delete(queue, &delivery).await;
        }
        messages
    }

    pub(crate) async fn delete(&self, queue: Queue, delivery: &Delivery) {
        let receipts = std::slice::from_ref(&delivery.receipt);
        self.ports.queue.delete(queue, receipts).await.unwrap();
    }

    /// Messages in `queue`, visible or not, dead ones left out.
    pub(crate) async fn waiting(&self, queue: Queue) -> u64 {
        let depth = self.ports.queue.depth(queue).await.unwrap();
        depth.visible + depth.in_flight + depth.delayed
    }

    /// Lets a message of `queue` be received by processes that all fail, until it is dead.
    pub(crate) async fn let_die(&self, queue: Queue) {
        let visibility = Duration::from_secs(1);
        for _ in 0..=Queue::MAX_RECEIVES {
            self.ports
                .queue
                .receive(queue, 10, visibility, Duration::ZERO)
                .await
                .unwrap();
            self.clock.advance(visibility);
        }
    }

    /// What the consumer of a queue does with a message.
    pub(crate) async fn handle(
        &self,
        ports: &Ports,
        queue: Queue,
        body: &str,
        budget: Budget,
    ) -> PipelineResult<()> {
        match queue {
            Queue::Split => {
                let message: SplitMessage = parse_message(queue, body)?;
                let settings = SplitSettings {
                    soft_deadline: budget.soft_deadline,
                    ..self.split_settings()
                };
                split(ports, &settings, &message).await.map(drop)
            }
            Queue::Chunks => {
                let message: ChunkMessage = parse_message(queue, body)?;
                self.analyzer_with(ports, self.fetcher.clone())
                    .analyze_chunk(&message, budget)
                    .await
            }
            Queue::Metrics => {
                let message: MetricsMessage = parse_message(queue, body)?;
                record_metrics::record_metrics(ports, &message)
                    .await
                    .map(drop)
            }
            Queue::Finalize => {
                let message: FinalizeMessage = parse_message(queue, body)?;
                notify::report(ports, None, message).await
            }
            _ => unreachable!("no test knows the queue {queue}"),
        }
    }

    /// Plays every stage, one message after the other, until every queue is empty. Time passes when nothing else is left to do.
    pub(crate) async fn drain(&self) {
        for _ in 0..MAX_ROUNDS {
            let mut handled = 0;
            let mut waiting = 0;
            for queue in Queue::ALL {
                for delivery in self.receive(*queue).await {
                    self.handle(&self.ports, *queue, &delivery.body, Budget::default())
                        .await
                        .unwrap();
                    self.delete(*queue, &delivery).await;
                    handled += 1;
                }
                waiting += self.waiting(*queue).await;
            }
            if handled == 0 && waiting == 0 {
                return;
            }
            if handled == 0 {
                self.clock.advance(Duration::from_secs(5));
            }
        }
        panic!("the queues do not become empty");
    }

    /// A sweep that finds everything stale.
    pub(crate) async fn sweep(&self) -> Swept {
        sweep(&self.ports, Duration::ZERO).await.unwrap()
    }

    pub(crate) async fn batch(&self, id: BatchId) -> Batch {
        self.ports.store.batch(id).await.unwrap().unwrap()
    }

    pub(crate) async fn status(&self, id: BatchId) -> BatchStatus {
        self.batch(id).await.status
    }

    /// How often the batch moved to `COMPLETED`.
    pub(crate) fn completions(&self, id: BatchId) -> usize {
        let completions = self.completions.lock();
        completions.iter().filter(|batch| **batch == id).count()
    }

    /// What the shard rows say.
    pub(crate) async fn counters(&self, id: BatchId) -> Counters {
        progress::total(&self.ports, id).await.unwrap()
    }

    /// The sum of all indicators.
    pub(crate) async fn indicators(&self) -> KpiDelta {
        let (from, to) = (Minute(0), Minute::of(self.clock.now()));
        let mut sum = KpiDelta::default();
        for (_, delta) in self.ports.store.kpis(from, to).await.unwrap() {
            sum += &delta;
        }
        sum
    }

    /// Keys of all objects below `prefix`, sorted.
    pub(crate) async fn keys_below(&self, prefix: &str) -> Vec<String> {
        let listed: Vec<_> = self
            .data
            .objects()
            .list(Some(&Path::from(prefix)))
            .map_ok(|object| object.location.to_string())
            .try_collect()
            .await
            .unwrap();
        let mut keys = listed;
        keys.sort();
        keys
    }

    /// Puts something in the place of an object that nobody can read.
    pub(crate) async fn put_rubbish(&self, key: &str) {
        let rubbish = PutPayload::from_static(b"not zstd");
        let objects = self.data.objects();
        objects.put(&Path::from(key), rubbish).await.unwrap();
    }

    /// The lines of a compressed object.
    pub(crate) async fn lines(&self, key: &str) -> Vec<String> {
        let found = self.data.objects().get(&Path::from(key)).await.unwrap();
        let bytes = found.bytes().await.unwrap();
        let text = String::from_utf8(zstd::decode_all(bytes.as_ref()).unwrap()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The rows of every chunk object, by chunk.
    pub(crate) async fn chunks(&self, id: BatchId) -> Vec<Vec<ChunkRow>> {
        let mut chunks = Vec::new();
        for key in self.keys_below(&keys::chunks(id)).await {
            let lines = self.lines(&key).await;
            let rows = lines.iter().map(|line| serde_json::from_str(line).unwrap());
            chunks.push(rows.collect());
        }
        chunks
    }

    /// The rows of every result object, by chunk and part.
    pub(crate) async fn parts(&self, id: BatchId) -> Vec<Vec<ResultRow>> {
        let mut parts = Vec::new();
        for key in self.keys_below(&keys::results(id)).await {
            let lines = self.lines(&key).await;
            let rows = lines.iter().skip(1);
            let rows = rows.map(|line| serde_json::from_str(line).unwrap());
            parts.push(rows.collect());
        }
        parts
    }

    /// The first line of every result object.
    pub(crate) async fn manifests(&self, id: BatchId) -> Vec<Value> {
        let mut manifests = Vec::new();
        for key in self.keys_below(&keys::results(id)).await {
            let lines = self.lines(&key).await;
            manifests.push(serde_json::from_str(&lines[0]).unwrap());
        }
        manifests
    }

    /// Every result row that counts, by row number: what a part that begins a retry leaves over, it takes back.
    pub(crate) async fn results(&self, id: BatchId) -> Vec<ResultRow> {
        let mut rows: Vec<ResultRow> = Vec::new();
        let manifests = self.manifests(id).await;
        for (manifest, part) in manifests.iter().zip(self.parts(id).await) {
            if manifest.get("retry").is_some() {
                let taken_back = manifest["leftover"].as_array().unwrap();
                rows.retain(|row| !taken_back.contains(&Value::from(row.row)));
            }
            rows.extend(part);
        }
        rows.sort_by_key(|row| row.row);
        rows
    }

    pub(crate) async fn outcomes(&self, id: BatchId) -> Vec<Outcome> {
        let rows = self.results(id).await;
        rows.iter().map(|row| row.outcome).collect()
    }

    /// One result row for every row of a list of `rows`, and shard rows that agree with a recount of them.
    pub(crate) async fn assert_counts_add_up(&self, id: BatchId, rows: u64) {
        let results = self.results(id).await;
        let numbers: Vec<u64> = results.iter().map(|row| row.row).collect();
        let expected: Vec<u64> = (0..rows).collect();
        assert_eq!(numbers, expected);
        let recount: Counters = results.iter().collect();
        assert_eq!(self.counters(id).await, recount);
    }

    /// As [`Self::assert_counts_add_up`], of a batch that completed, once.
    pub(crate) async fn assert_completed(&self, id: BatchId, rows: u64) {
        self.assert_counts_add_up(id, rows).await;
        let batch = self.batch(id).await;
        assert_eq!(batch.status, BatchStatus::Completed);
        assert_eq!(batch.totals.unwrap().rows, rows);
        assert_eq!(self.completions(id), 1);
    }
}

/// What a report counts but the issues that only all rows together show: the sum of what its parts counted.
pub(crate) fn counted_by_part(report: &Report) -> Counters {
    let mut counters = report.counters.clone();
    for issue in [
        Issue::Placeholder,
        Issue::ExactDuplicate,
        Issue::NearDuplicate,
    ] {
        counters.by_issue.remove(&issue);
    }
    counters
}

/// The path and query of [`Scene::image`].
pub(crate) fn image_path(number: usize) -> String {
    format!("/image/plain.jpeg?number={number}")
}

pub(crate) fn split_message(batch: BatchId) -> SplitMessage {
    SplitMessage {
        batch,
        continuation: 0,
    }
}

/// The first message of a chunk.
pub(crate) fn chunk_message(batch: BatchId, chunk: u32) -> ChunkMessage {
    ChunkMessage {
        part: test_support::part(batch, chunk),
        deferrals: 0,
        parts_before: 0,
    }
}

fn fetcher(limits: &Limits) -> Fetcher {
    let options = FetchOptions {
        allow_private: vec!["127.0.0.0/8".parse().unwrap()],
        robots: Robots::Ignore,
        ..FetchOptions::default()
    };
    Fetcher::new(limits, options).unwrap()
}
