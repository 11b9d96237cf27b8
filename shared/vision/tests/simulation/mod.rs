//! Eight workers and a provider that holds every key to a limit it does not tell, on tokio's paused clock: minutes pass in seconds.
//! The tests of the pool and the plot of its adaptation share it.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adapters_embedded::DataFolder;
use domain::ports::{Clock, KeyStore};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use test_support::vision_provider::{KeyCount, KeyRules, StandInProvider, Verdict};
use tokio::time::Instant;
use vision::{Block, BlockReport, KeyPool, PoolStats, RateSettings, Take};

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// Wall time that goes with tokio's, or so many times faster.
pub(crate) struct PausedClock {
    wall: Timestamp,
    start: Instant,
    speed: u32,
}

impl PausedClock {
    fn new(speed: u32) -> Self {
        Self {
            wall: Timestamp::from_second(1_800_000_000).unwrap(),
            start: Instant::now(),
            speed,
        }
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time / self.speed).await;
    }
}

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        self.wall + self.start.elapsed() * self.speed
    }
}

pub(crate) struct Scene {
    pub(crate) store: Arc<dyn KeyStore>,
    pub(crate) clock: Arc<PausedClock>,
    pub(crate) provider: Arc<StandInProvider>,
    stop: Arc<AtomicBool>,
    keys: Vec<String>,
    workers: Vec<(Arc<KeyPool>, tokio::task::JoinHandle<()>)>,
    _kept: Box<dyn Any>,
}

impl Scene {
    /// Eight workers, each with a pool of its own as if it were a process of its own, over one store. There is always more to do.
    pub(crate) fn start(keys: Vec<(String, KeyRules)>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(directory.path()).unwrap();
        Self::start_over(folder.keys(), Box::new((folder, directory)), keys, 1)
    }

    /// The same over any store, with time that is `speed` times as fast as tokio's: a store that is asked over a network knows no paused
    /// time.
    pub(crate) fn start_over(
        store: Arc<dyn KeyStore>,
        kept: Box<dyn Any>,
        keys: Vec<(String, KeyRules)>,
        speed: u32,
    ) -> Self {
        let names = keys.iter().map(|(key, _)| key.clone()).collect();
        let mut scene = Self {
            store,
            clock: Arc::new(PausedClock::new(speed)),
            provider: Arc::new(StandInProvider::new(keys, Duration::from_millis(800))),
            stop: Arc::default(),
            keys: names,
            workers: Vec::new(),
            _kept: kept,
        };
        for _ in 0..8 {
            let pool = Arc::new(scene.pool());
            let worker = work(
                Arc::clone(&pool),
                Arc::clone(&scene.provider),
                scene.clock.clone(),
                Arc::clone(&scene.stop),
            );
            scene.workers.push((pool, tokio::spawn(worker)));
        }
        scene
    }

    pub(crate) fn pool(&self) -> KeyPool {
        let keys = self.keys.iter().map(|key| SecretString::from(key.clone()));
        KeyPool::new(
            "stand-in",
            keys,
            RateSettings::default(),
            Arc::clone(&self.store),
            self.clock.clone(),
        )
    }

    /// What became of the calls in the next minutes, by key.
    pub(crate) async fn watch(&self, minutes: u32) -> BTreeMap<String, KeyCount> {
        let before = self.provider.counts();
        self.clock.sleep(MINUTE * minutes).await;
        let mut counts = self.provider.counts();
        for (key, count) in &mut counts {
            let before = before.get(key).copied().unwrap_or_default();
            count.permitted -= before.permitted;
            count.rejected -= before.rejected;
            count.unknown -= before.unknown;
        }
        counts
    }

    pub(crate) async fn stop(self) -> PoolStats {
        self.stop.store(true, Ordering::SeqCst);
        let mut sum = PoolStats::default();
        for (pool, worker) in self.workers {
            worker.await.unwrap();
            let stats = pool.stats();
            sum.calls += stats.calls;
            sum.writes += stats.writes;
            sum.lost_writes += stats.lost_writes;
            sum.retired += stats.retired;
        }
        sum
    }
}

pub(crate) fn ten_keys(per_minute: usize) -> Vec<(String, KeyRules)> {
    let rules = KeyRules {
        per_minute,
        ..KeyRules::default()
    };
    (0..10)
        .map(|number| (format!("key-{number}"), rules.clone()))
        .collect()
}

async fn work(
    pool: Arc<KeyPool>,
    provider: Arc<StandInProvider>,
    clock: Arc<PausedClock>,
    stop: Arc<AtomicBool>,
) {
    while !stop.load(Ordering::SeqCst) {
        match pool.take(20).await.unwrap() {
            Take::Granted(block) => {
                let report = use_up(&block, &provider, &clock).await;
                pool.report(&block.key, report).await.unwrap();
            }
            Take::Wait { until } => {
                let pause = until.duration_since(clock.now()).unsigned_abs();
                clock.sleep(pause).await;
            }
            Take::NoKeys => return,
        }
    }
}

/// Makes all calls of a block at about the same moment.
async fn use_up(block: &Block, provider: &StandInProvider, clock: &PausedClock) -> BlockReport {
    let calls = (0..block.permits).map(|_| async {
        // On its way to the provider.
        clock
            .sleep(Duration::from_millis(fastrand::u64(10..150)))
            .await;
        let key = block.key.secret().expose_secret();
        let mut report = BlockReport::default();
        match provider.call(key, &[], clock.now()) {
            Verdict::Answer(latency) | Verdict::Malformed(latency) => {
                clock.sleep(latency).await;
                report.succeeded = 1;
            }
            Verdict::Failing => report.failed = 1,
            Verdict::TooMany(pause) => {
                report.refused = 1;
                report.retry_after = Some(pause);
            }
            Verdict::UnknownModel => unreachable!("it has every model"),
            Verdict::UnknownKey => report.retire_for = Some(Duration::from_secs(86_400)),
        }
        report
    });
    let mut sum = BlockReport::default();
    for report in futures::future::join_all(calls).await {
        sum.add(report);
    }
    sum
}
