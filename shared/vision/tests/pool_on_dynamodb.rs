//! The pool over the table that all functions share, in place of a file.
#![expect(clippy::unwrap_used, reason = "a fault ends the test")]

#[expect(dead_code, reason = "the tests over a file use more of it")]
mod simulation;

use adapters_aws::{Aws, Settings};
use aws_emulators::Stack;
use simulation::{Scene, ten_keys};

/// A minute passes in three seconds; what the table takes for an answer seems twenty times as long.
const SPEED: u32 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn ten_keys_and_eight_workers_share_a_table_with_a_write_to_a_block() {
    let stack = Stack::create().await;
    let settings = Settings::from_lookup(|name| stack.variables().get(name).cloned());
    let store = Aws::new(settings.unwrap()).unwrap().keys();
    let scene = Scene::start_over(store, Box::new(stack), ten_keys(60), SPEED);
    scene.watch(1).await;
    let counts = scene.watch(2).await;
    let permitted: u64 = counts.values().map(|count| count.permitted).sum();
    let rejected: u64 = counts.values().map(|count| count.rejected).sum();
    let stats = scene.stop().await;
    // Two that write at the same moment are twenty times as likely as they would be: what counts are the writes that were kept.
    let writes = (stats.writes - stats.lost_writes) as f64 / stats.calls as f64;
    println!("{permitted} calls made, {rejected} refused, {writes:.3} writes a call, {stats:?}");
    assert!(writes <= 0.2, "{writes} writes a call");
    // Of 1,200 that are permitted, while permits still come late by the table's answers.
    assert!(permitted >= 1_000, "{permitted}");
    assert!(rejected * 20 <= permitted, "{rejected} refused");
    for (key, count) in counts {
        assert!(count.permitted >= 80, "{key} was idle: {count:?}");
    }
}
