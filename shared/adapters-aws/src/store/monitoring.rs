//! Vitals in the items of the minutes, hosts that give trouble in items of their own, and documents that operators set.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::ports::{PortResult, TroubledHost};
use domain::{HostTally, Minute, PartRef, Vitals};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::items::{
    Item, PARTITION_KEY, document_key, hosts_key, hosts_partition, minute_key, text,
};
use super::{DynamoStore, reading, sums};
use crate::error::{Malformed, corrupt, fault, rejected};

/// Attribute with a map of hosts, or a document, as JSON.
const JSON: &str = "json";
/// Requests of one call under way at once.
const CONCURRENT_READS: usize = 8;
/// Sums in one update: their expression stays well below 4 KB.
const SUMS_AT_ONCE: usize = 150;

pub(super) async fn add_vitals(
    store: &DynamoStore,
    minute: Minute,
    vitals: &Vitals,
) -> PortResult<()> {
    const OPERATION: &str = "add vitals";
    for sums in sums::of_vitals(vitals).in_pieces(SUMS_AT_ONCE) {
        let addition = sums.into_addition();
        if addition.actions.is_empty() {
            continue;
        }
        let addition = addition.expiring(store.expiry());
        store
            .client()
            .update_item()
            .table_name(store.table())
            .set_key(Some(minute_key(minute)))
            .update_expression(addition.expression())
            .set_expression_attribute_names(Some(addition.names))
            .set_expression_attribute_values(Some(addition.values))
            .send()
            .await
            .map_err(|error| fault(OPERATION, error))?;
    }
    Ok(())
}

/// The item that names the hosts which gave trouble in a part.
pub(super) fn hosts_item(
    part: PartRef,
    minute: Minute,
    hosts: &BTreeMap<String, HostTally>,
) -> Result<Item, serde_json::Error> {
    let mut item = hosts_key(minute, part);
    item.insert(
        JSON.to_owned(),
        AttributeValue::S(serde_json::to_string(hosts)?),
    );
    Ok(item)
}

/// One page a minute: a megabyte, some thousand parts.
pub(super) async fn troubled_hosts(
    store: &DynamoStore,
    from: Minute,
    to: Minute,
) -> PortResult<Vec<TroubledHost>> {
    let minutes: Vec<Minute> = (from.0..=to.0).map(Minute).collect();
    let reads = minutes.into_iter().map(|minute| hosts_of(store, minute));
    let found: Vec<Vec<TroubledHost>> = stream::iter(reads.collect::<Vec<_>>())
        .buffer_unordered(CONCURRENT_READS)
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().collect())
}

async fn hosts_of(store: &DynamoStore, minute: Minute) -> PortResult<Vec<TroubledHost>> {
    const OPERATION: &str = "read troubled hosts";
    let answer = store
        .client()
        .query()
        .table_name(store.table())
        .key_condition_expression("#pk = :pk")
        .expression_attribute_names("#pk", PARTITION_KEY)
        .expression_attribute_values(":pk", hosts_partition(minute))
        .send()
        .await
        .map_err(|error| fault(OPERATION, error))?;
    let mut found = Vec::new();
    for item in answer.items() {
        let hosts: BTreeMap<String, HostTally> = text(item, JSON)
            .and_then(parsed)
            .map_err(|error| corrupt(OPERATION, error))?;
        found.extend(hosts.into_iter().map(|(host, tally)| TroubledHost {
            minute,
            host,
            tally,
        }));
    }
    Ok(found)
}

fn parsed<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, Malformed> {
    serde_json::from_str(json).map_err(|_| Malformed::Attribute(JSON.to_owned()))
}

pub(super) async fn document(store: &DynamoStore, name: &str) -> PortResult<Option<Value>> {
    const OPERATION: &str = "read document";
    let item = reading::get(store, OPERATION, document_key(name)).await?;
    let document = item.map(|item| text(&item, JSON).and_then(parsed));
    document
        .transpose()
        .map_err(|error| corrupt(OPERATION, error))
}

pub(super) async fn set_document(
    store: &DynamoStore,
    name: &str,
    document: &Value,
) -> PortResult<()> {
    const OPERATION: &str = "set document";
    let json = serde_json::to_string(document).map_err(|error| rejected(OPERATION, error))?;
    let mut item = document_key(name);
    item.insert(JSON.to_owned(), AttributeValue::S(json));
    store
        .client()
        .put_item()
        .table_name(store.table())
        .set_item(Some(item))
        .send()
        .await
        .map_err(|error| fault(OPERATION, error))?;
    Ok(())
}
