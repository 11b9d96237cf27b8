//! Batches: one item each, its fields as attributes.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use domain::ports::{Advance, BatchChange, Creation, PortResult};
use domain::{Batch, BatchId, BatchStatus, Retry};
use jiff::Timestamp;
use serde::Serialize;

use super::items::{EXPIRES_AT, Item, batch_key, text};
use super::{DynamoStore, reading, write_mark};
use crate::error::{Malformed, corrupt, fault, rejected};

/// Sort key of both indexes: the id, which sorts by age.
pub(super) const CREATED: &str = "created";
pub(super) const OWNER: &str = "owner";
/// Partition key of the index by state: [`index_status`], which is more than the state.
pub(super) const STATUS: &str = "status";
/// The numbers of the shards that are closed; missing until there is one.
pub(super) const SHARDS_DONE: &str = "shards_done";
pub(super) const RETRIES: &str = "retries";
/// The condition that a batch is in the generation `:generation`.
pub(super) const IN_GENERATION: &str = "size(#retries) = :generation";
/// Which call wrote the item last, see [`write_mark`].
const WRITTEN_BY: &str = "written_by";
/// Batches that have ended and have their report are listed apart, so that the few without one are found among any number of others.
const REPORTED_SUFFIX: &str = "#REPORTED";

/// What the index by state knows a batch under.
pub(super) fn index_status(status: BatchStatus, report_ready: bool) -> &'static str {
    match status {
        BatchStatus::Completed if report_ready => "COMPLETED#REPORTED",
        BatchStatus::Failed if report_ready => "FAILED#REPORTED",
        BatchStatus::Cancelled if report_ready => "CANCELLED#REPORTED",
        _ => status.as_str(),
    }
}

/// All that the index knows batches of a state under.
pub(super) fn index_statuses(status: BatchStatus) -> Vec<&'static str> {
    let mut names = vec![index_status(status, false), index_status(status, true)];
    names.dedup();
    names
}

pub(super) async fn create(store: &DynamoStore, batch: &Batch) -> PortResult<Creation> {
    const OPERATION: &str = "create batch";
    let mark = write_mark();
    let mut item = batch_key(batch.id);
    let fields: Item = serde_dynamo::to_item(batch).map_err(|error| rejected(OPERATION, error))?;
    item.extend(fields);
    let status = index_status(batch.status, batch.report_ready);
    for (name, value) in [
        (CREATED, batch.id.to_string()),
        (STATUS, status.to_owned()),
        (WRITTEN_BY, mark.clone()),
    ] {
        item.insert(name.to_owned(), AttributeValue::S(value));
    }
    item.insert(EXPIRES_AT.to_owned(), store.expiry());

    let answer = store
        .client()
        .put_item()
        .table_name(store.table())
        .set_item(Some(item))
        .condition_expression("attribute_not_exists(pk)")
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .send()
        .await;
    let Err(error) = answer else {
        return Ok(Creation::Created);
    };
    match error.as_service_error() {
        Some(PutItemError::ConditionalCheckFailedException(failure)) => {
            Ok(if was_written_by(failure.item(), &mark) {
                Creation::Created
            } else {
                Creation::AlreadyThere
            })
        }
        _ => Err(fault(OPERATION, error)),
    }
}

pub(super) async fn find(store: &DynamoStore, id: BatchId) -> PortResult<Option<Batch>> {
    const OPERATION: &str = "read batch";
    match reading::get(store, OPERATION, batch_key(id)).await? {
        Some(item) => Ok(Some(read(item).map_err(|error| corrupt(OPERATION, error))?)),
        None => Ok(None),
    }
}

/// The batch that an item holds.
pub(super) fn read(mut item: Item) -> Result<Batch, Malformed> {
    let status = status_of(&item)?;
    item.insert(
        STATUS.to_owned(),
        AttributeValue::S(status.as_str().to_owned()),
    );
    Ok(serde_dynamo::from_item(item)?)
}

pub(super) fn status_of(item: &Item) -> Result<BatchStatus, Malformed> {
    let name = text(item, STATUS)?;
    name.strip_suffix(REPORTED_SUFFIX)
        .unwrap_or(name)
        .parse()
        .map_err(|_| Malformed::Attribute(STATUS.to_owned()))
}

pub(super) async fn advance(
    store: &DynamoStore,
    id: BatchId,
    from: &[BatchStatus],
    change: &BatchChange,
    now: Timestamp,
) -> PortResult<Advance> {
    // The plain name of a state may hold batches with a report as well: that costs a listing something, and loses nothing.
    let is_known_where_it_is_listed =
        change.status.is_some() || change.report_ready.is_none() || from.len() == 1;
    if is_known_where_it_is_listed && !from.is_empty() {
        return advance_known(store, id, from, change, now).await;
    }

    // Where the batch is listed depends on the state that it keeps: look first, and move it only from there.
    loop {
        let Some(batch) = find(store, id).await? else {
            return Ok(Advance::Missing);
        };
        let is_other_generation = change
            .in_generation
            .is_some_and(|generation| generation != batch.generation());
        if !from.contains(&batch.status) || is_other_generation {
            return Ok(Advance::Stays(batch.status));
        }
        match advance_known(store, id, &[batch.status], change, now).await? {
            Advance::Stays(status) if from.contains(&status) => {}
            answer => return Ok(answer),
        }
    }
}

async fn advance_known(
    store: &DynamoStore,
    id: BatchId,
    from: &[BatchStatus],
    change: &BatchChange,
    now: Timestamp,
) -> PortResult<Advance> {
    const OPERATION: &str = "advance batch";
    let mark = write_mark();
    let mut update = Update::default();
    set_all(&mut update, from, change, now, &mark).map_err(|error| rejected(OPERATION, error))?;
    update.require_status(from);
    if let Some(generation) = change.in_generation {
        update.require_generation(generation);
    }
    make(store, OPERATION, id, update, &mark).await
}

/// Begins the next round over a batch that ended.
pub(super) async fn begin_retry(
    store: &DynamoStore,
    id: BatchId,
    generation: u32,
    retry: &Retry,
    now: Timestamp,
) -> PortResult<Advance> {
    const OPERATION: &str = "begin retry";
    let Some(current) = generation.checked_sub(1) else {
        let batch = find(store, id).await?;
        return Ok(batch.map_or(Advance::Missing, |batch| Advance::Stays(batch.status)));
    };
    let mark = write_mark();
    let mut update = Update::default();
    set_retry(&mut update, retry, now, &mark).map_err(|error| rejected(OPERATION, error))?;
    update.remove(SHARDS_DONE);
    update.require_status(&[BatchStatus::Completed, BatchStatus::Cancelled]);
    update.require_generation(current);
    update.require("#report_ready = :yes AND NOT #deleting = :yes");
    update.name("report_ready");
    update.name("deleting");
    update.value("yes", AttributeValue::Bool(true));
    make(store, OPERATION, id, update, &mark).await
}

fn set_retry(
    update: &mut Update,
    retry: &Retry,
    now: Timestamp,
    mark: &str,
) -> Result<(), serde_dynamo::Error> {
    update.set(STATUS, Some(BatchStatus::Splitting.as_str()))?;
    update.set("updated_at", Some(now))?;
    update.set(WRITTEN_BY, Some(mark))?;
    update.set("ended_at", Some(None::<Timestamp>))?;
    update.set("finalize_sent", Some(false))?;
    update.set("report_ready", Some(false))?;
    // The size of the chunks stays, so that the walk finds them where they are.
    update.set_to("#checkpoint.#chunks = :nothing, #checkpoint.#rows = :nothing");
    update.set_to("#retries = list_append(#retries, :retry)");
    for name in ["checkpoint", "chunks", "rows", RETRIES] {
        update.name(name);
    }
    update.value("nothing", AttributeValue::N("0".to_owned()));
    let retry = serde_dynamo::to_attribute_value(retry)?;
    update.value("retry", AttributeValue::L(vec![retry]));
    Ok(())
}

/// Makes a conditional update and says what became of it.
async fn make(
    store: &DynamoStore,
    operation: &'static str,
    id: BatchId,
    update: Update,
    mark: &str,
) -> PortResult<Advance> {
    let answer = store
        .client()
        .update_item()
        .table_name(store.table())
        .set_key(Some(batch_key(id)))
        .update_expression(update.expression())
        .condition_expression(update.conditions.join(" AND "))
        .set_expression_attribute_names(Some(update.names))
        .set_expression_attribute_values(Some(update.values))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .send()
        .await;
    let Err(error) = answer else {
        return Ok(Advance::Moved);
    };
    match error.as_service_error() {
        Some(UpdateItemError::ConditionalCheckFailedException(failure)) => match failure.item() {
            None => Ok(Advance::Missing),
            Some(_) if was_written_by(failure.item(), mark) => Ok(Advance::Moved),
            Some(item) => {
                let status = status_of(item).map_err(|error| corrupt(operation, error))?;
                Ok(Advance::Stays(status))
            }
        },
        _ => Err(fault(operation, error)),
    }
}

/// Sets what a change names.
fn set_all(
    update: &mut Update,
    from: &[BatchStatus],
    change: &BatchChange,
    now: Timestamp,
    mark: &str,
) -> Result<(), serde_dynamo::Error> {
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
    let listed_under = match (status, report_ready) {
        (None, None) => None,
        (Some(status), report_ready) => {
            Some(index_status(*status, report_ready.unwrap_or_default()))
        }
        // The one state it can be in.
        (None, Some(report_ready)) => from
            .first()
            .map(|status| index_status(*status, *report_ready)),
    };
    update.set(STATUS, listed_under)?;
    update.set("updated_at", Some(now))?;
    update.set(WRITTEN_BY, Some(mark))?;
    update.set("list_bytes", *list_bytes)?;
    update.set("awaits_list", list_bytes.map(|_| false))?;
    update.set("started_at", *started_at)?;
    update.set("ended_at", *ended_at)?;
    update.set("failure", failure.as_ref())?;
    update.set("checkpoint", *checkpoint)?;
    update.set("totals", *totals)?;
    update.set("finalize_sent", *finalize_sent)?;
    update.set("report_ready", *report_ready)?;
    update.set("max_concurrency", *max_concurrency)?;
    update.set("deleting", *deleting)
}

/// An update of a batch in the making. Every name is an alias: many are reserved words.
#[derive(Default)]
struct Update {
    sets: Vec<String>,
    removes: Vec<String>,
    conditions: Vec<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Update {
    /// Sets an attribute, if there is a value for it.
    fn set(
        &mut self,
        name: &str,
        value: Option<impl Serialize>,
    ) -> Result<(), serde_dynamo::Error> {
        if let Some(value) = value {
            self.sets.push(format!("#{name} = :{name}"));
            self.name(name);
            self.value(name, serde_dynamo::to_attribute_value(value)?);
        }
        Ok(())
    }

    fn set_to(&mut self, assignment: &str) {
        self.sets.push(assignment.to_owned());
    }

    fn remove(&mut self, name: &str) {
        self.removes.push(format!("#{name}"));
        self.name(name);
    }

    fn require(&mut self, condition: &str) {
        self.conditions.push(condition.to_owned());
    }

    /// An item that does not exist is in none of these states.
    fn require_status(&mut self, allowed: &[BatchStatus]) {
        let mut values = Vec::new();
        for name in allowed.iter().flat_map(|status| index_statuses(*status)) {
            let value = format!("from{}", values.len());
            self.value(&value, AttributeValue::S(name.to_owned()));
            values.push(format!(":{value}"));
        }
        self.name(STATUS);
        self.require(&format!("#{STATUS} IN ({})", values.join(", ")));
    }

    fn require_generation(&mut self, generation: u32) {
        self.name(RETRIES);
        self.value("generation", AttributeValue::N(generation.to_string()));
        self.require(IN_GENERATION);
    }

    fn name(&mut self, name: &str) {
        self.names.insert(format!("#{name}"), name.to_owned());
    }

    fn value(&mut self, name: &str, value: AttributeValue) {
        self.values.insert(format!(":{name}"), value);
    }

    fn expression(&self) -> String {
        let mut expression = format!("SET {}", self.sets.join(", "));
        if !self.removes.is_empty() {
            expression.push_str(" REMOVE ");
            expression.push_str(&self.removes.join(", "));
        }
        expression
    }
}

fn was_written_by(item: Option<&Item>, mark: &str) -> bool {
    item.and_then(|item| text(item, WRITTEN_BY).ok()) == Some(mark)
}
