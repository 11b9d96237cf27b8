//! How long a whole list takes: split, the ramp of the platform, the work, and what comes after it.

use serde::Serialize;

use crate::assumptions::{
    CHUNKS_PER_SHARD, FINALIZE_START_S, LONGEST_STRAGGLER_PART_S, SPLIT_START_S, STRAGGLER_DELAY_S,
};
use crate::facts::{Facts, Platform};
use crate::function::ChunkTime;
use crate::workload::{Pollers, Setup, Workload};

/// Seconds that a part with rows of slow hosts works on average.
pub(crate) const STRAGGLER_PART_S: f64 = LONGEST_STRAGGLER_PART_S / 2.0;

/// When things are done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timeline {
    /// Seconds until the last chunk of a list is queued.
    pub split_s: f64,
    /// Seconds until as many functions run as ever will.
    pub ramp_s: f64,
    /// Seconds until the last row of a list is committed.
    pub analyze_s: f64,
    /// Seconds until the last label is there; 0 without vision.
    pub vision_s: f64,
    /// Seconds that the report takes.
    pub finalize_s: f64,
    /// Seconds for one list, from the end of its upload to its report.
    pub list_s: f64,
    /// Seconds for all lists, one after another.
    pub total_s: f64,
    /// Most functions at work at once.
    pub functions: u64,
}

/// Functions at once, as they grow: some at the start, more every second, up to a limit.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ramp {
    first: f64,
    per_s: f64,
    most: f64,
}

impl Ramp {
    /// What pollers and the function's own scaling allow together.
    fn new(setup: &Setup, platform: &Platform) -> Self {
        let environments_per_s = platform.concurrency_ramp_per_10_s.value / 10.0;
        let most = setup.functions as f64;
        let (first, per_s, most_polled) = match setup.pollers {
            Pollers::Standard => (
                platform.standard_pollers_first.value,
                platform.standard_pollers_per_minute.value / 60.0,
                platform.standard_pollers_most.value,
            ),
            Pollers::Provisioned { at_least } => (
                f64::from(at_least) * platform.provisioned_invokes_per_poller.value,
                platform.provisioned_invokes_per_minute.value / 60.0,
                f64::INFINITY,
            ),
        };
        let most = most.min(most_polled).min(platform.sqs_in_flight_most.value);
        Self {
            // The first ten seconds' worth of environments is there at once.
            first: first
                .min(platform.concurrency_ramp_per_10_s.value)
                .min(most),
            per_s: per_s.min(environments_per_s),
            most,
        }
    }

    /// Functions at once, `seconds` after the first message.
    fn at(&self, seconds: f64) -> f64 {
        (self.first + self.per_s * seconds).min(self.most)
    }

    fn full_after_s(&self) -> f64 {
        (self.most - self.first).max(0.0) / self.per_s
    }

    /// Seconds until so many function-seconds are worked.
    fn time_for(&self, work_s: f64) -> f64 {
        let full_s = self.full_after_s();
        let until_full = self.first.midpoint(self.most) * full_s;
        if work_s > until_full {
            return full_s + (work_s - until_full) / self.most;
        }
        // first · t + per_s / 2 · t² = work
        let root = (self.first * self.first + 2.0 * self.per_s * work_s).sqrt();
        (root - self.first) / self.per_s
    }
}

/// How long `workload` takes with `setup`, given one chunk's time.
pub fn timeline(workload: &Workload, setup: &Setup, facts: &Facts, chunk: &ChunkTime) -> Timeline {
    let rows = workload.rows_per_list() as f64;
    let chunks = workload.chunks_per_list(setup) as f64;
    let split_s = SPLIT_START_S + rows / setup.split_rows_per_s;
    let shard_rows = (CHUNKS_PER_SHARD * setup.chunk_size) as f64;
    let first_shard_s = SPLIT_START_S + shard_rows.min(rows) / setup.split_rows_per_s;
    let ramp = Ramp::new(setup, &facts.platform);
    let chunk_and_stragglers_s = chunk.total_s + workload.straggler_share * STRAGGLER_PART_S;
    // Functions end at different times: on average half a part's time passes between the first to be idle and the last. Where few
    // parts meet many functions, these work in step, and the last round takes as long as a full one.
    let parts = chunk.parts as f64;
    let part_s = chunk.total_s / parts;
    let worked_s = ramp.time_for(chunks * chunk_and_stragglers_s) + part_s / 2.0;
    let in_step_s = (chunks * parts / ramp.most).ceil() * part_s;
    // The parts of one chunk come one after another, each with a pause before it.
    let one_chunk_s = chunk.total_s + (parts - 1.0) * STRAGGLER_DELAY_S;
    let by_functions_s = first_shard_s + worked_s.max(in_step_s).max(one_chunk_s);
    let by_split_s = split_s + one_chunk_s;
    let has_stragglers = workload.straggler_share * chunks >= 1.0;
    let stragglers_s = if has_stragglers {
        STRAGGLER_DELAY_S + LONGEST_STRAGGLER_PART_S
    } else {
        0.0
    };
    let analyze_s = by_functions_s.max(by_split_s) + stragglers_s;
    let vision_s = workload.vision.as_ref().map_or(0.0, |vision| {
        let calls_per_s = f64::from(vision.keys) * vision.calls_per_minute / 60.0;
        first_shard_s + chunk.total_s + rows * vision.distinct_share / calls_per_s
    });
    let finalize_s = FINALIZE_START_S + rows / setup.finalize_rows_per_s;
    let list_s = analyze_s.max(vision_s) + finalize_s;
    Timeline {
        split_s,
        ramp_s: ramp.full_after_s(),
        analyze_s,
        vision_s,
        finalize_s,
        list_s,
        total_s: list_s * workload.lists() as f64,
        functions: ramp.at(analyze_s).min(chunks) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn standard_pollers_need_minutes_where_provisioned_ones_are_there() {
        let facts = Facts::load(None).unwrap();
        let standard = Setup {
            pollers: Pollers::Standard,
            ..Setup::default()
        };
        let slow = Ramp::new(&standard, &facts.platform);
        assert!((slow.at(60.0) - 305.0).abs() < 1e-9);
        let quick = Ramp::new(&Setup::default(), &facts.platform);
        assert!((quick.at(0.0) - 950.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn the_work_done_in_the_time_for_it_is_that_work(
            first in 1.0..500.0_f64, per_s in 0.1..100.0_f64, more in 0.0..2_000.0_f64, work in 1.0..1e6_f64,
        ) {
            let ramp = Ramp { first, per_s, most: first + more };
            let end = ramp.time_for(work);
            let steps = 20_000;
            let step = end / f64::from(steps);
            let done: f64 = (0..steps).map(|n| ramp.at((f64::from(n) + 0.5) * step) * step).sum();
            prop_assert!((done - work).abs() < work * 1e-3, "{done} {work}");
        }
    }
}
