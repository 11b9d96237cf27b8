//! What every [`domain::ports::CacheStore`] must do.

use std::sync::Arc;
use std::time::Duration;

use domain::ports::{CacheClaim, CacheEntry, CacheLease, CacheStore, Invalidation};
use jiff::Timestamp;
use tokio::task::JoinSet;

use crate::settle::settles_on;

/// Runs the suite against the store that `$make` answers with: `async fn() -> (Arc<dyn CacheStore>, impl Sized)`.
#[macro_export]
macro_rules! cache_store_contract {
    ($make:path) => {
        $crate::contract_tests!(cache_store, $make,
            answers_come_back_in_the_order_asked_for
            an_expired_answer_is_not_there
            a_later_answer_takes_the_place_of_the_first
            an_answer_is_leased_to_one_at_a_time
            of_concurrent_claims_one_stands
            a_lease_ends_by_itself
            a_lease_can_be_renewed_by_its_holder_alone
            a_released_lease_is_free_for_others
            an_answer_ends_the_lease_and_is_found
            a_void_answer_can_be_claimed_anew
            invalidations_are_listed_oldest_first_until_they_are_forgotten
        );
    };
}

/// The stores remove by real time what has ended by it.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap()
}

const MINUTE: Duration = Duration::from_secs(60);

fn an_entry(value: &[u8], stored_at: Timestamp) -> CacheEntry {
    CacheEntry {
        value: value.to_vec(),
        stored_at,
        expires_at: stored_at + 10 * MINUTE,
        cost_micro_usd: 210,
    }
}

fn a_lease(key: &str, holder: &str, now: Timestamp) -> CacheLease {
    CacheLease {
        key: key.to_owned(),
        holder: holder.to_owned(),
        now,
        until: now + MINUTE,
        void_until: None,
    }
}

/// More than one request of some stores takes.
pub async fn answers_come_back_in_the_order_asked_for(store: Arc<dyn CacheStore>) {
    let now = now();
    let bytes: Vec<u8> = (0..=255).collect();
    let mut keys: Vec<String> = (0..120).map(|number| format!("V#{number}#p")).collect();
    for (number, key) in keys
        .iter()
        .enumerate()
        .filter(|(number, _)| number % 3 == 0)
    {
        let entry = an_entry(&bytes[number..], now);
        store.put_cache_entry(key, &entry).await.unwrap();
    }
    keys.push(keys[3].clone());
    settles_on(true, async || {
        let found = store.cache_entries(&keys, now).await.unwrap();
        found.len() == keys.len()
            && found.iter().enumerate().all(|(number, entry)| {
                let number = if number == 120 { 3 } else { number };
                *entry == (number % 3 == 0).then(|| an_entry(&bytes[number..], now))
            })
    })
    .await;
    assert_eq!(store.cache_entries(&[], now).await.unwrap(), []);
}

/// Whether or not it has been removed yet.
pub async fn an_expired_answer_is_not_there(store: Arc<dyn CacheStore>) {
    let now = now();
    let keys = ["k".to_owned()];
    store
        .put_cache_entry("k", &an_entry(b"1", now))
        .await
        .unwrap();
    let last = now + 10 * MINUTE - Duration::from_millis(1);
    settles_on(true, async || {
        store.cache_entries(&keys, last).await.unwrap()[0].is_some()
    })
    .await;
    let ended = now + 10 * MINUTE;
    assert_eq!(store.cache_entries(&keys, ended).await.unwrap(), [None]);
    let claim = a_lease("k", "a", ended);
    let claimed = store.claim_cache_entry(&claim).await.unwrap();
    assert_eq!(claimed, CacheClaim::Claimed);
}

/// Whatever it was.
pub async fn a_later_answer_takes_the_place_of_the_first(store: Arc<dyn CacheStore>) {
    let now = now();
    store
        .put_cache_entry("k", &an_entry(b"first", now))
        .await
        .unwrap();
    let second = an_entry(b"", now + MINUTE);
    store.put_cache_entry("k", &second).await.unwrap();
    let keys = ["k".to_owned()];
    settles_on(true, async || {
        let found = store.cache_entries(&keys, now).await.unwrap();
        found == [Some(second.clone())]
    })
    .await;
}

/// Others are told until when.
pub async fn an_answer_is_leased_to_one_at_a_time(store: Arc<dyn CacheStore>) {
    let now = now();
    let claimed = store.claim_cache_entry(&a_lease("k", "a", now)).await;
    assert_eq!(claimed.unwrap(), CacheClaim::Claimed);
    let other = store.claim_cache_entry(&a_lease("k", "b", now)).await;
    let until = now + MINUTE;
    assert_eq!(other.unwrap(), CacheClaim::Busy { until });
    let elsewhere = store.claim_cache_entry(&a_lease("l", "b", now)).await;
    assert_eq!(elsewhere.unwrap(), CacheClaim::Claimed);
    let keys = ["k".to_owned()];
    assert_eq!(store.cache_entries(&keys, now).await.unwrap(), [None]);
}

/// What paying once rests on.
pub async fn of_concurrent_claims_one_stands(store: Arc<dyn CacheStore>) {
    let now = now();
    let mut tasks = JoinSet::new();
    for holder in 0..12 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let lease = a_lease("k", &holder.to_string(), now);
            store.claim_cache_entry(&lease).await.unwrap()
        });
    }
    let claims = tasks.join_all().await;
    let claimed = claims
        .iter()
        .filter(|claim| **claim == CacheClaim::Claimed)
        .count();
    assert_eq!(claimed, 1, "{claims:?}");
}

/// A worker that died keeps nobody from the work for longer.
pub async fn a_lease_ends_by_itself(store: Arc<dyn CacheStore>) {
    let now = now();
    store
        .claim_cache_entry(&a_lease("k", "a", now))
        .await
        .unwrap();
    let early = a_lease("k", "b", now + MINUTE - Duration::from_millis(1));
    let busy = store.claim_cache_entry(&early).await.unwrap();
    assert!(matches!(busy, CacheClaim::Busy { .. }), "{busy:?}");
    let late = a_lease("k", "b", now + MINUTE);
    let claimed = store.claim_cache_entry(&late).await.unwrap();
    assert_eq!(claimed, CacheClaim::Claimed);
}

/// The same question again is no second claim.
pub async fn a_lease_can_be_renewed_by_its_holder_alone(store: Arc<dyn CacheStore>) {
    let now = now();
    let later = now + MINUTE / 2;
    for at in [now, later] {
        let claimed = store.claim_cache_entry(&a_lease("k", "a", at)).await;
        assert_eq!(claimed.unwrap(), CacheClaim::Claimed);
    }
    let other = store
        .claim_cache_entry(&a_lease("k", "b", now + MINUTE))
        .await;
    let until = later + MINUTE;
    assert_eq!(other.unwrap(), CacheClaim::Busy { until });
}

/// By the one who has it, and nobody else.
pub async fn a_released_lease_is_free_for_others(store: Arc<dyn CacheStore>) {
    let now = now();
    store
        .claim_cache_entry(&a_lease("k", "a", now))
        .await
        .unwrap();
    store.release_cache_entry("k", "b").await.unwrap();
    let busy = store.claim_cache_entry(&a_lease("k", "b", now)).await;
    assert!(matches!(busy.unwrap(), CacheClaim::Busy { .. }));
    store.release_cache_entry("k", "a").await.unwrap();
    let claimed = store.claim_cache_entry(&a_lease("k", "b", now)).await;
    assert_eq!(claimed.unwrap(), CacheClaim::Claimed);
    store.release_cache_entry("unknown", "a").await.unwrap();
    let keys = ["unknown".to_owned()];
    assert_eq!(store.cache_entries(&keys, now).await.unwrap(), [None]);
}

/// Whoever claims it from then on gets it.
pub async fn an_answer_ends_the_lease_and_is_found(store: Arc<dyn CacheStore>) {
    let now = now();
    store
        .claim_cache_entry(&a_lease("k", "a", now))
        .await
        .unwrap();
    let entry = an_entry(b"answer", now);
    store.put_cache_entry("k", &entry).await.unwrap();
    for holder in ["a", "b"] {
        let found = store.claim_cache_entry(&a_lease("k", holder, now)).await;
        assert_eq!(found.unwrap(), CacheClaim::Found(entry.clone()));
    }
    let after = a_lease("k", "b", now + 10 * MINUTE);
    let claimed = store.claim_cache_entry(&after).await.unwrap();
    assert_eq!(claimed, CacheClaim::Claimed);
}

/// An answer worked out before it was invalidated is as none; one worked out after it is not.
pub async fn a_void_answer_can_be_claimed_anew(store: Arc<dyn CacheStore>) {
    let now = now();
    store
        .put_cache_entry("k", &an_entry(b"old", now))
        .await
        .unwrap();
    let lease = |void_until: Timestamp| CacheLease {
        void_until: Some(void_until),
        ..a_lease("k", "a", now + MINUTE)
    };
    let before = lease(now - Duration::from_millis(1));
    let found = store.claim_cache_entry(&before).await.unwrap();
    assert!(matches!(found, CacheClaim::Found(_)), "{found:?}");
    let claimed = store.claim_cache_entry(&lease(now)).await.unwrap();
    assert_eq!(claimed, CacheClaim::Claimed);
}

/// The same pattern again is the same invalidation, later.
pub async fn invalidations_are_listed_oldest_first_until_they_are_forgotten(
    store: Arc<dyn CacheStore>,
) {
    let now = now();
    let invalidation = |pattern: &str, at: Timestamp| Invalidation {
        pattern: pattern.to_owned(),
        at,
        expires_at: at + 10 * MINUTE,
    };
    let later = now + MINUTE;
    for one in [
        invalidation("V#*", later),
        invalidation("robots:*", now),
        invalidation("dns:a", now - MINUTE),
        invalidation("dns:a", later + MINUTE),
    ] {
        store.invalidate(&one).await.unwrap();
    }
    let patterns = async |at| {
        let listed = store.invalidations(at).await.unwrap();
        listed
            .into_iter()
            .map(|one| one.pattern)
            .collect::<Vec<_>>()
    };
    assert_eq!(patterns(now).await, ["robots:*", "V#*", "dns:a"]);
    let forgotten = now + 10 * MINUTE;
    assert_eq!(patterns(forgotten).await, ["V#*", "dns:a"]);
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_function_of_the_suite_is_run() {
        let source = include_str!("cache_store.rs");
        assert_eq!(crate::functions_in(source), crate::names_listed_in(source));
    }
}
