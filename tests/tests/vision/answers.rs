//! What an owner reads in the end.

use futures::TryStreamExt;
use object_store::ObjectStore;
use std::time::Duration;

use domain::{VisionOptions, VisionReuse};
use test_support::vision_provider::Mischief;

use crate::scene::{COPIES, Delivery, Scene, keys};

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
    let kept = scene.data.objects();
    let prefix = object_store::path::Path::from(domain::keys::vision_images(batch));
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
async fn copies_with_other_bytes_are_paid_for_once_with_what_looks_the_same() {
    let scene = Scene::new(keys(10, 100_000), Duration::from_millis(300)).await;
    let near = || VisionOptions {
        reuse: VisionReuse::Near,
        ..VisionOptions::default()
    };
    let copy = |number: usize| number + COPIES as usize;
    // Paid for by their bytes, in a batch that shares nothing …
    let exact = scene.analysed(30, 30, 10, VisionOptions::default()).await;
    tokio::time::pause();
    scene.label_all(PLAIN).await;
    scene.finish(exact).await;
    assert_eq!(scene.provider.paid_calls(), 30);
    // … they are known to the next batch, by their bytes …
    tokio::time::resume();
    let same = scene.analysed_of(0..30, 30, near()).await;
    tokio::time::pause();
    scene.label_all(PLAIN).await;
    assert_eq!(scene.finish(same).await.counters.vision.reused, 30);
    // … and from then on by their looks. Ten more that are new have two copies each, and are paid for once.
    tokio::time::resume();
    let numbers = (0..40).flat_map(|number| [copy(number), copy(copy(number))]);
    let copies = scene.analysed_of(numbers, 20, near()).await;
    tokio::time::pause();
    scene.label_all(PLAIN).await;
    let vision = scene.finish(copies).await.counters.vision;
    assert_eq!((vision.labelled, vision.calls), (80, 10), "{vision:?}");
    assert_eq!(scene.provider.paid_calls(), 40);
    let rows = scene.rows(copies).await;
    let bytes: std::collections::BTreeSet<_> = rows.iter().map(|row| &row.sha256).collect();
    assert_eq!(bytes.len(), 80, "no two files are the same");
    // By their bytes alone, half of the copies of the ten are still unknown, and all copies of the others.
    tokio::time::resume();
    let numbers = (0..40).map(copy);
    let exact = scene
        .analysed_of(numbers, 40, VisionOptions::default())
        .await;
    tokio::time::pause();
    scene.label_all(PLAIN).await;
    let vision = scene.finish(exact).await.counters.vision;
    assert!((30..=40).contains(&vision.calls), "{vision:?}");
}

#[tokio::test]
async fn a_model_that_does_not_exist_stops_the_stage_and_is_not_held_against_the_images() {
    let scene = Scene::new(keys(3, 1_000), Duration::from_millis(300)).await;
    scene.provider.has_model(false);
    let batch = scene
        .analysed(200, 200, 100, VisionOptions::default())
        .await;
    tokio::time::pause();
    let one = Delivery {
        workers: 1,
        ..PLAIN
    };
    scene.label_all(one).await;
    let vision = scene.finish(batch).await.counters.vision;
    assert_eq!((vision.errors, vision.calls), (200, 0));
    let rows = scene.rows(batch).await;
    for row in rows {
        let reason = row.vision.unwrap()["error"].to_string();
        assert!(reason.contains("cannot be asked like this"), "{reason}");
    }
    // Nothing of it was remembered: with the right model, each has its answer.
    scene.provider.has_model(true);
    tokio::time::resume();
    let batch = scene
        .analysed(200, 200, 100, VisionOptions::default())
        .await;
    tokio::time::pause();
    scene.label_all(one).await;
    let vision = scene.finish(batch).await.counters.vision;
    assert_eq!((vision.errors, vision.labelled), (0, 200));
}

#[tokio::test]
async fn calls_carry_more_images_as_long_as_answers_are_quick() {
    let mut calls = Vec::new();
    for latency in [Duration::from_millis(300), Duration::from_secs(3)] {
        let mut scene = Scene::new(keys(5, 1_000), latency).await;
        scene.max_images = 50;
        scene.calls_at_once = 4;
        let batch = scene
            .analysed(1_000, 1_000, 500, VisionOptions::default())
            .await;
        tokio::time::pause();
        let one = Delivery {
            workers: 1,
            ..PLAIN
        };
        scene.label_all(one).await;
        let vision = scene.finish(batch).await.counters.vision;
        assert_eq!((vision.labelled, vision.errors), (1_000, 0));
        assert_eq!(vision.calls, scene.provider.paid_calls());
        for times in scene.provider.paid_images().values() {
            assert_eq!(*times, 1, "each image was asked about once");
        }
        calls.push(vision.calls);
        tokio::time::resume();
    }
    println!(
        "{} calls with quick answers, {} with slow ones",
        calls[0], calls[1]
    );
    // Ten images a call at first and with slow answers; fifty at most.
    assert!((20..=50).contains(&calls[0]), "{calls:?}");
    assert!((100..=104).contains(&calls[1]), "{calls:?}");
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
