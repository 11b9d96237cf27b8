//! The objects of a labelling: one a step, a manifest line first, then one row a line.

use std::collections::BTreeMap;

use domain::{Hash64, Outcome, PartRef, RowNumber, VisionCounters, VisionMessage, keys};
use jiff::Timestamp;
use object_store::path::Path;
use object_store::{ObjectStore, PutMode, PutOptions, PutPayload};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::objects::{self, NdjsonWriter};
use crate::{PipelineError, PipelineResult, Ports};

/// Below this entropy an image is about one colour, and its hashes say nothing.
const MIN_ENTROPY: f32 = 1.0;

/// First line of a step's object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StepManifest {
    pub(super) part: PartRef,
    pub(super) step: u32,
    /// Rows that the next step takes up.
    pub(super) leftover: Vec<RowNumber>,
    /// Tries at images that are left over, by SHA-256.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) tries: BTreeMap<String, Tries>,
    /// Seconds that the next step waits.
    pub(super) delay_s: u64,
    pub(super) stored_at: Timestamp,
    /// What all steps up to this one came to.
    pub(super) total: VisionCounters,
}

impl StepManifest {
    pub(super) const fn next(&self) -> VisionMessage {
        VisionMessage {
            part: self.part,
            step: self.step + 1,
        }
    }
}

/// How often an image was asked about in vain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tries {
    /// Answers that could not be used.
    pub(super) bad: u32,
    /// Calls that failed.
    pub(super) failed: u32,
}

/// A row with what is to be seen on its image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct VisionRow {
    pub(crate) row: RowNumber,
    pub(crate) vision: Map<String, Value>,
}

impl VisionRow {
    pub(super) fn error(row: RowNumber, reason: &str) -> Self {
        let mut vision = Map::new();
        vision.insert("error".to_owned(), reason.into());
        Self { row, vision }
    }
}

/// The fields of a result row that a labelling looks at.
#[derive(Debug, Deserialize)]
pub(super) struct ImageRow {
    pub(super) row: RowNumber,
    outcome: Outcome,
    sha256: Option<String>,
    phash: Option<Hash64>,
    dhash: Option<Hash64>,
    entropy: Option<f32>,
}

impl ImageRow {
    pub(super) fn labelled_sha256(&self) -> Option<&str> {
        let is_ok = self.outcome == Outcome::Ok;
        self.sha256.as_deref().filter(|_| is_ok)
    }

    /// What copies of it that were saved anew have in common with it.
    pub(super) fn near_content(&self) -> Option<String> {
        let (phash, dhash) = (self.phash?, self.dhash?);
        let is_telling = self.entropy.is_some_and(|entropy| entropy >= MIN_ENTROPY);
        is_telling.then(|| format!("p{phash}{dhash}"))
    }
}

pub(super) async fn read_step(
    ports: &Ports,
    part: PartRef,
    step: u32,
) -> PipelineResult<Option<StepManifest>> {
    let key = keys::vision_answers(part, step);
    let text = objects::read_optional_text(ports, &key).await?;
    match objects::lines(&text).next() {
        None => Ok(None),
        Some(line) => Ok(objects::parse_lines(&key, line)?.into_iter().next()),
    }
}

/// Stores a step unless it is there already, and returns the manifest that now counts, and whether it is ours.
pub(super) async fn put_step(
    ports: &Ports,
    manifest: StepManifest,
    rows: &[VisionRow],
) -> PipelineResult<(StepManifest, bool)> {
    let key = keys::vision_answers(manifest.part, manifest.step);
    let body = encode(&manifest, rows).map_err(|error| corrupt(&key, &error.to_string()))?;
    let options = PutOptions::from(PutMode::Create);
    let location = Path::from(key.as_str());
    let payload = PutPayload::from(body);
    match ports.objects.put_opts(&location, payload, options).await {
        Ok(_) => Ok((manifest, true)),
        Err(object_store::Error::AlreadyExists { .. }) => {
            let stored = read_step(ports, manifest.part, manifest.step).await?;
            let stored = stored.ok_or_else(|| corrupt(&key, "it was there and is gone"))?;
            Ok((stored, false))
        }
        Err(source) => Err(objects::written(key, source)),
    }
}

fn encode(manifest: &StepManifest, rows: &[VisionRow]) -> std::io::Result<bytes::Bytes> {
    let mut writer = NdjsonWriter::new()?;
    writer.write(manifest)?;
    for row in rows {
        writer.write(row)?;
    }
    writer.finish()
}

/// The rows of a step's object.
pub(crate) async fn read_answers(ports: &Ports, key: &str) -> PipelineResult<Vec<VisionRow>> {
    let mut text = objects::read_optional_text(ports, key).await?;
    let first = objects::lines(&text).next().unwrap_or_default().len();
    text.drain(..(first + 1).min(text.len()));
    objects::parse_lines(key, &text)
}

fn corrupt(key: &str, reason: &str) -> PipelineError {
    PipelineError::CorruptObject {
        key: key.to_owned(),
        reason: reason.to_owned(),
    }
}
