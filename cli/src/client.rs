//! A client of the HTTP API: of `imgsweep serve`, or of a deployed stack.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio_util::io::ReaderStream;

/// From the request to the end of its answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// From the request for a table to its first byte: a database is written whole before any of it is sent.
const TABLE_PATIENCE: Duration = Duration::from_secs(60 * 60);
/// Silence of a server in the middle of a download.
const MAX_SILENCE: Duration = Duration::from_secs(120);
/// Pause before something that is being written is asked for again, where the server does not say.
const RETRY_AFTER_S: u64 = 5;
/// Longest such pause.
const MAX_RETRY_AFTER_S: u64 = 60;
/// Ends a field of a form; no list holds such a line.
const FRONTIER: &str = "imgsweep-frontier-6f1d0c9b52e84a37";
/// Bytes of a list sent at once.
const PIECE_BYTES: usize = 256 * 1024;

/// Asks one server with one token. Clones share their connections.
#[derive(Clone)]
pub(crate) struct ApiClient {
    client: Client<HttpsConnector<HttpConnector>, RequestBody>,
    endpoint: Arc<str>,
    token: Arc<str>,
}

type RequestBody = UnsyncBoxBody<Bytes, io::Error>;

fn whole(body: Bytes) -> RequestBody {
    Full::new(body)
        .map_err(|never| match never {})
        .boxed_unsync()
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
            .body(whole(body))
            .with_context(|| format!("{} is no address of a server", self.endpoint))?;
        let exchange = async {
            let response = self.client.request(request).await?;
            anyhow::Ok(Answer::read(response).await?)
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
        answer.document()
    }

    /// Sends a form and reads a JSON document.
    pub(crate) async fn post_form(
        &self,
        path: &str,
        content_type: &str,
        form: Bytes,
    ) -> anyhow::Result<Value> {
        let answer = self
            .send(Method::POST, path, Some(content_type), form)
            .await?;
        answer.document()
    }

    /// Sends bytes as they are and reads a JSON document.
    pub(crate) async fn post_bytes(&self, path: &str, bytes: Bytes) -> anyhow::Result<Value> {
        let content_type = Some("application/octet-stream");
        let answer = self.send(Method::POST, path, content_type, bytes).await?;
        answer.document()
    }

    /// Puts a file at an address that was given for it: without the token, and with no bound on time, as it may be large. `sent` is told of
    /// each piece's bytes.
    pub(crate) async fn put_file(
        &self,
        url: &str,
        file: File,
        bytes: u64,
        sent: impl Fn(usize) + Send + 'static,
    ) -> anyhow::Result<()> {
        let file = tokio::fs::File::from_std(file);
        let pieces = ReaderStream::with_capacity(file, PIECE_BYTES);
        self.put(url, bytes, pieces, sent).await
    }

    /// The same with a part of a file that is in memory.
    pub(crate) async fn put_part(
        &self,
        url: &str,
        part: Bytes,
        sent: impl Fn(usize) + Send + 'static,
    ) -> anyhow::Result<()> {
        let bytes = part.len() as u64;
        let mut rest = part;
        let pieces = std::iter::from_fn(move || {
            let piece = rest.split_to(rest.len().min(PIECE_BYTES));
            (!piece.is_empty()).then_some(Ok(piece))
        });
        self.put(url, bytes, futures::stream::iter(pieces), sent)
            .await
    }

    async fn put(
        &self,
        url: &str,
        bytes: u64,
        pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        sent: impl Fn(usize) + Send + 'static,
    ) -> anyhow::Result<()> {
        let pieces = pieces.map_ok(move |piece| {
            sent(piece.len());
            Frame::data(piece)
        });
        let request = Request::put(url)
            .header(header::CONTENT_LENGTH, bytes)
            .body(StreamBody::new(pieces).boxed_unsync())
            .context("the address for the list is none")?;
        let response = self.client.request(request).await;
        let response = response.context("the list cannot be handed in")?;
        let answer = Answer::read(response).await?;
        if !answer.status.is_success() {
            answer
                .document()
                .context("the list was not taken")
                .map(drop)?;
        }
        Ok(())
    }

    /// Begins to fetch something of any size.
    pub(crate) async fn download(&self, path: &str) -> anyhow::Result<Download> {
        let token = format!("Bearer {}", self.token);
        loop {
            let request = Request::get(format!("{}{path}", self.endpoint))
                .header(header::AUTHORIZATION, token.as_str());
            let response = self.begin(request).await?;
            match response.status() {
                // It is being written.
                StatusCode::ACCEPTED => {
                    let pause = response.headers().get(header::RETRY_AFTER);
                    let seconds = pause.and_then(|pause| pause.to_str().ok()?.parse().ok());
                    let seconds = seconds.unwrap_or(RETRY_AFTER_S).clamp(1, MAX_RETRY_AFTER_S);
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                }
                // It lies elsewhere, and the address is all that is asked for there.
                StatusCode::SEE_OTHER => {
                    let location = response.headers().get(header::LOCATION);
                    let location = location.and_then(|location| location.to_str().ok());
                    let location =
                        location.context("a table elsewhere, and it is not said where")?;
                    let response = self.begin(Request::get(location)).await?;
                    return downloaded(response).await;
                }
                _ => return downloaded(response).await,
            }
        }
    }

    async fn begin(&self, request: http::request::Builder) -> anyhow::Result<Response<Incoming>> {
        let request = request
            .body(whole(Bytes::new()))
            .with_context(|| format!("{} is no address of a server", self.endpoint))?;
        let response = tokio::time::timeout(TABLE_PATIENCE, self.client.request(request)).await;
        response
            .context("no answer in time")?
            .with_context(|| format!("{} cannot be asked", self.endpoint))
    }
}

/// The body of an answer that was given.
async fn downloaded(response: Response<Incoming>) -> anyhow::Result<Download> {
    if response.status().is_success() {
        return Ok(Download(response.into_body()));
    }
    let refusal = Answer::read(response).await?;
    refusal.document()?;
    bail!("{} is no answer to a download", refusal.status)
}

/// The body of an answer, piece by piece.
pub(crate) struct Download(Incoming);

impl Download {
    /// The next piece; `None` after the last. A body that breaks off is an error.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            let frame = tokio::time::timeout(MAX_SILENCE, self.0.frame()).await;
            let Some(frame) = frame.context("the server has fallen silent")? else {
                return Ok(None);
            };
            let frame = frame.context("the download broke off")?;
            if let Ok(piece) = frame.into_data() {
                return Ok(Some(piece));
            }
        }
    }
}

impl Answer {
    async fn read(response: Response<Incoming>) -> anyhow::Result<Self> {
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        Ok(Self { status, body })
    }

    /// The document of an answer. What the server refused is an error with its reason.
    fn document(&self) -> anyhow::Result<Value> {
        let document = serde_json::from_slice(&self.body).unwrap_or(Value::Null);
        if self.status.is_success() {
            return Ok(document);
        }
        let said = |field: &str| document[field].as_str().unwrap_or_default().to_owned();
        let (title, detail) = (said("title"), said("detail"));
        bail!("{}: {title}. {detail}", self.status.as_u16())
    }
}

/// A form with a list, and its content type.
pub(crate) fn form(
    name: &str,
    list: impl AsRef<[u8]>,
    fields: &[(&str, &str)],
) -> (&'static str, Bytes) {
    let list = list.as_ref();
    let mut form = Vec::with_capacity(list.len() + 1_000);
    for (field, value) in fields {
        form.extend_from_slice(
            format!("--{FRONTIER}\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n")
                .as_bytes(),
        );
    }
    // RFC 7578, section 4.2, by way of the WHATWG's rules: what would end the name is escaped.
    let name = name
        .replace('"', "%22")
        .replace('\r', "%0D")
        .replace('\n', "%0A");
    form.extend_from_slice(
        format!(
            "--{FRONTIER}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        )
        .as_bytes(),
    );
    form.extend_from_slice(list);
    form.extend_from_slice(format!("\r\n--{FRONTIER}--\r\n").as_bytes());
    (
        "multipart/form-data; boundary=imgsweep-frontier-6f1d0c9b52e84a37",
        form.into(),
    )
}
