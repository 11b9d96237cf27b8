//! The level of the cache that all processes share, with leases on what one of them is working out.

use async_trait::async_trait;
use jiff::Timestamp;

use super::PortResult;

/// An answer worth keeping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheEntry {
    /// The answer, as its user wrote it; at most 256 KiB.
    pub value: Vec<u8>,
    /// When it was worked out. Whole milliseconds.
    pub stored_at: Timestamp,
    /// From when on it is as if it were not there. Whole milliseconds.
    pub expires_at: Timestamp,
    /// What working it out cost, in millionths of a US dollar.
    pub cost_micro_usd: u64,
}

/// Somebody is going to work out an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheLease {
    /// What it is the answer to.
    pub key: String,
    /// Who works it out. Asking again under the same name renews the lease.
    pub holder: String,
    /// When it is asked for. Whole milliseconds.
    pub now: Timestamp,
    /// Until when others leave it alone.
    pub until: Timestamp,
    /// Answers worked out at this time or before count for nothing.
    pub void_until: Option<Timestamp>,
}

/// What became of a wish to work out an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheClaim {
    /// It is there already.
    Found(CacheEntry),
    /// It is the holder's to work out, until its lease ends.
    Claimed,
    /// Somebody else is at work on it, until then.
    Busy {
        /// When the other's lease ends.
        until: Timestamp,
    },
}

/// Answers that count for nothing any more, at whatever level they lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalidation {
    /// Keys that it is about: `*` stands for any characters.
    pub pattern: String,
    /// Answers worked out at this time or before. Whole milliseconds.
    pub at: Timestamp,
    /// When no such answer can be left, and this can be forgotten.
    pub expires_at: Timestamp,
}

/// Answers by key, each worked out once.
#[async_trait]
pub trait CacheStore: Send + Sync + 'static {
    /// The answers to `keys`, any number, in their order; `None` for those that are not there or have expired by `now`. Follows writes
    /// within moments.
    async fn cache_entries(
        &self,
        keys: &[String],
        now: Timestamp,
    ) -> PortResult<Vec<Option<CacheEntry>>>;

    /// Leases the working out of an answer. Of concurrent claims under different names exactly one is [`CacheClaim::Claimed`], until its
    /// lease ends, it is released, or the answer is stored.
    async fn claim_cache_entry(&self, lease: &CacheLease) -> PortResult<CacheClaim>;

    /// Stores an answer, over one that may be there, and ends any lease on it.
    async fn put_cache_entry(&self, key: &str, entry: &CacheEntry) -> PortResult<()>;

    /// Ends the lease of `holder`, if it has one, without an answer.
    async fn release_cache_entry(&self, key: &str, holder: &str) -> PortResult<()>;

    /// What was invalidated and is not forgotten by `now`, oldest first.
    async fn invalidations(&self, now: Timestamp) -> PortResult<Vec<Invalidation>>;

    /// Notes an invalidation. Those of the same pattern become one.
    async fn invalidate(&self, invalidation: &Invalidation) -> PortResult<()>;
}
