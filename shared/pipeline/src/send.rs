//! Messages in and out: typed on our side, JSON on the wire.

use std::time::Duration;

use domain::ports::{Outgoing, Queue};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{PipelineError, PipelineResult, Ports};

/// Attempts at messages that a queue did not accept.
const SEND_ATTEMPTS: u32 = 5;
/// Pause before the second attempt; doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The typed message in a delivery's body.
pub fn parse_message<M: DeserializeOwned>(queue: Queue, body: &str) -> PipelineResult<M> {
    serde_json::from_str(body).map_err(|source| PipelineError::MalformedMessage { queue, source })
}

/// Sends every message, and again those that were not accepted, and only those.
pub(crate) async fn send_all<M: Serialize + Sync>(
    ports: &Ports,
    queue: Queue,
    messages: &[M],
    delay: Duration,
) -> PipelineResult<()> {
    let mut outgoing = Vec::with_capacity(messages.len());
    for message in messages {
        let body = serde_json::to_string(message)
            .map_err(|source| PipelineError::MalformedMessage { queue, source })?;
        outgoing.push(Outgoing { body, delay });
    }
    let mut pause = FIRST_PAUSE;
    for attempt in 1..=SEND_ATTEMPTS {
        let refused = ports.queue.send(queue, &outgoing).await?;
        if refused.is_empty() {
            return Ok(());
        }
        outgoing = refused
            .into_iter()
            .filter_map(|position| outgoing.get(position).cloned())
            .collect();
        if attempt < SEND_ATTEMPTS {
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
    Err(PipelineError::Unsent {
        queue,
        unsent: outgoing.len(),
    })
}

/// Sends one message that is visible after `delay`.
pub(crate) async fn send_one_later<M: Serialize + Sync>(
    ports: &Ports,
    queue: Queue,
    message: &M,
    delay: Duration,
) -> PipelineResult<()> {
    send_all(ports, queue, std::slice::from_ref(message), delay).await
}

/// Sends one message that is visible at once.
pub(crate) async fn send_one<M: Serialize + Sync>(
    ports: &Ports,
    queue: Queue,
    message: &M,
) -> PipelineResult<()> {
    send_all(ports, queue, std::slice::from_ref(message), Duration::ZERO).await
}
