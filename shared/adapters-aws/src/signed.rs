//! Signed calls to a service that this crate has no port for. The SDK's client of Rekognition would be larger than all others together;
//! what is needed of it is one POST of JSON.

use std::sync::Arc;
use std::time::SystemTime;

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, Full, Limited};

use crate::clients::Clients;

/// Longest answer read.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
const JSON: &str = "application/x-amz-json-1.1";

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
        let settings = &self.clients.settings;
        let region = settings.region.as_str();
        let endpoint = settings.endpoints.rekognition.clone();
        let mut url =
            endpoint.unwrap_or_else(|| format!("https://rekognition.{region}.amazonaws.com"));
        if !url.ends_with('/') {
            url.push('/');
        }
        let target = format!("RekognitionService.{operation}");
        let identity = settings.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("rekognition")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| error.to_string())?
            .into();
        let headers = [
            (CONTENT_TYPE.as_str(), JSON),
            ("x-amz-target", target.as_str()),
        ];
        let signable = SignableRequest::new(
            "POST",
            url.as_str(),
            headers.iter().copied(),
            SignableBody::Bytes(&body),
        );
        let signable = signable.map_err(|error| error.to_string())?;
        let (signature, _) = sign(signable, &parameters)
            .map_err(|error| error.to_string())?
            .into_parts();
        let mut request = http::Request::post(&url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut request = request
            .body(Full::from(body))
            .map_err(|error| error.to_string())?;
        signature.apply_to_request_http1x(&mut request);
        let request = request.map(|body| body.map_err(|never| match never {}).boxed_unsync());
        let sent = self.clients.transport.send(request).await;
        let response = sent.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES);
        let body = body.collect().await.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    }
}
