//! Tokens, one JSON document a row, and counters of their use.

use domain::ports::Creation;
use domain::{AccessToken, TokenHash};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};

use crate::error::Fault;

pub(super) fn create(
    transaction: &Transaction<'_>,
    token: &AccessToken,
) -> Result<Creation, Fault> {
    let inserted = transaction
        .prepare_cached(
            "INSERT INTO token (sha256, document) VALUES (?, ?) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            token.sha256.to_string(),
            serde_json::to_string(token)?
        ])?;
    Ok(if inserted == 1 {
        Creation::Created
    } else {
        Creation::AlreadyThere
    })
}

pub(super) fn find(
    transaction: &Transaction<'_>,
    hash: TokenHash,
) -> Result<Option<AccessToken>, Fault> {
    let document: Option<String> = transaction
        .prepare_cached("SELECT document FROM token WHERE sha256 = ?")?
        .query_row([hash.to_string()], |row| row.get(0))
        .optional()?;
    match document {
        Some(document) => Ok(Some(serde_json::from_str(&document)?)),
        None => Ok(None),
    }
}

pub(super) fn list(transaction: &Transaction<'_>) -> Result<Vec<AccessToken>, Fault> {
    let mut statement = transaction.prepare_cached("SELECT document FROM token ORDER BY name")?;
    let mut rows = statement.query([])?;
    let mut tokens = Vec::new();
    while let Some(row) = rows.next()? {
        let document = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        tokens.push(serde_json::from_str(document)?);
    }
    Ok(tokens)
}

pub(super) fn revoke(
    transaction: &Transaction<'_>,
    name: &str,
    now: Timestamp,
) -> Result<bool, Fault> {
    let document: Option<String> = transaction
        .prepare_cached("SELECT document FROM token WHERE name = ?")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    let Some(document) = document else {
        return Ok(false);
    };
    let mut token: AccessToken = serde_json::from_str(&document)?;
    token.revoked_at = token.revoked_at.or(Some(now));
    transaction
        .prepare_cached("UPDATE token SET document = ? WHERE name = ?")?
        .execute(params![serde_json::to_string(&token)?, name])?;
    Ok(true)
}

/// No counter is of use for longer, a day and an hour: what expires so long before another one has expired by now, whatever clock the
/// caller goes by.
const LONGEST_USE_S: i64 = 25 * 60 * 60;

/// Counters are few, and the expired ones among them fewer: each count removes them all.
pub(super) fn count(
    transaction: &Transaction<'_>,
    counter: &str,
    amount: u64,
    expires_at: Timestamp,
) -> Result<u64, Fault> {
    transaction
        .prepare_cached("DELETE FROM use_count WHERE expires_at <= ?")?
        .execute([expires_at.as_second() - LONGEST_USE_S])?;
    let amount = i64::try_from(amount).unwrap_or(i64::MAX);
    let uses: i64 = transaction
        .prepare_cached(
            "INSERT INTO use_count (counter, uses, expires_at) VALUES (?, ?, ?)
             ON CONFLICT (counter) DO UPDATE SET uses = uses + excluded.uses
             RETURNING uses",
        )?
        .query_row(params![counter, amount, expires_at.as_second()], |row| {
            row.get(0)
        })?;
    Ok(uses.unsigned_abs())
}
