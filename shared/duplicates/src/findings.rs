//! What was found: row by row, in sum, and as an index for later batches.

use std::io::Write;

use domain::RowNumber;

use crate::external_sort::{Sorted, Spool};
use crate::image::{Key, Origin};
use crate::index_file::{self, EarlierBatches};
use crate::records::{First, Mark, Marked};
use crate::summary::Summary;
use crate::{DuplicatesError, DuplicatesResult, Settings};

/// What was found about one row of the batch at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// The row.
    pub row: RowNumber,
    /// What it repeats, and how closely; `None` for the representative of a group, which repeats nothing.
    pub duplicate: Option<Duplicate>,
    /// The representative of its group; `None` where a row is only a placeholder.
    pub group: Option<Origin>,
    /// Whether it is a stand-in picture of its host.
    pub is_placeholder: bool,
}

/// The closest relation of a row to an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicate {
    /// The same bytes as this row, the earliest that has them.
    Exact(Origin),
    /// Looks like this row, the representative of its group, and has the bytes of no earlier row.
    Near(Origin),
}

/// Everything that was found.
pub struct Findings {
    summary: Summary,
    marks: std::iter::Peekable<Sorted<Marked>>,
    firsts: Spool<First>,
    earlier: EarlierBatches,
    settings: Settings,
}

impl Findings {
    pub(crate) fn new(
        summary: Summary,
        marks: Sorted<Marked>,
        firsts: Spool<First>,
        earlier: EarlierBatches,
        settings: Settings,
    ) -> Self {
        Self {
            summary,
            marks: marks.peekable(),
            firsts,
            earlier,
            settings,
        }
    }

    /// What it comes to.
    pub const fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The labels of the earlier batches, by [`Origin::batch`].
    pub fn earlier_batches(&self) -> &[u128] {
        &self.earlier.labels
    }

    /// Writes an index of the earlier batches and this one, which gets `label`, for [`crate::Finder::match_against`].
    pub fn write_index(&mut self, label: u128, sink: impl Write) -> DuplicatesResult<()> {
        let mut labels = self.earlier.labels.clone();
        labels.push(label);
        let records = self.firsts.len();
        let firsts = self.firsts.read().map_err(DuplicatesError::Scratch)?;
        index_file::write(&labels, &self.settings, records, firsts, sink)
    }
}

/// Rows that belong to a group or are placeholders, ascending; all others are left out.
impl Iterator for Findings {
    type Item = DuplicatesResult<Finding>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = match self.marks.next()? {
            Ok(first) => first,
            Err(error) => return Some(Err(DuplicatesError::Scratch(error))),
        };
        let mut finding = Finding {
            row: first.key.row(),
            duplicate: None,
            group: None,
            is_placeholder: false,
        };
        finding.take(first.mark);
        let is_same = |marked: &std::io::Result<Marked>, key: Key| {
            marked.as_ref().is_ok_and(|marked| marked.key == key)
        };
        while let Some(Ok(marked)) = self.marks.next_if(|next| is_same(next, first.key)) {
            finding.take(marked.mark);
        }
        Some(Ok(finding))
    }
}

impl Finding {
    fn take(&mut self, mark: Mark) {
        match mark {
            Mark::ExactDuplicateOf(of) => self.duplicate = Some(Duplicate::Exact(of.origin())),
            Mark::NearDuplicateOf(of) => {
                self.duplicate = Some(Duplicate::Near(of.origin()));
                self.group = Some(of.origin());
            }
            Mark::InGroup(group) => self.group = Some(group.origin()),
            Mark::Placeholder => self.is_placeholder = true,
        }
    }
}
