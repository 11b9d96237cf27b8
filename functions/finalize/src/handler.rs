//! Event → report, and news of it; or a table → response.

use std::time::Duration;

use domain::ports::Queue;
use domain::{ExportMessage, FinalizeMessage};
use lambda_runtime::{Error, LambdaEvent};
use lambda_support::notices::Reporting;
use lambda_support::sqs::{Record, SqsBatchResponse, SqsEvent, TimeLeft, each_record};
use pipeline::notify::report;
use pipeline::{PipelineResult, downloads, parse_message};
use serde::Deserialize;

use crate::context::Context;

/// Less than this is not worth beginning with.
const RESERVE: Duration = Duration::from_secs(30);

/// What comes through the finalize queue.
#[derive(Deserialize)]
#[serde(untagged)]
enum Body {
    Report(FinalizeMessage),
    Table(ExportMessage),
}

pub(crate) async fn handle(
    context: &Context,
    event: LambdaEvent<SqsEvent>,
) -> Result<SqsBatchResponse, Error> {
    let time = TimeLeft::of(&event.context, RESERVE);
    let response = each_record(event.payload, time, async |record| {
        handle_record(context, record).await
    });
    let response = response.await;
    context.reporting.observed.flush().await;
    Ok(response)
}

async fn handle_record(context: &Context, record: Record) -> PipelineResult<()> {
    let Reporting { observed, notifier } = &context.reporting;
    let ports = &observed.ports;
    match parse_message(Queue::Finalize, &record.body)? {
        Body::Report(message) => report(ports, Some(notifier), message).await,
        Body::Table(message) => downloads::write(ports, &context.exporter, &message).await,
    }
}
