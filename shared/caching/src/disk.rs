//! The level on this machine's disk: one SQLite file, which several processes may use at once.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use domain::ports::CacheEntry;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::entry::Kept;
use crate::pattern;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS entry (
        key        TEXT    NOT NULL PRIMARY KEY,
        value      BLOB    NOT NULL,
        stored_at  INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        kept_until INTEGER NOT NULL,
        cost       INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS entry_by_end ON entry (kept_until);";
/// Ended entries removed with each write: more than a write adds.
const SWEPT: u32 = 4;
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(crate) struct Disk {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    max_bytes: u64,
    /// `None` once it turned out that the file cannot be used.
    connection: OnceLock<Option<Mutex<Connection>>>,
}

impl Disk {
    /// Opens nothing yet.
    pub(crate) fn new(folder: &Path, max_bytes: u64) -> Self {
        Self {
            inner: Arc::new(Inner {
                path: folder.join("cache.sqlite"),
                max_bytes,
                connection: OnceLock::new(),
            }),
        }
    }

    /// The entries of `keys`, in their order.
    pub(crate) async fn get(&self, keys: Vec<String>, now: Timestamp) -> Vec<Option<Kept>> {
        let asked = keys.len();
        let found = self.run(move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT value, stored_at, expires_at, cost FROM entry WHERE key = ? AND kept_until > ?",
            )?;
            let mut found = Vec::with_capacity(keys.len());
            for key in &keys {
                let row = statement
                    .query_row(params![key, now.as_millisecond()], |row| {
                        let times = (row.get::<_, i64>(1)?, row.get::<_, i64>(2)?);
                        Ok((row.get::<_, Vec<u8>>(0)?, times, row.get::<_, i64>(3)?))
                    })
                    .optional()?;
                found.push(row.and_then(|(value, (stored_at, expires_at), cost)| {
                    Kept::decode(&CacheEntry {
                        value,
                        stored_at: Timestamp::from_millisecond(stored_at).ok()?,
                        expires_at: Timestamp::from_millisecond(expires_at).ok()?,
                        cost_micro_usd: cost as u64,
                    })
                }));
            }
            Ok(found)
        });
        found.await.unwrap_or_else(|| vec![None; asked])
    }

    /// Keeps entries until the given time.
    pub(crate) async fn put(&self, entries: Vec<(String, Kept, Timestamp)>, now: Timestamp) {
        let max_bytes = self.inner.max_bytes;
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            for (key, kept, until) in &entries {
                let entry = kept.encode();
                transaction
                    .prepare_cached(
                        "INSERT OR REPLACE INTO entry (key, value, stored_at, expires_at, kept_until, cost)
                         VALUES (?, ?, ?, ?, ?, ?)",
                    )?
                    .execute(params![
                        key,
                        entry.value,
                        entry.stored_at.as_millisecond(),
                        entry.expires_at.as_millisecond(),
                        until.as_millisecond(),
                        i64::try_from(entry.cost_micro_usd).unwrap_or(i64::MAX)
                    ])?;
            }
            // What has ended goes; then, while the file is full, what ends first.
            let swept = SWEPT * entries.len() as u32;
            let pages = |name: &str| transaction.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            let used = (pages("page_count")? - pages("freelist_count")?) * pages("page_size")?;
            let ended_before = if used as u64 > max_bytes {
                i64::MAX
            } else {
                now.as_millisecond()
            };
            transaction
                .prepare_cached(
                    "DELETE FROM entry WHERE key IN (
                         SELECT key FROM entry WHERE kept_until <= ? ORDER BY kept_until LIMIT ?)",
                )?
                .execute(params![ended_before, swept])?;
            transaction.commit()
        })
        .await;
    }

    /// Removes entries whose keys `pattern` covers.
    pub(crate) async fn remove(&self, pattern: String) {
        self.run(move |connection| {
            let transaction = connection.transaction()?;
            let prefix = pattern.split('*').next().unwrap_or_default().to_owned();
            let mut covered = Vec::new();
            {
                let mut statement = transaction
                    .prepare_cached("SELECT key FROM entry WHERE key >= ? ORDER BY key")?;
                let mut rows = statement.query([&prefix])?;
                while let Some(row) = rows.next()? {
                    let key: String = row.get(0)?;
                    if !key.starts_with(&prefix) {
                        break;
                    }
                    if pattern::matches(&pattern, &key) {
                        covered.push(key);
                    }
                }
            }
            for key in covered {
                transaction
                    .prepare_cached("DELETE FROM entry WHERE key = ?")?
                    .execute([key])?;
            }
            transaction.commit()
        })
        .await;
    }

    /// Runs `work` on a thread for blocking work. `None` when the file cannot be used: it is only a cache.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Option<T> {
        let disk = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let connection = disk.inner.connection.get_or_init(|| disk.open()).as_ref()?;
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            match work(&mut connection) {
                Ok(answer) => Some(answer),
                Err(error) => {
                    let path = disk.inner.path.display();
                    tracing::debug!(%path, %error, "cache on disk passed over");
                    None
                }
            }
        });
        done.await.ok().flatten()
    }

    fn open(&self) -> Option<Mutex<Connection>> {
        let path = &self.inner.path;
        let open = || -> Result<Connection, Box<dyn std::error::Error>> {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let connection = Connection::open(path)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.pragma_update(None, "journal_mode", "wal")?;
            // A power cut may cost the last entries, or the file, which is then begun anew.
            connection.pragma_update(None, "synchronous", "off")?;
            connection.execute_batch(SCHEMA)?;
            Ok(connection)
        };
        match open() {
            Ok(connection) => Some(Mutex::new(connection)),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "there is no cache on disk");
                None
            }
        }
    }
}
