//! Acts on advice to scale: allows more workers while a batch needs them, and takes them back after it.

use std::sync::Arc;

use domain::ports::{MonitoringStore, Scaler};
use monitoring::applied::{AppliedScaling, ScalingChange, next_change};

use crate::observe::{advise_on, keep_applied, observe};
use crate::{PipelineResult, Ports};

/// Who can be told, and within what.
#[derive(Clone)]
pub struct Scaling {
    /// The platform.
    pub scaler: Arc<dyn Scaler>,
    /// Workers allowed at once when nothing is done: what the stack was set up with.
    pub least: u64,
    /// Workers that may be allowed at once at most; not less than the least.
    pub most: u64,
}

/// Advises, keeps the advice, and acts on it. Says what was changed, if anything was.
///
/// What is allowed now is asked of the platform every time: a deployment, or a person, may have changed it since. A platform that does not
/// answer is left as it is, and advice is given all the same.
pub async fn advise_and_scale(
    ports: &Ports,
    monitoring: &dyn MonitoringStore,
    scaling: &Scaling,
) -> PipelineResult<Option<ScalingChange>> {
    let mut observed = observe(ports, monitoring).await?;
    let allowed = match scaling.scaler.allowed().await {
        Ok(allowed) => allowed,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "how many workers are allowed is not known");
            advise_on(&observed, monitoring).await?;
            return Ok(None);
        }
    };
    let before = observed.applied.take();
    let mut applied = AppliedScaling {
        at: observed.now,
        least: scaling.least,
        most: scaling.most.max(scaling.least),
        allowed,
        changes: before.map(|before| before.changes).unwrap_or_default(),
    };
    observed.applied = Some(applied.clone());
    let advice = advise_on(&observed, monitoring).await?;
    let change = next_change(&observed, &applied, &advice);
    if let Some(change) = &change {
        scaling.scaler.allow(change.to).await?;
        tracing::info!(
            from = change.from,
            to = change.to,
            reason = change.reason,
            "workers allowed at once changed"
        );
        applied.note(change.clone());
    }
    keep_applied(monitoring, &applied).await?;
    Ok(change)
}
