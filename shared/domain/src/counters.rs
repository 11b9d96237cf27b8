//! Counts that add up: what a part, a shard and a batch have in common.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::{Issue, Outcome, ResultRow};

/// Sums over result rows. Adding is associative and commutative, so shards can be added in any order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Rows with a terminal result.
    pub rows: u64,
    /// Rows by outcome; adds up to `rows`.
    pub by_outcome: BTreeMap<Outcome, u64>,
    /// Flaws of `ok` rows; a row may have several.
    pub by_issue: BTreeMap<Issue, u64>,
    /// Requests made, redirects not counted.
    pub attempts: u64,
    /// Bytes of bodies read for rows that have a body.
    pub bytes: u64,
    /// Milliseconds from first attempt to last byte, summed over rows.
    pub elapsed_ms: u64,
}

impl Counters {
    /// Adds one row.
    pub fn record(&mut self, row: &ResultRow) {
        self.add_row(
            row.outcome,
            &row.issues,
            row.attempts,
            row.bytes,
            row.elapsed_ms,
        );
    }

    /// Adds one row of which only these fields are at hand.
    pub fn add_row(
        &mut self,
        outcome: Outcome,
        issues: &[Issue],
        attempts: u32,
        bytes: Option<u64>,
        elapsed_ms: Option<u64>,
    ) {
        self.rows += 1;
        *self.by_outcome.entry(outcome).or_default() += 1;
        for issue in issues {
            *self.by_issue.entry(*issue).or_default() += 1;
        }
        self.attempts += u64::from(attempts);
        self.bytes += bytes.unwrap_or(0);
        self.elapsed_ms += elapsed_ms.unwrap_or(0);
    }

    /// Rows with this outcome.
    pub fn outcome(&self, outcome: Outcome) -> u64 {
        self.by_outcome.get(&outcome).copied().unwrap_or(0)
    }

    /// Rows whose image loaded and was measured.
    pub fn ok(&self) -> u64 {
        self.outcome(Outcome::Ok)
    }

    /// Rows that failed: neither `ok` nor a repetition of an earlier URL.
    pub fn failed(&self) -> u64 {
        self.rows - self.ok() - self.outcome(Outcome::DuplicateUrl)
    }
}

impl AddAssign<&Self> for Counters {
    fn add_assign(&mut self, other: &Self) {
        self.rows += other.rows;
        for (outcome, count) in &other.by_outcome {
            *self.by_outcome.entry(*outcome).or_default() += count;
        }
        for (issue, count) in &other.by_issue {
            *self.by_issue.entry(*issue).or_default() += count;
        }
        self.attempts += other.attempts;
        self.bytes += other.bytes;
        self.elapsed_ms += other.elapsed_ms;
    }
}

impl<'a> FromIterator<&'a ResultRow> for Counters {
    fn from_iter<I: IntoIterator<Item = &'a ResultRow>>(rows: I) -> Self {
        let mut counters = Self::default();
        for row in rows {
            counters.record(row);
        }
        counters
    }
}
