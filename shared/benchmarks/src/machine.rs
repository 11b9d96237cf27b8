//! What a measurement was made on: figures of two machines are not to be compared without saying so.

use std::fs;

use serde::{Deserialize, Serialize};

/// A machine, as far as it tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the processor.
    pub processor: String,
    /// Processors that this process may use.
    pub processors: usize,
    /// Memory in MB.
    pub memory_mb: u64,
    /// Operating system and its version.
    pub system: String,
    /// Instruction set.
    pub architecture: String,
    /// Bounds of the control group, such as a container's; empty where there are none.
    pub bounds: Vec<String>,
    /// Runnable processes over the last minute, when the measurement began: what else was going on.
    pub load: f64,
}

impl Machine {
    /// This machine, now.
    pub fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let release = read("/proc/sys/kernel/osrelease");
        Self {
            processor: processor(&read("/proc/cpuinfo")),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mb: memory_mb(&read("/proc/meminfo")),
            system: format!("{} {}", std::env::consts::OS, release.trim()),
            architecture: std::env::consts::ARCH.to_owned(),
            bounds: ["cpu.max", "memory.max"]
                .into_iter()
                .filter_map(|name| {
                    let bound = read(&format!("/sys/fs/cgroup/{name}"));
                    let bound = bound.trim();
                    let is_bound = !bound.is_empty() && !bound.starts_with("max");
                    is_bound.then(|| format!("{name} {bound}"))
                })
                .collect(),
            load: load(&read("/proc/loadavg")),
        }
    }

    /// What differs from `other` so that times of the two say little about each other; the load does not count.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let mut compare = |what: &str, one: String, two: String| {
            if one != two {
                differences.push(format!("{what}: {one} and {two}"));
            }
        };
        compare("processor", self.processor.clone(), other.processor.clone());
        compare(
            "processors",
            self.processors.to_string(),
            other.processors.to_string(),
        );
        compare(
            "architecture",
            self.architecture.clone(),
            other.architecture.clone(),
        );
        compare("bounds", self.bounds.join(", "), other.bounds.join(", "));
        differences
    }
}

/// `model name` on x86; elsewhere what tells models apart.
fn processor(cpuinfo: &str) -> String {
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    field("model name")
        .or_else(|| {
            Some(format!(
                "{} {}",
                field("CPU implementer")?,
                field("CPU part")?
            ))
        })
        .unwrap_or_else(|| "unknown".to_owned())
}

fn memory_mb(meminfo: &str) -> u64 {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    kibibytes.unwrap_or(0_u64) >> 10
}

fn load(loadavg: &str) -> f64 {
    let first = loadavg.split_whitespace().next();
    first.and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_says_is_read() {
        assert_eq!(
            processor("vendor_id\t: x\nmodel name\t: Fast 3000\n"),
            "Fast 3000"
        );
        let arm = "CPU implementer\t: 0x41\nCPU part\t: 0xd40\n";
        assert_eq!(processor(arm), "0x41 0xd40");
        assert_eq!(processor(""), "unknown");
        assert_eq!(memory_mb("MemTotal:       2048000 kB\n"), 2_000);
        assert!((load("1.25 0.9 0.8 2/100 7\n") - 1.25).abs() < 1e-9);
    }

    #[test]
    fn another_machine_is_told_and_another_load_is_not() {
        let here = Machine::here();
        let busier = Machine {
            load: here.load + 3.0,
            ..here.clone()
        };
        assert!(here.differences(&busier).is_empty());
        let other = Machine {
            processors: here.processors + 1,
            ..here.clone()
        };
        assert_eq!(here.differences(&other).len(), 1);
    }
}
