//! How many messages and commits a second this machine's disk and SQLite carry. Prints, asserts nothing.
//!
//! `cargo run --profile demo -p adapters-embedded --example throughput`
#![expect(clippy::print_stdout, reason = "a measurement for a person")]

use std::error::Error;
use std::time::{Duration, Instant};

use adapters_embedded::DataFolder;
use domain::ports::{Ids, Outgoing, PartCommit, Queue, UlidIds};
use domain::{
    Batch, BatchOptions, BatchStatus, CHUNKS_PER_SHARD, Counters, KpiDelta, Minute, Outcome,
    PartRef, ShardRef, SplitCheckpoint,
};
use jiff::Timestamp;
use tokio::task::JoinSet;

const MESSAGES: usize = 200_000;
const RECEIVED: usize = 50_000;
const COMMITS: u32 = 20_000;
const TASKS: u32 = 8;

fn report(what: &str, count: usize, started: Instant) {
    let elapsed = started.elapsed();
    let rate = count as f64 / elapsed.as_secs_f64();
    println!("{what:<40} {count:>8} in {elapsed:>8.2?}: {rate:>9.0}/s");
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let folder = DataFolder::open(directory.path())?;
    measure_queue(&folder).await?;
    measure_store(&folder).await?;
    Ok(())
}

async fn measure_queue(folder: &DataFolder) -> Result<(), Box<dyn Error>> {
    let queue = folder.queue();
    let body = r#"{"batch":"01KE0000000000000000000001","chunk":1234,"part":0,"deferrals":0}"#;
    let messages = vec![Outgoing::now(body.to_owned()); MESSAGES];

    let started = Instant::now();
    queue.send(Queue::Chunks, &messages).await?;
    report("messages sent, one call", MESSAGES, started);

    let started = Instant::now();
    for batch in messages[..10_000].chunks(10) {
        queue.send(Queue::Chunks, batch).await?;
    }
    report("messages sent, ten a call", 10_000, started);

    let started = Instant::now();
    queue.depth(Queue::Chunks).await?;
    report("messages counted by one depth", MESSAGES + 10_000, started);

    let hidden = Duration::from_secs(600);
    let started = Instant::now();
    let mut receipts = Vec::with_capacity(RECEIVED);
    while receipts.len() < RECEIVED {
        for delivery in queue
            .receive(Queue::Chunks, 10, hidden, Duration::ZERO)
            .await?
        {
            receipts.push(delivery.receipt);
        }
    }
    report("messages received, ten a call", RECEIVED, started);

    let started = Instant::now();
    for batch in receipts.chunks(10) {
        queue.delete(Queue::Chunks, batch).await?;
    }
    report("messages deleted, ten a call", RECEIVED, started);

    let started = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..TASKS {
        let queue = folder.queue();
        workers.spawn(async move {
            for _ in 0..1_000 {
                for delivery in queue
                    .receive(Queue::Chunks, 1, hidden, Duration::ZERO)
                    .await?
                {
                    queue.delete(Queue::Chunks, &[delivery.receipt]).await?;
                }
            }
            Ok::<(), domain::ports::PortError>(())
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    report(
        "received and deleted singly, 8 tasks",
        1_000 * TASKS as usize,
        started,
    );
    Ok(())
}

async fn measure_store(folder: &DataFolder) -> Result<(), Box<dyn Error>> {
    let store = folder.store();
    let batch = a_batch(Timestamp::now());
    store.create_batch(&batch).await?;
    for shard in 0..COMMITS / CHUNKS_PER_SHARD {
        let shard = ShardRef {
            batch: batch.id,
            shard,
        };
        store.create_shard(shard, CHUNKS_PER_SHARD).await?;
    }

    let counters = Counters {
        rows: 2_000,
        by_outcome: Outcome::ALL.iter().map(|outcome| (*outcome, 70)).collect(),
        ..Counters::default()
    };
    let started = Instant::now();
    let mut workers = JoinSet::new();
    for task in 0..TASKS {
        let (store, counters) = (folder.store(), counters.clone());
        let batch = batch.id;
        workers.spawn(async move {
            for chunk in (task..COMMITS).step_by(TASKS as usize) {
                let commit = PartCommit {
                    part: PartRef {
                        batch,
                        chunk,
                        part: 0,
                    },
                    counters: counters.clone(),
                    has_leftover: false,
                    begins_labelling: false,
                    retracted: None,
                };
                store.commit_part(&commit).await?;
            }
            Ok::<(), domain::ports::PortError>(())
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker??;
    }
    report("parts committed, 8 tasks", COMMITS as usize, started);

    let delta = KpiDelta {
        parts: 1,
        counters,
        ..KpiDelta::default()
    };
    let started = Instant::now();
    for chunk in 0..COMMITS {
        let part = PartRef {
            batch: batch.id,
            chunk,
            part: 0,
        };
        store
            .add_kpis(part, Minute(i64::from(chunk / 1_000)), &delta)
            .await?;
    }
    report("indicators added, one task", COMMITS as usize, started);

    let started = Instant::now();
    store.delete_batch(batch.id).await?;
    report("parts deleted with their batch", COMMITS as usize, started);
    Ok(())
}

fn a_batch(now: Timestamp) -> Batch {
    Batch {
        id: UlidIds.batch_id(),
        name: "throughput".to_owned(),
        owner: "example".to_owned(),
        status: BatchStatus::Processing,
        options: BatchOptions::default(),
        list_name: "list.csv".to_owned(),
        list_sha256: "0".repeat(64),
        list_bytes: 0,
        awaits_list: false,
        auto_start: false,
        created_at: now,
        updated_at: now,
        started_at: None,
        ended_at: None,
        failure: None,
        checkpoint: SplitCheckpoint::default(),
        totals: None,
        finalize_sent: false,
        report_ready: false,
        max_concurrency: None,
        retries: Vec::new(),
        deleting: false,
    }
}
