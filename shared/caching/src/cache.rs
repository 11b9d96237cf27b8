//! The three levels together.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use domain::ports::{CacheClaim, CacheLease, CacheStore, Clock, Invalidation, PortResult};
use jiff::Timestamp;
use moka::sync::Cache as Memory;

use crate::disk::Disk;
use crate::entry::{Cached, Kept, Kind, whole_milliseconds};
use crate::pattern;
use crate::stats::{LevelStats, Tally};

/// How much each level keeps, and for how long. The defaults are the product's figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSettings {
    /// Entries in memory.
    pub memory_entries: u64,
    /// How long an entry stays in memory.
    pub memory_lifetime: Duration,
    /// Folder of the level on disk; `None` for no such level.
    pub disk_folder: Option<PathBuf>,
    /// Bytes on disk, about.
    pub disk_bytes: u64,
    /// How long an entry stays on disk.
    pub disk_lifetime: Duration,
    /// How often a process asks what others invalidated.
    pub refresh: Duration,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            memory_entries: 10_000,
            memory_lifetime: Duration::from_secs(3_600),
            disk_folder: None,
            disk_bytes: 256 * 1024 * 1024,
            disk_lifetime: Duration::from_secs(24 * 3_600),
            refresh: Duration::from_secs(60),
        }
    }
}

/// What became of a wish to work out an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// It is there already.
    Found(Cached),
    /// It is the holder's to work out.
    Claimed,
    /// Somebody else is at work on it, until then.
    Busy {
        /// When the other's lease ends.
        until: Timestamp,
    },
}

/// A cache of one process. Making it opens nothing.
pub struct Cache {
    settings: CacheSettings,
    memory: OnceLock<Memory<String, Arc<InMemory>>>,
    disk: Option<Disk>,
    shared: Arc<dyn CacheStore>,
    clock: Arc<dyn Clock>,
    invalidated: RwLock<Invalidated>,
    tallies: [Tally; 3],
}

struct InMemory {
    kept: Kept,
    until: Timestamp,
}

#[derive(Default)]
struct Invalidated {
    rules: Vec<Invalidation>,
    read_at: Option<Timestamp>,
}

const MEMORY: usize = 0;
const DISK: usize = 1;
const SHARED: usize = 2;

impl Cache {
    /// A cache over `shared`.
    pub fn new(
        settings: CacheSettings,
        shared: Arc<dyn CacheStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let disk = settings.disk_folder.as_deref();
        Self {
            disk: disk.map(|folder| Disk::new(folder, settings.disk_bytes)),
            settings,
            memory: OnceLock::new(),
            shared,
            clock,
            invalidated: RwLock::default(),
            tallies: Default::default(),
        }
    }

    /// The answer to `key`, from the nearest level that has it.
    pub async fn get(&self, kind: &Kind, key: &str) -> PortResult<Option<Cached>> {
        let keys = [key.to_owned()];
        Ok(self.get_many(kind, &keys).await?.pop().flatten())
    }

    /// The answers to `keys`, in their order. To warm the levels of this machine, ask for what will be needed, in one go.
    pub async fn get_many(&self, kind: &Kind, keys: &[String]) -> PortResult<Vec<Option<Cached>>> {
        let now = self.clock.now();
        self.refresh(now).await?;
        let keys: Vec<String> = keys.iter().map(|key| kind.full_key(key)).collect();
        let mut answers: Vec<Option<Kept>> = vec![None; keys.len()];
        let started = Instant::now();
        for (key, answer) in keys.iter().zip(&mut answers) {
            *answer = self.in_memory(key, now);
        }
        self.tally(MEMORY, started, &answers, &vec![true; keys.len()]);

        let asked: Vec<bool> = answers.iter().map(Option::is_none).collect();
        if let Some(disk) = self.disk.as_ref().filter(|_| asked.contains(&true)) {
            let started = Instant::now();
            let missing = missing(&keys, &asked);
            let found = disk.get(missing, now).await;
            self.fill(&keys, &asked, found, &mut answers);
            self.tally(DISK, started, &answers, &asked);
            for (key, answer) in keys.iter().zip(&answers) {
                if let Some(kept) = answer {
                    self.keep_in_memory(key, kept, now);
                }
            }
        }

        let asked: Vec<bool> = answers.iter().map(Option::is_none).collect();
        if asked.contains(&true) {
            let started = Instant::now();
            let found = self
                .shared
                .cache_entries(&missing(&keys, &asked), now)
                .await?;
            let found = found
                .into_iter()
                .map(|entry| entry.as_ref().and_then(Kept::decode));
            self.fill(&keys, &asked, found.collect(), &mut answers);
            self.tally(SHARED, started, &answers, &asked);
            let promoted = keys.iter().zip(&answers).zip(&asked);
            let promoted =
                promoted
                    .filter(|(_, asked)| **asked)
                    .filter_map(|((key, answer), _)| {
                        answer.as_ref().map(|kept| (key.clone(), kept.clone()))
                    });
            self.keep_here(promoted.collect(), now).await;
        }
        Ok(answers
            .into_iter()
            .map(|answer| answer.map(|kept| kept.cached))
            .collect())
    }

    /// Leases the working out of an answer for `lease`, unless it is there or somebody else is at it.
    pub async fn claim(
        &self,
        kind: &Kind,
        key: &str,
        holder: &str,
        lease: Duration,
    ) -> PortResult<Claim> {
        let now = self.clock.now();
        let key = kind.full_key(key);
        let claim = CacheLease {
            void_until: self.void_until(&key),
            key: key.clone(),
            holder: holder.to_owned(),
            now: whole_milliseconds(now),
            until: whole_milliseconds(now + lease),
        };
        match self.shared.claim_cache_entry(&claim).await? {
            CacheClaim::Claimed => Ok(Claim::Claimed),
            CacheClaim::Busy { until } => Ok(Claim::Busy { until }),
            CacheClaim::Found(entry) => match Kept::decode(&entry) {
                Some(kept) => {
                    self.tallies[SHARED].hit(&kept.cached);
                    self.keep_here(vec![(key, kept.clone())], now).await;
                    Ok(Claim::Found(kept.cached))
                }
                // Nobody of ours can have written it; what is worked out takes its place.
                None => Ok(Claim::Claimed),
            },
        }
    }

    /// Keeps an answer at every level, and ends a lease on it.
    pub async fn put(&self, kind: &Kind, key: &str, cached: Cached) -> PortResult<()> {
        let now = self.clock.now();
        let key = kind.full_key(key);
        let kept = Kept::new(kind, cached, now);
        self.shared.put_cache_entry(&key, &kept.encode()).await?;
        self.keep_here(vec![(key, kept)], now).await;
        Ok(())
    }

    /// Ends a lease without an answer.
    pub async fn release(&self, kind: &Kind, key: &str, holder: &str) -> PortResult<()> {
        let key = kind.full_key(key);
        self.shared.release_cache_entry(&key, holder).await
    }

    /// Makes every answer count for nothing whose key `pattern` covers (`*` stands for any characters; keys begin with their kind's
    /// prefix): here at once, in other processes after [`CacheSettings::refresh`].
    pub async fn invalidate(&self, pattern: &str, longest_lifetime: Duration) -> PortResult<()> {
        let at = whole_milliseconds(self.clock.now());
        let rule = Invalidation {
            pattern: pattern.to_owned(),
            at,
            expires_at: whole_milliseconds(at + longest_lifetime),
        };
        self.shared.invalidate(&rule).await?;
        if let Some(disk) = &self.disk {
            disk.remove(pattern.to_owned()).await;
        }
        let mut invalidated = self
            .invalidated
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        invalidated.rules.push(rule);
        Ok(())
    }

    /// What each level did so far, by its name: `memory`, `disk`, `shared`.
    pub fn stats(&self) -> [(&'static str, LevelStats); 3] {
        let [memory, disk, shared] = &self.tallies;
        [
            ("memory", memory.read()),
            ("disk", disk.read()),
            ("shared", shared.read()),
        ]
    }

    fn in_memory(&self, key: &str, now: Timestamp) -> Option<Kept> {
        let found = self.memory.get()?.get(key)?;
        let is_good = found.until > now && !self.is_void(key, &found.kept);
        is_good.then(|| found.kept.clone())
    }

    fn keep_in_memory(&self, key: &str, kept: &Kept, now: Timestamp) {
        let memory = self.memory.get_or_init(|| {
            Memory::builder()
                .max_capacity(self.settings.memory_entries)
                .time_to_live(self.settings.memory_lifetime)
                .build()
        });
        let until = kept.expires_at.min(now + self.settings.memory_lifetime);
        let kept = kept.clone();
        memory.insert(key.to_owned(), Arc::new(InMemory { kept, until }));
    }

    async fn keep_here(&self, entries: Vec<(String, Kept)>, now: Timestamp) {
        if entries.is_empty() {
            return;
        }
        for (key, kept) in &entries {
            self.keep_in_memory(key, kept, now);
        }
        if let Some(disk) = &self.disk {
            let lifetime = self.settings.disk_lifetime;
            let entries = entries.into_iter().map(|(key, kept)| {
                let until = kept.expires_at.min(now + lifetime);
                (key, kept, until)
            });
            disk.put(entries.collect(), now).await;
        }
    }

    /// Puts what a level found where it was asked for, but for what was invalidated.
    fn fill(
        &self,
        keys: &[String],
        asked: &[bool],
        found: Vec<Option<Kept>>,
        answers: &mut [Option<Kept>],
    ) {
        let mut found = found.into_iter();
        for ((key, answer), asked) in keys.iter().zip(answers).zip(asked) {
            if *asked {
                let kept = found.next().flatten();
                *answer = kept.filter(|kept| !self.is_void(key, kept));
            }
        }
    }

    fn tally(&self, level: usize, started: Instant, answers: &[Option<Kept>], asked: &[bool]) {
        let tally = &self.tallies[level];
        tally.took(started.elapsed());
        for (answer, _) in answers.iter().zip(asked).filter(|(_, asked)| **asked) {
            match answer {
                Some(kept) => tally.hit(&kept.cached),
                None => tally.miss(),
            }
        }
    }

    async fn refresh(&self, now: Timestamp) -> PortResult<()> {
        let is_due = {
            let invalidated = self
                .invalidated
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            invalidated
                .read_at
                .is_none_or(|read_at| now >= read_at + self.settings.refresh)
        };
        if !is_due {
            return Ok(());
        }
        let rules = self.shared.invalidations(now).await?;
        let mut invalidated = self
            .invalidated
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *invalidated = Invalidated {
            rules,
            read_at: Some(now),
        };
        Ok(())
    }

    fn is_void(&self, key: &str, kept: &Kept) -> bool {
        self.void_until(key)
            .is_some_and(|void_until| kept.stored_at <= void_until)
    }

    fn void_until(&self, key: &str) -> Option<Timestamp> {
        let invalidated = self
            .invalidated
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let rules = invalidated.rules.iter();
        rules
            .filter(|rule| pattern::matches(&rule.pattern, key))
            .map(|rule| rule.at)
            .max()
    }
}

fn missing(keys: &[String], asked: &[bool]) -> Vec<String> {
    let missing = keys.iter().zip(asked).filter(|(_, asked)| **asked);
    missing.map(|(key, _)| key.clone()).collect()
}
