//! The images of a batch as later batches are matched against them: an object beside its annotations, as long as the batch is there.

use std::fs::File;
use std::io::{Read, Seek, Write};

use bytes::Bytes;
use domain::{Batch, BatchId, keys};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStoreExt, WriteMultipart};

use crate::{PipelineError, PipelineResult, Ports, objects};

/// Bytes of an index sent at once.
const PIECE_BYTES: usize = 8 * 1024 * 1024;
/// Pieces being sent at once: with the one being read, the bound on memory.
const PIECES_IN_FLIGHT: usize = 2;

/// Stores the index of a batch's generation, over one that may be there.
pub(crate) async fn store(ports: &Ports, batch: &Batch, mut index: File) -> PipelineResult<()> {
    let key = keys::duplicate_index(batch.id, batch.generation());
    index.rewind().map_err(PipelineError::Scratch)?;
    let (mut index, first) = next_piece(index).await?;
    if first.len() < PIECE_BYTES {
        return objects::put(ports, key, first).await;
    }
    let failed = |source| objects::written(key.clone(), source);
    let path = Path::from(key.as_str());
    let upload = ports.objects.put_multipart(&path).await.map_err(failed)?;
    let mut writer = WriteMultipart::new_with_chunk_size(upload, PIECE_BYTES);
    let mut piece = first;
    while !piece.is_empty() {
        let room = writer.wait_for_capacity(PIECES_IN_FLIGHT).await;
        room.map_err(failed)?;
        writer.put(piece);
        (index, piece) = next_piece(index).await?;
    }
    writer.finish().await.map(drop).map_err(failed)
}

/// Up to [`PIECE_BYTES`] of a file, and the file; nothing at its end.
async fn next_piece(file: File) -> PipelineResult<(File, Bytes)> {
    let read = tokio::task::spawn_blocking(move || {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        (&file)
            .take(PIECE_BYTES as u64)
            .read_to_end(&mut piece)
            .map(|_| (file, Bytes::from(piece)))
    });
    let read = read.await.map_err(PipelineError::Panicked)?;
    read.map_err(PipelineError::Scratch)
}

/// The latest index of a batch in an unlinked scratch file, from its beginning; `None` where there is none.
pub(crate) async fn fetch(ports: &Ports, batch: BatchId) -> PipelineResult<Option<File>> {
    let Some(key) = latest(ports, batch).await? else {
        return Ok(None);
    };
    let failed = |source| PipelineError::Object {
        operation: "read",
        key: key.clone(),
        source,
    };
    let found = match ports.objects.get(&Path::from(key.as_str())).await {
        Ok(found) => found,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(source) => return Err(failed(source)),
    };
    let mut file = tempfile::tempfile_in(&ports.scratch).map_err(PipelineError::Scratch)?;
    let mut pieces = found.into_stream();
    while let Some(piece) = pieces.try_next().await.map_err(failed)? {
        let written = tokio::task::spawn_blocking(move || file.write_all(&piece).map(|()| file));
        let written = written.await.map_err(PipelineError::Panicked)?;
        file = written.map_err(PipelineError::Scratch)?;
    }
    file.rewind().map_err(PipelineError::Scratch)?;
    Ok(Some(file))
}

/// The key of the index of the last generation that has one.
async fn latest(ports: &Ports, batch: BatchId) -> PipelineResult<Option<String>> {
    let listed = objects::keys_below(ports, keys::annotations(batch)).await?;
    let indexes = listed.into_iter().filter(|key| key.ends_with("/index"));
    Ok(indexes.max())
}

/// Whether a batch has an index to be matched against.
pub async fn exists(ports: &Ports, batch: BatchId) -> PipelineResult<bool> {
    Ok(latest(ports, batch).await?.is_some())
}

/// Copies the index of a batch that lies in another object store to where a search finds it.
pub async fn bring(from: &Ports, to: &Ports, batch: &Batch) -> PipelineResult<()> {
    match fetch(from, batch.id).await? {
        Some(index) => store(to, batch, index).await,
        None => Ok(()),
    }
}

/// Removes what [`bring`] has copied.
pub async fn discard(to: &Ports, batch: BatchId) -> PipelineResult<()> {
    crate::delete::remove_below(to, &keys::annotations(batch)).await
}
