//! The stand-in provider over HTTP: `OpenAI`'s chat completions, as much of it as a client of ours uses.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::serving::Serving;
use crate::vision_provider::{StandInProvider, Verdict, an_answer_about};

/// A provider on loop-back, until this is dropped.
pub struct VisionServer {
    serving: Serving,
}

impl VisionServer {
    /// Serves what `provider` decides.
    pub async fn start(provider: Arc<StandInProvider>) -> Self {
        let router = Router::new()
            .route("/v1/chat/completions", post(complete))
            .with_state(provider);
        Self {
            serving: Serving::start(router).await,
        }
    }

    /// What clients are told: `http://…/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.serving.address)
    }
}

async fn complete(
    State(provider): State<Arc<StandInProvider>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let bearer = headers.get(AUTHORIZATION);
    let bearer = bearer.and_then(|value| value.to_str().ok());
    let key = bearer.and_then(|value| value.strip_prefix("Bearer "));
    let Some((images, is_several)) = images_of(&body) else {
        let error = json!({ "error": { "code": "invalid_request", "message": "no images" } });
        return (StatusCode::BAD_REQUEST, error.to_string()).into_response();
    };
    match provider.call(key.unwrap_or_default(), &images, Timestamp::now()) {
        Verdict::Answer(latency) => {
            let answers: Vec<Value> = images
                .iter()
                .map(|image| serde_json::from_str(&an_answer_about(image)).unwrap())
                .collect();
            let content = match answers.as_slice() {
                [only] if !is_several => only.to_string(),
                all => json!({ "images": all }).to_string(),
            };
            completion(latency, &content, images.len()).await
        }
        Verdict::Malformed(latency) => {
            completion(latency, "I am not sure what this is.", images.len()).await
        }
        Verdict::Failing => (StatusCode::INTERNAL_SERVER_ERROR, "oops").into_response(),
        Verdict::TooMany(pause) => {
            let error =
                json!({ "error": { "code": "rate_limit_exceeded", "message": "slow down" } });
            let retry_after = [(RETRY_AFTER, pause.as_secs().to_string())];
            (
                StatusCode::TOO_MANY_REQUESTS,
                retry_after,
                error.to_string(),
            )
                .into_response()
        }
        Verdict::UnknownModel => {
            let error = json!({ "error": { "code": "model_not_found", "message": "unknown" } });
            (StatusCode::NOT_FOUND, error.to_string()).into_response()
        }
        Verdict::UnknownKey => {
            let error = json!({ "error": { "code": "invalid_api_key", "message": "unknown" } });
            (StatusCode::UNAUTHORIZED, error.to_string()).into_response()
        }
    }
}

async fn completion(latency: Duration, content: &str, images: usize) -> Response {
    tokio::time::sleep(latency).await;
    let body = json!({
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [{
            "index": 0,
            "finish_reason": "stop",
            "message": { "role": "assistant", "content": content }
        }],
        "usage": { "prompt_tokens": 1_000 * images, "completion_tokens": 100 * images }
    });
    ([(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// The images of a request, and whether an array of answers is asked for.
fn images_of(body: &[u8]) -> Option<(Vec<Vec<u8>>, bool)> {
    let request: Value = serde_json::from_slice(body).ok()?;
    let schema = request.pointer("/response_format/json_schema/schema/properties/images");
    let content = request.pointer("/messages/1/content")?.as_array()?;
    let mut images = Vec::new();
    for piece in content {
        let Some(url) = piece.pointer("/image_url/url").and_then(Value::as_str) else {
            continue;
        };
        let (_, encoded) = url.strip_prefix("data:")?.split_once(";base64,")?;
        images.push(STANDARD.decode(encoded).ok()?);
    }
    let is_several = schema.is_some() || images.len() > 1;
    (!images.is_empty()).then_some((images, is_several))
}
