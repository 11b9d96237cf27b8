//! Gathers what monitoring makes its answers of, and keeps advice that was given.

use domain::Minute;
use domain::ports::{MonitoringStore, Queue, TroubledHost};
use jiff::SignedDuration;
use monitoring::applied::AppliedScaling;
use monitoring::performance::Baseline;
use monitoring::scaling::{Action, Advice, LastAdvice, advise};
use monitoring::{HOUR_MINUTES, NOW_MINUTES, Observations, QueueNow};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{PipelineResult, Ports};

/// Name of the document with the baseline.
const BASELINE: &str = "baseline";
/// Name of the document with the last advice to scale.
const LAST_ADVICE: &str = "last-advice";
/// Name of the document with what is done with advice.
const APPLIED_SCALING: &str = "applied-scaling";
/// Who acts on advice looks every few minutes; what is older than this is of somebody who does not any more.
const APPLIED_SCALING_LASTS: SignedDuration = SignedDuration::from_mins(20);

/// How much lies in each queue.
pub async fn queues(ports: &Ports) -> PipelineResult<Vec<QueueNow>> {
    let depths = Queue::ALL.iter().map(|queue| async move {
        let depth = ports.queue.depth(*queue).await?;
        PipelineResult::Ok(QueueNow {
            name: queue.as_str(),
            pending: depth.visible + depth.delayed,
            in_flight: depth.in_flight,
            dead: depth.dead,
        })
    });
    futures::future::try_join_all(depths).await
}

/// Everything, as it is now: the last hour and the one before, hosts of the last minutes, queues, what operators set.
pub async fn observe(
    ports: &Ports,
    monitoring: &dyn MonitoringStore,
) -> PipelineResult<Observations> {
    let now = ports.clock.now();
    let to = Minute::of(now);
    let from = Minute(to.0 - HOUR_MINUTES - NOW_MINUTES);
    let minutes = async { Ok(ports.store.kpis(from, to).await?) };
    let hosts = async {
        let from = Minute(to.0 - NOW_MINUTES);
        let hosts: Vec<TroubledHost> = monitoring.troubled_hosts(from, to).await?;
        Ok(hosts)
    };
    let (minutes, hosts, queues, baseline, last_advice, applied) = futures::try_join!(
        minutes,
        hosts,
        queues(ports),
        document::<Baseline>(monitoring, BASELINE),
        document::<LastAdvice>(monitoring, LAST_ADVICE),
        document::<AppliedScaling>(monitoring, APPLIED_SCALING),
    )?;
    Ok(Observations {
        now,
        minutes,
        hosts,
        queues,
        baseline,
        last_advice,
        applied: applied.filter(|applied| applied.at + APPLIED_SCALING_LASTS > now),
    })
}

/// A document of an older version that cannot be read any more is as if it had not been set.
pub(crate) async fn document<T: DeserializeOwned>(
    monitoring: &dyn MonitoringStore,
    name: &str,
) -> PipelineResult<Option<T>> {
    let document = monitoring.document(name).await?;
    Ok(document.and_then(|document| serde_json::from_value(document).ok()))
}

/// Keeps a document until the next one of its name.
pub(crate) async fn keep_document<T: Serialize + Sync>(
    monitoring: &dyn MonitoringStore,
    name: &str,
    document: &T,
) -> PipelineResult<()> {
    if let Ok(document) = serde_json::to_value(document) {
        monitoring.set_document(name, &document).await?;
    }
    Ok(())
}

/// Saves the figures of the last hour to compare with. `None` when nothing ended in that hour.
pub async fn save_baseline(
    ports: &Ports,
    monitoring: &dyn MonitoringStore,
) -> PipelineResult<Option<Baseline>> {
    let observed = observe(ports, monitoring).await?;
    let Some(baseline) = monitoring::performance::baseline_of(&observed) else {
        return Ok(None);
    };
    keep_document(monitoring, BASELINE, &baseline).await?;
    Ok(Some(baseline))
}

/// Keeps what is done with advice.
pub(crate) async fn keep_applied(
    monitoring: &dyn MonitoringStore,
    applied: &AppliedScaling,
) -> PipelineResult<()> {
    keep_document(monitoring, APPLIED_SCALING, applied).await?;
    Ok(())
}

/// Advises, and keeps the advice unless it is to hold: that starts its cool-down.
pub async fn advise_and_keep(
    ports: &Ports,
    monitoring: &dyn MonitoringStore,
) -> PipelineResult<Advice> {
    let observed = observe(ports, monitoring).await?;
    advise_on(&observed, monitoring).await
}

/// The same, on what was observed already.
pub(crate) async fn advise_on(
    observed: &Observations,
    monitoring: &dyn MonitoringStore,
) -> PipelineResult<Advice> {
    let advice = advise(observed);
    if advice.action != Action::Hold {
        tracing::info!(
            scaling.action = ?advice.action,
            scaling.workers = advice.workers,
            scaling.advised_workers = advice.advised_workers,
            reasons = ?advice.reasons,
            "scaling advised"
        );
        let last = LastAdvice {
            at: observed.now,
            action: advice.action,
            workers: advice.advised_workers,
        };
        keep_document(monitoring, LAST_ADVICE, &last).await?;
    }
    Ok(advice)
}
