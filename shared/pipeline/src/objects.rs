//! Chunk and result objects: zstd-compressed NDJSON.

use std::io::{BufRead, Write};

use bytes::Bytes;
use domain::{ChunkRow, KpiDelta, Minute, PartRef, ResultRow, RowNumber, keys};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{PipelineError, PipelineResult, Ports};

/// Level 1 keeps up with the split; the rows are repetitive enough that higher levels gain little.
const ZSTD_LEVEL: i32 = 1;

/// First line of a result object: what its commit needs, so that a repeat need not read the rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) part: PartRef,
    /// Rows the next part takes up.
    pub(crate) leftover: Vec<RowNumber>,
    /// Times rows of this chunk were left over because time ran out, this time included.
    pub(crate) deferrals: u32,
    /// Seconds the next part waits.
    pub(crate) delay_s: u64,
    /// Minute in which the part ended.
    pub(crate) minute: Minute,
    /// Counts and indicators of the rows below.
    pub(crate) delta: KpiDelta,
}

/// Encodes values one at a time into a compressed NDJSON object.
pub(crate) struct NdjsonWriter {
    encoder: zstd::Encoder<'static, Vec<u8>>,
}

impl NdjsonWriter {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            encoder: zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?,
        })
    }

    pub(crate) fn write<T: Serialize>(&mut self, value: &T) -> std::io::Result<()> {
        serde_json::to_writer(&mut self.encoder, value)?;
        self.encoder.write_all(b"\n")
    }

    pub(crate) fn finish(self) -> std::io::Result<Bytes> {
        self.encoder.finish().map(Bytes::from)
    }
}

fn lines(bytes: &Bytes) -> std::io::Result<impl Iterator<Item = std::io::Result<Vec<u8>>> + '_> {
    let decoder = zstd::Decoder::with_buffer(bytes.as_ref())?;
    Ok(std::io::BufReader::with_capacity(64 * 1024, decoder).split(b'\n'))
}

fn corrupt(key: &str, reason: impl std::fmt::Display) -> PipelineError {
    PipelineError::CorruptObject {
        key: key.to_owned(),
        reason: reason.to_string(),
    }
}

fn parse_line<T: DeserializeOwned>(key: &str, line: std::io::Result<Vec<u8>>) -> PipelineResult<T> {
    let line = line.map_err(|error| corrupt(key, error))?;
    serde_json::from_slice(&line).map_err(|error| corrupt(key, error))
}

/// The rows of a chunk.
pub(crate) async fn read_chunk(ports: &Ports, part: PartRef) -> PipelineResult<Vec<ChunkRow>> {
    let key = keys::chunk(part.batch, part.chunk);
    let bytes = get(ports, &key)
        .await?
        .ok_or_else(|| corrupt(&key, "it is missing"))?;
    lines(&bytes)
        .map_err(|error| corrupt(&key, error))?
        .map(|line| parse_line(&key, line))
        .collect()
}

/// The manifest of a part's result object, or `None` while there is none.
pub(crate) async fn read_manifest(
    ports: &Ports,
    part: PartRef,
) -> PipelineResult<Option<Manifest>> {
    let key = keys::result(part);
    let Some(bytes) = get(ports, &key).await? else {
        return Ok(None);
    };
    let first = lines(&bytes).map_err(|error| corrupt(&key, error))?.next();
    let line = first.ok_or_else(|| corrupt(&key, "it is empty"))?;
    parse_line(&key, line).map(Some)
}

/// The rows of a result object, as `T`: [`ResultRow`], or a struct with some of its fields.
pub(crate) async fn read_results<T: DeserializeOwned>(
    ports: &Ports,
    key: &str,
) -> PipelineResult<Vec<T>> {
    let bytes = get(ports, key)
        .await?
        .ok_or_else(|| corrupt(key, "it is missing"))?;
    lines(&bytes)
        .map_err(|error| corrupt(key, error))?
        .skip(1)
        .map(|line| parse_line(key, line))
        .collect()
}

/// Stores a part's results unless they are there already, and returns the manifest that now counts: ours, or the stored one.
pub(crate) async fn put_results(
    ports: &Ports,
    manifest: Manifest,
    rows: &[ResultRow],
) -> PipelineResult<Manifest> {
    let key = keys::result(manifest.part);
    let body = encode_results(&manifest, rows).map_err(|error| corrupt(&key, error))?;
    let options = PutOptions::from(PutMode::Create);
    let put = ports
        .objects
        .put_opts(&Path::from(key.as_str()), PutPayload::from(body), options)
        .await;
    match put {
        Ok(_) => Ok(manifest),
        Err(object_store::Error::AlreadyExists { .. }) => read_manifest(ports, manifest.part)
            .await?
            .ok_or_else(|| corrupt(&key, "it was there and is gone")),
        Err(source) => Err(written(key, source)),
    }
}

fn encode_results(manifest: &Manifest, rows: &[ResultRow]) -> std::io::Result<Bytes> {
    let mut writer = NdjsonWriter::new()?;
    writer.write(manifest)?;
    for row in rows {
        writer.write(row)?;
    }
    writer.finish()
}

/// The bytes of an object, or `None` when there is none.
pub(crate) async fn get(ports: &Ports, key: &str) -> PipelineResult<Option<Bytes>> {
    let read = |source| PipelineError::Object {
        operation: "read",
        key: key.to_owned(),
        source,
    };
    match ports.objects.get(&Path::from(key)).await {
        Ok(found) => found.bytes().await.map(Some).map_err(read),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(source) => Err(read(source)),
    }
}

/// Stores an object, over one that may be there.
pub(crate) async fn put(ports: &Ports, key: String, body: Bytes) -> PipelineResult<()> {
    ports
        .objects
        .put(&Path::from(key.as_str()), PutPayload::from(body))
        .await
        .map(|_| ())
        .map_err(|source| written(key, source))
}

pub(crate) fn written(key: String, source: object_store::Error) -> PipelineError {
    PipelineError::Object {
        operation: "written",
        key,
        source,
    }
}
