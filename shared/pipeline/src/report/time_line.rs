//! How many rows ended when, in a bounded number of steps of equal length.

use std::collections::BTreeMap;

use domain::Outcome;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ReportRow;

/// Steps at most; when a batch takes longer, they become twice as long.
const MAX_STEPS: i64 = 240;

/// How many rows ended when.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TimeLine {
    /// Seconds of a step.
    pub step_s: u64,
    /// Steps in which a row ended, ascending.
    pub steps: Vec<TimeStep>,
}

/// Rows that ended within one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeStep {
    /// When it began.
    pub at: Timestamp,
    /// Rows whose image loaded.
    pub ok: u64,
    /// Rows that failed.
    pub failed: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

#[derive(Default, Clone, Copy)]
struct Tally {
    ok: u64,
    failed: u64,
    bytes: u64,
}

/// Counts rows by when they ended.
pub(crate) struct TimeLineBuilder {
    step_s: i64,
    /// By seconds since the epoch, divided by the length of a step.
    tallies: BTreeMap<i64, Tally>,
}

impl Default for TimeLineBuilder {
    fn default() -> Self {
        Self {
            step_s: 1,
            tallies: BTreeMap::new(),
        }
    }
}

impl TimeLineBuilder {
    pub(crate) fn add(&mut self, row: &ReportRow) {
        let Some(ended) = row.fetched_at else {
            return;
        };
        let step = ended.as_second().div_euclid(self.step_s);
        let tally = self.tallies.entry(step).or_default();
        if row.outcome == Outcome::Ok {
            tally.ok += 1;
        } else {
            tally.failed += 1;
        }
        tally.bytes += row.bytes.unwrap_or(0);
        while self.span() > MAX_STEPS {
            self.lengthen();
        }
    }

    fn span(&self) -> i64 {
        let first = self.tallies.first_key_value();
        let last = self.tallies.last_key_value();
        match (first, last) {
            (Some((first, _)), Some((last, _))) => last - first + 1,
            _ => 0,
        }
    }

    fn lengthen(&mut self) {
        self.step_s *= 2;
        for (step, tally) in std::mem::take(&mut self.tallies) {
            let longer = self.tallies.entry(step.div_euclid(2)).or_default();
            longer.ok += tally.ok;
            longer.failed += tally.failed;
            longer.bytes += tally.bytes;
        }
    }

    pub(crate) fn build(&self) -> TimeLine {
        let steps = self.tallies.iter().map(|(step, tally)| TimeStep {
            at: Timestamp::from_second(step * self.step_s).unwrap_or(Timestamp::MAX),
            ok: tally.ok,
            failed: tally.failed,
            bytes: tally.bytes,
        });
        TimeLine {
            step_s: self.step_s as u64,
            steps: steps.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::row;

    #[test]
    fn however_long_it_takes_and_in_whatever_order_no_row_is_lost() {
        let start = 1_700_000_000;
        let mut line = TimeLineBuilder::default();
        for number in 0..10_000_i64 {
            // Back and forth over a day.
            let second = start + (number * 7_919) % 86_400;
            let outcome = if number % 10 == 0 {
                Outcome::Timeout
            } else {
                Outcome::Ok
            };
            let mut row = row(0, outcome);
            row.fetched_at = Some(Timestamp::from_second(second).unwrap());
            row.bytes = Some(2);
            line.add(&row);
        }
        let line = line.build();
        assert!(line.steps.len() as i64 <= MAX_STEPS);
        assert_eq!(line.step_s, 512);
        let sum = |of: fn(&TimeStep) -> u64| line.steps.iter().map(of).sum::<u64>();
        assert_eq!(sum(|step| step.ok), 9_000);
        assert_eq!(sum(|step| step.failed), 1_000);
        assert_eq!(sum(|step| step.bytes), 20_000);
        assert!(line.steps.is_sorted_by_key(|step| step.at));
    }

    #[test]
    fn rows_that_were_never_fetched_are_not_on_it() {
        let mut line = TimeLineBuilder::default();
        line.add(&row(0, Outcome::InvalidUrl));
        assert_eq!(line.build().steps, []);
    }
}
