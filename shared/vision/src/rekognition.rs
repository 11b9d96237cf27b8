//! Amazon Rekognition: labels, colours and quality from one of its models, what is unfit for the public from another.
//!
//! How a request is signed and sent is somebody else's: this knows what to ask, and what the answers mean. Rekognition takes one image a
//! call, has no keys but the rights of whoever asks, and answers with figures rather than sentences.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::{ApiKey, BadAnswer, CallError, RateSettings, Reply, Task, Usage, VisionProvider};

/// Its name, and that of its "model".
const NAME: &str = "rekognition";
/// What an image costs: `DetectLabels` 0.001, its image properties 0.00075, `DetectModerationLabels` 0.001 US dollars (the first million
/// images of a month; Amazon Rekognition pricing, US East).
pub(crate) const USD_PER_CALL: f64 = 0.002_75;
/// Labels asked for.
const MAX_LABELS: u32 = 20;
/// Confidence in percent from which on something counts, Rekognition's own default for labels.
const MIN_CONFIDENCE: u32 = 55;
/// The same for what is unfit.
const MIN_CONCERN: u32 = 50;
const MAX_COLORS: u32 = 5;

/// An account's quota is 5 to 50 images a second by region, far above what keys of language models allow.
pub(crate) fn rates() -> RateSettings {
    RateSettings {
        start_rpm: 300.0,
        min_rpm: 60.0,
        max_rpm: 3_000.0,
        burst: 25,
        ..RateSettings::default()
    }
}

/// What it is asked, which is always the same, and what an answer looks like.
pub(crate) fn task() -> Task {
    let prompt = format!("labels from {MIN_CONFIDENCE} %, concerns from {MIN_CONCERN} %, colors");
    let schema = json!({
        "type": "object",
        "required": ["labels", "safety"],
        "properties": {
            "labels": { "type": "array" },
            "safety": { "type": "object" },
            "colors": { "type": "array" },
            "quality": { "type": "object" }
        }
    });
    match Task::new(NAME, Some(prompt), Some(schema)) {
        Ok(task) => task,
        // A constant schema that a test reads.
        Err(error) => unreachable!("{error}"),
    }
}

/// Sends signed requests to Rekognition.
#[async_trait]
pub trait RekognitionCalls: Send + Sync + 'static {
    /// Asks `operation`, such as `DetectLabels`, with a body of JSON. Not repeated. The fault is a sentence.
    async fn call(&self, operation: &str, body: Bytes) -> Result<(StatusCode, Bytes), String>;
}

/// Rekognition in one region.
pub struct Rekognition {
    calls: Arc<dyn RekognitionCalls>,
    call_timeout: Duration,
}

impl Rekognition {
    /// One that is asked through `calls`, and given up after `call_timeout`.
    pub fn new(calls: Arc<dyn RekognitionCalls>, call_timeout: Duration) -> Self {
        Self {
            calls,
            call_timeout,
        }
    }

    /// What stands in for a key in a [`crate::KeyPool`]: the quota is the account's.
    pub fn key() -> SecretString {
        SecretString::from("role".to_owned())
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        operation: &str,
        body: &Value,
    ) -> Result<T, CallError> {
        let called = self.calls.call(operation, Bytes::from(body.to_string()));
        let (status, body) = called.await.map_err(CallError::Failed)?;
        if !status.is_success() {
            return Err(fault(status, &body));
        }
        serde_json::from_slice(&body).map_err(|error| {
            CallError::Failed(format!("{operation} answered with something else: {error}"))
        })
    }
}

#[async_trait]
impl VisionProvider for Rekognition {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Both models are asked at the same time; an image that one of them has no answer for has none.
    async fn label(&self, _key: &ApiKey, images: &[Bytes]) -> Result<Reply, CallError> {
        let [image] = images else {
            return Err(CallError::Refused(
                "Rekognition takes one image a call".to_owned(),
            ));
        };
        let image = json!({ "Bytes": STANDARD.encode(image) });
        let about_labels = json!({
            "Image": image,
            "MaxLabels": MAX_LABELS,
            "MinConfidence": MIN_CONFIDENCE,
            "Features": ["GENERAL_LABELS", "IMAGE_PROPERTIES"],
            "Settings": { "ImageProperties": { "MaxDominantColors": MAX_COLORS } }
        });
        let about_safety = json!({ "Image": image, "MinConfidence": MIN_CONCERN });
        let both = async {
            tokio::try_join!(
                self.ask::<Labels>("DetectLabels", &about_labels),
                self.ask::<Moderation>("DetectModerationLabels", &about_safety),
            )
        };
        let late = || Err(CallError::Failed("no answer in time".to_owned()));
        let (labels, moderation) = tokio::time::timeout(self.call_timeout, both)
            .await
            .unwrap_or_else(|_| late())?;
        Ok(Reply {
            answers: vec![answer(labels, moderation)],
            usage: Usage::default(),
        })
    }
}

impl fmt::Debug for Rekognition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Rekognition")
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Labels {
    #[serde(default)]
    labels: Vec<Label>,
    #[serde(default)]
    image_properties: Option<ImageProperties>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Label {
    name: String,
    confidence: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageProperties {
    #[serde(default)]
    quality: Option<Quality>,
    #[serde(default)]
    dominant_colors: Vec<Color>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Quality {
    brightness: Option<f64>,
    sharpness: Option<f64>,
    contrast: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Color {
    hex_code: String,
    #[serde(rename = "SimplifiedColor")]
    name: Option<String>,
    pixel_percent: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Moderation {
    #[serde(default)]
    moderation_labels: Vec<Label>,
}

/// Percent as a share with three digits, as language models give it.
fn share(percent: f64) -> f64 {
    (percent * 10.0).round() / 1_000.0
}

fn answer(labels: Labels, moderation: Moderation) -> Result<Map<String, Value>, BadAnswer> {
    let named: Vec<Value> = labels
        .labels
        .into_iter()
        .map(|label| json!({ "name": label.name, "confidence": share(label.confidence) }))
        .collect();
    let concerns: Vec<String> = moderation
        .moderation_labels
        .into_iter()
        .map(|label| label.name)
        .collect();
    let mut answer = json!({
        "labels": named,
        "safety": { "safe": concerns.is_empty(), "concerns": concerns },
    });
    if let Some(properties) = labels.image_properties {
        let colors = properties.dominant_colors.into_iter().map(|color| {
            json!({
                "hex": color.hex_code.to_ascii_lowercase(),
                "name": color.name,
                "share": color.pixel_percent.map(share),
            })
        });
        answer["colors"] = colors.collect();
        if let Some(quality) = properties.quality {
            answer["quality"] = json!({
                "brightness": quality.brightness.map(share),
                "sharpness": quality.sharpness.map(share),
                "contrast": quality.contrast.map(share),
            });
        }
    }
    match answer {
        Value::Object(answer) => Ok(answer),
        _ => Err(BadAnswer("it is no object".to_owned())),
    }
}

/// What an answer means that is no success.
fn fault(status: StatusCode, body: &[u8]) -> CallError {
    let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
    let word = |names: [&str; 2]| {
        let value = names.iter().find_map(|name| parsed.get(name)?.as_str());
        value.unwrap_or_default().to_owned()
    };
    let kind = word(["__type", "code"]);
    // `com.amazonaws.rekognition#ThrottlingException` in some answers.
    let kind = kind.rsplit('#').next().unwrap_or_default();
    let words: String = format!("{kind} {}", word(["Message", "message"]))
        .chars()
        .take(200)
        .collect();
    match kind {
        "ThrottlingException"
        | "ProvisionedThroughputExceededException"
        | "LimitExceededException" => CallError::TooMany { retry_after: None },
        "AccessDeniedException" | "OptInRequired" => CallError::LockedKey(words),
        "UnrecognizedClientException" | "InvalidSignatureException" | "InvalidClientTokenId" => {
            CallError::BadKey(words)
        }
        "UnknownOperationException" | "UnknownEndpoint" => CallError::Misconfigured(words),
        // Temporary rights end, and Lambda brings new ones.
        "ExpiredTokenException" => CallError::Failed(words),
        _ if status == StatusCode::TOO_MANY_REQUESTS => CallError::TooMany { retry_after: None },
        _ if status.is_client_error() => CallError::Refused(words),
        _ => CallError::Failed(format!("{status} {words}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answers of the service's own documentation (`DetectLabels`, `DetectModerationLabels`), shortened.
    const LABELS: &str = r##"{
        "Labels": [
            { "Name": "Skateboard", "Confidence": 99.92549, "Parents": [{ "Name": "Sport" }], "Aliases": [],
              "Categories": [{ "Name": "Hobbies and Interests" }],
              "Instances": [{ "BoundingBox": { "Width": 0.17, "Height": 0.06, "Left": 0.0, "Top": 0.5 }, "Confidence": 99.9 }] },
            { "Name": "Person", "Confidence": 98.4, "Instances": [], "Parents": [] }
        ],
        "LabelModelVersion": "3.0",
        "ImageProperties": {
            "Quality": { "Brightness": 40.0, "Sharpness": 39.5, "Contrast": 84.4 },
            "DominantColors": [
                { "Red": 0, "Green": 0, "Blue": 0, "HexCode": "#00000A", "CSSColor": "black", "SimplifiedColor": "black", "PixelPercent": 62.1 }
            ],
            "Foreground": { "DominantColors": [] }
        }
    }"##;
    const MODERATION: &str = r#"{
        "ModerationLabels": [
            { "Confidence": 99.24, "Name": "Explicit Nudity", "ParentName": "", "TaxonomyLevel": 1 }
        ],
        "ModerationModelVersion": "7.0", "ContentTypes": []
    }"#;

    struct Recorded;

    #[async_trait]
    impl RekognitionCalls for Recorded {
        async fn call(&self, operation: &str, body: Bytes) -> Result<(StatusCode, Bytes), String> {
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["Image"]["Bytes"], STANDARD.encode("JPEG"));
            let text = match operation {
                "DetectLabels" => LABELS.to_owned(),
                "DetectModerationLabels" => MODERATION.to_owned(),
                other => return Err(format!("nobody asks for {other}")),
            };
            Ok((StatusCode::OK, Bytes::from(text)))
        }
    }

    #[tokio::test]
    async fn two_answers_become_one_that_the_task_allows() {
        let provider = Rekognition::new(Arc::new(Recorded), Duration::from_secs(5));
        let key = ApiKey::new(Rekognition::key());
        let reply = provider.label(&key, &[Bytes::from_static(b"JPEG")]).await;
        let answer = reply.unwrap().answers.remove(0).unwrap();
        let expected = json!({
            "labels": [
                { "name": "Skateboard", "confidence": 0.999 },
                { "name": "Person", "confidence": 0.984 }
            ],
            "safety": { "safe": false, "concerns": ["Explicit Nudity"] },
            "colors": [{ "hex": "#00000a", "name": "black", "share": 0.621 }],
            "quality": { "brightness": 0.4, "sharpness": 0.395, "contrast": 0.844 }
        });
        assert_eq!(Value::Object(answer.clone()), expected);
        assert!(task().check(Value::Object(answer)).is_ok());
    }

    #[test]
    fn what_is_wrong_is_told_by_the_name_of_the_exception() {
        for (status, body, expected) in [
            (
                400,
                r#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#,
                "too many",
            ),
            (
                400,
                r#"{"__type":"com.amazonaws.rekognition#ProvisionedThroughputExceededException"}"#,
                "too many",
            ),
            (
                400,
                r#"{"__type":"AccessDeniedException","Message":"not authorized"}"#,
                "locked key",
            ),
            (
                403,
                r#"{"__type":"UnrecognizedClientException"}"#,
                "bad key",
            ),
            (
                400,
                r#"{"__type":"InvalidImageFormatException","Message":"Request has invalid image format"}"#,
                "refused",
            ),
            (400, r#"{"__type":"ImageTooLargeException"}"#, "refused"),
            (400, r#"{"__type":"ExpiredTokenException"}"#, "failed"),
            (500, r#"{"__type":"InternalServerError"}"#, "failed"),
            (502, "<html>", "failed"),
        ] {
            let error = fault(StatusCode::from_u16(status).unwrap(), body.as_bytes());
            let kind = match &error {
                CallError::BadKey(_) => "bad key",
                CallError::LockedKey(_) => "locked key",
                CallError::TooMany { .. } => "too many",
                CallError::Misconfigured(_) => "misconfigured",
                CallError::Refused(_) => "refused",
                CallError::Failed(_) => "failed",
            };
            assert_eq!(kind, expected, "{status} {body}: {error}");
        }
    }
}
