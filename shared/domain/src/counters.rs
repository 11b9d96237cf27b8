//! Counts that add up: what a part, a shard and a batch have in common.

use std::collections::BTreeMap;
use std::ops::{AddAssign, SubAssign};

use serde::{Deserialize, Serialize};

use crate::{Issue, Outcome, ResultRow, VisionCounters};

/// Sums over result rows. Adding is associative and commutative, so shards can be added in any order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    /// What models were asked, and what that cost.
    #[serde(default, skip_serializing_if = "VisionCounters::is_empty")]
    pub vision: VisionCounters,
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
        self.vision += &other.vision;
    }
}

/// Takes off what was added before. Outcomes and flaws that no row has any more are left out, as if they had never been added.
impl SubAssign<&Self> for Counters {
    fn sub_assign(&mut self, other: &Self) {
        self.rows = self.rows.saturating_sub(other.rows);
        for (outcome, count) in &other.by_outcome {
            subtract(&mut self.by_outcome, outcome, *count);
        }
        for (issue, count) in &other.by_issue {
            subtract(&mut self.by_issue, issue, *count);
        }
        self.attempts = self.attempts.saturating_sub(other.attempts);
        self.bytes = self.bytes.saturating_sub(other.bytes);
        self.elapsed_ms = self.elapsed_ms.saturating_sub(other.elapsed_ms);
        self.vision -= &other.vision;
    }
}

fn subtract<K: Ord>(counts: &mut BTreeMap<K, u64>, key: &K, count: u64) {
    let Some(there) = counts.get_mut(key) else {
        return;
    };
    *there = there.saturating_sub(count);
    if *there == 0 {
        counts.remove(key);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_can_be_taken_off_without_a_trace() {
        let mut counters = Counters::default();
        counters.add_row(Outcome::Ok, &[Issue::Blurry], 1, Some(10), Some(5));
        let before = counters.clone();
        let mut other = Counters::default();
        other.add_row(Outcome::Timeout, &[], 3, None, Some(30_000));
        other.add_row(Outcome::Ok, &[Issue::Dark], 1, Some(20), Some(7));
        counters += &other;
        assert_ne!(counters, before);
        counters -= &other;
        assert_eq!(counters, before);
    }
}
