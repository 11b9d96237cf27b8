//! How the processes themselves fare, minute by minute, in a form that adds up across them.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::{LatencyHistogram, Outcome, ResultRow};

/// Hosts that one part names, the worst first.
const HOSTS_OF_A_PART: usize = 8;

/// Calls of one kind: to the API, to the database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OperationStats {
    /// Calls that ended.
    pub calls: u64,
    /// Of them, calls that failed through a fault of ours or of what we stand on.
    pub failed: u64,
    /// Calls that were told to slow down, at least once.
    pub throttled: u64,
    /// Attempts beyond the first of each call.
    pub retried: u64,
    /// Milliseconds of all calls together.
    pub elapsed_ms: u64,
    /// Milliseconds of each.
    pub latency: LatencyHistogram,
}

impl OperationStats {
    /// Whether there was none.
    pub const fn is_empty(&self) -> bool {
        self.calls == 0
    }
}

impl AddAssign<&Self> for OperationStats {
    fn add_assign(&mut self, other: &Self) {
        self.calls += other.calls;
        self.failed += other.failed;
        self.throttled += other.throttled;
        self.retried += other.retried;
        self.elapsed_ms += other.elapsed_ms;
        self.latency += &other.latency;
    }
}

/// Something that is sampled, as the sum of its samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gauge {
    /// All samples together.
    pub sum: u64,
    /// How many.
    pub samples: u64,
}

impl Gauge {
    /// One sample.
    pub const fn of(value: u64) -> Self {
        Self {
            sum: value,
            samples: 1,
        }
    }

    /// The mean; `None` without samples.
    pub fn mean(self) -> Option<f64> {
        (self.samples > 0).then(|| self.sum as f64 / self.samples as f64)
    }
}

impl AddAssign for Gauge {
    fn add_assign(&mut self, other: Self) {
        self.sum += other.sum;
        self.samples += other.samples;
    }
}

/// One level of a cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CacheStats {
    /// Answers from this level.
    pub hits: u64,
    /// Questions that this level could not answer.
    pub misses: u64,
    /// Bytes of the answers.
    pub bytes: u64,
    /// What the answers would have cost, in millionths of a US dollar.
    pub saved_micro_usd: u64,
}

impl AddAssign<&Self> for CacheStats {
    fn add_assign(&mut self, other: &Self) {
        self.hits += other.hits;
        self.misses += other.misses;
        self.bytes += other.bytes;
        self.saved_micro_usd += other.saved_micro_usd;
    }
}

/// What processes saw of themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Vitals {
    /// Requests to the API, health checks not counted.
    #[serde(skip_serializing_if = "OperationStats::is_empty")]
    pub api: OperationStats,
    /// Calls to the database.
    #[serde(skip_serializing_if = "OperationStats::is_empty")]
    pub database: OperationStats,
    /// Levels of caches by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub caches: BTreeMap<String, CacheStats>,
    /// How busy the processors are, in percent of all of them.
    pub cpu_percent: Gauge,
    /// Resident size of a process, in MiB.
    pub memory_mb: Gauge,
    /// The same in percent of what it may take.
    pub memory_percent: Gauge,
    /// Chunks under way.
    pub workers: Gauge,
    /// Messages in all queues that wait.
    pub pending: Gauge,
    /// Messages in all dead-letter queues.
    pub dead_letters: Gauge,
    /// Keys of a vision provider that turned out to be of no use, and were retired.
    #[serde(skip_serializing_if = "is_zero")]
    pub retired_keys: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's own way")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Vitals {
    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl AddAssign<&Self> for Vitals {
    fn add_assign(&mut self, other: &Self) {
        // Taken apart by name, so that a new field cannot be forgotten here.
        let Self {
            api,
            database,
            caches,
            cpu_percent,
            memory_mb,
            memory_percent,
            workers,
            pending,
            dead_letters,
            retired_keys,
        } = other;
        self.api += api;
        self.database += database;
        for (level, stats) in caches {
            *self.caches.entry(level.clone()).or_default() += stats;
        }
        self.cpu_percent += *cpu_percent;
        self.memory_mb += *memory_mb;
        self.memory_percent += *memory_percent;
        self.workers += *workers;
        self.pending += *pending;
        self.dead_letters += *dead_letters;
        self.retired_keys += retired_keys;
    }
}

/// How a host that gives trouble answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostTally {
    /// Rows that were asked of it.
    pub rows: u64,
    /// Of them, rows that ended in a way that is worth a retry.
    pub failed: u64,
    /// Rows that were put off, because it did not answer.
    pub deferred: u64,
    /// Milliseconds from first attempt to last byte, of all rows together.
    pub elapsed_ms: u64,
    /// The failed rows by outcome.
    pub by_outcome: BTreeMap<Outcome, u64>,
}

impl HostTally {
    /// Rows that it gave no answer to, for good or for now.
    pub const fn trouble(&self) -> u64 {
        self.failed + self.deferred
    }
}

impl AddAssign<&Self> for HostTally {
    fn add_assign(&mut self, other: &Self) {
        self.rows += other.rows;
        self.failed += other.failed;
        self.deferred += other.deferred;
        self.elapsed_ms += other.elapsed_ms;
        for (outcome, rows) in &other.by_outcome {
            *self.by_outcome.entry(*outcome).or_default() += rows;
        }
    }
}

/// The hosts that gave trouble in a part, the worst eight. `host_of` finds the host in a URL; `deferred` are the URLs of rows that were
/// put off.
pub fn troubled_hosts<'a>(
    rows: &'a [ResultRow],
    deferred: impl Iterator<Item = &'a str>,
    host_of: impl Fn(&'a str) -> &'a str,
) -> BTreeMap<String, HostTally> {
    let mut tallies: BTreeMap<&str, HostTally> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.attempts > 0) {
        let tally = tallies.entry(host_of(&row.url)).or_default();
        tally.rows += 1;
        tally.elapsed_ms += row.elapsed_ms.unwrap_or(0);
        if row.outcome.is_retryable() {
            tally.failed += 1;
            *tally.by_outcome.entry(row.outcome).or_default() += 1;
        }
    }
    for url in deferred {
        let tally = tallies.entry(host_of(url)).or_default();
        tally.rows += 1;
        tally.deferred += 1;
    }
    let mut worst: Vec<(&str, HostTally)> = tallies
        .into_iter()
        .filter(|(_, tally)| tally.trouble() > 0)
        .collect();
    worst.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.trouble()));
    worst.truncate(HOSTS_OF_A_PART);
    worst
        .into_iter()
        .map(|(host, tally)| (host.to_owned(), tally))
        .collect()
}
