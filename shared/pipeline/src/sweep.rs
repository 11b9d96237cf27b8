//! Finds what stopped half way and sets it going again; settles what was given up. So that every batch ends.

use std::time::Duration;

use domain::ports::{BatchQuery, Delivery, Queue};
use domain::{Batch, BatchStatus, ChunkMessage, Outcome, ShardRef, SplitMessage};
use jiff::Timestamp;

use crate::analyze_chunk::{open_rows, settle};
use crate::commit::{commit, roll_up, send_finalize};
use crate::finalize::finalize;
use crate::objects;
use crate::send::{parse_message, send_one};
use crate::{PipelineResult, Ports, split};

/// Batches looked at in one query.
const PAGE: usize = 100;
/// Dead letters taken at once.
const DEAD_LETTERS: usize = 10;
/// How long dead letters stay hidden while they are settled.
const DEAD_LETTER_VISIBILITY: Duration = Duration::from_secs(60);

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Swept {
    /// Splits set going again.
    pub splits: u64,
    /// Batches whose completion was looked after: shards rolled up, finalize messages sent, reports written.
    pub completions: u64,
    /// Dead letters settled.
    pub dead_letters: u64,
}

/// Sweeps once. Batches that moved within the last `grace` are left alone: somebody is at work on them.
pub async fn sweep(ports: &Ports, grace: Duration) -> PipelineResult<Swept> {
    let mut swept = Swept::default();
    let before = ports.clock.now() - grace;
    for status in [
        BatchStatus::Queued,
        BatchStatus::Splitting,
        BatchStatus::Processing,
        BatchStatus::Completed,
    ] {
        for batch in stale_batches(ports, status, before).await? {
            // One that cannot be helped must not keep the others waiting.
            if let Err(error) = repair(ports, &batch, &mut swept).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(batch = %batch.id, error, "batch not repaired");
            }
        }
    }
    swept.dead_letters = settle_dead_letters(ports).await?;
    Ok(swept)
}

async fn stale_batches(
    ports: &Ports,
    status: BatchStatus,
    before: Timestamp,
) -> PipelineResult<Vec<Batch>> {
    let mut stale = Vec::new();
    let mut query = BatchQuery {
        status: Some(status),
        limit: PAGE,
        ..BatchQuery::default()
    };
    loop {
        let page = ports.store.list_batches(&query).await?;
        query.before = page.items.last().map(|batch| batch.id);
        let is_stale = |batch: &Batch| batch.updated_at <= before && !batch.report_ready;
        stale.extend(page.items.into_iter().filter(is_stale));
        if !page.more {
            return Ok(stale);
        }
    }
}

async fn repair(ports: &Ports, batch: &Batch, swept: &mut Swept) -> PipelineResult<()> {
    match batch.status {
        BatchStatus::Queued | BatchStatus::Splitting => {
            let message = SplitMessage {
                batch: batch.id,
                continuation: 0,
            };
            send_one(ports, Queue::Split, &message).await?;
            tracing::info!(batch = %batch.id, "split set going again");
            swept.splits += 1;
        }
        BatchStatus::Processing => {
            for shard in ports.store.shards(batch.id).await? {
                if shard.is_complete() {
                    let (batch, shard) = (batch.id, shard.shard);
                    roll_up(ports, ShardRef { batch, shard }).await?;
                    swept.completions += 1;
                }
            }
        }
        BatchStatus::Completed if batch.finalize_sent => {
            // The message is out, but nobody wrote the report within the grace: do it here.
            finalize(ports, batch.id).await?;
            swept.completions += 1;
        }
        BatchStatus::Completed => {
            send_finalize(ports, batch.id).await?;
            swept.completions += 1;
        }
        BatchStatus::Pending | BatchStatus::Failed | BatchStatus::Cancelled => {}
    }
    Ok(())
}

/// Gives the open rows of dead chunks the outcome `poisoned`, fails batches whose split is dead, and drops what repeats by itself.
async fn settle_dead_letters(ports: &Ports) -> PipelineResult<u64> {
    let mut settled = 0;
    for queue in Queue::ALL {
        loop {
            let letters = ports
                .queue
                .receive_dead(*queue, DEAD_LETTERS, DEAD_LETTER_VISIBILITY)
                .await?;
            if letters.is_empty() {
                break;
            }
            for letter in &letters {
                // It stays hidden for a while, and the others have their turn.
                if let Err(error) = settle_dead_letter(ports, *queue, letter).await {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(%queue, body = letter.body, error, "dead letter not settled");
                    continue;
                }
                ports
                    .queue
                    .delete_dead(*queue, std::slice::from_ref(&letter.receipt))
                    .await?;
                settled += 1;
            }
        }
    }
    Ok(settled)
}

async fn settle_dead_letter(ports: &Ports, queue: Queue, letter: &Delivery) -> PipelineResult<()> {
    match queue {
        Queue::Chunks => {
            let Ok(message) = parse_message::<ChunkMessage>(queue, &letter.body) else {
                tracing::error!(body = letter.body, "malformed dead letter dropped");
                return Ok(());
            };
            settle_poisoned(ports, &message).await
        }
        Queue::Split => {
            let Ok(message) = parse_message::<SplitMessage>(queue, &letter.body) else {
                tracing::error!(body = letter.body, "malformed dead letter dropped");
                return Ok(());
            };
            let reason =
                "the list could not be split after several attempts; see the log for the fault";
            split::fail(ports, message.batch, reason).await
        }
        // The report is written by the sweep itself; indicators of one part are no reason to stop.
        _ => {
            tracing::error!(%queue, body = letter.body, "dead letter dropped");
            Ok(())
        }
    }
}

async fn settle_poisoned(ports: &Ports, message: &ChunkMessage) -> PipelineResult<()> {
    if ports.store.batch(message.part.batch).await?.is_none() {
        return Ok(());
    }
    let manifest = if let Some(stored) = objects::read_manifest(ports, message.part).await? {
        stored
    } else {
        let rows = open_rows(ports, message.part).await?;
        let detail = "its chunk failed again and again and was given up";
        settle(ports, message, &rows, Outcome::Poisoned, detail).await?
    };
    tracing::warn!(part = %message.part, "chunk given up");
    commit(ports, &manifest).await
}
