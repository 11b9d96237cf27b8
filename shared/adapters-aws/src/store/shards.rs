//! Shards: counters that every part is added to once.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Put, ReturnValue, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem,
};
use domain::ports::{Commit, PartCommit, PortErrorKind, PortResult, RollUp, Shard};
use domain::{Batch, BatchId, ShardRef};

use super::items::{
    EXPIRES_AT, Item, SHARD_PREFIX, SORT_KEY, batch_key, batch_partition, count, number, shard_key,
    text,
};
use super::{DynamoStore, batches, reading, sums};
use crate::error::{Malformed, corrupt, fault, rejected};

const EXPECTED: &str = "expected";
/// The parts counted, each `<chunk>.<part>`. Missing until there is one: DynamoDB knows no empty set.
const DONE: &str = "done";

/// Looks at the batch and creates the shard in one transaction, so that no shard comes to be behind a deletion.
pub(super) async fn create(store: &DynamoStore, shard: ShardRef, expected: u32) -> PortResult<()> {
    const OPERATION: &str = "create shard";
    let batch_exists = ConditionCheck::builder()
        .table_name(store.table())
        .set_key(Some(batch_key(shard.batch)))
        .condition_expression("attribute_exists(pk)")
        .build()
        .map_err(|error| rejected(OPERATION, error))?;
    let mut item = shard_key(shard);
    item.insert(EXPECTED.to_owned(), number(expected));
    item.insert(EXPIRES_AT.to_owned(), store.expiry());
    let put = Put::builder()
        .table_name(store.table())
        .set_item(Some(item))
        .condition_expression("attribute_not_exists(pk)")
        .build()
        .map_err(|error| rejected(OPERATION, error))?;

    let answer = store
        .client()
        .transact_write_items()
        .transact_items(
            TransactWriteItem::builder()
                .condition_check(batch_exists)
                .build(),
        )
        .transact_items(TransactWriteItem::builder().put(put).build())
        .send()
        .await;
    let Err(error) = answer else {
        return Ok(());
    };
    match failed_condition(&error) {
        Some(0) => Err(rejected(
            OPERATION,
            format!("there is no batch {}", shard.batch),
        )),
        Some(_) => Ok(()),
        None => Err(transaction_fault(OPERATION, error)),
    }
}

/// The first of a transaction's conditions that was not met.
pub(super) fn failed_condition<R>(error: &SdkError<TransactWriteItemsError, R>) -> Option<usize> {
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) =
        error.as_service_error()
    else {
        return None;
    };
    cancelled
        .cancellation_reasons()
        .iter()
        .position(|reason| reason.code() == Some("ConditionalCheckFailed"))
}

/// As [`fault`]; a transaction that met others until its attempts were used up was asked too fast.
pub(super) fn transaction_fault(
    operation: &'static str,
    error: SdkError<
        TransactWriteItemsError,
        aws_smithy_runtime_api::client::orchestrator::HttpResponse,
    >,
) -> domain::ports::PortError {
    let met_another = error
        .as_service_error()
        .is_some_and(crate::clients::was_cancelled_by_another);
    let mut fault = fault(operation, error);
    if met_another {
        fault.kind = PortErrorKind::Throttled;
    }
    fault
}

/// Marks the part, adds its counters and waits for what is left over, all in one conditional update.
pub(super) async fn commit_part(store: &DynamoStore, commit: &PartCommit) -> PortResult<Commit> {
    const OPERATION: &str = "commit part";
    let part = format!("{}.{}", commit.part.chunk, commit.part.part);
    let mut sums = sums::of_counters(&commit.counters);
    let mut expected = i64::from(commit.has_leftover) + i64::from(commit.begins_labelling);
    if let Some(retracted) = &commit.retracted {
        sums.subtract(sums::of_counters(retracted));
        expected += 1;
    }
    sums.add(EXPECTED, expected);
    let mut addition = sums.into_addition();
    addition.actions.push("#done :parts".to_owned());
    addition.names.insert("#done".to_owned(), DONE.to_owned());
    for (name, value) in [
        (":parts", AttributeValue::Ss(vec![part.clone()])),
        (":part", AttributeValue::S(part)),
    ] {
        addition.values.insert(name.to_owned(), value);
    }

    let shard = commit.part.shard();
    let answer = store
        .client()
        .update_item()
        .table_name(store.table())
        .set_key(Some(shard_key(shard)))
        .update_expression(addition.expression())
        .condition_expression("attribute_exists(pk) AND NOT contains(#done, :part)")
        .set_expression_attribute_names(Some(addition.names))
        .set_expression_attribute_values(Some(addition.values))
        .return_values(ReturnValue::AllNew)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .send()
        .await;
    let (is_new, item) = match answer {
        Ok(answer) => (true, answer.attributes.unwrap_or_default()),
        Err(error) => match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failure)) => {
                let Some(item) = failure.item() else {
                    let reason =
                        format!("there is no shard {} of batch {}", shard.shard, shard.batch);
                    return Err(rejected(OPERATION, reason));
                };
                (false, item.clone())
            }
            _ => return Err(fault(OPERATION, error)),
        },
    };
    let shard = read(&item).map_err(|error| corrupt(OPERATION, error))?;
    Ok(Commit {
        is_new,
        shard_complete: shard.is_complete(),
    })
}

/// Reads the batch, then the shard, and writes only when there is something to mark, and only to the generation that was read. In that
/// order: a shard that is complete once the generation's messages are out stays so until the next generation begins.
pub(super) async fn close(store: &DynamoStore, shard: ShardRef) -> PortResult<Option<RollUp>> {
    const OPERATION: &str = "close shard";
    let Some(item) = reading::get(store, OPERATION, batch_key(shard.batch)).await? else {
        return Ok(None);
    };
    let is_marked = shards_done(&item).contains(&shard.shard.to_string());
    let (batch, roll_up) = roll_up(item).map_err(|error| corrupt(OPERATION, error))?;
    let is_being_looked_through = batch.generation() > 0 && !batch.is_fanned_out();
    if is_marked || is_being_looked_through || !is_complete(store, OPERATION, shard).await? {
        return Ok(Some(roll_up));
    }

    let answer = store
        .client()
        .update_item()
        .table_name(store.table())
        .set_key(Some(batch_key(shard.batch)))
        .update_expression("ADD #shards_done :shards")
        .condition_expression(format!(
            "attribute_exists(pk) AND {} AND NOT contains(#shards_done, :shard)",
            batches::IN_GENERATION
        ))
        .expression_attribute_names("#shards_done", batches::SHARDS_DONE)
        .expression_attribute_names("#retries", batches::RETRIES)
        .expression_attribute_values(":shards", AttributeValue::Ns(vec![shard.shard.to_string()]))
        .expression_attribute_values(":shard", AttributeValue::N(shard.shard.to_string()))
        .expression_attribute_values(":generation", number(batch.generation()))
        .return_values(ReturnValue::AllNew)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .send()
        .await;
    let is_new = answer.is_ok();
    let item = match answer {
        Ok(answer) => answer.attributes,
        Err(error) => match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failure)) => {
                failure.item().cloned()
            }
            _ => return Err(fault(OPERATION, error)),
        },
    };
    let Some(item) = item else {
        return Ok(None);
    };
    let (_, roll_up) = self::roll_up(item).map_err(|error| corrupt(OPERATION, error))?;
    Ok(Some(RollUp { is_new, ..roll_up }))
}

async fn is_complete(
    store: &DynamoStore,
    operation: &'static str,
    shard: ShardRef,
) -> PortResult<bool> {
    let Some(item) = reading::get(store, operation, shard_key(shard)).await? else {
        return Ok(false);
    };
    let shard = read(&item).map_err(|error| corrupt(operation, error))?;
    Ok(shard.is_complete())
}

fn shards_done(batch: &Item) -> &[String] {
    batch
        .get(batches::SHARDS_DONE)
        .and_then(|value| value.as_ns().ok())
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn roll_up(item: Item) -> Result<(Batch, RollUp), Malformed> {
    let shards_done = shards_done(&item).len() as u32;
    let batch = batches::read(item)?;
    let totals = batch.totals.filter(|_| batch.is_fanned_out());
    let roll_up = RollUp {
        status: batch.status,
        shards: totals.map(|totals| totals.shards),
        shards_done,
        is_new: false,
    };
    Ok((batch, roll_up))
}

pub(super) async fn list(store: &DynamoStore, batch: BatchId) -> PortResult<Vec<Shard>> {
    const OPERATION: &str = "read shards";
    let mut shards = Vec::new();
    let mut start: Option<HashMap<String, AttributeValue>> = None;
    loop {
        let answer = store
            .client()
            .query()
            .table_name(store.table())
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", batch_partition(batch))
            .expression_attribute_values(":prefix", AttributeValue::S(SHARD_PREFIX.to_owned()))
            .consistent_read(true)
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(|error| fault(OPERATION, error))?;
        for item in answer.items() {
            shards.push(read(item).map_err(|error| corrupt(OPERATION, error))?);
        }
        start = answer.last_evaluated_key;
        if start.is_none() {
            return Ok(shards);
        }
    }
}

fn read(item: &Item) -> Result<Shard, Malformed> {
    let shard = text(item, SORT_KEY)?
        .strip_prefix(SHARD_PREFIX)
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| Malformed::Attribute(SORT_KEY.to_owned()))?;
    let done = match item.get(DONE) {
        Some(parts) => parts
            .as_ss()
            .map_err(|_| Malformed::Attribute(DONE.to_owned()))?
            .len() as u32,
        None => 0,
    };
    Ok(Shard {
        shard,
        expected: count(item, EXPECTED)?,
        done,
        counters: sums::to_counters(item)?,
    })
}
