//! Chunk and result objects: zstd-compressed NDJSON.

use std::io::{BufRead, BufWriter, IntoInnerError, Write};

use bytes::Bytes;
use domain::{ChunkRow, Counters, KpiDelta, Minute, PartRef, Priority, ResultRow, RowNumber, keys};
use futures::TryStreamExt;
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
    /// Parts of the chunk before this one, since its batch began or was last retried.
    #[serde(default)]
    pub(crate) parts_before: u32,
    /// Seconds the next part waits.
    pub(crate) delay_s: u64,
    /// Minute in which the part ended.
    pub(crate) minute: Minute,
    /// Counts and indicators of the rows below.
    pub(crate) delta: KpiDelta,
    /// Set where the part begins a retry: it has no rows of its own and takes those it leaves over back from the parts before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retry: Option<TakenBack>,
    /// Requests that earlier generations made for rows that are left over, ascending by row; where there were none, nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) earlier_attempts: Vec<(RowNumber, u32)>,
    /// Requests in `delta` that earlier generations made, and that were added to the indicators then.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) attempts_known: u64,
    /// Set where a model is to be asked about the images of the rows below: in which order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) labelling: Option<Priority>,
}

/// What a part that begins a retry takes back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TakenBack {
    /// The generation that it belongs to.
    pub(crate) generation: u32,
    /// What its rows had counted.
    pub(crate) counters: Counters,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Encodes values one at a time into a compressed NDJSON object.
pub(crate) struct NdjsonWriter {
    /// JSON comes in pieces of a few bytes, each of which would cost the encoder a call.
    text: BufWriter<zstd::Encoder<'static, Vec<u8>>>,
}

impl NdjsonWriter {
    pub(crate) fn new() -> std::io::Result<Self> {
        let encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
        Ok(Self {
            text: BufWriter::new(encoder),
        })
    }

    pub(crate) fn write<T: Serialize>(&mut self, value: &T) -> std::io::Result<()> {
        serde_json::to_writer(&mut self.text, value)?;
        self.text.write_all(b"\n")
    }

    pub(crate) fn finish(self) -> std::io::Result<Bytes> {
        let encoder = self.text.into_inner().map_err(IntoInnerError::into_error)?;
        encoder.finish().map(Bytes::from)
    }
}

fn corrupt(key: &str, reason: impl std::fmt::Display) -> PipelineError {
    PipelineError::CorruptObject {
        key: key.to_owned(),
        reason: reason.to_string(),
    }
}

/// The lines of an uncompressed object, each without its end.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

/// The uncompressed content of an object that has to be there.
async fn read_text(ports: &Ports, key: &str) -> PipelineResult<Vec<u8>> {
    let bytes = get(ports, key)
        .await?
        .ok_or_else(|| corrupt(key, "it is missing"))?;
    zstd::decode_all(bytes.as_ref()).map_err(|error| corrupt(key, error))
}

/// The uncompressed content of an object; nothing where there is none.
pub(crate) async fn read_optional_text(ports: &Ports, key: &str) -> PipelineResult<Vec<u8>> {
    let Some(bytes) = get(ports, key).await? else {
        return Ok(Vec::new());
    };
    zstd::decode_all(bytes.as_ref()).map_err(|error| corrupt(key, error))
}

/// The rows of a chunk.
pub(crate) async fn read_chunk(ports: &Ports, part: PartRef) -> PipelineResult<Vec<ChunkRow>> {
    let key = keys::chunk(part.batch, part.chunk);
    let text = read_text(ports, &key).await?;
    parse_lines(&key, &text)
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
    let mut line = Vec::new();
    zstd::Decoder::with_buffer(bytes.as_ref())
        .and_then(|rows| std::io::BufReader::new(rows).read_until(b'\n', &mut line))
        .map_err(|error| corrupt(&key, error))?;
    let manifest = serde_json::from_slice(&line).map_err(|error| corrupt(&key, error))?;
    Ok(Some(manifest))
}

/// Parses every line of an object's text.
pub(crate) fn parse_lines<T: DeserializeOwned>(key: &str, text: &[u8]) -> PipelineResult<Vec<T>> {
    lines(text)
        .map(|line| serde_json::from_slice(line).map_err(|error| corrupt(key, error)))
        .collect()
}

/// A result object: its manifest, and its rows as they are written, one [`ResultRow`] a line, ascending.
pub(crate) async fn read_part(ports: &Ports, key: &str) -> PipelineResult<(Manifest, Vec<u8>)> {
    let mut text = read_text(ports, key).await?;
    let first = lines(&text).next().unwrap_or_default();
    let manifest = serde_json::from_slice(first).map_err(|error| corrupt(key, error))?;
    text.drain(..(first.len() + 1).min(text.len()));
    Ok((manifest, text))
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

/// Keys of the objects below a folder, in order.
pub(crate) async fn keys_below(ports: &Ports, folder: String) -> PipelineResult<Vec<String>> {
    let listed: Result<Vec<String>, object_store::Error> = ports
        .objects
        .list(Some(&Path::from(folder.as_str())))
        .map_ok(|object| object.location.to_string())
        .try_collect()
        .await;
    let mut keys = listed.map_err(|source| PipelineError::Object {
        operation: "listed",
        key: folder,
        source,
    })?;
    keys.sort_unstable();
    Ok(keys)
}
