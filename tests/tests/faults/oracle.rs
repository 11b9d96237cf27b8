//! What must hold after any storm, found out without the pipeline: by recounting the result objects.

use std::collections::BTreeMap;

use domain::ports::Queue;
use domain::{BatchId, BatchStatus, Counters, KpiDelta, Minute, Outcome, ResultRow, keys};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
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
}

/// Which promise is broken, if one is.
pub(crate) async fn judge(
    ports: &Ports,
    chaos: &Chaos,
    expected: &Expected<'_>,
) -> Result<BTreeMap<Outcome, u64>, String> {
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
    if rows.len() != expected.urls.len() {
        let (rows, urls) = (rows.len(), expected.urls.len());
        return Err(format!("{rows} results for {urls} rows"));
    }
    let recounted: Counters = rows.iter().collect();
    let counted = progress::total(ports, id).await.unwrap();
    if counted != recounted {
        return Err(format!(
            "counted as {:?}, but the results are {:?}",
            counted.by_outcome, recounted.by_outcome
        ));
    }
    judge_end(ports, chaos, id, &recounted).await?;
    judge_indicators(ports, chaos, &recounted).await?;
    Ok(recounted.by_outcome)
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
