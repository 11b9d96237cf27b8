//! How much the levels are worth.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::entry::Cached;

/// What one level did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LevelStats {
    /// Questions it answered.
    pub hits: u64,
    /// Questions it passed on.
    pub misses: u64,
    /// Bytes of its answers.
    pub bytes: u64,
    /// Time it took for all of them; those asked together count once.
    pub elapsed: Duration,
    /// What its answers would have cost to work out again, in millionths of a US dollar.
    pub saved_micro_usd: u64,
}

impl LevelStats {
    /// Share of the questions it was asked that it answered; `None` when there were none.
    pub fn hit_rate(&self) -> Option<f64> {
        let asked = self.hits + self.misses;
        (asked > 0).then(|| self.hits as f64 / asked as f64)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    hits: AtomicU64,
    misses: AtomicU64,
    bytes: AtomicU64,
    elapsed_ns: AtomicU64,
    saved_micro_usd: AtomicU64,
}

impl Tally {
    pub(crate) fn hit(&self, cached: &Cached) {
        self.hits.fetch_add(1, Ordering::Relaxed);
        self.bytes
            .fetch_add(cached.value.len() as u64, Ordering::Relaxed);
        self.saved_micro_usd
            .fetch_add(cached.cost_micro_usd, Ordering::Relaxed);
    }

    pub(crate) fn miss(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn took(&self, elapsed: Duration) {
        let nanoseconds = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.elapsed_ns.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> LevelStats {
        LevelStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            elapsed: Duration::from_nanos(self.elapsed_ns.load(Ordering::Relaxed)),
            saved_micro_usd: self.saved_micro_usd.load(Ordering::Relaxed),
        }
    }
}
