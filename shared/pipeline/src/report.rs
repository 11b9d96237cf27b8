//! What a batch came to, for a person and for a program.

pub(crate) mod card;
mod cost;
mod distributions;
mod time_line;

use std::collections::{BTreeMap, HashMap};

use domain::{
    Batch, Counters, Hash64, ImageFormat, Issue, LatencyHistogram, Outcome, RowNumber,
    VisionCounters,
};
use jiff::Timestamp;
use monitoring::Window;
use serde::{Deserialize, Serialize};

use crate::find_duplicates::{DuplicateSummary, Sha256};
use crate::hosts::host_of;
use crate::objects::TakenBack;
use crate::parts::OfRow;
use crate::rule_packs::PackSummary;

pub use card::{CardKind, CardLine};
pub use cost::{CostEstimate, CostLine};
pub use distributions::{Bucket, Distribution};
pub use time_line::{TimeLine, TimeStep};

use distributions::Distributions;
use time_line::TimeLineBuilder;

/// Hosts that are told apart. A list of more hosts than this has its last ones counted together.
const MAX_HOSTS: usize = 100_000;
/// Hosts shown in a report.
const HOSTS_SHOWN: usize = 10;
/// Rows named for each outcome but `ok`.
const EXAMPLES_SHOWN: usize = 3;
/// Under this name go hosts beyond [`MAX_HOSTS`].
const OTHER_HOSTS: &str = "(other hosts)";

/// The report of a batch. Persisted as JSON; fields are only ever added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The batch as it stood when it ended.
    pub batch: Batch,
    /// Rows whose image loaded.
    pub ok: u64,
    /// Rows that failed; repeated URLs are neither.
    pub failed: u64,
    /// Everything that was counted, from a recount of the results.
    #[serde(flatten)]
    pub counters: Counters,
    /// Formats of `ok` rows, the most frequent first.
    pub formats: Vec<FormatSummary>,
    /// Hosts with the longest 95th percentile.
    pub slowest_hosts: Vec<HostSummary>,
    /// Hosts with the most failed rows.
    pub worst_hosts: Vec<HostSummary>,
    /// Hosts in all.
    pub hosts: u64,
    /// Time from first attempt to last byte: 50th, 95th and 99th percentile in milliseconds.
    pub latency_ms: Option<Percentiles>,
    /// Seconds from the start of the split to the last row; retries included, the time between them not.
    pub elapsed_s: f64,
    /// Rows a second over that time.
    pub rows_per_s: f64,
    /// Bytes of bodies a second over that time.
    pub bytes_per_s: f64,
    /// For every outcome but `ok`: some rows that ended so.
    pub examples: BTreeMap<Outcome, Vec<Example>>,
    /// What each retry did, oldest first.
    #[serde(default)]
    pub retries: Vec<RetrySummary>,
    /// Images that are the same, or nearly.
    #[serde(default)]
    pub duplicates: DuplicateSummary,
    /// What the rule packs that were asked for say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<PackSummary>,
    /// How sizes and other measurements are spread.
    #[serde(default)]
    pub distributions: Vec<Distribution>,
    /// How many rows ended when.
    #[serde(default)]
    pub time_line: TimeLine,
    /// What was promised, and what came of it.
    #[serde(default)]
    pub card: Vec<CardLine>,
    /// What it costs on AWS.
    #[serde(default)]
    pub cost: Option<CostEstimate>,
}

/// What a retry did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetrySummary {
    /// 1 for the first retry.
    pub generation: u32,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// Rows that were done again.
    pub rows: u64,
    /// How they had ended.
    pub from: BTreeMap<Outcome, u64>,
    /// How they ended this time.
    pub to: BTreeMap<Outcome, u64>,
}

/// One format's share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FormatSummary {
    /// The format.
    pub format: ImageFormat,
    /// Rows.
    pub rows: u64,
    /// Bytes of their bodies together.
    pub bytes: u64,
    /// Pixels of their images together.
    pub pixels: u64,
}

/// One host's share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostSummary {
    /// Name, or address as the URL writes it.
    pub host: String,
    /// Rows that were fetched from it.
    pub rows: u64,
    /// Rows of it that failed.
    pub failed: u64,
    /// Median time in milliseconds.
    pub p50_ms: Option<f64>,
    /// 95th percentile in milliseconds.
    pub p95_ms: Option<f64>,
}

/// Percentiles of a latency in milliseconds, each within 19 % above the true value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// 99th percentile.
    pub p99: f64,
}

/// A row that shows what an outcome means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Its number.
    pub row: RowNumber,
    /// Its URL.
    pub url: String,
    /// Why it ended so.
    pub detail: Option<String>,
}

/// The fields of a result row that a report looks at.
#[derive(Debug, Deserialize)]
pub(crate) struct ReportRow {
    pub(crate) row: RowNumber,
    pub(crate) url: String,
    pub(crate) outcome: Outcome,
    pub(crate) detail: Option<String>,
    pub(crate) attempts: u32,
    pub(crate) elapsed_ms: Option<u64>,
    pub(crate) bytes: Option<u64>,
    pub(crate) format: Option<ImageFormat>,
    pub(crate) width: Option<u32>,
    pub(crate) height: Option<u32>,
    pub(crate) issues: Vec<Issue>,
    pub(crate) sha256: Option<Sha256>,
    pub(crate) phash: Option<Hash64>,
    pub(crate) contrast: Option<f32>,
    pub(crate) entropy: Option<f32>,
    pub(crate) brightness: Option<f32>,
    pub(crate) sharpness: Option<f32>,
    pub(crate) fetched_at: Option<Timestamp>,
}

impl OfRow for ReportRow {
    fn number(&self) -> RowNumber {
        self.row
    }
}

impl ReportRow {
    pub(crate) const fn outcome(&self) -> Outcome {
        self.outcome
    }
}

/// Adds up result rows, in memory that does not depend on their number.
#[derive(Default)]
pub(crate) struct ReportBuilder {
    counters: Counters,
    formats: BTreeMap<ImageFormat, FormatSummary>,
    hosts: HashMap<String, HostStats>,
    latency: LatencyHistogram,
    examples: BTreeMap<Outcome, Vec<Example>>,
    retries: Vec<RetrySummary>,
    duplicates: DuplicateSummary,
    rules: Vec<PackSummary>,
    distributions: Distributions,
    time_line: TimeLineBuilder,
    /// Rows that were fetched.
    fetched: u64,
    window: Window,
}

#[derive(Default)]
struct HostStats {
    rows: u64,
    failed: u64,
    latency: LatencyHistogram,
}

impl ReportBuilder {
    /// Of a batch, to which nothing is added yet.
    pub(crate) fn of(batch: &Batch) -> Self {
        let retries = (1..).zip(&batch.retries);
        let retries = retries.map(|(generation, retry)| RetrySummary {
            generation,
            requested_at: retry.requested_at,
            rows: 0,
            from: BTreeMap::new(),
            to: BTreeMap::new(),
        });
        Self {
            retries: retries.collect(),
            ..Self::default()
        }
    }

    fn retry(&mut self, generation: u32) -> Option<&mut RetrySummary> {
        let position = generation.checked_sub(1)?;
        self.retries.get_mut(position as usize)
    }

    /// Adds what a retry took back.
    pub(crate) fn add_taken_back(&mut self, taken_back: &TakenBack) {
        let Some(retry) = self.retry(taken_back.generation) else {
            return;
        };
        retry.rows += taken_back.counters.rows;
        for (outcome, rows) in &taken_back.counters.by_outcome {
            *retry.from.entry(*outcome).or_default() += rows;
        }
    }

    /// Adds how a row ended in a generation, whether or not a later one took it back.
    pub(crate) fn add_outcome(&mut self, generation: u32, outcome: Outcome) {
        if let Some(retry) = self.retry(generation) {
            *retry.to.entry(outcome).or_default() += 1;
        }
    }

    /// Adds one row.
    pub(crate) fn add(&mut self, row: ReportRow) {
        self.counters.add_row(
            row.outcome,
            &row.issues,
            row.attempts,
            row.bytes,
            row.elapsed_ms,
        );
        self.add_format(&row);
        self.add_host(&row);
        self.distributions.add(&row);
        self.time_line.add(&row);
        self.fetched += u64::from(row.attempts > 0);
        if row.outcome == Outcome::Ok {
            return;
        }
        let examples = self.examples.entry(row.outcome).or_default();
        if examples.len() < EXAMPLES_SHOWN {
            examples.push(Example {
                row: row.row,
                url: row.url,
                detail: row.detail,
            });
        }
    }

    /// Adds what models were asked, which no row tells.
    pub(crate) fn set_vision(&mut self, vision: VisionCounters) {
        self.counters.vision = vision;
    }

    /// Adds what only a look at all rows together tells: as a section of its own, and to the counts of issues.
    pub(crate) fn set_duplicates(&mut self, duplicates: DuplicateSummary) {
        let counts = [
            (Issue::Placeholder, duplicates.placeholder_rows),
            (Issue::ExactDuplicate, duplicates.exact_rows),
            (Issue::NearDuplicate, duplicates.near_rows),
        ];
        let found = counts.into_iter().filter(|(_, rows)| *rows > 0);
        self.counters.by_issue.extend(found);
        self.duplicates = duplicates;
    }

    /// Adds what was seen of the system meanwhile.
    pub(crate) fn set_window(&mut self, window: Window) {
        self.window = window;
    }

    /// Adds what the rules say.
    pub(crate) fn set_rules(&mut self, rules: Vec<PackSummary>) {
        self.rules = rules;
    }

    fn add_format(&mut self, row: &ReportRow) {
        let Some(format) = row.format.filter(|_| row.outcome == Outcome::Ok) else {
            return;
        };
        let summary = self.formats.entry(format).or_insert(FormatSummary {
            format,
            rows: 0,
            bytes: 0,
            pixels: 0,
        });
        summary.rows += 1;
        summary.bytes += row.bytes.unwrap_or(0);
        summary.pixels += u64::from(row.width.unwrap_or(0)) * u64::from(row.height.unwrap_or(0));
    }

    fn add_host(&mut self, row: &ReportRow) {
        if row.attempts == 0 {
            return;
        }
        let host = host_of(&row.url);
        let is_new = !self.hosts.contains_key(host);
        let name = if is_new && self.hosts.len() >= MAX_HOSTS {
            OTHER_HOSTS
        } else {
            host
        };
        let stats = match self.hosts.get_mut(name) {
            Some(stats) => stats,
            None => self.hosts.entry(name.to_owned()).or_default(),
        };
        stats.rows += 1;
        stats.failed += u64::from(row.outcome != Outcome::Ok);
        if let Some(elapsed_ms) = row.elapsed_ms {
            stats.latency.record(elapsed_ms);
            self.latency.record(elapsed_ms);
        }
    }

    /// The report of `batch`, which ended at its `ended_at`, or else `now`.
    pub(crate) fn build(mut self, batch: Batch, now: Timestamp) -> Report {
        let elapsed_s = batch.active_s(now).unwrap_or(0.0);
        // A clock that was set back must not make a rate negative or infinite.
        let per_second = |amount: u64| amount as f64 / elapsed_s.max(0.001);
        let mut formats: Vec<FormatSummary> =
            std::mem::take(&mut self.formats).into_values().collect();
        formats.sort_by_key(|summary| std::cmp::Reverse(summary.rows));
        let mut hosts = self.hosts();
        let host_count = hosts.len() as u64;
        hosts.sort_by(|left, right| {
            let by_failures = right.failed.cmp(&left.failed);
            by_failures.then_with(|| left.host.cmp(&right.host))
        });
        let worst_hosts = hosts
            .iter()
            .filter(|host| host.failed > 0)
            .take(HOSTS_SHOWN)
            .cloned()
            .collect();
        hosts.sort_by(|left, right| {
            let p95 = |host: &HostSummary| host.p95_ms.unwrap_or(0.0);
            let by_latency = p95(right).total_cmp(&p95(left));
            by_latency.then_with(|| left.host.cmp(&right.host))
        });
        hosts.truncate(HOSTS_SHOWN);
        Report {
            ok: self.counters.ok(),
            failed: self.counters.failed(),
            rows_per_s: per_second(self.counters.rows),
            bytes_per_s: per_second(self.counters.bytes),
            latency_ms: percentiles(&self.latency),
            formats,
            slowest_hosts: hosts,
            worst_hosts,
            hosts: host_count,
            elapsed_s,
            examples: self.examples,
            retries: self.retries,
            duplicates: self.duplicates,
            rules: self.rules,
            distributions: self.distributions.build(),
            time_line: self.time_line.build(),
            card: card::card(&self.counters, elapsed_s, &self.window),
            cost: cost::estimate(&self.counters, self.fetched, host_count),
            counters: self.counters,
            batch,
        }
    }

    fn hosts(&mut self) -> Vec<HostSummary> {
        std::mem::take(&mut self.hosts)
            .into_iter()
            .map(|(host, stats)| HostSummary {
                host,
                rows: stats.rows,
                failed: stats.failed,
                p50_ms: stats.latency.quantile(0.5),
                p95_ms: stats.latency.quantile(0.95),
            })
            .collect()
    }
}

fn percentiles(latency: &LatencyHistogram) -> Option<Percentiles> {
    Some(Percentiles {
        p50: latency.quantile(0.5)?,
        p95: latency.quantile(0.95)?,
        p99: latency.quantile(0.99)?,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A row of which nothing is known but its outcome.
    pub(crate) fn row(number: RowNumber, outcome: Outcome) -> ReportRow {
        ReportRow {
            row: number,
            url: format!("http://example.com/{number}"),
            outcome,
            detail: None,
            attempts: 0,
            elapsed_ms: None,
            bytes: None,
            format: None,
            width: None,
            height: None,
            issues: Vec::new(),
            sha256: None,
            phash: None,
            contrast: None,
            entropy: None,
            brightness: None,
            sharpness: None,
            fetched_at: None,
        }
    }
}
