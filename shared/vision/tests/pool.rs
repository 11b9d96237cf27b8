//! The pool against a provider that holds every key to a limit it does not tell.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a fault ends the test, and figures are told"
)]

mod simulation;

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::ports::Clock;
use secrecy::SecretString;
use simulation::{Scene, ten_keys};
use test_support::vision_provider::KeyCount;
use vision::{KeyPool, RateSettings, Take};

/// Every key near what it is permitted, and next to nothing refused.
fn assert_well_used(counts: &BTreeMap<String, KeyCount>, per_minute: u64, minutes: u64) {
    let permitted: u64 = counts.values().map(|count| count.permitted).sum();
    let rejected: u64 = counts.values().map(|count| count.rejected).sum();
    let possible = per_minute * minutes * counts.len() as u64;
    let share = permitted as f64 / possible as f64;
    let refused = rejected as f64 / (permitted + rejected) as f64;
    println!(
        "{:.1} % of the permitted calls made, {:.2} % of the calls refused",
        share * 100.0,
        refused * 100.0
    );
    assert!(share >= 0.95, "{share} of the permitted rate: {counts:#?}");
    assert!(refused <= 0.01, "{refused} refused: {counts:#?}");
    for (key, count) in counts {
        let share = count.permitted as f64 / (per_minute * minutes) as f64;
        assert!(share >= 0.93, "{key} was idle: {share}");
    }
}

#[tokio::test(start_paused = true)]
async fn ten_keys_and_eight_workers_find_what_is_permitted_and_keep_to_it() {
    let scene = Scene::start(ten_keys(60));
    // The rate climbs over what is permitted, and learns.
    scene.watch(5).await;
    assert_well_used(&scene.watch(30).await, 60, 30);
    let stats = scene.stop().await;
    let writes = stats.writes as f64 / stats.calls as f64;
    println!("{writes:.3} writes a call, {stats:?}");
    assert!(writes <= 0.2, "{writes} writes a call");
}

#[tokio::test(start_paused = true)]
async fn a_silent_change_from_60_to_20_calls_a_minute_is_learned() {
    let scene = Scene::start(ten_keys(60));
    scene.watch(10).await;
    scene.provider.permit(20);
    let learning = scene.watch(3).await;
    let rejected: u64 = learning.values().map(|count| count.rejected).sum();
    println!("{rejected} calls refused while ten keys learned");
    assert!(rejected <= 350, "{rejected}");
    scene.watch(5).await;
    assert_well_used(&scene.watch(30).await, 20, 30);
    // And back.
    scene.provider.permit(60);
    scene.watch(60).await;
    assert_well_used(&scene.watch(20).await, 60, 20);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_known_is_tried_once_by_one_block_and_then_retired() {
    let mut keys = ten_keys(60);
    keys[3].1.is_valid = false;
    let scene = Scene::start(keys);
    let counts = scene.watch(10).await;
    let unknown = counts["key-3"].unknown;
    assert!((1..=10).contains(&unknown), "{unknown}");
    let states = scene.pool().states().await.unwrap();
    let now = scene.clock.now();
    let retired = states.iter().filter(|(_, key)| key.is_retired(now));
    assert_eq!(retired.count(), 1, "{states:?}");
    let others = counts.iter().filter(|(key, _)| *key != "key-3");
    for (key, count) in others {
        assert!(count.permitted > 500, "{key}: {count:?}");
    }
    assert_eq!(scene.stop().await.retired, 1);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_takes_few_calls_at_once_is_given_few_at_once() {
    let mut keys = ten_keys(60);
    for (_, rules) in &mut keys {
        rules.per_second = Some(4);
    }
    let scene = Scene::start(keys);
    scene.watch(10).await;
    let counts = scene.watch(20).await;
    let permitted: u64 = counts.values().map(|count| count.permitted).sum();
    let rejected: u64 = counts.values().map(|count| count.rejected).sum();
    println!("{permitted} calls made, {rejected} refused");
    assert!(permitted >= 60 * 20 * 10 * 80 / 100, "{permitted}");
    assert!(rejected * 100 <= permitted * 3, "{rejected}");
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_are_given_turns_apart_from_each_other() {
    let scene = Scene::start(Vec::new());
    let store = Arc::clone(&scene.store);
    let keys = [SecretString::from("key".to_owned())];
    let clock = scene.clock.clone();
    let pool = KeyPool::new("turns", keys, RateSettings::default(), store, clock);
    while let Take::Granted(_) = pool.take(10).await.unwrap() {}
    let now = scene.clock.now();
    let mut turns = Vec::new();
    for _ in 0..4 {
        let turn = pool.book_turn(100).await.unwrap();
        turns.push(turn.duration_since(now).as_secs_f64().round() as i64);
    }
    // The first when there are enough permits, then nine a turn, at one a second.
    assert_eq!(turns, [8, 17, 26, 35]);
    scene.stop().await;
}
