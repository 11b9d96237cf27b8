//! A place on the wire between a program and a service.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::access::{Access, Asked};

/// Hands requests on to one address, counts them, and on demand loses answers or refuses requests. Ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    wire: Arc<Mutex<Wire>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Wire {
    counts: BTreeMap<String, usize>,
    accesses: BTreeMap<Access, usize>,
    to_lose: BTreeMap<String, usize>,
    is_refusing: bool,
    refused: usize,
}

impl Proxy {
    /// Stands in front of `upstream`, an address such as [`crate::Emulators::dynamodb`].
    pub async fn before(upstream: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let wire = Arc::new(Mutex::new(Wire::default()));
        let task = tokio::spawn(serve(listener, upstream.to_owned(), Arc::clone(&wire)));
        Self {
            address,
            wire,
            task,
        }
    }

    /// Where it is asked.
    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests so far by operation, such as `UpdateItem`; those of S3 by method.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        self.wire.lock().unwrap().counts.clone()
    }

    /// What requests so far needed the right to, and how often.
    pub fn accesses(&self) -> BTreeMap<Access, usize> {
        self.wire.lock().unwrap().accesses.clone()
    }

    /// The next `count` requests of an operation are carried out, and their answers lost.
    pub fn lose_answers(&self, operation: &str, count: usize) {
        let mut wire = self.wire.lock().unwrap();
        wire.to_lose.insert(operation.to_owned(), count);
    }

    /// From now on, no request is handed on: the caller is told that it asks too fast. `false` ends that.
    pub fn refuse(&self, is_refusing: bool) {
        self.wire.lock().unwrap().is_refusing = is_refusing;
    }

    /// Requests refused so far.
    pub fn refused(&self) -> usize {
        self.wire.lock().unwrap().refused
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, upstream: String, wire: Arc<Mutex<Wire>>) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (client, upstream, wire) = (client.clone(), upstream.clone(), Arc::clone(&wire));
        tokio::spawn(async move {
            let service = service_fn(|request| forward(&client, &upstream, &wire, request));
            // A connection that is broken off, on purpose or not, is the other side's to deal with.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn forward(
    client: &Client<HttpConnector, Full<Bytes>>,
    upstream: &str,
    wire: &Mutex<Wire>,
    request: Request<Incoming>,
) -> io::Result<Response<Full<Bytes>>> {
    let operation = operation_of(&request);
    let is_to_be_lost = {
        let mut wire = wire.lock().unwrap();
        *wire.counts.entry(operation.clone()).or_default() += 1;
        if wire.is_refusing {
            wire.refused += 1;
            return Ok(throttled(&request));
        }
        match wire.to_lose.get_mut(&operation) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        }
    };

    let (mut head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let field = |name: &str| head.headers.get(name)?.to_str().ok();
    let asked = Asked {
        method: head.method.as_str(),
        path,
        target: field("x-amz-target"),
        copied_from: field("x-amz-copy-source"),
        body: &body,
    };
    for access in asked.accesses() {
        *wire.lock().unwrap().accesses.entry(access).or_default() += 1;
    }
    head.uri = format!("{upstream}{path}").parse().unwrap();
    let request = Request::from_parts(head, Full::new(body));
    let response = client.request(request).await.map_err(io::Error::other)?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    if is_to_be_lost {
        return Err(io::Error::other("the answer is lost on purpose"));
    }
    Ok(Response::from_parts(head, Full::new(body)))
}

/// What DynamoDB and SQS answer when they are asked too fast, and S3 in its own words.
fn throttled(request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let target = request.headers().get("x-amz-target");
    let target = target.and_then(|target| target.to_str().ok());
    let (status, kind, body) = match target {
        Some(target) if target.starts_with("DynamoDB") => (
            400,
            "application/x-amz-json-1.0",
            r#"{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException","message":"Rate exceeded"}"#,
        ),
        Some(_) => (
            400,
            "application/x-amz-json-1.0",
            r#"{"__type":"com.amazonaws.sqs#RequestThrottled","message":"Request is throttled."}"#,
        ),
        None => (
            503,
            "application/xml",
            "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>",
        ),
    };
    Response::builder()
        .status(status)
        .header("content-type", kind)
        .body(Full::from(body))
        .unwrap()
}

fn operation_of(request: &Request<Incoming>) -> String {
    let target = request.headers().get("x-amz-target");
    let operation = target
        .and_then(|target| target.to_str().ok())
        .and_then(|target| target.rsplit('.').next());
    operation.unwrap_or(request.method().as_str()).to_owned()
}
