//! AWS Lambda's event sources on loop-back, as much of them as a client of ours uses: it looks at signatures, keeps what was set, and answers as the service does.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::serving::Serving;

/// The service with one event source, until this is dropped.
pub struct LambdaServer {
    serving: Serving,
    kept: Arc<Mutex<Kept>>,
}

struct Kept {
    uuid: String,
    event_source: Value,
    /// Actions that were asked for, as policies name them.
    actions: Vec<&'static str>,
    /// What the next request is answered with, in place of an answer.
    refusal: Option<(StatusCode, &'static str)>,
}

impl LambdaServer {
    /// Serves an event source with this UUID and these settings, such as `ScalingConfig`.
    pub async fn start(uuid: &str, settings: Value) -> Self {
        let mut event_source = json!({
            "UUID": uuid, "BatchSize": 1, "MaximumBatchingWindowInSeconds": 0,
            "EventSourceArn": "arn:aws:sqs:eu-central-1:1:chunks",
            "FunctionArn": "arn:aws:lambda:eu-central-1:1:function:analyze",
            "LastModified": 1_767_268_800.0, "State": "Enabled", "StateTransitionReason": "USER_INITIATED",
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
        });
        set(&mut event_source, &settings);
        let kept = Arc::new(Mutex::new(Kept {
            uuid: uuid.to_owned(),
            event_source,
            actions: Vec::new(),
            refusal: None,
        }));
        let router = Router::new()
            .route(
                "/2015-03-31/event-source-mappings/{uuid}",
                get(answer).put(answer),
            )
            .with_state(Arc::clone(&kept));
        Self {
            serving: Serving::start(router).await,
            kept,
        }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.serving.address)
    }

    /// A setting of the event source as it is now.
    pub fn setting(&self, name: &str) -> Value {
        self.kept.lock().event_source[name].clone()
    }

    /// Actions that were asked for so far, as policies name them.
    pub fn actions(&self) -> Vec<&'static str> {
        self.kept.lock().actions.clone()
    }

    /// Answers the next request with this status and kind of fault.
    pub fn refuse_next(&self, status: u16, kind: &'static str) {
        let status = StatusCode::from_u16(status).unwrap();
        self.kept.lock().refusal = Some((status, kind));
    }
}

async fn answer(
    State(kept): State<Arc<Mutex<Kept>>>,
    Path(uuid): Path<String>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut kept = kept.lock();
    if let Some((status, kind)) = kept.refusal.take() {
        return fault(status, kind);
    }
    let authorization = headers.get("authorization");
    let authorization = authorization.and_then(|value| value.to_str().ok());
    if !authorization.is_some_and(is_signature) {
        return fault(StatusCode::FORBIDDEN, "IncompleteSignatureException");
    }
    if uuid != kept.uuid {
        return fault(StatusCode::NOT_FOUND, "ResourceNotFoundException");
    }
    if method == Method::GET {
        kept.actions.push("lambda:GetEventSourceMapping");
        return kept.event_source.to_string().into_response();
    }
    kept.actions.push("lambda:UpdateEventSourceMapping");
    let changes: Value = serde_json::from_slice(&body).unwrap_or_default();
    if !is_valid(&kept.event_source, &changes) {
        return fault(StatusCode::BAD_REQUEST, "InvalidParameterValueException");
    }
    set(&mut kept.event_source, &changes);
    (StatusCode::ACCEPTED, kept.event_source.to_string()).into_response()
}

/// The bounds of the service, and that it has only one of the two.
fn is_valid(event_source: &Value, changes: &Value) -> bool {
    let concurrency = &changes["ScalingConfig"]["MaximumConcurrency"];
    let pollers = &changes["ProvisionedPollerConfig"];
    let is_within = |value: &Value, range: std::ops::RangeInclusive<u64>| {
        value.as_u64().is_some_and(|value| range.contains(&value))
    };
    match (concurrency.is_null(), pollers.is_null()) {
        (false, true) => {
            event_source["ProvisionedPollerConfig"].is_null() && is_within(concurrency, 2..=1_000)
        }
        (true, false) => {
            let (least, most) = (&pollers["MinimumPollers"], &pollers["MaximumPollers"]);
            event_source["ScalingConfig"].is_null()
                && is_within(least, 2..=200)
                && is_within(most, 2..=2_000)
                && least.as_u64() <= most.as_u64()
        }
        _ => false,
    }
}

fn set(event_source: &mut Value, settings: &Value) {
    for (name, value) in settings.as_object().into_iter().flatten() {
        event_source[name] = value.clone();
    }
}

fn fault(status: StatusCode, kind: &str) -> Response {
    let body = json!({ "Type": "User", "Message": "said the stand-in" }).to_string();
    let kind = format!("{kind}:http://internal.amazon.com/coral/com.amazonaws.awsgirapi/");
    (status, [("x-amzn-errortype", kind)], body).into_response()
}

/// Whether it has the form of a signature of version 4 for this service.
fn is_signature(authorization: &str) -> bool {
    let Some(rest) = authorization.strip_prefix("AWS4-HMAC-SHA256 Credential=") else {
        return false;
    };
    let hash = rest.split("Signature=").nth(1).unwrap_or_default();
    let names = |header: &str| rest.contains(header);
    rest.contains("/lambda/aws4_request")
        && ["host", "x-amz-date"].into_iter().all(names)
        && hash.len() == 64
}
