//! Adds a part to the indicators of its minute, once.

use domain::MetricsMessage;

use crate::{PipelineResult, Ports};

/// Adds what `message` says. `false` when the part was added before.
pub async fn record_metrics(ports: &Ports, message: &MetricsMessage) -> PipelineResult<bool> {
    let added = ports
        .store
        .add_kpis(message.part, message.minute, &message.delta)
        .await?;
    Ok(added)
}
