//! Makes a finished part count, exactly once: steps 2 to 5 of the commit, after its results are stored.
//!
//! Every step is idempotent, and every step is taken again when a message comes again: wherever the process dies, the
//! next delivery, or the sweep, carries on from there.

use std::time::Duration;

use domain::ports::{Advance, BatchChange, PartCommit, Queue};
use domain::{
    BatchId, BatchStatus, ChunkMessage, FinalizeMessage, MetricsMessage, ShardRef, VisionMessage,
};

use crate::label_images::vision_queue;
use crate::objects::Manifest;
use crate::send::{send_all, send_one};
use crate::{PipelineResult, Ports};

/// States in which a batch has a report.
pub(crate) const REPORTED: &[BatchStatus] = &[BatchStatus::Completed, BatchStatus::Cancelled];

/// Counts the part that `manifest` describes, sends what follows from it, and completes shard and batch if it was their last.
pub(crate) async fn commit(ports: &Ports, manifest: &Manifest) -> PipelineResult<()> {
    let part = manifest.part;
    let commit = PartCommit {
        part,
        counters: manifest.delta.counters.clone(),
        has_leftover: !manifest.leftover.is_empty(),
        begins_labelling: manifest.labelling.is_some(),
        retracted: manifest
            .retry
            .as_ref()
            .map(|taken_back| taken_back.counters.clone()),
    };
    let committed = ports.store.commit_part(&commit).await?;
    if commit.has_leftover {
        let next = ChunkMessage {
            part: part.next(),
            deferrals: manifest.deferrals,
            // A retry begins anew.
            parts_before: match manifest.retry {
                Some(_) => 0,
                None => manifest.parts_before + 1,
            },
        };
        let delay = Duration::from_secs(manifest.delay_s);
        send_all(ports, Queue::Chunks, &[next], delay).await?;
    }
    if let Some(priority) = manifest.labelling {
        let message = VisionMessage { part, step: 0 };
        send_one(ports, vision_queue(priority), &message).await?;
    }
    if committed.shard_complete {
        roll_up(ports, part.shard()).await?;
    }
    if manifest.retry.is_some() {
        return Ok(());
    }
    let mut metrics = MetricsMessage {
        part,
        minute: manifest.minute,
        delta: manifest.delta.clone(),
    };
    metrics.delta.counters.attempts -= manifest.attempts_known;
    send_one(ports, Queue::Metrics, &metrics).await
}

/// Marks a complete shard in its batch and completes the batch if it was the last; a batch that was cancelled stays so, and is
/// settled then. Does nothing when there is nothing to do. Whether it marked the shard.
pub(crate) async fn roll_up(ports: &Ports, shard: ShardRef) -> PipelineResult<bool> {
    let Some(progress) = ports.store.close_shard(shard).await? else {
        return Ok(false);
    };
    if progress.is_complete() {
        complete(ports, shard.batch).await?;
    } else if progress.status == BatchStatus::Completed {
        // Whoever completed it may have died before it sent.
        send_finalize(ports, shard.batch).await?;
    }
    Ok(progress.is_new)
}

/// Rolls up every shard of a batch whose messages are out: those that were done before that, nobody else would look at. How many it
/// marked.
pub(crate) async fn roll_up_all(ports: &Ports, batch: BatchId, shards: u32) -> PipelineResult<u64> {
    if shards == 0 {
        complete(ports, batch).await?;
    }
    let mut marked = 0;
    for shard in 0..shards {
        marked += u64::from(roll_up(ports, ShardRef { batch, shard }).await?);
    }
    Ok(marked)
}

/// Completes a batch of which nothing is open any more, and has its report written.
pub(crate) async fn complete(ports: &Ports, batch: BatchId) -> PipelineResult<()> {
    let now = ports.clock.now();
    let change = BatchChange {
        ended_at: Some(now),
        ..BatchChange::to(BatchStatus::Completed)
    };
    let advance = ports
        .store
        .advance(batch, &[BatchStatus::Processing], &change, now)
        .await?;
    if advance == Advance::Moved {
        tracing::info!(%batch, "batch completed");
    }
    // Also when another process moved it between our two calls: the flag keeps it from going out twice as a rule. One that died
    // after it moved the batch and before it sent is made good when its message comes again.
    send_finalize(ports, batch).await.map(drop)
}

/// Empties the outbox of completion: sends the finalize message if it is not known to be out, then notes that it is. Of a cancelled
/// batch only once every row of it is settled. Whether it sent.
pub(crate) async fn send_finalize(ports: &Ports, id: BatchId) -> PipelineResult<bool> {
    let Some(batch) = ports.store.batch(id).await? else {
        return Ok(false);
    };
    if !REPORTED.contains(&batch.status) || batch.finalize_sent {
        return Ok(false);
    }
    let message = FinalizeMessage {
        batch: id,
        notice: None,
    };
    send_one(ports, Queue::Finalize, &message).await?;
    let change = BatchChange {
        finalize_sent: Some(true),
        ..BatchChange::default()
    };
    ports
        .store
        .advance(id, REPORTED, &change, ports.clock.now())
        .await?;
    Ok(true)
}
