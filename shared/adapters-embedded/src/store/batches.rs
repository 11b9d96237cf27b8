//! Batches: one JSON document a row.

use domain::ports::{Advance, BatchChange, BatchQuery, Creation, Page};
use domain::{Batch, BatchId, BatchStatus, Retry};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, ToSql, Transaction, params};

use crate::error::Fault;

pub(super) fn create(transaction: &Transaction<'_>, batch: &Batch) -> Result<Creation, Fault> {
    let inserted = transaction
        .prepare_cached(
            "INSERT INTO batch (id, document) VALUES (?, ?) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![batch.id.to_string(), serde_json::to_string(batch)?])?;
    Ok(if inserted == 1 {
        Creation::Created
    } else {
        Creation::AlreadyThere
    })
}

pub(super) fn find(transaction: &Transaction<'_>, id: BatchId) -> Result<Option<Batch>, Fault> {
    let document: Option<String> = transaction
        .prepare_cached("SELECT document FROM batch WHERE id = ?")?
        .query_row([id.to_string()], |row| row.get(0))
        .optional()?;
    match document {
        Some(document) => Ok(Some(serde_json::from_str(&document)?)),
        None => Ok(None),
    }
}

pub(super) fn list(
    transaction: &Transaction<'_>,
    query: &BatchQuery,
) -> Result<Page<Batch>, Fault> {
    let before = query.before.map(|id| id.to_string());
    let status = query.status.map(BatchStatus::as_str);
    // One more than asked for tells whether there is more.
    let limit = i64::try_from(query.limit.saturating_add(1)).unwrap_or(i64::MAX);

    // Conditions that are not asked for are left out, so that the index for the others is used.
    let mut conditions = Vec::new();
    let mut values: Vec<(&str, &dyn ToSql)> = vec![(":limit", &limit)];
    if let Some(owner) = &query.owner {
        conditions.push("owner = :owner");
        values.push((":owner", owner));
    }
    if let Some(status) = &status {
        conditions.push("status = :status");
        values.push((":status", status));
    }
    if query.without_report {
        // Word for word the condition of the index `batch_without_report`, or it is not used.
        conditions.push("document ->> '$.report_ready' = 0");
    }
    if let Some(before) = &before {
        conditions.push("id < :before");
        values.push((":before", before));
    }
    let mut sql = "SELECT document FROM batch".to_owned();
    if !conditions.is_empty() {
        sql.push_str(" WHERE ");
        sql.push_str(&conditions.join(" AND "));
    }
    // A ULID starts with its time: by id is by age.
    sql.push_str(" ORDER BY id DESC LIMIT :limit");

    let mut statement = transaction.prepare_cached(&sql)?;
    let mut rows = statement.query(values.as_slice())?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        if items.len() == query.limit {
            return Ok(Page { items, more: true });
        }
        let document = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        items.push(serde_json::from_str(document)?);
    }
    Ok(Page { items, more: false })
}

pub(super) fn advance(
    transaction: &Transaction<'_>,
    id: BatchId,
    from: &[BatchStatus],
    change: BatchChange,
    now: Timestamp,
) -> Result<Advance, Fault> {
    let Some(mut batch) = find(transaction, id)? else {
        return Ok(Advance::Missing);
    };
    let is_other_generation = change
        .in_generation
        .is_some_and(|generation| generation != batch.generation());
    if !from.contains(&batch.status) || is_other_generation {
        return Ok(Advance::Stays(batch.status));
    }
    apply(&mut batch, change);
    batch.updated_at = now;
    update(transaction, &batch)?;
    Ok(Advance::Moved)
}

fn update(transaction: &Transaction<'_>, batch: &Batch) -> Result<(), Fault> {
    transaction
        .prepare_cached("UPDATE batch SET document = ? WHERE id = ?")?
        .execute(params![serde_json::to_string(batch)?, batch.id.to_string()])?;
    Ok(())
}

pub(super) fn begin_retry(
    transaction: &Transaction<'_>,
    id: BatchId,
    generation: u32,
    retry: Retry,
    now: Timestamp,
) -> Result<Advance, Fault> {
    let Some(mut batch) = find(transaction, id)? else {
        return Ok(Advance::Missing);
    };
    let has_ended = matches!(
        batch.status,
        BatchStatus::Completed | BatchStatus::Cancelled
    );
    let is_next = batch.generation() + 1 == generation;
    if !has_ended || !is_next || !batch.report_ready || batch.deleting {
        return Ok(Advance::Stays(batch.status));
    }
    batch.status = BatchStatus::Splitting;
    batch.retries.push(retry);
    batch.checkpoint.chunks = 0;
    batch.checkpoint.rows = 0;
    batch.ended_at = None;
    batch.finalize_sent = false;
    batch.report_ready = false;
    batch.updated_at = now;
    update(transaction, &batch)?;
    transaction
        .prepare_cached("UPDATE shard SET closed = 0 WHERE batch = ?")?
        .execute([id.to_string()])?;
    Ok(Advance::Moved)
}

fn apply(batch: &mut Batch, change: BatchChange) {
    // Taken apart by name, so that a new field cannot be forgotten here.
    let BatchChange {
        status,
        list_bytes,
        started_at,
        ended_at,
        failure,
        checkpoint,
        totals,
        finalize_sent,
        report_ready,
        max_concurrency,
        deleting,
        in_generation: _,
    } = change;
    batch.status = status.unwrap_or(batch.status);
    if let Some(bytes) = list_bytes {
        batch.list_bytes = bytes;
        batch.awaits_list = false;
    }
    batch.started_at = started_at.or(batch.started_at);
    batch.ended_at = ended_at.or(batch.ended_at);
    batch.failure = failure.or(batch.failure.take());
    batch.checkpoint = checkpoint.unwrap_or(batch.checkpoint);
    batch.totals = totals.or(batch.totals);
    batch.finalize_sent = finalize_sent.unwrap_or(batch.finalize_sent);
    batch.report_ready = report_ready.unwrap_or(batch.report_ready);
    batch.max_concurrency = max_concurrency.or(batch.max_concurrency);
    batch.deleting = deleting.unwrap_or(batch.deleting);
}

/// Removes the batch and, by reference, its shards and their parts.
pub(super) fn delete(transaction: &Transaction<'_>, id: BatchId) -> Result<(), Fault> {
    transaction
        .prepare_cached("DELETE FROM batch WHERE id = ?")?
        .execute([id.to_string()])?;
    Ok(())
}
