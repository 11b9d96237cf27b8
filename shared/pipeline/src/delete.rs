//! Removes a batch: its objects first, then what the store knows of it.
//!
//! Deletion begins with a mark in the store. From then on nobody else begins anything with the batch, and whoever finds the mark, the
//! owner's next request or the sweep, can do all of it again.

use domain::ports::{Advance, BatchChange, PortErrorKind};
use domain::{Batch, BatchId, BatchStatus, keys};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::commit::commit;
use crate::finalize::is_settled;
use crate::objects::Manifest;
use crate::{PipelineError, PipelineResult, Ports};

/// States that a batch can be deleted in.
const ENDED: &[BatchStatus] = &[
    BatchStatus::Completed,
    BatchStatus::Failed,
    BatchStatus::Cancelled,
];

/// What became of a wish to delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// The batch and everything that belonged to it is gone.
    Deleted,
    /// It has not ended; it has to be cancelled first.
    NotEnded(BatchStatus),
    /// It was cancelled, and its last rows are being settled.
    Settling,
    /// There is no such batch.
    Missing,
}

/// Deletes a batch that has ended.
pub async fn delete(ports: &Ports, id: BatchId) -> PipelineResult<Deletion> {
    let Some(batch) = ports.store.batch(id).await? else {
        return Ok(Deletion::Missing);
    };
    if !batch.deleting {
        if !batch.status.is_terminal() {
            return Ok(Deletion::NotEnded(batch.status));
        }
        if batch.status == BatchStatus::Cancelled && !is_settled(ports, &batch).await? {
            return Ok(Deletion::Settling);
        }
        match mark(ports, &batch).await? {
            Advance::Moved => {}
            Advance::Stays(status) => return Ok(Deletion::NotEnded(status)),
            Advance::Missing => return Ok(Deletion::Missing),
        }
    }
    remove(ports, &batch).await?;
    Ok(Deletion::Deleted)
}

/// Marks a batch. It becomes a cancelled one without a report, which is where the sweep looks.
async fn mark(ports: &Ports, batch: &Batch) -> PipelineResult<Advance> {
    let change = BatchChange {
        deleting: Some(true),
        report_ready: Some(false),
        in_generation: Some(batch.generation()),
        ..BatchChange::to(BatchStatus::Cancelled)
    };
    let now = ports.clock.now();
    let marked = ports.store.advance(batch.id, ENDED, &change, now).await?;
    Ok(marked)
}

/// Removes everything of a batch that is marked.
pub(crate) async fn remove(ports: &Ports, batch: &Batch) -> PipelineResult<()> {
    let id = batch.id;
    for key in [keys::upload(id), keys::list(id), keys::report(id)] {
        remove_object(ports, &key).await?;
    }
    for prefix in keys::folders(id) {
        remove_below(ports, &prefix).await?;
    }
    ports.store.delete_batch(id).await?;
    tracing::info!(batch = %id, "batch deleted");
    Ok(())
}

/// Removes every object of a folder.
pub(crate) async fn remove_below(ports: &Ports, prefix: &str) -> PipelineResult<()> {
    let listed = ports.objects.list(Some(&Path::from(prefix)));
    let locations = listed.map_ok(|object| object.location).boxed();
    let removed = ports.objects.delete_stream(locations);
    let mut removed = std::pin::pin!(removed);
    while let Some(result) = removed.next().await {
        match result {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(source) => return Err(not_removed(prefix, source)),
        }
    }
    Ok(())
}

/// Removes an object. One that is gone is no error.
pub(crate) async fn remove_object(ports: &Ports, key: &str) -> PipelineResult<()> {
    match ports.objects.delete(&Path::from(key)).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(source) => Err(not_removed(key, source)),
    }
}

fn not_removed(key: &str, source: object_store::Error) -> PipelineError {
    PipelineError::Object {
        operation: "removed",
        key: key.to_owned(),
        source,
    }
}

/// Commits a part. One whose batch was deleted meanwhile takes its results, which nobody else would find, with it.
pub(crate) async fn commit_unless_deleted(
    ports: &Ports,
    manifest: &Manifest,
) -> PipelineResult<()> {
    let part = manifest.part;
    match commit(ports, manifest).await {
        Err(PipelineError::Port(error)) if error.kind == PortErrorKind::Rejected => {
            if ports.store.batch(part.batch).await?.is_some() {
                return Err(error.into());
            }
            remove_object(ports, &keys::result(part)).await
        }
        committed => committed,
    }
}
