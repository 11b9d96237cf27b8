//! Event → part → response.

use std::time::Duration;

use domain::ChunkMessage;
use domain::ports::Queue;
use lambda_runtime::{Error, LambdaEvent};
use lambda_support::sqs::{Record, SqsBatchResponse, SqsEvent, TimeLeft, each_record};
use pipeline::analyze_chunk::Budget;
use pipeline::{PipelineResult, parse_message};

use crate::context::Context;

/// Kept back for images that are being decoded when the time is up, for the results and for their commit.
const RESERVE: Duration = Duration::from_secs(20);
/// Of that, what the results and the commit of a part need that nothing can be left over of.
const COMMIT_RESERVE: Duration = Duration::from_secs(13);

pub(crate) async fn handle(
    context: &Context,
    event: LambdaEvent<SqsEvent>,
) -> Result<SqsBatchResponse, Error> {
    let time = TimeLeft::of(&event.context, RESERVE);
    let response = each_record(event.payload, time, async |record| {
        handle_record(context, time, record).await
    });
    Ok(response.await)
}

async fn handle_record(context: &Context, time: TimeLeft, record: Record) -> PipelineResult<()> {
    let message: ChunkMessage = parse_message(Queue::Chunks, &record.body)?;
    let Context { ports, gate, .. } = context;
    if gate.puts_off(ports, Queue::Chunks, &message).await? {
        return Ok(());
    }
    let budget = Budget {
        soft_deadline: Some(time.soft_deadline),
        hard_deadline: time.hard_deadline.checked_sub(COMMIT_RESERVE),
        // SQS does not tell a process that stopped from a handler that failed; a smaller part helps against both.
        interruptions: record.receive_count - 1,
    };
    context.analyzer.analyze_chunk(&message, budget).await
}
