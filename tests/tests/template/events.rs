//! `events/`: what `sam local invoke` hands to the functions is what they read. A file is named after its function and its kind.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use domain::{ChunkMessage, FinalizeMessage, MetricsMessage, SplitMessage, VisionMessage, keys};
use imgsweep_tests::template::{Template, repository};
use lambda_support::notification::Notification;
use lambda_support::sqs::SqsEvent;
use serde_json::Value;

/// Function and kind, and what the file holds.
fn events() -> BTreeMap<(String, String), String> {
    let mut events = BTreeMap::new();
    for file in fs::read_dir(repository().join("events")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let [function, kind, "json"] = name.split('.').collect::<Vec<_>>()[..] else {
            panic!("{name} is not <function>.<kind>.json");
        };
        let text = fs::read_to_string(&path).unwrap();
        events.insert((function.to_owned(), kind.to_owned()), text);
    }
    events
}

fn event(function: &str, kind: &str) -> String {
    let key = (function.to_owned(), kind.to_owned());
    events().remove(&key).unwrap()
}

/// Bodies of an event's messages, after the functions' own reader has taken it.
fn bodies(function: &str, kind: &str) -> Vec<String> {
    let text = event(function, kind);
    serde_json::from_str::<SqsEvent>(&text).unwrap();
    let event: Value = serde_json::from_str(&text).unwrap();
    let mut bodies = Vec::new();
    for record in event["Records"].as_array().unwrap() {
        bodies.push(record["body"].as_str().unwrap().to_owned());
    }
    bodies
}

#[test]
fn every_function_has_an_event_and_every_event_a_function() {
    let template = Template::of_the_product().unwrap();
    let functions = template.functions().unwrap();
    let named: BTreeSet<&str> = functions.iter().map(|function| function.name).collect();
    let events = events();
    let with_event: BTreeSet<&str> = events.keys().map(|(name, _)| name.as_str()).collect();
    assert_eq!(with_event, named);
}

#[test]
fn messages_come_from_queues_that_their_function_reads() {
    let template = Template::of_the_product().unwrap();
    for function in template.functions().unwrap() {
        let queues: BTreeSet<&str> = function
            .event_sources()
            .unwrap()
            .iter()
            .map(|source| source.queue)
            .collect();
        for ((name, kind), text) in &events() {
            let event: Value = serde_json::from_str(text).unwrap();
            if name != function.name || event["Records"].is_null() {
                continue;
            }
            let records = event["Records"].as_array().unwrap();
            for record in records {
                assert_eq!(record["eventSource"], "aws:sqs", "{name}.{kind}");
                let arn = record["eventSourceARN"].as_str().unwrap();
                let queue = arn.rsplit('-').next().unwrap();
                assert!(queues.contains(queue), "{name}.{kind}: {arn}");
            }
        }
    }
}

#[test]
fn messages_are_what_the_functions_read() {
    for body in bodies("fan-out", "split") {
        serde_json::from_str::<SplitMessage>(&body).unwrap();
    }
    for body in bodies("fan-out", "object-created") {
        let notification: Notification = serde_json::from_str(&body).unwrap();
        let keys = notification.created_keys();
        assert_eq!(keys.len(), 1);
        assert!(keys::upload_batch(&keys[0]).is_some(), "{keys:?}");
    }
    for (kind, part) in [("chunk", 0), ("part", 1)] {
        for body in bodies("analyze", kind) {
            let message: ChunkMessage = serde_json::from_str(&body).unwrap();
            assert_eq!(message.part.part, part);
        }
    }
    for body in bodies("emit-metrics", "metrics") {
        let message: MetricsMessage = serde_json::from_str(&body).unwrap();
        let counters = &message.delta.counters;
        assert_eq!(counters.by_outcome.values().sum::<u64>(), counters.rows);
    }
    for body in bodies("finalize", "finalize") {
        serde_json::from_str::<FinalizeMessage>(&body).unwrap();
    }
    for body in bodies("vision", "part") {
        let message: VisionMessage = serde_json::from_str(&body).unwrap();
        assert_eq!(message.step, 1);
    }
    for body in bodies("janitor", "dead-letter") {
        serde_json::from_str::<ChunkMessage>(&body).unwrap();
    }
}

#[test]
fn the_schedule_is_what_eventbridge_sends() {
    let event: Value = serde_json::from_str(&event("janitor", "schedule")).unwrap();
    assert_eq!(event["detail-type"], "Scheduled Event");
    assert_eq!(event["source"], "aws.events");
    assert_eq!(event["detail"], serde_json::json!({}));
}

#[test]
fn requests_are_what_the_http_functions_read() {
    for ((function, kind), text) in events() {
        if function != "upload" && function != "api" {
            continue;
        }
        let event: Value = serde_json::from_str(&text).unwrap();
        let request = lambda_http::request::from_str(&text).unwrap();
        assert_eq!(
            request.method().as_str(),
            event["requestContext"]["http"]["method"]
        );
        assert_eq!(request.uri().path(), event["rawPath"], "{function}.{kind}");
        let needs_token = request.uri().path() != "/health";
        assert_eq!(request.headers().contains_key("authorization"), needs_token);
    }
}

#[test]
fn the_form_of_the_upload_is_a_list_of_its_declared_length() {
    let event: Value = serde_json::from_str(&event("upload", "multipart")).unwrap();
    assert_eq!(event["isBase64Encoded"], true);
    let form = BASE64_STANDARD
        .decode(event["body"].as_str().unwrap())
        .unwrap();
    let length = event["headers"]["content-length"].as_str().unwrap();
    assert_eq!(length.parse(), Ok(form.len()));
    let form = String::from_utf8(form).unwrap();
    let content_type = event["headers"]["content-type"].as_str().unwrap();
    let (_, boundary) = content_type.split_once("boundary=").unwrap();
    assert!(form.starts_with(&format!("--{boundary}\r\n")));
    assert!(form.ends_with(&format!("--{boundary}--\r\n")));
    for field in ["file", "batch_name", "auto_start"] {
        assert!(form.contains(&format!("name=\"{field}\"")), "{field}");
    }
}
