//! An HTTP API in front of functions (Amazon API Gateway, payload format 2.0).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::Function;

/// Longest event that Lambda takes in one synchronous call; a body is longer in it by a third.
const MAX_EVENT_BYTES: usize = 6 * 1024 * 1024;

/// Answers over HTTP what functions answer. Ends when it is dropped.
pub struct Gateway {
    address: SocketAddr,
    server: JoinHandle<()>,
}

struct Integrations {
    upload: Arc<Function>,
    api: Arc<Function>,
}

impl Gateway {
    /// Sends `POST /upload` and `POST /api/v1/batches` to `upload`, everything else to `api`.
    pub async fn start(upload: Arc<Function>, api: Arc<Function>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = Router::new()
            .fallback(integrate)
            .with_state(Arc::new(Integrations { upload, api }));
        let server = tokio::spawn(async move {
            // It runs until it is aborted.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, server })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn integrate(State(functions): State<Arc<Integrations>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let takes_lists = matches!(parts.uri.path(), "/upload" | "/api/v1/batches");
    let function = if parts.method == Method::POST && takes_lists {
        &functions.upload
    } else {
        &functions.api
    };
    let Ok(body) = to_bytes(body, MAX_EVENT_BYTES / 4 * 3).await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE);
    };
    let event = event(&parts.method, &parts.uri, &parts.headers, &body);
    match function.invoke(&event).await {
        Ok(answer) => response(&answer).unwrap_or_else(|| plain(StatusCode::INTERNAL_SERVER_ERROR)),
        Err(error) => {
            eprintln!("{}: {error}", function.name());
            plain(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

fn event(method: &Method, uri: &http::Uri, headers: &HeaderMap, body: &[u8]) -> Value {
    let mut fields = Map::new();
    for name in headers.keys() {
        let values = headers.get_all(name).iter();
        let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
        fields.insert(name.to_string(), values.join(",").into());
    }
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": uri.path(),
        "rawQueryString": uri.query().unwrap_or_default(),
        "headers": fields,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "local",
            "domainName": "local.execute-api.eu-central-1.amazonaws.com",
            "domainPrefix": "local",
            "http": {
                "method": method.as_str(),
                "path": uri.path(),
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "test",
            },
            "requestId": "request",
            "routeKey": "$default",
            "stage": "$default",
            "time": "01/Jan/2026:00:00:00 +0000",
            "timeEpoch": 1_767_225_600_000_u64,
        },
        "body": STANDARD.encode(body),
        "isBase64Encoded": true,
    })
}

/// The response that a function's answer describes; `None` when it describes none.
fn response(answer: &Value) -> Option<Response> {
    let status = u16::try_from(answer.get("statusCode")?.as_u64()?).ok()?;
    let mut builder = Response::builder().status(status);
    if let Some(headers) = answer.get("headers").and_then(Value::as_object) {
        for (name, value) in headers {
            builder = builder.header(name, value.as_str()?);
        }
    }
    let body = answer
        .get("body")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let is_encoded = answer.get("isBase64Encoded").and_then(Value::as_bool);
    let body = if is_encoded == Some(true) {
        STANDARD.decode(body).ok()?
    } else {
        body.as_bytes().to_vec()
    };
    builder.body(Body::from(body)).ok()
}

fn plain(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
