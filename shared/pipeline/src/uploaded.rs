//! A list arrived at the address that its owner was given.
//!
//! It is copied to where every list lies before anything reads it: the owner can write to the address until it expires, and a split
//! that goes on after a deadline reads the list again from its start. The copy is made inside the object store, and never over one
//! that is there, so that it stays what it was however often the news comes.

use domain::ports::BatchChange;
use domain::{BatchId, BatchStatus, keys};
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt};

use crate::accept::start;
use crate::objects::written;
use crate::{PipelineError, PipelineResult, Ports};

/// What became of a list that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Its batch is queued for its split.
    Started,
    /// Its batch waits to be started.
    Waiting,
    /// No batch awaits it: unknown, ended, or the news is old.
    NotAwaited,
}

/// Takes in the list that lies at [`keys::upload`] of `id`, if that batch awaits it.
pub async fn uploaded(ports: &Ports, id: BatchId) -> PipelineResult<Arrival> {
    let batch = ports.store.batch(id).await?;
    let Some(batch) = batch.filter(|batch| batch.status == BatchStatus::Pending) else {
        return Ok(Arrival::NotAwaited);
    };
    if batch.awaits_list {
        let Some(bytes) = keep_list(ports, id).await? else {
            tracing::warn!(batch = %id, "news of a list that is not there");
            return Ok(Arrival::NotAwaited);
        };
        let change = BatchChange {
            list_bytes: Some(bytes),
            ..BatchChange::default()
        };
        let from = &[BatchStatus::Pending];
        ports
            .store
            .advance(id, from, &change, ports.clock.now())
            .await?;
        discard_upload(ports, id).await;
    }
    // Also when another process took the list in: that one may have died before it started the batch.
    if !batch.auto_start {
        return Ok(Arrival::Waiting);
    }
    start(ports, id).await?;
    Ok(Arrival::Started)
}

/// Whether a list lies where it is handed in, or was already taken from there.
pub(crate) async fn is_handed_in(ports: &Ports, id: BatchId) -> PipelineResult<bool> {
    for key in [keys::upload(id), keys::list(id)] {
        match ports.objects.head(&Path::from(key.as_str())).await {
            Ok(_) => return Ok(true),
            Err(Error::NotFound { .. }) => {}
            Err(source) => {
                return Err(PipelineError::Object {
                    operation: "read",
                    key,
                    source,
                });
            }
        }
    }
    Ok(false)
}

/// Copies the list to its place and answers with its length; `None` when it is in neither place.
async fn keep_list(ports: &Ports, id: BatchId) -> PipelineResult<Option<u64>> {
    let (from, to) = (Path::from(keys::upload(id)), Path::from(keys::list(id)));
    match ports.objects.copy_if_not_exists(&from, &to).await {
        // After a crash the list may be in its place, and the upload gone.
        Ok(()) | Err(Error::AlreadyExists { .. } | Error::NotFound { .. }) => {}
        Err(source) => return Err(written(keys::list(id), source)),
    }
    match ports.objects.head(&to).await {
        Ok(list) => Ok(Some(list.size)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(source) => Err(PipelineError::Object {
            operation: "read",
            key: keys::list(id),
            source,
        }),
    }
}

/// Removes what was copied. It is of no further use, and expires by itself where this fails.
async fn discard_upload(ports: &Ports, id: BatchId) {
    let key = keys::upload(id);
    match ports.objects.delete(&Path::from(key.as_str())).await {
        Ok(()) | Err(Error::NotFound { .. }) => {}
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(key, error, "upload not removed");
        }
    }
}
