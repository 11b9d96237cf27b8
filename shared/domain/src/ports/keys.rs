//! What is known of the keys that calls to a provider are made with.

use async_trait::async_trait;

use super::PortResult;

/// What the store holds of one key. The key itself never lies there: it goes by a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// Fingerprint of the key.
    pub key: String,
    /// Goes up by one with every write; 0 for a row that is not stored yet.
    pub version: u64,
    /// Whatever its user keeps there, at most 4 KiB.
    pub state: String,
}

/// Rows that many processes change at once, each going by what it read: whoever is second reads again.
#[async_trait]
pub trait KeyStore: Send + Sync + 'static {
    /// Every row of a pool, as it stands, ascending by key; none of an unknown pool.
    async fn key_rows(&self, pool: &str) -> PortResult<Vec<KeyRow>>;

    /// Stores `row.state`, if the stored version is still `row.version`; the row then has the next version. `false`, and nothing changed,
    /// when another write came first. After an `Err` that may be retried it may be stored or not; the next read tells.
    async fn put_key_row(&self, pool: &str, row: &KeyRow) -> PortResult<bool>;
}
