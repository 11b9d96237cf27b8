//! How far a batch is.

use domain::{Batch, BatchId, Counters};
use serde::Serialize;

use crate::{PipelineResult, Ports};

/// Counts of a batch that add up to its rows, and how fast it goes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Progress {
    /// Rows of the list; of what is split so far while it is being split, and `None` before.
    pub rows_total: Option<u64>,
    /// Rows with a terminal result.
    pub rows_done: u64,
    /// Rows whose image loaded.
    pub ok: u64,
    /// Rows that failed; repeated URLs are neither.
    pub failed: u64,
    /// Everything that is counted.
    #[serde(flatten)]
    pub counters: Counters,
    /// Rows a second since the split began.
    pub rate_per_s: Option<f64>,
    /// Seconds to the end at that rate; `None` when it has ended or cannot be told.
    pub eta_s: Option<f64>,
}

/// A batch with its progress, or `None` when there is none with this id.
pub async fn progress(ports: &Ports, id: BatchId) -> PipelineResult<Option<(Batch, Progress)>> {
    let Some(batch) = ports.store.batch(id).await? else {
        return Ok(None);
    };
    let counters = total(ports, id).await?;
    let rate_per_s = batch
        .active_s(ports.clock.now())
        .filter(|seconds| *seconds > 0.0)
        .map(|seconds| counters.rows as f64 / seconds);
    let rows_total = match batch.totals {
        Some(totals) => Some(totals.rows),
        None => Some(batch.checkpoint.rows).filter(|rows| *rows > 0),
    };
    let eta_s = match (batch.status.is_terminal(), batch.totals, rate_per_s) {
        (false, Some(totals), Some(rate)) if rate > 0.0 => {
            Some(totals.rows.saturating_sub(counters.rows) as f64 / rate)
        }
        _ => None,
    };
    let progress = Progress {
        rows_total,
        rows_done: counters.rows,
        ok: counters.ok(),
        failed: counters.failed(),
        counters,
        rate_per_s,
        eta_s,
    };
    Ok(Some((batch, progress)))
}

/// The sum over all shards of a batch.
pub async fn total(ports: &Ports, id: BatchId) -> PipelineResult<Counters> {
    let mut counters = Counters::default();
    for shard in ports.store.shards(id).await? {
        counters += &shard.counters;
    }
    Ok(counters)
}
