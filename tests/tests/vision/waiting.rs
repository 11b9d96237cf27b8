//! Waiting for permits takes no handler's time.

use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::ports::Queue;
use domain::{Priority, VisionMessage, VisionOptions};
use pipeline::cancel::cancel;
use pipeline::progress;
use tokio::time::Instant;

use crate::scene::{Delivery, Scene, keys};

/// For 1,000 images at two permits a second.
const AS_PERMITTED: Duration = Duration::from_secs(540);

#[tokio::test]
async fn with_two_permits_a_second_handlers_work_for_less_than_a_twentieth_of_the_time() {
    // A machine that is busy with something else is a slower one: then once more.
    let mut wall = one_worker_waits().await;
    if wall >= AS_PERMITTED {
        wall = one_worker_waits().await;
    }
    // It took no longer than the permits did: 1,000 at two a second.
    assert!(wall < AS_PERMITTED, "{wall:?}");
    println!("{wall:?} for 1,000 images");
}

/// One worker labels 1,000 images; how long that takes.
async fn one_worker_waits() -> Duration {
    let scene = Scene::new(keys(2, 60), Duration::from_millis(300)).await;
    let batch = scene
        .analysed(1_000, 1_000, 100, VisionOptions::default())
        .await;
    tokio::time::pause();
    let started = Instant::now();
    let how = Delivery {
        workers: 1,
        twice: false,
        deaths: 0,
    };
    let worked = scene.label_all(how).await;
    let wall = started.elapsed();
    let handlers = Duration::from_millis(worked.handler_ms.load(Ordering::SeqCst));
    let share = handlers.as_secs_f64() / wall.as_secs_f64();
    let deliveries = worked.deliveries.load(Ordering::SeqCst);
    assert_eq!(scene.provider.paid_calls(), 1_000);
    assert!(share < 0.05, "{share} of {deliveries} deliveries");
    scene.finish(batch).await;
    tokio::time::resume();
    wall
}

#[tokio::test]
async fn a_cancel_ends_the_calls_of_a_step_that_is_under_way() {
    const IMAGES: u64 = 300;
    let mut scene = Scene::new(keys(40, 60), Duration::from_secs(2)).await;
    // Permits for all of them, and two minutes and a half of calls.
    scene.calls_at_once = 4;
    let batch = scene
        .analysed(
            IMAGES as usize,
            IMAGES as usize,
            300,
            VisionOptions::default(),
        )
        .await;
    let messages: Vec<VisionMessage> = scene.take(Queue::Vision).await;
    tokio::time::pause();
    let labeller = scene.labeller();
    let owner = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        cancel(&scene.ports, batch).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        (Instant::now(), scene.provider.paid_calls())
    };
    let (labelled, (two_seconds_later, paid)) =
        tokio::join!(labeller.label(&messages[0], None), owner);
    labelled.unwrap();
    assert!((4..IMAGES / 4).contains(&paid), "{paid} calls");
    // What was under way ended.
    assert!(two_seconds_later.elapsed() < Duration::from_secs(2));
    scene
        .label_all(Delivery {
            workers: 1,
            twice: false,
            deaths: 0,
        })
        .await;
    assert_eq!(scene.provider.paid_calls(), paid);
    let vision = progress::total(&scene.ports, batch).await.unwrap().vision;
    assert_eq!((vision.expected, vision.done), (IMAGES, IMAGES));
    assert_eq!((vision.labelled, vision.calls), (paid, paid));
}

#[tokio::test]
async fn a_batch_of_high_priority_goes_before_one_that_waits() {
    let scene = Scene::new(keys(2, 60), Duration::from_millis(300)).await;
    let normal = scene
        .analysed(400, 400, 100, VisionOptions::default())
        .await;
    let wish = VisionOptions {
        priority: Priority::High,
        ..VisionOptions::default()
    };
    let high = scene.analysed_of(1_000..1_440, 20, wish).await;
    tokio::time::pause();
    let how = Delivery {
        workers: 2,
        twice: false,
        deaths: 0,
    };
    let started = Instant::now();
    let ended = async {
        let mut ended = Vec::new();
        for batch in [normal, high].iter().cycle() {
            if scene.status(*batch).await == domain::BatchStatus::Completed
                && !ended.contains(batch)
            {
                println!("{batch} ended after {:?}", started.elapsed());
                if ended.is_empty() {
                    // Alone they would take 220 seconds, at two permits a second; the other batch has as many images.
                    assert!(started.elapsed() < Duration::from_secs(290));
                }
                ended.push(*batch);
                if ended.len() == 2 {
                    break;
                }
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        ended
    };
    let (ended, _) = tokio::join!(ended, scene.label_all(how));
    assert_eq!(ended, [high, normal]);
}
