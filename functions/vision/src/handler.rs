//! Event → labels of a part → response.

use std::time::{Duration, Instant};

use domain::VisionMessage;
use domain::ports::Queue;
use lambda_runtime::{Error, LambdaEvent};
use lambda_support::sqs::{Record, SqsBatchResponse, SqsEvent, TimeLeft, each_record};
use pipeline::label_images::Labeller;
use pipeline::{PipelineResult, parse_message};

use crate::context::Context;

/// Kept back for what follows the last call: its answers, the step, its commit.
const RESERVE: Duration = Duration::from_secs(13);

pub(crate) async fn handle(
    context: &Context,
    event: LambdaEvent<SqsEvent>,
) -> Result<SqsBatchResponse, Error> {
    let time = TimeLeft::of(&event.context, RESERVE);
    // A call that is begun is paid: none is begun that might not end.
    let last_call = time
        .soft_deadline
        .checked_sub(context.call_timeout())
        .unwrap_or_else(Instant::now);
    let response = each_record(event.payload, time, async |record| {
        handle_record(context, last_call, record).await
    });
    Ok(response.await)
}

async fn handle_record(
    context: &Context,
    last_call: Instant,
    record: Record,
) -> PipelineResult<()> {
    let message: VisionMessage = parse_message(Queue::Vision, &record.body)?;
    if let Some(labeller) = context.labeller().await? {
        labeller.label(&message, Some(last_call)).await
    } else {
        Labeller::without_provider(context.ports(), &message).await
    }
}
