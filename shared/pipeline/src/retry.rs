//! Does rows of a batch that had ended again: those that ended in a chosen way, and no others.
//!
//! A retry is a new generation of the batch. A walk over its chunks, on the split queue and checkpointed like a split, looks for rows to do
//! again. A chunk that has any gets a part of its own for that, which takes their results and counts back and leaves the rows
//! over; the part after it does them like any other. Everything is stored, counted and sent in the order of every commit, so a crash
//! anywhere is made good by doing the same again: the part that takes back is found by its generation.

use std::time::Instant;

use domain::ports::{Advance, BatchChange};
use domain::{
    Batch, BatchId, BatchStatus, CHUNKS_PER_SHARD, Counters, Issue, KpiDelta, Minute, Outcome,
    PartRef, Retry, RowNumber, SplitCheckpoint, SplitMessage, keys,
};
use futures::{StreamExt, TryStreamExt};
use serde::Deserialize;

use crate::accept::send_split_now_or_later;
use crate::commit::{commit, roll_up_all};
use crate::objects::{self, Manifest, TakenBack};
use crate::parts::{OfRow, read_parts};
use crate::progress::total;
use crate::results::{by_chunk, result_keys};
use crate::split::{SplitEnd, go_on};
use crate::{PipelineResult, Ports};

/// Chunks whose results are read ahead.
const READ_AHEAD: usize = 8;
/// Retries of one batch. Each adds two parts to a chunk at least.
const MAX_RETRIES: usize = 100;

/// What became of a wish to retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retried {
    /// The retry is queued; so many rows had ended in one of the chosen ways.
    Begun {
        /// 1 for the first retry.
        generation: u32,
        /// Rows.
        rows: u64,
    },
    /// Nothing is ever fetched for rows that end like this; they would end the same.
    NeverFetched(Outcome),
    /// No row ended in one of the chosen ways.
    NoSuchRows,
    /// The batch has not ended.
    NotEnded(BatchStatus),
    /// It failed: it has no list that could be read.
    Failed,
    /// It ended, and its report is being written.
    Settling,
    /// It has been retried too often.
    TooOften,
    /// There is no such batch.
    Missing,
}

/// Every outcome that is worth a retry.
pub fn worth_a_retry() -> Vec<Outcome> {
    let all = Outcome::ALL.iter().copied();
    all.filter(|outcome| outcome.is_retryable()).collect()
}

/// Begins a retry of the rows of a batch that ended in one of these ways.
pub async fn retry(ports: &Ports, id: BatchId, outcomes: &[Outcome]) -> PipelineResult<Retried> {
    let never_fetched = [Outcome::InvalidUrl, Outcome::DuplicateUrl];
    if let Some(outcome) = outcomes.iter().find(|it| never_fetched.contains(it)) {
        return Ok(Retried::NeverFetched(*outcome));
    }
    let Some(batch) = ports.store.batch(id).await? else {
        return Ok(Retried::Missing);
    };
    match batch.status {
        BatchStatus::Completed | BatchStatus::Cancelled => {}
        BatchStatus::Failed => return Ok(Retried::Failed),
        status => return Ok(Retried::NotEnded(status)),
    }
    if batch.deleting || !batch.report_ready {
        return Ok(Retried::Settling);
    }
    if batch.retries.len() >= MAX_RETRIES {
        return Ok(Retried::TooOften);
    }
    let counters = total(ports, id).await?;
    let rows = outcomes.iter().map(|outcome| counters.outcome(*outcome));
    let rows: u64 = rows.sum();
    if rows == 0 {
        return Ok(Retried::NoSuchRows);
    }
    let now = ports.clock.now();
    let retry = Retry {
        outcomes: outcomes.to_vec(),
        requested_at: now,
        ended_before: batch.ended_at.unwrap_or(now),
    };
    let generation = batch.generation() + 1;
    let store = &ports.store;
    match store.begin_retry(id, generation, &retry, now).await? {
        Advance::Moved => {}
        Advance::Stays(status) if status.is_terminal() => return Ok(Retried::Settling),
        Advance::Stays(status) => return Ok(Retried::NotEnded(status)),
        Advance::Missing => return Ok(Retried::Missing),
    }
    send_split_now_or_later(ports, id).await?;
    Ok(Retried::Begun { generation, rows })
}

/// The fields of a result row that a retry looks at.
#[derive(Deserialize)]
struct EndedRow {
    row: RowNumber,
    outcome: Outcome,
    issues: Vec<Issue>,
    attempts: u32,
    bytes: Option<u64>,
    elapsed_ms: Option<u64>,
}

impl OfRow for EndedRow {
    fn number(&self) -> RowNumber {
        self.row
    }
}

/// Looks through the chunks of a batch for rows that its latest retry does again.
pub(crate) async fn walk(
    ports: &Ports,
    soft_deadline: Option<Instant>,
    batch: &Batch,
    message: &SplitMessage,
) -> PipelineResult<SplitEnd> {
    let (Some(totals), Some(retry)) = (batch.totals, batch.retries.last()) else {
        return Ok(SplitEnd::NothingToDo);
    };
    let generation = batch.generation();
    let mut keys = result_keys(ports, batch.id).await?;
    let first = keys::result(PartRef {
        batch: batch.id,
        chunk: batch.checkpoint.chunks,
        part: 0,
    });
    keys.retain(|key| *key >= first);
    let chunks: Vec<&[String]> = by_chunk(&keys).collect();
    let mut looks = futures::stream::iter(0..chunks.len())
        .map(|index| look_through(ports, chunks[index], generation, &retry.outcomes))
        .buffered(READ_AHEAD);
    let mut checkpoint = SplitCheckpoint {
        is_handed_over: false,
        ..batch.checkpoint
    };
    while let Some((chunk, taking_back)) = looks.try_next().await? {
        if let Some(manifest) = taking_back {
            // Looked at after the results: what they say is then no later than this generation.
            match going_on(ports, batch).await? {
                Going::On => {}
                Going::Cancelled => break,
                Going::Elsewhere => return Ok(SplitEnd::NothingToDo),
            }
            let manifest = objects::put_results(ports, manifest, &[]).await?;
            commit(ports, &manifest).await?;
        }
        checkpoint.chunks = chunk + 1;
        if !checkpoint.chunks.is_multiple_of(CHUNKS_PER_SHARD) {
            continue;
        }
        if note_checkpoint(ports, batch, checkpoint).await? != Advance::Moved {
            match going_on(ports, batch).await? {
                Going::Cancelled => break,
                Going::On | Going::Elsewhere => return Ok(SplitEnd::NothingToDo),
            }
        }
        if soft_deadline.is_some_and(|end| Instant::now() >= end) {
            return go_on(ports, batch, message, checkpoint).await;
        }
    }
    end_walk(ports, batch).await?;
    Ok(SplitEnd::Done(totals))
}

/// Whether a walk still has something to do.
enum Going {
    On,
    /// Its batch was cancelled: what was not taken back stays as it was.
    Cancelled,
    /// Another process ended this walk; the batch may even be in a later generation.
    Elsewhere,
}

async fn going_on(ports: &Ports, batch: &Batch) -> PipelineResult<Going> {
    let now = ports.store.batch(batch.id).await?;
    let now = now.filter(|now| now.generation() == batch.generation() && !now.is_fanned_out());
    Ok(match now.map(|now| now.status) {
        Some(BatchStatus::Splitting) => Going::On,
        Some(BatchStatus::Cancelled) => Going::Cancelled,
        _ => Going::Elsewhere,
    })
}

/// The chunk that these results belong to, and what takes rows of it back: stored already, or to be stored; `None` where no row is
/// done again.
async fn look_through(
    ports: &Ports,
    keys: &[String],
    generation: u32,
    outcomes: &[Outcome],
) -> PipelineResult<(u32, Option<Manifest>)> {
    let mut parts = read_parts(ports, keys).await?;
    let is_of_this = |taken_back: &TakenBack| taken_back.generation == generation;
    let stored = parts
        .iter()
        .position(|part| part.manifest.retry.as_ref().is_some_and(is_of_this));
    if let Some(stored) = stored {
        let manifest = parts.swap_remove(stored).manifest;
        return Ok((manifest.part.chunk, Some(manifest)));
    }
    let mut counters = Counters::default();
    let mut leftover = Vec::new();
    let mut earlier_attempts = Vec::new();
    for part in &parts {
        let counted = &part.manifest.delta.counters;
        if outcomes
            .iter()
            .all(|outcome| counted.outcome(*outcome) == 0)
        {
            continue;
        }
        for row in part.current_rows::<EndedRow>()? {
            if !outcomes.contains(&row.outcome) {
                continue;
            }
            counters.add_row(
                row.outcome,
                &row.issues,
                row.attempts,
                row.bytes,
                row.elapsed_ms,
            );
            leftover.push(row.row);
            if row.attempts > 0 {
                earlier_attempts.push((row.row, row.attempts));
            }
        }
    }
    // A chunk has at least one part, or it would not be here.
    let Some(last) = parts.last().map(|part| part.manifest.part) else {
        return Ok((0, None));
    };
    if leftover.is_empty() {
        return Ok((last.chunk, None));
    }
    leftover.sort_unstable();
    earlier_attempts.sort_unstable();
    let manifest = Manifest {
        part: last.next(),
        leftover,
        deferrals: 0,
        parts_before: 0,
        delay_s: 0,
        minute: Minute::of(ports.clock.now()),
        delta: KpiDelta::default(),
        retry: Some(TakenBack {
            generation,
            counters,
        }),
        earlier_attempts,
        attempts_known: 0,
        labelling: None,
    };
    Ok((last.chunk, Some(manifest)))
}

async fn note_checkpoint(
    ports: &Ports,
    batch: &Batch,
    checkpoint: SplitCheckpoint,
) -> PipelineResult<Advance> {
    let change = BatchChange {
        checkpoint: Some(checkpoint),
        in_generation: Some(batch.generation()),
        ..BatchChange::default()
    };
    let from = &[BatchStatus::Splitting];
    let now = ports.clock.now();
    Ok(ports.store.advance(batch.id, from, &change, now).await?)
}

/// Ends the walk of a batch, wherever it is: every message is out that will be.
pub(crate) async fn end_walk(ports: &Ports, batch: &Batch) -> PipelineResult<()> {
    let Some(totals) = batch.totals else {
        return Ok(());
    };
    let fields = BatchChange {
        checkpoint: Some(SplitCheckpoint {
            chunks: totals.chunks,
            rows: totals.rows,
            chunk_size: batch.checkpoint.chunk_size,
            is_handed_over: false,
        }),
        in_generation: Some(batch.generation()),
        ..BatchChange::default()
    };
    let to_processing = BatchChange {
        status: Some(BatchStatus::Processing),
        ..fields.clone()
    };
    let (id, now) = (batch.id, ports.clock.now());
    let splitting = &[BatchStatus::Splitting];
    let moved = ports
        .store
        .advance(id, splitting, &to_processing, now)
        .await?;
    if moved == Advance::Stays(BatchStatus::Cancelled) {
        let cancelled = &[BatchStatus::Cancelled];
        ports.store.advance(id, cancelled, &fields, now).await?;
    }
    // Those without rows to do again are done, the others may be by now.
    roll_up_all(ports, id, totals.shards).await.map(drop)
}
