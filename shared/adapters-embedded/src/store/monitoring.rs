//! Vitals in the rows of the minutes, hosts that give trouble beside them, and documents that operators set.

use std::collections::BTreeMap;

use domain::ports::TroubledHost;
use domain::{HostTally, KpiDelta, Minute, Vitals};
use rusqlite::{OptionalExtension, Transaction, params};
use serde_json::Value;

use super::kpis;
use crate::error::Fault;

/// Hosts told apart in a minute.
const MAX_HOSTS: i64 = 500;
/// Hosts are kept for two days.
const KEPT_MINUTES: i64 = 2 * 24 * 60;

pub(super) fn add_vitals(
    transaction: &Transaction<'_>,
    minute: Minute,
    vitals: Vitals,
) -> Result<(), Fault> {
    let delta = KpiDelta {
        vitals,
        ..KpiDelta::default()
    };
    kpis::add_to_minute(transaction, minute, delta)
}

pub(super) fn add_hosts(
    transaction: &Transaction<'_>,
    minute: Minute,
    hosts: &BTreeMap<String, HostTally>,
) -> Result<(), Fault> {
    if hosts.is_empty() {
        return Ok(());
    }
    transaction
        .prepare_cached("DELETE FROM troubled_host WHERE minute < ?")?
        .execute([minute.0 - KEPT_MINUTES])?;
    for (host, tally) in hosts {
        let stored: Option<String> = transaction
            .prepare_cached("SELECT tally FROM troubled_host WHERE minute = ? AND host = ?")?
            .query_row(params![minute.0, host], |row| row.get(0))
            .optional()?;
        let mut sum = tally.clone();
        if let Some(stored) = stored {
            sum += &serde_json::from_str(&stored)?;
        } else {
            let hosts: i64 = transaction
                .prepare_cached("SELECT count(*) FROM troubled_host WHERE minute = ?")?
                .query_row([minute.0], |row| row.get(0))?;
            if hosts >= MAX_HOSTS {
                continue;
            }
        }
        transaction
            .prepare_cached(
                "INSERT INTO troubled_host (minute, host, tally) VALUES (?, ?, ?)
                 ON CONFLICT (minute, host) DO UPDATE SET tally = excluded.tally",
            )?
            .execute(params![minute.0, host, serde_json::to_string(&sum)?])?;
    }
    Ok(())
}

pub(super) fn troubled_hosts(
    transaction: &Transaction<'_>,
    from: Minute,
    to: Minute,
) -> Result<Vec<TroubledHost>, Fault> {
    let mut statement = transaction.prepare_cached(
        "SELECT minute, host, tally FROM troubled_host WHERE minute BETWEEN ? AND ?",
    )?;
    let mut rows = statement.query([from.0, to.0])?;
    let mut hosts = Vec::new();
    while let Some(row) = rows.next()? {
        let tally = row
            .get_ref("tally")?
            .as_str()
            .map_err(rusqlite::Error::from)?;
        hosts.push(TroubledHost {
            minute: Minute(row.get("minute")?),
            host: row.get("host")?,
            tally: serde_json::from_str(tally)?,
        });
    }
    Ok(hosts)
}

/// Documents share their table with the other settings, under names of their own.
fn setting_of(name: &str) -> String {
    format!("document/{name}")
}

pub(super) fn document(transaction: &Transaction<'_>, name: &str) -> Result<Option<Value>, Fault> {
    let document: Option<String> = transaction
        .prepare_cached("SELECT value FROM setting WHERE name = ?")?
        .query_row([setting_of(name)], |row| row.get(0))
        .optional()?;
    match document {
        Some(document) => Ok(Some(serde_json::from_str(&document)?)),
        None => Ok(None),
    }
}

pub(super) fn set_document(
    transaction: &Transaction<'_>,
    name: &str,
    document: &Value,
) -> Result<(), Fault> {
    transaction
        .prepare_cached(
            "INSERT INTO setting (name, value) VALUES (?, ?)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )?
        .execute(params![setting_of(name), document.to_string()])?;
    Ok(())
}
