//! Amazon Rekognition on loop-back, as much of it as a client of ours uses: it looks at signatures, and answers as the service does.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::serving::Serving;

type Counts = Arc<Mutex<BTreeMap<String, u64>>>;

/// The service, until this is dropped.
pub struct RekognitionServer {
    serving: Serving,
    counts: Counts,
}

impl RekognitionServer {
    /// Serves.
    pub async fn start() -> Self {
        let counts = Counts::default();
        let router = Router::new()
            .route("/", post(answer))
            .with_state(Arc::clone(&counts));
        Self {
            serving: Serving::start(router).await,
            counts,
        }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.serving.address)
    }

    /// How often an operation was answered.
    pub fn calls(&self, operation: &str) -> u64 {
        self.counts.lock().get(operation).copied().unwrap_or(0)
    }
}

async fn answer(State(counts): State<Counts>, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let fault = |kind: &str| {
        let body = json!({ "__type": kind, "Message": "said the stand-in" }).to_string();
        (StatusCode::BAD_REQUEST, body).into_response()
    };
    if !header("authorization").is_some_and(is_signature) || header("x-amz-date").is_none() {
        return fault("UnrecognizedClientException");
    }
    let Some(operation) = header("x-amz-target")
        .and_then(|target| target.strip_prefix("RekognitionService."))
        .filter(|_| header("content-type") == Some("application/x-amz-json-1.1"))
    else {
        return fault("UnknownOperationException");
    };
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let image = request["Image"]["Bytes"].as_str();
    let image = image.and_then(|text| STANDARD.decode(text).ok());
    let is_image =
        |image: &Vec<u8>| image.starts_with(b"\xff\xd8") || image.starts_with(b"\x89PNG");
    if !image.as_ref().is_some_and(is_image) {
        return fault("InvalidImageFormatException");
    }
    let answer = match operation {
        "DetectLabels" => json!({
            "LabelModelVersion": "3.0",
            "Labels": [
                { "Name": "Shoe", "Confidence": 98.75, "Instances": [], "Parents": [{ "Name": "Footwear" }],
                  "Aliases": [], "Categories": [{ "Name": "Apparel and Accessories" }] }
            ],
            "ImageProperties": {
                "Quality": { "Brightness": 71.0, "Sharpness": 92.5, "Contrast": 80.1 },
                "DominantColors": [
                    { "Red": 255, "Green": 0, "Blue": 0, "HexCode": "#FF0000", "CSSColor": "red", "SimplifiedColor": "red",
                      "PixelPercent": 55.0 }
                ]
            }
        }),
        "DetectModerationLabels" => {
            json!({ "ModerationModelVersion": "7.0", "ModerationLabels": [], "ContentTypes": [] })
        }
        _ => return fault("UnknownOperationException"),
    };
    *counts.lock().entry(operation.to_owned()).or_default() += 1;
    answer.to_string().into_response()
}

/// Whether it has the form of a signature of version 4 for this service.
fn is_signature(authorization: &str) -> bool {
    let Some(rest) = authorization.strip_prefix("AWS4-HMAC-SHA256 Credential=") else {
        return false;
    };
    let names = |header: &str| rest.contains(header);
    let hash = rest.split("Signature=").nth(1).unwrap_or_default();
    rest.contains("/rekognition/aws4_request")
        && ["host", "x-amz-date", "x-amz-target"]
            .into_iter()
            .all(names)
        && hash.len() == 64
}
