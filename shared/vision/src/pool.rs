//! The keys of one provider, shared by any number of workers in any number of processes.
//!
//! What is known of a key is one row of the store. A worker takes permits in blocks: it reads the rows, picks a key by its health,
//! and writes the row back if nobody else did meanwhile. What became of a block is kept in memory and goes along with the next write
//! to the same key, unless others should know at once. So a store write comes to a block, not to a call.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::ports::{Clock, KeyRow, KeyStore, PortResult};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::rate::{BlockReport, KeyState, RateSettings};

/// Attempts at a write that others came before.
const ATTEMPTS: u32 = 8;
/// Pause when all of them were lost: others are at it, and the permits are gone anyway.
const CONTENDED_PAUSE: Duration = Duration::from_millis(250);
/// Windows for which good news may wait for the next write to its key.
const PENDING_WINDOWS: u32 = 3;
/// How much likelier a key is chosen that news wait for.
const PENDING_WEIGHT: f64 = 4.0;
/// Of what keys can save up, so much is one turn's: more than is worth a write, and less than would be lost were it late.
const TURN_SHARE: f64 = 0.9;
/// Those who wait come back within this of each other.
const MAX_JITTER_MS: u64 = 400;
/// Name of the row that holds whose turn comes when. No fingerprint has this length.
const TURNS: &str = "turns";

/// A key and the name that it goes by wherever it may be seen.
#[derive(Clone)]
pub struct ApiKey {
    id: String,
    secret: SecretString,
}

impl ApiKey {
    /// Names a key by the first 16 hexadecimal digits of its SHA-256.
    pub fn new(secret: SecretString) -> Self {
        let digest = Sha256::digest(secret.expose_secret().as_bytes());
        let id = digest.iter().take(8).map(|byte| format!("{byte:02x}"));
        Self {
            id: id.collect(),
            secret,
        }
    }

    /// Its name in the store and in logs.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key itself.
    pub const fn secret(&self) -> &SecretString {
        &self.secret
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("ApiKey").field(&self.id).finish()
    }
}

/// Permits for calls with one key, to be used now.
#[derive(Debug, Clone)]
pub struct Block {
    /// The key.
    pub key: ApiKey,
    /// Calls.
    pub permits: u32,
}

/// What a wish for permits led to.
#[derive(Debug, Clone)]
pub enum Take {
    /// Some, at most as many as wanted.
    Granted(Block),
    /// None now; there may be some then.
    Wait {
        /// When to ask again.
        until: Timestamp,
    },
    /// Every key is retired for now, or there never was one.
    NoKeys,
}

/// What a pool of one process did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolStats {
    /// Calls whose end was reported.
    pub calls: u64,
    /// Writes to the store, those that others came before included.
    pub writes: u64,
    /// Of them, those that others came before.
    pub lost_writes: u64,
    /// Keys that this process found to be of no use, and said so to all.
    pub retired: u64,
}

/// The keys of one provider. One a process; it may be shared by tasks.
pub struct KeyPool {
    name: String,
    keys: Vec<ApiKey>,
    settings: RateSettings,
    store: Arc<dyn KeyStore>,
    clock: Arc<dyn Clock>,
    pending: Mutex<HashMap<String, Pending>>,
    calls: AtomicU64,
    writes: AtomicU64,
    lost_writes: AtomicU64,
    retired: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    report: BlockReport,
    since: Timestamp,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Turns {
    /// Milliseconds since the Unix epoch.
    booked_until: i64,
}

/// How many permits of a key are taken, of those wanted.
type TakeOf = fn(&mut KeyState, &RateSettings, Timestamp, u32) -> u32;

/// A key with what the store holds of it.
struct Known {
    key: ApiKey,
    version: u64,
    state: KeyState,
}

impl KeyPool {
    /// The pool `name` of `keys`. Pools of the same name in one store share what they know of keys that are in both.
    pub fn new(
        name: impl Into<String>,
        keys: impl IntoIterator<Item = SecretString>,
        settings: RateSettings,
        store: Arc<dyn KeyStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let mut keys: Vec<ApiKey> = keys.into_iter().map(ApiKey::new).collect();
        keys.sort_by(|left, right| left.id.cmp(&right.id));
        keys.dedup_by(|left, right| left.id == right.id);
        Self {
            name: name.into(),
            keys,
            settings,
            store,
            clock,
            pending: Mutex::default(),
            calls: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            lost_writes: AtomicU64::new(0),
            retired: AtomicU64::new(0),
        }
    }

    /// Takes a block of permits for up to `wanted` calls, all with one key. Use it at once, and report its end.
    pub async fn take(&self, wanted: u32) -> PortResult<Take> {
        self.take_with(wanted, KeyState::take).await
    }

    /// The same of permits that are surplus: while others go first, who wait for permits themselves.
    pub async fn take_of_surplus(&self, wanted: u32) -> PortResult<Take> {
        self.take_with(wanted, KeyState::take_of_surplus).await
    }

    async fn take_with(&self, wanted: u32, take: TakeOf) -> PortResult<Take> {
        self.flush_old().await?;
        for _ in 0..ATTEMPTS {
            let now = self.clock.now();
            let mut known = self.known(now).await?;
            let Some(chosen) = self.choose(&known, now, wanted, take) else {
                return Ok(self.wait(&known, now, wanted));
            };
            let Known {
                key,
                version,
                mut state,
            } = known.swap_remove(chosen);
            let permits = take(&mut state, &self.settings, now, wanted);
            let reported = self.pending().get(&key.id).copied();
            if self.put(&key, version, &state).await? {
                self.settle(&key.id, reported);
                return Ok(Take::Granted(Block { key, permits }));
            }
        }
        let until = self.clock.now() + CONTENDED_PAUSE;
        Ok(Take::Wait { until })
    }

    /// Takes in what became of (some of) a block's permits.
    pub async fn report(&self, key: &ApiKey, report: BlockReport) -> PortResult<()> {
        let calls = report.succeeded + report.refused + report.failed;
        self.calls.fetch_add(u64::from(calls), Ordering::Relaxed);
        let now = self.clock.now();
        self.pending()
            .entry(key.id.clone())
            .or_insert(Pending {
                report: BlockReport::default(),
                since: now,
            })
            .report
            .add(report);
        if report.is_urgent() {
            self.flush(&key.id).await?;
        }
        Ok(())
    }

    /// When to come back for up to `wanted` permits: books the pool's next free turn, so that those who wait do not all come at once.
    pub async fn book_turn(&self, wanted: u32) -> PortResult<Timestamp> {
        for _ in 0..ATTEMPTS {
            let now = self.clock.now();
            let rows = self.store.key_rows(&self.name).await?;
            let turns = rows.iter().find(|row| row.key == TURNS);
            let version = turns.map_or(0, |row| row.version);
            let booked_until = turns
                .and_then(|row| serde_json::from_str::<Turns>(&row.state).ok())
                .map_or(0, |turns| turns.booked_until);
            let known = self.known_of(&rows, now);
            let Take::Wait { until } = self.wait(&known, now, wanted) else {
                return Ok(now);
            };
            let live = known.iter().filter(|known| !known.state.is_retired(now));
            let per_s: f64 = live
                .clone()
                .map(|known| known.state.permitted_rpm(&self.settings) / 60.0)
                .sum();
            let at_once = live.count() as f64 * f64::from(self.settings.burst) * TURN_SHARE;
            let booked = f64::from(wanted).min(at_once.max(1.0));
            let turn = until.as_millisecond().max(booked_until);
            let turns = Turns {
                booked_until: turn + (booked / per_s.max(1e-3) * 1_000.0) as i64,
            };
            let row = KeyRow {
                key: TURNS.to_owned(),
                version,
                state: serde_json::to_string(&turns).unwrap_or_default(),
            };
            if self.write(&row).await? {
                return Ok(Timestamp::from_millisecond(turn).unwrap_or(until));
            }
        }
        Ok(self.clock.now() + CONTENDED_PAUSE)
    }

    /// Writes down what became of permits, where that has waited for some windows.
    pub async fn flush_old(&self) -> PortResult<()> {
        let before = self.clock.now() - self.settings.window * PENDING_WINDOWS;
        let old: Vec<String> = {
            let pending = self.pending();
            let old = pending.iter().filter(|(_, report)| report.since <= before);
            old.map(|(key, _)| key.clone()).collect()
        };
        for key in old {
            self.flush(&key).await?;
        }
        Ok(())
    }

    /// Writes down what became of all permits, for a process that ends.
    pub async fn flush_all(&self) -> PortResult<()> {
        let keys: Vec<String> = self.pending().keys().cloned().collect();
        for key in keys {
            self.flush(&key).await?;
        }
        Ok(())
    }

    /// What is known of each key, by its id; without what this process has not written down yet.
    pub async fn states(&self) -> PortResult<Vec<(String, KeyState)>> {
        let now = self.clock.now();
        let rows = self.store.key_rows(&self.name).await?;
        let known = self.known_of(&rows, now).into_iter();
        Ok(known.map(|known| (known.key.id, known.state)).collect())
    }

    /// What this process did.
    pub fn stats(&self) -> PoolStats {
        PoolStats {
            calls: self.calls.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
            lost_writes: self.lost_writes.load(Ordering::Relaxed),
            retired: self.retired.load(Ordering::Relaxed),
        }
    }

    /// The rates that its keys go by.
    pub const fn settings(&self) -> &RateSettings {
        &self.settings
    }

    /// Its keys.
    pub fn keys(&self) -> &[ApiKey] {
        &self.keys
    }

    /// The keys with what is stored, and with what this process has to add to it.
    async fn known(&self, now: Timestamp) -> PortResult<Vec<Known>> {
        let rows = self.store.key_rows(&self.name).await?;
        let mut known = self.known_of(&rows, now);
        let pending = self.pending();
        for known in &mut known {
            if let Some(Pending { report, .. }) = pending.get(&known.key.id) {
                known.state.record(&self.settings, now, report);
            }
        }
        Ok(known)
    }

    fn known_of(&self, rows: &[KeyRow], now: Timestamp) -> Vec<Known> {
        let of_key = |key: &ApiKey| {
            let row = rows.iter().find(|row| row.key == key.id);
            // A state that another version wrote and this one cannot read is begun anew.
            let state = row.and_then(|row| serde_json::from_str(&row.state).ok());
            Known {
                key: key.clone(),
                version: row.map_or(0, |row| row.version),
                state: state.unwrap_or_else(|| KeyState::new(&self.settings, now)),
            }
        };
        self.keys.iter().map(of_key).collect()
    }

    /// A key that has permits, by chance, in proportion to its health and to what it has: two workers that choose at the same moment
    /// seldom choose the same.
    fn choose(&self, known: &[Known], now: Timestamp, wanted: u32, take: TakeOf) -> Option<usize> {
        let pending = self.pending();
        let weight = |known: &Known| {
            let mut state = known.state.clone();
            let permits = take(&mut state, &self.settings, now, wanted);
            let weight = f64::from(permits) * known.state.health().max(0.01);
            if pending.contains_key(&known.key.id) {
                weight * PENDING_WEIGHT
            } else {
                weight
            }
        };
        let weights: Vec<f64> = known.iter().map(weight).collect();
        drop(pending);
        let all: f64 = weights.iter().sum();
        if all <= 0.0 {
            return None;
        }
        let mut drawn = fastrand::f64() * all;
        let mut last = None;
        for (position, weight) in weights.into_iter().enumerate() {
            if weight <= 0.0 {
                continue;
            }
            last = Some(position);
            if drawn < weight {
                break;
            }
            drawn -= weight;
        }
        last
    }

    fn wait(&self, known: &[Known], now: Timestamp, wanted: u32) -> Take {
        let next = known
            .iter()
            .filter_map(|known| known.state.next_at(&self.settings, now, wanted))
            .min();
        match next {
            // Not all at the same moment, and never at once: whoever asks now has been told that there is nothing.
            Some(next) => Take::Wait {
                until: next + Duration::from_millis(fastrand::u64(1..=MAX_JITTER_MS)),
            },
            None => Take::NoKeys,
        }
    }

    async fn flush(&self, id: &str) -> PortResult<()> {
        for _ in 0..ATTEMPTS {
            let Some(reported) = self.pending().get(id).copied() else {
                return Ok(());
            };
            let now = self.clock.now();
            let rows = self.store.key_rows(&self.name).await?;
            let known = self.known_of(&rows, now).into_iter();
            let Some(mut known) = known.into_iter().find(|known| known.key.id == id) else {
                return Ok(());
            };
            let is_retired_now = known.state.record(&self.settings, now, &reported.report);
            if self.put(&known.key, known.version, &known.state).await? {
                self.settle(id, Some(reported));
                if is_retired_now {
                    tracing::error!(
                        vision.pool = self.name,
                        vision.key = id,
                        "key retired: the provider does not work for it"
                    );
                    self.retired.fetch_add(1, Ordering::Relaxed);
                }
                return Ok(());
            }
        }
        // It goes along with a later write.
        Ok(())
    }

    /// Forgets what has been written down; what came in meanwhile stays.
    fn settle(&self, id: &str, written: Option<Pending>) {
        let Some(written) = written else {
            return;
        };
        let mut pending = self.pending();
        let Some(there) = pending.get_mut(id) else {
            return;
        };
        let (report, old) = (&mut there.report, written.report);
        report.succeeded = report.succeeded.saturating_sub(old.succeeded);
        report.refused = report.refused.saturating_sub(old.refused);
        report.failed = report.failed.saturating_sub(old.failed);
        report.unused = report.unused.saturating_sub(old.unused);
        if report.retry_after == old.retry_after {
            report.retry_after = None;
        }
        report.retire_for = None;
        if *report == BlockReport::default() {
            pending.remove(id);
        } else {
            there.since = self.clock.now();
        }
    }

    async fn put(&self, key: &ApiKey, version: u64, state: &KeyState) -> PortResult<bool> {
        let row = KeyRow {
            key: key.id.clone(),
            version,
            state: serde_json::to_string(state).unwrap_or_default(),
        };
        self.write(&row).await
    }

    async fn write(&self, row: &KeyRow) -> PortResult<bool> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        let is_written = self.store.put_key_row(&self.name, row).await?;
        if !is_written {
            self.lost_writes.fetch_add(1, Ordering::Relaxed);
        }
        Ok(is_written)
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<String, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KeyPool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("KeyPool")
            .field("name", &self.name)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}
