//! What an owner reads in the end.

use std::time::Duration;

use domain::{VisionOptions, VisionReuse};
use test_support::vision_provider::Mischief;

use crate::scene::{Delivery, Scene, keys};

const PLAIN: Delivery = Delivery {
    workers: 3,
    twice: false,
    deaths: 0,
};

#[tokio::test]
async fn every_row_of_an_image_says_what_it_shows() {
    let scene = Scene::new(keys(3, 60), Duration::from_millis(300)).await;
    let batch = scene.analysed(60, 20, 25, VisionOptions::default()).await;
    tokio::time::pause();
    scene.label_all(PLAIN).await;
    let report = scene.finish(batch).await;
    let vision = report.counters.vision;
    assert_eq!(
        (vision.expected, vision.done, vision.labelled),
        (60, 60, 60)
    );
    assert_eq!((vision.calls, vision.input_tokens), (20, 20_000));
    assert_eq!(vision.micro_usd, 20 * 210);
    let rows = scene.rows(batch).await;
    assert_eq!(rows.len(), 60);
    for row in &rows {
        let vision = row.vision.as_ref().unwrap();
        assert_eq!(vision["provider"], "stand-in/model");
        assert_eq!(vision["labels"][0]["name"], "shoe");
        let twin = rows
            .iter()
            .find(|other| other.sha256 == row.sha256)
            .unwrap();
        assert_eq!(twin.vision, row.vision);
    }
    let captions: std::collections::BTreeSet<String> = rows
        .iter()
        .map(|row| row.vision.as_ref().unwrap()["caption"].to_string())
        .collect();
    assert!(captions.len() > 15, "{captions:?}");
    // The images were kept for the model alone.
    use object_store::ObjectStore;
    let kept = scene.data.objects();
    let prefix = object_store::path::Path::from(domain::keys::vision_images(batch));
    use futures::TryStreamExt;
    let left: Vec<_> = kept.list(Some(&prefix)).try_collect().await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn failing_slow_and_malformed_answers_are_overcome_or_told() {
    let mut rules = keys(5, 60);
    rules[2].1.is_valid = false;
    let scene = Scene::new(rules, Duration::from_millis(300)).await;
    scene.provider.misbehave(Mischief {
        failing: 7,
        malformed: 5,
        slow: 11,
    });
    let batch = scene.analysed(300, 300, 50, VisionOptions::default()).await;
    tokio::time::pause();
    scene.label_all(PLAIN).await;
    let vision = scene.finish(batch).await.counters.vision;
    println!("{vision:?}");
    assert_eq!((vision.expected, vision.done), (300, 300));
    assert_eq!(vision.labelled + vision.errors, 300);
    // One in five answers is malformed, and each is asked for once more.
    assert!((1..=40).contains(&vision.errors), "{vision:?}");
    let rows = scene.rows(batch).await;
    let errors = rows
        .iter()
        .filter(|row| row.vision.as_ref().unwrap().contains_key("error"));
    assert_eq!(errors.count() as u64, vision.errors);
}

#[tokio::test]
async fn without_a_key_that_is_accepted_a_batch_ends_all_the_same() {
    let mut rules = keys(2, 60);
    for (_, rules) in &mut rules {
        rules.is_valid = false;
    }
    let scene = Scene::new(rules, Duration::from_millis(300)).await;
    let batch = scene.analysed(30, 30, 30, VisionOptions::default()).await;
    tokio::time::pause();
    scene.label_all(PLAIN).await;
    let vision = scene.finish(batch).await.counters.vision;
    assert_eq!((vision.done, vision.errors, vision.calls), (30, 30, 0));
}

#[tokio::test]
async fn answers_of_images_that_look_the_same_are_shared_when_asked_for() {
    let scene = Scene::new(keys(3, 60), Duration::from_millis(300)).await;
    let wish = VisionOptions {
        reuse: VisionReuse::Near,
        ..VisionOptions::default()
    };
    let batch = scene.analysed(40, 40, 40, wish).await;
    tokio::time::pause();
    scene.label_all(PLAIN).await;
    let vision = scene.finish(batch).await.counters.vision;
    // Noise differs in its hashes; nothing is shared that is not alike.
    assert_eq!((vision.labelled, vision.calls), (40, 40));
}

#[tokio::test]
async fn a_labelling_that_was_given_up_ends_its_batch() {
    let scene = Scene::new(keys(1, 60), Duration::from_millis(300)).await;
    let batch = scene.analysed(10, 10, 10, VisionOptions::default()).await;
    let messages: Vec<domain::VisionMessage> = scene.take(domain::ports::Queue::Vision).await;
    let [message] = messages.as_slice() else {
        panic!("{messages:?}");
    };
    for _ in 0..2 {
        let body = serde_json::to_string(message).unwrap();
        let queue = domain::ports::Queue::Vision;
        pipeline::sweep::settle_dead_letter(&scene.ports, queue, &body)
            .await
            .unwrap();
    }
    let vision = scene.finish(batch).await.counters.vision;
    assert_eq!((vision.done, vision.errors), (10, 10));
}
