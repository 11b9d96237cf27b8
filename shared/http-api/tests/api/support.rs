//! What the tests share: the router over a data folder, asked without a socket.

use std::sync::Arc;

use adapters_embedded::DataFolder;
use axum::Router;
use axum::body::Body;
use domain::ports::{CacheStore, UlidIds};
use futures::StreamExt;
use http::{Request, StatusCode, header};
use http_api::{ApiSettings, ApiState, LocalUploads, Token, Tokens, router_with_uploads};
use http_body_util::BodyExt;
use object_store::ObjectStore;
use object_store::path::Path;
use pipeline::Ports;
use serde_json::Value;
use tempfile::TempDir;
use test_support::ManualClock;
use tower::ServiceExt;

/// Longest list in a form.
pub(crate) const MAX_UPLOAD_BYTES: u64 = 2_000;
/// Longest list at an address of its own.
pub(crate) const MAX_PRESIGNED_BYTES: u64 = 4_000;
/// Longest document that creates a batch.
pub(crate) const MAX_BATCH_JSON_BYTES: usize = 128 * 1024;
/// Length of a part of a list.
pub(crate) const PART_BYTES: u64 = 1_000;

pub(crate) struct Api {
    pub(crate) ports: Ports,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) answers: Arc<dyn CacheStore>,
    router: Router,
    folder: TempDir,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
}

impl Api {
    pub(crate) fn new() -> Self {
        Self::with(ApiSettings {
            has_metrics: true,
            part_bytes: PART_BYTES,
            ..ApiSettings::default()
        })
    }

    pub(crate) fn with(settings: ApiSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        let clock = Arc::new(ManualClock::default());
        let ports = Ports {
            store: data.store(),
            queue: data.queue(),
            objects: data.objects(),
            clock: Arc::clone(&clock) as _,
            ids: Arc::new(UlidIds),
            scratch: folder.path().to_owned(),
        };
        let tokens = Tokens::new(vec![
            Token::new("alice", "alices"),
            Token::new("bob", "bobs"),
        ]);
        let uploads = LocalUploads::new(ports.clone(), "http://api.test".to_owned()).unwrap();
        let uploads = uploads.with_max_bytes(MAX_PRESIGNED_BYTES);
        let state = ApiState {
            ports: ports.clone(),
            tokens: Arc::new(tokens),
            access: data.access(),
            answers: data.cache(),
            monitoring: data.monitoring(),
            recorder: Arc::default(),
            settings: Arc::new(settings),
            uploads: Arc::new(uploads.clone()),
            tables: Some(http_api::TableSource::Here(Arc::new(exports::Tables))),
            max_upload_bytes: MAX_UPLOAD_BYTES,
        };
        Self {
            ports,
            clock,
            router: router_with_uploads(state, &uploads),
            answers: data.cache(),
            folder,
        }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        }
    }

    /// The status of an answer, and its length as it is sent.
    pub(crate) async fn length(&self, request: Request<Body>) -> (StatusCode, usize) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap();
        (status, body.to_bytes().len())
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, token: Option<&str>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn upload(&self, token: &str, fields: &[(&str, &str)], list: &str) -> Answer {
        let (content_type, body) = Self::form(fields, list);
        let request = Request::post("/upload")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, content_type)
            .body(Body::from(body));
        self.send(request.unwrap()).await
    }

    /// A multipart form with a list: its content type and its text.
    pub(crate) fn form(fields: &[(&str, &str)], list: &str) -> (&'static str, String) {
        let mut form = Vec::new();
        for (name, value) in fields {
            form.push(format!(
                "--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            ));
        }
        form.push(format!(
"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"l.csv\"\r\n\r\n{list}\r\n--b--\r\n"
));
        ("multipart/form-data; boundary=b", form.concat())
    }

    pub(crate) async fn post_json(&self, path: &str, token: &str, body: &str) -> Answer {
        let request = Request::post(path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_owned()));
        self.send(request.unwrap()).await
    }

    /// The body of an answer as it is.
    pub(crate) async fn text(&self, path: &str, token: &str) -> String {
        let request = Request::get(path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::empty());
        let response = self.router.clone().oneshot(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    /// Makes a token and returns its secret.
    pub(crate) async fn make_token(&self, name: &str, wanted: &str) -> String {
        let answer = self.post_json("/api/v1/tokens", "alices", wanted).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        assert_eq!(answer.body["name"], name);
        answer.body["token"].as_str().unwrap().to_owned()
    }

    /// Everything in the state file and its log, as text.
    pub(crate) async fn stored_text(&self) -> String {
        let mut text = String::new();
        for name in ["state.sqlite", "state.sqlite-wal"] {
            let bytes = tokio::fs::read(self.folder.path().join(name)).await;
            text.push_str(&String::from_utf8_lossy(&bytes.unwrap_or_default()));
        }
        text
    }

    /// How many objects lie below a folder.
    pub(crate) async fn stored(&self, folder: &str) -> usize {
        let listed = self.ports.objects.list(Some(&Path::from(folder)));
        listed.count().await
    }

    pub(crate) async fn uploaded(&self, token: &str) -> String {
        let answer = self
            .upload(token, &[], "url\nhttp://10.0.0.1/a.jpg\n")
            .await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.body);
        answer.body["batch_id"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn assert_problem(answer: &Answer, status: StatusCode, kind: &str) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(
        answer.headers[header::CONTENT_TYPE],
        "application/problem+json"
    );
    assert_eq!(answer.body["type"], kind);
    assert_eq!(answer.body["status"], status.as_u16());
}
