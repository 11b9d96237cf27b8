//! What a workload costs, line by line.

use serde::Serialize;

use crate::facts::Facts;
use crate::function::ChunkTime;
use crate::timeline::{STRAGGLER_PART_S, Timeline};
use crate::workload::{Architecture, Pollers, Setup, Workload};

/// Write units of a chunk: its commit in the shard row (a few KB by the end), the indicators and their marker in one transaction.
const WRITE_UNITS_PER_PART: f64 = 7.0;
/// Read units of a part: the batch, the intake, what its commit looks at.
const READ_UNITS_PER_PART: f64 = 3.0;
/// Read units a second of a function at work: a look whether its batch was cancelled, every second and a half.
const LOOKS_PER_S: f64 = 1.0 / 1.5;
/// SQS requests of a part: a tenth of a send, a receive and a delete on the chunk queue; a send and a tenth of a receive and a delete
/// on the metrics queue.
const QUEUE_REQUESTS_PER_PART: f64 = 0.1 + 1.0 + 1.0 + 1.0 + 0.2;
/// Empty receives a second of a poller that waits.
const EMPTY_RECEIVES_PER_S: f64 = 1.0 / 20.0;
/// Log bytes of a part: its metrics line, its own lines, and the platform's.
const LOG_BYTES_PER_PART: f64 = 3_000.0;
/// Custom metrics that are emitted.
const METRICS: f64 = 29.0;
/// Bytes a row takes in objects, compressed: list, chunk, result, exports.
const OBJECT_BYTES_PER_ROW: f64 = 600.0;
/// Months the objects are kept.
const OBJECT_MONTHS: f64 = 1.0;
/// Memory of the fan-out, in MB.
const SPLIT_MEMORY_MB: f64 = 1_769.0;
/// Seconds of emit-metrics for a message, with its memory in GB.
const METRICS_S: f64 = 0.01;
const METRICS_GB: f64 = 0.25;
/// Memory of the function vision in GB, and SQS requests for the images of a part: a send, a receive and a delete, and half of them once more
/// for those that find no permit.
const VISION_GB: f64 = 0.5;
const VISION_REQUESTS_PER_PART: f64 = 4.5;
/// Seconds in a month of 730 hours, by which metrics are billed.
const MONTH_H: f64 = 730.0;

/// One line of the bill.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// The service.
    pub service: &'static str,
    /// For what.
    pub what: &'static str,
    /// How much of it.
    pub quantity: f64,
    /// In what.
    pub unit: &'static str,
    /// US dollars.
    pub usd: f64,
}

/// The bill.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cost {
    /// Its lines, the dearest first.
    pub lines: Vec<Line>,
    /// Their sum, in US dollars.
    pub total_usd: f64,
    /// The same for a million rows.
    pub usd_per_million: f64,
}

/// Seconds for which analyze functions are billed.
pub(crate) fn billed_s(workload: &Workload, setup: &Setup, chunk: &ChunkTime) -> f64 {
    let chunks = workload.chunks(setup) as f64;
    chunks * (chunk.total_s + workload.straggler_share * STRAGGLER_PART_S)
}

/// What `workload` costs with `setup`.
pub fn cost(
    workload: &Workload,
    setup: &Setup,
    facts: &Facts,
    chunk: &ChunkTime,
    timeline: &Timeline,
) -> Cost {
    let mut bill = Bill {
        workload,
        setup,
        facts,
        timeline,
        parts: workload.chunks(setup) as f64 * (chunk.parts as f64 + workload.straggler_share),
        lines: Vec::new(),
    };
    let analyze_s = billed_s(workload, setup, chunk);
    bill.functions(analyze_s);
    bill.messages_and_state(analyze_s);
    bill.objects_and_logs();
    bill.transfer();
    bill.total()
}

struct Bill<'a> {
    workload: &'a Workload,
    setup: &'a Setup,
    facts: &'a Facts,
    timeline: &'a Timeline,
    /// Chunks, and the parts that follow some of them.
    parts: f64,
    lines: Vec<Line>,
}

impl Bill<'_> {
    fn functions(&mut self, analyze_s: f64) {
        let Self {
            setup, timeline, ..
        } = *self;
        let lists = self.workload.lists() as f64;
        let gb = |memory_mb: f64| memory_mb / 1_024.0;
        let gb_second = match setup.architecture {
            Architecture::Arm64 => "lambda_arm64_gb_second",
            Architecture::X86_64 => "lambda_x86_64_gb_second",
        };
        let analyze = analyze_s * gb(setup.memory_mb as f64);
        self.line("Lambda", "analyze", analyze, "GB-s", gb_second);
        let split = timeline.split_s * lists * gb(SPLIT_MEMORY_MB);
        self.line("Lambda", "fan-out", split, "GB-s", gb_second);
        let finalize = timeline.finalize_s * lists * gb(setup.finalize_memory_mb as f64);
        self.line("Lambda", "finalize", finalize, "GB-s", gb_second);
        let metrics = self.parts * METRICS_S * METRICS_GB;
        self.line("Lambda", "emit-metrics", metrics, "GB-s", gb_second);
        let invocations = self.parts * 1.1 + lists * 10.0;
        self.line(
            "Lambda",
            "invocations",
            invocations,
            "requests",
            "lambda_request",
        );
        if let Pollers::Provisioned { at_least } = setup.pollers {
            let hours = f64::from(at_least) * self.hours();
            self.line(
                "Lambda",
                "event pollers",
                hours,
                "poller-hours",
                "lambda_poller_hour",
            );
        }
    }

    fn messages_and_state(&mut self, analyze_s: f64) {
        let lists = self.workload.lists() as f64;
        let waiting_pollers = 4.0 * 5.0;
        let empty = waiting_pollers * EMPTY_RECEIVES_PER_S * self.timeline.total_s;
        let requests = self.parts * QUEUE_REQUESTS_PER_PART + empty;
        self.line("SQS", "messages", requests, "requests", "sqs_request");
        let writes = self.parts * WRITE_UNITS_PER_PART + lists * 50.0;
        self.line(
            "DynamoDB",
            "commits, indicators",
            writes,
            "write units",
            "dynamodb_write_unit",
        );
        let looks = analyze_s * LOOKS_PER_S;
        let reads = self.parts * READ_UNITS_PER_PART + looks + lists * 200.0;
        self.line(
            "DynamoDB",
            "look-ups",
            reads,
            "read units",
            "dynamodb_read_unit",
        );
    }

    fn objects_and_logs(&mut self) {
        let chunks = self.workload.chunks(self.setup) as f64;
        let parts = self.parts;
        self.line(
            "S3",
            "chunks and results written",
            chunks + parts,
            "PUTs",
            "s3_put",
        );
        self.line("S3", "read again", chunks + 3.0 * parts, "GETs", "s3_get");
        let gb_months = self.workload.urls as f64 * OBJECT_BYTES_PER_ROW / 1e9 * OBJECT_MONTHS;
        self.line(
            "S3",
            "kept for a month",
            gb_months,
            "GB-months",
            "s3_gb_month",
        );
        let log_gb = parts * LOG_BYTES_PER_PART / 1e9;
        self.line("CloudWatch", "logs", log_gb, "GB", "cloudwatch_log_gb");
        let metric_months = METRICS * self.hours().max(1.0) / MONTH_H;
        self.line(
            "CloudWatch",
            "metrics",
            metric_months,
            "metric-months",
            "cloudwatch_metric_month",
        );
    }

    fn transfer(&mut self) {
        let rows = self.workload.urls as f64;
        let sent_gb = rows * self.workload.egress_bytes / 1e9;
        self.line(
            "Transfer",
            "requests to the internet",
            sent_gb,
            "GB",
            "transfer_out_gb",
        );
        if self.setup.nat {
            let nat_gb = sent_gb + rows * self.workload.body_bytes / 1e9;
            self.line("NAT gateway", "bytes", nat_gb, "GB", "nat_gb");
            self.line(
                "NAT gateway",
                "hours",
                self.hours().max(1.0),
                "hours",
                "nat_hour",
            );
        }
        if let Some(vision) = &self.workload.vision {
            let calls = rows * vision.distinct_share;
            let gb_second = match self.setup.architecture {
                Architecture::Arm64 => "lambda_arm64_gb_second",
                Architecture::X86_64 => "lambda_x86_64_gb_second",
            };
            // Instances are billed as long as there are calls to make, each with many of them under way.
            let instances = f64::from(vision.instances());
            let gb_s = instances * self.timeline.vision_s * self.workload.lists() as f64;
            self.line("Lambda", "vision", gb_s * VISION_GB, "GB-s", gb_second);
            let messages = self.parts * VISION_REQUESTS_PER_PART;
            self.line(
                "SQS",
                "vision messages",
                messages,
                "requests",
                "sqs_request",
            );
            self.lines.push(Line {
                service: "Vision",
                what: "calls",
                quantity: calls,
                unit: "calls",
                usd: calls * vision.usd_per_call,
            });
        }
    }

    fn hours(&self) -> f64 {
        self.timeline.total_s / 3_600.0
    }

    fn line(
        &mut self,
        service: &'static str,
        what: &'static str,
        quantity: f64,
        unit: &'static str,
        price: &'static str,
    ) {
        let usd = quantity * self.facts.prices.usd(price);
        self.lines.push(Line {
            service,
            what,
            quantity,
            unit,
            usd,
        });
    }

    fn total(mut self) -> Cost {
        self.lines
            .sort_by(|left, right| right.usd.total_cmp(&left.usd));
        let total_usd: f64 = self.lines.iter().map(|line| line.usd).sum();
        Cost {
            lines: self.lines,
            total_usd,
            usd_per_million: total_usd / self.workload.urls.max(1) as f64 * 1e6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan;

    fn usd(workload: &Workload, setup: &Setup, service: &str) -> f64 {
        let facts = Facts::load(None).unwrap();
        let lines = plan(workload, setup, &facts).cost.lines;
        lines
            .iter()
            .filter(|line| line.service == service)
            .map(|line| line.usd)
            .sum()
    }

    #[test]
    fn a_nat_gateway_is_dearer_than_everything_else() {
        let workload = Workload::default();
        let setup = Setup {
            nat: true,
            ..Setup::default()
        };
        let nat = usd(&workload, &setup, "NAT gateway");
        assert!((6.9..7.1).contains(&nat), "{nat} dollars a million");
    }

    #[test]
    fn transfer_follows_the_bytes_sent() {
        let workload = Workload::default();
        let sent = usd(&workload, &Setup::default(), "Transfer");
        assert!((sent - 0.36).abs() < 1e-9, "{sent}");
        let twice = Workload {
            egress_bytes: 8_000.0,
            ..workload
        };
        let sent_twice = usd(&twice, &Setup::default(), "Transfer");
        assert!((sent_twice - 0.72).abs() < 1e-9, "{sent_twice}");
    }

    #[test]
    fn functions_on_arm_cost_a_fifth_less() {
        let workload = Workload::default();
        let arm = usd(&workload, &Setup::default(), "Lambda");
        let x86 = Setup {
            architecture: Architecture::X86_64,
            ..Setup::default()
        };
        let ratio = arm / usd(&workload, &x86, "Lambda");
        assert!((0.79..0.85).contains(&ratio), "{ratio}");
    }
}
