//! An event of messages: each stands and falls alone, and there is always an answer.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops where something is not as expected"
)]

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use domain::SplitMessage;
use domain::ports::Queue;
use lambda_support::sqs::{SqsBatchResponse, SqsEvent, TimeLeft, each_record};
use pipeline::{PipelineResult, parse_message};
use serde_json::{Value, json};

const GOOD: &str = r#"{"batch":"01ARZ3NDEKTSV4RRFFQ69G5FAV"}"#;

fn event(bodies: &[Value]) -> SqsEvent {
    let record = |(number, body)| {
        json!({
            "messageId": format!("m{number}"),
            "receiptHandle": "r",
            "body": body,
            "attributes": {"ApproximateReceiveCount": "3", "SentTimestamp": "1"},
            "messageAttributes": {},
            "md5OfBody": "x",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:imgsweep-split",
            "awsRegion": "eu-central-1",
        })
    };
    let records: Vec<Value> = bodies.iter().enumerate().map(record).collect();
    serde_json::from_value(json!({"Records": records})).unwrap()
}

fn a_minute() -> TimeLeft {
    TimeLeft {
        soft_deadline: Instant::now() + Duration::from_secs(60),
        hard_deadline: Instant::now() + Duration::from_secs(70),
    }
}

fn failed(response: &SqsBatchResponse) -> Vec<&str> {
    let failures = response.batch_item_failures.iter();
    failures
        .map(|failure| failure.item_identifier.as_str())
        .collect()
}

/// Reads every body as a split message, and notes how many it could read.
async fn read_all(bodies: &[Value], time: TimeLeft) -> (SqsBatchResponse, usize) {
    let read = Mutex::new(0);
    let response = each_record(event(bodies), time, async |record| -> PipelineResult<()> {
        let _message: SplitMessage = parse_message(Queue::Split, &record.body)?;
        *read.lock().unwrap() += 1;
        Ok(())
    });
    let response = response.await;
    (response, read.into_inner().unwrap())
}

#[tokio::test]
async fn one_malformed_body_among_ten_is_reported_and_nine_succeed() {
    for malformed in [
        json!("{\"batch\":"),
        json!(""),
        json!(17),
        Value::Null,
        json!({}),
    ] {
        let mut bodies = vec![json!(GOOD); 10];
        bodies[4] = malformed;
        let (response, read) = read_all(&bodies, a_minute()).await;
        assert_eq!(failed(&response), ["m4"]);
        assert_eq!(read, 9);
    }
}

#[tokio::test]
async fn a_panicking_handler_fails_its_record_only() {
    let bodies = vec![json!(GOOD); 10];
    let number = Mutex::new(0);
    let response = each_record(
        event(&bodies),
        a_minute(),
        async |_| -> PipelineResult<()> {
            let mut number = number
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            *number += 1;
            assert_ne!(*number, 3, "the third handler panics on purpose");
            Ok(())
        },
    );
    assert_eq!(failed(&response.await), ["m2"]);
}

#[tokio::test]
async fn without_time_everything_is_returned_and_nothing_is_worked_on() {
    let context = lambda_runtime::Context::default();
    let time = TimeLeft::of(&context, Duration::from_secs(20));
    let (response, read) = read_all(&vec![json!(GOOD); 10], time).await;
    assert_eq!(response.batch_item_failures.len(), 10);
    assert_eq!(read, 0);
}

#[tokio::test]
async fn what_is_left_when_the_time_is_up_is_returned() {
    let now = Instant::now();
    let time = TimeLeft {
        soft_deadline: now + Duration::from_millis(50),
        hard_deadline: now + Duration::from_secs(60),
    };
    let bodies = vec![json!(GOOD); 3];
    let response = each_record(event(&bodies), time, async |_| -> PipelineResult<()> {
        tokio::time::sleep(Duration::from_millis(60)).await;
        Ok(())
    });
    assert_eq!(failed(&response.await), ["m1", "m2"]);
}

#[tokio::test]
async fn a_handler_that_does_not_end_in_time_is_given_up() {
    let now = Instant::now();
    let time = TimeLeft {
        soft_deadline: now + Duration::from_millis(20),
        hard_deadline: now + Duration::from_millis(50),
    };
    let bodies = vec![json!(GOOD); 2];
    let response = each_record(event(&bodies), time, async |_| -> PipelineResult<()> {
        std::future::pending::<()>().await;
        Ok(())
    });
    assert_eq!(failed(&response.await), ["m0", "m1"]);
}

#[test]
fn the_reserve_is_taken_off_the_time_left() {
    let now_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64;
    let mut context = lambda_runtime::Context::default();
    context.deadline = now_ms + 60_000;
    let time = TimeLeft::of(&context, Duration::from_secs(20));
    let soft = time.soft_deadline - Instant::now();
    assert!((39.0..=40.1).contains(&soft.as_secs_f64()), "{soft:?}");
    assert!(time.hard_deadline > time.soft_deadline);
    assert!(!time.is_up());
    assert!(TimeLeft::of(&context, Duration::from_secs(90)).is_up());
}

#[tokio::test]
async fn there_is_always_an_answer_and_it_is_never_null() {
    for bodies in [vec![], vec![json!(GOOD)], vec![json!(1)]] {
        let (response, _) = read_all(&bodies, a_minute()).await;
        let answer = serde_json::to_value(&response).unwrap();
        let failures = answer["batchItemFailures"].as_array().unwrap();
        for failure in failures {
            assert!(failure["itemIdentifier"].is_string(), "{answer}");
        }
    }
}

#[tokio::test]
async fn a_record_says_how_often_it_came_and_from_where() {
    let response = each_record(
        event(&[json!(GOOD)]),
        a_minute(),
        async |record| -> PipelineResult<()> {
            assert_eq!(record.receive_count, 3);
            assert_eq!(record.queue_name, "imgsweep-split");
            Ok(())
        },
    );
    assert!(failed(&response.await).is_empty());
}
