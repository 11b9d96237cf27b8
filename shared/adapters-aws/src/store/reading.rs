//! Items by their keys, each as it is now.

use std::time::Duration;

use aws_sdk_dynamodb::types::KeysAndAttributes;
use domain::ports::{PortError, PortErrorKind, PortResult};

use super::DynamoStore;
use super::items::Item;
use crate::error::{fault, rejected};

/// Most keys in one `BatchGetItem`.
pub(super) const MAX_KEYS: usize = 100;
/// How often what a request left undone is asked for again.
const MAX_ROUNDS: u32 = 8;

/// The item of a key, if it exists.
pub(super) async fn get(
    store: &DynamoStore,
    operation: &'static str,
    key: Item,
) -> PortResult<Option<Item>> {
    let answer = store
        .client()
        .get_item()
        .table_name(store.table())
        .set_key(Some(key))
        .consistent_read(true)
        .send()
        .await
        .map_err(|error| fault(operation, error))?;
    Ok(answer.item)
}

/// The items of these keys that exist, in no particular order. At most [`MAX_KEYS`] keys, all different.
pub(super) async fn get_all(
    store: &DynamoStore,
    operation: &'static str,
    keys: Vec<Item>,
) -> PortResult<Vec<Item>> {
    let mut items = Vec::with_capacity(keys.len());
    let mut missing = keys;
    for round in 0..MAX_ROUNDS {
        if missing.is_empty() {
            return Ok(items);
        }
        pause_before(round).await;
        let request = KeysAndAttributes::builder()
            .set_keys(Some(missing))
            .consistent_read(true)
            .build()
            .map_err(|error| rejected(operation, error))?;
        let mut answer = store
            .client()
            .batch_get_item()
            .request_items(store.table(), request)
            .send()
            .await
            .map_err(|error| fault(operation, error))?;
        if let Some(found) = answer
            .responses
            .as_mut()
            .and_then(|tables| tables.remove(store.table()))
        {
            items.extend(found);
        }
        missing = answer
            .unprocessed_keys
            .as_mut()
            .and_then(|tables| tables.remove(store.table()))
            .map(|rest| rest.keys)
            .unwrap_or_default();
    }
    if missing.is_empty() {
        return Ok(items);
    }
    Err(left_undone(operation))
}

/// Waits before asking again for what a request left undone: a random time, longer from round to round; not before the first.
pub(super) async fn pause_before(round: u32) {
    if round > 0 {
        let bound = 50_u64 << round.min(5);
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..=bound))).await;
    }
}

/// The table left part of a request undone again and again: that is how it throttles these.
pub(super) fn left_undone(operation: &'static str) -> PortError {
    PortError::new(
        PortErrorKind::Throttled,
        operation,
        "the table left part of the request undone",
    )
}
