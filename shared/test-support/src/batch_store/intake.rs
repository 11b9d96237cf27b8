use std::sync::Arc;
use std::time::Duration;

use domain::ports::{BatchStore, Intake, KeyClaim};
use jiff::Timestamp;
use tokio::task::JoinSet;

use crate::a_batch;

fn noon() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn a_claim(owner: &str, key: &str) -> KeyClaim {
    KeyClaim {
        owner: owner.to_owned(),
        key: key.to_owned(),
        request_sha256: "fedcba9876543210".repeat(4),
        batch: a_batch().id,
        expires_at: noon() + Duration::from_secs(60),
    }
}

/// Nothing has to be set for work to begin.
pub async fn work_is_begun_unless_the_intake_is_paused(store: Arc<dyn BatchStore>) {
    assert_eq!(store.intake().await.unwrap(), Intake::default());
    assert!(!Intake::default().is_paused);
    for is_paused in [true, true, false] {
        let intake = Intake {
            is_paused,
            since: Some(noon()),
        };
        store.set_intake(&intake).await.unwrap();
        assert_eq!(store.intake().await.unwrap(), intake);
    }
}

/// Whoever comes second learns what the first asked for.
pub async fn a_key_that_is_claimed_answers_with_its_first_claim(store: Arc<dyn BatchStore>) {
    let first = a_claim("alice", "order 1");
    assert_eq!(store.claim_key(&first, noon()).await.unwrap(), first);
    assert_eq!(store.claim_key(&first, noon()).await.unwrap(), first);
    let second = KeyClaim {
        request_sha256: "0".repeat(64),
        ..a_claim("alice", "order 1")
    };
    assert_eq!(store.claim_key(&second, noon()).await.unwrap(), first);
}

/// Equal keys of others, and other keys, are free.
pub async fn keys_are_apart_by_owner_and_text(store: Arc<dyn BatchStore>) {
    for (owner, key) in [
        ("alice", "1"),
        ("bob", "1"),
        ("alice", "2"),
        ("alice#1", "2"),
        ("alice", "1#2"),
        ("alice", " 1"),
    ] {
        let claim = a_claim(owner, key);
        assert_eq!(store.claim_key(&claim, noon()).await.unwrap(), claim);
    }
}

/// To the moment, whether or not the old claim has been cleared away.
pub async fn an_expired_key_is_free_again(store: Arc<dyn BatchStore>) {
    let first = a_claim("alice", "1");
    store.claim_key(&first, noon()).await.unwrap();
    let second = KeyClaim {
        expires_at: first.expires_at + Duration::from_secs(60),
        ..a_claim("alice", "1")
    };
    let just_before = first.expires_at - Duration::from_millis(1);
    assert_eq!(store.claim_key(&second, just_before).await.unwrap(), first);
    let then = first.expires_at;
    assert_eq!(store.claim_key(&second, then).await.unwrap(), second);
    assert_eq!(store.claim_key(&first, then).await.unwrap(), second);
}

/// Everybody gets the same answer.
pub async fn of_concurrent_claims_one_stands(store: Arc<dyn BatchStore>) {
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let store = Arc::clone(&store);
        let claim = a_claim("alice", "1");
        tasks.spawn(async move { store.claim_key(&claim, noon()).await.unwrap().batch });
    }
    let mut answers = tasks.join_all().await;
    answers.dedup();
    assert_eq!(answers.len(), 1);
}
