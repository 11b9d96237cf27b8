//! Names of the metrics: one place for CloudWatch and Prometheus, so that a dashboard reads the same on both.

/// A metric: its name, which holds its unit where it is no count, and CloudWatch's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name in CloudWatch.
    pub name: &'static str,
    /// Its unit, as CloudWatch spells it.
    pub unit: &'static str,
    /// What it is.
    pub help: &'static str,
}

impl Metric {
    /// Its name in Prometheus: `RowsTotal` is `imgsweep_rows_total`.
    pub fn prometheus_name(self) -> String {
        let mut name = "imgsweep".to_owned();
        for letter in self.name.chars() {
            if letter.is_ascii_uppercase() {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }
}

const fn count(name: &'static str, help: &'static str) -> Metric {
    Metric {
        name,
        unit: "Count",
        help,
    }
}

const fn milliseconds(name: &'static str, help: &'static str) -> Metric {
    Metric {
        name,
        unit: "Milliseconds",
        help,
    }
}

/// Rows with a result.
pub const ROWS_TOTAL: Metric = count("RowsTotal", "Rows with a result");
/// Rows whose image loaded.
pub const ROWS_OK: Metric = count("RowsOk", "Rows whose image loaded");
/// Rows that failed; repeated URLs are neither.
pub const ROWS_FAILED: Metric = count("RowsFailed", "Rows that failed");
/// Rows that failed in a way that is worth a retry.
pub const ROWS_RETRYABLE: Metric = count(
    "RowsRetryable",
    "Rows that failed in a way that is worth a retry",
);
/// Requests made, redirects not counted.
pub const REQUESTS: Metric = count("Requests", "Requests to hosts, redirects not counted");
/// Bytes of image bodies.
pub const BYTES_FETCHED: Metric = Metric {
    name: "BytesFetched",
    unit: "Bytes",
    help: "Bytes of image bodies",
};
/// Time one part took.
pub const PART_DURATION: Metric = milliseconds("PartDurationMilliseconds", "Time one part took");
/// Time from first attempt to last byte: every row that was fetched, as a distribution.
pub const FETCH_LATENCY: Metric = milliseconds(
    "FetchLatencyMilliseconds",
    "Time from the first attempt at a row to its last byte",
);
/// Messages in the split queue that can be received.
pub const SPLIT_VISIBLE: Metric = count("SplitVisible", "Messages in the split queue");
/// Messages in the chunk queue that can be received.
pub const CHUNKS_VISIBLE: Metric = count("ChunksVisible", "Messages in the chunk queue");
/// Messages in the metrics queue that can be received.
pub const METRICS_VISIBLE: Metric = count("MetricsVisible", "Messages in the metrics queue");
/// Messages in the finalize queue that can be received.
pub const FINALIZE_VISIBLE: Metric = count("FinalizeVisible", "Messages in the finalize queue");
/// Messages in the queue of images to label that can be received.
pub const VISION_VISIBLE: Metric = count("VisionVisible", "Messages in the vision queue");
/// Messages in the same queue of batches that go first.
pub const VISIONHIGH_VISIBLE: Metric = count(
    "VisionhighVisible",
    "Messages in the vision queue of batches that go first",
);

/// The metric that says how much waits in the queue of this name.
pub fn visible_in(queue: &str) -> Option<Metric> {
    Some(match queue {
        "split" => SPLIT_VISIBLE,
        "chunks" => CHUNKS_VISIBLE,
        "metrics" => METRICS_VISIBLE,
        "finalize" => FINALIZE_VISIBLE,
        "vision" => VISION_VISIBLE,
        "visionhigh" => VISIONHIGH_VISIBLE,
        _ => return None,
    })
}

/// Messages in all dead-letter queues.
pub const DEAD_LETTERS: Metric = count("DeadLetters", "Messages in all dead-letter queues");
/// Keys of a vision provider that turned out to be of no use.
pub const KEYS_RETIRED: Metric = count(
    "KeysRetired",
    "Keys that a vision provider did not work for, and that were retired",
);
/// What the janitor set right.
pub const REPAIRS: Metric = count("Repairs", "What the janitor set right");
/// Requests to the API, as a distribution.
pub const API_LATENCY: Metric = milliseconds(
    "ApiLatencyMilliseconds",
    "Time to the beginning of the API's answer",
);
/// Requests to the API that failed through a fault of ours.
pub const API_FAILED: Metric = count(
    "ApiFailed",
    "Requests to the API that failed through a fault of ours",
);
/// Calls to the database, as a distribution.
pub const DATABASE_LATENCY: Metric = milliseconds(
    "DatabaseLatencyMilliseconds",
    "Time a call to the database took",
);
/// Calls to the database that failed.
pub const DATABASE_FAILED: Metric =
    count("DatabaseFailed", "Calls to the database without an answer");
/// Calls to the database that were told to slow down.
pub const DATABASE_THROTTLED: Metric = count(
    "DatabaseThrottled",
    "Calls to the database that were told to slow down",
);
/// Answers from caches.
pub const CACHE_HITS: Metric = count("CacheHits", "Answers from a level of a cache");
/// Questions that a level of a cache could not answer.
pub const CACHE_MISSES: Metric = count(
    "CacheMisses",
    "Questions that a level of a cache could not answer",
);
/// How busy the processors are.
pub const CPU_PERCENT: Metric = Metric {
    name: "CpuPercent",
    unit: "Percent",
    help: "How busy the processors are, of all of them",
};
/// Resident size of the process.
pub const MEMORY_MEGABYTES: Metric = Metric {
    name: "MemoryMegabytes",
    unit: "Megabytes",
    help: "Resident size of the process in MiB",
};
/// Chunks under way.
pub const WORKERS: Metric = count("Workers", "Chunks under way");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_words_in_prometheus() {
        assert_eq!(ROWS_TOTAL.prometheus_name(), "imgsweep_rows_total");
        let name = FETCH_LATENCY.prometheus_name();
        assert_eq!(name, "imgsweep_fetch_latency_milliseconds");
    }
}
