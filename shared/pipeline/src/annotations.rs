//! What is known of a row only once all rows are: which it duplicates. Result objects never change, so it lies beside them, and whoever
//! hands rows out merges the two by row.
//!
//! An object holds the annotations of 65,536 row numbers, so that a page of results reads one of them, and an export one at a
//! time. They belong to a generation of their batch: while rows are done again, nothing is known of the whole.

use std::sync::Arc;

use bytes::Bytes;
use domain::{Batch, BatchId, Issue, ResultRow, RowNumber, keys};
use serde::{Deserialize, Serialize};

use crate::objects::{self, NdjsonWriter};
use crate::rule_packs::Packs;
use crate::{PipelineResult, Ports};

/// Row numbers that share an object.
const ROWS_PER_OBJECT: u64 = 1 << 16;

/// What is added to a result row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Annotation {
    pub(crate) row: RowNumber,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) duplicate_of: Option<RowNumber>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) duplicate_of_batch: Option<BatchId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) duplicate_group: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) duplicate_group_batch: Option<BatchId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) issues: Vec<Issue>,
    /// What a model sees, as JSON text: a reader of some rows need not take apart what belongs to thousands of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) vision: Option<String>,
}

impl Annotation {
    /// Adds what it says to its row.
    pub(crate) fn apply(&self, row: &mut ResultRow) {
        if self.duplicate_of.is_some() {
            row.duplicate_of = self.duplicate_of;
            row.duplicate_of_batch = self.duplicate_of_batch;
        }
        if self.duplicate_group.is_some() {
            row.duplicate_group = self.duplicate_group;
            row.duplicate_group_batch = self.duplicate_group_batch;
        }
        row.issues.extend(&self.issues);
        row.issues.sort_unstable();
        row.issues.dedup();
        if let Some(vision) = &self.vision {
            // Written by us; what cannot be read is as none.
            row.vision = serde_json::from_str(vision).ok();
        }
    }
}

/// The annotation of row `number` among `annotations`, which are ascending by row.
pub(crate) fn of_row(annotations: &[Annotation], number: RowNumber) -> Option<&Annotation> {
    let found = annotations.binary_search_by_key(&number, |annotation| annotation.row);
    found.ok().and_then(|position| annotations.get(position))
}

/// Adds what `annotations`, which are ascending by row, say about `row`.
fn annotate(row: &mut ResultRow, annotations: &[Annotation]) {
    if let Some(annotation) = of_row(annotations, row.row) {
        annotation.apply(row);
    }
}

/// The annotations of a batch, for a reader who asks for rows in about ascending order.
pub(crate) struct Annotations {
    /// Batch and generation; `None` while there are none.
    of: Option<(BatchId, u32)>,
    /// The object read last, by its position.
    read: Option<(u64, Vec<Annotation>)>,
    /// What the rows are checked against.
    packs: Arc<Packs>,
}

impl Annotations {
    /// Those of a batch as it stands: none before its report is written.
    pub(crate) async fn of(ports: &Ports, id: BatchId) -> PipelineResult<Self> {
        let batch = ports.store.batch(id).await?;
        let packs = batch.as_ref().map(Packs::of).unwrap_or_default();
        let of = batch
            .filter(|batch| batch.report_ready)
            .map(|batch| (id, batch.generation()));
        Ok(Self {
            of,
            read: None,
            packs: Arc::new(packs),
        })
    }

    /// Those of a batch whose report is being written, which needs them.
    pub(crate) fn of_report(batch: &Batch) -> Self {
        Self {
            of: Some((batch.id, batch.generation())),
            read: None,
            packs: Arc::default(),
        }
    }

    /// What finishes rows, apart from the annotations themselves.
    pub(crate) fn finish(&self) -> Finish {
        Finish {
            packs: Arc::clone(&self.packs),
            is_final: self.of.is_some(),
        }
    }

    /// Those of some rows: from the smallest to the largest of `rows`.
    pub(crate) async fn around(
        &mut self,
        ports: &Ports,
        rows: impl Iterator<Item = RowNumber> + Clone,
    ) -> PipelineResult<Vec<Annotation>> {
        let (Some(of), Some(first), Some(last)) = (self.of, rows.clone().min(), rows.max()) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for position in first / ROWS_PER_OBJECT..=last / ROWS_PER_OBJECT {
            let all = self.object(ports, of, position).await?;
            let start = all.partition_point(|annotation| annotation.row < first);
            let end = all.partition_point(|annotation| annotation.row <= last);
            found.extend_from_slice(&all[start..end]);
        }
        Ok(found)
    }

    async fn object(
        &mut self,
        ports: &Ports,
        (batch, generation): (BatchId, u32),
        position: u64,
    ) -> PipelineResult<&[Annotation]> {
        if self.read.as_ref().is_none_or(|(read, _)| *read != position) {
            let key = keys::annotation(batch, generation, position);
            let text = objects::read_optional_text(ports, &key).await?;
            self.read = Some((position, objects::parse_lines(&key, &text)?));
        }
        Ok(self
            .read
            .as_ref()
            .map_or(&[], |(_, annotations)| annotations))
    }
}

/// Adds to rows what is not stored in them.
#[derive(Clone)]
pub(crate) struct Finish {
    packs: Arc<Packs>,
    is_final: bool,
}

impl Finish {
    /// Whether it adds nothing to rows without an annotation.
    pub(crate) fn is_idle(&self) -> bool {
        self.packs.is_empty()
    }

    /// Adds what `annotations`, which are ascending by row, and the rules say about `row`.
    pub(crate) fn apply(&self, row: &mut ResultRow, annotations: &[Annotation]) {
        annotate(row, annotations);
        if !self.packs.is_empty() {
            self.packs.apply(row, self.is_final);
        }
    }
}

/// Groups annotations, which come ascending by row, into objects.
#[derive(Default)]
pub(crate) struct AnnotationWriter {
    position: u64,
    writer: Option<NdjsonWriter>,
}

/// An object of annotations: its position and content.
pub(crate) type AnnotationObject = (u64, Bytes);

impl AnnotationWriter {
    /// Adds one. The object before it, once it is whole.
    pub(crate) fn write(
        &mut self,
        annotation: &Annotation,
    ) -> std::io::Result<Option<AnnotationObject>> {
        let position = annotation.row / ROWS_PER_OBJECT;
        let mut whole = None;
        if position != self.position {
            whole = self.finish()?;
            self.position = position;
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => self.writer.insert(NdjsonWriter::new()?),
        };
        writer.write(annotation)?;
        Ok(whole)
    }

    /// The last object.
    pub(crate) fn finish(&mut self) -> std::io::Result<Option<AnnotationObject>> {
        let Some(writer) = self.writer.take() else {
            return Ok(None);
        };
        Ok(Some((self.position, writer.finish()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotation(row: RowNumber) -> Annotation {
        Annotation {
            row,
            duplicate_of: Some(1),
            duplicate_of_batch: None,
            duplicate_group_batch: None,
            duplicate_group: Some(0),
            issues: vec![Issue::ExactDuplicate],
            vision: None,
        }
    }

    #[test]
    fn annotations_are_cut_into_objects_by_row_number() {
        let mut writer = AnnotationWriter::default();
        let rows = [3, 65_535, 65_536, 200_000];
        let mut objects = Vec::new();
        for row in rows {
            objects.extend(writer.write(&annotation(row)).unwrap());
        }
        objects.extend(writer.finish().unwrap());
        let mut read = Vec::new();
        for (position, body) in &objects {
            let text = zstd::decode_all(body.as_ref()).unwrap();
            for annotation in objects::parse_lines::<Annotation>("key", &text).unwrap() {
                assert_eq!(annotation.row / ROWS_PER_OBJECT, *position);
                read.push(annotation.row);
            }
        }
        assert_eq!(read, rows);
        let positions: Vec<u64> = objects.iter().map(|(position, _)| *position).collect();
        assert_eq!(positions, [0, 1, 3]);
        assert!(writer.finish().unwrap().is_none());
    }
}
