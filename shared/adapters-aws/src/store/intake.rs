//! What is set for the whole system, and requests that must not be carried out twice.

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use domain::ports::{Intake, KeyClaim, PortResult};
use jiff::Timestamp;

use super::items::{self, EXPIRES_AT, Item, intake_key, number, text};
use super::{DynamoStore, reading};
use crate::error::{Malformed, corrupt, fault, rejected};

const CLAIMED_BY: &str = "claimed_by";
const KEY: &str = "key";
const REQUEST: &str = "request_sha256";
const BATCH: &str = "batch";
/// From when on the key is free again, in milliseconds since the Unix epoch. The table itself drops items by whole seconds, and late.
const FREE_FROM: &str = "free_from";

pub(super) async fn read(store: &DynamoStore) -> PortResult<Intake> {
    const OPERATION: &str = "read intake";
    match reading::get(store, OPERATION, intake_key()).await? {
        Some(item) => serde_dynamo::from_item(item).map_err(|error| corrupt(OPERATION, error)),
        None => Ok(Intake::default()),
    }
}

pub(super) async fn set(store: &DynamoStore, intake: &Intake) -> PortResult<()> {
    const OPERATION: &str = "set intake";
    let mut item = intake_key();
    let fields: Item = serde_dynamo::to_item(intake).map_err(|error| rejected(OPERATION, error))?;
    item.extend(fields);
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

pub(super) async fn claim_key(
    store: &DynamoStore,
    claim: &KeyClaim,
    now: Timestamp,
) -> PortResult<KeyClaim> {
    const OPERATION: &str = "claim key";
    let answer = store
        .client()
        .put_item()
        .table_name(store.table())
        .set_item(Some(item_of(claim)))
        .condition_expression("attribute_not_exists(pk) OR #free_from <= :now")
        .expression_attribute_names("#free_from", FREE_FROM)
        .expression_attribute_values(":now", number(now.as_millisecond()))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .send()
        .await;
    let Err(error) = answer else {
        return Ok(claim.clone());
    };
    match error.as_service_error() {
        Some(PutItemError::ConditionalCheckFailedException(failure)) => {
            let standing = failure.item().cloned().unwrap_or_default();
            claim_of(&standing).map_err(|error| corrupt(OPERATION, error))
        }
        _ => Err(fault(OPERATION, error)),
    }
}

fn item_of(claim: &KeyClaim) -> Item {
    // Taken apart by name, so that a new field cannot be forgotten here.
    let KeyClaim {
        owner,
        key,
        request_sha256,
        batch,
        expires_at,
    } = claim;
    let mut item = items::claim_key(owner, key);
    for (name, value) in [
        (CLAIMED_BY, owner.clone()),
        (KEY, key.clone()),
        (REQUEST, request_sha256.clone()),
        (BATCH, batch.to_string()),
    ] {
        item.insert(name.to_owned(), AttributeValue::S(value));
    }
    let free_from = expires_at.as_millisecond();
    item.insert(FREE_FROM.to_owned(), number(free_from));
    // Not before it is free, so rounded up.
    item.insert(
        EXPIRES_AT.to_owned(),
        number(free_from.div_euclid(1_000) + 1),
    );
    item
}

fn claim_of(item: &Item) -> Result<KeyClaim, Malformed> {
    let unreadable = |name: &str| Malformed::Attribute(name.to_owned());
    let batch = text(item, BATCH)?.parse();
    let free_from = items::count(item, FREE_FROM)?;
    Ok(KeyClaim {
        owner: text(item, CLAIMED_BY)?.to_owned(),
        key: text(item, KEY)?.to_owned(),
        request_sha256: text(item, REQUEST)?.to_owned(),
        batch: batch.map_err(|_| unreadable(BATCH))?,
        expires_at: Timestamp::from_millisecond(free_from).map_err(|_| unreadable(FREE_FROM))?,
    })
}
