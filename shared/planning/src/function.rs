//! How long one chunk takes inside one analyze function.
//!
//! A function is a closed queueing network: a fixed number of requests under way, each of which waits for its host, then shares the
//! network, then the processor. Exact mean value analysis (Reiser & Lavenberg 1980) gives the rows a second.

use serde::Serialize;

use crate::assumptions::{BEGIN_S, COMMIT_S, SOFT_DEADLINE_S};
use crate::facts::Facts;
use crate::workload::{Setup, Workload};

/// The last requests of a chunk take this many times the mean latency.
const TAIL_LATENCIES: f64 = 2.0;

/// What decides how fast rows go through a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Station {
    /// The processor.
    Cpu,
    /// The network.
    Network,
    /// Requests wait for their hosts, and no more of them are allowed.
    Latency,
}

/// One chunk's time in one function.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChunkTime {
    /// Requests under way at once: the setting, unless the hosts allow fewer.
    pub requests: u64,
    /// Rows a second while they all are.
    pub rows_per_s: f64,
    /// Seconds of fetching and measuring.
    pub work_s: f64,
    /// Seconds with everything before and after, the last slow requests included.
    pub total_s: f64,
    /// Parts the chunk falls into because of the function's time-out.
    pub parts: u64,
    /// Share of the time that the processor is busy.
    pub cpu_busy: f64,
    /// Share of the time that the network is.
    pub network_busy: f64,
    /// What decides.
    pub bound_by: Station,
}

/// How long a full chunk of `workload` takes with `setup`.
pub fn chunk_time(workload: &Workload, setup: &Setup, facts: &Facts) -> ChunkTime {
    let requests = requests_under_way(workload, setup);
    let (cpu_s, network_s) = demands(workload, setup, facts);
    // What a second processor cannot shorten is time like any other.
    let alone_s = workload.latency_s + (workload.cpu_s - cpu_s).max(0.0);
    let rows_per_s = throughput(requests, alone_s, [cpu_s, network_s]);
    let rows = setup.chunk_size.min(workload.rows_per_list()) as f64;
    let work_s = rows / rows_per_s;
    let parts = (work_s / SOFT_DEADLINE_S).ceil().max(1.0);
    let overhead_s = BEGIN_S + COMMIT_S + workload.latency_s * TAIL_LATENCIES;
    let cpu_busy = rows_per_s * cpu_s;
    let network_busy = rows_per_s * network_s;
    let latency_bound = requests as f64 / (alone_s + cpu_s + network_s);
    let bounds = [
        (Station::Cpu, cpu_s.recip()),
        (Station::Network, network_s.recip()),
        (Station::Latency, latency_bound),
    ];
    let tightest = bounds
        .iter()
        .min_by(|left, right| left.1.total_cmp(&right.1));
    ChunkTime {
        requests,
        rows_per_s,
        work_s,
        total_s: work_s + overhead_s * parts,
        parts: parts as u64,
        cpu_busy,
        network_busy,
        bound_by: tightest.map_or(Station::Latency, |bound| bound.0),
    }
}

/// Requests that can be under way at once: the hosts of one chunk may allow fewer than the function would make.
fn requests_under_way(workload: &Workload, setup: &Setup) -> u64 {
    let hosts = workload.hosts.min(setup.chunk_size).max(1);
    let allowed = hosts.saturating_mul(setup.requests_per_host);
    setup.requests.min(allowed).min(setup.chunk_size).max(1)
}

/// Seconds that one row keeps the processor, and the network, of a function to itself.
fn demands(workload: &Workload, setup: &Setup, facts: &Facts) -> (f64, f64) {
    let vcpus = setup.memory_mb as f64 / facts.platform.memory_per_vcpu_mb.value;
    let network = facts.platform.network_bytes_per_second.value;
    (workload.cpu_s / vcpus, workload.body_bytes / network)
}

/// Rows a second of a closed network with `requests` customers, a pure delay, and queueing stations with these demands.
fn throughput(requests: u64, delay_s: f64, demands_s: [f64; 2]) -> f64 {
    let mut waiting = [0.0; 2];
    let mut throughput = 0.0;
    for customers in 1..=requests {
        let mut response = [0.0; 2];
        for station in 0..2 {
            response[station] = demands_s[station] * (1.0 + waiting[station]);
        }
        let cycle = delay_s + response[0] + response[1];
        throughput = customers as f64 / cycle.max(f64::MIN_POSITIVE);
        for station in 0..2 {
            waiting[station] = throughput * response[station];
        }
    }
    throughput
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_at_a_time_takes_the_sum_of_its_times() {
        let rate = throughput(1, 0.3, [0.006, 0.002]);
        assert!((rate - 1.0 / 0.308).abs() < 1e-9, "{rate}");
    }

    #[test]
    fn many_requests_come_up_to_the_slowest_station_and_no_further() {
        let rate = throughput(1_000, 0.3, [0.006, 0.002]);
        assert!(rate > 0.99 / 0.006 && rate <= 1.0 / 0.006, "{rate}");
    }

    #[test]
    fn the_station_that_decides_is_named() {
        let facts = Facts::load(None).unwrap();
        let bound_by = |workload: &Workload| {
            let setup = Setup::default();
            chunk_time(workload, &setup, &facts).bound_by
        };
        let workload = Workload::default();
        assert_eq!(bound_by(&workload), Station::Cpu);
        let large = Workload {
            body_bytes: 2e6,
            ..workload.clone()
        };
        assert_eq!(bound_by(&large), Station::Network);
        let far = Workload {
            latency_s: 3.0,
            ..workload.clone()
        };
        assert_eq!(bound_by(&far), Station::Latency);
        let few_hosts = Workload {
            hosts: 1,
            ..workload
        };
        assert_eq!(bound_by(&few_hosts), Station::Latency);
    }
}
