//! A request that creates a batch is carried out once, however often it is sent with the same key (the `Idempotency-Key` header
//! of the IETF's draft of that name).
//!
//! A claim names the batch before that is created. Whoever finds a claim of the same request creates its batch, too, which has no
//! effect if it is there: so it does not matter where the first sender's request died.

use std::time::Duration;

use domain::ports::KeyClaim;
use domain::{Batch, BatchId, BatchOptions, keys};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::accept::{NewBatch, StoredList, await_list_as, create_batch, discard_list, hex};
use crate::{PipelineError, PipelineResult, Ports};

/// How long a key is remembered.
pub const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// Longest key, in bytes.
const MAX_KEY_BYTES: usize = 255;

/// A key that a client gave its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// The text cannot be a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key has 1 to {MAX_KEY_BYTES} visible ASCII characters")]
pub struct InvalidKey;

impl std::str::FromStr for IdempotencyKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let is_visible = text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ');
        let has_length = (1..=MAX_KEY_BYTES).contains(&text.len());
        if is_visible && has_length {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidKey)
        }
    }
}

/// What a key stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// This request: it creates the batch that it named.
    New,
    /// The same request, sent before: it creates, or created, this batch.
    Repeat(BatchId),
    /// Another request.
    Taken,
}

/// Claims `key` for a request that creates `batch`. `request` is everything that makes it the request it is.
pub async fn claim(
    ports: &Ports,
    owner: &str,
    key: &IdempotencyKey,
    request: &(impl Serialize + Sync),
    batch: BatchId,
) -> PipelineResult<Claim> {
    let request = serde_json::to_vec(request).map_err(|error| PipelineError::CorruptObject {
        key: "of a request".to_owned(),
        reason: error.to_string(),
    })?;
    let now = ports.clock.now();
    let claim = KeyClaim {
        owner: owner.to_owned(),
        key: key.0.clone(),
        request_sha256: hex(&Sha256::digest(&request)),
        batch,
        expires_at: now + KEPT,
    };
    let standing = ports.store.claim_key(&claim, now).await?;
    Ok(if standing.request_sha256 != claim.request_sha256 {
        Claim::Taken
    } else if standing.batch == batch {
        Claim::New
    } else {
        Claim::Repeat(standing.batch)
    })
}

/// What came of a request with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Once {
    /// The batch that it creates, as it was when that was created.
    Batch(Box<Batch>),
    /// The key stands for another request.
    Taken,
    /// The batch that it created has been deleted.
    Spent,
}

/// Everything that makes a request to create a batch the request it is.
#[derive(Serialize)]
struct Fingerprint<'a> {
    /// SHA-256 of the list; `None` where the list comes later.
    list_sha256: Option<&'a str>,
    name: &'a str,
    list_name: &'a str,
    options: &'a BatchOptions,
    auto_start: bool,
}

impl<'a> Fingerprint<'a> {
    fn of(request: &'a NewBatch, list_sha256: Option<&'a str>, auto_start: bool) -> Self {
        Self {
            list_sha256,
            name: &request.name,
            list_name: &request.list_name,
            options: &request.options,
            auto_start,
        }
    }
}

/// As [`create_batch`], once for all requests of the same owner with the same key. A list that no batch will own is discarded.
pub async fn create_batch_once(
    ports: &Ports,
    key: &IdempotencyKey,
    list: StoredList,
    request: NewBatch,
    auto_start: bool,
) -> PipelineResult<Once> {
    let fingerprint = Fingerprint::of(&request, Some(&list.sha256), auto_start);
    let claimed = claim(ports, &request.owner, key, &fingerprint, list.id).await?;
    let first = match claimed {
        Claim::New => {
            let batch = create_batch(ports, list, request).await?;
            return Ok(Once::Batch(Box::new(batch)));
        }
        Claim::Repeat(first) => first,
        Claim::Taken => {
            discard_list(ports, &list).await?;
            return Ok(Once::Taken);
        }
    };
    discard_list(ports, &list).await?;
    // A key is claimed once the list is stored: where the list is gone, so is the batch.
    let key = keys::list(first);
    match ports.objects.head(&Path::from(key.as_str())).await {
        Ok(_) => {}
        Err(object_store::Error::NotFound { .. }) => return Ok(Once::Spent),
        Err(source) => {
            return Err(PipelineError::Object {
                operation: "read",
                key,
                source,
            });
        }
    }
    let list = StoredList { id: first, ..list };
    let batch = create_batch(ports, list, request).await?;
    Ok(Once::Batch(Box::new(batch)))
}

/// As [`crate::accept::await_list`], once for all requests of the same owner with the same key.
pub async fn await_list_once(
    ports: &Ports,
    key: &IdempotencyKey,
    request: NewBatch,
    auto_start: bool,
) -> PipelineResult<Once> {
    let fingerprint = Fingerprint::of(&request, None, auto_start);
    let id = ports.ids.batch_id();
    let id = match claim(ports, &request.owner, key, &fingerprint, id).await? {
        Claim::New => id,
        Claim::Repeat(first) => first,
        Claim::Taken => return Ok(Once::Taken),
    };
    let batch = await_list_as(ports, id, request, auto_start).await?;
    Ok(Once::Batch(Box::new(batch)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_visible_ascii_of_bounded_length() {
        for good in ["a", "8e03978e-40d5-43dd-bc93-6894a57f9324", "order 7"] {
            assert!(good.parse::<IdempotencyKey>().is_ok(), "{good}");
        }
        for bad in ["", "ä", "a\tb", "a\u{7f}", &"x".repeat(256)] {
            assert_eq!(bad.parse::<IdempotencyKey>(), Err(InvalidKey), "{bad}");
        }
    }
}
