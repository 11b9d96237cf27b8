//! What it takes to start each function: `make bench-coldstart`.
//!
//! Init is the time from the start of the process to its first request for an event; first and warm are the times of the first event
//! and of the median of those that follow. The events ask for nothing: an empty batch of messages, or `GET /health`. Every round
//! starts each binary once, so that whatever else the machine does meets all of them. Functions that can ask a vision provider are started
//! with one and without.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use domain::ports::Queue;
use imgsweep_tests::lambda::{Function, FunctionSettings};
use imgsweep_tests::template::Template;
use serde_json::{Value, json};

const HELLO: &str = "hello-lambda";
/// The vision providers that functions are started with which are told of one.
const NO_MODEL: &str = "none";
const MODEL: &str = "openai";
const HTTP_FUNCTIONS: [&str; 2] = ["upload", "api"];
/// What two series of the same start differ by on a busy machine.
const TOLERANCE: Duration = Duration::from_millis(2);
/// Events after the first.
const WARM_EVENTS: usize = 20;

/// Init against that of a function that does nothing, at most.
fn init_goal(function: &str) -> f64 {
    if function == "analyze" { 2.0 } else { 1.7 }
}

/// Size of the binary in MB, at most.
fn size_goal(function: &str) -> f64 {
    if function == "finalize" { 15.0 } else { 8.0 }
}

/// A warm event against one of a function that does nothing, at most.
const WARM_GOAL: f64 = 2.0;

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
    name: String,
    /// The vision provider it is told of.
    provider: Option<&'static str>,
    function: Arc<Function>,
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
    let mut candidates = vec![candidate(&arguments.binaries, HELLO, None, &empty_batch)?];
    let template = Template::of_the_product()?;
    for function in template.functions()? {
        let name = function.name;
        let event = if HTTP_FUNCTIONS.contains(&name) {
            health_request()
        } else {
            empty_batch.clone()
        };
        let providers: &[Option<&str>] = if function.environment.contains_key("VISION_PROVIDER") {
            &[Some(NO_MODEL), Some(MODEL)]
        } else {
            &[None]
        };
        for provider in providers {
            candidates.push(candidate(&arguments.binaries, name, *provider, &event)?);
        }
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
    let with_model = candidates.iter().filter(|one| one.provider == Some(MODEL));
    for labelling in with_model {
        let is_plain =
            |one: &&Candidate| one.name == labelling.name && one.provider == Some(NO_MODEL);
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
    name: &str,
    provider: Option<&'static str>,
    event: &Value,
) -> anyhow::Result<Candidate> {
    let binary = folder.join(name);
    let metadata = std::fs::metadata(&binary);
    let metadata = metadata.with_context(|| format!("{} is not built", binary.display()))?;
    Ok(Candidate {
        name: name.to_owned(),
        provider,
        function: Function::new(FunctionSettings {
            name: name.to_owned(),
            binary,
            environment: environment(provider),
            timeout: Duration::from_secs(60),
            memory_mib: 1_769,
            concurrency: 1,
            log: None,
        }),
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
        let (init, times) = timed.with_context(|| self.name.clone())?;
        self.init.push(init);
        self.first.push(times[0]);
        self.warm.push(median(&times[1..]));
        Ok(())
    }

    fn label(&self) -> String {
        match self.provider {
            Some(provider) => format!("{}, vision {provider}", self.name),
            None => self.name.clone(),
        }
    }

    fn size_mb(&self) -> f64 {
        self.size_bytes as f64 / 1e6
    }
}

/// What was hoped for, and what came.
struct Goal {
    what: String,
    at_most: f64,
    measured: f64,
}

/// The goals of a function beside `hello`.
fn goals(candidate: &Candidate, hello: &Candidate) -> [Goal; 3] {
    let ratio = |of: fn(&Candidate) -> &[Duration]| {
        median(of(candidate)).div_duration_f64(median(of(hello)))
    };
    let goal = |what: &str, at_most, measured| Goal {
        what: format!("{}: {what}", candidate.label()),
        at_most,
        measured,
    };
    let name = &candidate.name;
    [
        goal("init × hello", init_goal(name), ratio(|it| &it.init)),
        goal("warm × hello", WARM_GOAL, ratio(|it| &it.warm)),
        goal("size MB", size_goal(name), candidate.size_mb()),
    ]
}

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn print(candidates: &[Candidate]) {
    let hello = &candidates[0];
    println!("| bootstrap | init ms | × hello | first ms | warm ms | × hello | size MB |");
    println!("|---|---|---|---|---|---|---|");
    for candidate in candidates {
        let [init, warm, size] = goals(candidate, hello);
        println!(
            "| {} | {:.1} | {:.2} | {:.2} | {:.2} | {:.2} | {:.1} |",
            candidate.label(),
            milliseconds(median(&candidate.init)),
            init.measured,
            milliseconds(median(&candidate.first)),
            milliseconds(median(&candidate.warm)),
            warm.measured,
            size.measured,
        );
    }
    println!();
    let all: Vec<Goal> = candidates[1..]
        .iter()
        .flat_map(|candidate| goals(candidate, hello))
        .collect();
    let (kept, missed): (Vec<Goal>, Vec<Goal>) = all
        .into_iter()
        .partition(|goal| goal.measured <= goal.at_most);
    println!(
        "goals kept: {} of {}",
        kept.len(),
        kept.len() + missed.len()
    );
    for Goal {
        what,
        at_most,
        measured,
    } in missed
    {
        println!("missed: {what} is {measured:.2}, at most {at_most}");
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
fn environment(provider: Option<&str>) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    for (name, value) in [
        ("ENVIRONMENT", "production"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "none"),
        ("AWS_SECRET_ACCESS_KEY", "none"),
        ("TABLE_NAME", "none"),
        ("BUCKET_NAME", "none"),
        ("API_TOKENS_SECRET", "none"),
        ("WEBHOOK_SECRET", "none"),
        ("COMPLETION_TOPIC_ARN", "none"),
        ("VISION_KEYS_SECRET", "none"),
        ("VISION_MODEL", "none"),
    ] {
        environment.insert(name.to_owned(), value.to_owned());
    }
    if let Some(provider) = provider {
        environment.insert("VISION_PROVIDER".to_owned(), provider.to_owned());
    }
    for queue in Queue::ALL {
        let queue = queue.as_str().to_ascii_uppercase();
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
