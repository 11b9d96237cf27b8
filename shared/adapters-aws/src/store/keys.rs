//! What is known of a provider's keys, each row with its version.

use async_trait::async_trait;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use domain::ports::{KeyRow, KeyStore, PortResult};

use super::items::{
    Item, PROVIDER_KEY_PREFIX, SORT_KEY, count, number, pool_partition, provider_key, text,
};
use super::{DynamoStore, write_mark};
use crate::error::{Malformed, corrupt, fault};

const VERSION: &str = "version";
const STATE: &str = "state";
/// Tells whether a repeated request meets what its own first attempt wrote.
const MARK: &str = "mark";

#[async_trait]
impl KeyStore for DynamoStore {
    async fn key_rows(&self, pool: &str) -> PortResult<Vec<KeyRow>> {
        const OPERATION: &str = "read keys";
        let mut rows = Vec::new();
        let mut start = None;
        loop {
            let answer = self
                .client()
                .query()
                .table_name(self.table())
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", pool_partition(pool))
                .consistent_read(true)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| fault(OPERATION, error))?;
            for item in answer.items() {
                rows.push(read(item).map_err(|error| corrupt(OPERATION, error))?);
            }
            start = answer.last_evaluated_key;
            if start.is_none() {
                return Ok(rows);
            }
        }
    }

    async fn put_key_row(&self, pool: &str, row: &KeyRow) -> PortResult<bool> {
        const OPERATION: &str = "write key";
        let mark = write_mark();
        let mut item = provider_key(pool, &row.key);
        let next = i64::try_from(row.version + 1).unwrap_or(i64::MAX);
        item.insert(VERSION.to_owned(), number(next));
        item.insert(STATE.to_owned(), AttributeValue::S(row.state.clone()));
        item.insert(MARK.to_owned(), AttributeValue::S(mark.clone()));
        let request = self
            .client()
            .put_item()
            .table_name(self.table())
            .set_item(Some(item))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let request = if row.version == 0 {
            request.condition_expression("attribute_not_exists(pk)")
        } else {
            request
                .condition_expression("#version = :version")
                .expression_attribute_names("#version", VERSION)
                .expression_attribute_values(":version", number(next - 1))
        };
        let Err(error) = request.send().await else {
            return Ok(true);
        };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(failure)) => {
                let there = failure.item().and_then(|item| item.get(MARK));
                Ok(there.and_then(|there| there.as_s().ok()) == Some(&mark))
            }
            _ => Err(fault(OPERATION, error)),
        }
    }
}

fn read(item: &Item) -> Result<KeyRow, Malformed> {
    let key = text(item, SORT_KEY)?.strip_prefix(PROVIDER_KEY_PREFIX);
    Ok(KeyRow {
        key: key
            .ok_or_else(|| Malformed::Attribute(SORT_KEY.to_owned()))?
            .to_owned(),
        version: count(item, VERSION)?,
        state: text(item, STATE)?.to_owned(),
    })
}
