//! Finds what stopped half way and sets it going again; settles what was given up. So that every batch ends.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::ports::{Advance, BatchChange, BatchQuery, Queue};
use domain::{
    Batch, BatchStatus, ChunkMessage, ChunkRow, FinalizeMessage, Outcome, PartRef, ShardRef,
    SplitCheckpoint, SplitMessage, VisionMessage,
};
use jiff::Timestamp;

use crate::analyze_chunk::BATCH_CANCELLED;
use crate::commit::{commit, roll_up, send_finalize};
use crate::delete::remove;
use crate::finalize::is_settled;
use crate::label_images::Labeller;
use crate::leftovers::{left_over, settle};
use crate::objects;
use crate::send::{parse_message, send_one};
use crate::uploaded::{Arrival, is_handed_in, uploaded};
use crate::{PipelineError, PipelineResult, Ports, notify, split};

/// Batches looked at in one query.
const PAGE: usize = 100;
/// Dead letters taken at once.
const DEAD_LETTERS: usize = 10;
/// How long a sweep works on one batch. Whatever it does goes on in the next where it ended.
const TIME_FOR_ONE: Duration = Duration::from_secs(60);
/// How long dead letters stay hidden while they are settled.
const DEAD_LETTER_VISIBILITY: Duration = Duration::from_secs(60);

/// How long a list is awaited. The address it can be put at is void long before.
const UPLOAD_PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// Detail of rows whose chunk was given up.
const GIVEN_UP: &str = "its chunk failed again and again and was given up";
/// Detail of rows whose chunk object was given up as well.
const LOST_CHUNK: &str = "its chunk cannot be read any more, and with it the URL is lost";

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Swept {
    /// Splits set going again.
    pub splits: u64,
    /// Shards that were done, and that nobody had marked.
    pub roll_ups: u64,
    /// Batches that had ended, and that nobody had sent for a report of.
    pub outbox: u64,
    /// Reports that did not come within the grace: sent for again.
    pub reports: u64,
    /// Dead letters settled.
    pub dead_letters: u64,
    /// Deletions carried to their end.
    pub deletions: u64,
    /// Lists that had been handed in and that nobody had heard of: taken in.
    pub uploads: u64,
    /// Batches whose list never came: failed.
    pub given_up: u64,
    /// Batches that had ended long ago: deleted, where [`crate::expire`] is asked for.
    pub expired: u64,
}

impl Swept {
    /// Everything that was done.
    pub fn total(&self) -> u64 {
        self.kinds().iter().map(|(_, count)| count).sum()
    }

    /// How much was done of each kind, by its name.
    pub const fn kinds(&self) -> [(&'static str, u64); 9] {
        // Taken apart by name, so that a new field cannot be forgotten here.
        let Self {
            splits,
            roll_ups,
            outbox,
            reports,
            dead_letters,
            deletions,
            uploads,
            given_up,
            expired,
        } = *self;
        [
            ("splits", splits),
            ("roll_ups", roll_ups),
            ("outbox", outbox),
            ("reports", reports),
            ("dead_letters", dead_letters),
            ("deletions", deletions),
            ("uploads", uploads),
            ("given_up", given_up),
            ("expired", expired),
        ]
    }
}

/// Sweeps once: [`repair_stale`], then every dead letter there is.
pub async fn sweep(ports: &Ports, grace: Duration) -> PipelineResult<Swept> {
    let mut swept = Swept::default();
    repair_stale(ports, grace, &mut swept).await?;
    swept.dead_letters = settle_dead_letters(ports).await?;
    Ok(swept)
}

/// Sets going again what stopped half way, and counts it in `swept`, which holds when the caller drops this half way. Batches that moved
/// within the last `grace` are left alone: somebody is at work on them.
pub async fn repair_stale(ports: &Ports, grace: Duration, swept: &mut Swept) -> PipelineResult<()> {
    let before = ports.clock.now() - grace;
    let is_paused = ports.store.intake().await?.is_paused;
    let mut seen = BTreeSet::new();
    for status in [
        BatchStatus::Pending,
        BatchStatus::Queued,
        BatchStatus::Splitting,
        BatchStatus::Processing,
        BatchStatus::Completed,
        BatchStatus::Cancelled,
    ] {
        let is_begun_by_message = matches!(status, BatchStatus::Queued | BatchStatus::Splitting);
        if is_paused && is_begun_by_message {
            // Their messages wait as well; more of them would only pile up.
            continue;
        }
        for batch in stale_batches(ports, status, before).await? {
            // One that has just been completed here needs no second message.
            if !seen.insert(batch.id) && batch.finalize_sent {
                continue;
            }
            // One that cannot be helped, or takes long, must not keep the others waiting.
            let repaired = tokio::time::timeout(TIME_FOR_ONE, repair(ports, &batch, swept));
            match repaired.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(batch = %batch.id, error, "batch not repaired");
                }
                Err(_) => {
                    tracing::warn!(batch = %batch.id, "batch not repaired in time; the next sweep goes on");
                }
            }
        }
    }
    Ok(())
}

async fn stale_batches(
    ports: &Ports,
    status: BatchStatus,
    before: Timestamp,
) -> PipelineResult<Vec<Batch>> {
    let mut stale = Vec::new();
    let mut query = BatchQuery {
        status: Some(status),
        without_report: true,
        limit: PAGE,
        ..BatchQuery::default()
    };
    loop {
        let page = ports.store.list_batches(&query).await?;
        query.before = page.items.last().map(|batch| batch.id);
        // A split that was handed over has nobody at work on it.
        let is_stale =
            |batch: &Batch| batch.updated_at <= before || batch.checkpoint.is_handed_over;
        stale.extend(page.items.into_iter().filter(is_stale));
        if !page.more {
            return Ok(stale);
        }
    }
}

async fn repair(ports: &Ports, batch: &Batch, swept: &mut Swept) -> PipelineResult<()> {
    match batch.status {
        BatchStatus::Queued | BatchStatus::Splitting => {
            split_again(ports, batch, swept).await?;
        }
        BatchStatus::Processing => {
            roll_up_done(ports, batch, swept).await?;
            note_look(ports, batch).await?;
        }
        BatchStatus::Cancelled if batch.deleting => {
            remove(ports, batch).await?;
            swept.deletions += 1;
        }
        BatchStatus::Cancelled if batch.started_at.is_some() && !batch.is_fanned_out() => {
            split_again(ports, batch, swept).await?;
        }
        BatchStatus::Cancelled if !is_settled(ports, batch).await? => {}
        BatchStatus::Completed | BatchStatus::Cancelled if batch.finalize_sent => {
            report_again(ports, batch, swept).await?;
        }
        BatchStatus::Cancelled => {
            roll_up_done(ports, batch, swept).await?;
            swept.outbox += u64::from(send_finalize(ports, batch.id).await?);
        }
        BatchStatus::Completed => {
            swept.outbox += u64::from(send_finalize(ports, batch.id).await?);
        }
        BatchStatus::Pending if batch.awaits_list || batch.auto_start => {
            take_in_or_give_up(ports, batch, swept).await?;
        }
        BatchStatus::Pending | BatchStatus::Failed => {}
    }
    Ok(())
}

/// A list that was handed in while nobody heard of it is taken in; one that never came is not waited for any longer.
async fn take_in_or_give_up(ports: &Ports, batch: &Batch, swept: &mut Swept) -> PipelineResult<()> {
    if !batch.awaits_list || is_handed_in(ports, batch.id).await? {
        if uploaded(ports, batch.id).await? == Arrival::Started {
            swept.uploads += 1;
        }
        return Ok(());
    }
    let now = ports.clock.now();
    if batch.created_at + UPLOAD_PATIENCE > now {
        return Ok(());
    }
    let hours = UPLOAD_PATIENCE.as_secs() / 3_600;
    let change = BatchChange {
        ended_at: Some(now),
        failure: Some(format!(
            "no list was handed in within {hours} hours; create the batch anew for a new address"
        )),
        ..BatchChange::to(BatchStatus::Failed)
    };
    let from = &[BatchStatus::Pending];
    let advance = ports.store.advance(batch.id, from, &change, now).await?;
    if advance == Advance::Moved {
        tracing::info!(batch = %batch.id, "batch given up whose list never came");
        swept.given_up += 1;
    }
    Ok(())
}

async fn split_again(ports: &Ports, batch: &Batch, swept: &mut Swept) -> PipelineResult<()> {
    let message = SplitMessage {
        batch: batch.id,
        continuation: 0,
    };
    if batch.checkpoint.is_handed_over {
        // Taken over before the message is out: whoever receives it moves the checkpoint on.
        take_over(ports, batch).await?;
        send_one(ports, Queue::Split, &message).await?;
    } else {
        send_one(ports, Queue::Split, &message).await?;
        note_look(ports, batch).await?;
    }
    tracing::info!(batch = %batch.id, "split set going again");
    swept.splits += 1;
    Ok(())
}

/// Notes that a split is not left to the sweep any longer, which is a move as well.
async fn take_over(ports: &Ports, batch: &Batch) -> PipelineResult<()> {
    let change = BatchChange {
        checkpoint: Some(SplitCheckpoint {
            is_handed_over: false,
            ..batch.checkpoint
        }),
        in_generation: Some(batch.generation()),
        ..BatchChange::default()
    };
    let (from, now) = (&[batch.status], ports.clock.now());
    ports.store.advance(batch.id, from, &change, now).await?;
    Ok(())
}

/// Sends for a report that nobody wrote within the grace: the message is lost, or whoever has it died. It is not written here, where
/// there is neither the time nor the disk for it, and nobody would be told of it.
async fn report_again(ports: &Ports, batch: &Batch, swept: &mut Swept) -> PipelineResult<()> {
    let message = FinalizeMessage {
        batch: batch.id,
        notice: None,
    };
    send_one(ports, Queue::Finalize, &message).await?;
    note_look(ports, batch).await?;
    tracing::info!(batch = %batch.id, "report sent for again");
    swept.reports += 1;
    Ok(())
}

/// Notes a look as a move, so that the next sweeps leave the batch alone for another grace.
async fn note_look(ports: &Ports, batch: &Batch) -> PipelineResult<()> {
    let (from, change) = (&[batch.status], BatchChange::default());
    let now = ports.clock.now();
    ports.store.advance(batch.id, from, &change, now).await?;
    Ok(())
}

async fn roll_up_done(ports: &Ports, batch: &Batch, swept: &mut Swept) -> PipelineResult<()> {
    for shard in ports.store.shards(batch.id).await? {
        if shard.is_complete() {
            let (batch, shard) = (batch.id, shard.shard);
            swept.roll_ups += u64::from(roll_up(ports, ShardRef { batch, shard }).await?);
        }
    }
    Ok(())
}

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
                if let Err(error) = settle_dead_letter(ports, *queue, &letter.body).await {
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

/// Ends the open rows of a dead chunk, fails a batch whose split is dead, and drops what repeats by itself. `body` is that of a letter
/// of the dead-letter queue of `queue`.
pub async fn settle_dead_letter(ports: &Ports, queue: Queue, body: &str) -> PipelineResult<()> {
    match queue {
        Queue::Chunks => {
            let Ok(message) = parse_message::<ChunkMessage>(queue, body) else {
                tracing::error!(body, "malformed dead letter dropped");
                return Ok(());
            };
            settle_given_up(ports, &message).await
        }
        Queue::Split => {
            let Ok(message) = parse_message::<SplitMessage>(queue, body) else {
                tracing::error!(body, "malformed dead letter dropped");
                return Ok(());
            };
            let reason =
                "the list could not be split after several attempts; see the log for the fault";
            split::fail(ports, message.batch, reason).await
        }
        Queue::Vision | Queue::VisionHigh => {
            let Ok(message) = parse_message::<VisionMessage>(queue, body) else {
                tracing::error!(body, "malformed dead letter dropped");
                return Ok(());
            };
            tracing::warn!(part = %message.part, "labelling given up");
            Labeller::give_up(ports, &message).await
        }
        Queue::Finalize => {
            let Ok(message) = parse_message::<FinalizeMessage>(queue, body) else {
                // A table that is still wanted is ordered again by who wants it.
                tracing::error!(body, "dead letter dropped: a table, or malformed");
                return Ok(());
            };
            notice_again(ports, message).await
        }
        // Indicators of one part are no reason to stop.
        _ => {
            tracing::error!(%queue, body, "dead letter dropped");
            Ok(())
        }
    }
}

/// A report that is not there is sent for by the sweep. Where it is, somebody may not have been told of it yet.
async fn notice_again(ports: &Ports, message: FinalizeMessage) -> PipelineResult<()> {
    let batch = ports.store.batch(message.batch).await?;
    let is_there = batch.is_some_and(|batch| batch.report_ready && !batch.deleting);
    tracing::error!(batch = %message.batch, is_there, "work on a report given up");
    if is_there {
        notify::try_later(ports, message.batch, message.notice.unwrap_or(0)).await?;
    }
    Ok(())
}

/// Ends the open rows of a part that was given up: as `poisoned`, or as `cancelled` with its batch.
async fn settle_given_up(ports: &Ports, message: &ChunkMessage) -> PipelineResult<()> {
    let part = message.part;
    let Some(batch) = ports.store.batch(part.batch).await? else {
        return Ok(());
    };
    if batch.status == BatchStatus::Failed {
        return Ok(());
    }
    let manifest = if let Some(stored) = objects::read_manifest(ports, part).await? {
        stored
    } else {
        let (rows, lost) = match objects::read_chunk(ports, part).await {
            Ok(rows) => (rows, None),
            Err(fault @ PipelineError::CorruptObject { .. }) => {
                (lost_rows(&batch, part).ok_or(fault)?, Some(LOST_CHUNK))
            }
            Err(fault) => return Err(fault),
        };
        let (rows, past) = left_over(ports, part, rows).await?;
        let rows = (rows.as_slice(), [].as_slice());
        let (outcome, detail) = match batch.status {
            BatchStatus::Cancelled => (Outcome::Cancelled, BATCH_CANCELLED),
            _ => (Outcome::Poisoned, GIVEN_UP),
        };
        let detail = lost.unwrap_or(detail);
        settle(ports, message, rows, &past, outcome, detail).await?
    };
    tracing::warn!(%part, "chunk given up");
    commit(ports, &manifest).await
}

/// The rows of a chunk whose object cannot be read: their numbers follow from where the chunk lies, their URLs are gone.
/// `None` while it is not known how long the chunk is.
fn lost_rows(batch: &Batch, part: PartRef) -> Option<Vec<ChunkRow>> {
    let chunk_size = u64::from(batch.checkpoint.chunk_size);
    let first = u64::from(part.chunk) * chunk_size;
    let end = (first + chunk_size).min(batch.totals?.rows);
    let lost = |row| ChunkRow {
        row,
        url: String::new(),
        extra: serde_json::Map::new(),
        verdict: None,
        earlier: None,
    };
    (chunk_size > 0).then(|| (first..end).map(lost).collect())
}
