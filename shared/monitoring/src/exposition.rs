//! Counters, gauges and histograms in the text format of Prometheus, version 0.0.4.
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::collections::BTreeMap;
use std::fmt::Write;

use domain::{KpiDelta, LatencyHistogram};

use crate::names::{self, Metric};
use crate::{QueueNow, errors_of};

/// What the answer is called in its `Content-Type`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper edges shown of a histogram, in milliseconds.
const EDGES_MS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0,
    30_000.0, 60_000.0,
];

/// Everything this process counted since it started, and its gauges as they are.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// Sums since the process started; of its gauges only the means matter.
    pub sum: KpiDelta,
    /// The gauges as they were sampled last.
    pub last: domain::Vitals,
    /// What sweeps set right since the process started, by kind.
    pub repairs: BTreeMap<&'static str, u64>,
    /// The queues as they are.
    pub queues: Vec<QueueNow>,
}

/// The page.
pub fn text(totals: &Totals) -> String {
    let mut page = String::new();
    let KpiDelta {
        counters,
        busy_ms,
        latency,
        vitals,
        ..
    } = &totals.sum;
    for (metric, value) in [
        (names::ROWS_TOTAL, counters.rows),
        (names::ROWS_OK, counters.ok()),
        (names::ROWS_FAILED, counters.failed()),
        (names::ROWS_RETRYABLE, errors_of(counters)),
        (names::REQUESTS, counters.attempts),
        (names::BYTES_FETCHED, counters.bytes),
        (names::PART_DURATION, *busy_ms),
        (names::API_FAILED, vitals.api.failed),
        (names::DATABASE_FAILED, vitals.database.failed),
        (names::DATABASE_THROTTLED, vitals.database.throttled),
        (names::KEYS_RETIRED, vitals.retired_keys),
    ] {
        single(&mut page, metric, "counter", value);
    }
    let labelled = |name: &'static str, value| (format!("{{outcome=\"{name}\"}}"), value);
    let outcomes = counters.by_outcome.iter();
    let outcomes = outcomes.map(|(outcome, rows)| labelled(outcome.as_str(), *rows));
    let by_outcome = Metric {
        name: "RowsByOutcome",
        unit: "Count",
        help: "Rows with a result, by outcome",
    };
    series(&mut page, by_outcome, "counter", outcomes);
    for (metric, pick) in [
        (
            names::CACHE_HITS,
            (|stats| stats.hits) as fn(&domain::CacheStats) -> u64,
        ),
        (names::CACHE_MISSES, |stats| stats.misses),
    ] {
        let levels = vitals.caches.iter();
        let levels = levels.map(|(level, stats)| (format!("{{level=\"{level}\"}}"), pick(stats)));
        series(&mut page, metric, "counter", levels);
    }
    let kinds = totals.repairs.iter();
    let kinds = kinds.map(|(kind, count)| (format!("{{kind=\"{kind}\"}}"), *count));
    series(&mut page, names::REPAIRS, "counter", kinds);
    for (metric, latency, elapsed_ms) in [
        (names::FETCH_LATENCY, latency, counters.elapsed_ms),
        (
            names::API_LATENCY,
            &vitals.api.latency,
            vitals.api.elapsed_ms,
        ),
        (
            names::DATABASE_LATENCY,
            &vitals.database.latency,
            vitals.database.elapsed_ms,
        ),
    ] {
        histogram(&mut page, metric, latency, elapsed_ms);
    }
    for (metric, gauge) in [
        (names::CPU_PERCENT, totals.last.cpu_percent),
        (names::MEMORY_MEGABYTES, totals.last.memory_mb),
        (names::WORKERS, totals.last.workers),
    ] {
        if let Some(mean) = gauge.mean() {
            single(&mut page, metric, "gauge", mean.round() as u64);
        }
    }
    for queue in &totals.queues {
        if let Some(metric) = names::visible_in(queue.name) {
            single(&mut page, metric, "gauge", queue.pending);
        }
    }
    let dead = totals.queues.iter().map(|queue| queue.dead).sum();
    single(&mut page, names::DEAD_LETTERS, "gauge", dead);
    page
}

fn single(page: &mut String, metric: Metric, kind: &str, value: u64) {
    series(page, metric, kind, [(String::new(), value)].into_iter());
}

// Writing to a string cannot fail, here and below.

fn series(
    page: &mut String,
    metric: Metric,
    kind: &str,
    values: impl Iterator<Item = (String, u64)>,
) {
    let name = metric.prometheus_name();
    head(page, &name, metric.help, kind);
    for (labels, value) in values {
        let _ = writeln!(page, "{name}{labels} {value}");
    }
}

fn head(page: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn histogram(page: &mut String, metric: Metric, latency: &LatencyHistogram, elapsed_ms: u64) {
    let name = metric.prometheus_name();
    head(page, &name, metric.help, "histogram");
    for edge in EDGES_MS {
        let _ = writeln!(
            page,
            "{name}_bucket{{le=\"{edge}\"}} {}",
            latency.at_most(*edge)
        );
    }
    let total = latency.total();
    let _ = writeln!(page, "{name}_bucket{{le=\"+Inf\"}} {total}");
    let _ = writeln!(page, "{name}_sum {elapsed_ms}\n{name}_count {total}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observations::tests::minute_of;
    use domain::Outcome;

    #[test]
    fn every_line_is_a_comment_or_a_name_and_a_number() {
        let totals = Totals {
            sum: minute_of(&[(Outcome::Ok, 7), (Outcome::Timeout, 2)], 40),
            queues: vec![QueueNow {
                name: "chunks",
                pending: 4,
                in_flight: 0,
                dead: 1,
            }],
            repairs: [("splits", 2), ("expired", 0)].into(),
            ..Totals::default()
        };
        let page = text(&totals);
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with("imgsweep_"), "{line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
        for line in [
            "imgsweep_rows_total 9",
            "imgsweep_rows_retryable 2",
            "imgsweep_rows_by_outcome{outcome=\"timeout\"} 2",
            "imgsweep_fetch_latency_milliseconds_bucket{le=\"25\"} 0",
            "imgsweep_fetch_latency_milliseconds_bucket{le=\"50\"} 9",
            "imgsweep_fetch_latency_milliseconds_bucket{le=\"+Inf\"} 9",
            "imgsweep_fetch_latency_milliseconds_count 9",
            "imgsweep_chunks_visible 4",
            "imgsweep_repairs{kind=\"splits\"} 2",
            "imgsweep_repairs{kind=\"expired\"} 0",
        ] {
            assert!(
                page.lines().any(|one| one == line),
                "{line} is not in\n{page}"
            );
        }
    }
}
