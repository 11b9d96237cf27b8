//! Key performance indicators: one item a minute.

use aws_sdk_dynamodb::types::{Put, TransactWriteItem, Update};
use domain::ports::{MAX_KPI_MINUTES, PortResult};
use domain::{KpiDelta, Minute, PartRef};
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;

use super::items::{EXPIRES_AT, mark_key, minute_key, minute_of, number};
use super::shards::{failed_condition, transaction_fault};
use super::{DynamoStore, monitoring, reading, sums};
use crate::error::{corrupt, rejected};

/// How long it is remembered that a part was added: as long as its message can come again. A message lies in a queue for up to four days
/// and then in the dead letters for up to fourteen.
const MARK_SECONDS: i64 = 18 * 24 * 60 * 60;
/// Requests of one call under way at once.
const CONCURRENT_READS: usize = 8;

/// Marks the part and adds its indicators in one transaction. Where hosts gave trouble, the item that names them is the mark: a part has the
/// same ones in the same minute however often it comes.
pub(super) async fn add(
    store: &DynamoStore,
    part: PartRef,
    minute: Minute,
    delta: &KpiDelta,
) -> PortResult<bool> {
    const OPERATION: &str = "add indicators";
    let mut mark = if delta.hosts.is_empty() {
        mark_key(part)
    } else {
        monitoring::hosts_item(part, minute, &delta.hosts)
            .map_err(|error| rejected(OPERATION, error))?
    };
    let expires_at = Timestamp::now().as_second() + MARK_SECONDS;
    mark.insert(EXPIRES_AT.to_owned(), number(expires_at));
    let mark = Put::builder()
        .table_name(store.table())
        .set_item(Some(mark))
        .condition_expression("attribute_not_exists(pk)")
        .build()
        .map_err(|error| rejected(OPERATION, error))?;
    let mut sums = sums::of_indicators(delta);
    let too_many = sums.take_in(sums::of_vitals(&delta.vitals));
    let addition = sums.into_addition().expiring(store.expiry());
    let sum = Update::builder()
        .table_name(store.table())
        .set_key(Some(minute_key(minute)))
        .update_expression(addition.expression())
        .set_expression_attribute_names(Some(addition.names))
        .set_expression_attribute_values(Some(addition.values))
        .build()
        .map_err(|error| rejected(OPERATION, error))?;

    let request = store
        .client()
        .transact_write_items()
        .transact_items(TransactWriteItem::builder().put(mark).build())
        .transact_items(TransactWriteItem::builder().update(sum).build());
    match request.send().await {
        Ok(_) => {
            // Too many for the one update. A loss of some is borne: they are samples.
            if too_many.is_some()
                && let Err(error) = monitoring::add_vitals(store, minute, &delta.vitals).await
            {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "vitals of a part lost");
            }
            Ok(true)
        }
        Err(error) if failed_condition(&error).is_some() => Ok(false),
        Err(error) => Err(transaction_fault(OPERATION, error)),
    }
}

pub(super) async fn list(
    store: &DynamoStore,
    from: Minute,
    to: Minute,
) -> PortResult<Vec<(Minute, KpiDelta)>> {
    const OPERATION: &str = "read indicators";
    if from > to {
        return Ok(Vec::new());
    }
    if to.0.saturating_sub(from.0) >= MAX_KPI_MINUTES {
        let reason = format!("more than {MAX_KPI_MINUTES} minutes were asked for");
        return Err(rejected(OPERATION, reason));
    }

    let keys: Vec<_> = (from.0..=to.0)
        .map(|minute| minute_key(Minute(minute)))
        .collect();
    let mut reads = Vec::new();
    for keys in keys.chunks(reading::MAX_KEYS) {
        reads.push(reading::get_all(store, OPERATION, keys.to_vec()));
    }
    let items: Vec<Vec<_>> = stream::iter(reads)
        .buffer_unordered(CONCURRENT_READS)
        .try_collect()
        .await?;
    let mut minutes = Vec::new();
    for item in items.into_iter().flatten() {
        let minute = minute_of(&item).map_err(|error| corrupt(OPERATION, error))?;
        let delta = sums::to_indicators(&item).map_err(|error| corrupt(OPERATION, error))?;
        minutes.push((minute, delta));
    }
    minutes.sort_unstable_by_key(|(minute, _)| *minute);
    Ok(minutes)
}
