//! What a labeller's cache and keys did, told to whoever keeps count of the process.

use std::sync::{Arc, Mutex, PoisonError};

use caching::{Cache, LevelStats};
use domain::{CacheStats, Vitals};
use vision::KeyPool;

use crate::recorder::Recorder;

/// Tells a recorder what came to pass since it was told last.
pub(super) struct Counting {
    recorder: Arc<Recorder>,
    /// Whether what the recorder holds goes along with parts.
    drains: bool,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    levels: [LevelStats; 3],
    retired: u64,
}

impl Counting {
    pub(super) fn new(recorder: Arc<Recorder>, drains: bool) -> Self {
        Self {
            recorder,
            drains,
            told: Mutex::default(),
        }
    }

    pub(super) fn note(&self, cache: &Cache, pool: &KeyPool) {
        let mut news = Vitals::default();
        {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            for ((level, now), before) in cache.stats().into_iter().zip(&mut told.levels) {
                let since = CacheStats {
                    hits: now.hits - before.hits,
                    misses: now.misses - before.misses,
                    bytes: now.bytes - before.bytes,
                    saved_micro_usd: now.saved_micro_usd - before.saved_micro_usd,
                };
                *before = now;
                if since != CacheStats::default() {
                    news.caches.insert(level.to_owned(), since);
                }
            }
            let retired = pool.stats().retired;
            news.retired_keys = retired - std::mem::replace(&mut told.retired, retired);
        }
        self.recorder.add(&news);
    }

    /// What goes along with a part.
    pub(super) fn drained(&self) -> Vitals {
        if self.drains {
            self.recorder.drain()
        } else {
            Vitals::default()
        }
    }
}
