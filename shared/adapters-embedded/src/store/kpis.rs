//! Key performance indicators: one JSON document a minute.

use std::collections::BTreeMap;

use domain::{BatchId, KpiDelta, Minute, PartRef};
use rusqlite::{OptionalExtension, Transaction, params};

use super::monitoring;
use crate::error::Fault;

pub(super) fn add(
    transaction: &Transaction<'_>,
    part: PartRef,
    minute: Minute,
    delta: KpiDelta,
) -> Result<bool, Fault> {
    let marked = transaction
        .prepare_cached(
            "INSERT INTO kpi_part (batch, chunk, part) VALUES (?, ?, ?)
             ON CONFLICT (batch, chunk, part) DO NOTHING",
        )?
        .execute(params![part.batch.to_string(), part.chunk, part.part])?;
    if marked == 0 {
        return Ok(false);
    }

    monitoring::add_hosts(transaction, minute, &delta.hosts)?;
    let delta = KpiDelta {
        hosts: BTreeMap::new(),
        ..delta
    };
    add_to_minute(transaction, minute, delta)?;
    Ok(true)
}

/// Adds to the sums of a minute, whatever was added before.
pub(super) fn add_to_minute(
    transaction: &Transaction<'_>,
    minute: Minute,
    delta: KpiDelta,
) -> Result<(), Fault> {
    let stored: Option<String> = transaction
        .prepare_cached("SELECT delta FROM kpi WHERE minute = ?")?
        .query_row([minute.0], |row| row.get(0))
        .optional()?;
    let mut sum = delta;
    if let Some(stored) = stored {
        sum += &serde_json::from_str(&stored)?;
    }
    transaction
        .prepare_cached(
            "INSERT INTO kpi (minute, delta) VALUES (?, ?)
             ON CONFLICT (minute) DO UPDATE SET delta = excluded.delta",
        )?
        .execute(params![minute.0, serde_json::to_string(&sum)?])?;
    Ok(())
}

pub(super) fn list(
    transaction: &Transaction<'_>,
    from: Minute,
    to: Minute,
) -> Result<Vec<(Minute, KpiDelta)>, Fault> {
    let mut statement = transaction.prepare_cached(
        "SELECT minute, delta FROM kpi WHERE minute BETWEEN ? AND ? ORDER BY minute",
    )?;
    let mut rows = statement.query([from.0, to.0])?;
    let mut minutes = Vec::new();
    while let Some(row) = rows.next()? {
        let delta = row
            .get_ref("delta")?
            .as_str()
            .map_err(rusqlite::Error::from)?;
        minutes.push((Minute(row.get("minute")?), serde_json::from_str(delta)?));
    }
    Ok(minutes)
}

/// Forgets every minute before this one.
pub(super) fn forget(transaction: &Transaction<'_>, before: Minute) -> Result<u64, Fault> {
    let forgotten = transaction
        .prepare_cached("DELETE FROM kpi WHERE minute < ?")?
        .execute([before.0])?;
    Ok(forgotten as u64)
}

/// Forgets which parts of the batch were added; what they added stays in the sums.
pub(super) fn forget_parts(transaction: &Transaction<'_>, batch: BatchId) -> Result<(), Fault> {
    transaction
        .prepare_cached("DELETE FROM kpi_part WHERE batch = ?")?
        .execute([batch.to_string()])?;
    Ok(())
}
