//! What owners do about their batches, and the intake.

use axum::body::Body;
use domain::ports::{BatchChange, PartCommit, Queue};
use domain::{
    BatchId, BatchStatus, Counters, Outcome, PartRef, ShardRef, SplitCheckpoint, SplitTotals,
};
use http::{Request, StatusCode, header};
use serde_json::{Value, json};

use crate::support::{Answer, Api, assert_problem};

impl Api {
    async fn say(&self, method: &str, path: &str, body: &Value) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, "Bearer alices")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()));
        self.send(request.unwrap()).await
    }

    async fn post(&self, path: &str) -> Answer {
        self.ask("POST", path, Some("alices")).await
    }

    /// Three rows of a batch of Alice's: one `ok`, two `timeout`. Its report is written.
    async fn ended(&self) -> String {
        let text = self.uploaded("alices").await;
        let id: BatchId = text.parse().unwrap();
        let store = &self.ports.store;
        store
            .create_shard(
                ShardRef {
                    batch: id,
                    shard: 0,
                },
                1,
            )
            .await
            .unwrap();
        let mut counters = Counters::default();
        counters.add_row(Outcome::Ok, &[], 1, Some(10), Some(10));
        counters.add_row(Outcome::Timeout, &[], 3, None, Some(10));
        counters.add_row(Outcome::Timeout, &[], 3, None, Some(10));
        let part = PartRef {
            batch: id,
            chunk: 0,
            part: 0,
        };
        let commit = PartCommit {
            part,
            counters,
            has_leftover: false,
            begins_labelling: false,
            retracted: None,
        };
        store.commit_part(&commit).await.unwrap();
        let now = self.ports.clock.now();
        let change = BatchChange {
            started_at: Some(now),
            ended_at: Some(now),
            checkpoint: Some(SplitCheckpoint {
                chunks: 1,
                rows: 3,
                chunk_size: 3,
                is_handed_over: false,
            }),
            totals: Some(SplitTotals {
                rows: 3,
                chunks: 1,
                shards: 1,
            }),
            report_ready: Some(true),
            ..BatchChange::to(BatchStatus::Completed)
        };
        store
            .advance(id, BatchStatus::OPEN, &change, now)
            .await
            .unwrap();
        text
    }
}

#[tokio::test]
async fn a_batch_is_cancelled_and_may_be_cancelled_again() {
    let api = Api::new();
    let id = api.uploaded("alices").await;
    for _ in 0..2 {
        let answer = api.post(&format!("/api/v1/batches/{id}/cancel")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        assert_eq!(answer.body["status"], "CANCELLED");
        assert!(answer.body["timestamps"]["ended_at"].is_string());
    }
    let ended = api.ended().await;
    let answer = api.post(&format!("/api/v1/batches/{ended}/cancel")).await;
    assert_problem(&answer, StatusCode::CONFLICT, "/problems/conflict");
}

#[tokio::test]
async fn a_retry_takes_chosen_outcomes_or_all_that_are_worth_it() {
    let api = Api::new();
    let id = api.ended().await;
    let path = format!("/api/v1/batches/{id}/retry");
    for (body, word) in [
        (json!({"outcomes": ["nice"]}), "nice"),
        (json!({"outcomes": []}), "empty"),
        (json!({"outcomes": ["duplicate_url"]}), "duplicate_url"),
        (json!({"outcome": ["timeout"]}), "outcome"),
    ] {
        let answer = api.say("POST", &path, &body).await;
        assert_problem(&answer, StatusCode::BAD_REQUEST, "/problems/bad-request");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains(word), "{detail}");
    }
    let none = json!({"outcomes": ["server_error"]});
    let answer = api.say("POST", &path, &none).await;
    assert_problem(&answer, StatusCode::CONFLICT, "/problems/conflict");

    let before = api.ports.queue.depth(Queue::Split).await.unwrap().visible;
    let wanted = json!({"outcomes": ["timeout", "server_error", "timeout"]});
    let answer = api.say("POST", &path, &wanted).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let expected = json!({"batch_id": id, "generation": 1, "outcomes": ["timeout", "server_error"], "rows": 2});
    assert_eq!(answer.body, expected);
    let after = api.ports.queue.depth(Queue::Split).await.unwrap().visible;
    assert_eq!(after, before + 1);

    let answer = api.post(&path).await;
    assert_problem(&answer, StatusCode::CONFLICT, "/problems/conflict");
    let other = api.ended().await;
    let answer = api.post(&format!("/api/v1/batches/{other}/retry")).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    assert_eq!(answer.body["rows"], 2);
}

#[tokio::test]
async fn a_batch_that_has_ended_can_be_deleted_and_another_has_to_be_cancelled_first() {
    let api = Api::new();
    let id = api.uploaded("alices").await;
    let path = format!("/api/v1/batches/{id}");
    let answer = api.ask("DELETE", &path, Some("alices")).await;
    assert_problem(&answer, StatusCode::CONFLICT, "/problems/conflict");
    assert!(
        answer.body["detail"]
            .as_str()
            .unwrap()
            .contains("Cancel it first")
    );

    api.post(&format!("{path}/cancel")).await;
    let answer = api.ask("DELETE", &path, Some("alices")).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.body);
    for method in ["GET", "DELETE"] {
        let answer = api.ask(method, &path, Some("alices")).await;
        assert_problem(&answer, StatusCode::NOT_FOUND, "/problems/no-such-batch");
    }
}

#[tokio::test]
async fn a_batch_on_its_way_out_is_not_shown_and_can_be_deleted_again() {
    let api = Api::new();
    let id = api.ended().await;
    let mark = BatchChange {
        deleting: Some(true),
        ..BatchChange::to(BatchStatus::Cancelled)
    };
    let now = api.ports.clock.now();
    let batch: BatchId = id.parse().unwrap();
    let store = &api.ports.store;
    store
        .advance(batch, BatchStatus::ALL, &mark, now)
        .await
        .unwrap();
    let path = format!("/api/v1/batches/{id}");
    let answer = api.ask("GET", &path, Some("alices")).await;
    assert_problem(&answer, StatusCode::NOT_FOUND, "/problems/no-such-batch");
    let listed = api.ask("GET", "/api/v1/batches", Some("alices")).await;
    assert_eq!(listed.body["data"], json!([]));
    let answer = api.ask("DELETE", &path, Some("alices")).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(store.batch(batch).await.unwrap(), None);
}

#[tokio::test]
async fn the_concurrency_of_a_batch_can_be_changed() {
    let api = Api::new();
    let id = api.uploaded("alices").await;
    let path = format!("/api/v1/batches/{id}");
    let answer = api
        .say("PATCH", &path, &json!({"max_concurrency": 12}))
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.body["max_concurrency"], 12);
    let detail = api.ask("GET", &path, Some("alices")).await;
    assert_eq!(detail.body["max_concurrency"], 12);
    for body in [
        json!({"max_concurrency": 0}),
        json!({"max_concurrency": 100_001}),
        json!({"max_concurrency": -1}),
        json!({"name": "autumn"}),
        json!({}),
    ] {
        let answer = api.say("PATCH", &path, &body).await;
        assert_problem(&answer, StatusCode::BAD_REQUEST, "/problems/bad-request");
    }
}

#[tokio::test]
async fn the_intake_is_paused_and_resumed_and_lists_are_taken_in_meanwhile() {
    let api = Api::new();
    let path = "/api/v1/system/intake";
    let answer = api.ask("GET", path, Some("alices")).await;
    assert_eq!(answer.body, json!({"paused": false, "since": null}));
    let answer = api.say("POST", path, &json!({"paused": true})).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.body["paused"], true);
    assert!(answer.body["since"].is_string());
    api.uploaded("alices").await;
    let read = api.ask("GET", path, Some("alices")).await;
    assert_eq!(read.body, answer.body);
    let answer = api.say("POST", path, &json!({"paused": false})).await;
    assert_eq!(answer.body["paused"], false);
    let answer = api.say("POST", path, &json!({"paused": "perhaps"})).await;
    assert_problem(&answer, StatusCode::BAD_REQUEST, "/problems/bad-request");
}
