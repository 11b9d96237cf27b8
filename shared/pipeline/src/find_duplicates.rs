//! Finds the duplicates of a batch while its results are counted, and writes what was found beside them.

use std::fmt;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::iter::Peekable;
use std::path::Path;

use domain::{Batch, BatchId, DuplicateOptions, Issue, Outcome, Positions, RowNumber, keys};
use duplicates::{
    Duplicate, DuplicatesError, Finder, Finding, Findings, Group, Image, Orientation, Origin,
    Settings,
};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::annotations::{Annotation, AnnotationObject, AnnotationWriter};
use crate::duplicate_index;
use crate::hosts::host_of;
use crate::objects;
use crate::parts::{OfRow, read_current_rows};
use crate::report::ReportRow;
use crate::results::result_keys_of_chunk;
use crate::vision_answers::{AnswerText, send_answers};
use crate::{PipelineError, PipelineResult, Ports};

/// Chunks of images that may wait for the thread that takes them.
const CHUNKS_WAITING: usize = 4;

/// The duplicates of a batch, for a report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DuplicateSummary {
    /// Groups of two rows or more.
    pub groups: u64,
    /// Rows with the bytes of an earlier row.
    pub exact_rows: u64,
    /// Bytes of their bodies together.
    pub exact_bytes: u64,
    /// Rows that look like an earlier row, and have the bytes of none.
    pub near_rows: u64,
    /// Bytes of their bodies together.
    pub near_bytes: u64,
    /// Rows that are a stand-in picture of their host; most of them are exact duplicates too.
    pub placeholder_rows: u64,
    /// Earlier batches whose images counted as well.
    #[serde(default)]
    pub earlier_batches: u64,
    /// Why the earlier batch that was named did not count, if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_compared: Option<String>,
    /// The largest groups, the largest first.
    pub largest_groups: Vec<DuplicateGroup>,
}

/// Rows that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DuplicateGroup {
    /// The earliest row, which all others are like: their `duplicate_group`.
    pub representative: RowNumber,
    /// The earlier batch it is a row of; `None` where it is one of this batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchId>,
    /// Its URL; empty where its batch is gone.
    pub url: String,
    /// Rows of this batch.
    pub rows: u64,
    /// Of them, exact duplicates of an earlier row.
    pub exact_rows: u64,
    /// Bytes of their bodies, the representative's not counted.
    pub bytes: u64,
    /// The row with the most pixels: the representative, or one of this batch.
    pub largest: RowNumber,
    /// Some of the other rows.
    pub examples: Vec<RowNumber>,
}

/// The fields of a result row that name it.
#[derive(Debug, Deserialize)]
struct NamedRow {
    row: RowNumber,
    url: String,
}

impl OfRow for NamedRow {
    fn number(&self) -> RowNumber {
        self.row
    }
}

/// What came of a search.
struct Found {
    findings: Findings,
    /// The index for later batches; `None` where no image loaded.
    index: Option<File>,
    not_compared: Option<String>,
}

/// What a batch is searched with.
fn settings_of(options: &DuplicateOptions) -> Settings {
    Settings {
        max_distance: options.distance,
        orientation: match options.positions {
            Positions::Upright => Orientation::Upright,
            Positions::Mirrored => Orientation::Mirrored,
            Positions::Turned => Orientation::Turned,
        },
        ..Settings::default()
    }
}

/// What a search is matched against.
enum Against {
    Nothing,
    /// An index of earlier batches.
    Index(File),
    /// One that is not there any more.
    Gone,
}

/// A search that has read what it is to be matched against, or why it could not.
fn begin(
    settings: &Settings,
    scratch: &Path,
    against: Against,
) -> Result<(Finder, Option<String>), DuplicatesError> {
    let mut finder = Finder::new(settings.clone(), scratch)?;
    let not_compared = match against {
        Against::Nothing => return Ok((finder, None)),
        Against::Gone => "the earlier batch has no index of its images any more".to_owned(),
        Against::Index(index) => match finder.match_against(index) {
            Ok(()) => return Ok((finder, None)),
            Err(error) if error.is_retryable() => return Err(error),
            Err(error) => error.to_string(),
        },
    };
    // The report is worth more without the comparison than no report; it says what is missing.
    Ok((Finder::new(settings.clone(), scratch)?, Some(not_compared)))
}

/// A search at work on a thread of its own.
pub(crate) struct Search {
    images: mpsc::Sender<Vec<Image>>,
    /// Those of the chunk being read.
    taken: Vec<Image>,
    worker: JoinHandle<Result<Found, DuplicatesError>>,
    /// Gives every host a number of this search.
    hosts: RandomState,
}

impl Search {
    pub(crate) async fn start(ports: &Ports, batch: &Batch) -> PipelineResult<Self> {
        let (images, mut taken) = mpsc::channel::<Vec<Image>>(CHUNKS_WAITING);
        let scratch = ports.scratch.clone();
        let options = batch.options.duplicates.unwrap_or_default();
        let settings = settings_of(&options);
        let against = match options.against {
            None => Against::Nothing,
            Some(earlier) => duplicate_index::fetch(ports, earlier)
                .await?
                .map_or(Against::Gone, Against::Index),
        };
        let label = batch.id.as_u128();
        let worker = spawn_blocking(move || {
            let (mut finder, not_compared) = begin(&settings, &scratch, against)?;
            while let Some(images) = taken.blocking_recv() {
                for image in &images {
                    finder.add(image)?;
                }
            }
            let mut findings = finder.finish()?;
            let mut index = None;
            if findings.summary().images > 0 || !findings.earlier_batches().is_empty() {
                let file = tempfile::tempfile_in(&scratch).map_err(DuplicatesError::Scratch)?;
                findings.write_index(label, &file)?;
                index = Some(file);
            }
            Ok(Found {
                findings,
                index,
                not_compared,
            })
        });
        Ok(Self {
            images,
            taken: Vec::new(),
            worker,
            hosts: RandomState::new(),
        })
    }

    /// Adds a row, if it has an image.
    pub(crate) fn take(&mut self, row: &ReportRow) {
        let loaded = row.sha256.filter(|_| row.outcome == Outcome::Ok);
        let Some(Sha256(sha256)) = loaded else {
            return;
        };
        self.taken.push(Image {
            row: row.row,
            sha256,
            phash: row.phash,
            entropy: row.entropy,
            contrast: row.contrast,
            host: self.hosts.hash_one(host_of(&row.url)),
            pixels: u64::from(row.width.unwrap_or(0)) * u64::from(row.height.unwrap_or(0)),
            bytes: row.bytes.unwrap_or(0),
        });
    }

    /// Hands on the rows added since the last time.
    pub(crate) async fn hand_on(&mut self) {
        // A worker that no longer listens has failed, which `finish` tells.
        let _ = self.images.send(std::mem::take(&mut self.taken)).await;
    }

    /// Finds what is the same in the rows added, and writes it for the batch's generation. A repeat writes the same.
    pub(crate) async fn finish(
        mut self,
        ports: &Ports,
        batch: &Batch,
    ) -> PipelineResult<DuplicateSummary> {
        self.hand_on().await;
        drop(self.images);
        let found = self.worker.await.map_err(PipelineError::Panicked)??;
        let (findings, not_compared) = (found.findings, found.not_compared);
        if let Some(index) = found.index {
            duplicate_index::store(ports, batch, index).await?;
        }
        let found = findings.summary().clone();
        let batches = EarlierBatches::of(&findings);
        let earlier_batches = batches.0.len() as u64;
        write(ports, batch, findings).await?;
        let mut largest_groups = Vec::with_capacity(found.largest_groups.len());
        for group in found.largest_groups {
            largest_groups.push(describe(ports, batch, &batches, group).await?);
        }
        Ok(DuplicateSummary {
            groups: found.groups,
            exact_rows: found.exact.rows,
            exact_bytes: found.exact.bytes,
            near_rows: found.near.rows,
            near_bytes: found.near.bytes,
            placeholder_rows: found.placeholders,
            earlier_batches,
            not_compared,
            largest_groups,
        })
    }
}

/// The earlier batches of an index, by their position in it.
#[derive(Clone)]
struct EarlierBatches(Vec<BatchId>);

impl EarlierBatches {
    fn of(findings: &Findings) -> Self {
        let labels = findings.earlier_batches().iter();
        Self(labels.map(|label| BatchId::from_u128(*label)).collect())
    }

    /// The batch of a row, unless it is the one at hand.
    fn batch(&self, of: Origin) -> Option<BatchId> {
        self.0.get(of.batch as usize).copied()
    }
}

async fn write(ports: &Ports, batch: &Batch, findings: Findings) -> PipelineResult<()> {
    let (objects, mut written) = mpsc::channel::<AnnotationObject>(1);
    let (answers, known) = mpsc::channel::<Vec<AnswerText>>(1);
    let worker = spawn_blocking(move || encode(findings, known, &objects));
    let put = async {
        while let Some((position, body)) = written.recv().await {
            let key = keys::annotation(batch.id, batch.generation(), position);
            objects::put(ports, key, body).await?;
        }
        Ok(())
    };
    let send = async move {
        // Moved in, so that the worker sees its end.
        let answers = answers;
        send_answers(ports, batch.id, &answers).await
    };
    tokio::try_join!(put, send)?;
    worker.await.map_err(PipelineError::Panicked)??;
    Ok(())
}

fn encode(
    findings: Findings,
    mut known: mpsc::Receiver<Vec<AnswerText>>,
    objects: &mpsc::Sender<AnnotationObject>,
) -> Result<(), DuplicatesError> {
    let mut writer = AnnotationWriter::default();
    let batches = EarlierBatches::of(&findings);
    let mut findings = findings
        .map(|finding| finding.map(|finding| annotation_of(finding, &batches)))
        .peekable();
    let mut answers = std::iter::from_fn(|| known.blocking_recv())
        .flatten()
        .peekable();
    while let Some(annotation) = next_of_both(&mut findings, &mut answers) {
        let whole = writer
            .write(&annotation?)
            .map_err(DuplicatesError::Scratch)?;
        // Who no longer listens has failed to store an object, and tells.
        if let Some(object) = whole
            && objects.blocking_send(object).is_err()
        {
            return Ok(());
        }
    }
    if let Some(object) = writer.finish().map_err(DuplicatesError::Scratch)? {
        let _ = objects.blocking_send(object);
    }
    Ok(())
}

/// The next row of which anything is known, from two sources that are both ascending by row.
fn next_of_both<E>(
    findings: &mut Peekable<impl Iterator<Item = Result<Annotation, E>>>,
    answers: &mut Peekable<impl Iterator<Item = AnswerText>>,
) -> Option<Result<Annotation, E>> {
    let found = match findings.peek() {
        Some(Ok(annotation)) => Some(annotation.row),
        Some(Err(_)) => return findings.next(),
        None => None,
    };
    let answered = answers.peek().map(|(row, _)| *row);
    let row = found.into_iter().chain(answered).min()?;
    let mut annotation = Annotation {
        row,
        duplicate_of: None,
        duplicate_of_batch: None,
        duplicate_group: None,
        duplicate_group_batch: None,
        issues: Vec::new(),
        vision: None,
    };
    if found == Some(row)
        && let Some(finding) = findings.next()
    {
        match finding {
            Ok(finding) => annotation = finding,
            Err(error) => return Some(Err(error)),
        }
    }
    if answered == Some(row) {
        annotation.vision = answers.next().map(|(_, text)| text);
    }
    Some(Ok(annotation))
}

fn annotation_of(finding: Finding, batches: &EarlierBatches) -> Annotation {
    let mut annotation = Annotation {
        row: finding.row,
        duplicate_of: None,
        duplicate_of_batch: None,
        duplicate_group: finding.group.map(|Origin { row, .. }| row),
        duplicate_group_batch: finding.group.and_then(|group| batches.batch(group)),
        issues: Vec::new(),
        vision: None,
    };
    if finding.is_placeholder {
        annotation.issues.push(Issue::Placeholder);
    }
    let (of, issue) = match finding.duplicate {
        Some(Duplicate::Exact(of)) => (of, Issue::ExactDuplicate),
        Some(Duplicate::Near(of)) => (of, Issue::NearDuplicate),
        None => return annotation,
    };
    annotation.duplicate_of = Some(of.row);
    annotation.duplicate_of_batch = batches.batch(of);
    annotation.issues.push(issue);
    annotation
}

async fn describe(
    ports: &Ports,
    batch: &Batch,
    batches: &EarlierBatches,
    group: Group,
) -> PipelineResult<DuplicateGroup> {
    let representative = group.representative.row;
    let earlier = batches.batch(group.representative);
    let url = match earlier {
        None => url_of(ports, batch, representative).await?,
        Some(id) => match ports.store.batch(id).await? {
            Some(earlier) => url_of(ports, &earlier, representative).await?,
            None => String::new(),
        },
    };
    Ok(DuplicateGroup {
        representative,
        batch: earlier,
        url,
        rows: group.members + u64::from(earlier.is_none()),
        exact_rows: group.exact,
        bytes: group.bytes,
        largest: group.largest.row,
        examples: group.examples.iter().map(|origin| origin.row).collect(),
    })
}

/// The URL of a row that has a result.
async fn url_of(ports: &Ports, batch: &Batch, number: RowNumber) -> PipelineResult<String> {
    let chunk_size = u64::from(batch.checkpoint.chunk_size.max(1));
    let keys = result_keys_of_chunk(ports, batch.id, (number / chunk_size) as u32).await?;
    let rows: Vec<NamedRow> = read_current_rows(ports, &keys).await?;
    let row = rows.into_iter().find(|row| row.row == number);
    Ok(row.map_or_else(String::new, |row| row.url))
}

/// 64 hexadecimal digits, read without a string in between.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sha256([u8; 32]);

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = Sha256;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("64 hexadecimal digits")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Sha256, E> {
                let (pairs, rest) = text.as_bytes().as_chunks::<2>();
                let mut bytes = [0; 32];
                if pairs.len() != bytes.len() || !rest.is_empty() {
                    return Err(E::invalid_length(text.len(), &self));
                }
                for (byte, pair) in bytes.iter_mut().zip(pairs) {
                    let digit = |at: u8| char::from(at).to_digit(16);
                    let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
                        return Err(E::invalid_value(de::Unexpected::Str(text), &self));
                    };
                    *byte = (high << 4 | low) as u8;
                }
                Ok(Sha256(bytes))
            }
        }
        deserializer.deserialize_str(Digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_and_answers_of_a_row_come_together_in_order() {
        let finding = |row| Annotation {
            row,
            duplicate_of: Some(0),
            duplicate_of_batch: None,
            duplicate_group: None,
            duplicate_group_batch: None,
            issues: Vec::new(),
            vision: None,
        };
        let findings = [1, 4, 9].map(|row| Ok::<_, ()>(finding(row)));
        let answers = [0, 4, 5].map(|row| (row, format!("{row}")));
        let mut findings = findings.into_iter().peekable();
        let mut answers = answers.into_iter().peekable();
        let mut seen = Vec::new();
        while let Some(next) = next_of_both(&mut findings, &mut answers) {
            let next = next.unwrap();
            seen.push((next.row, next.duplicate_of.is_some(), next.vision.is_some()));
        }
        let expected = [
            (0, false, true),
            (1, true, false),
            (4, true, true),
            (5, false, true),
            (9, true, false),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_digest_is_read_from_its_digits() {
        let text = format!("\"{}ff\"", "0a".repeat(31));
        let Sha256(bytes) = serde_json::from_str(&text).unwrap();
        assert_eq!((bytes[0], bytes[31]), (0x0a, 0xff));
        for wrong in ["", "0a", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64)] {
            assert!(serde_json::from_str::<Sha256>(&format!("\"{wrong}\"")).is_err());
        }
    }
}
