//! Writes the report of a batch that is completed, or cancelled and settled.

use bytes::Bytes;
use domain::ports::{Advance, BatchChange, Shard};
use domain::{Batch, BatchId, BatchStatus, keys};

use crate::commit::REPORTED;
use crate::delete::{remove_below, remove_object};
use crate::find_duplicates::Search;
use crate::objects;
use crate::parts::{OfRow, read_parts};
use crate::progress;
use crate::report::{Report, ReportBuilder, ReportRow, card};
use crate::results::{by_chunk, result_keys};
use crate::{PipelineError, PipelineResult, Ports, rule_packs};

/// Recounts the results of `id`, writes its report, and notes that it is there. `None` when the batch is gone, or has rows without a
/// result. A repeat writes the same report again.
pub async fn finalize(ports: &Ports, id: BatchId) -> PipelineResult<Option<Report>> {
    let mut batch = ports.store.batch(id).await?;
    while let Some(reported) = batch.filter(|batch| !batch.deleting) {
        if !is_settled(ports, &reported).await? {
            return Ok(None);
        }
        let generation = reported.generation();
        let report = write_report(ports, reported).await?;
        let change = BatchChange {
            report_ready: Some(true),
            ..BatchChange::default()
        };
        let now = ports.clock.now();
        let advance = ports.store.advance(id, REPORTED, &change, now).await?;
        if advance == Advance::Missing {
            remove_object(ports, &keys::report(id)).await?;
            remove_below(ports, &keys::annotations(id)).await?;
            return Ok(None);
        }
        // A retry that began and ended meanwhile has written its own report, and this one may lie over it.
        batch = ports.store.batch(id).await?;
        if batch.as_ref().map(Batch::generation) == Some(generation) {
            // Every answer is in: nobody asks a model about these any more.
            remove_below(ports, &keys::vision_images(id)).await?;
            return Ok(Some(report));
        }
    }
    Ok(None)
}

/// Whether every row of a batch has its result.
pub(crate) async fn is_settled(ports: &Ports, batch: &Batch) -> PipelineResult<bool> {
    match batch.status {
        BatchStatus::Completed => Ok(true),
        // One that was cancelled before its split began has no rows.
        BatchStatus::Cancelled if batch.report_ready || batch.started_at.is_none() => Ok(true),
        BatchStatus::Cancelled if batch.is_fanned_out() => {
            let shards = ports.store.shards(batch.id).await?;
            let expected = batch.totals.map(|totals| totals.shards as usize);
            Ok(expected == Some(shards.len()) && shards.iter().all(Shard::is_complete))
        }
        _ => Ok(false),
    }
}

async fn write_report(ports: &Ports, batch: Batch) -> PipelineResult<Report> {
    let id = batch.id;
    let mut builder = ReportBuilder::of(&batch);
    let mut search = Search::start(ports, &batch).await?;
    let result_keys = result_keys(ports, id).await?;
    for keys in by_chunk(&result_keys) {
        let mut generation = 0;
        for part in read_parts(ports, keys).await? {
            if let Some(taken_back) = &part.manifest.retry {
                generation = taken_back.generation;
                builder.add_taken_back(taken_back);
            }
            for row in part.rows::<ReportRow>()? {
                builder.add_outcome(generation, row.outcome());
                if part.is_current(row.number()) {
                    search.take(&row);
                    builder.add(row);
                }
            }
        }
        search.hand_on().await;
    }
    builder.set_vision(progress::total(ports, id).await?.vision);
    builder.set_duplicates(search.finish(ports, &batch).await?);
    builder.set_window(card::window(ports, &batch).await?);
    builder.set_rules(rule_packs::count(ports, &batch).await?);
    let report = builder.build(batch, ports.clock.now());
    let key = keys::report(id);
    let body =
        serde_json::to_vec_pretty(&report).map_err(|error| PipelineError::CorruptObject {
            key: key.clone(),
            reason: error.to_string(),
        })?;
    objects::put(ports, key, Bytes::from(body)).await?;
    Ok(report)
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
