//! The result objects of one chunk together: which of their rows still count.
//!
//! Parts add up: each holds rows that the others do not. Only a part that begins a retry takes rows back, all those that it leaves
//! over; of such a row the latest part's result counts.

use std::collections::BTreeSet;

use domain::{ResultRow, RowNumber};
use serde::de::DeserializeOwned;

use crate::objects::{self, Manifest};
use crate::{PipelineResult, Ports};

/// A result row, or some fields of one.
pub(crate) trait OfRow: DeserializeOwned {
    /// Its number in the list.
    fn number(&self) -> RowNumber;
}

impl OfRow for ResultRow {
    fn number(&self) -> RowNumber {
        self.row
    }
}

/// One result object of a chunk.
pub(crate) struct Part {
    pub(crate) key: String,
    pub(crate) manifest: Manifest,
    /// Its rows as they are written: one [`ResultRow`] a line, ascending.
    pub(crate) text: Vec<u8>,
    /// Rows that later parts took back.
    superseded: BTreeSet<RowNumber>,
}

impl Part {
    /// Whether its result of row `number` still counts.
    pub(crate) fn is_current(&self, number: RowNumber) -> bool {
        !self.superseded.contains(&number)
    }

    /// Whether every result in it still counts.
    pub(crate) fn is_wholly_current(&self) -> bool {
        self.superseded.is_empty()
    }

    /// Its rows, also those that no longer count.
    pub(crate) fn rows<T: DeserializeOwned>(&self) -> PipelineResult<Vec<T>> {
        objects::parse_lines(&self.key, &self.text)
    }

    /// Its rows that still count.
    pub(crate) fn current_rows<T: OfRow>(&self) -> PipelineResult<Vec<T>> {
        let mut rows: Vec<T> = self.rows()?;
        if !self.is_wholly_current() {
            rows.retain(|row| self.is_current(row.number()));
        }
        Ok(rows)
    }
}

/// Reads the parts of a chunk, whose keys have to be ascending.
pub(crate) async fn read_parts(ports: &Ports, keys: &[String]) -> PipelineResult<Vec<Part>> {
    let mut parts = Vec::with_capacity(keys.len());
    for key in keys {
        let (manifest, text) = objects::read_part(ports, key).await?;
        parts.push(Part {
            key: key.clone(),
            manifest,
            text,
            superseded: BTreeSet::new(),
        });
    }
    let mut taken_back = BTreeSet::new();
    for part in parts.iter_mut().rev() {
        part.superseded.clone_from(&taken_back);
        if part.manifest.retry.is_some() {
            taken_back.extend(&part.manifest.leftover);
        }
    }
    Ok(parts)
}

/// The rows of a chunk that count, in the order of parts.
pub(crate) async fn read_current_rows<T: OfRow>(
    ports: &Ports,
    keys: &[String],
) -> PipelineResult<Vec<T>> {
    let mut rows = Vec::new();
    for part in read_parts(ports, keys).await? {
        rows.extend(part.current_rows::<T>()?);
    }
    Ok(rows)
}
