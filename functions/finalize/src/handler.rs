//! Event → report, and news of it → response.

use std::time::Duration;

use domain::FinalizeMessage;
use domain::ports::Queue;
use lambda_runtime::{Error, LambdaEvent};
use lambda_support::notices::Reporting;
use lambda_support::sqs::{Record, SqsBatchResponse, SqsEvent, TimeLeft, each_record};
use pipeline::notify::report;
use pipeline::{PipelineResult, parse_message};

use crate::context::Context;

/// Less than this is not worth beginning with.
const RESERVE: Duration = Duration::from_secs(30);

pub(crate) async fn handle(
    context: &Context,
    event: LambdaEvent<SqsEvent>,
) -> Result<SqsBatchResponse, Error> {
    let time = TimeLeft::of(&event.context, RESERVE);
    let response = each_record(event.payload, time, async |record| {
        handle_record(context, record).await
    });
    Ok(response.await)
}

async fn handle_record(context: &Context, record: Record) -> PipelineResult<()> {
    let message: FinalizeMessage = parse_message(Queue::Finalize, &record.body)?;
    let Reporting { ports, notifier } = &context.reporting;
    report(ports, Some(notifier), message).await
}
