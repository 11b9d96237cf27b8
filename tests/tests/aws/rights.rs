//! Every function does all that it ever does: its role allows each of it, and nothing else.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use http::{Method, StatusCode};
use parking_lot::Mutex;
use sample_origin::{Corpus, Origin};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::deployment::{Answer, Circumstances, Deployment};

/// Rights that this test does not come to use: of which function, to do what, with what, and why they are needed.
type NotUsed = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    &'static str,
);

const NOT_USED_HERE: &[NotUsed] = &[
    (
        "upload",
        &["s3:AbortMultipartUpload"],
        &["lists/"],
        "a sender that stops half way",
    ),
    (
        "upload",
        &[
            "s3:AbortMultipartUpload",
            "s3:DeleteObject",
            "s3:GetObject",
            "s3:ListMultipartUploadParts",
            "s3:PutObject",
        ],
        &["uploads/", "parts/"],
        "lists that go in in parts, which the adapter's tests put together",
    ),
    (
        "upload",
        &["s3:ListBucket"],
        &["bucket"],
        "not asked for by itself: it makes S3 say that an object is not there",
    ),
    (
        "analyze",
        &["s3:ListBucket"],
        &["bucket"],
        "not asked for by itself: it makes S3 say that an object is not there",
    ),
    (
        "analyze",
        &["s3:DeleteObject"],
        &["results/"],
        "results of a batch that was deleted meanwhile",
    ),
    (
        "analyze",
        &["s3:PutObject", "sqs:SendMessage"],
        &["images/", "VisionQueue", "VisionhighQueue"],
        "images for a model: labels have tests of their own",
    ),
    (
        "analyze",
        &["sqs:SendMessage"],
        &["ChunksQueue"],
        "rows that a deadline leaves over",
    ),
    (
        "api",
        &["dynamodb:BatchGetItem", "dynamodb:GetItem"],
        &["index/*"],
        "one statement for the table and its indexes",
    ),
    (
        "api",
        &["s3:DeleteObject"],
        &["annotations/", "images/", "parts/", "vision/"],
        "what a batch leaves that has duplicates, labels, or came in parts",
    ),
    (
        "fan-out",
        &["sqs:SendMessage"],
        &["FinalizeQueue"],
        "a split that is at its end after all its chunks",
    ),
    (
        "finalize",
        &["s3:AbortMultipartUpload", "s3:DeleteObject"],
        &["exports/", "annotations/", "images/", "reports/"],
        "a table that breaks off, a batch that was deleted meanwhile, images that have their labels",
    ),
    (
        "finalize",
        &["s3:GetObject", "s3:PutObject"],
        &["vision/", "annotations/"],
        "labels and duplicates",
    ),
    (
        "janitor",
        &[
            "dynamodb:BatchWriteItem",
            "dynamodb:DeleteItem",
            "dynamodb:PutItem",
            "s3:DeleteObject",
            "s3:ListBucket",
        ],
        &[
            "table",
            "bucket",
            "annotations/",
            "chunks/",
            "exports/",
            "images/",
            "lists/",
            "notices/",
            "parts/",
            "reports/",
            "results/",
            "uploads/",
            "vision/",
        ],
        "a deletion that stopped half way",
    ),
    (
        "janitor",
        &["s3:GetObject", "s3:PutObject", "sqs:SendMessage"],
        &[
            "chunks/",
            "lists/",
            "results/",
            "vision/",
            "ChunksQueue",
            "MetricsQueue",
            "SplitQueue",
            "VisionQueue",
            "VisionhighQueue",
        ],
        "what a crash left, which the tests of faults make good",
    ),
    (
        "janitor",
        &[
            "lambda:GetEventSourceMapping",
            "lambda:UpdateEventSourceMapping",
        ],
        &["AnalyzeFunctionChunks"],
        "advice that is acted on, which is off unless wished: the template's tests hold these against the adapter",
    ),
];

/// Its rights are held against the tests of labels.
const HAS_TESTS_OF_ITS_OWN: &str = "vision";

/// Requests that a webhook's receiver was sent.
type Told = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

async fn receiver() -> (String, Told) {
    async fn take(State(told): State<Told>, headers: HeaderMap, body: Bytes) -> StatusCode {
        let mut told = told.lock();
        told.push((headers, body));
        // The first is not taken.
        if told.len() == 1 {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::NO_CONTENT
        }
    }
    let told = Told::default();
    let router = Router::new()
        .route("/hook", post(take))
        .with_state(Arc::clone(&told));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, told)
}

impl Deployment {
    async fn post(&self, path: &str, body: &Value) -> Answer {
        let body = body.to_string();
        self.ask(Method::POST, path, "application/json", body).await
    }

    /// Waits until a batch ended, and answers with its id.
    async fn done(&self, accepted: &Answer) -> String {
        let is_taken = accepted.status == StatusCode::ACCEPTED;
        assert!(is_taken, "{}: {}", accepted.status, accepted.body);
        let id = accepted.body["batch_id"].as_str().unwrap().to_owned();
        let batch = self.ended(&id).await;
        assert_ne!(batch["status"], "FAILED", "{batch:#}");
        id
    }

    /// A dead letter, as its event source hands it to the janitor.
    async fn dies(&self, queue: &str, body: &Value) {
        let arn = format!("arn:aws:sqs:eu-central-1:1:{}", self.dead_letters_of(queue));
        let event = json!({"Records": [{
            "messageId": "1", "body": body.to_string(), "eventSourceARN": arn, "attributes": {},
        }]});
        let answer = self.janitor.invoke(&event).await.unwrap();
        assert_eq!(answer, json!({"batchItemFailures": []}), "{queue}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one journey past every right")]
async fn functions_may_do_what_they_do_and_nothing_else() {
    let deployment = Deployment::start_in(Circumstances {
        // Every sweep finds every batch.
        variables: vec![("REPAIR_AFTER_SECONDS", "0".to_owned())],
        ..Circumstances::default()
    })
    .await;
    let origin = Origin::start(Arc::new(Corpus::variants(1, 4, 64))).unwrap();
    let (hook, told) = receiver().await;
    let mut list = "url\n".to_owned();
    for row in 0..6 {
        let path = if row % 2 == 0 {
            "image/twice"
        } else {
            "image/none"
        };
        writeln!(list, "{}", origin.url(&format!("/{path}?{row}"))).unwrap();
    }

    // Handed in with a key, twice; with rules; somebody is told.
    let fields = [("rules", "google-merchant"), ("webhook", hook.as_str())];
    let accepted = deployment.upload_once(&list, &fields, Some("key")).await;
    let first = deployment.done(&accepted).await;
    let again = deployment.upload_once(&list, &fields, Some("key")).await;
    assert_eq!(again.body["batch_id"], first.as_str(), "{}", again.body);

    // Looked at from everywhere.
    deployment.results(&first).await;
    deployment.report(&first).await;
    for path in [
        "/ready",
        "/api/v1/batches?status=COMPLETED",
        "/api/v1/system/stats",
        "/api/v1/system/intake",
        "/api/v1/monitoring/performance",
    ] {
        deployment.get(path).await;
    }
    // A table is written apart, and fetched from where it lies.
    let path = format!("/api/v1/batches/{first}/export?format=csv&columns=row,url");
    let mut table = deployment.ask(Method::GET, &path, "", "").await;
    while table.status == StatusCode::ACCEPTED {
        table = deployment.ask(Method::GET, &path, "", "").await;
    }
    assert_eq!(table.status, StatusCode::SEE_OTHER, "{}", table.body);
    let text = deployment.fetch(&table.location.unwrap()).await;
    assert_eq!(text.lines().count(), 1 + 6, "{text}");
    assert!(text.starts_with("row,url"), "{text}");
    let path = format!("/api/v1/batches/{first}/export?columns=row,none");
    let refused = deployment.ask(Method::GET, &path, "", "").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.body);
    let intake = json!({"paused": false});
    deployment.post("/api/v1/system/intake", &intake).await;
    let token = json!({"name": "another", "scope": "read"});
    let made = deployment.post("/api/v1/tokens", &token).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);

    // Done again in part; compared with; cancelled; deleted.
    let wish = json!({"outcomes": ["not_found"]});
    let path = format!("/api/v1/batches/{first}/retry");
    let retried = deployment.post(&path, &wish).await;
    assert_eq!(deployment.done(&retried).await, first);
    let since = [("since", first.as_str())];
    let compared = deployment.upload(&list, &since).await;
    let compared = deployment.done(&compared).await;
    let waits = [("auto_start", "false")];
    let waiting = deployment.upload(&list, &waits).await;
    let waiting = waiting.body["batch_id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/batches/{waiting}/cancel");
    deployment.post(&path, &Value::Null).await;
    deployment.ended(&waiting).await;
    let empty = deployment.upload("url\n", &[]).await;
    let empty = empty.body["batch_id"].as_str().unwrap();
    assert_eq!(deployment.ended(empty).await["status"], "FAILED");

    // Handed in at an address of its own.
    let wanted = json!({"list_name": "list.csv", "name": "apart", "auto_start": true});
    let created = deployment.post("/api/v1/batches", &wanted).await;
    let apart = created.body["batch_id"].as_str().unwrap().to_owned();
    let url = created.body["upload"]["url"].as_str().unwrap();
    assert_eq!(deployment.put(url, list.clone()).await, StatusCode::OK);
    deployment.ended(&apart).await;

    // What was given up, and what the sweep finds.
    let part = json!({"batch": apart, "chunk": 0, "part": 1});
    deployment
        .dies("chunks", &json!({"part": part, "deferrals": 0}))
        .await;
    let split = json!({"batch": apart, "continuation": 0});
    deployment.dies("split", &split).await;
    deployment.dies("finalize", &json!({"batch": apart})).await;
    let created = deployment.post("/api/v1/batches", &wanted).await;
    let never = created.body["batch_id"].as_str().unwrap();
    let schedule = json!({"detail-type": "Scheduled Event", "source": "aws.events"});
    deployment.janitor.invoke(&schedule).await.unwrap();
    println!("{never} never comes");

    for id in [&first, &compared] {
        let path = format!("/api/v1/batches/{id}");
        let deleted = deployment.ask(Method::DELETE, &path, "", "").await;
        assert_eq!(deleted.status, StatusCode::NO_CONTENT, "{}", deleted.body);
    }

    // Whoever subscribed heard of every end; the webhook was not taken at first.
    let begun = Instant::now();
    let mut kinds = BTreeSet::new();
    while kinds.len() < 2 && begun.elapsed() < Duration::from_secs(30) {
        let announced = deployment.ends.announced().await;
        kinds.extend(announced.into_iter().map(|(kind, _)| kind));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(
        kinds,
        ["batch.cancelled", "batch.completed"]
            .map(str::to_owned)
            .into()
    );
    while told.lock().len() < 2 && begun.elapsed() < Duration::from_secs(30) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let told = told.lock().clone();
    assert!(told.len() >= 2, "told {} times", told.len());
    assert!(
        told.iter()
            .all(|(headers, _)| headers.contains_key("webhook-signature"))
    );

    // Indicators are gathered for some seconds.
    let is_counted = || !deployment.accesses("emit-metrics")[0].is_empty();
    while !is_counted() && begun.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(is_counted(), "{}", deployment.log("emit-metrics"));

    let unused = deployment.assert_rights_suffice();
    let mut unexplained = Vec::new();
    for (function, action, resource) in &unused {
        let is_explained = NOT_USED_HERE.iter().any(|(name, actions, what, _)| {
            name == function
                && actions.contains(&action.as_str())
                && what.contains(&resource.as_str())
        });
        if !is_explained && function != HAS_TESTS_OF_ITS_OWN && !is_of_the_platform(action) {
            unexplained.push(format!("{function}: {action} of {resource}"));
        }
    }
    assert!(
        unexplained.is_empty(),
        "not used:\n{}",
        unexplained.join("\n")
    );
    for (function, actions, _, why) in NOT_USED_HERE {
        for action in *actions {
            let is_right = deployment.may(function, action);
            assert!(is_right, "{function} may not {action}: {why}");
        }
    }
    deployment.assert_secrets_are_kept();
}

/// What the service does in a function's name: event sources and traces.
fn is_of_the_platform(action: &str) -> bool {
    action.starts_with("xray:")
        || matches!(
            action,
            "sqs:ReceiveMessage"
                | "sqs:DeleteMessage"
                | "sqs:ChangeMessageVisibility"
                | "sqs:GetQueueAttributes"
        )
}
