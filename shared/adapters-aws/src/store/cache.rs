//! Answers worth keeping, and leases on those being worked out.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use domain::ports::{CacheClaim, CacheEntry, CacheLease, CacheStore, Invalidation, PortResult};
use jiff::Timestamp;

use super::items::{
    EXPIRES_AT, INVALIDATION_PREFIX, INVALIDATIONS, Item, PARTITION_KEY, SORT_KEY, cache_key,
    count, invalidation_key, number, text,
};
use super::{DynamoStore, reading};
use crate::error::{Malformed, corrupt, fault};

const VALUE: &str = "value";
/// Times are in milliseconds since the Unix epoch; the table itself drops items by whole seconds, and late.
const STORED_AT: &str = "stored_at";
const FRESH_UNTIL: &str = "fresh_until";
const COST: &str = "cost";
const HOLDER: &str = "holder";
const LEASED_UNTIL: &str = "leased_until";
const AT: &str = "at";

#[async_trait]
impl CacheStore for DynamoStore {
    async fn cache_entries(
        &self,
        keys: &[String],
        now: Timestamp,
    ) -> PortResult<Vec<Option<CacheEntry>>> {
        const OPERATION: &str = "read cache";
        let distinct: Vec<&String> = keys.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let mut found: HashMap<String, Item> = HashMap::new();
        for keys in distinct.chunks(reading::MAX_KEYS) {
            let keys = keys.iter().map(|key| cache_key(key)).collect();
            for item in reading::get_all(self, OPERATION, keys).await? {
                let key = text(&item, PARTITION_KEY).map_err(|error| corrupt(OPERATION, error))?;
                found.insert(key.to_owned(), item);
            }
        }
        keys.iter()
            .map(|key| {
                let key = cache_key(key);
                let partition = text(&key, PARTITION_KEY);
                let item = partition.ok().and_then(|partition| found.get(partition));
                match item {
                    Some(item) => answer(item, now).map_err(|error| corrupt(OPERATION, error)),
                    None => Ok(None),
                }
            })
            .collect()
    }

    async fn claim_cache_entry(&self, lease: &CacheLease) -> PortResult<CacheClaim> {
        const OPERATION: &str = "claim cache entry";
        let until = lease.until.as_millisecond();
        // Before every answer.
        let never = -1;
        let void_until = lease.void_until.map_or(never, Timestamp::as_millisecond);
        let claimed = self
            .client()
            .update_item()
            .table_name(self.table())
            .set_key(Some(cache_key(&lease.key)))
            .update_expression("SET #holder = :holder, #leased = :until, #expires = :expires")
            .condition_expression(
                "(attribute_not_exists(#fresh) OR #fresh <= :now OR #stored <= :void) AND \
                 (attribute_not_exists(#leased) OR #leased <= :now OR #holder = :holder)",
            )
            .expression_attribute_names("#holder", HOLDER)
            .expression_attribute_names("#leased", LEASED_UNTIL)
            .expression_attribute_names("#expires", EXPIRES_AT)
            .expression_attribute_names("#fresh", FRESH_UNTIL)
            .expression_attribute_names("#stored", STORED_AT)
            .expression_attribute_values(":holder", AttributeValue::S(lease.holder.clone()))
            .expression_attribute_values(":until", number(until))
            .expression_attribute_values(":expires", number(after(until)))
            .expression_attribute_values(":now", number(lease.now.as_millisecond()))
            .expression_attribute_values(":void", number(void_until))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = claimed else {
            return Ok(CacheClaim::Claimed);
        };
        let Some(UpdateItemError::ConditionalCheckFailedException(failure)) =
            error.as_service_error()
        else {
            return Err(fault(OPERATION, error));
        };
        let item = failure.item().cloned().unwrap_or_default();
        let read = || {
            let entry = answer(&item, lease.now)?;
            let is_void = |entry: &CacheEntry| {
                lease
                    .void_until
                    .is_some_and(|void_until| entry.stored_at <= void_until)
            };
            match entry.filter(|entry| !is_void(entry)) {
                Some(entry) => Ok(CacheClaim::Found(entry)),
                None => Ok(CacheClaim::Busy {
                    until: time(&item, LEASED_UNTIL)?,
                }),
            }
        };
        read().map_err(|error: Malformed| corrupt(OPERATION, error))
    }

    async fn put_cache_entry(&self, key: &str, entry: &CacheEntry) -> PortResult<()> {
        const OPERATION: &str = "write cache";
        let fresh_until = entry.expires_at.as_millisecond();
        let cost = i64::try_from(entry.cost_micro_usd).unwrap_or(i64::MAX);
        let mut item = cache_key(key);
        let value = AttributeValue::B(Blob::new(entry.value.clone()));
        item.insert(VALUE.to_owned(), value);
        for (name, value) in [
            (STORED_AT, entry.stored_at.as_millisecond()),
            (FRESH_UNTIL, fresh_until),
            (COST, cost),
            (EXPIRES_AT, after(fresh_until)),
        ] {
            item.insert(name.to_owned(), number(value));
        }
        self.client()
            .put_item()
            .table_name(self.table())
            .set_item(Some(item))
            .send()
            .await
            .map_err(|error| fault(OPERATION, error))?;
        Ok(())
    }

    async fn release_cache_entry(&self, key: &str, holder: &str) -> PortResult<()> {
        const OPERATION: &str = "release cache entry";
        let released = self
            .client()
            .update_item()
            .table_name(self.table())
            .set_key(Some(cache_key(key)))
            .update_expression("REMOVE #holder, #leased")
            .condition_expression("#holder = :holder")
            .expression_attribute_names("#holder", HOLDER)
            .expression_attribute_names("#leased", LEASED_UNTIL)
            .expression_attribute_values(":holder", AttributeValue::S(holder.to_owned()))
            .send()
            .await;
        match released {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(fault(OPERATION, error)),
            },
        }
    }

    async fn invalidations(&self, now: Timestamp) -> PortResult<Vec<Invalidation>> {
        const OPERATION: &str = "read invalidations";
        let mut invalidations = Vec::new();
        let mut start = None;
        loop {
            let answer = self
                .client()
                .query()
                .table_name(self.table())
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", AttributeValue::S(INVALIDATIONS.to_owned()))
                .consistent_read(true)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| fault(OPERATION, error))?;
            for item in answer.items() {
                invalidations
                    .push(read_invalidation(item).map_err(|error| corrupt(OPERATION, error))?);
            }
            start = answer.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        invalidations.retain(|invalidation| invalidation.expires_at > now);
        invalidations
            .sort_by(|left, right| (left.at, &left.pattern).cmp(&(right.at, &right.pattern)));
        Ok(invalidations)
    }

    async fn invalidate(&self, invalidation: &Invalidation) -> PortResult<()> {
        const OPERATION: &str = "write invalidation";
        let expires_at = invalidation.expires_at.as_millisecond();
        let mut item = invalidation_key(&invalidation.pattern);
        for (name, value) in [
            (AT, invalidation.at.as_millisecond()),
            (FRESH_UNTIL, expires_at),
            (EXPIRES_AT, after(expires_at)),
        ] {
            item.insert(name.to_owned(), number(value));
        }
        let written = self
            .client()
            .put_item()
            .table_name(self.table())
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk) OR #at <= :at")
            .expression_attribute_names("#at", AT)
            .expression_attribute_values(":at", number(invalidation.at.as_millisecond()))
            .send()
            .await;
        match written {
            Ok(_) => Ok(()),
            // A later one of the same pattern covers it.
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(fault(OPERATION, error)),
            },
        }
    }
}

/// The first whole second after a time in milliseconds: when the table may drop an item.
fn after(milliseconds: i64) -> i64 {
    milliseconds.div_euclid(1_000) + 1
}

fn time(item: &Item, name: &str) -> Result<Timestamp, Malformed> {
    let milliseconds = count(item, name)?;
    Timestamp::from_millisecond(milliseconds).map_err(|_| Malformed::Attribute(name.to_owned()))
}

fn answer(item: &Item, now: Timestamp) -> Result<Option<CacheEntry>, Malformed> {
    let Some(value) = item.get(VALUE) else {
        return Ok(None);
    };
    let value = value
        .as_b()
        .map_err(|_| Malformed::Attribute(VALUE.to_owned()))?;
    let expires_at = time(item, FRESH_UNTIL)?;
    if expires_at <= now {
        return Ok(None);
    }
    Ok(Some(CacheEntry {
        value: value.as_ref().to_vec(),
        stored_at: time(item, STORED_AT)?,
        expires_at,
        cost_micro_usd: count(item, COST)?,
    }))
}

fn read_invalidation(item: &Item) -> Result<Invalidation, Malformed> {
    let pattern = text(item, SORT_KEY)?.strip_prefix(INVALIDATION_PREFIX);
    Ok(Invalidation {
        pattern: pattern
            .ok_or_else(|| Malformed::Attribute(SORT_KEY.to_owned()))?
            .to_owned(),
        at: time(item, AT)?,
        expires_at: time(item, FRESH_UNTIL)?,
    })
}
