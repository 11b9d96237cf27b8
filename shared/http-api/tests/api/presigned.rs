//! Lists that are handed in at an address of their own.

use std::time::Duration;

use axum::body::Body;
use domain::keys;
use domain::ports::Queue;
use http::{Request, StatusCode, header};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde_json::{Value, json};

use crate::support::{
    Answer, Api, MAX_BATCH_JSON_BYTES, MAX_PRESIGNED_BYTES, PART_BYTES, assert_problem,
};

const LIST: &str = "url\nhttp://10.0.0.1/a.jpg\n";

impl Api {
    async fn create(&self, wanted: &Value) -> Answer {
        let request = Request::post("/api/v1/batches")
            .header(header::AUTHORIZATION, "Bearer alices")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(wanted.to_string()));
        self.send(request.unwrap()).await
    }

    /// A new batch: its id, and the path and query of the address for its list.
    async fn created(&self, wanted: &Value) -> (String, String) {
        let answer = self.create(wanted).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        let url = answer.body["upload"]["url"].as_str().unwrap();
        let path = url.strip_prefix("http://api.test").unwrap();
        (
            answer.body["batch_id"].as_str().unwrap().to_owned(),
            path.to_owned(),
        )
    }

    async fn put(&self, path: &str, list: impl Into<Body>) -> Answer {
        self.send(Request::put(path).body(list.into()).unwrap())
            .await
    }

    async fn batch(&self, id: &str) -> Value {
        let path = format!("/api/v1/batches/{id}");
        self.ask("GET", &path, Some("alices")).await.body
    }

    async fn splits(&self) -> u64 {
        self.ports.queue.depth(Queue::Split).await.unwrap().visible
    }
}

#[tokio::test]
async fn a_batch_awaits_its_list_and_starts_once_it_is_there() {
    let api = Api::new();
    let wanted = json!({"list_name": "l.csv", "name": "spring", "options": {"url_column": "url"}});
    let answer = api.create(&wanted).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let id = answer.body["batch_id"].as_str().unwrap();
    assert_eq!(
        answer.headers[header::LOCATION],
        format!("/api/v1/batches/{id}")
    );
    assert_eq!(answer.body["upload"]["method"], "PUT");
    let before = api.batch(id).await;
    assert_eq!(before["status"], "PENDING");
    assert_eq!(before["list"]["bytes"], Value::Null);

    let url = answer.body["upload"]["url"].as_str().unwrap();
    let path = url.strip_prefix("http://api.test").unwrap();
    assert_eq!(api.put(path, LIST).await.status, StatusCode::OK);
    let after = api.batch(id).await;
    assert_eq!(after["status"], "QUEUED");
    assert_eq!(after["name"], "spring");
    assert_eq!(after["options"]["url_column"], "url");
    assert_eq!(after["list"]["bytes"], LIST.len());
    assert_eq!(after["list"]["sha256"], Value::Null, "nobody has taken it");
    assert_eq!(api.splits().await, 1);
}

#[tokio::test]
async fn a_batch_without_auto_start_waits_to_be_started_and_not_before_its_list() {
    let api = Api::new();
    let wanted = json!({"list_name": "l.csv", "auto_start": false});
    let (id, address) = api.created(&wanted).await;
    let start = format!("/api/v1/batches/{id}/start");
    let early = api.ask("POST", &start, Some("alices")).await;
    assert_problem(&early, StatusCode::CONFLICT, "/problems/conflict");
    assert_eq!(api.put(&address, LIST).await.status, StatusCode::OK);
    assert_eq!(api.batch(&id).await["status"], "PENDING");
    assert_eq!(api.splits().await, 0);
    let started = api.ask("POST", &start, Some("alices")).await;
    assert_eq!(started.body["status"], "QUEUED");
}

#[tokio::test]
async fn an_address_takes_one_list() {
    let api = Api::new();
    let (_, address) = api.created(&json!({"list_name": "l.csv"})).await;
    assert_eq!(api.put(&address, LIST).await.status, StatusCode::OK);
    let again = api.put(&address, "url\nhttp://10.0.0.1/other.jpg\n").await;
    assert_problem(&again, StatusCode::CONFLICT, "/problems/conflict");
    assert_eq!(api.splits().await, 1);
}

#[tokio::test]
async fn an_address_that_was_not_given_out_takes_nothing() {
    let api = Api::new();
    let (id, address) = api.created(&json!({"list_name": "l.csv"})).await;
    let (other, _) = api.created(&json!({"list_name": "l.csv"})).await;
    let (path, query) = address.split_once('?').unwrap();
    let (expires, signature) = query.split_once('&').unwrap();
    let later: i64 = expires.strip_prefix("expires=").unwrap().parse().unwrap();
    let last = if address.ends_with('0') { '1' } else { '0' };
    for wrong in [
        path.to_owned(),
        format!("{path}?{expires}"),
        format!("{path}?{signature}"),
        format!("{path}?{expires}&signature="),
        format!("{path}?{expires}&signature={}", "é".repeat(32)),
        format!("{path}?expires={}&{signature}", later + 1),
        format!("{}{last}", &address[..address.len() - 1]),
        address.replace(&id, &other),
        "/uploads/nonsense?expires=1&signature=2".to_owned(),
    ] {
        let request = Request::builder().method("PUT").uri(wrong.as_str());
        let Ok(request) = request.body(Body::from(LIST)) else {
            continue;
        };
        let answer = api.send(request).await;
        assert_problem(
            &answer,
            StatusCode::FORBIDDEN,
            "/problems/bad-upload-address",
        );
    }
    assert_eq!(api.batch(&id).await["status"], "PENDING");
    assert_eq!(api.batch(&other).await["status"], "PENDING");
}

#[tokio::test]
async fn an_address_expires() {
    let api = Api::new();
    let (id, address) = api.created(&json!({"list_name": "l.csv"})).await;
    api.clock.advance(Duration::from_secs(60 * 60));
    let answer = api.put(&address, LIST).await;
    assert_problem(
        &answer,
        StatusCode::FORBIDDEN,
        "/problems/bad-upload-address",
    );
    assert_eq!(api.batch(&id).await["status"], "PENDING");
}

#[tokio::test]
async fn a_list_that_is_too_long_is_refused_declared_or_not_and_the_address_stays_good() {
    let api = Api::new();
    let (id, address) = api.created(&json!({"list_name": "l.csv"})).await;
    let long = "x".repeat(MAX_PRESIGNED_BYTES as usize + 1);
    let declared = Request::put(&address)
        .header(header::CONTENT_LENGTH, long.len())
        .body(Body::empty());
    let pieces = vec![Ok::<_, std::io::Error>(long)];
    let undeclared = Request::put(&address).body(Body::from_stream(futures::stream::iter(pieces)));
    for request in [declared.unwrap(), undeclared.unwrap()] {
        let answer = api.send(request).await;
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        assert_problem(&answer, status, "/problems/list-too-large");
    }
    assert_eq!(api.put(&address, LIST).await.status, StatusCode::OK);
    assert_eq!(api.batch(&id).await["list"]["bytes"], LIST.len());
}

#[tokio::test]
async fn a_list_that_breaks_off_is_not_taken() {
    let api = Api::new();
    let (id, address) = api.created(&json!({"list_name": "l.csv"})).await;
    let pieces = [
        Ok("url\nhttp://10.0.0.1/a.jpg\n"),
        Err(std::io::Error::other("gone")),
    ];
    let body = Body::from_stream(futures::stream::iter(pieces));
    let answer = api.put(&address, body).await;
    assert_problem(&answer, StatusCode::BAD_REQUEST, "/problems/bad-request");
    assert_eq!(api.batch(&id).await["list"]["bytes"], Value::Null);
}

#[tokio::test]
async fn what_is_wrong_with_the_request_for_an_address_is_said() {
    let api = Api::new();
    for (wanted, word) in [
        (json!({}), "list_name"),
        (json!({"list_name": "\u{7}"}), "list_name"),
        (json!({"list_name": "l.csv", "colour": "red"}), "colour"),
        (
            json!({"list_name": "l.csv", "options": {"chunk_size": 0}}),
            "chunk_size",
        ),
        (
            json!({"list_name": "l.csv", "options": {"measure": "everything"}}),
            "everything",
        ),
    ] {
        let answer = api.create(&wanted).await;
        assert_problem(&answer, StatusCode::BAD_REQUEST, "/problems/bad-request");
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains(word), "{detail}");
    }
    // A document may be long, as it may carry rule packs of its own; not this long.
    let long_packs = "x".repeat(MAX_BATCH_JSON_BYTES);
    let answer = api.create(&json!({"list_name": long_packs})).await;
    let status = StatusCode::PAYLOAD_TOO_LARGE;
    assert_problem(&answer, status, "/problems/body-too-large");
    let answer = api.ask("POST", "/api/v1/batches", None).await;
    assert_problem(&answer, StatusCode::UNAUTHORIZED, "/problems/unauthorized");
}

/// A list of three parts.
fn long_list() -> String {
    let rows: Vec<String> = (0..100)
        .map(|row| format!("http://10.0.0.1/{row}.jpg"))
        .collect();
    format!("url\n{}\n", rows.join("\n"))
}

impl Api {
    async fn parts(&self, id: &str, bytes: usize) -> Answer {
        let path = format!("/api/v1/batches/{id}/parts");
        let wanted = json!({ "bytes": bytes }).to_string();
        self.post_json(&path, "alices", &wanted).await
    }

    async fn complete(&self, id: &str, bytes: usize) -> Answer {
        let path = format!("/api/v1/batches/{id}/parts/complete");
        let wanted = json!({ "bytes": bytes }).to_string();
        self.post_json(&path, "alices", &wanted).await
    }

    /// Puts one of the missing parts of `list` at its address.
    async fn put_part(&self, part: &Value, list: &str) -> Answer {
        let url = part["url"].as_str().unwrap();
        let path = url.strip_prefix("http://api.test").unwrap().to_owned();
        let offset = part["offset"].as_u64().unwrap() as usize;
        let bytes = part["bytes"].as_u64().unwrap() as usize;
        self.put(&path, list[offset..offset + bytes].to_owned())
            .await
    }
}

#[tokio::test]
async fn a_list_in_parts_goes_on_where_it_broke_off() {
    let api = Api::new();
    let list = long_list();
    let (id, _) = api.created(&json!({"list_name": "l.csv"})).await;
    let asked = api.parts(&id, list.len()).await;
    assert_eq!(asked.status, StatusCode::OK, "{}", asked.body);
    assert_eq!(asked.body["count"], 3);
    assert_eq!(asked.body["part_bytes"], PART_BYTES);
    let missing = asked.body["missing"].as_array().unwrap().clone();
    assert_eq!(missing.len(), 3);
    for part in [&missing[2], &missing[0]] {
        assert_eq!(api.put_part(part, &list).await.status, StatusCode::OK);
    }
    // A part that breaks off is not there.
    let url = missing[1]["url"].as_str().unwrap();
    let path = url.strip_prefix("http://api.test").unwrap();
    let short = api.put(path, list[1_000..1_500].to_owned()).await;
    assert_problem(&short, StatusCode::BAD_REQUEST, "/problems/bad-request");
    let long = api.put(path, list[..1_001].to_owned()).await;
    let status = StatusCode::PAYLOAD_TOO_LARGE;
    assert_problem(&long, status, "/problems/list-too-large");

    let early = api.complete(&id, list.len()).await;
    assert_problem(&early, StatusCode::CONFLICT, "/problems/conflict");
    assert_eq!(early.body["detail"], "1 of the 3 parts are missing.");
    let again = api.parts(&id, list.len()).await;
    assert_eq!(again.body["bytes_there"], list.len() - 1_000);
    let left = again.body["missing"].as_array().unwrap().clone();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["number"], 2);
    assert_eq!(api.put_part(&left[0], &list).await.status, StatusCode::OK);

    let done = api.complete(&id, list.len()).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    let batch = api.batch(&id).await;
    assert_eq!(batch["status"], "QUEUED");
    assert_eq!(batch["list"]["bytes"], list.len());
    assert_eq!(api.splits().await, 1);
    let id = id.parse().unwrap();
    let key = Path::from(keys::list(id));
    let stored = api.ports.objects.get(&key).await.unwrap();
    assert_eq!(stored.bytes().await.unwrap(), list);
    assert_eq!(api.stored(&keys::upload_parts(id)).await, 0);
    let late = api.complete(&id.to_string(), list.len()).await;
    assert_problem(&late, StatusCode::CONFLICT, "/problems/conflict");
}

#[tokio::test]
async fn an_address_of_a_part_takes_that_part_alone() {
    let api = Api::new();
    let list = long_list();
    let (id, _) = api.created(&json!({"list_name": "l.csv"})).await;
    let asked = api.parts(&id, list.len()).await;
    let url = asked.body["missing"][0]["url"].as_str().unwrap();
    let path = url.strip_prefix("http://api.test").unwrap();
    let kind = "/problems/bad-upload-address";
    for wrong in [
        path.replace("/1?", "/2?"),
        path.replace("/1?", "?"),
        path.replace("/1?", "/one?"),
        path.replace("bytes=1000", "bytes=2000"),
    ] {
        let answer = api.put(&wrong, list[..1_000].to_owned()).await;
        assert_problem(&answer, StatusCode::FORBIDDEN, kind);
    }
    for (bytes, status) in [
        (0, StatusCode::BAD_REQUEST),
        (6 << 30, StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        assert_eq!(api.parts(&id, bytes).await.status, status);
    }
    let cancel = format!("/api/v1/batches/{id}/cancel");
    let cancelled = api.ask("POST", &cancel, Some("alices")).await;
    assert!(cancelled.status.is_success(), "{}", cancelled.body);
    let late = api.put(path, list[..1_000].to_owned()).await;
    assert_problem(&late, StatusCode::CONFLICT, "/problems/conflict");
}
