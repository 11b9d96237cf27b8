//! Lets the rows in a chunk follow what is measured: so many that a part works for 15 to 40 seconds.

use domain::Minute;
use domain::ports::MonitoringStore;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tuning::{Band, Change, Knob, KnobName};

use crate::observe::{document, keep_document};
use crate::{PipelineResult, Ports};

/// Name of the document that holds what was set, and why.
const DOCUMENT: &str = "chunk-size";
/// Changes that it holds.
const KEPT_CHANGES: usize = 20;
/// Minutes that are looked at. After a change as many have to pass, for parts that were cut before it to be over.
const MINUTES: i64 = 15;
/// Fewer parts in that time say little.
const LEAST_PARTS: u64 = 20;
/// Seconds of work in a part. Less pays too much for commits and messages; more is lost with a process, and leaves functions idle at the end.
const SECONDS: Band = Band {
    least: 15.0,
    most: 40.0,
    aim: 25.0,
};

/// Rows in a chunk, at least and at most, and what they are until something was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkSizes {
    /// At least.
    pub least: u32,
    /// At most.
    pub most: u32,
    /// What the stack was set up with.
    pub start: u32,
}

impl ChunkSizes {
    fn knob(&self, value: u64) -> Knob {
        let (least, most) = (u64::from(self.least), u64::from(self.most));
        Knob::new(KnobName::ChunkSize, least, most, value)
    }
}

/// What was set.
#[derive(Debug, Serialize, Deserialize)]
struct Tuned {
    chunk_size: u64,
    changes: Vec<Dated>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Dated {
    at: Timestamp,
    #[serde(flatten)]
    change: Change,
}

/// The rows that a chunk of the next list is to have. What was set outside of `sizes` is moved to their nearer end.
pub async fn chunk_size(
    monitoring: &dyn MonitoringStore,
    sizes: &ChunkSizes,
) -> PipelineResult<u32> {
    let tuned = document::<Tuned>(monitoring, DOCUMENT).await?;
    let value = tuned.map_or_else(|| u64::from(sizes.start), |tuned| tuned.chunk_size);
    Ok(sizes.knob(value).value as u32)
}

/// Looks at the last minutes and sets what the next lists are cut into. Says what was changed, if anything was.
pub async fn tune_chunk_size(
    ports: &Ports,
    monitoring: &dyn MonitoringStore,
    sizes: &ChunkSizes,
) -> PipelineResult<Option<Change>> {
    let now = ports.clock.now();
    let tuned = document::<Tuned>(monitoring, DOCUMENT)
        .await?
        .unwrap_or_else(|| Tuned {
            chunk_size: u64::from(sizes.start),
            changes: Vec::new(),
        });
    let last = tuned.changes.last().map(|change| change.at);
    if last.is_some_and(|last| last + SignedDuration::from_mins(MINUTES) > now) {
        return Ok(None);
    }
    let to = Minute::of(now);
    let kpis = ports.store.kpis(Minute(to.0 - MINUTES + 1), to).await?;
    let sum =
        |of: fn(&domain::KpiDelta) -> u64| kpis.iter().map(|(_, delta)| of(delta)).sum::<u64>();
    let (parts, rows) = (sum(|delta| delta.parts), sum(|delta| delta.counters.rows));
    if parts < LEAST_PARTS || rows == 0 {
        return Ok(None);
    }
    let seconds_per_row = sum(|delta| delta.busy_ms) as f64 / 1_000.0 / rows as f64;
    let knob = sizes.knob(tuned.chunk_size);
    let Some(change) = SECONDS.change(&knob, seconds_per_row, "s of work in a chunk") else {
        return Ok(None);
    };
    keep(monitoring, tuned, &change, now).await?;
    change.log();
    Ok(Some(change))
}

async fn keep(
    monitoring: &dyn MonitoringStore,
    mut tuned: Tuned,
    change: &Change,
    now: Timestamp,
) -> PipelineResult<()> {
    tuned.chunk_size = change.to;
    tuned.changes.push(Dated {
        at: now,
        change: change.clone(),
    });
    let surplus = tuned.changes.len().saturating_sub(KEPT_CHANGES);
    tuned.changes.drain(..surplus);
    keep_document(monitoring, DOCUMENT, &tuned).await
}
