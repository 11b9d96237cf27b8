//! A key stands for one request of one owner, for a day.

use std::time::Duration;

use domain::ports::Ids;
use pipeline::idempotency::{Claim, IdempotencyKey, KEPT, claim};

use crate::support::Scene;

#[tokio::test]
async fn a_key_stands_for_the_request_it_was_first_sent_with() {
    let scene = Scene::new();
    let key: IdempotencyKey = "order 7".parse().unwrap();
    let id = || domain::ports::UlidIds.batch_id();
    let ask = async |owner: &str, request: &str, batch| {
        claim(&scene.ports, owner, &key, &request, batch)
            .await
            .unwrap()
    };
    let first = id();
    assert_eq!(ask("alice", "spring", first).await, Claim::New);
    assert_eq!(ask("alice", "spring", first).await, Claim::New);
    assert_eq!(ask("alice", "spring", id()).await, Claim::Repeat(first));
    assert_eq!(ask("alice", "autumn", id()).await, Claim::Taken);
    assert_eq!(ask("bob", "autumn", id()).await, Claim::New);
    scene
        .clock
        .advance(KEPT.saturating_sub(Duration::from_millis(1)));
    assert_eq!(ask("alice", "autumn", id()).await, Claim::Taken);
    scene.clock.advance(Duration::from_millis(1));
    assert_eq!(ask("alice", "autumn", id()).await, Claim::New);
}
