//! Compares this process's resident size with its limit: above a share of it, no further work is begun until it falls.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Above this share of the memory limit nothing more is begun (source A7 of the product's requirements).
const WATCH_PERCENT: u64 = 80;
/// How long what was seen last stands for what is.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Watches one process.
#[derive(Debug)]
pub struct MemoryWatch {
    limit_bytes: Option<u64>,
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    looked: Option<Instant>,
    is_short: bool,
}

impl MemoryWatch {
    /// A watch over a process that should stay below this size; without a limit, memory is never short.
    pub const fn new(limit_bytes: Option<u64>) -> Self {
        Self {
            limit_bytes,
            last: Mutex::new(Last {
                looked: None,
                is_short: false,
            }),
        }
    }

    /// Whether memory is short. Says so in the log when that changes.
    pub fn is_short(&self) -> bool {
        let Some(limit) = self.limit_bytes else {
            return false;
        };
        let mut last = self.last.lock();
        if last
            .looked
            .is_some_and(|looked| looked.elapsed() < LOOK_AGAIN_AFTER)
        {
            return last.is_short;
        }
        last.looked = Some(Instant::now());
        let resident = resident_bytes().unwrap_or(0);
        let is_short = resident >= limit / 100 * WATCH_PERCENT;
        if std::mem::replace(&mut last.is_short, is_short) != is_short {
            let (resident_mb, limit_mb) = (resident >> 20, limit >> 20);
            if is_short {
                tracing::warn!(
                    resident_mb,
                    limit_mb,
                    "memory is short: no further work is begun"
                );
            } else {
                tracing::info!(resident_mb, limit_mb, "memory is free again");
            }
        }
        is_short
    }
}

/// Resident size of this process (Linux, `proc_pid_status(5)`); `None` where the system does not tell.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    kibibytes(&status, "VmRSS:")
}

/// Memory that this process may count on: what its control group may take (Linux, `cgroups(7)`, either version), and no more than the
/// machine has. `None` where the system does not tell.
pub fn available_bytes() -> Option<u64> {
    let groups = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ];
    let of_group = groups.iter().find_map(|path| {
        let text = std::fs::read_to_string(path).ok()?;
        // Without a limit there is the word `max`, or a number beyond every machine.
        text.trim().parse::<u64>().ok()
    });
    let information = std::fs::read_to_string("/proc/meminfo").ok();
    let of_machine = information.and_then(|text| kibibytes(&text, "MemTotal:"));
    of_group.into_iter().chain(of_machine).min()
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_short_from_four_fifths_of_the_limit_on() {
        assert!(!MemoryWatch::new(None).is_short());
        assert!(MemoryWatch::new(Some(1)).is_short());
        let resident = resident_bytes().unwrap();
        assert!(!MemoryWatch::new(Some(resident * 2)).is_short());
        assert!(MemoryWatch::new(Some(resident / 2)).is_short());
    }

    #[test]
    fn the_machine_tells_what_there_is() {
        let available = available_bytes().unwrap();
        assert!(available > resident_bytes().unwrap());
    }
}
