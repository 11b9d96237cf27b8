//! The same workload by discrete-event simulation: chunks, messages, pollers, functions and their cold starts, with chance in it.
//!
//! It shares the inputs with the model and nothing else: the time of a chunk comes from simulated requests that queue for a
//! simulated processor and network, not from queueing theory. What the two agree on is not an artefact of either.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};

use serde::Serialize;

use crate::facts::Facts;
use crate::function::{BEGIN_S, COMMIT_S, SOFT_DEADLINE_S, demands, requests_under_way};
use crate::timeline::{
    CHUNKS_PER_SHARD, FINALIZE_START_S, LONGEST_STRAGGLER_PART_S, Ramp, SPLIT_START_S,
    STRAGGLER_DELAY_S,
};
use crate::workload::{Setup, Workload};

/// Chunks that are simulated row by row; the others take a time drawn from theirs.
const CHUNKS_IN_DETAIL: usize = 8;
/// Seconds that a new execution environment takes before its first event.
const COLD_START_S: f64 = 0.25;
/// Share of the messages that come twice, and what the second costs: a look at the stored result.
const REPEATED: f64 = 0.002;
const REPEAT_S: f64 = 0.3;
/// Share of latencies beyond the mean that an exponential tail describes.
const LATENCY_FLOOR: f64 = 0.5;

/// What a simulated run came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Simulated {
    /// Seconds for all lists, one after another.
    pub total_s: f64,
    /// Seconds for which analyze functions were billed.
    pub billed_s: f64,
    /// Analyze invocations.
    pub invocations: u64,
    /// Environments started.
    pub cold_starts: u64,
    /// Most functions at work at once.
    pub functions: u64,
    /// Mean time of a chunk, in seconds.
    pub chunk_s: f64,
}

/// Something that happens at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Event {
    at_s: f64,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// The messages of a shard are sent.
    Sent { chunks: u64 },
    /// A delayed message can be received.
    Visible(Work),
    /// A function is done.
    Done(Work),
    /// Pollers may be more by now.
    Ramped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Chunk,
    Stragglers,
    Repeat,
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    /// The heap gives the greatest first: that is the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.at_s.total_cmp(&self.at_s)
    }
}

/// Runs `workload` with `setup`; the same seed gives the same run.
pub fn simulate(workload: &Workload, setup: &Setup, facts: &Facts, seed: u64) -> Simulated {
    let mut chance = fastrand::Rng::with_seed(seed);
    let detailed: Vec<f64> = (0..CHUNKS_IN_DETAIL)
        .map(|_| chunk_in_detail(workload, setup, facts, &mut chance))
        .collect();
    let chunk_s = detailed.iter().sum::<f64>() / detailed.len() as f64;
    let mut result = Simulated {
        total_s: 0.0,
        billed_s: 0.0,
        invocations: 0,
        cold_starts: 0,
        functions: 0,
        chunk_s,
    };
    for _ in 0..workload.lists() {
        let mut list = List {
            ramp: Ramp::new(setup, &facts.platform),
            detailed: &detailed,
            straggler_share: workload.straggler_share,
            chance: &mut chance,
            events: BinaryHeap::new(),
            visible: VecDeque::new(),
            first_message_s: None,
            running: 0,
            idle: 0,
            open: workload.chunks_per_list(setup),
            result: &mut result,
        };
        let analyzed_s = list.run(workload, setup);
        let rows = workload.rows_per_list() as f64;
        result.total_s += analyzed_s + FINALIZE_START_S + rows / setup.finalize_rows_per_s;
    }
    result
}

/// One list on its way.
struct List<'a> {
    ramp: Ramp,
    detailed: &'a [f64],
    straggler_share: f64,
    chance: &'a mut fastrand::Rng,
    events: BinaryHeap<Event>,
    visible: VecDeque<Work>,
    first_message_s: Option<f64>,
    running: u64,
    /// Environments that wait for an event.
    idle: u64,
    /// Chunks that are not committed to their last row.
    open: u64,
    result: &'a mut Simulated,
}

impl List<'_> {
    /// Seconds until the last row is committed.
    fn run(&mut self, workload: &Workload, setup: &Setup) -> f64 {
        self.send_shards(workload, setup);
        let mut now_s = 0.0;
        while self.open > 0 {
            let Some(event) = self.events.pop() else {
                break;
            };
            now_s = event.at_s;
            match event.what {
                What::Sent { chunks } => {
                    self.first_message_s.get_or_insert(now_s);
                    self.visible.extend((0..chunks).map(|_| Work::Chunk));
                }
                What::Visible(work) => self.visible.push_back(work),
                What::Done(work) => self.end(work, now_s),
                What::Ramped => {}
            }
            self.begin(now_s);
        }
        now_s
    }

    fn send_shards(&mut self, workload: &Workload, setup: &Setup) {
        let mut left = self.open;
        let mut rows = 0;
        while left > 0 {
            let chunks = left.min(CHUNKS_PER_SHARD);
            left -= chunks;
            rows = (rows + chunks * setup.chunk_size).min(workload.rows_per_list());
            self.events.push(Event {
                at_s: SPLIT_START_S + rows as f64 / setup.split_rows_per_s,
                what: What::Sent { chunks },
            });
        }
    }

    fn begin(&mut self, now_s: f64) {
        let polled_s = now_s - self.first_message_s.unwrap_or(now_s);
        let allowed = self.ramp.at(polled_s) as u64;
        while self.running < allowed {
            let Some(work) = self.visible.pop_front() else {
                return;
            };
            self.running += 1;
            let cold_s = if self.idle > 0 {
                self.idle -= 1;
                0.0
            } else {
                self.result.cold_starts += 1;
                COLD_START_S
            };
            let work_s = cold_s + self.time_of(work);
            self.result.billed_s += work_s;
            self.result.invocations += 1;
            self.result.functions = self.result.functions.max(self.running);
            self.at(now_s + work_s, What::Done(work));
        }
        if !self.visible.is_empty() && (allowed as f64) < self.ramp.most {
            self.at(now_s + 0.5, What::Ramped);
        }
    }

    fn end(&mut self, work: Work, now_s: f64) {
        self.running -= 1;
        self.idle += 1;
        match work {
            Work::Chunk => {
                if self.chance.f64() < REPEATED {
                    self.at(now_s, What::Visible(Work::Repeat));
                }
                if self.chance.f64() < self.straggler_share {
                    let later_s = now_s + STRAGGLER_DELAY_S;
                    self.at(later_s, What::Visible(Work::Stragglers));
                } else {
                    self.open -= 1;
                }
            }
            Work::Stragglers => self.open -= 1,
            Work::Repeat => {}
        }
    }

    fn time_of(&mut self, work: Work) -> f64 {
        match work {
            Work::Chunk => self.detailed[self.chance.usize(..self.detailed.len())],
            // Some are quick, some as slow as their hosts.
            Work::Stragglers => LONGEST_STRAGGLER_PART_S * self.chance.f64(),
            Work::Repeat => REPEAT_S,
        }
    }

    fn at(&mut self, at_s: f64, what: What) {
        self.events.push(Event { at_s, what });
    }
}

/// The time of one chunk, row by row: so many requests under way, each first waiting for its host, then for the network, then for a
/// processor, both of which serve one after another.
fn chunk_in_detail(
    workload: &Workload,
    setup: &Setup,
    facts: &Facts,
    chance: &mut fastrand::Rng,
) -> f64 {
    let requests = requests_under_way(workload, setup);
    let (cpu_s, network_s) = demands(workload, setup, facts);
    let rows = setup.chunk_size.min(workload.rows_per_list());
    let mut answered = BinaryHeap::new();
    let mut begun = 0;
    let mut begin = |now_s: f64, answered: &mut BinaryHeap<Event>| {
        if begun < rows {
            begun += 1;
            let spread = 1.0 - LATENCY_FLOOR;
            let latency = LATENCY_FLOOR - spread * (1.0 - chance.f64()).ln();
            answered.push(Event {
                at_s: now_s + workload.latency_s * latency,
                what: What::Ramped,
            });
        }
    };
    for _ in 0..requests {
        begin(0.0, &mut answered);
    }
    let (mut network_free_s, mut cpu_free_s, mut end_s) = (0.0_f64, 0.0_f64, 0.0_f64);
    // First come, first served at both; requests come to the network in the order of their answers.
    while let Some(answer) = answered.pop() {
        network_free_s = network_free_s.max(answer.at_s) + network_s;
        cpu_free_s = cpu_free_s.max(network_free_s) + cpu_s;
        end_s = end_s.max(cpu_free_s);
        begin(cpu_free_s, &mut answered);
    }
    let parts = (end_s / SOFT_DEADLINE_S).ceil().max(1.0);
    end_s + (BEGIN_S + COMMIT_S) * parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan;
    use crate::workload::Pollers;

    fn ratio_of_times(workload: &Workload, setup: &Setup) -> (f64, f64) {
        let facts = Facts::load(None).unwrap();
        let model = plan(workload, setup, &facts);
        let simulated = simulate(workload, setup, &facts, 1);
        let billed = crate::cost::billed_s(workload, setup, &model.chunk);
        (
            model.timeline.total_s / simulated.total_s,
            billed / simulated.billed_s,
        )
    }

    fn assert_agree(workload: &Workload, setup: &Setup) {
        let (time, billed) = ratio_of_times(workload, setup);
        let agrees = 0.85..1.0 / 0.85;
        assert!(
            agrees.contains(&time),
            "time {time}: {workload:?} {setup:?}"
        );
        assert!(
            agrees.contains(&billed),
            "billed {billed}: {workload:?} {setup:?}"
        );
    }

    #[test]
    fn model_and_simulation_agree_on_fifteen_million_rows() {
        let workload = Workload {
            urls: 15_000_000,
            ..Workload::default()
        };
        assert_agree(&workload, &Setup::default());
    }

    #[test]
    fn they_agree_whatever_holds_the_work_up() {
        let base = Workload {
            urls: 3_000_000,
            ..Workload::default()
        };
        let setups = [
            Setup::default(),
            Setup {
                pollers: Pollers::Standard,
                ..Setup::default()
            },
            Setup {
                functions: 50,
                chunk_size: 500,
                ..Setup::default()
            },
            Setup {
                split_rows_per_s: 20_000.0,
                ..Setup::default()
            },
        ];
        for setup in setups {
            for (latency_s, body_bytes, cpu_s) in [
                (0.3, 150_000.0, 0.006),
                (2.0, 150_000.0, 0.003),
                (0.1, 1_500_000.0, 0.006),
            ] {
                let workload = Workload {
                    body_bytes,
                    latency_s,
                    cpu_s,
                    ..base.clone()
                };
                assert_agree(&workload, &setup);
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_run() {
        let facts = Facts::load(None).unwrap();
        let run = |seed| simulate(&Workload::default(), &Setup::default(), &facts, seed);
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }
}
