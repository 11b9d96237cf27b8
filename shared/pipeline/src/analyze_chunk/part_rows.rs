//! The rows of one part while it is worked through.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::{ChunkMessage, ChunkRow, HostTally, Outcome, ResultRow, RowNumber, troubled_hosts};

use super::FIRST_DEFERRAL;
use crate::hosts::host_of;
use crate::leftovers::settled;

/// Longest pause after a part in which no row had its turn; the first is [`FIRST_DEFERRAL`], and it doubles with every part.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Detail of rows that were given up unfetched.
const TURN_NEVER_CAME: &str = "its chunk was taken up again and again, and its turn never came";

/// What came of the rows of a part.
#[derive(Default)]
pub(super) struct PartRows {
    pub(super) results: Vec<ResultRow>,
    pub(super) leftover: Vec<RowNumber>,
    /// Whether some rows are left over because of time, not because the part was halved.
    pub(super) is_deferred: bool,
    pub(super) delay: Duration,
    /// Rows left over because their host did not answer in time.
    unanswered: BTreeSet<RowNumber>,
    /// Hosts that gave trouble, once all rows are worked through.
    pub(super) hosts: BTreeMap<String, HostTally>,
}

impl PartRows {
    /// Leaves a row over because of time.
    pub(super) fn leave(&mut self, row: RowNumber, delay: Duration) {
        self.leftover.push(row);
        self.unanswered.insert(row);
        self.is_deferred = true;
        self.delay = self.delay.max(delay);
    }

    /// Has the next part wait after one in which no row had its turn.
    pub(super) fn wait(&mut self, message: &ChunkMessage) {
        let doubled = 2u32.saturating_pow(message.parts_before);
        let pause = FIRST_DEFERRAL.saturating_mul(doubled).min(LONGEST_WAIT);
        self.delay = self.delay.max(pause);
    }

    /// Leaves rows over that were not begun; in the last part of a chunk, which leaves nothing over, they are given up.
    pub(super) fn pass_on<'a>(
        &mut self,
        message: &ChunkMessage,
        rows: impl IntoIterator<Item = &'a ChunkRow>,
        is_last: bool,
    ) {
        for row in rows {
            if is_last {
                let given_up = settled(message.part, row, Outcome::Poisoned, TURN_NEVER_CAME);
                self.results.push(given_up);
            } else {
                self.leftover.push(row.row);
            }
        }
    }

    /// Hosts that gave trouble; `rows` are all rows of the part.
    pub(super) fn troubled_hosts(&self, rows: &[ChunkRow]) -> BTreeMap<String, HostTally> {
        let unanswered = rows.iter().filter(|row| self.unanswered.contains(&row.row));
        let urls = unanswered.map(|row| row.url.as_str());
        troubled_hosts(&self.results, urls, host_of)
            .into_iter()
            .filter(|(host, _)| !host.is_empty())
            .collect()
    }
}

/// The rows of a part that have no result yet, counted among those of all parts as long as this lives.
pub(super) struct OpenRows<'a> {
    pub(super) rows: BTreeSet<RowNumber>,
    of_all_parts: &'a AtomicUsize,
}

impl<'a> OpenRows<'a> {
    pub(super) fn new(of_all_parts: &'a AtomicUsize, rows: &[ChunkRow]) -> Self {
        of_all_parts.fetch_add(rows.len(), Ordering::Relaxed);
        Self {
            rows: rows.iter().map(|row| row.row).collect(),
            of_all_parts,
        }
    }

    pub(super) fn remove(&mut self, row: RowNumber) {
        if self.rows.remove(&row) {
            self.of_all_parts.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for OpenRows<'_> {
    fn drop(&mut self) {
        self.of_all_parts
            .fetch_sub(self.rows.len(), Ordering::Relaxed);
    }
}
