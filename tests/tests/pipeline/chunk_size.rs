//! Rows in a chunk that follow what is measured: set by the schedule, read by the split, held within a range.

use std::time::Duration;

use domain::ports::Clock;
use domain::{Minute, PartRef};
use pipeline::chunk_size::{ChunkSizes, chunk_size, tune_chunk_size};
use test_support::{a_batch, a_kpi_delta};
use tuning::Change;

use crate::support::Scene;

const SIZES: ChunkSizes = ChunkSizes {
    least: 100,
    most: 20_000,
    start: 1_000,
};

/// Parts with so many rows each, that worked for so long each, end in the running minute.
async fn parts_end(scene: &Scene, parts: u64, rows: u64, seconds: u64) {
    let now = scene.clock.now();
    let part = PartRef {
        batch: a_batch().id,
        chunk: u32::try_from(Minute::of(now).0 % 1_000_000).unwrap(),
        part: 0,
    };
    let mut delta = a_kpi_delta(parts * rows);
    delta.parts = parts;
    delta.busy_ms = parts * seconds * 1_000;
    let store = &scene.ports.store;
    assert!(store.add_kpis(part, Minute::of(now), &delta).await.unwrap());
}

async fn tune(scene: &Scene) -> Option<Change> {
    let monitoring = scene.data.monitoring();
    tune_chunk_size(&scene.ports, monitoring.as_ref(), &SIZES)
        .await
        .unwrap()
}

async fn next_list(scene: &Scene, sizes: &ChunkSizes) -> u32 {
    let monitoring = scene.data.monitoring();
    chunk_size(monitoring.as_ref(), sizes).await.unwrap()
}

#[tokio::test]
async fn chunks_that_are_over_too_soon_become_longer_and_then_stay() {
    let scene = Scene::new();
    assert_eq!(next_list(&scene, &SIZES).await, 1_000);
    parts_end(&scene, 30, 1_000, 5).await;
    let change = tune(&scene).await.unwrap();
    assert_eq!((change.from, change.to), (1_000, 5_000));
    assert!(change.reason.contains("5.0 s of work"), "{}", change.reason);
    assert_eq!(next_list(&scene, &SIZES).await, 5_000);
    // What was cut before is still being worked on: nothing is made of it.
    scene.clock.advance(Duration::from_secs(14 * 60));
    parts_end(&scene, 30, 1_000, 1).await;
    assert_eq!(tune(&scene).await, None);
    // As long as it should be: it stays, whatever chance does.
    for seconds in [25, 17, 38] {
        scene.clock.advance(Duration::from_secs(16 * 60));
        parts_end(&scene, 30, 5_000, seconds).await;
        assert_eq!(tune(&scene).await, None, "{seconds}");
    }
}

#[tokio::test]
async fn chunks_that_take_too_long_become_shorter_and_the_range_is_kept() {
    let scene = Scene::new();
    parts_end(&scene, 30, 1_000, 90).await;
    assert_eq!(tune(&scene).await.unwrap().to, 278);
    scene.clock.advance(Duration::from_secs(16 * 60));
    parts_end(&scene, 30, 278, 100).await;
    assert_eq!(tune(&scene).await.unwrap().to, 100);
    // A stack that was set up anew with another range.
    let narrow = ChunkSizes {
        least: 500,
        ..SIZES
    };
    assert_eq!(next_list(&scene, &narrow).await, 500);
}

#[tokio::test]
async fn few_parts_say_nothing() {
    let scene = Scene::new();
    parts_end(&scene, 19, 1_000, 1).await;
    assert_eq!(tune(&scene).await, None);
    assert_eq!(next_list(&scene, &SIZES).await, 1_000);
}
