//! What is in the way, the worst first: each with its evidence and what to do about it.

use std::collections::BTreeMap;

use domain::HostTally;
use serde::Serialize;

use crate::performance::SLOWER_FACTOR;
use crate::{NOW_MINUTES, Observations, Window, performance::performance, rounded};

/// Minutes in which a host is looked at.
const HOST_MINUTES: i64 = 3;
/// Fewer rows than this in trouble say nothing of a host.
const HOST_ROWS: u64 = 5;
/// Share of a host's rows in trouble, in percent, above which it is named.
const HOST_PERCENT: f64 = 10.0;
/// Share of a host's rows in trouble, in percent, above which that is grave.
const HOST_HIGH_PERCENT: f64 = 50.0;
/// Hosts named at most.
const HOSTS_SHOWN: usize = 5;
/// Stands for a host's name where names are not to be shown.
const HIDDEN_HOST: &str = "a host";
/// Slow progress while work waits, in rows a minute (source A19 of the product's requirements).
const SLOW_ROWS_PER_MINUTE: f64 = 50.0;
/// A queue this long is worth a word (A19), and this long is grave (A20).
const QUEUE: (f64, f64) = (1_000.0, 5_000.0);
/// Processors, in percent: worth a word, grave (E7).
const CPU: (f64, f64) = (80.0, 90.0);
/// Memory, in percent: worth a word, grave (A20).
const MEMORY: (f64, f64) = (80.0, 85.0);
/// 95th percentile of the database in milliseconds: worth a word, grave (E7).
const DATABASE_MS: (f64, f64) = (100.0, 500.0);
/// 95th percentile of the API in milliseconds: worth a word, grave (D1, E7).
const API_MS: (f64, f64) = (200.0, 1_000.0);
/// Share of errors in percent: worth a word, grave (A19).
const ERRORS: (f64, f64) = (1.0, 10.0);
/// Share of questions that caches answer, in percent: below is worth a word, grave (E7).
const CACHE: (f64, f64) = (80.0, 60.0);

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It costs time or money.
    Medium,
    /// Work fails, or will.
    High,
}

/// What kind of thing is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A host does not answer.
    Host,
    /// Many rows fail, of no host in particular.
    Errors,
    /// Messages pile up.
    Queue,
    /// Messages were given up.
    DeadLetters,
    /// Processors are busy.
    Processors,
    /// Memory is short.
    Memory,
    /// The database is slow, or says to slow down.
    Database,
    /// The API is slow.
    Api,
    /// Caches answer too little.
    Cache,
    /// A vision provider does not work for a key of ours.
    VisionKeys,
    /// Little ends although much waits.
    Throughput,
    /// Something is slower than it was.
    Regression,
}

/// Something in the way.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Bottleneck {
    /// 1 for the worst.
    pub rank: u32,
    /// What kind of thing.
    pub kind: Kind,
    /// How bad.
    pub severity: Severity,
    /// What it is, in a sentence.
    pub title: String,
    /// The host, where it is one and names may be shown.
    pub host: Option<String>,
    /// What shows it, a sentence each.
    pub evidence: Vec<String>,
    /// The figures behind the sentences.
    pub figures: BTreeMap<&'static str, f64>,
    /// What to do.
    pub remedy: String,
    #[serde(skip)]
    score: f64,
}

/// `GET /api/v1/monitoring/bottlenecks`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Bottlenecks {
    /// The worst first; empty when nothing is in the way.
    pub bottlenecks: Vec<Bottleneck>,
}

impl Bottleneck {
    fn new(kind: Kind, severity: Severity, title: String, remedy: &str) -> Self {
        Self {
            rank: 0,
            kind,
            severity,
            title,
            host: None,
            evidence: Vec::new(),
            figures: BTreeMap::new(),
            remedy: remedy.to_owned(),
            score: 0.0,
        }
    }

    fn with(mut self, evidence: String) -> Self {
        self.evidence.push(evidence);
        self
    }

    fn figure(mut self, name: &'static str, value: f64) -> Self {
        self.figures.insert(name, rounded(value));
        self
    }

    fn scored(mut self, score: f64) -> Self {
        self.score = score;
        self
    }
}

/// What is in the way. With `names_hosts`, hosts are named: they are of all owners' lists.
pub fn bottlenecks(observed: &Observations, names_hosts: bool) -> Bottlenecks {
    let now = observed.last(NOW_MINUTES);
    let mut found = hosts(observed, names_hosts);
    let has_host = !found.is_empty();
    found.extend(resources(observed, &now));
    found.extend(services(observed, &now));
    if !has_host {
        // Otherwise the host is the reason, and named.
        found.extend(errors(&now));
    }
    found.extend(progress(observed, &now));
    found.sort_by(|left, right| {
        let by_severity = right.severity.cmp(&left.severity);
        by_severity.then(right.score.total_cmp(&left.score))
    });
    for (rank, bottleneck) in (1..).zip(&mut found) {
        bottleneck.rank = rank;
    }
    Bottlenecks { bottlenecks: found }
}

fn hosts(observed: &Observations, names_hosts: bool) -> Vec<Bottleneck> {
    let from = observed.this_minute().0 - HOST_MINUTES + 1;
    let mut sums: BTreeMap<&str, HostTally> = BTreeMap::new();
    for troubled in observed.hosts.iter().filter(|host| host.minute.0 >= from) {
        *sums.entry(&troubled.host).or_default() += &troubled.tally;
    }
    let mut found = Vec::new();
    for (host, tally) in sums {
        let percent = tally.trouble() as f64 * 100.0 / tally.rows.max(1) as f64;
        if tally.trouble() >= HOST_ROWS && percent >= HOST_PERCENT {
            found.push(host_bottleneck(host, &tally, percent, names_hosts));
        }
    }
    found.sort_by(|left, right| right.score.total_cmp(&left.score));
    found.truncate(HOSTS_SHOWN);
    found
}

fn host_bottleneck(host: &str, tally: &HostTally, percent: f64, names_hosts: bool) -> Bottleneck {
    let severity = if percent >= HOST_HIGH_PERCENT {
        Severity::High
    } else {
        Severity::Medium
    };
    let shown = if names_hosts { host } else { HIDDEN_HOST };
    let mut bottleneck = Bottleneck::new(
        Kind::Host,
        severity,
        format!("{shown} fails {percent:.0} % of the rows that are asked of it"),
        "See whether the host is up and lets us in. If it is overloaded, set `max_concurrency` of the batch lower; if it is down, cancel \
         the batch, or let it end and retry the failed rows once the host is back.",
    )
    // A host that fails beats everything else of its severity: more of what is ours would not help.
    .scored(1_000.0 + tally.trouble() as f64)
    .with(format!(
        "{} of {} rows within {HOST_MINUTES} minutes, in the parts that met trouble with it",
        tally.trouble(),
        tally.rows
    ))
    .figure("rows", tally.rows as f64)
    .figure("failed", tally.failed as f64)
    .figure("deferred", tally.deferred as f64)
    .figure("percent", percent);
    let mut outcomes: Vec<_> = tally.by_outcome.iter().collect();
    outcomes.sort_by_key(|(_, rows)| std::cmp::Reverse(**rows));
    for (outcome, rows) in outcomes.into_iter().take(3) {
        bottleneck = bottleneck.with(format!("{rows} × {outcome}: {}", outcome.description()));
    }
    if tally.deferred > 0 {
        let deferred = format!(
            "{} times a row was put off until it answers again",
            tally.deferred
        );
        bottleneck = bottleneck.with(deferred);
    }
    bottleneck.host = names_hosts.then(|| host.to_owned());
    bottleneck
}

/// Grave above the second bound, worth a word above the first; `None` below.
fn graded(value: f64, bounds: (f64, f64)) -> Option<Severity> {
    if value > bounds.1 {
        Some(Severity::High)
    } else {
        (value > bounds.0).then_some(Severity::Medium)
    }
}

fn resources(observed: &Observations, now: &Window) -> Vec<Bottleneck> {
    let mut found = Vec::new();
    let vitals = &now.sum.vitals;
    if let Some(cpu) = vitals.cpu_percent.mean()
        && let Some(severity) = graded(cpu, CPU)
    {
        let remedy = "Add processors or workers. Batches that need no pixels run at a fraction of the cost with `measure=header`.";
        let title = format!("The processors are {cpu:.0} % busy");
        found.push(
            Bottleneck::new(Kind::Processors, severity, title, remedy)
                .with(format!("mean of the samples of {NOW_MINUTES} minutes"))
                .figure("cpu_percent", cpu)
                .scored(cpu),
        );
    }
    if let Some(memory) = vitals.memory_percent.mean()
        && let Some(severity) = graded(memory, MEMORY)
    {
        let remedy = "Lower MAX_CONCURRENT_REQUESTS or MAX_PIXELS, or give the process more memory. Very large images are the usual reason.";
        let title = format!("Memory is {memory:.0} % full");
        let megabytes = vitals.memory_mb.mean().unwrap_or_default();
        found.push(
            Bottleneck::new(Kind::Memory, severity, title, remedy)
                .with(format!(
                    "{megabytes:.0} MiB resident on average over {NOW_MINUTES} minutes"
                ))
                .figure("memory_percent", memory)
                .figure("memory_mb", megabytes)
                .scored(memory),
        );
    }
    let pending = observed.pending() as f64;
    let sampled = observed.series(NOW_MINUTES);
    let before = sampled
        .iter()
        .find_map(|(_, delta)| delta.and_then(|delta| delta.vitals.pending.mean()));
    let is_growing = before.is_some_and(|before| pending > before);
    if let Some(severity) = graded(pending, QUEUE) {
        let severity = if is_growing {
            severity
        } else {
            Severity::Medium
        };
        let mut bottleneck = Bottleneck::new(
            Kind::Queue,
            severity,
            format!("{pending:.0} messages wait"),
            "Add workers (`AnalyzeMaximumConcurrency`, `--concurrency`); see `scaling` of /api/v1/monitoring/system for how many. Nothing is lost.",
        )
        .figure("pending", pending)
        .scored(pending / QUEUE.0);
        if let Some(before) = before {
            bottleneck = bottleneck
                .with(format!("{before:.0} messages {NOW_MINUTES} minutes ago"))
                .figure("pending_before", before);
        }
        for queue in observed.queues.iter().filter(|queue| queue.pending > 0) {
            bottleneck = bottleneck.with(format!("{} in the queue {}", queue.pending, queue.name));
        }
        found.push(bottleneck);
    }
    let dead = observed.dead_letters();
    if dead > 0 {
        let title = format!("{dead} messages were given up after five attempts");
        let remedy =
            "The sweep settles them within minutes. If they stay, look for its errors in the log.";
        let mut bottleneck = Bottleneck::new(Kind::DeadLetters, Severity::Medium, title, remedy)
            .figure("dead_letters", dead as f64)
            .scored(dead as f64);
        for queue in observed.queues.iter().filter(|queue| queue.dead > 0) {
            bottleneck = bottleneck.with(format!("{} of the queue {}", queue.dead, queue.name));
        }
        found.push(bottleneck);
    }
    found
}

fn services(observed: &Observations, now: &Window) -> Vec<Bottleneck> {
    let mut found = Vec::new();
    let database = &now.sum.vitals.database;
    let p95 = database.latency.quantile(0.95).unwrap_or_default();
    let troubled = database.throttled + database.failed;
    let severity = graded(p95, DATABASE_MS)
        .or_else(|| (troubled > 0).then_some(Severity::Medium))
        .map(|severity| {
            if troubled * 100 > database.calls {
                Severity::High
            } else {
                severity
            }
        });
    if let Some(severity) = severity {
        let title = format!("The database answers 95 of 100 calls within {p95:.0} ms");
        let remedy = "On AWS look at the table's throttled requests and the service's health; on one machine at the disk of the data folder. \
             Larger chunks write less.";
        found.push(
            Bottleneck::new(Kind::Database, severity, title, remedy)
                .with(format!(
                    "{} calls within {NOW_MINUTES} minutes: {} throttled, {} failed, {} further attempts",
                    database.calls, database.throttled, database.failed, database.retried
                ))
                .figure("p95_ms", p95)
                .figure("throttled", database.throttled as f64)
                .figure("failed", database.failed as f64)
                .scored(p95 / DATABASE_MS.0 * 10.0),
        );
    }
    let api = &now.sum.vitals.api;
    let p95 = api.latency.quantile(0.95).unwrap_or_default();
    if let Some(severity) = graded(p95, API_MS) {
        let title = format!("The API answers 95 of 100 requests within {p95:.0} ms");
        let remedy = "See whether processors or database are named here as well: then that is the reason. Otherwise add warm instances \
             (`WarmInstances`), or poll less often.";
        found.push(
            Bottleneck::new(Kind::Api, severity, title, remedy)
                .with(format!(
                    "{} requests within {NOW_MINUTES} minutes",
                    api.calls
                ))
                .figure("p95_ms", p95)
                .scored(p95 / API_MS.0),
        );
    }
    if let Some(share) = now.cache_hit_percent()
        && let Some(severity) = graded(-share, (-CACHE.0, -CACHE.1))
    {
        let title = format!("Caches answer {share:.0} % of what they are asked");
        let remedy = "Raise the CACHE_* sizes and lifetimes if the same images come again; lists of new images have nothing to hit.";
        found.push(
            Bottleneck::new(Kind::Cache, severity.min(Severity::Medium), title, remedy)
                .with(format!("over {NOW_MINUTES} minutes, all levels together"))
                .figure("hit_percent", share)
                .scored(1.0),
        );
    }
    let retired = now.sum.vitals.retired_keys;
    if retired > 0 {
        let title = format!("The vision provider turned {retired} of our keys away");
        let remedy = "The log names each by its fingerprint, with the provider's words: pay the bill, raise the quota, or take the key out of \
             the secret VisionKeys. Locked keys are tried again after an hour, unknown ones after a day.";
        found.push(
            Bottleneck::new(Kind::VisionKeys, Severity::High, title, remedy)
                .with(format!(
                    "within {NOW_MINUTES} minutes; the other keys go on"
                ))
                .figure("retired_keys", retired as f64)
                .scored(retired as f64 * 10.0),
        );
    }
    for slow in performance(observed).slower {
        let title = format!(
            "{} is {:.1} times worse than its baseline",
            slow.figure, slow.factor
        );
        let remedy = "Compare what changed since: the hosts of the lists, a deployment, the load. Save a new baseline if this is the new normal.";
        let evidence = format!(
            "{} now, {} before; {SLOWER_FACTOR} times is tolerated",
            slow.now, slow.baseline
        );
        found.push(
            Bottleneck::new(Kind::Regression, Severity::Medium, title, remedy)
                .with(evidence)
                .figure("now", slow.now)
                .figure("baseline", slow.baseline)
                .scored(slow.factor),
        );
    }
    found
}

fn errors(now: &Window) -> Option<Bottleneck> {
    let percent = now.error_percent()?;
    let severity = graded(percent, ERRORS)?;
    let mut outcomes: Vec<_> = now
        .sum
        .counters
        .by_outcome
        .iter()
        .filter(|(outcome, _)| outcome.is_retryable())
        .collect();
    outcomes.sort_by_key(|(_, rows)| std::cmp::Reverse(**rows));
    let title = format!("{percent:.1} % of the rows end in a way that is worth a retry");
    let remedy =
        "No host stands out: look at our own network and name server first, then at the time-outs.";
    let mut bottleneck = Bottleneck::new(Kind::Errors, severity, title, remedy)
        .figure("error_percent", percent)
        .scored(percent);
    for (outcome, rows) in outcomes.into_iter().take(3) {
        bottleneck = bottleneck.with(format!("{rows} × {outcome}: {}", outcome.description()));
    }
    Some(bottleneck)
}

fn progress(observed: &Observations, now: &Window) -> Option<Bottleneck> {
    let rate = now.rows_per_minute();
    let backlog = observed.backlog();
    // An engine that has only just begun has no rate yet.
    let has_begun = now.active_minutes >= 2 || now.rows() > 0;
    if backlog == 0 || !has_begun || rate >= SLOW_ROWS_PER_MINUTE {
        return None;
    }
    let title = format!("Only {rate:.0} rows end in a minute although work waits");
    let remedy = "See which host is slow in the batch's report. If many are, raise MAX_CONCURRENT_REQUESTS; if one is, its rows will come last by themselves.";
    Some(
        Bottleneck::new(Kind::Throughput, Severity::Medium, title, remedy)
            .with(format!("{backlog} messages wait or are worked on"))
            .figure("rows_per_minute", rate)
            .figure("backlog", backlog as f64)
            .scored(5.0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::QueueNow;
    use crate::observations::tests::{at_minute_1000, minute_of};
    use domain::ports::TroubledHost;
    use domain::{Gauge, KpiDelta, Minute, Outcome};

    fn troubled(minute: i64, host: &str, rows: u64, failed: u64) -> TroubledHost {
        TroubledHost {
            minute: Minute(minute),
            host: host.to_owned(),
            tally: HostTally {
                rows,
                failed,
                by_outcome: BTreeMap::from([(Outcome::ConnectError, failed)]),
                ..HostTally::default()
            },
        }
    }

    fn a_busy_system() -> Observations {
        let mut delta = minute_of(&[(Outcome::Ok, 500), (Outcome::ConnectError, 500)], 10);
        delta.vitals.cpu_percent = Gauge::of(97);
        delta.vitals.memory_percent = Gauge::of(97);
        let mut observed = at_minute_1000(vec![(1_000, delta)]);
        observed.queues.push(QueueNow {
            name: "chunks",
            pending: 50_000,
            in_flight: 0,
            dead: 1,
        });
        observed
    }

    #[test]
    fn a_host_that_is_gone_comes_first_with_its_evidence() {
        let mut observed = a_busy_system();
        observed.hosts = vec![
            troubled(999, "good.example", 400, 5),
            troubled(999, "gone.example", 300, 290),
            troubled(1_000, "gone.example", 300, 300),
            troubled(990, "before.example", 300, 300),
        ];
        let found = bottlenecks(&observed, true).bottlenecks;
        let first = &found[0];
        assert_eq!(
            (first.rank, first.kind, first.severity),
            (1, Kind::Host, Severity::High)
        );
        assert_eq!(first.host.as_deref(), Some("gone.example"));
        assert!(
            first.evidence[0].contains("590 of 600"),
            "{:?}",
            first.evidence
        );
        assert!(first.evidence[1].contains("590 × connect_error"));
        assert!((first.figures["failed"] - 590.0).abs() < 1e-9);
        assert!(
            found
                .iter()
                .all(|one| one.host.as_deref() != Some("good.example"))
        );
        assert!(
            found
                .iter()
                .all(|one| one.host.as_deref() != Some("before.example"))
        );
        assert!(found.iter().zip(1..).all(|(one, rank)| one.rank == rank));
    }

    #[test]
    fn names_of_hosts_are_for_those_who_may_see_them() {
        let mut observed = a_busy_system();
        observed.hosts = vec![troubled(1_000, "secret.example", 300, 300)];
        let shown = format!("{:?}", bottlenecks(&observed, false));
        assert!(!shown.contains("secret.example"), "{shown}");
    }

    #[test]
    fn what_is_short_is_named() {
        let found = bottlenecks(&a_busy_system(), true).bottlenecks;
        let kinds: Vec<Kind> = found.iter().map(|one| one.kind).collect();
        for kind in [
            Kind::Processors,
            Kind::Memory,
            Kind::Queue,
            Kind::DeadLetters,
            Kind::Errors,
        ] {
            assert!(kinds.contains(&kind), "{kind:?} is not in {kinds:?}");
        }
        assert!(
            found
                .iter()
                .all(|one| !one.remedy.is_empty() && !one.evidence.is_empty())
        );
    }

    #[test]
    fn nothing_is_in_the_way_of_a_system_that_is_well() {
        let mut delta = minute_of(&[(Outcome::Ok, 500), (Outcome::NotFound, 100)], 10);
        delta.vitals.cpu_percent = Gauge::of(50);
        for _ in 0..100 {
            delta.vitals.api.latency.record(5);
            delta.vitals.database.latency.record(2);
        }
        let observed = at_minute_1000(vec![(1_000, delta)]);
        assert_eq!(bottlenecks(&observed, true).bottlenecks, []);
        let idle = at_minute_1000(vec![(1_000, KpiDelta::default())]);
        assert_eq!(bottlenecks(&idle, true).bottlenecks, []);
    }
}
