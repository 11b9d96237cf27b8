//! What every [`domain::ports::AccessStore`] must do.

use std::sync::Arc;
use std::time::Duration;

use domain::ports::{AccessStore, Creation};
use domain::{AccessToken, Scope, TokenHash};
use jiff::Timestamp;
use tokio::task::JoinSet;

/// Runs the suite against the store that `$make` answers with: `async fn() -> (Arc<dyn AccessStore>, impl Sized)`.
#[macro_export]
macro_rules! access_store_contract {
    ($make:path) => {
        $crate::contract_tests!(access_store, $make,
            a_token_is_found_by_its_hash_as_it_was_given
            an_unknown_hash_is_none
            a_name_is_taken_once
            tokens_are_listed_by_name
            a_revoked_token_says_when_first
            an_unknown_token_is_not_revoked
            uses_add_up_by_counter
            concurrent_uses_all_count
        );
    };
}

fn noon() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn a_token(name: &str, hash: u8) -> AccessToken {
    AccessToken {
        name: name.to_owned(),
        owner: "team".to_owned(),
        scope: Scope::Write,
        sha256: TokenHash([hash; 32]),
        created_at: noon(),
        revoked_at: None,
        requests_per_minute: Some(60),
        uploads_per_day: None,
    }
}

async fn found(store: &dyn AccessStore, hash: u8) -> Option<AccessToken> {
    store.token_by_hash(&TokenHash([hash; 32])).await.unwrap()
}

/// Every field arrives.
pub async fn a_token_is_found_by_its_hash_as_it_was_given(store: Arc<dyn AccessStore>) {
    let token = a_token("alice", 1);
    assert_eq!(store.create_token(&token).await.unwrap(), Creation::Created);
    assert_eq!(found(&*store, 1).await, Some(token));
}

/// Nobody is let in by accident.
pub async fn an_unknown_hash_is_none(store: Arc<dyn AccessStore>) {
    store.create_token(&a_token("alice", 1)).await.unwrap();
    assert_eq!(found(&*store, 2).await, None);
}

/// Also when the token of that name is revoked: its owner's batches must not change hands by a name.
pub async fn a_name_is_taken_once(store: Arc<dyn AccessStore>) {
    let first = a_token("alice", 1);
    store.create_token(&first).await.unwrap();
    let again = store.create_token(&a_token("alice", 2)).await.unwrap();
    assert_eq!(again, Creation::AlreadyThere);
    assert_eq!(found(&*store, 2).await, None);
    assert!(store.revoke_token("alice", noon()).await.unwrap());
    let again = store.create_token(&a_token("alice", 3)).await.unwrap();
    assert_eq!(again, Creation::AlreadyThere);
    assert_eq!(store.tokens().await.unwrap().len(), 1);
}

/// Whatever the order they were made in.
pub async fn tokens_are_listed_by_name(store: Arc<dyn AccessStore>) {
    assert_eq!(store.tokens().await.unwrap(), []);
    for (name, hash) in [("carol", 1), ("alice", 2), ("bob", 3)] {
        store.create_token(&a_token(name, hash)).await.unwrap();
    }
    let tokens = store.tokens().await.unwrap();
    let names: Vec<&str> = tokens.iter().map(|token| token.name.as_str()).collect();
    assert_eq!(names, ["alice", "bob", "carol"]);
}

/// A second revocation changes nothing.
pub async fn a_revoked_token_says_when_first(store: Arc<dyn AccessStore>) {
    store.create_token(&a_token("alice", 1)).await.unwrap();
    store.create_token(&a_token("bob", 2)).await.unwrap();
    assert!(store.revoke_token("alice", noon()).await.unwrap());
    let later = noon() + Duration::from_secs(60);
    assert!(store.revoke_token("alice", later).await.unwrap());
    let revoked = found(&*store, 1).await.unwrap();
    assert_eq!(revoked.revoked_at, Some(noon()));
    assert_eq!(found(&*store, 2).await.unwrap().revoked_at, None);
    let listed = store.tokens().await.unwrap();
    assert_eq!(listed.first(), Some(&revoked));
}

/// It is said, so that a slip of the pen is seen.
pub async fn an_unknown_token_is_not_revoked(store: Arc<dyn AccessStore>) {
    assert!(!store.revoke_token("nobody", noon()).await.unwrap());
}

/// Counters are apart.
pub async fn uses_add_up_by_counter(store: Arc<dyn AccessStore>) {
    let later = Timestamp::now() + Duration::from_secs(600);
    assert_eq!(store.count_use("alice 1", 3, later).await.unwrap(), 3);
    assert_eq!(store.count_use("alice 2", 1, later).await.unwrap(), 1);
    assert_eq!(store.count_use("alice 1", 4, later).await.unwrap(), 7);
    assert_eq!(store.count_use("alice 1", 0, later).await.unwrap(), 7);
}

/// No use is lost, and no two see the same sum.
pub async fn concurrent_uses_all_count(store: Arc<dyn AccessStore>) {
    let later = Timestamp::now() + Duration::from_secs(600);
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { store.count_use("alice", 1, later).await.unwrap() });
    }
    let mut sums = tasks.join_all().await;
    sums.sort_unstable();
    assert!(sums.into_iter().eq(1..=20));
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_function_of_the_suite_is_run() {
        let source = include_str!("access_store.rs");
        assert_eq!(crate::functions_in(source), crate::names_listed_in(source));
    }
}
