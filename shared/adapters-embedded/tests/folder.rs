//! What only the embedded adapter does: one folder, one process, and what it leaves behind.
#![expect(clippy::unwrap_used, reason = "a fault ends the test")]

use std::fs;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use adapters_embedded::{DataFolder, DataFolderError, Database, SqliteStore};
use domain::ports::{
    BatchChange, BatchQuery, BatchStore, Creation, Outgoing, PortErrorKind, Queue,
};
use domain::{BatchStatus, CHUNKS_PER_SHARD, Minute, Outcome, ShardRef};
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use tempfile::TempDir;
use test_support::{a_batch, a_finished_part, a_kpi_delta, part};

const MINUTE: Minute = Minute(29_453_040);
const LONG: Duration = Duration::from_secs(60);
/// Names the folder to the helper process of [`a_killed_process_leaves_its_folder_free_and_its_work_to_be_done`].
const FOLDER_VARIABLE: &str = "ADAPTERS_EMBEDDED_TEST_FOLDER";

fn a_directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open_error(path: &Path) -> DataFolderError {
    match DataFolder::open(path) {
        Ok(_) => panic!("the folder opened"),
        Err(error) => error,
    }
}

fn state_fault_kind(path: &Path) -> PortErrorKind {
    match open_error(path) {
        DataFolderError::State { folder, source } => {
            assert_eq!(folder, path);
            source.kind
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_folder_in_use_is_refused_by_name() {
    let directory = a_directory();
    let _held = DataFolder::open(directory.path()).unwrap();
    let error = open_error(directory.path());
    assert!(matches!(error, DataFolderError::InUse { .. }));
    let message = error.to_string();
    assert!(message.contains(directory.path().to_str().unwrap()));
    assert!(message.contains("in use"), "{message}");
}

#[test]
fn a_folder_is_free_when_its_last_port_is_dropped() {
    let directory = a_directory();
    let folder = DataFolder::open(directory.path()).unwrap();
    let queue = folder.queue();
    drop(folder);
    assert!(DataFolder::open(directory.path()).is_err());
    drop(queue);
    assert!(DataFolder::open(directory.path()).is_ok());
}

#[test]
fn missing_parents_are_created() {
    let directory = a_directory();
    let path = directory.path().join("a/b");
    let folder = DataFolder::open(&path).unwrap();
    assert_eq!(folder.path(), path);
    for name in ["state.sqlite", "objects", "lock"] {
        assert!(path.join(name).exists(), "{name}");
    }
}

#[test]
fn a_path_that_is_a_file_is_refused_by_name() {
    let directory = a_directory();
    let path = directory.path().join("list.csv");
    fs::write(&path, "url\n").unwrap();
    let error = open_error(&path);
    assert!(matches!(error, DataFolderError::Io { .. }));
    assert!(error.to_string().contains("list.csv"));
}

#[tokio::test]
async fn a_folder_opened_again_has_everything_it_had() {
    let directory = a_directory();
    let batch = a_batch();
    let shard = ShardRef {
        batch: batch.id,
        shard: 0,
    };
    let commit = a_finished_part(part(batch.id, 0));
    let key = object_store::path::Path::from("chunks/1");
    {
        let folder = DataFolder::open(directory.path()).unwrap();
        let (store, queue) = (folder.store(), folder.queue());
        store.create_batch(&batch).await.unwrap();
        store.create_shard(shard, 1).await.unwrap();
        store.commit_part(&commit).await.unwrap();
        store.close_shard(shard).await.unwrap();
        store
            .add_kpis(commit.part, MINUTE, &a_kpi_delta(3))
            .await
            .unwrap();
        let delayed = Outgoing {
            body: "later".to_owned(),
            delay: LONG,
        };
        let messages = [
            Outgoing::now("held".to_owned()),
            Outgoing::now("visible".to_owned()),
            delayed,
        ];
        queue.send(Queue::Chunks, &messages).await.unwrap();
        let held = queue.receive(Queue::Chunks, 1, LONG, Duration::ZERO).await;
        assert_eq!(held.unwrap().len(), 1);
        folder.objects().put(&key, "rows".into()).await.unwrap();
    }

    let folder = DataFolder::open(directory.path()).unwrap();
    let (store, queue) = (folder.store(), folder.queue());
    assert_eq!(store.batch(batch.id).await.unwrap(), Some(batch));
    let shards = store.shards(commit.part.batch).await.unwrap();
    assert_eq!(shards[0].counters, commit.counters);
    assert!(!store.commit_part(&commit).await.unwrap().is_new);
    let roll_up = store.close_shard(shard).await.unwrap().unwrap();
    assert_eq!(roll_up.shards_done, 1);
    let minutes = store.kpis(MINUTE, MINUTE).await.unwrap();
    assert_eq!(minutes, [(MINUTE, a_kpi_delta(3))]);
    let depth = queue.depth(Queue::Chunks).await.unwrap();
    assert_eq!((depth.visible, depth.in_flight, depth.delayed), (1, 1, 1));
    let object = folder.objects().get(&key).await.unwrap();
    assert_eq!(object.bytes().await.unwrap(), "rows");
}

#[tokio::test]
async fn an_object_is_created_once() {
    let directory = a_directory();
    let objects = DataFolder::open(directory.path()).unwrap().objects();
    let key = object_store::path::Path::from("results/1");
    let create = || PutOptions::from(PutMode::Create);
    objects
        .put_opts(&key, "first".into(), create())
        .await
        .unwrap();
    let second = objects.put_opts(&key, "second".into(), create()).await;
    assert!(matches!(
        second,
        Err(object_store::Error::AlreadyExists { .. })
    ));
    let stored = objects.get(&key).await.unwrap().bytes().await.unwrap();
    assert_eq!(stored, "first");
}

/// Holds a folder, with work under way, until it is killed.
#[tokio::test]
#[ignore = "the helper process of the test below"]
async fn helper_that_holds_a_folder() {
    let folder = DataFolder::open(std::env::var(FOLDER_VARIABLE).unwrap()).unwrap();
    let batch = a_batch();
    folder.store().create_batch(&batch).await.unwrap();
    let messages = ["a", "b", "c"].map(|body| Outgoing::now(body.to_owned()));
    let queue = folder.queue();
    queue.send(Queue::Chunks, &messages).await.unwrap();
    let held = queue.receive(Queue::Chunks, 2, LONG, Duration::ZERO).await;
    assert_eq!(held.unwrap().len(), 2);
    println!("\nholds {}", batch.id);
    std::thread::sleep(LONG);
}

#[tokio::test]
async fn a_killed_process_leaves_its_folder_free_and_its_work_to_be_done() {
    let directory = a_directory();
    let mut helper = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "helper_that_holds_a_folder"])
        .args(["--ignored", "--nocapture"])
        .env(FOLDER_VARIABLE, directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(helper.stdout.take().unwrap());
    let holds = output
        .lines()
        .map(Result::unwrap)
        .find(|line| line.starts_with("holds "))
        .unwrap();
    let error = open_error(directory.path());
    helper.kill().unwrap();
    helper.wait().unwrap();
    assert!(matches!(error, DataFolderError::InUse { .. }), "{error}");

    let folder = DataFolder::open(directory.path()).unwrap();
    let id = holds.trim_start_matches("holds ").parse().unwrap();
    assert!(folder.store().batch(id).await.unwrap().is_some());
    assert_eq!(folder.database().release_interrupted().await.unwrap(), 2);
    let queue = folder.queue();
    let all = queue.receive(Queue::Chunks, 10, LONG, Duration::ZERO).await;
    let mut interruptions: Vec<u32> = all
        .unwrap()
        .iter()
        .map(|delivery| delivery.interruptions)
        .collect();
    interruptions.sort_unstable();
    assert_eq!(interruptions, [0, 1, 1]);
}

#[test]
fn a_state_file_that_is_no_database_is_corrupt() {
    let directory = a_directory();
    fs::write(directory.path().join("state.sqlite"), "x".repeat(8_192)).unwrap();
    assert_eq!(state_fault_kind(directory.path()), PortErrorKind::Corrupt);
    let written = fs::read(directory.path().join("state.sqlite")).unwrap();
    assert!(written.iter().all(|byte| *byte == b'x'));
}

#[tokio::test]
async fn a_damaged_page_is_corrupt_and_not_retryable() {
    let directory = a_directory();
    let path = directory.path().join("state.sqlite");
    {
        let store = SqliteStore::new(Database::open(&path).unwrap());
        for _ in 0..100 {
            store.create_batch(&a_batch()).await.unwrap();
        }
    }
    let mut file = fs::File::options().write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    file.seek(SeekFrom::Start(4_096)).unwrap();
    file.write_all(&vec![0xff; length as usize - 4_096])
        .unwrap();
    drop(file);

    // Which of the pages is read first is up to the library.
    let all = BatchQuery {
        limit: 1_000,
        ..BatchQuery::default()
    };
    let fault = match Database::open(&path) {
        Ok(database) => SqliteStore::new(database).list_batches(&all).await.err(),
        Err(fault) => Some(fault),
    };
    let fault = fault.unwrap();
    assert_eq!(fault.kind, PortErrorKind::Corrupt);
    assert!(!fault.is_retryable());
}

#[tokio::test]
async fn a_document_of_another_shape_is_corrupt() {
    let directory = a_directory();
    let path = directory.path().join("state.sqlite");
    let store = SqliteStore::new(Database::open(&path).unwrap());
    let batch = a_batch();
    store.create_batch(&batch).await.unwrap();
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute(
            "UPDATE batch SET document = json_remove(document, '$.name')",
            [],
        )
        .unwrap();
    let fault = store.batch(batch.id).await.unwrap_err();
    assert_eq!(fault.kind, PortErrorKind::Corrupt);
}

#[test]
fn a_file_of_a_later_version_is_refused_and_left_alone() {
    let directory = a_directory();
    let path = directory.path().join("state.sqlite");
    let version = |connection: &rusqlite::Connection| -> u32 {
        connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap()
    };
    let later = {
        drop(Database::open(&path).unwrap());
        let connection = rusqlite::Connection::open(&path).unwrap();
        let later = version(&connection) + 1;
        connection
            .pragma_update(None, "user_version", later)
            .unwrap();
        later
    };
    assert_eq!(state_fault_kind(directory.path()), PortErrorKind::Rejected);
    let connection = rusqlite::Connection::open(&path).unwrap();
    assert_eq!(version(&connection), later);
}

/// A golden file: what version 1 wrote must be read for ever. `golden/version-1.sql` is never edited.
#[tokio::test]
async fn a_file_of_version_1_is_brought_up_to_date_and_read() {
    let directory = a_directory();
    let path = directory.path().join("state.sqlite");
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch(include_str!("golden/version-1.sql"))
        .unwrap();

    let folder = DataFolder::open(directory.path()).unwrap();
    let (store, queue) = (folder.store(), folder.queue());
    let batch = "01KE0000000000000000000001".parse().unwrap();
    let stored = store.batch(batch).await.unwrap().unwrap();
    assert_eq!(stored.status, BatchStatus::Processing);
    assert_eq!(stored.options.url_column.as_deref(), Some("image link"));
    assert_eq!(stored.totals.unwrap().rows, 3);
    let shards = store.shards(batch).await.unwrap();
    assert_eq!((shards[0].expected, shards[0].done), (2, 1));
    assert_eq!(shards[0].counters.outcome(Outcome::Ok), 2);
    let repeat = a_finished_part(part(batch, 0));
    assert!(!store.commit_part(&repeat).await.unwrap().is_new);
    let minutes = store.kpis(MINUTE, MINUTE).await.unwrap();
    assert_eq!(
        minutes[0].1.latency.quantile(0.5).map(f64::round),
        Some(22.0)
    );
    assert!(
        !store
            .add_kpis(repeat.part, MINUTE, &a_kpi_delta(1))
            .await
            .unwrap()
    );
    assert_eq!(folder.database().release_interrupted().await.unwrap(), 1);
    let deliveries = queue
        .receive(Queue::Chunks, 10, LONG, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(deliveries.len(), 1);
    assert_eq!(
        (deliveries[0].receive_count, deliveries[0].interruptions),
        (2, 2)
    );
}

#[tokio::test]
async fn a_file_locked_for_long_is_unavailable_and_free_again_later() {
    let directory = a_directory();
    let path = directory.path().join("state.sqlite");
    let store = SqliteStore::new(Database::open(&path).unwrap());
    let batch = a_batch();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let fault = store.create_batch(&batch).await.unwrap_err();
    assert_eq!(fault.kind, PortErrorKind::Unavailable);
    assert!(fault.is_retryable());
    assert_eq!(store.batch(batch.id).await.unwrap(), None);
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.create_batch(&batch).await.unwrap(), Creation::Created);
}

#[tokio::test]
async fn a_shard_of_an_unknown_batch_is_rejected() {
    let directory = a_directory();
    let store = DataFolder::open(directory.path()).unwrap().store();
    let batch = a_batch();
    let shard = ShardRef {
        batch: batch.id,
        shard: 0,
    };
    let fault = store.create_shard(shard, 1).await.unwrap_err();
    assert_eq!(fault.kind, PortErrorKind::Rejected);
    store.create_batch(&batch).await.unwrap();
    store.create_shard(shard, 1).await.unwrap();
}

#[tokio::test]
async fn a_deleted_batch_leaves_no_row_behind() {
    let directory = a_directory();
    let path = directory.path().join("state.sqlite");
    let store = SqliteStore::new(Database::open(&path).unwrap());
    let batch = a_batch();
    store.create_batch(&batch).await.unwrap();
    for shard in [0, 1] {
        let shard = ShardRef {
            batch: batch.id,
            shard,
        };
        store.create_shard(shard, 2).await.unwrap();
        let part = part(batch.id, shard.shard * CHUNKS_PER_SHARD);
        store.commit_part(&a_finished_part(part)).await.unwrap();
        store.add_kpis(part, MINUTE, &a_kpi_delta(3)).await.unwrap();
    }
    let to_cancelled = BatchChange::to(BatchStatus::Cancelled);
    store
        .advance(batch.id, BatchStatus::OPEN, &to_cancelled, batch.created_at)
        .await
        .unwrap();
    store.delete_batch(batch.id).await.unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    for table in ["batch", "shard", "part_done", "kpi_part"] {
        let count = format!("SELECT count(*) FROM {table}");
        let rows: i64 = connection.query_row(&count, [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0, "{table}");
    }
}
