//! Event → split, or arrival of a list → response.

use std::time::Duration;

use domain::ports::Queue;
use domain::{SplitMessage, keys};
use lambda_runtime::{Error, LambdaEvent};
use lambda_support::notification::Notification;
use lambda_support::sqs::{Record, SqsBatchResponse, SqsEvent, TimeLeft, each_record};
use pipeline::chunk_size::chunk_size;
use pipeline::split::{SplitSettings, split};
use pipeline::uploaded::uploaded;
use pipeline::{PipelineResult, parse_message};
use serde::Deserialize;

use crate::context::Context;

/// Kept back for the shard that is being written when the time is up, and for the continuation.
const RESERVE: Duration = Duration::from_secs(30);

/// What comes through the split queue.
#[derive(Deserialize)]
#[serde(untagged)]
enum Body {
    Split(SplitMessage),
    Arrival(Notification),
}

pub(crate) async fn handle(
    context: &Context,
    event: LambdaEvent<SqsEvent>,
) -> Result<SqsBatchResponse, Error> {
    let time = TimeLeft::of(&event.context, RESERVE);
    let response = each_record(event.payload, time, async |record| {
        handle_record(context, time, record).await
    });
    let response = response.await;
    context.observed.flush().await;
    Ok(response)
}

async fn handle_record(context: &Context, time: TimeLeft, record: Record) -> PipelineResult<()> {
    let ports = &context.observed.ports;
    match parse_message(Queue::Split, &record.body)? {
        Body::Split(message) => {
            if context.gate.puts_off(ports, Queue::Split, &message).await? {
                return Ok(());
            }
            let chunk_size = match &context.chunk_sizes {
                Some(sizes) => chunk_size(context.observed.monitoring.as_ref(), sizes).await?,
                None => context.chunk_size,
            };
            let settings = SplitSettings {
                limits: context.limits.clone(),
                chunk_size,
                scratch: context.scratch.clone(),
                soft_deadline: Some(time.soft_deadline),
                kept: context.kept.clone(),
            };
            let end = split(ports, &settings, &message).await?;
            tracing::info!(batch = %message.batch, ?end, "split ended");
        }
        Body::Arrival(notification) => {
            for key in notification.created_keys() {
                let Some(batch) = keys::upload_batch(&key) else {
                    tracing::warn!(key, "object that is no list of a batch");
                    continue;
                };
                let arrival = uploaded(ports, batch).await?;
                tracing::info!(%batch, ?arrival, "list arrived");
            }
        }
    }
    Ok(())
}
