//! Event → indicators and a line of metrics → response.

use std::time::Duration;

use domain::MetricsMessage;
use domain::ports::Queue;
use lambda_runtime::{Error, LambdaEvent};
use lambda_support::Observed;
use lambda_support::metrics::part_line;
use lambda_support::sqs::{Record, SqsBatchResponse, SqsEvent, TimeLeft, each_record};
use pipeline::record_metrics::record_metrics;
use pipeline::{PipelineError, PipelineResult, parse_message};

use crate::context::Context;

/// One message takes milliseconds; a store that is slow takes this long until it is asked again.
const RESERVE: Duration = Duration::from_secs(13);

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
    let mut message: MetricsMessage = parse_message(Queue::Metrics, &record.body)?;
    let Observed {
        ports, recorder, ..
    } = &context.observed;
    // What this function saw of itself goes with the part, so that it costs no write of its own.
    let seen = recorder.drain();
    message.delta.vitals += &seen;
    let recorded = record_metrics(ports, &message).await;
    if !matches!(recorded, Ok(true)) {
        recorder.put_back(&seen);
    }
    // A part that was added before has its line already.
    if recorded? {
        let printed = part_line(context.profile, &message).print();
        printed.map_err(PipelineError::Scratch)?;
    }
    Ok(())
}
