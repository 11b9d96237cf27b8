//! Answers worth keeping, and leases on those being worked out.

use async_trait::async_trait;
use domain::ports::{CacheClaim, CacheEntry, CacheLease, CacheStore, Invalidation, PortResult};
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::SqliteStore;
use crate::error::Fault;

/// Ended entries removed with each write: more than a write adds.
const SWEPT: u32 = 4;

#[async_trait]
impl CacheStore for SqliteStore {
    async fn cache_entries(
        &self,
        keys: &[String],
        now: Timestamp,
    ) -> PortResult<Vec<Option<CacheEntry>>> {
        let keys = keys.to_vec();
        self.database
            .read("read cache", move |transaction| {
                keys.iter()
                    .map(|key| Ok(find(transaction, key)?.and_then(|row| row.answer(now))))
                    .collect()
            })
            .await
    }

    async fn claim_cache_entry(&self, lease: &CacheLease) -> PortResult<CacheClaim> {
        let lease = lease.clone();
        self.database
            .write("claim cache entry", move |transaction| {
                claim(transaction, &lease)
            })
            .await
    }

    async fn put_cache_entry(&self, key: &str, entry: &CacheEntry) -> PortResult<()> {
        let (key, entry) = (key.to_owned(), entry.clone());
        self.database
            .write("write cache", move |transaction| {
                put(transaction, &key, &entry)
            })
            .await
    }

    async fn release_cache_entry(&self, key: &str, holder: &str) -> PortResult<()> {
        let (key, holder) = (key.to_owned(), holder.to_owned());
        self.database
            .write("release cache entry", move |transaction| {
                transaction
                    .prepare_cached(
                        "UPDATE cache_entry SET holder = NULL, leased_until = 0
                         WHERE key = ? AND holder = ?",
                    )?
                    .execute([key, holder])?;
                Ok(())
            })
            .await
    }

    async fn invalidations(&self, now: Timestamp) -> PortResult<Vec<Invalidation>> {
        self.database
            .read("read invalidations", move |transaction| {
                let mut statement = transaction.prepare_cached(
                    "SELECT pattern, at, expires_at FROM cache_invalidation WHERE expires_at > ? ORDER BY at, pattern",
                )?;
                let rows = statement.query_map([now.as_millisecond()], |row| {
                    Ok(Invalidation {
                        pattern: row.get("pattern")?,
                        at: time(row, "at")?,
                        expires_at: time(row, "expires_at")?,
                    })
                })?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
    }

    async fn invalidate(&self, invalidation: &Invalidation) -> PortResult<()> {
        let invalidation = invalidation.clone();
        self.database
            .write("write invalidation", move |transaction| {
                let Invalidation {
                    pattern,
                    at,
                    expires_at,
                } = invalidation;
                transaction
                    .prepare_cached("DELETE FROM cache_invalidation WHERE expires_at <= ?")?
                    .execute([at.as_millisecond()])?;
                transaction
                    .prepare_cached(
                        "INSERT INTO cache_invalidation (pattern, at, expires_at) VALUES (?, ?, ?)
                         ON CONFLICT (pattern) DO UPDATE SET
                             at = max(at, excluded.at), expires_at = max(expires_at, excluded.expires_at)",
                    )?
                    .execute(params![
                        pattern,
                        at.as_millisecond(),
                        expires_at.as_millisecond()
                    ])?;
                Ok(())
            })
            .await
    }
}

struct Stored {
    value: Option<Vec<u8>>,
    since: Timestamp,
    fresh_until: Timestamp,
    cost: i64,
    holder: Option<String>,
    leased_until: Timestamp,
}

impl Stored {
    fn answer(self, now: Timestamp) -> Option<CacheEntry> {
        let value = self.value.filter(|_| self.fresh_until > now)?;
        Some(CacheEntry {
            value,
            stored_at: self.since,
            expires_at: self.fresh_until,
            cost_micro_usd: self.cost as u64,
        })
    }
}

fn find(transaction: &Transaction<'_>, key: &str) -> Result<Option<Stored>, Fault> {
    let found = transaction
        .prepare_cached(
            "SELECT value, stored_at, fresh_until, cost, holder, leased_until
             FROM cache_entry WHERE key = ?",
        )?
        .query_row([key], |row| {
            Ok(Stored {
                value: row.get("value")?,
                since: time(row, "stored_at")?,
                fresh_until: time(row, "fresh_until")?,
                cost: row.get("cost")?,
                holder: row.get("holder")?,
                leased_until: time(row, "leased_until")?,
            })
        })
        .optional()?;
    Ok(found)
}

fn claim(transaction: &Transaction<'_>, lease: &CacheLease) -> Result<CacheClaim, Fault> {
    if let Some(stored) = find(transaction, &lease.key)? {
        let is_others = stored
            .holder
            .as_ref()
            .is_some_and(|holder| *holder != lease.holder);
        let leased_until = stored.leased_until;
        let is_void = lease
            .void_until
            .is_some_and(|void_until| stored.since <= void_until);
        if !is_void && let Some(entry) = stored.answer(lease.now) {
            return Ok(CacheClaim::Found(entry));
        }
        if is_others && leased_until > lease.now {
            return Ok(CacheClaim::Busy {
                until: leased_until,
            });
        }
    }
    transaction
        .prepare_cached(
            "INSERT INTO cache_entry (key, holder, leased_until) VALUES (?, ?, ?)
             ON CONFLICT (key) DO UPDATE SET holder = excluded.holder, leased_until = excluded.leased_until",
        )?
        .execute(params![
            lease.key,
            lease.holder,
            lease.until.as_millisecond()
        ])?;
    Ok(CacheClaim::Claimed)
}

fn put(transaction: &Transaction<'_>, key: &str, entry: &CacheEntry) -> Result<(), Fault> {
    transaction
        .prepare_cached(
            "DELETE FROM cache_entry WHERE key IN (
                 SELECT key FROM cache_entry WHERE max(fresh_until, leased_until) <= ? LIMIT ?)",
        )?
        .execute(params![entry.stored_at.as_millisecond(), SWEPT])?;
    transaction
        .prepare_cached(
            "INSERT INTO cache_entry (key, value, stored_at, fresh_until, cost) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (key) DO UPDATE SET
                 value = excluded.value, stored_at = excluded.stored_at, fresh_until = excluded.fresh_until,
                 cost = excluded.cost, holder = NULL, leased_until = 0",
        )?
        .execute(params![
            key,
            entry.value,
            entry.stored_at.as_millisecond(),
            entry.expires_at.as_millisecond(),
            i64::try_from(entry.cost_micro_usd).unwrap_or(i64::MAX)
        ])?;
    Ok(())
}

fn time(row: &Row<'_>, column: &str) -> Result<Timestamp, rusqlite::Error> {
    Timestamp::from_millisecond(row.get(column)?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Integer, error.into()))
}
