//! Schedule → sweep, dead letters → their end → response.

use std::time::Duration;

use domain::ports::{Queue, QueueDepth};
use domain::{Gauge, Minute, Vitals, keys};
use lambda_runtime::{Error, LambdaEvent};
use lambda_support::Observed;
use lambda_support::logging::chain;
use lambda_support::metrics::{api_line, repairs_line, sweep_line};
use lambda_support::notification::Notification;
use lambda_support::sqs::{Record, SqsBatchResponse, SqsEvent, TimeLeft, each_record};
use pipeline::chunk_size::tune_chunk_size;
use pipeline::observe;
use pipeline::scale::advise_and_scale;
use pipeline::sweep::{Swept, repair_stale, settle_dead_letter};
use pipeline::uploaded::uploaded;
use pipeline::{PipelineError, PipelineResult, Ports};
use serde::{Deserialize, Serialize};

use crate::context::Context;

/// Less than this is not worth beginning with.
const RESERVE: Duration = Duration::from_secs(15);
/// Minutes between two sweeps, as the template has it.
const SWEEP_MINUTES: i64 = 5;
/// Minutes after which nothing is added to one any more.
const SETTLED_AFTER: i64 = 2;

/// Why the function was called.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Call {
    /// Messages of a dead-letter queue.
    DeadLetters(SqsEvent),
    /// The schedule, of Amazon `EventBridge`.
    Schedule {
        #[serde(rename = "detail-type")]
        _detail_type: String,
    },
}

/// What came of it.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    DeadLetters(SqsBatchResponse),
    Swept(Swept),
}

/// A dead letter could not be settled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JanitorError {
    #[error("{0:?} is not the name of a dead-letter queue")]
    UnknownQueue(String),
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
}

pub(crate) async fn handle(context: &Context, event: LambdaEvent<Call>) -> Result<Answer, Error> {
    let time = TimeLeft::of(&event.context, RESERVE);
    match event.payload {
        Call::DeadLetters(event) => {
            let letters = event.count();
            let response = each_record(event, time, async |record| settle(context, record).await);
            let response = response.await;
            let kept = response.batch_item_failures.len();
            let swept = Swept {
                dead_letters: letters.saturating_sub(kept) as u64,
                ..Swept::default()
            };
            let now_ms = context.observed.ports.clock.now().as_millisecond();
            repairs_line(context.profile, now_ms, &swept).print()?;
            context.observed.flush().await;
            Ok(Answer::DeadLetters(response))
        }
        Call::Schedule { .. } => Ok(Answer::Swept(sweep(context, time).await?)),
    }
}

/// Samples the queues and repairs what stopped; the sample is written whatever comes of the repairs.
async fn sweep(context: &Context, time: TimeLeft) -> Result<Swept, Error> {
    let ports = &context.observed.ports;
    let mut depths = Vec::new();
    for queue in Queue::ALL {
        match ports.queue.depth(*queue).await {
            Ok(depth) => depths.push((*queue, depth)),
            // What is to be repaired does not wait for a figure.
            Err(error) => tracing::warn!(%queue, error = chain(&error), "depth not known"),
        }
    }
    if let Err(error) = record_depths(context, &depths).await {
        tracing::warn!(error = chain(&error), "sample not stored");
    }
    if let Some(sizes) = &context.chunk_sizes
        && let Err(error) =
            tune_chunk_size(ports, context.observed.monitoring.as_ref(), sizes).await
    {
        tracing::warn!(error = chain(&error), "rows in a chunk not tuned");
    }
    let mut swept = Swept::default();
    let repairs = repair_stale(ports, context.grace, &mut swept);
    let ended = tokio::time::timeout_at(time.soft_deadline.into(), repairs).await;
    let now_ms = ports.clock.now().as_millisecond();
    sweep_line(context.profile, now_ms, &depths, &swept).print()?;
    if let Err(error) = print_api(context, monitoring_minutes(ports)).await {
        tracing::warn!(error = chain(&error), "figures of the API not known");
    }
    context.observed.flush().await;
    ended??;
    Ok(swept)
}

/// The minutes whose figures a sweep passes on: as many as lie between two sweeps, and long enough ago that no process adds to them.
fn monitoring_minutes(ports: &Ports) -> (Minute, Minute) {
    let now = Minute::of(ports.clock.now()).0;
    (
        Minute(now - SETTLED_AFTER - SWEEP_MINUTES + 1),
        Minute(now - SETTLED_AFTER),
    )
}

/// Requests to the API, a line a minute: the functions that answer them have no lines of metrics of their own.
async fn print_api(context: &Context, (from, to): (Minute, Minute)) -> PipelineResult<()> {
    for (minute, delta) in context.observed.ports.store.kpis(from, to).await? {
        if let Some(line) = api_line(context.profile, minute, &delta.vitals.api) {
            line.print().map_err(PipelineError::Scratch)?;
        }
    }
    Ok(())
}

/// Depths go where the API finds them, too, and advice to scale is made of them, and acted on where that is wished.
async fn record_depths(context: &Context, depths: &[(Queue, QueueDepth)]) -> PipelineResult<()> {
    let sum = |of: fn(&QueueDepth) -> u64| depths.iter().map(|(_, depth)| of(depth)).sum();
    let vitals = Vitals {
        pending: Gauge::of(sum(|depth| depth.visible + depth.delayed)),
        dead_letters: Gauge::of(sum(|depth| depth.dead)),
        ..Vitals::default()
    };
    let minute = Minute::of(context.observed.ports.clock.now());
    let Observed {
        ports, monitoring, ..
    } = &context.observed;
    let monitoring = monitoring.as_ref();
    monitoring.add_vitals(minute, &vitals).await?;
    match &context.scaling {
        Some(scaling) => {
            advise_and_scale(ports, monitoring, scaling).await?;
        }
        None => {
            observe::advise_and_keep(ports, monitoring).await?;
        }
    }
    Ok(())
}

async fn settle(context: &Context, record: Record) -> Result<(), JanitorError> {
    let Some(queue) = context.queue_of(&record.queue_name) else {
        return Err(JanitorError::UnknownQueue(record.queue_name));
    };
    if queue == Queue::Split
        && let Ok(notification) = serde_json::from_str::<Notification>(&record.body)
    {
        return take_in_again(context, &notification).await;
    }
    Ok(settle_dead_letter(&context.observed.ports, queue, &record.body).await?)
}

/// The list is in the bucket; whatever kept it from being taken in is perhaps over.
async fn take_in_again(context: &Context, notification: &Notification) -> Result<(), JanitorError> {
    let keys = notification.created_keys();
    for batch in keys.iter().filter_map(|key| keys::upload_batch(key)) {
        let arrival = uploaded(&context.observed.ports, batch).await?;
        tracing::warn!(%batch, ?arrival, "list taken in from the dead letters");
    }
    Ok(())
}
