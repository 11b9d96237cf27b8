//! Requests to the stand-ins. They check no signature, only for which service a request claims to be signed.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// Asked for, and looked at no further.
const DATE: &str = "20260101T000000Z";
pub(crate) const REGION: &str = "eu-central-1";

pub(crate) struct Client {
    http: Hyper<HttpConnector, Full<Bytes>>,
}

impl Client {
    pub(crate) fn new() -> Self {
        Self {
            http: Hyper::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// A request of one of the services that speak JSON; `target` is `<service version>.<operation>`.
    pub(crate) async fn call(&self, address: &str, target: &str, body: &Value) -> Value {
        let (version, _) = target.split_once('.').unwrap();
        let (service, content_type) = match version {
            "DynamoDB_20120810" => ("dynamodb", "application/x-amz-json-1.0"),
            "AmazonSQS" => ("sqs", "application/x-amz-json-1.0"),
            _ => ("secretsmanager", "application/x-amz-json-1.1"),
        };
        let request = Request::builder()
            .method(Method::POST)
            .uri(address)
            .header("content-type", content_type)
            .header("x-amz-target", target)
            .header("x-amz-date", DATE)
            .header("authorization", authorization(service))
            .body(Full::from(body.to_string()))
            .unwrap();
        let answer = self.send(request).await;
        serde_json::from_slice(&answer).unwrap_or(Value::Null)
    }

    /// A request of SNS, which speaks forms; its answer is XML.
    pub(crate) async fn form(&self, address: &str, body: String) -> String {
        let request = Request::builder()
            .method(Method::POST)
            .uri(address)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-amz-date", DATE)
            .header("authorization", authorization("sns"))
            .body(Full::from(body))
            .unwrap();
        String::from_utf8_lossy(&self.send(request).await).into_owned()
    }

    /// A request of S3.
    pub(crate) async fn put(&self, uri: &str, body: String) {
        let request = Request::builder()
            .method(Method::PUT)
            .uri(uri)
            .header("x-amz-date", DATE)
            .header("authorization", authorization("s3"))
            .header("content-length", body.len())
            .body(Full::from(body))
            .unwrap();
        self.send(request).await;
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Bytes {
        let what = format!("{} {}", request.method(), request.uri());
        let response = self.http.request(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(
            status.is_success(),
            "{what}: {status} {}",
            String::from_utf8_lossy(&body)
        );
        body
    }
}

fn authorization(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=0"
    )
}
