//! What is set for the whole system, and requests that must not be carried out twice.

use domain::ports::{Intake, KeyClaim};
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::error::Fault;

/// Name of the setting that holds an [`Intake`].
const INTAKE: &str = "intake";

pub(super) fn intake(transaction: &Transaction<'_>) -> Result<Intake, Fault> {
    let document: Option<String> = transaction
        .prepare_cached("SELECT value FROM setting WHERE name = ?")?
        .query_row([INTAKE], |row| row.get(0))
        .optional()?;
    match document {
        Some(document) => Ok(serde_json::from_str(&document)?),
        None => Ok(Intake::default()),
    }
}

pub(super) fn set_intake(transaction: &Transaction<'_>, intake: Intake) -> Result<(), Fault> {
    let document = serde_json::to_string(&intake)?;
    transaction
        .prepare_cached(
            "INSERT INTO setting (name, value) VALUES (?, ?)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        )?
        .execute([INTAKE, &document])?;
    Ok(())
}

/// Claims are few, and the expired ones among them fewer: each claim removes them all.
pub(super) fn claim_key(
    transaction: &Transaction<'_>,
    claim: &KeyClaim,
    now: Timestamp,
) -> Result<KeyClaim, Fault> {
    transaction
        .prepare_cached("DELETE FROM idempotency_key WHERE expires_at <= ?")?
        .execute([now.as_millisecond()])?;
    transaction
        .prepare_cached(
            "INSERT INTO idempotency_key (owner, key, request_sha256, batch, expires_at) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (owner, key) DO NOTHING",
        )?
        .execute(params![
            claim.owner,
            claim.key,
            claim.request_sha256,
            claim.batch.to_string(),
            claim.expires_at.as_millisecond()
        ])?;
    transaction
        .prepare_cached(
            "SELECT owner, key, request_sha256, batch, expires_at FROM idempotency_key WHERE owner = ? AND key = ?",
        )?
        .query_row([&claim.owner, &claim.key], |row| Ok(read(row)))?
}

fn read(row: &Row<'_>) -> Result<KeyClaim, Fault> {
    let batch: String = row.get("batch")?;
    let expires_at = Timestamp::from_millisecond(row.get("expires_at")?);
    let unreadable = |error: Box<dyn std::error::Error + Send + Sync>| {
        rusqlite::Error::FromSqlConversionFailure(0, Type::Text, error)
    };
    Ok(KeyClaim {
        owner: row.get("owner")?,
        key: row.get("key")?,
        request_sha256: row.get("request_sha256")?,
        batch: batch
            .parse()
            .map_err(|error: domain::InvalidId| unreadable(error.into()))?,
        expires_at: expires_at.map_err(|error| unreadable(error.into()))?,
    })
}
