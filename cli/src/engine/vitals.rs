//! Samples of this machine and of the queues, put into the store with everything else that is counted.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use domain::ports::MonitoringStore;
use domain::{Gauge, Vitals};
use pipeline::memory_watch::{available_bytes, resident_bytes};
use pipeline::recorder::Recorder;
use pipeline::{PipelineResult, Ports, observe};
use tokio::sync::watch;

/// Pause between two samples.
const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// Pause between two pieces of advice.
const ADVISE_EVERY: Duration = Duration::from_secs(60);

/// What is sampled, and where it goes.
pub(super) struct Sampler {
    pub(super) ports: Ports,
    pub(super) monitoring: Arc<dyn MonitoringStore>,
    pub(super) recorder: Arc<Recorder>,
    /// Chunks under way.
    pub(super) workers: Arc<AtomicUsize>,
    /// Resident size the process should stay below; what there is when unset.
    pub(super) memory_limit_bytes: Option<u64>,
}

impl Sampler {
    /// Samples until told to stop.
    pub(super) async fn run(self, mut stopped: watch::Receiver<bool>) {
        let mut processors = ProcessorTimes::read();
        let mut advised_at = Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep(SAMPLE_EVERY) => {}
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
            let now = ProcessorTimes::read();
            let cpu_percent = now
                .zip(processors)
                .and_then(|(now, before)| now.busy_percent_since(before));
            processors = now;
            if let Err(error) = self.sample(cpu_percent).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "sample not stored");
            }
            if advised_at.elapsed() >= ADVISE_EVERY {
                advised_at = Instant::now();
                let advice = observe::advise_and_keep(&self.ports, self.monitoring.as_ref()).await;
                if let Err(error) = advice {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "no advice");
                }
            }
        }
    }

    async fn sample(&self, cpu_percent: Option<u64>) -> PipelineResult<()> {
        let queues = observe::queues(&self.ports).await?;
        let mut vitals = Vitals {
            workers: Gauge::of(self.workers.load(Ordering::Relaxed) as u64),
            pending: Gauge::of(queues.iter().map(|queue| queue.pending).sum()),
            dead_letters: Gauge::of(queues.iter().map(|queue| queue.dead).sum()),
            ..Vitals::default()
        };
        vitals.cpu_percent = cpu_percent.map(Gauge::of).unwrap_or_default();
        if let Some(resident) = resident_bytes() {
            vitals.memory_mb = Gauge::of(resident >> 20);
            if let Some(limit) = self.memory_limit_bytes.or_else(available_bytes) {
                vitals.memory_percent = Gauge::of(resident * 100 / limit.max(1));
            }
        }
        self.recorder.sample(&vitals);
        self.recorder
            .flush(&self.ports, self.monitoring.as_ref())
            .await
    }
}

/// Time of all processors of the machine since it started, in ticks (Linux, `proc_stat(5)`).
#[derive(Debug, Clone, Copy)]
struct ProcessorTimes {
    busy: u64,
    all: u64,
}

impl ProcessorTimes {
    /// `None` where the system does not tell.
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        // user, nice, system, idle, iowait, irq, softirq, steal; guest times are part of user's.
        let ticks: Vec<u64> = line
            .split_whitespace()
            .take(8)
            .map_while(|field| field.parse().ok())
            .collect();
        let all = ticks.iter().sum();
        let idle = ticks.get(3)? + ticks.get(4)?;
        Some(Self {
            busy: u64::saturating_sub(all, idle),
            all,
        })
    }

    /// `None` when no time went by.
    fn busy_percent_since(self, before: Self) -> Option<u64> {
        let busy = self.busy.saturating_sub(before.busy);
        (busy * 100).checked_div(self.all.saturating_sub(before.all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_busy_time_is_that_between_two_looks() {
        let before =
            ProcessorTimes::parse("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2 3 4\n").unwrap();
        let after = ProcessorTimes::parse("cpu  160 0 65 820 55 0 0 0 0 0\n").unwrap();
        assert_eq!(after.busy_percent_since(before), Some(75));
        assert_eq!(after.busy_percent_since(after), None);
        assert!(ProcessorTimes::parse("intr 1 2 3").is_none());
    }
}
