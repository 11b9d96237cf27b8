//! Rows of keys, each with its version.

use async_trait::async_trait;
use domain::ports::{KeyRow, KeyStore, PortResult};
use rusqlite::{Transaction, params};

use super::SqliteStore;
use crate::error::Fault;

#[async_trait]
impl KeyStore for SqliteStore {
    async fn key_rows(&self, pool: &str) -> PortResult<Vec<KeyRow>> {
        let pool = pool.to_owned();
        self.database
            .read("read keys", move |transaction| list(transaction, &pool))
            .await
    }

    async fn put_key_row(&self, pool: &str, row: &KeyRow) -> PortResult<bool> {
        let (pool, row) = (pool.to_owned(), row.clone());
        self.database
            .write("write key", move |transaction| {
                put(transaction, &pool, &row)
            })
            .await
    }
}

fn list(transaction: &Transaction<'_>, pool: &str) -> Result<Vec<KeyRow>, Fault> {
    let mut statement = transaction.prepare_cached(
        "SELECT key, version, state FROM provider_key WHERE pool = ? ORDER BY key",
    )?;
    let rows = statement.query_map([pool], |row| {
        Ok(KeyRow {
            key: row.get("key")?,
            version: row.get::<_, i64>("version")? as u64,
            state: row.get("state")?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Removes a pool with all its rows.
pub(super) fn forget(transaction: &Transaction<'_>, pool: &str) -> Result<(), Fault> {
    transaction
        .prepare_cached("DELETE FROM provider_key WHERE pool = ?")?
        .execute([pool])?;
    Ok(())
}

fn put(transaction: &Transaction<'_>, pool: &str, row: &KeyRow) -> Result<bool, Fault> {
    let KeyRow {
        key,
        version,
        state,
    } = row;
    let written = if *version == 0 {
        transaction
            .prepare_cached(
                "INSERT INTO provider_key (pool, key, version, state) VALUES (?, ?, 1, ?)
                 ON CONFLICT (pool, key) DO NOTHING",
            )?
            .execute(params![pool, key, state])?
    } else {
        transaction
            .prepare_cached(
                "UPDATE provider_key SET version = version + 1, state = ?
                 WHERE pool = ? AND key = ? AND version = ?",
            )?
            .execute(params![state, pool, key, *version as i64])?
    };
    Ok(written == 1)
}
