//! The router over the embedded adapters, without a socket and without an engine: what is asked and what is answered.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops where something is not as expected"
)]

use std::sync::Arc;

use adapters_embedded::DataFolder;
use axum::Router;
use axum::body::Body;
use domain::ports::{SystemClock, UlidIds};
use http::{Request, StatusCode, header};
use http_api::{ApiState, Token, Tokens, router};
use http_body_util::BodyExt;
use pipeline::Ports;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;

const MAX_UPLOAD_BYTES: u64 = 2_000;

struct Api {
    router: Router,
    _folder: TempDir,
}

struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    body: Value,
}

impl Api {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        let ports = Ports {
            store: data.store(),
            queue: data.queue(),
            objects: data.objects(),
            clock: Arc::new(SystemClock),
            ids: Arc::new(UlidIds),
        };
        let tokens = Tokens::new(vec![
            Token::new("alice", "alices"),
            Token::new("bob", "bobs"),
        ]);
        let state = ApiState {
            ports,
            tokens: Arc::new(tokens),
            max_upload_bytes: MAX_UPLOAD_BYTES,
        };
        Self {
            router: router(state),
            _folder: folder,
        }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        }
    }

    async fn ask(&self, method: &str, path: &str, token: Option<&str>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn upload(&self, token: &str, fields: &[(&str, &str)], list: &str) -> Answer {
        let mut form = Vec::new();
        for (name, value) in fields {
            form.push(format!(
                "--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            ));
        }
        form.push(format!(
"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"l.csv\"\r\n\r\n{list}\r\n--b--\r\n"
));
        let request = Request::post("/upload")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "multipart/form-data; boundary=b")
            .body(Body::from(form.concat()));
        self.send(request.unwrap()).await
    }

    async fn uploaded(&self, token: &str) -> String {
        let answer = self
            .upload(token, &[], "url\nhttp://10.0.0.1/a.jpg\n")
            .await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        answer.body["batch_id"].as_str().unwrap().to_owned()
    }
}

fn assert_problem(answer: &Answer, status: StatusCode, kind: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(
        answer.headers[header::CONTENT_TYPE],
        "application/problem+json"
    );
    assert_eq!(answer.body["type"], kind);
    assert_eq!(answer.body["status"], status.as_u16());
}

#[tokio::test]
async fn every_route_but_health_and_readiness_needs_a_token() {
    let api = Api::new();
    let id = api.uploaded("alices").await;
    for (method, path) in [
        ("POST", "/upload".to_owned()),
        ("GET", "/api/v1/batches".to_owned()),
        ("GET", format!("/api/v1/batches/{id}")),
        ("POST", format!("/api/v1/batches/{id}/start")),
        ("GET", format!("/api/v1/batches/{id}/results")),
        ("GET", format!("/api/v1/batches/{id}/report")),
        ("GET", "/api/v1/system/stats".to_owned()),
    ] {
        for token in [None, Some("wrong"), Some("")] {
            let answer = api.ask(method, &path, token).await;
            assert_problem(&answer, StatusCode::UNAUTHORIZED, "/problems/unauthorized");
            assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Bearer");
        }
    }
    assert_eq!(api.ask("GET", "/health", None).await.status, StatusCode::OK);
    assert_eq!(api.ask("GET", "/ready", None).await.status, StatusCode::OK);
}

#[tokio::test]
async fn anothers_batch_is_as_if_it_did_not_exist() {
    let api = Api::new();
    let id = api.uploaded("alices").await;
    for (method, tail) in [
        ("GET", ""),
        ("POST", "/start"),
        ("GET", "/results"),
        ("GET", "/report"),
    ] {
        let answer = api
            .ask(method, &format!("/api/v1/batches/{id}{tail}"), Some("bobs"))
            .await;
        assert_problem(&answer, StatusCode::NOT_FOUND, "/problems/no-such-batch");
    }
    let listed = api.ask("GET", "/api/v1/batches", Some("bobs")).await;
    assert_eq!(listed.body["data"], serde_json::json!([]));
}

#[tokio::test]
async fn an_upload_is_accepted_and_shown() {
    let api = Api::new();
    let fields = [
        ("batch_name", "spring"),
        ("auto_start", "false"),
        ("url_column", "url"),
    ];
    let answer = api
        .upload("alices", &fields, "url\nhttp://10.0.0.1/a.jpg\n")
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
    let id = answer.body["batch_id"].as_str().unwrap();
    assert_eq!(
        answer.headers[header::LOCATION],
        format!("/api/v1/batches/{id}")
    );
    assert!(answer.headers.contains_key("x-request-id"));
    let detail = api
        .ask("GET", &format!("/api/v1/batches/{id}"), Some("alices"))
        .await
        .body;
    assert_eq!(detail["name"], "spring");
    assert_eq!(detail["status"], "PENDING");
    assert_eq!(detail["options"]["url_column"], "url");
    assert_eq!(detail["progress"]["rows_done"], 0);
    let started = api
        .ask(
            "POST",
            &format!("/api/v1/batches/{id}/start"),
            Some("alices"),
        )
        .await;
    assert_eq!(started.body["status"], "QUEUED");
}

#[tokio::test]
async fn batches_page_through_a_cursor_newest_first() {
    let api = Api::new();
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(api.uploaded("alices").await);
        // Ids of one millisecond have no order.
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    ids.reverse();
    let mut seen = Vec::new();
    let mut path = "/api/v1/batches?limit=2".to_owned();
    loop {
        let page = api.ask("GET", &path, Some("alices")).await.body;
        let rows = page["data"].as_array().unwrap();
        seen.extend(
            rows.iter()
                .map(|row| row["batch_id"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("/api/v1/batches?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, ids);
}

#[tokio::test]
async fn a_list_that_is_too_long_is_refused_and_the_other_route_is_named() {
    let api = Api::new();
    let list = format!("url\n{}\n", "x".repeat(MAX_UPLOAD_BYTES as usize));
    let answer = api.upload("alices", &[], &list).await;
    assert_problem(
        &answer,
        StatusCode::PAYLOAD_TOO_LARGE,
        "/problems/list-too-large",
    );
    assert!(
        answer.body["detail"]
            .as_str()
            .unwrap()
            .contains("POST /api/v1/batches")
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_form_is_said() {
    let api = Api::new();
    for (fields, word) in [
        ([("auto_start", "perhaps")], "auto_start"),
        ([("chunk_size", "0")], "chunk_size"),
        ([("measure", "everything")], "measure"),
        ([("colour", "red")], "colour"),
    ] {
        let answer = api
            .upload("alices", &fields, "url\nhttp://10.0.0.1/a.jpg\n")
            .await;
        assert_problem(&answer, StatusCode::BAD_REQUEST, "/problems/bad-request");
        assert!(
            answer.body["detail"].as_str().unwrap().contains(word),
            "{}",
            answer.body
        );
    }
    let listed = api.ask("GET", "/api/v1/batches", Some("alices")).await;
    assert_eq!(
        listed.body["data"],
        serde_json::json!([]),
        "nothing came of it"
    );
}

#[tokio::test]
async fn nonsense_in_a_query_is_a_bad_request() {
    let api = Api::new();
    let id = api.uploaded("alices").await;
    for query in ["outcome=nice", "issue=ugly", "cursor=%21%21"] {
        let answer = api
            .ask(
                "GET",
                &format!("/api/v1/batches/{id}/results?{query}"),
                Some("alices"),
            )
            .await;
        assert_problem(&answer, StatusCode::BAD_REQUEST, "/problems/bad-request");
    }
    let answer = api
        .ask("GET", "/api/v1/batches?status=HAPPY", Some("alices"))
        .await;
    assert_problem(&answer, StatusCode::BAD_REQUEST, "/problems/bad-request");
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems_too() {
    let api = Api::new();
    let answer = api.ask("GET", "/nowhere", Some("alices")).await;
    assert_problem(&answer, StatusCode::NOT_FOUND, "/problems/no-such-route");
    let answer = api.ask("DELETE", "/health", None).await;
    assert_problem(
        &answer,
        StatusCode::METHOD_NOT_ALLOWED,
        "/problems/method-not-allowed",
    );
}
