//! The one machine that the embedded engine runs on: its disk is full, its database is held by somebody else.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use adapters_embedded::DataFolder;
use bytes::Bytes;
use domain::{Batch, BatchId, BatchOptions, BatchStatus, Limits, MeasureMode, Outcome};
use fetching::{FetchOptions, Robots};
use imgsweep::engine::{Engine, EngineSettings};
use pipeline::accept::{AcceptError, NewBatch, create_batch, start, store_list};
use pipeline::{Ports, progress};

use crate::origin;

const ROWS: u64 = 300;

async fn engine(data: &DataFolder) -> Engine {
    let settings = EngineSettings {
        limits: Limits::default(),
        fetch: FetchOptions {
            allow_private: vec!["127.0.0.0/8".parse().unwrap()],
            robots: Robots::Ignore,
            ..FetchOptions::default()
        },
        chunk_size: None,
        memory_limit_bytes: None,
        webhook: None,
        vision: None,
    };
    Engine::start(data, settings, None).await.unwrap()
}

/// Hands a list in and starts it, as a person does.
async fn hand_in(ports: &Ports, seed: u64) -> Result<BatchId, AcceptError> {
    let urls: Vec<String> = (0..ROWS).map(|row| origin::url(seed, row)).collect();
    let list = format!("url\n{}\n", urls.join("\n"));
    let body = futures::stream::iter([Ok(Bytes::from(list))]);
    let stored = store_list(ports, body).await?;
    let request = NewBatch {
        name: "outage".to_owned(),
        owner: "tests".to_owned(),
        list_name: "list.csv".to_owned(),
        options: BatchOptions {
            chunk_size: Some(30),
            measure: MeasureMode::Header,
            ..BatchOptions::default()
        },
    };
    let batch = create_batch(ports, stored, request).await?;
    start(ports, batch.id).await?;
    Ok(batch.id)
}

/// What the API answers 503 to, with a time to come again.
fn assert_may_come_again(refused: Result<BatchId, AcceptError>) {
    match refused {
        Err(AcceptError::Pipeline(error)) => assert!(error.is_retryable(), "{error:?}"),
        other => panic!("the list was not refused: {other:?}"),
    }
}

async fn batch(ports: &Ports, id: BatchId) -> Batch {
    ports.store.batch(id).await.unwrap().unwrap()
}

async fn assert_ended_whole(engine: &Engine, id: BatchId) {
    let ended = tokio::time::timeout(Duration::from_secs(120), engine.wait_for(id)).await;
    ended.unwrap().unwrap();
    assert_eq!(
        batch(engine.ports(), id).await.status,
        BatchStatus::Completed
    );
    let counters = progress::total(engine.ports(), id).await.unwrap();
    assert_eq!(counters.rows, ROWS);
    assert_eq!(counters.outcome(Outcome::Poisoned), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_after_the_database_was_locked() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataFolder::open(folder.path()).unwrap();
    let engine = engine(&data).await;
    let id = hand_in(engine.ports(), 9_001).await.unwrap();

    let holder = rusqlite::Connection::open(folder.path().join("state.sqlite")).unwrap();
    holder.busy_timeout(Duration::from_secs(5)).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    // Waits as long as SQLite does, which is less than anybody's patience.
    assert_may_come_again(hand_in(engine.ports(), 9_002).await);
    holder.execute_batch("ROLLBACK").unwrap();

    let later = hand_in(engine.ports(), 9_003).await.unwrap();
    assert_ended_whole(&engine, id).await;
    assert_ended_whole(&engine, later).await;
}

/// A small file system in memory, for as long as this lives.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(bytes: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(folder.path())
            .status()
            .unwrap();
        assert!(mounted.success(), "mounting takes the rights of root");
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the engine may close its files a moment later.
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

/// Writes until nothing more fits.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    for size in [64 * 1024, 4_096, 512] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    drop(file.flush());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "mounts a file system, which takes root: make faults runs it"]
async fn work_goes_on_after_the_disk_was_full() {
    let disk = SmallDisk::mount(24 * 1024 * 1024);
    let data = DataFolder::open(disk.path().join("data")).unwrap();
    let engine = engine(&data).await;
    let id = hand_in(engine.ports(), 9_011).await.unwrap();

    let filler = disk.path().join("filler");
    fill(&filler);
    assert_may_come_again(hand_in(engine.ports(), 9_012).await);
    tokio::time::sleep(Duration::from_secs(3)).await;
    fs::remove_file(&filler).unwrap();

    let later = hand_in(engine.ports(), 9_013).await.unwrap();
    assert_ended_whole(&engine, id).await;
    assert_ended_whole(&engine, later).await;
    drop(engine);
}
