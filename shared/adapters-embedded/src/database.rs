//! The SQLite file: connections, schema versions, and the way blocking work gets onto them.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use domain::ports::{Call, CallEnd, CallObserver, PortError, PortErrorKind, PortResult};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::Mutex;
use tokio::task;

use crate::error::Fault;

/// `MIGRATIONS[n]` leads from version n to version n + 1; `PRAGMA user_version` holds the version of a file.
const MIGRATIONS: &[&str] = &[
    include_str!("schema.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
];

/// Long enough for another process, such as a backup, to finish what it does to the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// More than there are statements in this crate.
const CACHED_STATEMENTS: usize = 64;

/// What the write-ahead log is cut back to after a checkpoint, in bytes: a huge send makes it grow once.
const WAL_SIZE_LIMIT: i64 = 64 * 1024 * 1024;

/// Size of each connection's page cache; negative is KiB to SQLite.
const CACHE_KIB: i64 = -16 * 1024;

/// One SQLite file in WAL mode, with one connection that writes and one that reads beside it. Clones share both.
///
/// A commit survives the end of the process at any instruction. The machine losing power may undo the last commits, in
/// order, and never leaves half of one (`synchronous = NORMAL`).
#[derive(Clone)]
pub struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    // Callers queue for these locks as tasks, in order, instead of each blocking a thread.
    writer: Arc<Mutex<Connection>>,
    reader: Arc<Mutex<Connection>>,
    observer: OnceLock<Arc<dyn CallObserver>>,
    // Declared last: the connections close before another process may have the folder.
    _lock: Option<File>,
}

impl Database {
    /// Opens the file at `path`, creates it where there is none, and brings an older one up to date.
    ///
    /// Blocks; call it before the work starts. `Corrupt` when the file is no sound SQLite database, `Rejected` when a later
    /// version of imgsweep wrote it, `Unavailable` when it cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> PortResult<Self> {
        Self::open_locked(path.as_ref(), None)
    }

    /// As [`Database::open`]; `lock` is held for as long as any clone lives.
    pub(crate) fn open_locked(path: &Path, lock: Option<File>) -> PortResult<Self> {
        let open = || -> Result<Self, Fault> {
            let mut writer = connect(path)?;
            migrate(&mut writer)?;
            let reader = connect(path)?;
            reader.pragma_update(None, "query_only", true)?;
            Ok(Self {
                inner: Arc::new(Inner {
                    writer: Arc::new(Mutex::new(writer)),
                    reader: Arc::new(Mutex::new(reader)),
                    observer: OnceLock::new(),
                    _lock: lock,
                }),
            })
        };
        open().map_err(|fault| fault.into_port_error("open database"))
    }

    /// Shows every call from now on to `observer`. Only the first observer sees any.
    pub fn observe(&self, observer: Arc<dyn CallObserver>) {
        // A second one is turned away, as the doc comment says.
        let _ = self.inner.observer.set(observer);
    }

    /// Makes every message that is held visible at once, and returns how many there were. Their last receive is
    /// taken off the receive count and counted as an interruption: that a process stopped is no failed attempt.
    ///
    /// Only for the exclusive owner of the file, before it receives anything: whoever holds a message then is gone,
    /// however long ago.
    pub async fn release_interrupted(&self) -> PortResult<u64> {
        let released = self
            .write("release interrupted messages", |transaction| {
                let released = transaction.execute(
                    "UPDATE message
                     SET held = 0, visible_at = 0, receive_count = max(receive_count - 1, 0),
                         interruptions = interruptions + 1
                     WHERE held = 1",
                    [],
                )?;
                Ok(released as u64)
            })
            .await?;
        if released > 0 {
            tracing::info!(messages.released = released, "took up interrupted work");
        }
        Ok(released)
    }

    /// Runs `work` in a transaction that sees no other writer, and commits it unless it fails.
    pub(crate) async fn write<T, F>(&self, operation: &'static str, work: F) -> PortResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, Fault> + Send + 'static,
    {
        self.run(&self.inner.writer, operation, move |connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let answer = work(&transaction)?;
            transaction.commit()?;
            Ok(answer)
        })
        .await
    }

    /// Runs `work` on one snapshot of the database, while others write.
    pub(crate) async fn read<T, F>(&self, operation: &'static str, work: F) -> PortResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, Fault> + Send + 'static,
    {
        self.run(&self.inner.reader, operation, move |connection| {
            work(&connection.transaction()?)
        })
        .await
    }

    async fn run<T, F>(
        &self,
        connection: &Arc<Mutex<Connection>>,
        operation: &'static str,
        work: F,
    ) -> PortResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static,
    {
        let started = Instant::now();
        let answer = self.run_unobserved(connection, operation, work).await;
        if let Some(observer) = self.inner.observer.get() {
            observer.called(Call {
                operation,
                elapsed: started.elapsed(),
                attempts: 1,
                end: match &answer {
                    Ok(_) => CallEnd::Answered,
                    Err(error) if error.kind == PortErrorKind::Throttled => CallEnd::Throttled,
                    Err(_) => CallEnd::Failed,
                },
            });
        }
        answer
    }

    async fn run_unobserved<T, F>(
        &self,
        connection: &Arc<Mutex<Connection>>,
        operation: &'static str,
        work: F,
    ) -> PortResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, Fault> + Send + 'static,
    {
        let mut connection = Arc::clone(connection).lock_owned().await;
        // A caller that goes away leaves the work running: the folder's lock must outlast it.
        let database = self.clone();
        let outcome = task::spawn_blocking(move || {
            let outcome = work(&mut connection);
            drop(connection);
            drop(database);
            outcome
        })
        .await;
        match outcome {
            Ok(answer) => answer.map_err(|fault| fault.into_port_error(operation)),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => Err(PortError::new(PortErrorKind::Unavailable, operation, error)),
        }
    }
}

fn connect(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "journal_size_limit", WAL_SIZE_LIMIT)?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection) -> Result<(), Fault> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: usize = transaction.pragma_query_value(None, "user_version", |row| {
        row.get::<_, u32>(0).map(|version| version as usize)
    })?;
    let Some(missing) = MIGRATIONS.get(version..) else {
        return Err(Fault::Rejected(format!(
            "the database has version {version}; this imgsweep knows versions up to {}",
            MIGRATIONS.len()
        )));
    };
    for migration in missing {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", MIGRATIONS.len() as u32)?;
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SqliteQueue;
    use domain::ports::{Outgoing, Queue, SystemClock, WorkQueue};

    fn a_database() -> (Database, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(directory.path().join("state.sqlite")).unwrap();
        (database, directory)
    }

    async fn limit_pages(database: &Database, pages: i64) {
        database
            .write("limit pages", move |transaction| {
                let set = format!("PRAGMA max_page_count = {pages}");
                transaction.query_row(&set, [], |_| Ok(()))?;
                Ok(())
            })
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_is_told_leaves_no_half_and_passes() {
        let (database, _directory) = a_database();
        let queue = SqliteQueue::new(database.clone(), Arc::new(SystemClock));
        let messages = vec![Outgoing::now("x".repeat(10_000)); 100];

        limit_pages(&database, 100).await;
        let fault = queue.send(Queue::Chunks, &messages).await.unwrap_err();
        assert_eq!(fault.kind, PortErrorKind::StorageFull);
        assert!(fault.is_retryable());
        assert_eq!(queue.depth(Queue::Chunks).await.unwrap().visible, 0);

        limit_pages(&database, 10_000).await;
        queue.send(Queue::Chunks, &messages).await.unwrap();
        assert_eq!(queue.depth(Queue::Chunks).await.unwrap().visible, 100);
    }

    #[tokio::test]
    async fn a_fault_undoes_what_the_work_has_written() {
        let (database, _directory) = a_database();
        let insert = "INSERT INTO kpi (minute, delta) VALUES (1, '{}')";
        let failed: PortResult<()> = database
            .write("fail half way", move |transaction| {
                transaction.execute(insert, [])?;
                Err(Fault::Rejected("on purpose".to_owned()))
            })
            .await;
        assert_eq!(failed.unwrap_err().kind, PortErrorKind::Rejected);
        let rows: i64 = database
            .read("count", |transaction| {
                Ok(transaction.query_row("SELECT count(*) FROM kpi", [], |row| row.get(0))?)
            })
            .await
            .unwrap();
        assert_eq!(rows, 0);
    }

    #[tokio::test]
    async fn the_reading_connection_cannot_write() {
        let (database, _directory) = a_database();
        let written: PortResult<usize> = database
            .read("write", |transaction| {
                Ok(transaction.execute("DELETE FROM kpi", [])?)
            })
            .await;
        assert!(written.is_err());
    }
}
