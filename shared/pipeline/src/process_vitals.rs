//! How this process fares while it works on a part, where no sampler runs beside it.

use std::fs;
use std::time::{Duration, Instant};

use domain::{Gauge, Vitals};

use crate::memory_watch::resident_bytes;

/// Length of a tick of the kernel's accounts: 100 a second on every Linux that user programs see.
const TICK: Duration = Duration::from_millis(10);

/// The begin of what is looked at.
pub(crate) struct Since {
    at: Instant,
    busy: Option<Duration>,
}

impl Since {
    pub(crate) fn now() -> Self {
        Self {
            at: Instant::now(),
            busy: busy(),
        }
    }

    /// How the process fared since then, with `processors` to work with and `memory_bytes` that it may take.
    pub(crate) fn vitals(&self, processors: usize, memory_bytes: Option<u64>) -> Vitals {
        let mut vitals = Vitals {
            workers: Gauge::of(1),
            ..Vitals::default()
        };
        let there = self.at.elapsed() * u32::try_from(processors.max(1)).unwrap_or(u32::MAX);
        if let (Some(before), Some(now)) = (self.busy, busy())
            && !there.is_zero()
        {
            let share = now.saturating_sub(before).div_duration_f64(there);
            vitals.cpu_percent = Gauge::of((share * 100.0).round().clamp(0.0, 100.0) as u64);
        }
        if let Some(resident) = resident_bytes() {
            vitals.memory_mb = Gauge::of(resident >> 20);
            if let Some(limit) = memory_bytes {
                vitals.memory_percent = Gauge::of(resident * 100 / limit.max(1));
            }
        }
        vitals
    }
}

/// Processor time of this process so far (Linux, `proc_pid_stat(5)`); `None` where the system does not tell.
fn busy() -> Option<Duration> {
    parse(&fs::read_to_string("/proc/self/stat").ok()?)
}

fn parse(stat: &str) -> Option<Duration> {
    // The name of the program stands in parentheses, and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let user: u32 = times.next()?.parse().ok()?;
    let system: u32 = times.next()?.parse().ok()?;
    Some(TICK * user.saturating_add(system))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accounts_of_a_process_are_read_whatever_its_name() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 900 0 0 0 120 30 0 0 20 0 3 0 100 1 1";
        assert_eq!(parse(stat), Some(Duration::from_millis(1_500)));
        assert_eq!(parse("7 (cut"), None);
    }

    #[test]
    fn a_process_that_works_is_seen_to_do_so() {
        let since = Since::now();
        let mut sum = 0_u64;
        while since.at.elapsed() < Duration::from_millis(100) {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(7));
        }
        let vitals = since.vitals(1, Some(1 << 40));
        assert_eq!(vitals.workers.mean(), Some(1.0));
        if resident_bytes().is_some() {
            assert!(vitals.cpu_percent.sum > 0, "{vitals:?}");
            assert!(vitals.memory_mb.sum > 0, "{vitals:?}");
        }
    }
}
