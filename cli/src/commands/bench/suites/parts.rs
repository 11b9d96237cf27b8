//! Parts of the program by themselves: measuring an image, the cache, the store.

use std::sync::Arc;
use std::time::Duration;

use adapters_embedded::DataFolder;
use bytes::Bytes;
use caching::{Cache, CacheSettings, Cached, Kind};
use domain::ports::{BatchQuery, Outgoing, PartCommit, Queue, SystemClock};
use domain::{Counters, Limits, MeasureMode, Outcome, PartRef};
use imaging::Measurer;
use pipeline::accept::{self, NewBatch, StoredList};
use sample_origin::Corpus;
use tempfile::TempDir;

use super::{CORPUS_IMAGES, Done, Prepared, SEED, scratch_folder};
use crate::engine;

/// Answers put into the cache, and how often each is asked for.
const CACHED: u64 = 200;
const ASKED: u64 = 40;
/// Bytes of an answer: above what is compressed.
const ANSWER_BYTES: usize = 2_000;
const ANSWERS: Kind = Kind {
    prefix: "bench",
    lifetime: Duration::from_secs(3_600),
    negative_lifetime: Duration::from_secs(60),
    dear_from_micro_usd: u64::MAX,
    dear_factor: 1,
};

/// Every image of the corpus, one after another, on one processor.
pub(super) async fn single() -> anyhow::Result<Vec<Prepared>> {
    let corpus = tokio::task::spawn_blocking(|| Corpus::generate(SEED, CORPUS_IMAGES)).await?;
    let corpus = Arc::new(corpus);
    let measure = Prepared::new("single/measure", "images", move || {
        let corpus = Arc::clone(&corpus);
        async move {
            let done = tokio::task::spawn_blocking(move || {
                let measurer = Measurer::new(&Limits::default());
                let failed = corpus
                    .images
                    .iter()
                    .filter(|image| measurer.measure(&image.bytes, MeasureMode::Fast).is_err());
                Done {
                    failed: failed.count() as u64,
                    items: corpus.images.len() as u64,
                }
            });
            Ok(done.await?)
        }
    });
    Ok(vec![measure])
}

/// A data folder that goes with whoever holds it.
struct Scratch {
    data: DataFolder,
    folder: TempDir,
}

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let folder = scratch_folder()?;
        Ok(Self {
            data: DataFolder::open(folder.path().join("data"))?,
            folder,
        })
    }

    /// A cache as a process has it that has just begun.
    fn cache(&self) -> Cache {
        let settings = CacheSettings {
            disk_folder: Some(self.folder.path().join("cache")),
            ..CacheSettings::default()
        };
        Cache::new(settings, self.data.cache(), Arc::new(SystemClock))
    }
}

/// Answers put, found in memory, and found on disk by a process that has just begun.
pub(super) async fn cache(is_quick: bool) -> anyhow::Result<[Prepared; 3]> {
    let asked = if is_quick { ASKED } else { ASKED * 4 };
    let put = Prepared::from_state("cache/put", "answers", Scratch::new, |scratch| async move {
        put_all(&scratch.cache()).await
    });
    let filled = Arc::new(Scratch::new()?);
    let warm = Arc::new(filled.cache());
    put_all(&warm).await?;
    let memory = Prepared::new("cache/memory", "look-ups", move || {
        let cache = Arc::clone(&warm);
        async move { ask(&cache, asked * 10).await }
    });
    let disk = Prepared::new("cache/disk", "look-ups", move || {
        let scratch = Arc::clone(&filled);
        async move {
            let mut done = Done::default();
            // Once found, an answer is in memory.
            for _ in 0..asked / 10 {
                let found = ask(&scratch.cache(), 1).await?;
                done.items += found.items;
                done.failed += found.failed;
            }
            Ok(done)
        }
    });
    Ok([put.changing(), memory, disk.changing()])
}

async fn put_all(cache: &Cache) -> anyhow::Result<Done> {
    for number in 0..CACHED {
        let answer = Cached {
            value: Bytes::from("an answer of a model; ".repeat(ANSWER_BYTES / 22)),
            is_negative: false,
            cost_micro_usd: 500,
        };
        cache.put(&ANSWERS, &number.to_string(), answer).await?;
    }
    Ok(Done {
        items: CACHED,
        failed: 0,
    })
}

async fn ask(cache: &Cache, times: u64) -> anyhow::Result<Done> {
    let mut done = Done::default();
    for _ in 0..times {
        for number in 0..CACHED {
            let found = cache.get(&ANSWERS, &number.to_string()).await?;
            done.items += 1;
            done.failed += u64::from(found.is_none());
        }
    }
    Ok(done)
}

/// Messages through a queue, batches made and listed, parts counted.
pub(super) fn store(is_quick: bool) -> [Prepared; 3] {
    let times = if is_quick { 400 } else { 1_600 };
    let of = |name: &str, unit, run: fn(Scratch, u64) -> super::Running| {
        Prepared::from_state(
            format!("store/{name}"),
            unit,
            Scratch::new,
            move |scratch| run(scratch, times),
        )
    };
    [
        of("queue", "messages", |scratch, times| {
            Box::pin(queue(scratch, times * 2))
        }),
        of("batches", "batches", |scratch, times| {
            Box::pin(batches(scratch, times / 4))
        }),
        of("commit", "parts", |scratch, times| {
            Box::pin(commit(scratch, times))
        }),
    ]
}

async fn queue(scratch: Scratch, times: u64) -> anyhow::Result<Done> {
    let queue = scratch.data.queue();
    let messages: Vec<Outgoing> = (0..times)
        .map(|number| Outgoing::now(format!("{{\"number\":{number}}}")))
        .collect();
    let refused = queue.send(Queue::Metrics, &messages).await?.len() as u64;
    let mut deleted = 0;
    loop {
        let received = queue
            .receive(Queue::Metrics, 10, Duration::from_secs(60), Duration::ZERO)
            .await?;
        if received.is_empty() {
            break;
        }
        deleted += received.len() as u64;
        let receipts: Vec<String> = received
            .into_iter()
            .map(|delivery| delivery.receipt)
            .collect();
        queue.delete(Queue::Metrics, &receipts).await?;
    }
    Ok(Done {
        items: times,
        failed: refused + (times - refused).abs_diff(deleted),
    })
}

async fn batches(scratch: Scratch, times: u64) -> anyhow::Result<Done> {
    let ports = engine::ports(&scratch.data);
    let mut listed = 0;
    for _ in 0..times {
        create(&ports).await?;
        let query = BatchQuery {
            limit: 20,
            ..BatchQuery::default()
        };
        listed += u64::from(!ports.store.list_batches(&query).await?.items.is_empty());
    }
    Ok(Done {
        items: times,
        failed: times - listed,
    })
}

async fn commit(scratch: Scratch, times: u64) -> anyhow::Result<Done> {
    let ports = engine::ports(&scratch.data);
    let batch = create(&ports).await?;
    let mut counters = Counters {
        rows: 250,
        attempts: 250,
        bytes: 37_500_000,
        ..Counters::default()
    };
    counters.by_outcome.insert(Outcome::Ok, 250);
    let mut counted = 0;
    for chunk in 0..times as u32 {
        let part = PartRef {
            batch,
            chunk,
            part: 0,
        };
        if chunk % 100 == 0 {
            ports.store.create_shard(part.shard(), 100).await?;
        }
        let commit = PartCommit {
            part,
            counters: counters.clone(),
            has_leftover: false,
            begins_labelling: false,
            retracted: None,
        };
        counted += u64::from(ports.store.commit_part(&commit).await?.is_new);
    }
    Ok(Done {
        items: times,
        failed: times - counted,
    })
}

async fn create(ports: &pipeline::Ports) -> anyhow::Result<domain::BatchId> {
    let list = StoredList {
        id: ports.ids.batch_id(),
        sha256: "0".repeat(64),
        bytes: 0,
    };
    let request = NewBatch {
        name: format!("bench {}", ports.clock.now()),
        owner: "bench".to_owned(),
        list_name: "bench.csv".to_owned(),
        options: domain::BatchOptions::default(),
    };
    Ok(accept::create_batch(ports, list, request).await?.id)
}
