//! Lists through the embedded engine, from the upload to the report, on a data folder of their own.

use std::fmt::Write;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use adapters_embedded::DataFolder;
use anyhow::{Context, ensure};
use bytes::Bytes;
use domain::{BatchOptions, BatchStatus, Limits, Outcome};
use fetching::FetchOptions;
use pipeline::accept::{self, NewBatch};
use pipeline::progress;
use sample_origin::Origin;

use super::{Done, Prepared, scratch_folder};
use crate::engine::{self, Engine, EngineSettings};

/// Requests that one worker has under way.
const REQUESTS_OF_A_WORKER: usize = 8;
/// The engine's own figures, where a case does not turn them.
const CHUNK_SIZE: u32 = 250;
const CONCURRENCY: usize = 64;
/// What the stages may take to end.
const DRAIN: Duration = Duration::from_secs(10);

/// One list, and how the engine is set for it.
#[derive(Debug, Clone)]
pub(in crate::commands::bench) struct EngineRun {
    pub(in crate::commands::bench) list: String,
    pub(in crate::commands::bench) chunk_size: u32,
    pub(in crate::commands::bench) concurrency: usize,
}

/// Distinct URLs of images that load.
pub(in crate::commands::bench) fn good_list(origin: &Origin, rows: usize) -> String {
    let images = &origin.corpus().images;
    let names: Vec<&str> = images.iter().map(|image| image.name.as_str()).collect();
    let mut list = "url\n".to_owned();
    for row in 0..rows {
        let path = format!("/image/{}?row={row}", names[row % names.len()]);
        // Writing to a string cannot fail.
        let _ = writeln!(list, "{}", origin.url(&path));
    }
    list
}

impl EngineRun {
    /// Runs it to its end. A row that is not `ok` failed: every one of them could be.
    pub(in crate::commands::bench) async fn run(self) -> anyhow::Result<Done> {
        let folder = scratch_folder()?;
        let data = DataFolder::open(folder.path())?;
        let settings = EngineSettings {
            webhook: None,
            limits: Limits::default(),
            fetch: FetchOptions {
                max_concurrent: self.concurrency,
                max_concurrent_per_host: self.concurrency,
                allow_private: vec!["127.0.0.0/8".parse()?],
                ..FetchOptions::default()
            },
            chunk_size: None,
            memory_limit_bytes: None,
            vision: None,
        };
        let engine = Engine::start(&data, settings, None).await?;
        let ports = engine::ports(&data);
        let list = futures::stream::iter([io::Result::Ok(Bytes::from(self.list))]);
        let stored = accept::store_list(&ports, list).await?;
        let request = NewBatch {
            name: "bench".to_owned(),
            owner: "bench".to_owned(),
            list_name: "bench.csv".to_owned(),
            options: BatchOptions {
                chunk_size: Some(self.chunk_size),
                ..BatchOptions::default()
            },
        };
        let batch = accept::create_batch(&ports, stored, request).await?;
        accept::start(&ports, batch.id).await?;
        engine.wait_for(batch.id).await?;
        let batch = ports
            .store
            .batch(batch.id)
            .await?
            .context("the batch is gone")?;
        ensure!(
            batch.status == BatchStatus::Completed,
            "the batch is {}",
            batch.status
        );
        let counters = progress::total(&ports, batch.id).await?;
        engine.drain(DRAIN).await;
        let ok = counters.by_outcome.get(&Outcome::Ok).copied().unwrap_or(0);
        Ok(Done {
            items: counters.rows,
            failed: counters.rows - ok,
        })
    }
}

fn case(
    name: String,
    origin: &Arc<Origin>,
    rows: usize,
    chunk_size: u32,
    concurrency: usize,
) -> Prepared {
    let run = EngineRun {
        list: good_list(origin, rows),
        chunk_size,
        concurrency,
    };
    let origin = Arc::clone(origin);
    Prepared::new(name, "rows", move || {
        let (run, origin) = (run.clone(), Arc::clone(&origin));
        async move {
            let done = run.run().await;
            drop(origin);
            done
        }
    })
}

/// A list of one row: what a batch costs besides its rows.
pub(super) fn one_row(origin: &Arc<Origin>) -> Prepared {
    case("single/row".to_owned(), origin, 1, CHUNK_SIZE, CONCURRENCY)
}

/// Lists of several lengths.
pub(super) fn batches(origin: &Arc<Origin>, is_quick: bool) -> Vec<Prepared> {
    let sizes: &[usize] = if is_quick {
        &[10, 100]
    } else {
        &[10, 25, 50, 100, 500, 1_000]
    };
    let case = |rows: &usize| {
        case(
            format!("batch/{rows}"),
            origin,
            *rows,
            CHUNK_SIZE,
            CONCURRENCY,
        )
    };
    sizes.iter().map(case).collect()
}

/// Several workers, with chunks of several sizes. A worker is [`REQUESTS_OF_A_WORKER`] requests under way.
pub(super) fn workers(origin: &Arc<Origin>, is_quick: bool) -> Vec<Prepared> {
    let (workers, sizes, rows): (&[usize], &[u32], usize) = if is_quick {
        (&[2], &[25], 100)
    } else {
        (&[1, 2, 4], &[25, 50, 100], 400)
    };
    let mut cases = Vec::new();
    for workers in workers {
        for size in sizes {
            let concurrency = workers * REQUESTS_OF_A_WORKER;
            cases.push(case(
                format!("workers/{workers}x{size}"),
                origin,
                rows,
                *size,
                concurrency,
            ));
        }
    }
    cases
}
