//! Numbers that have to fit each other.

use std::collections::BTreeMap;

use domain::ports::Queue;
use imgsweep_tests::template::{Template, target};
use lambda_support::Environment;
use lambda_support::settings::Profile;
use serde_json::{Value, json};

/// Queues and the most messages of one event.
type BatchSizes = &'static [(&'static str, u64)];

/// The functions, their time-outs in seconds, and the queues they are invoked for.
const FUNCTIONS: &[(&str, u64, BatchSizes)] = &[
    ("upload", 30, &[]),
    ("api", 30, &[]),
    ("fan-out", 300, &[("SplitQueue", 1)]),
    ("analyze", 120, &[("ChunksQueue", 1)]),
    ("emit-metrics", 30, &[("MetricsQueue", 10)]),
    ("finalize", 900, &[("FinalizeQueue", 1)]),
    ("vision", 120, &[("VisionQueue", 1), ("VisionhighQueue", 1)]),
    (
        "janitor",
        300,
        &[
            ("ChunksDeadLetters", 10),
            ("FinalizeDeadLetters", 10),
            ("MetricsDeadLetters", 10),
            ("SplitDeadLetters", 10),
            ("VisionDeadLetters", 10),
            ("VisionhighDeadLetters", 10),
        ],
    ),
];

#[test]
fn every_function_has_its_time_and_its_queues() {
    let template = Template::of_the_product().unwrap();
    let mut found = BTreeMap::new();
    for function in template.functions().unwrap() {
        let mut queues: Vec<(&str, u64)> = Vec::new();
        for source in function.event_sources().unwrap() {
            queues.push((source.queue, source.batch_size));
        }
        queues.sort_unstable();
        found.insert(function.name, (function.timeout_seconds, queues));
    }
    let expected: BTreeMap<_, _> = FUNCTIONS
        .iter()
        .map(|(name, timeout, queues)| (*name, (*timeout, queues.to_vec())))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_message_stays_hidden_for_six_time_outs_and_the_batching_window() {
    let template = Template::of_the_product().unwrap();
    for function in template.functions().unwrap() {
        for source in function.event_sources().unwrap() {
            let queue = template.properties(source.queue);
            let visibility = queue["VisibilityTimeout"].as_u64().unwrap();
            let least = 6 * function.timeout_seconds + source.window_seconds;
            assert!(visibility >= least, "{}: {visibility}", source.queue);
            assert!(visibility <= 12 * 3_600, "{}: SQS's limit", source.queue);
        }
    }
}

#[test]
fn one_message_of_an_event_can_fail_alone() {
    let template = Template::of_the_product().unwrap();
    for function in template.functions().unwrap() {
        for source in function.event_sources().unwrap() {
            assert_eq!(
                source.properties["FunctionResponseTypes"],
                json!(["ReportBatchItemFailures"]),
                "{} of {}",
                source.queue,
                function.name
            );
            // Event sources take more than ten messages only with a batching window.
            assert!(source.batch_size <= 10 || source.window_seconds > 0);
        }
    }
}

#[test]
fn every_queue_is_encrypted_polled_long_and_has_dead_letters_that_last_longer() {
    let template = Template::of_the_product().unwrap();
    let queues: BTreeMap<_, _> = template.resources("AWS::SQS::Queue").into_iter().collect();
    assert_eq!(queues.len(), 2 * Queue::ALL.len());
    for (name, queue) in &queues {
        assert_eq!(queue["SqsManagedSseEnabled"], true, "{name}");
        assert_eq!(queue["ReceiveMessageWaitTimeSeconds"], 20, "{name}");
    }
    for queue in Queue::ALL {
        let name = queue.as_str();
        let name = format!("{}{}", name[..1].to_uppercase(), &name[1..]);
        let (queue, dead) = (format!("{name}Queue"), format!("{name}DeadLetters"));
        let redrive = &queues[queue.as_str()]["RedrivePolicy"];
        assert_eq!(redrive["maxReceiveCount"], Queue::MAX_RECEIVES, "{queue}");
        assert_eq!(target(&redrive["deadLetterTargetArn"]), Some(dead.as_str()));
        // Four days is what SQS keeps a message for when nothing is said.
        let kept = |queue: &Value| queue["MessageRetentionPeriod"].as_u64();
        let kept_dead = kept(queues[dead.as_str()]).unwrap();
        assert!(kept_dead > kept(queues[queue.as_str()]).unwrap_or(4 * 86_400));
        assert!(queues[dead.as_str()]["RedrivePolicy"].is_null(), "{dead}");
    }
}

#[test]
fn no_event_source_may_run_less_than_two_at_once() {
    let template = Template::of_the_product().unwrap();
    let profiles = template.root()["Mappings"]["Profile"].as_object().unwrap();
    assert_eq!(profiles.len(), 3);
    for (name, profile) in profiles {
        for concurrency in ["ConcurrentChunks", "ConcurrentBatches"] {
            let concurrency = profile[concurrency].as_u64().unwrap();
            assert!((2..=1_000).contains(&concurrency), "{name}");
        }
    }
    for function in template.functions().unwrap() {
        for source in function.event_sources().unwrap() {
            let scaling = &source.properties["ScalingConfig"];
            assert!(!scaling.is_null(), "{} is unbounded", function.name);
            if let Some(concurrency) = scaling["MaximumConcurrency"].as_u64() {
                assert!(concurrency >= 2, "{}", function.name);
            }
        }
    }
}

#[test]
fn concurrency_is_never_reserved() {
    let template = Template::of_the_product().unwrap();
    assert!(!template.text().contains("ReservedConcurrentExecutions"));
}

#[test]
fn analyze_has_one_whole_processor() {
    let template = Template::of_the_product().unwrap();
    let functions = template.functions().unwrap();
    let analyze = functions.iter().find(|function| function.name == "analyze");
    assert_eq!(analyze.unwrap().memory_mb, 1_769);
    // The alarm and the dashboard say percent of it.
    assert_eq!(template.text().matches("100 * used / 1769").count(), 2);
}

#[test]
fn a_profile_says_what_the_code_would_pick_by_itself() {
    let template = Template::of_the_product().unwrap();
    let profiles = template.root()["Mappings"]["Profile"].as_object().unwrap();
    for (name, mapped) in profiles {
        let mut environment = Environment::of([("ENVIRONMENT", name.as_str())]);
        let profile = Profile::read(&mut environment);
        let limits = profile.limits(&mut environment);
        let in_code = json!({
            "ChunkSize": profile.chunk_size(&mut environment).to_string(),
            "MaxConcurrentRequests": profile.concurrency(&mut environment).to_string(),
            "RequestTimeout": limits.request_timeout.as_secs().to_string(),
            "RetryAttempts": limits.max_attempts.to_string(),
        });
        environment.finish().unwrap();
        for (member, value) in in_code.as_object().unwrap() {
            assert_eq!(&mapped[member], value, "{name}: {member}");
        }
    }
}

#[test]
fn the_api_is_told_what_analyze_works_within() {
    let template = Template::of_the_product().unwrap();
    let functions = template.functions().unwrap();
    let of = |name: &str| functions.iter().find(|it| it.name == name).unwrap();
    let (api, analyze) = (of("api"), of("analyze"));
    let memory_mb = api.environment["ANALYZE_MEMORY_MB"].as_str().unwrap();
    assert_eq!(memory_mb, analyze.memory_mb.to_string());
    for name in [
        "MAX_CONCURRENT_REQUESTS",
        "MAX_CONCURRENT_PER_HOST",
        "MAX_PROCESSES",
        "MAX_POLLERS",
    ] {
        assert_eq!(api.environment[name], analyze.environment[name], "{name}");
    }
}
