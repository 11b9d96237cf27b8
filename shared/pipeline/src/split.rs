//! Cuts a list into chunks: one pass, bounded memory, tolerant row by row.
//!
//! The list is read, cut and compressed on a blocking thread; chunk objects are written while it goes on. Chunks leave in
//! whole shards: objects first, then the shard row with its total, then the messages, then the checkpoint. So a shard row is
//! there before any of its parts can be committed, and a crash anywhere repeats at most one shard, to the same effect.
//!
//! A continuation reads the list from its start again, because it has to know every URL that was there before; what lies before the
//! checkpoint is only looked at, not written.

use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::ports::{Advance, BatchChange, Queue};
use domain::{
    Batch, BatchId, BatchStatus, CHUNKS_PER_SHARD, ChunkMessage, Earlier, Limits, Outcome, PartRef,
    RowNumber, SplitCheckpoint, SplitMessage, SplitTotals, Verdict, keys,
};
use fetching::TargetUrl;
use futures::TryStreamExt;
use futures::stream::FuturesUnordered;
use list_reader::{Extra, ListOptions, ListReader, ListRow};
use object_store::path::Path;
use object_store::{GetResultPayload, ObjectStoreExt};
use serde::{Serialize, Serializer};
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};

use crate::commit::{roll_up_all, send_finalize};
use crate::earlier::{Comparison, EarlierRows, KeptComparison, gather};
use crate::objects::{self, NdjsonWriter};
use crate::repeated_urls::RepeatedUrls;
use crate::send::{send_all, send_one};
use crate::{PipelineError, PipelineResult, Ports, retry};

/// Chunk objects being written at once.
const WRITES_IN_FLIGHT: usize = 16;
/// Chunks cut and not yet being written.
const CUT_AHEAD: usize = 2;
/// Continuations in a row that a split sends for by itself. Lambda may take more than 16 rounds through one queue for an endless loop and
/// stop them; whatever it is told in the template, no list may depend on that.
pub const MAX_CONTINUATIONS: u32 = 12;

/// How one process splits.
#[derive(Debug, Clone)]
pub struct SplitSettings {
    /// Limits on lists.
    pub limits: Limits,
    /// Rows in a chunk, unless the batch asks for another number.
    pub chunk_size: u32,
    /// Folder for the table of URLs seen.
    pub scratch: PathBuf,
    /// When to hand over to a continuation; `None` for no end.
    pub soft_deadline: Option<Instant>,
    /// What this process has gathered to compare with; the same for all its splits.
    pub kept: KeptComparison,
}

/// How a split ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SplitEnd {
    /// The whole list is out.
    Done(SplitTotals),
    /// Time ran out; a continuation is queued.
    Continued(SplitCheckpoint),
    /// Time ran out, and it continued itself as often as it may: the next sweep sends for it.
    HandedOver(SplitCheckpoint),
    /// The list cannot be read; the batch failed, for this reason.
    Failed(String),
    /// The batch is gone, or past its split.
    NothingToDo,
}

/// Cuts the list of the batch that `message` names; of a batch that is retried, looks for the rows to do again instead.
pub async fn split(
    ports: &Ports,
    settings: &SplitSettings,
    message: &SplitMessage,
) -> PipelineResult<SplitEnd> {
    let Some(batch) = begin(ports, settings, message.batch).await? else {
        look_after(ports, message.batch).await?;
        return Ok(SplitEnd::NothingToDo);
    };
    if batch.generation() > 0 {
        return retry::walk(ports, settings.soft_deadline, &batch, message).await;
    }
    let key = hash_key(batch.id);
    let earlier = match gather(ports, &batch, settings, key).await? {
        Comparison::None => None,
        Comparison::With(rows) => Some(rows),
        Comparison::Gone => {
            let reason = "the batch to compare with is not there any more".to_owned();
            fail(ports, batch.id, &reason).await?;
            return Ok(SplitEnd::Failed(reason));
        }
    };
    let (chunks, cutter) = start_cutting(ports, settings, &batch, earlier).await?;
    let last_shard = match send_chunks(ports, settings, &batch, chunks).await? {
        Sent::AllBut(last_shard) => last_shard,
        Sent::OutOfTime(checkpoint) => return go_on(ports, &batch, message, checkpoint).await,
    };
    let cut = cutter.await.map_err(PipelineError::Panicked)?;
    settings.kept.forget();
    match cut {
        Ok(totals) => {
            if let Some((from, to)) = last_shard {
                send_shard(ports, &batch, from, to).await?;
            }
            finish(ports, &batch, totals).await?;
            Ok(SplitEnd::Done(totals))
        }
        // The list is not to blame for a store that failed while it was read.
        Err(CutError::List(error)) if error.is_infrastructure() => Err(PipelineError::Object {
            operation: "read",
            key: keys::list(batch.id),
            source: object_store::Error::Generic {
                store: "list",
                source: Box::new(error),
            },
        }),
        Err(CutError::List(error)) => {
            let reason = error.to_string();
            fail(ports, batch.id, &reason).await?;
            Ok(SplitEnd::Failed(reason))
        }
        Err(CutError::Scratch(error)) => Err(PipelineError::Scratch(error)),
        // The receiving end went away, and it reported why.
        Err(CutError::Abandoned) => Ok(SplitEnd::NothingToDo),
    }
}

/// Moves a queued batch to `SPLITTING` and fixes its chunk size. Answers with the batch if it is to be split, by whoever began: also
/// one that was cancelled since, for its counts to add up to its list.
async fn begin(
    ports: &Ports,
    settings: &SplitSettings,
    id: BatchId,
) -> PipelineResult<Option<Batch>> {
    let Some(batch) = ports.store.batch(id).await? else {
        return Ok(None);
    };
    let now = ports.clock.now();
    let chunk_size = batch.options.chunk_size.unwrap_or(settings.chunk_size);
    let change = BatchChange {
        started_at: Some(now),
        checkpoint: Some(SplitCheckpoint {
            chunk_size: chunk_size.max(1),
            ..SplitCheckpoint::default()
        }),
        ..BatchChange::to(BatchStatus::Splitting)
    };
    let from = &[BatchStatus::Queued];
    ports.store.advance(id, from, &change, now).await?;
    let batch = ports.store.batch(id).await?;
    Ok(batch.filter(|batch| match batch.status {
        BatchStatus::Splitting => true,
        BatchStatus::Cancelled => batch.started_at.is_some() && !batch.is_fanned_out(),
        _ => false,
    }))
}

/// Has somebody go on from `checkpoint`: whoever receives the next message, or the sweep.
pub(crate) async fn go_on(
    ports: &Ports,
    batch: &Batch,
    message: &SplitMessage,
    checkpoint: SplitCheckpoint,
) -> PipelineResult<SplitEnd> {
    let next = SplitMessage {
        batch: batch.id,
        continuation: message.continuation + 1,
    };
    if next.continuation < MAX_CONTINUATIONS {
        send_one(ports, Queue::Split, &next).await?;
        return Ok(SplitEnd::Continued(checkpoint));
    }
    let checkpoint = SplitCheckpoint {
        is_handed_over: true,
        ..checkpoint
    };
    let change = BatchChange {
        checkpoint: Some(checkpoint),
        in_generation: Some(batch.generation()),
        ..BatchChange::default()
    };
    let from = &[BatchStatus::Splitting, BatchStatus::Cancelled];
    let now = ports.clock.now();
    ports.store.advance(batch.id, from, &change, now).await?;
    Ok(SplitEnd::HandedOver(checkpoint))
}

/// Does again what follows a split: whoever split the batch may have died before it did, or while it did.
async fn look_after(ports: &Ports, id: BatchId) -> PipelineResult<()> {
    let batch = ports.store.batch(id).await?;
    let Some(batch) = batch.filter(|batch| batch.is_fanned_out() && !batch.deleting) else {
        return Ok(());
    };
    match (batch.status, batch.totals) {
        (BatchStatus::Processing | BatchStatus::Cancelled, Some(totals)) => {
            roll_up_all(ports, id, totals.shards).await.map(drop)
        }
        (BatchStatus::Completed, _) => send_finalize(ports, id).await.map(drop),
        _ => Ok(()),
    }
}

/// Moves a batch that is not split yet to `FAILED`, for a person to read why. Chunks that are out already end without being
/// fetched.
pub(crate) async fn fail(ports: &Ports, id: BatchId, reason: &str) -> PipelineResult<()> {
    let Some(batch) = ports.store.batch(id).await? else {
        return Ok(());
    };
    if batch.generation() > 0 {
        // Its results stand; what could not be looked through is not done again.
        return retry::end_walk(ports, &batch).await;
    }
    let now = ports.clock.now();
    let change = BatchChange {
        ended_at: Some(now),
        failure: Some(reason.to_owned()),
        in_generation: Some(0),
        ..BatchChange::to(BatchStatus::Failed)
    };
    // Not one that another process has split meanwhile: its list is sound.
    let mut from = vec![BatchStatus::Queued, BatchStatus::Splitting];
    if batch.started_at.is_some() && !batch.is_fanned_out() {
        from.push(BatchStatus::Cancelled);
    }
    ports.store.advance(id, &from, &change, now).await?;
    Ok(())
}

async fn finish(ports: &Ports, batch: &Batch, totals: SplitTotals) -> PipelineResult<()> {
    let fields = BatchChange {
        checkpoint: Some(SplitCheckpoint {
            chunks: totals.chunks,
            rows: totals.rows,
            chunk_size: batch.checkpoint.chunk_size,
            is_handed_over: false,
        }),
        totals: Some(totals),
        in_generation: Some(0),
        ..BatchChange::default()
    };
    let to_processing = BatchChange {
        status: Some(BatchStatus::Processing),
        ..fields.clone()
    };
    let (id, now) = (batch.id, ports.clock.now());
    let splitting = &[BatchStatus::Splitting];
    let store = &ports.store;
    let moved = store.advance(id, splitting, &to_processing, now).await?;
    if moved == Advance::Stays(BatchStatus::Cancelled) {
        let cancelled = &[BatchStatus::Cancelled];
        store.advance(id, cancelled, &fields, now).await?;
    }
    // Its shards may all be done by now.
    roll_up_all(ports, id, totals.shards).await.map(drop)
}

/// A chunk on its way from the cutting thread.
struct CutChunk {
    rows: u32,
    /// `None` where it lies before the checkpoint and is out already.
    body: Option<Bytes>,
}

/// Why cutting ended early.
enum CutError {
    List(list_reader::ListError),
    Scratch(io::Error),
    Abandoned,
}

impl From<list_reader::ListError> for CutError {
    fn from(error: list_reader::ListError) -> Self {
        Self::List(error)
    }
}

impl From<io::Error> for CutError {
    fn from(error: io::Error) -> Self {
        Self::Scratch(error)
    }
}

type Cutter = tokio::task::JoinHandle<Result<SplitTotals, CutError>>;

/// Opens the list and starts the blocking thread that cuts it.
async fn start_cutting(
    ports: &Ports,
    settings: &SplitSettings,
    batch: &Batch,
    earlier: Option<Arc<EarlierRows>>,
) -> PipelineResult<(mpsc::Receiver<CutChunk>, Cutter)> {
    let key = keys::list(batch.id);
    let list = ports.objects.get(&Path::from(key.as_str())).await;
    let list = list.map_err(|source| PipelineError::Object {
        operation: "read",
        key,
        source,
    })?;
    let source: Box<dyn io::Read + Send> = match list.payload {
        // The cutting thread reads it by itself, instead of waiting for another one to hand over a few kilobytes at a time.
        GetResultPayload::File(file, _) => Box::new(file),
        GetResultPayload::Stream(pieces) => Box::new(SyncIoBridge::new(StreamReader::new(
            pieces.map_err(io::Error::other),
        ))),
    };
    let (sender, receiver) = mpsc::channel(CUT_AHEAD);
    let cutting = Cutting {
        options: ListOptions {
            name: batch.list_name.clone(),
            format: batch.options.list_format,
            url_column: batch.options.url_column.clone(),
        },
        limits: settings.limits.clone(),
        chunk_size: batch.checkpoint.chunk_size,
        known_chunks: batch.checkpoint.chunks,
        // Keyed by the random half of the batch's id: the same for every continuation, and unknown when the list was written.
        hash_key: hash_key(batch.id),
        earlier,
        sender,
    };
    let scratch = settings.scratch.clone();
    let cutter = tokio::task::spawn_blocking(move || cutting.run(source, &scratch));
    Ok((receiver, cutter))
}

fn hash_key(id: BatchId) -> (u64, u64) {
    let bits = id.as_u128();
    (bits as u64, (bits >> 64) as u64)
}

/// The work of the blocking thread.
struct Cutting {
    options: ListOptions,
    limits: Limits,
    chunk_size: u32,
    known_chunks: u32,
    hash_key: (u64, u64),
    /// What the list is compared with.
    earlier: Option<Arc<EarlierRows>>,
    sender: mpsc::Sender<CutChunk>,
}

impl Cutting {
    fn run(self, source: impl io::Read, scratch: &FilePath) -> Result<SplitTotals, CutError> {
        let mut urls = RepeatedUrls::new(scratch, self.hash_key);
        let mut list = ListReader::open(source, &self.options, &self.limits)?;
        let mut totals = SplitTotals {
            rows: 0,
            chunks: 0,
            shards: 0,
        };
        let mut writer = NdjsonWriter::new()?;
        let mut rows = 0;
        while let Some(row) = list.next_row() {
            let row = row?;
            let mut line = judge(&row, totals.rows, &mut urls, &self.limits)?;
            if totals.chunks >= self.known_chunks {
                if let (Some(earlier), None) = (&self.earlier, &line.verdict)
                    && let Ok(url) = TargetUrl::parse(line.url, &self.limits)
                {
                    line.earlier = Some(earlier.find(url.canonical())?);
                }
                writer.write(&line)?;
            }
            totals.rows += 1;
            rows += 1;
            if rows == self.chunk_size {
                let full = std::mem::replace(&mut writer, NdjsonWriter::new()?);
                self.send(full, rows, &mut totals)?;
                rows = 0;
            }
        }
        if rows > 0 {
            self.send(writer, rows, &mut totals)?;
        }
        totals.shards = totals.chunks.div_ceil(CHUNKS_PER_SHARD);
        Ok(totals)
    }

    fn send(
        &self,
        writer: NdjsonWriter,
        rows: u32,
        totals: &mut SplitTotals,
    ) -> Result<(), CutError> {
        let is_known = totals.chunks < self.known_chunks;
        let body = if is_known {
            None
        } else {
            Some(writer.finish()?)
        };
        totals.chunks += 1;
        self.sender
            .blocking_send(CutChunk { rows, body })
            .map_err(|_| CutError::Abandoned)
    }
}

/// A [`domain::ChunkRow`] that borrows from the list: it is written, never kept.
#[derive(Serialize)]
struct ChunkLine<'a> {
    row: RowNumber,
    url: &'a str,
    #[serde(serialize_with = "carried", skip_serializing_if = "Extra::is_empty")]
    extra: Extra<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    earlier: Option<Earlier>,
}

fn carried<S: Serializer>(extra: &Extra<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(extra)
}

/// Turns a row of the list into a row of a chunk, with its end if that is known already.
fn judge<'a>(
    row: &ListRow<'a>,
    number: RowNumber,
    urls: &mut RepeatedUrls,
    limits: &Limits,
) -> io::Result<ChunkLine<'a>> {
    let (url, verdict) = match &row.cell {
        Err(fault) => ("", Some(invalid(fault.to_string()))),
        Ok(cell) => match TargetUrl::parse(cell, limits) {
            Err(reason) => (*cell, Some(invalid(format!("line {}: {reason}", row.line)))),
            Ok(url) => (
                *cell,
                urls.first_row(url.canonical(), number)?.map(repeated),
            ),
        },
    };
    Ok(ChunkLine {
        row: number,
        url,
        extra: row.extra,
        verdict,
        earlier: None,
    })
}

fn invalid(detail: String) -> Verdict {
    Verdict {
        outcome: Outcome::InvalidUrl,
        detail: Some(detail),
        duplicate_of: None,
    }
}

fn repeated(first: RowNumber) -> Verdict {
    Verdict {
        outcome: Outcome::DuplicateUrl,
        detail: Some(format!("the same URL as row {first}")),
        duplicate_of: Some(first),
    }
}

/// How the sending side ended.
enum Sent {
    /// Everything is out but the last shard, which waits for the news that the list was read to its end.
    AllBut(Option<(SplitCheckpoint, SplitCheckpoint)>),
    /// The deadline came first.
    OutOfTime(SplitCheckpoint),
}

/// Writes the chunks that come from the cutting thread, shard by shard.
async fn send_chunks(
    ports: &Ports,
    settings: &SplitSettings,
    batch: &Batch,
    mut chunks: mpsc::Receiver<CutChunk>,
) -> PipelineResult<Sent> {
    let mut checkpoint = SplitCheckpoint {
        chunk_size: batch.checkpoint.chunk_size,
        ..SplitCheckpoint::default()
    };
    let mut position = checkpoint;
    let mut writes = FuturesUnordered::new();
    while let Some(chunk) = chunks.recv().await {
        let number = position.chunks;
        position.chunks += 1;
        position.rows += u64::from(chunk.rows);
        if let Some(body) = chunk.body {
            while writes.len() >= WRITES_IN_FLIGHT {
                writes.try_next().await?;
            }
            writes.push(objects::put(ports, keys::chunk(batch.id, number), body));
        } else {
            checkpoint = position;
        }
        let is_shard_full = position.chunks.is_multiple_of(CHUNKS_PER_SHARD);
        if is_shard_full && position.chunks > batch.checkpoint.chunks {
            while writes.try_next().await?.is_some() {}
            send_shard(ports, batch, checkpoint, position).await?;
            checkpoint = position;
            if settings
                .soft_deadline
                .is_some_and(|end| Instant::now() >= end)
            {
                return Ok(Sent::OutOfTime(checkpoint));
            }
        }
    }
    while writes.try_next().await?.is_some() {}
    let last_shard = (position != checkpoint).then_some((checkpoint, position));
    Ok(Sent::AllBut(last_shard))
}

/// Announces the chunks `from.chunks .. to.chunks`, whose objects are written: shard row, messages, checkpoint, in this order.
async fn send_shard(
    ports: &Ports,
    batch: &Batch,
    from: SplitCheckpoint,
    to: SplitCheckpoint,
) -> PipelineResult<()> {
    let part = |chunk| PartRef {
        batch: batch.id,
        chunk,
        part: 0,
    };
    let shard = part(from.chunks).shard();
    ports
        .store
        .create_shard(shard, to.chunks - from.chunks)
        .await?;
    let messages: Vec<ChunkMessage> = (from.chunks..to.chunks)
        .map(|chunk| ChunkMessage {
            part: part(chunk),
            deferrals: 0,
            parts_before: 0,
        })
        .collect();
    send_all(ports, Queue::Chunks, &messages, Duration::ZERO).await?;
    let change = BatchChange {
        checkpoint: Some(to),
        in_generation: Some(0),
        ..BatchChange::default()
    };
    let from = &[BatchStatus::Splitting, BatchStatus::Cancelled];
    ports
        .store
        .advance(batch.id, from, &change, ports.clock.now())
        .await?;
    Ok(())
}
