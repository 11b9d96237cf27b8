//! Removing a batch with all that belongs to it.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, WriteRequest};
use domain::BatchId;
use domain::keys::budget_pool;
use domain::ports::PortResult;

use super::DynamoStore;
use super::items::{
    BATCH_SORT_KEY, Item, SORT_KEY, batch_key, batch_partition, key_of, provider_key, text,
};
use super::reading::{left_undone, pause_before};
use crate::error::{corrupt, fault, rejected};

const OPERATION: &str = "delete batch";
/// Most items in one `BatchWriteItem`.
const MAX_WRITES: usize = 25;
const MAX_ROUNDS: u32 = 8;

/// Deletes shards and marks page by page, then the batch with what it spent on labels, then what came to be in between. Once the batch is gone, no shard can be
/// created; a mark that still comes expires by itself.
pub(super) async fn delete(store: &DynamoStore, id: BatchId) -> PortResult<()> {
    delete_below(store, id).await?;
    store
        .client()
        .delete_item()
        .table_name(store.table())
        .set_key(Some(batch_key(id)))
        .send()
        .await
        .map_err(|error| fault(OPERATION, error))?;
    store
        .client()
        .delete_item()
        .table_name(store.table())
        .set_key(Some(provider_key(&budget_pool(id), &id.to_string())))
        .send()
        .await
        .map_err(|error| fault(OPERATION, error))?;
    delete_below(store, id).await
}

async fn delete_below(store: &DynamoStore, id: BatchId) -> PortResult<()> {
    let mut start: Option<HashMap<String, AttributeValue>> = None;
    loop {
        let answer = store
            .client()
            .query()
            .table_name(store.table())
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", batch_partition(id))
            .projection_expression("pk, sk")
            .consistent_read(true)
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(|error| fault(OPERATION, error))?;
        let mut keys = Vec::new();
        for item in answer.items.unwrap_or_default() {
            let sort_key = text(&item, SORT_KEY).map_err(|error| corrupt(OPERATION, error))?;
            if sort_key != BATCH_SORT_KEY {
                keys.push(key_of(item).map_err(|error| corrupt(OPERATION, error))?);
            }
        }
        for keys in keys.chunks(MAX_WRITES) {
            delete_keys(store, keys).await?;
        }
        start = answer.last_evaluated_key;
        if start.is_none() {
            return Ok(());
        }
    }
}

async fn delete_keys(store: &DynamoStore, keys: &[Item]) -> PortResult<()> {
    let mut requests = Vec::with_capacity(keys.len());
    for key in keys {
        let delete = DeleteRequest::builder()
            .set_key(Some(key.clone()))
            .build()
            .map_err(|error| rejected(OPERATION, error))?;
        requests.push(WriteRequest::builder().delete_request(delete).build());
    }
    for round in 0..MAX_ROUNDS {
        pause_before(round).await;
        let mut answer = store
            .client()
            .batch_write_item()
            .request_items(store.table(), requests)
            .send()
            .await
            .map_err(|error| fault(OPERATION, error))?;
        requests = answer
            .unprocessed_items
            .as_mut()
            .and_then(|tables| tables.remove(store.table()))
            .unwrap_or_default();
        if requests.is_empty() {
            return Ok(());
        }
    }
    Err(left_undone(OPERATION))
}
