//! What came out: for every kind of request how many, how fast, how many failed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::followed::Followed;

/// All requests of a scenario.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    scenario: &'static str,
    seconds: f64,
    requests: BTreeMap<&'static str, Line>,
    all: Line,
    /// Answers and faults other than success, by what they were, and how often.
    failures: BTreeMap<String, u64>,
    /// The batch that was worked on meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) followed: Option<Followed>,
}

impl Figures {
    /// Requests in all, and how many of them failed.
    pub(super) const fn totals(&self) -> (u64, u64) {
        (self.all.requests as u64, self.all.errors)
    }
}

/// Requests of one kind.
#[derive(Debug, Default, Serialize)]
struct Line {
    requests: usize,
    errors: u64,
    success_percent: f64,
    per_second: f64,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

/// Requests while they are made: one of each user.
#[derive(Debug, Default)]
pub(super) struct Tally {
    kinds: BTreeMap<&'static str, (Vec<u32>, u64)>,
    failures: BTreeMap<String, u64>,
}

impl Tally {
    /// A request of this kind ended; `failure` says how, if not well.
    pub(super) fn add(&mut self, kind: &'static str, elapsed: Duration, failure: Option<String>) {
        let (times, errors) = self.kinds.entry(kind).or_default();
        times.push(elapsed.as_micros().min(u128::from(u32::MAX)) as u32);
        if let Some(failure) = failure {
            *errors += 1;
            *self.failures.entry(failure).or_default() += 1;
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (kind, (times, errors)) in other.kinds {
            let (all, sum) = self.kinds.entry(kind).or_default();
            all.extend(times);
            *sum += errors;
        }
        for (failure, count) in other.failures {
            *self.failures.entry(failure).or_default() += count;
        }
    }

    pub(super) fn into_figures(self, scenario: &'static str, elapsed: Duration) -> Figures {
        let seconds = elapsed.as_secs_f64();
        let mut all = (Vec::new(), 0);
        let mut requests = BTreeMap::new();
        for (kind, (times, errors)) in self.kinds {
            all.0.extend_from_slice(&times);
            all.1 += errors;
            requests.insert(kind, Line::of(times, errors, seconds));
        }
        Figures {
            scenario,
            seconds,
            requests,
            all: Line::of(all.0, all.1, seconds),
            failures: self.failures,
            followed: None,
        }
    }
}

impl Line {
    fn of(mut times: Vec<u32>, errors: u64, seconds: f64) -> Self {
        times.sort_unstable();
        let requests = times.len();
        // The nearest rank: the least value that this share of all does not exceed.
        let at = |share: f64| {
            let rank = (share * requests as f64).ceil().max(1.0) as usize;
            times
                .get(rank.min(requests).saturating_sub(1))
                .map_or(0.0, |micros| f64::from(*micros) / 1_000.0)
        };
        Self {
            requests,
            errors,
            success_percent: 100.0 - errors as f64 * 100.0 / requests.max(1) as f64,
            per_second: requests as f64 / seconds.max(f64::EPSILON),
            p50_ms: at(0.5),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            max_ms: at(1.0),
        }
    }

    fn cells(&self, name: &str) -> Vec<String> {
        vec![
            name.to_owned(),
            self.requests.to_string(),
            format!("{:.1}", self.per_second),
            format!("{:.1}", self.p50_ms),
            format!("{:.1}", self.p95_ms),
            format!("{:.1}", self.p99_ms),
            format!("{:.1}", self.max_ms),
            self.errors.to_string(),
            format!("{:.2}", self.success_percent),
        ]
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header([
            "request",
            "count",
            "per s",
            "p50 ms",
            "p95 ms",
            "p99 ms",
            "max ms",
            "errors",
            "success %",
        ]);
        for (kind, line) in &self.requests {
            table.add_row(line.cells(kind));
        }
        table.add_row(self.all.cells("all"));
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(
            formatter,
            "scenario {}, {:.1} s",
            self.scenario, self.seconds
        )?;
        writeln!(formatter, "{table}")?;
        for (failure, count) in &self.failures {
            writeln!(formatter, "{count} × {failure}")?;
        }
        if let Some(followed) = &self.followed {
            writeln!(formatter, "{followed}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let line = Line::of((1..=100).map(|ms| ms * 1_000).collect(), 3, 10.0);
        let figures = [line.p50_ms, line.p95_ms, line.p99_ms, line.max_ms];
        assert_eq!(figures.map(|ms| ms.round() as u64), [50, 95, 99, 100]);
        assert!((line.success_percent - 97.0).abs() < 1e-9);
        assert!((line.per_second - 10.0).abs() < 1e-9);
        let single = Line::of(vec![7_000], 0, 1.0);
        assert!((single.p99_ms - 7.0).abs() < 1e-9);
    }
}
