//! Deletes batches that ended long ago, where somebody asked for that and nothing else does it: on AWS the table drops its items and the
//! bucket its objects by themselves.

use std::time::Duration;

use domain::ports::BatchQuery;
use domain::{Batch, BatchStatus};
use jiff::Timestamp;

use crate::delete::{Deletion, delete};
use crate::sweep::Swept;
use crate::{PipelineResult, Ports};

/// Batches looked at in one query.
const PAGE: usize = 100;

/// Deletes every batch that ended more than `keep` ago, with everything that belongs to it, and counts it in `swept`, which holds when the
/// caller drops this half way. One that cannot be deleted does not keep the others.
pub async fn expire(ports: &Ports, keep: Duration, swept: &mut Swept) -> PipelineResult<()> {
    let before = ports.clock.now() - keep;
    for status in [
        BatchStatus::Completed,
        BatchStatus::Failed,
        BatchStatus::Cancelled,
    ] {
        let mut query = BatchQuery {
            status: Some(status),
            limit: PAGE,
            ..BatchQuery::default()
        };
        loop {
            let page = ports.store.list_batches(&query).await?;
            query.before = page.items.last().map(|batch| batch.id);
            for batch in page.items.iter().filter(|batch| is_over(batch, before)) {
                match delete(ports, batch.id).await {
                    Ok(deletion) => swept.expired += u64::from(deletion == Deletion::Deleted),
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(batch = %batch.id, error, "expired batch not deleted");
                    }
                }
            }
            if !page.more {
                break;
            }
        }
    }
    Ok(())
}

fn is_over(batch: &Batch, before: Timestamp) -> bool {
    batch.ended_at.unwrap_or(batch.updated_at) <= before
}
