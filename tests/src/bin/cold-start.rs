//! What it takes to start each function: `make bench-coldstart`.
//!
//! Init is the time from the start of the process to its first request for an event; first and warm are the times of the first event
//! and of the median of those that follow. The events ask for nothing: an empty batch of messages, or `GET /health`. Every round
//! starts each binary once, so that whatever else the machine does meets all of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use imgsweep_tests::lambda::{Function, FunctionSettings};
use serde_json::{Value, json};

const HELLO: &str = "hello-lambda";
const SQS_FUNCTIONS: [&str; 6] = [
    "fan-out",
    "analyze",
    "emit-metrics",
    "finalize",
    "janitor",
    "vision",
];
const HTTP_FUNCTIONS: [&str; 2] = ["upload", "api"];
/// Those that are told of a vision provider, timed once more with one.
const LABELLING_FUNCTIONS: [&str; 2] = ["analyze", "vision"];
const MODEL: &[(&str, &str)] = &[
    ("VISION_PROVIDER", "openai"),
    ("VISION_MODEL", "none"),
    ("VISION_KEYS_SECRET", "none"),
];
/// What two series of the same start differ by on a busy machine.
const TOLERANCE: Duration = Duration::from_millis(2);
/// Events after the first.
const WARM_EVENTS: usize = 20;

/// Times the start of every function beside that of one that does nothing.
#[derive(Parser)]
struct Arguments {
    /// Folder with the binaries
    #[arg(long, default_value = "target/release")]
    binaries: PathBuf,
    /// Starts of each binary
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

/// One binary and what was measured of it.
struct Candidate {
    name: &'static str,
    function: Arc<Function>,
    /// Whether a vision provider is configured.
    with_model: bool,
    event: Value,
    size_bytes: u64,
    init: Vec<Duration>,
    first: Vec<Duration>,
    warm: Vec<Duration>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let empty_batch = json!({"Records": []});
    let candidate = |name, event: &Value| candidate(&arguments.binaries, name, event, &[]);
    let mut candidates = vec![candidate(HELLO, &empty_batch)?];
    for name in SQS_FUNCTIONS {
        candidates.push(candidate(name, &empty_batch)?);
    }
    for name in HTTP_FUNCTIONS {
        candidates.push(candidate(name, &health_request())?);
    }
    for name in LABELLING_FUNCTIONS {
        let mut labelling = self::candidate(&arguments.binaries, name, &empty_batch, MODEL)?;
        labelling.with_model = true;
        candidates.push(labelling);
    }
    for _ in 0..arguments.rounds {
        for candidate in &mut candidates {
            candidate.run().await?;
        }
    }
    print(&candidates);
    without_a_model_nothing_is_paid_for(&candidates)
}

/// A start without a vision provider takes no longer than one with it, beyond what measuring alone does.
fn without_a_model_nothing_is_paid_for(candidates: &[Candidate]) -> anyhow::Result<()> {
    for labelling in candidates.iter().filter(|one| one.with_model) {
        let is_plain = |one: &&Candidate| one.name == labelling.name && !one.with_model;
        let plain = candidates.iter().find(is_plain).context("it is timed")?;
        let (with, without) = (median(&labelling.init), median(&plain.init));
        if without > with + TOLERANCE {
            bail!(
                "{} starts in {without:?} without a vision provider, and in {with:?} with one",
                plain.name
            );
        }
    }
    Ok(())
}

fn candidate(
    folder: &Path,
    name: &'static str,
    event: &Value,
    more: &[(&str, &str)],
) -> anyhow::Result<Candidate> {
    let binary = folder.join(name);
    let metadata = std::fs::metadata(&binary);
    let metadata = metadata.with_context(|| format!("{} is not built", binary.display()))?;
    Ok(Candidate {
        name,
        function: Function::new(FunctionSettings {
            name: name.to_owned(),
            binary,
            environment: environment(more),
            timeout: Duration::from_secs(60),
            memory_mib: 1_769,
            concurrency: 1,
            log: None,
        }),
        with_model: false,
        event: event.clone(),
        size_bytes: metadata.len(),
        init: Vec::new(),
        first: Vec::new(),
        warm: Vec::new(),
    })
}

impl Candidate {
    async fn run(&mut self) -> anyhow::Result<()> {
        let events = vec![self.event.clone(); 1 + WARM_EVENTS];
        let timed = self.function.time(&events).await;
        let (init, times) = timed.with_context(|| self.name)?;
        self.init.push(init);
        self.first.push(times[0]);
        self.warm.push(median(&times[1..]));
        Ok(())
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn print(candidates: &[Candidate]) {
    let of_hello = |times: fn(&Candidate) -> &[Duration]| median(times(&candidates[0]));
    let (hello_init, hello_warm) = (of_hello(|hello| &hello.init), of_hello(|hello| &hello.warm));
    println!("| bootstrap | init ms | × hello | first ms | warm ms | × hello | size MB |");
    println!("|---|---|---|---|---|---|---|");
    for candidate in candidates {
        let (init, warm) = (median(&candidate.init), median(&candidate.warm));
        let with_model = if candidate.with_model {
            " with a model"
        } else {
            ""
        };
        println!(
            "| {}{with_model} | {:.1} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} |",
            candidate.name,
            milliseconds(init),
            init.div_duration_f64(hello_init),
            milliseconds(median(&candidate.first)),
            milliseconds(warm),
            warm.div_duration_f64(hello_warm),
            candidate.size_bytes as f64 / 1e6,
        );
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2]
}

/// What every function needs to start; nothing is asked at these addresses.
fn environment(more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    for (name, value) in [
        ("ENVIRONMENT", "production"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "none"),
        ("AWS_SECRET_ACCESS_KEY", "none"),
        ("TABLE_NAME", "none"),
        ("BUCKET_NAME", "none"),
        ("API_TOKENS_SECRET", "none"),
    ]
    .iter()
    .chain(more)
    {
        environment.insert((*name).to_owned(), (*value).to_owned());
    }
    for queue in ["SPLIT", "CHUNKS", "METRICS", "FINALIZE"] {
        for kind in ["QUEUE", "DEAD_LETTERS"] {
            let url = format!("https://sqs.eu-central-1.amazonaws.com/123456789012/{queue}-{kind}");
            environment.insert(format!("{queue}_{kind}_URL"), url);
        }
    }
    environment
}

/// A request of an HTTP API, payload format 2.0.
fn health_request() -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": "/health", "rawQueryString": "",
        "headers": {"host": "local"},
        "requestContext": {
            "accountId": "123456789012", "apiId": "local", "domainName": "local", "domainPrefix": "local",
            "http": {"method": "GET", "path": "/health", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "bench"},
            "requestId": "request", "routeKey": "$default", "stage": "$default",
            "time": "01/Jan/2026:00:00:00 +0000", "timeEpoch": 1_767_225_600_000_u64,
        },
        "isBase64Encoded": false,
    })
}
