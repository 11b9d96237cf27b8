//! Tokens by the hash of their secret, their names, and counters of their use.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, ReturnValue, TransactWriteItem};
use domain::ports::{Creation, PortResult};
use domain::{AccessToken, TokenHash};
use jiff::Timestamp;

use super::items::{
    EXPIRES_AT, Item, PARTITION_KEY, TOKENS, counter_key, number, text, token_key, token_name_key,
};
use super::shards::{failed_condition, transaction_fault};
use super::{DynamoStore, reading};
use crate::error::{Malformed, corrupt, fault, rejected};

/// The whole token as JSON: nothing but its revocation is ever changed.
const DOCUMENT: &str = "document";
/// When it was revoked; set once.
const REVOKED_AT: &str = "revoked_at";
const SHA256: &str = "sha256";
const USES: &str = "uses";

/// Claims the name and stores the token in one transaction.
pub(super) async fn create(store: &DynamoStore, token: &AccessToken) -> PortResult<Creation> {
    const OPERATION: &str = "create token";
    let document = serde_json::to_string(token).map_err(|error| rejected(OPERATION, error))?;
    let mut item = token_key(&token.sha256);
    item.insert(DOCUMENT.to_owned(), AttributeValue::S(document));
    let mut name = token_name_key(&token.name);
    name.insert(
        SHA256.to_owned(),
        AttributeValue::S(token.sha256.to_string()),
    );
    let mut request = store.client().transact_write_items();
    for item in [item, name] {
        let put = Put::builder()
            .table_name(store.table())
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .build()
            .map_err(|error| rejected(OPERATION, error))?;
        request = request.transact_items(TransactWriteItem::builder().put(put).build());
    }
    let Err(error) = request.send().await else {
        return Ok(Creation::Created);
    };
    if failed_condition(&error).is_none() {
        return Err(transaction_fault(OPERATION, error));
    }
    // The answer to our own first attempt may have been lost, and the SDK asked again.
    match find(store, token.sha256).await? {
        Some(stored) if stored == *token => Ok(Creation::Created),
        _ => Ok(Creation::AlreadyThere),
    }
}

pub(super) async fn find(store: &DynamoStore, hash: TokenHash) -> PortResult<Option<AccessToken>> {
    const OPERATION: &str = "read token";
    let item = reading::get(store, OPERATION, token_key(&hash)).await?;
    item.map(|item| read(&item).map_err(|error| corrupt(OPERATION, error)))
        .transpose()
}

pub(super) async fn list(store: &DynamoStore) -> PortResult<Vec<AccessToken>> {
    const OPERATION: &str = "list tokens";
    let mut tokens = Vec::new();
    let mut start = None;
    loop {
        let answer = store
            .client()
            .query()
            .table_name(store.table())
            .key_condition_expression("#pk = :pk")
            .expression_attribute_names("#pk", PARTITION_KEY)
            .expression_attribute_values(":pk", AttributeValue::S(TOKENS.to_owned()))
            .consistent_read(true)
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(|error| fault(OPERATION, error))?;
        for item in answer.items() {
            tokens.push(read(item).map_err(|error| corrupt(OPERATION, error))?);
        }
        start = answer.last_evaluated_key;
        if start.is_none() {
            break;
        }
    }
    tokens.sort_unstable_by(|left: &AccessToken, right| left.name.cmp(&right.name));
    Ok(tokens)
}

pub(super) async fn revoke(store: &DynamoStore, name: &str, now: Timestamp) -> PortResult<bool> {
    const OPERATION: &str = "revoke token";
    let Some(item) = reading::get(store, OPERATION, token_name_key(name)).await? else {
        return Ok(false);
    };
    let hash = text(&item, SHA256).and_then(|hash| {
        hash.parse::<TokenHash>()
            .map_err(|_| Malformed::Attribute(SHA256.to_owned()))
    });
    let hash = hash.map_err(|error| corrupt(OPERATION, error))?;
    let answer = store
        .client()
        .update_item()
        .table_name(store.table())
        .set_key(Some(token_key(&hash)))
        .update_expression("SET #revoked_at = if_not_exists(#revoked_at, :now)")
        .condition_expression("attribute_exists(pk)")
        .expression_attribute_names("#revoked_at", REVOKED_AT)
        .expression_attribute_values(":now", AttributeValue::S(now.to_string()))
        .send()
        .await;
    match answer {
        Ok(_) => Ok(true),
        Err(SdkError::ServiceError(error))
            if matches!(
                error.err(),
                UpdateItemError::ConditionalCheckFailedException(_)
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(fault(OPERATION, error)),
    }
}

pub(super) async fn count(
    store: &DynamoStore,
    counter: &str,
    amount: u64,
    expires_at: Timestamp,
) -> PortResult<u64> {
    const OPERATION: &str = "count use";
    let amount = i64::try_from(amount).unwrap_or(i64::MAX);
    let answer = store
        .client()
        .update_item()
        .table_name(store.table())
        .set_key(Some(counter_key(counter)))
        .update_expression("ADD #uses :amount SET #expires_at = :expires_at")
        .expression_attribute_names("#uses", USES)
        .expression_attribute_names("#expires_at", EXPIRES_AT)
        .expression_attribute_values(":amount", number(amount))
        .expression_attribute_values(":expires_at", number(expires_at.as_second()))
        .return_values(ReturnValue::UpdatedNew)
        .send()
        .await
        .map_err(|error| fault(OPERATION, error))?;
    let attributes = answer.attributes.unwrap_or_default();
    super::items::count(&attributes, USES).map_err(|error| corrupt(OPERATION, error))
}

fn read(item: &Item) -> Result<AccessToken, Malformed> {
    let unreadable = |name: &str| Malformed::Attribute(name.to_owned());
    let mut token: AccessToken =
        serde_json::from_str(text(item, DOCUMENT)?).map_err(|_| unreadable(DOCUMENT))?;
    if item.contains_key(REVOKED_AT) {
        let revoked_at = text(item, REVOKED_AT)?.parse();
        token.revoked_at = Some(revoked_at.map_err(|_| unreadable(REVOKED_AT))?);
    }
    Ok(token)
}
