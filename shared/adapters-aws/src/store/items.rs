//! Keys and attributes of the table, each spelled once.
//!
//! | item | `pk` | `sk` |
//! |---|---|---|
//! | batch | `B#<batch>` | `BATCH` |
//! | shard | `B#<batch>` | `S#<shard, 8 digits>` |
//! | mark of a part whose indicators were added | `B#<batch>` | `M#<chunk>.<part>` |
//! | indicators of a minute | `K#<minute>` | `KPI` |
//! | whether new work is begun | `SETTING` | `INTAKE` |
//! | claim of an idempotency key | `I#<owner>` | `I#<key>` |
//! | token | `TOKENS` | `T#<SHA-256>` |
//! | name of a token | `TOKEN_NAMES` | `N#<name>` |
//! | counter of a token's use | `U#<counter>` | `COUNT` |
//! | hosts that gave trouble in a part, and the mark of that part | `H#<minute>` | `P#<batch>.<chunk>.<part>` |
//! | document that operators set | `SETTING` | `D#<name>` |
//! | what is known of a provider's key | `KEY#<pool>` | `K#<fingerprint>` |
//! | answer worth keeping, or a lease on one | `C#<key>` | `CACHE` |
//! | answers that count for nothing any more | `INVALIDATIONS` | `X#<pattern>` |
//!
//! All of them expire but settings, tokens and keys of providers. A batch expires so long after it was made, and its shards, which are made
//! later, not before it.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{BatchId, Minute, PartRef, ShardRef, TokenHash};

use crate::error::Malformed;

pub(super) type Item = HashMap<String, AttributeValue>;

pub(super) const PARTITION_KEY: &str = "pk";
pub(super) const SORT_KEY: &str = "sk";
/// When the table drops an item by itself, in seconds since the Unix epoch.
pub(super) const EXPIRES_AT: &str = "expires_at";

pub(super) const BATCH_SORT_KEY: &str = "BATCH";
pub(super) const SHARD_PREFIX: &str = "S#";
const KPI_SORT_KEY: &str = "KPI";

pub(super) fn batch_partition(batch: BatchId) -> AttributeValue {
    AttributeValue::S(format!("B#{batch}"))
}

pub(super) fn batch_key(batch: BatchId) -> Item {
    key(
        batch_partition(batch),
        AttributeValue::S(BATCH_SORT_KEY.to_owned()),
    )
}

pub(super) fn shard_key(shard: ShardRef) -> Item {
    key(
        batch_partition(shard.batch),
        AttributeValue::S(format!("{SHARD_PREFIX}{:08}", shard.shard)),
    )
}

pub(super) fn mark_key(part: PartRef) -> Item {
    key(
        batch_partition(part.batch),
        AttributeValue::S(format!("M#{}.{}", part.chunk, part.part)),
    )
}

pub(super) fn minute_key(minute: Minute) -> Item {
    key(
        AttributeValue::S(format!("K#{}", minute.0)),
        AttributeValue::S(KPI_SORT_KEY.to_owned()),
    )
}

/// The minute whose indicators an item holds.
pub(super) fn minute_of(item: &Item) -> Result<Minute, Malformed> {
    let partition = text(item, PARTITION_KEY)?;
    partition
        .strip_prefix("K#")
        .and_then(|minute| minute.parse().ok())
        .map(Minute)
        .ok_or_else(|| Malformed::Attribute(PARTITION_KEY.to_owned()))
}

pub(super) fn intake_key() -> Item {
    key(
        AttributeValue::S("SETTING".to_owned()),
        AttributeValue::S("INTAKE".to_owned()),
    )
}

/// Owner and key stay apart, whatever characters are in them.
pub(super) fn claim_key(owner: &str, name: &str) -> Item {
    key(
        AttributeValue::S(format!("I#{owner}")),
        AttributeValue::S(format!("I#{name}")),
    )
}

/// The partition of all tokens: they are few, and whoever asks keeps the answer for a while.
pub(super) const TOKENS: &str = "TOKENS";

pub(super) fn token_key(hash: &TokenHash) -> Item {
    key(
        AttributeValue::S(TOKENS.to_owned()),
        AttributeValue::S(format!("T#{hash}")),
    )
}

pub(super) fn token_name_key(name: &str) -> Item {
    key(
        AttributeValue::S("TOKEN_NAMES".to_owned()),
        AttributeValue::S(format!("N#{name}")),
    )
}

pub(super) fn counter_key(counter: &str) -> Item {
    key(
        AttributeValue::S(format!("U#{counter}")),
        AttributeValue::S("COUNT".to_owned()),
    )
}

pub(super) fn hosts_partition(minute: Minute) -> AttributeValue {
    AttributeValue::S(format!("H#{}", minute.0))
}

pub(super) fn hosts_key(minute: Minute, part: PartRef) -> Item {
    let PartRef { batch, chunk, part } = part;
    key(
        hosts_partition(minute),
        AttributeValue::S(format!("P#{batch}.{chunk}.{part}")),
    )
}

pub(super) fn document_key(name: &str) -> Item {
    key(
        AttributeValue::S("SETTING".to_owned()),
        AttributeValue::S(format!("D#{name}")),
    )
}

pub(super) fn pool_partition(pool: &str) -> AttributeValue {
    AttributeValue::S(format!("KEY#{pool}"))
}

pub(super) const PROVIDER_KEY_PREFIX: &str = "K#";

pub(super) fn provider_key(pool: &str, fingerprint: &str) -> Item {
    key(
        pool_partition(pool),
        AttributeValue::S(format!("{PROVIDER_KEY_PREFIX}{fingerprint}")),
    )
}

pub(super) fn cache_key(name: &str) -> Item {
    key(
        AttributeValue::S(format!("C#{name}")),
        AttributeValue::S("CACHE".to_owned()),
    )
}

/// The partition of all invalidations: they are few, and each is forgotten after some days.
pub(super) const INVALIDATIONS: &str = "INVALIDATIONS";
pub(super) const INVALIDATION_PREFIX: &str = "X#";

pub(super) fn invalidation_key(pattern: &str) -> Item {
    key(
        AttributeValue::S(INVALIDATIONS.to_owned()),
        AttributeValue::S(format!("{INVALIDATION_PREFIX}{pattern}")),
    )
}

fn key(partition: AttributeValue, sort: AttributeValue) -> Item {
    HashMap::from([
        (PARTITION_KEY.to_owned(), partition),
        (SORT_KEY.to_owned(), sort),
    ])
}

/// The two key attributes of an item.
pub(super) fn key_of(mut item: Item) -> Result<Item, Malformed> {
    let mut take = |name: &str| {
        item.remove(name)
            .ok_or_else(|| Malformed::Attribute(name.to_owned()))
    };
    Ok(key(take(PARTITION_KEY)?, take(SORT_KEY)?))
}

pub(super) fn number(value: impl Into<i64>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}

pub(super) fn text<'a>(item: &'a Item, name: &str) -> Result<&'a str, Malformed> {
    item.get(name)
        .and_then(|value| value.as_s().ok())
        .map(String::as_str)
        .ok_or_else(|| Malformed::Attribute(name.to_owned()))
}

/// A number that may be missing: sums are, until something is added to them.
pub(super) fn count<T: std::str::FromStr + Default>(
    item: &Item,
    name: &str,
) -> Result<T, Malformed> {
    let Some(value) = item.get(name) else {
        return Ok(T::default());
    };
    value
        .as_n()
        .ok()
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| Malformed::Attribute(name.to_owned()))
}
