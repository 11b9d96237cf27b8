//! What must hold after any storm, found out without the pipeline: by recounting the result objects.

use domain::ports::Queue;
use domain::{
    Batch, BatchId, BatchStatus, Counters, KpiDelta, Minute, Outcome, ResultRow, VisionCounters,
    keys,
};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use pipeline::results::{ResultFilter, results_page};
use pipeline::{Ports, finalize, progress};
use serde_json::Value;
use test_support::faults::Chaos;

/// Longer than any storm lasts, and no longer than any store answers for.
const MINUTES: i64 = 40_000;

/// What a storm was about.
pub(crate) struct Expected<'a> {
    pub(crate) batch: BatchId,
    /// The URL of every row of the list.
    pub(crate) urls: &'a [String],
    /// How the batch may have ended.
    pub(crate) status: &'a [BatchStatus],
    /// A batch that was deleted.
    pub(crate) deleted: Option<BatchId>,
    /// Whether a model was asked what images show.
    pub(crate) labels: bool,
}

/// Which promise is broken, if one is.
pub(crate) async fn judge(
    ports: &Ports,
    chaos: &Chaos,
    expected: &Expected<'_>,
) -> Result<Counters, String> {
    let id = expected.batch;
    let batch = ports.store.batch(id).await.unwrap().unwrap();
    if !expected.status.contains(&batch.status) {
        return Err(format!(
            "the batch is {}: {:?}",
            batch.status, batch.failure
        ));
    }
    let rows = recount(ports, id).await;
    for (position, row) in rows.iter().enumerate() {
        if row.row != position as u64 {
            return Err(format!("row {} where {position} has to be", row.row));
        }
        let url = expected.urls.get(position);
        if url != Some(&row.url) {
            return Err(format!(
                "row {position} has the URL {:?}, not {url:?}",
                row.url
            ));
        }
    }
    // One that was cancelled before its split began has no rows.
    let never_began = batch.status == BatchStatus::Cancelled && batch.started_at.is_none();
    let urls = if never_began { 0 } else { expected.urls.len() };
    if rows.len() != urls {
        let rows = rows.len();
        return Err(format!("{rows} results for {urls} rows"));
    }
    let mut recounted: Counters = rows.iter().collect();
    let mut counted = progress::total(ports, id).await.unwrap();
    // Labels are no part of the result objects.
    let vision = std::mem::take(&mut counted.vision);
    if counted != recounted {
        return Err(format!(
            "counted as {:?}, but the results are {:?}",
            counted.by_outcome, recounted.by_outcome
        ));
    }
    judge_end(ports, chaos, id, &recounted).await?;
    if let Some(deleted) = expected.deleted {
        judge_deletion(ports, deleted).await?;
    } else {
        judge_indicators(ports, chaos, &recounted).await?;
    }
    if expected.labels {
        judge_labels(ports, &batch, &rows, &vision).await?;
    }
    recounted.vision = vision;
    Ok(recounted)
}

/// Nothing is left of a batch that was deleted, whatever still comes for it.
async fn judge_deletion(ports: &Ports, id: BatchId) -> Result<(), String> {
    let batch = ports.store.batch(id).await.unwrap();
    let shards = ports.store.shards(id).await.unwrap();
    if batch.is_some() || !shards.is_empty() {
        return Err(format!("a deleted batch is there: {batch:?}, {shards:?}"));
    }
    Ok(())
}

/// Every image is dealt with once, and every row of one has what came of that.
async fn judge_labels(
    ports: &Ports,
    batch: &Batch,
    rows: &[ResultRow],
    counted: &VisionCounters,
) -> Result<(), String> {
    let images = rows.iter().filter(|row| row.sha256.is_some());
    let images = images.filter(|row| row.outcome == Outcome::Ok).count() as u64;
    if (counted.expected, counted.done) != (images, images) {
        return Err(format!(
            "labels of {images} images are counted as {counted:?}"
        ));
    }
    let filter = ResultFilter::default();
    let page = results_page(ports, batch.id, &filter, None, rows.len());
    let shown = page.await.unwrap().rows;
    let answered = shown.iter().filter_map(|row| row.vision.as_ref());
    let (failed, labelled): (Vec<_>, Vec<_>) =
        answered.partition(|vision| vision.contains_key("error"));
    let (failed, labelled) = (failed.len() as u64, labelled.len() as u64);
    if (labelled, failed) != (counted.labelled, counted.errors) {
        return Err(format!(
            "{labelled} rows with labels and {failed} without one are counted as {counted:?}"
        ));
    }
    let is_whole = labelled + failed == images;
    if !is_whole && !was_cancelled(batch) {
        return Err(format!("{labelled} and {failed} of {images} images"));
    }
    Ok(())
}

/// Whether images may have neither labels nor an error.
fn was_cancelled(batch: &Batch) -> bool {
    batch.status == BatchStatus::Cancelled
}

/// One completion a generation, and one report, which says what the results say.
async fn judge_end(
    ports: &Ports,
    chaos: &Chaos,
    id: BatchId,
    recounted: &Counters,
) -> Result<(), String> {
    let batch = ports.store.batch(id).await.unwrap().unwrap();
    let completions = chaos.moves(id, BatchStatus::Completed);
    let expected = match batch.status {
        BatchStatus::Completed => 1 + batch.generation() as usize,
        _ => batch.generation() as usize,
    };
    if completions != expected {
        return Err(format!("{completions} completions instead of {expected}"));
    }
    let report = finalize::read_report(ports, id).await.unwrap();
    let Some(report) = report.filter(|_| batch.report_ready && batch.finalize_sent) else {
        return Err("there is no report, or nobody knows of it".to_owned());
    };
    if report.counters.by_outcome != recounted.by_outcome {
        return Err(format!(
            "reported as {:?}, but the results are {:?}",
            report.counters.by_outcome, recounted.by_outcome
        ));
    }
    Ok(())
}

/// Indicators count no part twice, and every part unless its message was given up. Those of a retry count what it took back again.
async fn judge_indicators(
    ports: &Ports,
    chaos: &Chaos,
    recounted: &Counters,
) -> Result<(), String> {
    let to = Minute::of(ports.clock.now());
    let from = Minute(to.0 - MINUTES);
    let mut sum = KpiDelta::default();
    for (_, delta) in ports.store.kpis(from, to).await.unwrap() {
        sum += &delta;
    }
    let (ours, theirs) = (&sum.counters, recounted);
    let is_retried = chaos.calls("store begin_retry") > 0;
    let given_up = chaos.calls(&format!("queue delete_dead {}", Queue::Metrics));
    let is_exact = ours.attempts == theirs.attempts && ours.bytes == theirs.bytes;
    let is_less = ours.attempts <= theirs.attempts && given_up > 0;
    if is_retried || is_exact || is_less {
        return Ok(());
    }
    let (ours, theirs) = (ours.attempts, theirs.attempts);
    Err(format!(
        "indicators of {ours} requests, results of {theirs}"
    ))
}

/// Every result row that counts, by number. What a part that begins a retry leaves over, it takes back.
async fn recount(ports: &Ports, id: BatchId) -> Vec<ResultRow> {
    let folder = Path::from(keys::results(id));
    let listed: Vec<_> = ports
        .objects
        .list(Some(&folder))
        .try_collect()
        .await
        .unwrap();
    let mut keys: Vec<Path> = listed.into_iter().map(|object| object.location).collect();
    keys.sort();
    let mut rows: Vec<ResultRow> = Vec::new();
    for key in keys {
        let found = ports.objects.get(&key).await.unwrap();
        let packed = found.bytes().await.unwrap();
        let text = String::from_utf8(zstd::decode_all(packed.as_ref()).unwrap()).unwrap();
        let mut lines = text.lines();
        let manifest: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
        if manifest.get("retry").is_some() {
            let taken_back = manifest["leftover"].as_array().unwrap();
            rows.retain(|row| !taken_back.contains(&Value::from(row.row)));
        }
        rows.extend(lines.map(|line| serde_json::from_str::<ResultRow>(line).unwrap()));
    }
    rows.sort_by_key(|row| row.row);
    rows
}
