//! Counts requests: in total, for each path, and for the paths that fail at first.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

const MAX_RECORDED_PATHS: usize = 200_000;
const MAX_FLAKY_KEYS: usize = 200_000;

#[derive(Debug)]
pub(super) struct Counts {
    total: AtomicU64,
    unrecorded: AtomicU64,
    paths: Option<Mutex<HashMap<String, u64>>>,
    flaky: Mutex<HashMap<String, u64>>,
}

impl Counts {
    pub(super) fn new(record_paths: bool) -> Self {
        Self {
            total: AtomicU64::new(0),
            unrecorded: AtomicU64::new(0),
            paths: record_paths.then(Mutex::default),
            flaky: Mutex::default(),
        }
    }

    pub(super) fn record(&self, path_and_query: &str) {
        self.total.fetch_add(1, Ordering::Relaxed);
        let Some(paths) = &self.paths else {
            return;
        };
        if increment(&mut lock(paths), path_and_query, MAX_RECORDED_PATHS).is_none() {
            self.unrecorded.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    pub(super) fn unrecorded(&self) -> u64 {
        self.unrecorded.load(Ordering::Relaxed)
    }

    pub(super) fn of(&self, path_and_query: &str) -> u64 {
        let Some(paths) = &self.paths else {
            return 0;
        };
        lock(paths).get(path_and_query).copied().unwrap_or(0)
    }

    pub(super) fn all(&self) -> Vec<(String, u64)> {
        let Some(paths) = &self.paths else {
            return Vec::new();
        };
        let mut all: Vec<_> = lock(paths)
            .iter()
            .map(|(path, count)| (path.clone(), *count))
            .collect();
        all.sort();
        all
    }

    /// How often this key has been asked for, this time included; nothing when too many keys are known.
    pub(super) fn flaky_request(&self, key: &str) -> Option<u64> {
        increment(&mut lock(&self.flaky), key, MAX_FLAKY_KEYS)
    }
}

fn increment(counts: &mut HashMap<String, u64>, key: &str, limit: usize) -> Option<u64> {
    if let Some(count) = counts.get_mut(key) {
        *count += 1;
        return Some(*count);
    }
    if counts.len() >= limit {
        return None;
    }
    counts.insert(key.to_owned(), 1);
    Some(1)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A count is complete after each statement, so a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_counts_known_keys_and_refuses_new_ones() {
        let mut counts = HashMap::new();
        assert_eq!(increment(&mut counts, "a", 1), Some(1));
        assert_eq!(increment(&mut counts, "b", 1), None);
        assert_eq!(increment(&mut counts, "a", 1), Some(2));
    }
}
