//! A client of the HTTP API: of `imgsweep serve`, or of a deployed stack.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

/// From the request to the end of its answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks one server with one token. Clones share their connections.
#[derive(Clone)]
pub(crate) struct ApiClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    endpoint: Arc<str>,
    token: Arc<str>,
}

/// An answer, whatever its status.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl ApiClient {
    /// A client of `endpoint`, such as `https://imgsweep.example`.
    pub(crate) fn new(endpoint: &str, token: &str) -> anyhow::Result<Self> {
        let roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self {
            client,
            endpoint: endpoint.trim_end_matches('/').into(),
            token: token.into(),
        })
    }

    /// Sends one request.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.endpoint))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let request = request
            .body(Full::new(body))
            .with_context(|| format!("{} is no address of a server", self.endpoint))?;
        let exchange = async {
            let response = self.client.request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            anyhow::Ok(Answer { status, body })
        };
        let answer = tokio::time::timeout(PATIENCE, exchange).await;
        answer
            .context("no answer in time")?
            .with_context(|| format!("{} cannot be asked", self.endpoint))
    }

    /// Sends a JSON document, or nothing, and reads one. What the server refuses is an error with its reason.
    pub(crate) async fn json(
        &self,
        method: Method,
        path: &str,
        document: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let body = document.map(Value::to_string).unwrap_or_default();
        let content_type = document.map(|_| "application/json");
        let answer = self.send(method, path, content_type, body.into()).await?;
        let document = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        if answer.status.is_success() {
            return Ok(document);
        }
        let said = |field: &str| document[field].as_str().unwrap_or_default().to_owned();
        let (title, detail) = (said("title"), said("detail"));
        bail!("{}: {title}. {detail}", answer.status.as_u16())
    }
}

/// A form with a list, and its content type.
pub(crate) fn form(name: &str, list: &str, fields: &[(&str, &str)]) -> (&'static str, Bytes) {
    let mut form = String::with_capacity(list.len() + 1_000);
    for (field, value) in fields {
        form.push_str("--imgsweep-frontier\r\nContent-Disposition: form-data; name=\"");
        form.push_str(field);
        form.push_str("\"\r\n\r\n");
        form.push_str(value);
        form.push_str("\r\n");
    }
    form.push_str(
        "--imgsweep-frontier\r\nContent-Disposition: form-data; name=\"file\"; filename=\"",
    );
    form.push_str(name);
    form.push_str("\"\r\nContent-Type: text/csv\r\n\r\n");
    form.push_str(list);
    form.push_str("\r\n--imgsweep-frontier--\r\n");
    (
        "multipart/form-data; boundary=imgsweep-frontier",
        form.into(),
    )
}
