//! One chunk in one function, row by row: each waits for its turn at its host, for its host, then for the network, then for a processor.

use std::collections::{BinaryHeap, VecDeque};

use super::At;
use crate::facts::Facts;
use crate::workload::{Setup, Workload};

/// Share of the mean latency below which no host answers; an exponential tail describes the rest.
const LATENCY_FLOOR: f64 = 0.5;

/// Rows that wait for a turn at their host, and turns that are taken.
struct Host {
    waiting: VecDeque<u64>,
    under_way: u64,
}

/// Rows that are begun in order, as far as the function's own bound and their hosts' allow: a row whose host is busy lets others pass.
struct Turns {
    hosts: Vec<Host>,
    /// Hosts that have both a row that waits and a turn for it.
    ready: VecDeque<usize>,
    free: u64,
    per_host: u64,
}

impl Turns {
    fn new(workload: &Workload, setup: &Setup, rows: u64, chance: &mut fastrand::Rng) -> Self {
        let hosts = workload.hosts.clamp(1, rows.max(1));
        let mut turns = Self {
            hosts: (0..hosts)
                .map(|_| Host {
                    waiting: VecDeque::new(),
                    under_way: 0,
                })
                .collect(),
            ready: VecDeque::new(),
            free: setup.requests.max(1),
            per_host: setup.requests_per_host.max(1),
        };
        for row in 0..rows {
            let host = chance.usize(..turns.hosts.len());
            turns.hosts[host].waiting.push_back(row);
        }
        turns.ready = (0..turns.hosts.len())
            .filter(|host| !turns.hosts[*host].waiting.is_empty())
            .collect();
        turns
    }

    /// The host whose next row begins now.
    fn next(&mut self) -> Option<usize> {
        if self.free == 0 {
            return None;
        }
        let at = self.ready.pop_front()?;
        let host = &mut self.hosts[at];
        host.waiting.pop_front();
        host.under_way += 1;
        self.free -= 1;
        if !host.waiting.is_empty() && host.under_way < self.per_host {
            self.ready.push_back(at);
        }
        Some(at)
    }

    fn ended(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        let was_full = host.under_way == self.per_host;
        host.under_way -= 1;
        self.free += 1;
        if was_full && !host.waiting.is_empty() {
            self.ready.push_back(at);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    /// The first byte of an answer of this host came.
    Answered(usize),
    /// Its image is measured.
    Measured(usize),
}

/// Seconds from the first request of a full chunk to the last measured row.
pub(super) fn fetching_s(
    workload: &Workload,
    setup: &Setup,
    facts: &Facts,
    chance: &mut fastrand::Rng,
) -> f64 {
    let rows = setup.chunk_size.min(workload.rows_per_list());
    let mut turns = Turns::new(workload, setup, rows, chance);
    let transfer_s = workload.body_bytes / facts.platform.network_bytes_per_second.value;
    // Two processors work side by side; half of one takes twice as long.
    let share = setup.memory_mb as f64 / facts.platform.memory_per_vcpu_mb.value;
    let processors = share.ceil().max(1.0);
    let measure_s = workload.cpu_s * processors / share;
    let mut processors_free_s = vec![0.0_f64; processors as usize];
    let mut network_free_s = 0.0_f64;
    let mut steps: BinaryHeap<At<Step>> = BinaryHeap::new();
    let mut now_s = 0.0_f64;
    loop {
        while let Some(host) = turns.next() {
            let beyond = -(1.0 - LATENCY_FLOOR) * (1.0 - chance.f64()).ln();
            steps.push(At {
                s: now_s + workload.latency_s * (LATENCY_FLOOR + beyond),
                what: Step::Answered(host),
            });
        }
        let Some(step) = steps.pop() else {
            return now_s;
        };
        now_s = step.s;
        match step.what {
            Step::Answered(host) => {
                network_free_s = network_free_s.max(now_s) + transfer_s;
                // Whichever processor is free first.
                let first = processors_free_s.iter().copied().enumerate();
                let first = first.min_by(|left, right| left.1.total_cmp(&right.1));
                let (at, free_s) = first.unwrap_or((0, 0.0));
                let measured_s = free_s.max(network_free_s) + measure_s;
                processors_free_s[at] = measured_s;
                steps.push(At {
                    s: measured_s,
                    what: Step::Measured(host),
                });
            }
            Step::Measured(host) => turns.ended(host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(change: impl FnOnce(&mut Workload, &mut Setup)) -> f64 {
        let mut workload = Workload {
            latency_s: 0.2,
            cpu_s: 1e-6,
            body_bytes: 1.0,
            hosts: 1_000,
            ..Workload::default()
        };
        let mut setup = Setup {
            chunk_size: 1_000,
            requests: 50,
            requests_per_host: 50,
            ..Setup::default()
        };
        change(&mut workload, &mut setup);
        let facts = Facts::load(None).unwrap();
        fetching_s(&workload, &setup, &facts, &mut fastrand::Rng::with_seed(1))
    }

    fn assert_about(seconds: f64, expected: f64) {
        let ratio = seconds / expected;
        assert!(
            (0.9..1.15).contains(&ratio),
            "{seconds} s, not {expected} s"
        );
    }

    #[test]
    fn each_of_the_three_can_be_what_is_waited_for() {
        // 1,000 rows, fifty at a time, a fifth of a second each.
        assert_about(seconds(|_, _| ()), 4.0);
        assert_about(seconds(|workload, _| workload.cpu_s = 0.02), 20.0);
        let network = seconds(|workload, _| workload.body_bytes = 1.5e6);
        assert_about(network, 20.0);
    }

    #[test]
    fn a_host_is_asked_as_often_at_once_as_it_allows() {
        let one_host = |per_host| {
            seconds(|workload, setup| {
                workload.hosts = 1;
                setup.requests_per_host = per_host;
            })
        };
        assert_about(one_host(5), 40.0);
        assert_about(one_host(50), 4.0);
    }

    #[test]
    fn two_processors_do_twice_as_much_and_half_a_one_half() {
        let with = |memory_mb| {
            seconds(|workload, setup| {
                workload.cpu_s = 0.02;
                setup.memory_mb = memory_mb;
            })
        };
        assert_about(with(3_538), 10.0);
        assert_about(with(885), 40.0);
    }
}
