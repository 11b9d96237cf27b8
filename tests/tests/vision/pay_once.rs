//! Each content is paid for once, whatever the queue and the processes do.

use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::VisionOptions;

use crate::scene::{Delivery, Scene, keys};

/// Rows of a large batch, and the distinct images among them: 3,000 of 10,000 with `VISION_ROWS=10000`, as `make faults` has it.
fn sizes() -> (usize, usize) {
    let rows = std::env::var("VISION_ROWS").map_or(1_500, |rows| rows.parse().unwrap());
    (rows, rows * 3 / 10)
}

#[tokio::test]
async fn rows_of_the_same_images_are_paid_for_once_under_duplicate_delivery_and_never_again() {
    let (rows, distinct) = sizes();
    let chunk_size = u32::try_from(rows / 20).unwrap();
    let scene = Scene::new(keys(10, 100_000), Duration::from_millis(300)).await;
    let first = scene
        .analysed(rows, distinct, chunk_size, VisionOptions::default())
        .await;
    tokio::time::pause();
    let how = Delivery {
        workers: 8,
        twice: true,
        deaths: 0,
    };
    scene.label_all(how).await;
    assert_eq!(scene.provider.paid_calls(), distinct as u64);
    let report = scene.finish(first).await;
    let vision = report.counters.vision;
    assert_eq!(vision.expected, rows as u64);
    assert_eq!(vision.labelled, rows as u64);
    // Of two attempts at a part that pay for some of its images each, one is dropped; what it paid is counted all the same.
    assert_eq!(vision.reused, (rows - distinct) as u64);
    assert_eq!(vision.calls, distinct as u64);
    assert_eq!(vision.micro_usd, distinct as u64 * 210);

    tokio::time::resume();
    let second = scene
        .analysed(rows, distinct, chunk_size, VisionOptions::default())
        .await;
    tokio::time::pause();
    scene.label_all(how).await;
    assert_eq!(scene.provider.paid_calls(), distinct as u64);
    let vision = scene.finish(second).await.counters.vision;
    assert_eq!((vision.reused, vision.calls), (rows as u64, 0));
    assert_eq!(vision.micro_usd, 0);
}

#[tokio::test]
async fn duplicates_and_deaths_together_cost_what_was_under_way_and_nothing_else() {
    let (rows, distinct) = sizes();
    let chunk_size = u32::try_from(rows / 100).unwrap();
    let scene = Scene::new(keys(10, 100_000), Duration::from_millis(300)).await;
    let batch = scene
        .analysed(rows, distinct, chunk_size, VisionOptions::default())
        .await;
    tokio::time::pause();
    let how = Delivery {
        workers: 8,
        twice: true,
        deaths: 2,
    };
    let worked = scene.label_all(how).await;
    let deaths = worked.deaths.load(Ordering::SeqCst);
    let lost = scene.lost.load(Ordering::SeqCst);
    let paid = scene.provider.paid_calls();
    println!(
        "{paid} calls paid for {distinct} images, {deaths} deaths with {lost} calls under way"
    );
    assert!(deaths >= (rows as u64 / 1_000).max(5), "{deaths}");
    let distinct = distinct as u64;
    // Answers are stored one by one as they come: beside the calls that were under way, a death can cost those whose answer had come
    // and was not stored yet, and of them there are as many as are stored at once.
    assert!(
        (distinct..=distinct + lost + deaths).contains(&paid),
        "{paid} paid, {lost} lost, {deaths} deaths"
    );
    let vision = scene.finish(batch).await.counters.vision;
    assert_eq!(vision.labelled, rows as u64);
    // The report knows of every answer that was paid for and is of use.
    assert!(
        (distinct..=distinct + deaths).contains(&vision.calls),
        "{vision:?}"
    );
}

#[tokio::test]
async fn a_worker_that_dies_costs_one_call_at_most() {
    let mut scene = Scene::new(keys(10, 100_000), Duration::from_millis(300)).await;
    // One call under way at a time: what a death can cost is what is under way.
    scene.calls_at_once = 1;
    let batch = scene
        .analysed(1_500, 600, 25, VisionOptions::default())
        .await;
    tokio::time::pause();
    let how = Delivery {
        workers: 8,
        twice: false,
        deaths: 3,
    };
    let worked = scene.label_all(how).await;
    let deaths = worked.deaths.load(Ordering::SeqCst);
    let paid = scene.provider.paid_calls();
    println!("{paid} calls paid for 600 images, {deaths} deaths");
    assert!(deaths >= 5, "{deaths}");
    assert!(
        (600..=600 + deaths).contains(&paid),
        "{paid} paid, {deaths} deaths"
    );
    for (_, times) in scene.provider.paid_images() {
        assert!(times <= 1 + deaths);
    }
    let vision = scene.finish(batch).await.counters.vision;
    assert_eq!((vision.expected, vision.labelled), (1_500, 1_500));
}

#[tokio::test]
async fn a_batch_stops_at_its_budget_and_says_so() {
    let mut scene = Scene::new(keys(10, 100_000), Duration::from_millis(300)).await;
    scene.calls_at_once = 10;
    let wish = VisionOptions {
        // A call costs 210: money for 100 of them.
        budget_micro_usd: Some(21_000),
        ..VisionOptions::default()
    };
    let batch = scene.analysed(600, 600, 200, wish).await;
    tokio::time::pause();
    let how = Delivery {
        workers: 2,
        twice: false,
        deaths: 0,
    };
    scene.label_all(how).await;
    let paid = scene.provider.paid_calls();
    // What is under way when the money is gone is paid all the same: a worker's calls each.
    assert!((100..=120).contains(&paid), "{paid}");
    let vision = scene.finish(batch).await.counters.vision;
    assert_eq!(vision.labelled, paid);
    assert_eq!(vision.over_budget, 600 - paid);
    assert_eq!(vision.done, 600);
    assert_eq!(vision.micro_usd, 210 * paid);
    let rows = scene.rows(batch).await;
    let skipped = rows.iter().filter(|row| {
        let vision = row.vision.as_ref().unwrap();
        vision
            .get("skipped")
            .is_some_and(|why| why.as_str().unwrap().contains("budget"))
    });
    assert_eq!(skipped.count() as u64, 600 - paid);
}
