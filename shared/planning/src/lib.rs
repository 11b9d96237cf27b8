//! What a list costs on AWS and how long it takes, before anything is spent.
//!
//! | file | what |
//! |---|---|
//! | [`workload`] | what is to be done, and how the stack is set up |
//! | [`facts`] | dated prices and limits of the platform, from `data/` |
//! | [`assumptions`] | what is assumed of our own program |
//! | [`function`] | how long one chunk takes inside one function |
//! | [`timeline`] | how long the whole list takes under the platform's ramp |
//! | [`cost`] | what that costs, line by line |
//! | [`advice`] | the bottleneck, and a better set-up |
//! | [`simulate`] | the same by discrete-event simulation, to check the model |

pub mod advice;
pub mod assumptions;
pub mod cost;
pub mod facts;
pub mod function;
pub mod simulate;
pub mod timeline;
pub mod workload;

use serde::Serialize;

use cost::Cost;
use facts::Facts;
use function::ChunkTime;
use timeline::Timeline;
use workload::{Setup, Workload};

/// What a workload comes to with a set-up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// What is to be done.
    pub workload: Workload,
    /// With what.
    pub setup: Setup,
    /// Chunks in all.
    pub chunks: u64,
    /// One chunk's time.
    pub chunk: ChunkTime,
    /// The whole list's time.
    pub timeline: Timeline,
    /// What it costs.
    pub cost: Cost,
}

/// Works out what `workload` comes to with `setup`.
pub fn plan(workload: &Workload, setup: &Setup, facts: &Facts) -> Plan {
    let chunk = function::chunk_time(workload, setup, facts);
    let timeline = timeline::timeline(workload, setup, facts, &chunk);
    let cost = cost::cost(workload, setup, facts, &chunk, &timeline);
    Plan {
        workload: workload.clone(),
        setup: setup.clone(),
        chunks: workload.chunks(setup),
        chunk,
        timeline,
        cost,
    }
}
