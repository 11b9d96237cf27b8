//! Signed calls to services whose SDK's client would be larger than all others together; what is needed of them is one request or two, of JSON.

use std::sync::Arc;
use std::time::SystemTime;

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full, Limited};

use crate::clients::Clients;
use crate::transport::{BoxError, SendError};

/// Longest answer read.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
const JSON: &str = "application/x-amz-json-1.1";

/// A request that is to be signed.
pub(crate) struct Unsigned<'a> {
    /// The service's name in signatures and in its address.
    pub(crate) service: &'a str,
    /// Where it is asked in place of its own address.
    pub(crate) endpoint: Option<&'a str>,
    pub(crate) method: Method,
    /// From the first slash.
    pub(crate) path: &'a str,
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("the request cannot be made")]
    Request(#[source] BoxError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("the answer broke off, or is too long")]
    Answer(#[source] BoxError),
}

/// Asks once, with the rights of the process.
pub(crate) async fn ask(
    clients: &Clients,
    asked: Unsigned<'_>,
) -> Result<http::Response<Bytes>, AskError> {
    let request = signed(clients, asked).map_err(AskError::Request)?;
    let request = request.map(|body| body.map_err(|never| match never {}).boxed_unsync());
    let response = clients.transport.send(request).await?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MAX_ANSWER_BYTES);
    let body = body.collect().await.map_err(AskError::Answer)?;
    Ok(http::Response::from_parts(head, body.to_bytes()))
}

fn signed(clients: &Clients, asked: Unsigned<'_>) -> Result<http::Request<Full<Bytes>>, BoxError> {
    let settings = &clients.settings;
    let (service, region) = (asked.service, settings.region.as_str());
    let url = match asked.endpoint {
        Some(endpoint) => format!("{}{}", endpoint.trim_end_matches('/'), asked.path),
        None => format!("https://{service}.{region}.amazonaws.com{}", asked.path),
    };
    let identity = settings.credentials.clone().into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()?
        .into();
    let signable = SignableRequest::new(
        asked.method.as_str(),
        url.as_str(),
        asked.headers.iter().copied(),
        SignableBody::Bytes(&asked.body),
    )?;
    let (signature, _) = sign(signable, &parameters)?.into_parts();
    let mut request = http::Request::builder().method(&asked.method).uri(&url);
    for (name, value) in asked.headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Full::from(asked.body))?;
    signature.apply_to_request_http1x(&mut request);
    Ok(request)
}

/// Calls to Amazon Rekognition in the region of the deployment, with the rights of the process.
pub struct RekognitionClient {
    clients: Arc<Clients>,
}

impl RekognitionClient {
    pub(crate) const fn new(clients: Arc<Clients>) -> Self {
        Self { clients }
    }

    /// Asks `operation`, such as `DetectLabels`, once. The fault is a sentence.
    pub async fn call(&self, operation: &str, body: Bytes) -> Result<(StatusCode, Bytes), String> {
        let target = format!("RekognitionService.{operation}");
        let asked = Unsigned {
            service: "rekognition",
            endpoint: self.clients.settings.endpoints.rekognition.as_deref(),
            method: Method::POST,
            path: "/",
            headers: &[
                (CONTENT_TYPE.as_str(), JSON),
                ("x-amz-target", target.as_str()),
            ],
            body,
        };
        let answer = ask(&self.clients, asked).await.map_err(sentence)?;
        Ok((answer.status(), answer.into_body()))
    }
}

fn sentence(error: AskError) -> String {
    match error {
        AskError::Request(cause) | AskError::Answer(cause) => cause.to_string(),
        AskError::Send(error) => error.to_string(),
    }
}
