//! Metrics as lines on standard output, in CloudWatch's embedded metric format: the platform makes metrics of them.
//!
//! This is the one place for their names; alarms and dashboard in `template.yaml` use the same, and a test compares them.

use std::io::{self, Write};

use domain::ports::{Queue, QueueDepth};
use domain::{Gauge, KpiDelta, LatencyHistogram, MetricsMessage, Minute, OperationStats};
use monitoring::errors_of;
use pipeline::sweep::Swept;
use serde_json::{Map, Value, json};

use crate::settings::Profile;

/// Where the metrics are found in CloudWatch.
pub const NAMESPACE: &str = "imgsweep";
/// The one dimension. Host names are never one: there are too many, and they are the customers'.
pub const DIMENSION: &str = "Environment";

pub use monitoring::names::{
    API_FAILED, API_LATENCY, BYTES_FETCHED, CACHE_HITS, CACHE_MISSES, CHUNKS_VISIBLE, CPU_PERCENT,
    DATABASE_FAILED, DATABASE_LATENCY, DATABASE_THROTTLED, DEAD_LETTERS, FETCH_LATENCY,
    FINALIZE_VISIBLE, KEYS_RETIRED, MEMORY_MEGABYTES, METRICS_VISIBLE, Metric, PART_DURATION,
    REPAIRS, REQUESTS, ROWS_FAILED, ROWS_OK, ROWS_RETRYABLE, ROWS_TOTAL, SPLIT_VISIBLE,
    VISION_VISIBLE, VISIONHIGH_VISIBLE, WORKERS, visible_in,
};

/// What a part adds, in the order of the lines.
pub const OF_A_PART: &[Metric] = &[
    ROWS_TOTAL,
    ROWS_OK,
    ROWS_FAILED,
    ROWS_RETRYABLE,
    REQUESTS,
    BYTES_FETCHED,
    PART_DURATION,
    KEYS_RETIRED,
    CACHE_HITS,
    CACHE_MISSES,
    DATABASE_FAILED,
    DATABASE_THROTTLED,
    FETCH_LATENCY,
    DATABASE_LATENCY,
    CPU_PERCENT,
    MEMORY_MEGABYTES,
    WORKERS,
];

/// What a minute of the API comes to.
pub const OF_THE_API: &[Metric] = &[API_FAILED, API_LATENCY];

/// What a sweep reports.
pub const OF_A_SWEEP: &[Metric] = &[
    SPLIT_VISIBLE,
    CHUNKS_VISIBLE,
    METRICS_VISIBLE,
    FINALIZE_VISIBLE,
    VISION_VISIBLE,
    VISIONHIGH_VISIBLE,
    DEAD_LETTERS,
    REPAIRS,
];

/// One line of metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricLine {
    directives: Vec<Value>,
    members: Map<String, Value>,
    timestamp_ms: i64,
}

impl MetricLine {
    /// A line without metrics, for this time in milliseconds since the Unix epoch.
    pub fn new(profile: Profile, timestamp_ms: i64) -> Self {
        let mut members = Map::new();
        members.insert(DIMENSION.to_owned(), profile.as_str().into());
        Self {
            directives: Vec::new(),
            members,
            timestamp_ms,
        }
    }

    /// Adds a metric with one value.
    #[must_use]
    pub fn with(mut self, metric: Metric, value: u64) -> Self {
        self.insert(metric, value.into());
        self
    }

    /// Adds something to look for in the log that is no metric.
    #[must_use]
    pub fn about(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a metric with a value for every call. None without calls.
    #[must_use]
    fn with_latency(mut self, metric: Metric, latency: &LatencyHistogram, elapsed_ms: u64) -> Self {
        let buckets: Vec<(f64, u64)> = latency.buckets().collect();
        if let (Some((least, _)), Some((most, _))) = (buckets.first(), buckets.last()) {
            let (values, counts): (Vec<f64>, Vec<u64>) = buckets.iter().copied().unzip();
            let total: u64 = counts.iter().sum();
            let distribution = json!({
                "Values": values, "Counts": counts,
                "Min": least, "Max": most, "Count": total, "Sum": elapsed_ms,
            });
            self.insert(metric, distribution);
        }
        self
    }

    /// Adds the mean of what was sampled. None without samples.
    #[must_use]
    fn with_mean(self, metric: Metric, gauge: Gauge) -> Self {
        match gauge.mean() {
            Some(mean) => self.with(metric, mean.round() as u64),
            None => self,
        }
    }

    fn insert(&mut self, metric: Metric, value: Value) {
        self.directives
            .push(json!({"Name": metric.name, "Unit": metric.unit}));
        self.members.insert(metric.name.to_owned(), value);
    }

    /// The line as JSON, without its end.
    pub fn to_json(&self) -> String {
        let metadata = json!({
            "Timestamp": self.timestamp_ms,
            "CloudWatchMetrics": [
                {"Namespace": NAMESPACE, "Dimensions": [[DIMENSION]], "Metrics": self.directives}
            ],
        });
        let mut members = Map::new();
        members.insert("_aws".to_owned(), metadata);
        members.extend(self.members.clone());
        Value::Object(members).to_string()
    }

    /// Writes the line to standard output, in one piece.
    pub fn print(&self) -> io::Result<()> {
        let mut line = self.to_json();
        line.push('\n');
        let mut output = io::stdout().lock();
        output.write_all(line.as_bytes())?;
        output.flush()
    }
}

/// What a part adds.
pub fn part_line(profile: Profile, message: &MetricsMessage) -> MetricLine {
    let KpiDelta {
        counters,
        busy_ms,
        latency,
        vitals,
        ..
    } = &message.delta;
    let line = MetricLine::new(profile, message.minute.0 * 60_000)
        .with(ROWS_TOTAL, counters.rows)
        .with(ROWS_OK, counters.ok())
        .with(ROWS_FAILED, counters.failed())
        .with(ROWS_RETRYABLE, errors_of(counters))
        .with(REQUESTS, counters.attempts)
        .with(BYTES_FETCHED, counters.bytes)
        .with(PART_DURATION, *busy_ms)
        .with(KEYS_RETIRED, vitals.retired_keys)
        .with(
            CACHE_HITS,
            vitals.caches.values().map(|level| level.hits).sum(),
        )
        .with(
            CACHE_MISSES,
            vitals.caches.values().map(|level| level.misses).sum(),
        )
        .with(DATABASE_FAILED, vitals.database.failed)
        .with(DATABASE_THROTTLED, vitals.database.throttled)
        .with_latency(FETCH_LATENCY, latency, counters.elapsed_ms)
        .with_latency(
            DATABASE_LATENCY,
            &vitals.database.latency,
            vitals.database.elapsed_ms,
        )
        .with_mean(CPU_PERCENT, vitals.cpu_percent)
        .with_mean(MEMORY_MEGABYTES, vitals.memory_mb)
        .with_mean(WORKERS, vitals.workers);
    line.about("batch", message.part.batch.to_string())
        .about("chunk", message.part.chunk)
        .about("part", message.part.part)
}

/// What a minute of the API came to; none where nobody asked for anything.
pub fn api_line(profile: Profile, minute: Minute, api: &OperationStats) -> Option<MetricLine> {
    let line = MetricLine::new(profile, minute.0 * 60_000);
    (!api.is_empty()).then(|| {
        line.with(API_FAILED, api.failed)
            .with_latency(API_LATENCY, &api.latency, api.elapsed_ms)
    })
}

/// What a sweep saw and did.
pub fn sweep_line(
    profile: Profile,
    timestamp_ms: i64,
    depths: &[(Queue, QueueDepth)],
    swept: &Swept,
) -> MetricLine {
    let mut line = MetricLine::new(profile, timestamp_ms);
    for (queue, depth) in depths {
        if let Some(metric) = visible_in(queue.as_str()) {
            line = line.with(metric, depth.visible);
        }
    }
    let dead = depths.iter().map(|(_, depth)| depth.dead).sum();
    about_repairs(line.with(DEAD_LETTERS, dead), swept)
}

/// What was set right apart from a sweep.
pub fn repairs_line(profile: Profile, timestamp_ms: i64, swept: &Swept) -> MetricLine {
    about_repairs(MetricLine::new(profile, timestamp_ms), swept)
}

/// One metric for all kinds of repairs; how many there were of each stands beside it.
fn about_repairs(line: MetricLine, swept: &Swept) -> MetricLine {
    let line = line.with(REPAIRS, swept.total());
    let Ok(Value::Object(kinds)) = serde_json::to_value(swept) else {
        return line;
    };
    let mut line = line;
    for (kind, count) in kinds {
        line = line.about(&kind, count);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{BatchId, CacheStats, Counters, Outcome, PartRef, Vitals};

    fn message() -> MetricsMessage {
        let mut counters = Counters::default();
        let mut latency = LatencyHistogram::default();
        for (outcome, elapsed_ms) in [
            (Outcome::Ok, 100),
            (Outcome::Ok, 100),
            (Outcome::Timeout, 900),
            (Outcome::NotFound, 20),
        ] {
            counters.add_row(outcome, &[], 1, Some(10), Some(elapsed_ms));
            latency.record(elapsed_ms);
        }
        let mut vitals = Vitals {
            cpu_percent: Gauge::of(80),
            memory_mb: Gauge::of(300),
            workers: Gauge::of(1),
            ..Vitals::default()
        };
        let memory = CacheStats {
            hits: 3,
            misses: 2,
            ..CacheStats::default()
        };
        vitals.caches.insert("memory".to_owned(), memory);
        vitals.database = stats(&[5, 7]);
        let batch: BatchId = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        MetricsMessage {
            part: PartRef {
                batch,
                chunk: 7,
                part: 1,
            },
            minute: Minute(29_000_000),
            delta: KpiDelta {
                parts: 1,
                counters,
                busy_ms: 1_500,
                latency,
                vitals,
                ..KpiDelta::default()
            },
        }
    }

    fn stats(calls_ms: &[u64]) -> OperationStats {
        let mut stats = OperationStats {
            calls: calls_ms.len() as u64,
            throttled: 1,
            elapsed_ms: calls_ms.iter().sum(),
            ..OperationStats::default()
        };
        for milliseconds in calls_ms {
            stats.latency.record(*milliseconds);
        }
        stats
    }

    #[test]
    fn a_minute_of_the_api_is_a_line_if_anybody_asked() {
        let nobody = OperationStats::default();
        assert_eq!(api_line(Profile::Staging, Minute(7), &nobody), None);
        let line = api_line(Profile::Staging, Minute(7), &stats(&[20, 40])).unwrap();
        let line: Value = serde_json::from_str(&line.to_json()).unwrap();
        assert_eq!(line["_aws"]["Timestamp"], 7 * 60_000);
        for metric in OF_THE_API {
            assert!(!line[metric.name].is_null(), "{} has a value", metric.name);
        }
        assert_eq!(line["ApiLatencyMilliseconds"]["Count"], 2);
        assert_eq!(line["ApiLatencyMilliseconds"]["Sum"], 60);
    }

    #[test]
    fn a_part_is_one_line_with_every_metric_and_its_unit() {
        let text = part_line(Profile::Staging, &message()).to_json();
        assert!(!text.contains('\n'));
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["_aws"]["Timestamp"], 29_000_000_i64 * 60_000);
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Namespace"], NAMESPACE);
        assert_eq!(directive["Dimensions"], json!([["Environment"]]));
        let named = directive["Metrics"].as_array().unwrap();
        assert_eq!(named.len(), OF_A_PART.len());
        for (metric, directive) in OF_A_PART.iter().zip(named) {
            assert_eq!(
                directive,
                &json!({"Name": metric.name, "Unit": metric.unit})
            );
            assert!(!line[metric.name].is_null(), "{} has a value", metric.name);
        }
        assert_eq!(line["Environment"], "staging");
        assert_eq!(line["RowsTotal"], 4);
        assert_eq!(line["RowsOk"], 2);
        assert_eq!(line["RowsFailed"], 2);
        assert_eq!(line["RowsRetryable"], 1);
        assert_eq!(line["BytesFetched"], 40);
        assert_eq!(line["PartDurationMilliseconds"], 1_500);
        assert_eq!(
            (&line["CacheHits"], &line["CacheMisses"]),
            (&json!(3), &json!(2))
        );
        assert_eq!(line["DatabaseThrottled"], 1);
        assert_eq!(line["DatabaseLatencyMilliseconds"]["Sum"], 12);
        assert_eq!(line["CpuPercent"], 80);
    }

    #[test]
    fn the_latency_is_a_distribution_of_every_row_that_was_fetched() {
        let line: Value =
            serde_json::from_str(&part_line(Profile::Staging, &message()).to_json()).unwrap();
        let latency = &line["FetchLatencyMilliseconds"];
        assert_eq!(latency["Counts"], json!([1, 2, 1]));
        assert_eq!(latency["Count"], 4);
        assert_eq!(latency["Sum"], 1_120);
        let values = latency["Values"].as_array().unwrap();
        assert_eq!(values.len(), 3);
        for (value, truth) in values.iter().zip([20.0, 100.0, 900.0]) {
            let value = value.as_f64().unwrap();
            assert!((value / truth - 1.0).abs() < 0.2, "{value} for {truth}");
        }
    }

    #[test]
    fn a_part_that_fetched_nothing_has_no_latency() {
        let mut message = message();
        message.delta.latency = LatencyHistogram::default();
        let text = part_line(Profile::Staging, &message).to_json();
        assert!(!text.contains("FetchLatencyMilliseconds"), "{text}");
    }

    #[test]
    fn a_sweep_reports_every_queue() {
        let depth = QueueDepth {
            visible: 3,
            dead: 2,
            ..QueueDepth::default()
        };
        let depths: Vec<_> = Queue::ALL.iter().map(|queue| (*queue, depth)).collect();
        let swept = Swept {
            splits: 1,
            uploads: 3,
            ..Swept::default()
        };
        let text = sweep_line(Profile::Production, 5, &depths, &swept).to_json();
        let line: Value = serde_json::from_str(&text).unwrap();
        for metric in OF_A_SWEEP {
            assert!(line[metric.name].is_u64(), "{} has a value", metric.name);
        }
        assert_eq!(line["ChunksVisible"], 3);
        assert_eq!(line["DeadLetters"], 2 * Queue::ALL.len());
        assert_eq!(line["Repairs"], 4);
        assert_eq!((&line["splits"], &line["uploads"]), (&json!(1), &json!(3)));
    }
}
