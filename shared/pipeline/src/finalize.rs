//! Writes the report of a completed batch.

use bytes::Bytes;
use domain::ports::BatchChange;
use domain::{BatchId, BatchStatus, keys};

use crate::objects::{self, read_results};
use crate::report::{Report, ReportBuilder};
use crate::results::result_keys;
use crate::{PipelineError, PipelineResult, Ports};

/// Recounts the results of `id`, writes its report, and notes that it is there. `None` when the batch is gone or not completed.
/// A repeat writes the same report again.
pub async fn finalize(ports: &Ports, id: BatchId) -> PipelineResult<Option<Report>> {
    let Some(batch) = ports.store.batch(id).await? else {
        return Ok(None);
    };
    if batch.status != BatchStatus::Completed {
        return Ok(None);
    }
    let mut builder = ReportBuilder::default();
    for key in result_keys(ports, id).await? {
        for row in read_results(ports, &key).await? {
            builder.add(row);
        }
    }
    let now = ports.clock.now();
    let report = builder.build(batch, now);
    let key = keys::report(id);
    let body =
        serde_json::to_vec_pretty(&report).map_err(|error| PipelineError::CorruptObject {
            key: key.clone(),
            reason: error.to_string(),
        })?;
    objects::put(ports, key, Bytes::from(body)).await?;
    let change = BatchChange {
        report_ready: Some(true),
        ..BatchChange::default()
    };
    ports
        .store
        .advance(id, &[BatchStatus::Completed], &change, now)
        .await?;
    Ok(Some(report))
}

/// The report of a batch as it was written, or `None` while there is none.
pub async fn read_report(ports: &Ports, id: BatchId) -> PipelineResult<Option<Report>> {
    let key = keys::report(id);
    let Some(bytes) = objects::get(ports, &key).await? else {
        return Ok(None);
    };
    let report = serde_json::from_slice(&bytes).map_err(|error| PipelineError::CorruptObject {
        key,
        reason: error.to_string(),
    })?;
    Ok(Some(report))
}
