//! A walk over the description of the API: every operation of it, and nothing else.

use http::{Method, Request, StatusCode, header};
use serde_json::Value;

use axum::body::Body;

use crate::support::{Answer, Api, assert_problem};

/// What the contract lets anybody ask for.
const PUBLIC: &[&str] = &["/health", "/ready", "/openapi.json"];

/// What carries a signature in place of a token.
const SIGNED: &str = "/uploads/";

struct Operation {
    method: Method,
    path: String,
    is_about_a_batch: bool,
}

fn description() -> Value {
    serde_json::from_str(&http_api::openapi(true).unwrap()).unwrap()
}

/// Every operation; `batch` in place of the id.
fn operations(batch: &str) -> Vec<Operation> {
    let description = description();
    let mut operations = Vec::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            operations.push(Operation {
                method: method.to_ascii_uppercase().parse().unwrap(),
                path: path
                    .replace("{id}", batch)
                    .replace("{name}", "nobody")
                    .replace("{number}", "1"),
                is_about_a_batch: path.contains("{id}"),
            });
        }
    }
    operations
}

/// A request that has everything it needs but, perhaps, the right token.
async fn ask(api: &Api, operation: &Operation, token: Option<&str>) -> Answer {
    let mut request = Request::builder()
        .method(operation.method.clone())
        .uri(&operation.path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let body = match (operation.method.as_str(), operation.path.as_str()) {
        ("PATCH", _) => r#"{"max_concurrency": 5}"#,
        ("POST", path) if path.contains("/parts") => r#"{"bytes": 10}"#,
        ("POST", path) if path.ends_with("/cache") => r#"{"invalidate": "V#*"}"#,
        ("POST", path) if path.ends_with("/intake") => r#"{"paused": false}"#,
        ("POST", path) if path.ends_with("/tokens") => r#"{"name": "new", "scope": "read"}"#,
        ("POST", "/api/v1/batches") => r#"{"list_name": "l.csv"}"#,
        _ => "",
    };
    if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    api.send(request.body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn no_operation_answers_without_its_token_but_those_the_contract_lists() {
    let api = Api::new();
    let batch = api.uploaded("alices").await;
    let operations = operations(&batch);
    assert!(operations.len() > 25, "{}", operations.len());
    for operation in &operations {
        let name = format!("{} {}", operation.method, operation.path);
        for token in [None, Some(""), Some("wrong"), Some("alice")] {
            let answer = ask(&api, operation, token).await;
            if PUBLIC.contains(&operation.path.as_str()) {
                assert_eq!(answer.status, StatusCode::OK, "{name}");
            } else if operation.path.starts_with(SIGNED) {
                let kind = "/problems/bad-upload-address";
                assert_problem(&answer, StatusCode::FORBIDDEN, kind);
                assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
            } else {
                assert_problem(&answer, StatusCode::UNAUTHORIZED, "/problems/unauthorized");
                assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Bearer");
            }
            assert!(answer.headers.contains_key("x-request-id"), "{name}");
        }
    }
}

#[tokio::test]
async fn anothers_batch_is_404_on_every_route_and_verb() {
    let api = Api::new();
    let batch = api.uploaded("alices").await;
    let about_a_batch = operations(&batch);
    let about_a_batch: Vec<&Operation> = about_a_batch
        .iter()
        .filter(|operation| operation.is_about_a_batch && !operation.path.starts_with(SIGNED))
        .collect();
    assert!(about_a_batch.len() >= 9, "{}", about_a_batch.len());
    for operation in about_a_batch {
        let answer = ask(&api, operation, Some("bobs")).await;
        assert_problem(&answer, StatusCode::NOT_FOUND, "/problems/no-such-batch");
        // And as if it had never been: the same answer as for an id that nobody has.
        let unknown = Operation {
            path: operation.path.replace(&batch, "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
            method: operation.method.clone(),
            is_about_a_batch: true,
        };
        assert_eq!(ask(&api, &unknown, Some("bobs")).await.body, answer.body);
    }
    let still_there = api
        .ask("GET", &format!("/api/v1/batches/{batch}"), Some("alices"))
        .await;
    assert_eq!(still_there.body["status"], "QUEUED");
    assert_eq!(still_there.body["max_concurrency"], Value::Null);
}

#[tokio::test]
async fn a_token_that_may_only_read_changes_nothing() {
    let api = Api::new();
    let made = api
        .make_token(
            "reader",
            r#"{"name": "reader", "owner": "alice", "scope": "read"}"#,
        )
        .await;
    let batch = api.uploaded("alices").await;
    let operations = operations(&batch).into_iter();
    for operation in operations.filter(|operation| !operation.path.starts_with(SIGNED)) {
        let changes = operation.method != Method::GET && !operation.path.ends_with("/preview");
        let is_admins = operation.path.starts_with("/api/v1/tokens");
        let answer = ask(&api, &operation, Some(&made)).await;
        let name = format!("{} {}", operation.method, operation.path);
        if changes || is_admins {
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name}");
            assert_eq!(answer.body["type"], "/problems/scope-too-small");
        } else {
            assert_ne!(answer.status, StatusCode::FORBIDDEN, "{name}");
            assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{name}");
        }
    }
}

/// Where the router is put together; every route of it stands in a line of its own.
const ROUTER: &str = include_str!("../../src/lib.rs");

#[test]
fn every_route_is_described_and_everything_described_is_a_route() {
    let described: Vec<String> = description()["paths"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    let mut routes: Vec<&str> = Vec::new();
    for after in ROUTER.split(".route(").skip(1) {
        let path = after.trim_start().strip_prefix('"').unwrap();
        routes.push(path.split('"').next().unwrap());
    }
    for route in &routes {
        // The page is for people.
        let is_page = *route == "/" || route.starts_with("/assets/");
        let is_described = described.iter().any(|path| path == route);
        assert_eq!(is_described, !is_page, "{route}");
    }
    for path in &described {
        assert!(routes.contains(&path.as_str()), "{path}");
    }
}

#[test]
fn every_operation_says_what_it_does_and_how_it_fails() {
    for (path, methods) in description()["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let name = format!("{method} {path}");
            assert!(operation["summary"].is_string(), "{name}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(
                responses.keys().any(|status| status.starts_with('2')),
                "{name}"
            );
            let can_fail = path != "/health";
            assert_eq!(responses.contains_key("4XX"), can_fail, "{name}");
        }
    }
}
