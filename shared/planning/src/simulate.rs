//! The same workload by discrete-event simulation: rows at hosts, network and processors; messages, pollers, environments and their cold
//! starts, throttles and retries; a model's keys. With chance in it.
//!
//! It shares the inputs with the model, and [`crate::assumptions`], and nothing else: no formula, no ramp, no queueing theory. What the two
//! agree on is not an artefact of either.
//!
//! | file | what |
//! |---|---|
//! | `chunk` | one chunk in one function, row by row |
//! | `platform` | one list on its way through queue, pollers and functions, event by event |
//! | `labels` | the calls of the vision stage, second by second |

#[cfg(test)]
mod agreement;
mod chunk;
mod labels;
mod platform;

use serde::Serialize;

use crate::assumptions::FINALIZE_START_S;
use crate::facts::Facts;
use crate::workload::{Setup, Workload};

/// Rows that are simulated one by one, in as many chunks as they make; all other chunks take a time drawn from theirs.
const ROWS_IN_DETAIL: u64 = 40_000;
/// Fewer chunks than this would be too few to draw from, more add nothing.
const CHUNKS_IN_DETAIL: std::ops::RangeInclusive<u64> = 3..=50;

/// What a simulated run came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Simulated {
    /// Seconds for all lists, one after another.
    pub total_s: f64,
    /// Seconds for which analyze functions were billed.
    pub billed_s: f64,
    /// Analyze invocations.
    pub invocations: u64,
    /// Invocations that were refused, and tried again later.
    pub throttles: u64,
    /// Environments started.
    pub cold_starts: u64,
    /// Most functions at work at once.
    pub functions: u64,
    /// Mean time of a chunk, in seconds.
    pub chunk_s: f64,
    /// Seconds until the last label of a list is there; 0 without vision.
    pub vision_s: f64,
    /// Calls of the vision stage.
    pub calls: u64,
}

/// Runs `workload` with `setup`; the same seed gives the same run.
pub fn simulate(workload: &Workload, setup: &Setup, facts: &Facts, seed: u64) -> Simulated {
    let mut chance = fastrand::Rng::with_seed(seed);
    let chunks = ROWS_IN_DETAIL / setup.chunk_size.max(1);
    let chunks = chunks.clamp(*CHUNKS_IN_DETAIL.start(), *CHUNKS_IN_DETAIL.end());
    let detailed: Vec<f64> = (0..chunks)
        .map(|_| chunk::fetching_s(workload, setup, facts, &mut chance))
        .collect();
    let mut result = Simulated {
        chunk_s: detailed
            .iter()
            .map(|work_s| platform::alone_s(*work_s))
            .sum::<f64>()
            / chunks as f64,
        ..Simulated::default()
    };
    for _ in 0..workload.lists() {
        let list = platform::run(workload, setup, facts, &detailed, &mut chance);
        let labelled_s = workload.vision.as_ref().map_or(0.0, |vision| {
            let (done_s, calls) = labels::run(vision, &list.chunks_done_s, workload, &mut chance);
            result.calls += calls;
            done_s
        });
        result.vision_s = result.vision_s.max(labelled_s);
        result.billed_s += list.billed_s;
        result.invocations += list.invocations;
        result.throttles += list.throttles;
        result.cold_starts += list.cold_starts;
        result.functions = result.functions.max(list.functions);
        let report_s = workload.rows_per_list() as f64 / setup.finalize_rows_per_s;
        result.total_s += list.analyzed_s.max(labelled_s) + FINALIZE_START_S + report_s;
    }
    result
}

/// When something happens; the earliest is the greatest, because heaps give the greatest first.
#[derive(Debug, Clone, Copy, PartialEq)]
struct At<T> {
    s: f64,
    what: T,
}

impl<T: PartialEq> Eq for At<T> {}

impl<T: PartialEq> PartialOrd for At<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: PartialEq> Ord for At<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.s.total_cmp(&self.s)
    }
}
