//! Requests that are sent more than once.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode, header};
use pipeline::idempotency::KEPT;
use serde_json::{Value, json};

use crate::support::{Answer, Api, assert_problem};

const LIST: &str = "url\nhttp://10.0.0.1/a.jpg\n";
const REUSED: &str = "/problems/idempotency-key-reused";

impl Api {
    async fn upload_once(
        &self,
        token: &str,
        key: &str,
        fields: &[(&str, &str)],
        list: &str,
    ) -> Answer {
        let (content_type, body) = Self::form(fields, list);
        let request = Request::post("/upload")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, content_type)
            .header("Idempotency-Key", key)
            .body(Body::from(body));
        self.send(request.unwrap()).await
    }

    async fn create_once(&self, key: &str, wanted: &Value) -> Answer {
        let request = Request::post("/api/v1/batches")
            .header(header::AUTHORIZATION, "Bearer alices")
            .header(header::CONTENT_TYPE, "application/json")
            .header("Idempotency-Key", key)
            .body(Body::from(wanted.to_string()));
        self.send(request.unwrap()).await
    }

    async fn batches(&self) -> usize {
        let listed = self.ask("GET", "/api/v1/batches", Some("alices")).await;
        listed.body["data"].as_array().unwrap().len()
    }
}

#[tokio::test]
async fn the_same_upload_with_the_same_key_makes_one_batch_and_answers_the_same() {
    let api = Api::new();
    let fields = [("batch_name", "spring")];
    let first = api.upload_once("alices", "order 7", &fields, LIST).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.body);
    let again = api.upload_once("alices", "order 7", &fields, LIST).await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(
        again.headers[header::LOCATION],
        first.headers[header::LOCATION]
    );
    assert_eq!(api.batches().await, 1);
    assert_eq!(api.stored("lists").await, 1, "the second list is not kept");

    let other = api.upload_once("alices", "order 8", &fields, LIST).await;
    assert_ne!(other.body["batch_id"], first.body["batch_id"]);
    let others = api.upload_once("bobs", "order 7", &fields, LIST).await;
    assert_eq!(others.status, StatusCode::ACCEPTED);
    assert_ne!(others.body["batch_id"], first.body["batch_id"]);
}

#[tokio::test]
async fn the_same_key_with_anything_else_is_refused() {
    let api = Api::new();
    let fields = [("batch_name", "spring"), ("auto_start", "true")];
    let first = api.upload_once("alices", "k", &fields, LIST).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.body);
    let named = [("batch_name", "autumn"), ("auto_start", "true")];
    let waiting = [("batch_name", "spring"), ("auto_start", "false")];
    let answers = [
        api.upload_once("alices", "k", &fields, "url\nhttp://10.0.0.1/b.jpg\n")
            .await,
        api.upload_once("alices", "k", &named, LIST).await,
        api.upload_once("alices", "k", &waiting, LIST).await,
        api.create_once("k", &json!({"list_name": "l.csv"})).await,
    ];
    for answer in answers {
        assert_problem(&answer, StatusCode::CONFLICT, REUSED);
    }
    assert_eq!(api.batches().await, 1);
    assert_eq!(api.stored("lists").await, 1);
    api.clock.advance(KEPT + Duration::from_secs(1));
    let later = api.upload_once("alices", "k", &named, LIST).await;
    assert_eq!(later.status, StatusCode::ACCEPTED, "{}", later.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twins_at_the_same_time_make_one_batch() {
    let api = Api::new();
    let one = || api.upload_once("alices", "twin", &[], LIST);
    let (a, b, c, d) = tokio::join!(one(), one(), one(), one());
    let ids: BTreeSet<String> = [a, b, c, d]
        .iter()
        .map(|answer| answer.body["batch_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(api.batches().await, 1);
    assert_eq!(api.stored("lists").await, 1);
}

#[tokio::test]
async fn an_awaited_list_is_asked_for_once() {
    let api = Api::new();
    let wanted = json!({"list_name": "l.csv", "name": "spring"});
    let first = api.create_once("k", &wanted).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.body);
    let again = api.create_once("k", &wanted).await;
    assert_eq!(again.status, StatusCode::CREATED, "{}", again.body);
    for field in ["batch_id", "name", "status", "status_url"] {
        assert_eq!(again.body[field], first.body[field], "{field}");
    }
    let other = json!({"list_name": "l.csv", "name": "spring", "auto_start": false});
    let answer = api.create_once("k", &other).await;
    assert_problem(&answer, StatusCode::CONFLICT, REUSED);
    assert_eq!(api.batches().await, 1);
}

#[tokio::test]
async fn a_key_whose_batch_was_deleted_creates_nothing() {
    let api = Api::new();
    let first = api.upload_once("alices", "k", &[], LIST).await;
    let path = first.body["status_url"].as_str().unwrap();
    api.ask("POST", &format!("{path}/cancel"), Some("alices"))
        .await;
    let deleted = api.ask("DELETE", path, Some("alices")).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    let again = api.upload_once("alices", "k", &[], LIST).await;
    assert_problem(&again, StatusCode::GONE, "/problems/idempotency-key-spent");
    assert_eq!(api.batches().await, 0);
    assert_eq!(api.stored("lists").await, 0);
}

#[tokio::test]
async fn a_key_that_cannot_be_one_is_a_bad_request() {
    let api = Api::new();
    for key in [String::new(), "x".repeat(256)] {
        let answer = api.upload_once("alices", &key, &[], LIST).await;
        assert_problem(&answer, StatusCode::BAD_REQUEST, "/problems/bad-request");
        assert!(
            answer.body["detail"]
                .as_str()
                .unwrap()
                .contains("Idempotency-Key")
        );
    }
    assert_eq!(api.batches().await, 0);
}
