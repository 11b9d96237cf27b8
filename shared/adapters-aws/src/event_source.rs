//! The event source that invokes analyze: how many chunks it takes at once.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_UpdateEventSourceMapping.html>

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::ports::{PortError, PortErrorKind, PortResult, Scaler};
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clients::Clients;
use crate::error::rejected;
use crate::signed::{AskError, Unsigned, ask};
use crate::transport::SendError;

/// An answer takes milliseconds; what gets none is tried again by the next sweep.
const TIMEOUT: Duration = Duration::from_secs(5);
/// What an event source may be set to, by the service.
const CONCURRENCIES: std::ops::RangeInclusive<u64> = 2..=1_000;
const MINIMUM_POLLERS: std::ops::RangeInclusive<u64> = 2..=200;
/// Chunks that one provisioned poller has under way at most (AWS Lambda developer guide, "Provisioned mode").
pub const CHUNKS_A_POLLER: u32 = 10;

/// What of an event source is turned. It has one of the two; the service refuses the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventSourceKnob {
    /// Chunks at once, at most.
    MaximumConcurrency,
    /// Provisioned pollers that are always there, ten chunks each. Their maximum stays, and is never passed.
    MinimumPollers,
}

/// One event source, named by its UUID.
pub(crate) struct EventSource {
    clients: Arc<Clients>,
    uuid: String,
    knob: EventSourceKnob,
}

/// The part of the service's answer that matters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Mapping {
    scaling_config: Option<ScalingConfig>,
    provisioned_poller_config: Option<ProvisionedPollerConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ScalingConfig {
    maximum_concurrency: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ProvisionedPollerConfig {
    minimum_pollers: Option<u64>,
    maximum_pollers: Option<u64>,
}

/// The service said no.
#[derive(Debug, thiserror::Error)]
#[error("Lambda answered {status} {kind}: {message}")]
struct Refused {
    status: StatusCode,
    kind: String,
    message: String,
}

impl EventSource {
    pub(crate) const fn new(clients: Arc<Clients>, uuid: String, knob: EventSourceKnob) -> Self {
        Self {
            clients,
            uuid,
            knob,
        }
    }

    async fn ask(
        &self,
        operation: &'static str,
        method: Method,
        body: Option<Value>,
    ) -> PortResult<Mapping> {
        let path = format!("/2015-03-31/event-source-mappings/{}", self.uuid);
        let asked = Unsigned {
            service: "lambda",
            endpoint: self.clients.settings.endpoints.lambda.as_deref(),
            method,
            path: &path,
            headers: &[(CONTENT_TYPE.as_str(), "application/json")],
            body: body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string())),
        };
        let answer = tokio::time::timeout(TIMEOUT, ask(&self.clients, asked)).await;
        let answer = answer.unwrap_or(Err(AskError::Send(SendError::TimedOut)));
        let answer = answer.map_err(|error| PortError::new(kind_of(&error), operation, error))?;
        if !answer.status().is_success() {
            let refused = refusal(&answer);
            return Err(PortError::new(
                kind_of_refusal(&refused),
                operation,
                refused,
            ));
        }
        serde_json::from_slice(answer.body())
            .map_err(|error| PortError::new(PortErrorKind::Corrupt, operation, error))
    }
}

#[async_trait]
impl Scaler for EventSource {
    async fn allowed(&self) -> PortResult<u64> {
        const OPERATION: &str = "read event source";
        let mapping = self.ask(OPERATION, Method::GET, None).await?;
        let (name, workers) = match self.knob {
            EventSourceKnob::MaximumConcurrency => {
                let set = mapping.scaling_config;
                let set = set.and_then(|config| config.maximum_concurrency);
                ("MaximumConcurrency", set)
            }
            EventSourceKnob::MinimumPollers => {
                let set = mapping.provisioned_poller_config;
                let set = set.and_then(|config| config.minimum_pollers);
                let workers = set.map(|pollers| pollers * u64::from(CHUNKS_A_POLLER));
                ("MinimumPollers", workers)
            }
        };
        workers.ok_or_else(|| rejected(OPERATION, format!("the event source has no {name}")))
    }

    async fn allow(&self, workers: u64) -> PortResult<()> {
        const OPERATION: &str = "change event source";
        let body = match self.knob {
            EventSourceKnob::MaximumConcurrency => {
                let most = workers.clamp(*CONCURRENCIES.start(), *CONCURRENCIES.end());
                json!({ "ScalingConfig": { "MaximumConcurrency": most } })
            }
            EventSourceKnob::MinimumPollers => {
                let mapping = self.ask(OPERATION, Method::GET, None).await?;
                let config = mapping.provisioned_poller_config;
                // Both are sent, so that the service has nothing to fill in.
                let most = config.and_then(|config| config.maximum_pollers);
                let most = most.ok_or_else(|| rejected(OPERATION, "it has no MaximumPollers"))?;
                let least = workers.div_ceil(CHUNKS_A_POLLER.into());
                let least = least.clamp(*MINIMUM_POLLERS.start(), *MINIMUM_POLLERS.end());
                let pollers = json!({ "MinimumPollers": least.min(most), "MaximumPollers": most });
                json!({ "ProvisionedPollerConfig": pollers })
            }
        };
        self.ask(OPERATION, Method::PUT, Some(body)).await?;
        Ok(())
    }
}

/// The kind of the fault is in a header, and the rest in the body.
fn refusal(answer: &http::Response<Bytes>) -> Refused {
    let kind = answer.headers().get("x-amzn-errortype");
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let text = |name: &str| body[name].as_str();
    let message = text("Message").or_else(|| text("message"));
    Refused {
        status: answer.status(),
        // `ResourceInUseException:http://internal.amazon.com/…`
        kind: kind.split(':').next().unwrap_or_default().to_owned(),
        message: message.unwrap_or_default().to_owned(),
    }
}

fn kind_of_refusal(refused: &Refused) -> PortErrorKind {
    match (refused.status, refused.kind.as_str()) {
        (StatusCode::TOO_MANY_REQUESTS, _) => PortErrorKind::Throttled,
        // Another change is still being followed.
        (_, "ResourceInUseException" | "ResourceConflictException") => PortErrorKind::Unavailable,
        (status, _) if status.is_server_error() => PortErrorKind::Unavailable,
        _ => PortErrorKind::Rejected,
    }
}

fn kind_of(error: &AskError) -> PortErrorKind {
    match error {
        AskError::Request(_) => PortErrorKind::Rejected,
        AskError::Send(SendError::TimedOut) => PortErrorKind::TimedOut,
        AskError::Send(_) | AskError::Answer(_) => PortErrorKind::Unavailable,
    }
}
