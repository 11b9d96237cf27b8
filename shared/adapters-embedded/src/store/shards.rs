//! Shards: counters that every part is added to once.

use domain::ports::{Commit, PartCommit, RollUp, Shard};
use domain::{BatchId, Counters, ShardRef};
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::batches;
use crate::error::Fault;

pub(super) fn create(
    transaction: &Transaction<'_>,
    shard: ShardRef,
    expected: u32,
) -> Result<(), Fault> {
    transaction
        .prepare_cached(
            "INSERT INTO shard (batch, shard, expected, counters) VALUES (?, ?, ?, ?)
             ON CONFLICT (batch, shard) DO NOTHING",
        )?
        .execute(params![
            shard.batch.to_string(),
            shard.shard,
            expected,
            serde_json::to_string(&Counters::default())?
        ])?;
    Ok(())
}

pub(super) fn commit_part(
    transaction: &Transaction<'_>,
    commit: &PartCommit,
) -> Result<Commit, Fault> {
    let reference = commit.part.shard();
    let Some(mut shard) = find(transaction, reference)? else {
        return Err(Fault::Rejected(format!(
            "there is no shard {} of batch {}",
            reference.shard, reference.batch
        )));
    };

    let batch = reference.batch.to_string();
    let marked = transaction
        .prepare_cached(
            "INSERT INTO part_done (batch, shard, chunk, part) VALUES (?, ?, ?, ?)
             ON CONFLICT (batch, shard, chunk, part) DO NOTHING",
        )?
        .execute(params![
            batch,
            reference.shard,
            commit.part.chunk,
            commit.part.part
        ])?;
    let is_new = marked == 1;
    if is_new {
        shard.done += 1;
        shard.expected += u32::from(commit.has_leftover) + u32::from(commit.begins_labelling);
        shard.counters += &commit.counters;
        if let Some(retracted) = &commit.retracted {
            shard.expected += 1;
            shard.counters -= retracted;
        }
        transaction
            .prepare_cached(
                "UPDATE shard SET expected = ?, done = ?, counters = ? WHERE batch = ? AND shard = ?",
            )?
            .execute(params![
                shard.expected,
                shard.done,
                serde_json::to_string(&shard.counters)?,
                batch,
                reference.shard
            ])?;
    }
    Ok(Commit {
        is_new,
        shard_complete: shard.is_complete(),
    })
}

pub(super) fn close(
    transaction: &Transaction<'_>,
    shard: ShardRef,
) -> Result<Option<RollUp>, Fault> {
    let Some(batch) = batches::find(transaction, shard.batch)? else {
        return Ok(None);
    };
    let id = shard.batch.to_string();
    let is_fanned_out = batch.is_fanned_out();
    let mut marked = 0;
    if is_fanned_out || batch.generation() == 0 {
        marked = transaction
            .prepare_cached(
                "UPDATE shard SET closed = 1
                 WHERE batch = ? AND shard = ? AND closed = 0 AND done >= expected",
            )?
            .execute(params![id, shard.shard])?;
    }
    let shards_done = transaction
        .prepare_cached("SELECT count(*) FROM shard WHERE batch = ? AND closed = 1")?
        .query_row([id], |row| row.get(0))?;
    Ok(Some(RollUp {
        status: batch.status,
        shards: batch
            .totals
            .filter(|_| is_fanned_out)
            .map(|totals| totals.shards),
        shards_done,
        is_new: marked > 0,
    }))
}

pub(super) fn list(transaction: &Transaction<'_>, batch: BatchId) -> Result<Vec<Shard>, Fault> {
    let mut statement = transaction.prepare_cached(
        "SELECT shard, expected, done, counters FROM shard WHERE batch = ? ORDER BY shard",
    )?;
    let mut rows = statement.query([batch.to_string()])?;
    let mut shards = Vec::new();
    while let Some(row) = rows.next()? {
        shards.push(read(row)?);
    }
    Ok(shards)
}

fn find(transaction: &Transaction<'_>, shard: ShardRef) -> Result<Option<Shard>, Fault> {
    transaction
        .prepare_cached(
            "SELECT shard, expected, done, counters FROM shard WHERE batch = ? AND shard = ?",
        )?
        .query_row(params![shard.batch.to_string(), shard.shard], |row| {
            Ok(read(row))
        })
        .optional()?
        .transpose()
}

fn read(row: &Row<'_>) -> Result<Shard, Fault> {
    let counters: String = row.get("counters")?;
    Ok(Shard {
        shard: row.get("shard")?,
        expected: row.get("expected")?,
        done: row.get("done")?,
        counters: serde_json::from_str(&counters)?,
    })
}
