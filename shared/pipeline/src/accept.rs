//! Takes a list in: stores it, creates its batch, starts it.

use std::io;

use bytes::Bytes;
use domain::ports::{Advance, BatchChange, Queue};
use domain::{Batch, BatchId, BatchOptions, BatchStatus, SplitCheckpoint, SplitMessage, keys};
use futures::{Stream, StreamExt};
use object_store::path::Path;
use object_store::{ObjectStoreExt, WriteMultipart};
use sha2::{Digest, Sha256};

use crate::objects::written;
use crate::send::send_one;
use crate::{PipelineError, PipelineResult, Ports};

/// Parts of a multipart upload that may be under way at once: with parts of 5 MiB, the bound on memory.
const UPLOADS_IN_FLIGHT: usize = 2;

/// What somebody asks for.
#[derive(Debug, Clone)]
pub struct NewBatch {
    /// What its owner calls it.
    pub name: String,
    /// Whose it is.
    pub owner: String,
    /// File name of the list.
    pub list_name: String,
    /// What to do with it.
    pub options: BatchOptions,
}

/// A list on its way in could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The sender stopped, or what it sent cannot be read.
    #[error("the list could not be received")]
    Receive(#[source] io::Error),
    /// Ours.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
}

/// A list that lies in the object store and belongs to no batch yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredList {
    /// The batch it will belong to.
    pub id: BatchId,
    /// SHA-256, 64 hexadecimal digits.
    pub sha256: String,
    /// Length in bytes.
    pub bytes: u64,
}

/// Streams a list into the object store, in memory that does not depend on its length.
pub async fn store_list(
    ports: &Ports,
    body: impl Stream<Item = io::Result<Bytes>> + Send,
) -> Result<StoredList, AcceptError> {
    let id = ports.ids.batch_id();
    let key = keys::list(id);
    let fail = |source| written(key.clone(), source);
    let upload = ports
        .objects
        .put_multipart(&Path::from(key.as_str()))
        .await
        .map_err(fail)?;
    let mut writer = WriteMultipart::new(upload);
    let mut hasher = Sha256::new();
    let mut bytes = 0;
    let mut body = std::pin::pin!(body);
    while let Some(piece) = body.next().await {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => {
                // What is kept of an abandoned upload expires with the bucket's rule for incomplete uploads.
                drop(writer.abort().await);
                return Err(AcceptError::Receive(error));
            }
        };
        hasher.update(&piece);
        bytes += piece.len() as u64;
        writer
            .wait_for_capacity(UPLOADS_IN_FLIGHT)
            .await
            .map_err(fail)?;
        writer.put(piece);
    }
    writer.finish().await.map_err(fail)?;
    Ok(StoredList {
        id,
        sha256: hex(&hasher.finalize()),
        bytes,
    })
}

/// Removes a stored list that no batch will own.
pub async fn discard_list(ports: &Ports, list: &StoredList) -> PipelineResult<()> {
    let key = keys::list(list.id);
    match ports.objects.delete(&Path::from(key.as_str())).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(source) => Err(written(key, source)),
    }
}

/// Creates the batch that owns a stored list. It waits for [`start`].
pub async fn create_batch(
    ports: &Ports,
    list: StoredList,
    request: NewBatch,
) -> PipelineResult<Batch> {
    create(ports, list, request, None).await
}

/// Creates a batch that awaits its list at [`keys::upload`]; [`crate::uploaded`] takes it from there, and starts it when `auto_start`.
pub async fn await_list(
    ports: &Ports,
    request: NewBatch,
    auto_start: bool,
) -> PipelineResult<Batch> {
    await_list_as(ports, ports.ids.batch_id(), request, auto_start).await
}

/// As [`await_list`], under an identity that was handed out before.
pub(crate) async fn await_list_as(
    ports: &Ports,
    id: BatchId,
    request: NewBatch,
    auto_start: bool,
) -> PipelineResult<Batch> {
    let list = StoredList {
        id,
        sha256: String::new(),
        bytes: 0,
    };
    create(ports, list, request, Some(auto_start)).await
}

async fn create(
    ports: &Ports,
    list: StoredList,
    request: NewBatch,
    awaits_and_starts: Option<bool>,
) -> PipelineResult<Batch> {
    let now = ports.clock.now();
    let batch = Batch {
        id: list.id,
        name: request.name,
        owner: request.owner,
        status: BatchStatus::Pending,
        options: request.options,
        list_name: request.list_name,
        list_sha256: list.sha256,
        list_bytes: list.bytes,
        awaits_list: awaits_and_starts.is_some(),
        auto_start: awaits_and_starts.unwrap_or(false),
        created_at: now,
        updated_at: now,
        started_at: None,
        ended_at: None,
        failure: None,
        checkpoint: SplitCheckpoint::default(),
        totals: None,
        finalize_sent: false,
        report_ready: false,
        max_concurrency: None,
        retries: Vec::new(),
        deleting: false,
    };
    ports.store.create_batch(&batch).await?;
    Ok(batch)
}

/// Queues a batch for its split. A batch that is already under way stays as it is. From the move on it is started, whatever becomes of
/// the message: a caller that was told otherwise would hand its list in once more.
pub async fn start(ports: &Ports, id: BatchId) -> PipelineResult<Advance> {
    let change = BatchChange::to(BatchStatus::Queued);
    let from = &[BatchStatus::Pending, BatchStatus::Queued];
    let advance = ports
        .store
        .advance(id, from, &change, ports.clock.now())
        .await?;
    if advance == Advance::Moved {
        send_split_now_or_later(ports, id).await?;
    }
    Ok(advance)
}

/// Sends for somebody to split a batch that is noted as one to be split. Where the queue refuses, the sweep finds the batch and sends.
pub(crate) async fn send_split_now_or_later(ports: &Ports, id: BatchId) -> PipelineResult<()> {
    let message = SplitMessage {
        batch: id,
        continuation: 0,
    };
    match send_one(ports, Queue::Split, &message).await {
        Err(error) if error.is_retryable() => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(batch = %id, error, "split left to the sweep");
            Ok(())
        }
        sent => sent,
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
