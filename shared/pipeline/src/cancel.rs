//! Stops a batch for good: nothing more is fetched for it.
//!
//! The move is all that happens here. Parts under way notice it (see [`crate::control`]) and end their open rows as `cancelled`;
//! chunks that wait are settled the same way when their turn comes; a list that is still being split is split to its end, so that the
//! counts add up to the whole list. When every row has its result, the report is written.

use domain::ports::{Advance, BatchChange};
use domain::{BatchId, BatchStatus};

use crate::commit::send_finalize;
use crate::finalize::is_settled;
use crate::{PipelineResult, Ports};

/// Cancels a batch. One that is cancelled already stays so; one that ended in another way stays as it is.
pub async fn cancel(ports: &Ports, id: BatchId) -> PipelineResult<Advance> {
    let now = ports.clock.now();
    let change = BatchChange {
        ended_at: Some(now),
        ..BatchChange::to(BatchStatus::Cancelled)
    };
    let advance = ports
        .store
        .advance(id, BatchStatus::OPEN, &change, now)
        .await?;
    let Some(batch) = ports.store.batch(id).await? else {
        return Ok(Advance::Missing);
    };
    if batch.status == BatchStatus::Cancelled && is_settled(ports, &batch).await? {
        // One that was not begun has no part that would send it.
        send_finalize(ports, id).await.map(drop)?;
    }
    Ok(advance)
}
