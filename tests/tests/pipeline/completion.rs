//! From the last part of a batch to its report.

use std::time::Instant;

use domain::ports::Queue;
use domain::{BatchStatus, ChunkMessage, Counters, FinalizeMessage, MetricsMessage, Outcome};
use pipeline::analyze_chunk::Budget;
use pipeline::finalize::{finalize, read_report};
use pipeline::record_metrics::record_metrics;
use pipeline::split::{SplitEnd, SplitSettings, split};

use crate::faults::{Fault, Plan};
use crate::support::{Scene, counted_by_part, split_message};

/// `count` rows of which the first alone is fetched.
fn cheap_list(scene: &Scene, count: usize) -> String {
    format!("{}\n", scene.image(0)).repeat(count)
}

#[tokio::test]
async fn the_last_part_completes_its_batch_once_and_asks_for_the_report() {
    let scene = Scene::new();
    let (id, messages) = scene.start_and_split(scene.good_list(4), 2).await;
    scene.analyze(messages[1]).await;
    assert_eq!(scene.status(id).await, BatchStatus::Processing);
    assert_eq!(scene.waiting(Queue::Finalize).await, 0);
    scene.analyze(messages[0]).await;
    scene.assert_completed(id, 4).await;
    let batch = scene.batch(id).await;
    assert!(batch.finalize_sent && !batch.report_ready);
    assert!(batch.ended_at.is_some());

    for message in messages {
        scene.analyze(message).await;
    }
    assert_eq!(scene.completions(id), 1);
    assert_eq!(scene.batch(id).await, batch);
    let finalize: Vec<FinalizeMessage> = scene.take(Queue::Finalize).await;
    assert_eq!(
        finalize,
        [FinalizeMessage {
            batch: id,
            notice: None
        }]
    );
}

#[tokio::test]
async fn a_part_that_died_after_it_completed_its_batch_asks_for_the_report_when_it_comes_again() {
    let scene = Scene::new();
    for (call, fault) in [
        ("queue send finalize", Fault::CrashBefore),
        ("queue send finalize", Fault::Refused),
        ("store batch", Fault::CrashBefore),
    ] {
        let (id, messages) = scene.start_and_split(scene.good_list(2), 2).await;
        // The second look at the batch is the one before the message.
        let nth = if call == "store batch" { 2 } else { 1 };
        let (ports, tap) = scene.tapped(Plan { call, nth, fault });
        let analyzer = scene.analyzer(&ports);
        let work = analyzer.analyze_chunk(&messages[0], Budget::default());
        drop(tap.run(work).await);
        scene.assert_completed(id, 2).await;
        assert_eq!(scene.waiting(Queue::Finalize).await, 0, "{call}, {fault:?}");

        scene.analyze(messages[0]).await;
        let sent: Vec<FinalizeMessage> = scene.take(Queue::Finalize).await;
        assert_eq!(sent.len(), 1, "{call}, {fault:?}");
        assert!(scene.batch(id).await.finalize_sent);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_parts_of_several_shards_at_once_complete_their_batch_once() {
    let scene = Scene::new();
    let (id, mut messages) = scene.start_and_split(cheap_list(&scene, 102), 1).await;
    // One part of each shard is left to be done.
    let last_of = [messages.remove(101), messages.remove(50)];
    for message in messages {
        scene.analyze(message).await;
    }
    let [first, second] = last_of;
    tokio::join!(
        scene.analyze(first),
        scene.analyze(second),
        scene.analyze(first),
        scene.analyze(second)
    );
    scene.assert_completed(id, 102).await;
    assert!(
        !scene
            .take::<FinalizeMessage>(Queue::Finalize)
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_batch_whose_last_part_was_done_before_its_split_ended_completes_with_the_split() {
    let scene = Scene::new();
    let id = scene.start(cheap_list(&scene, 100), 1).await;
    let settings = SplitSettings {
        soft_deadline: Some(Instant::now()),
        ..scene.split_settings()
    };
    let end = split(&scene.ports, &settings, &split_message(id)).await;
    assert!(matches!(end.unwrap(), SplitEnd::Continued(_)));
    for message in scene.take::<ChunkMessage>(Queue::Chunks).await {
        scene.analyze(message).await;
    }
    assert_eq!(scene.counters(id).await.rows, 100);
    assert_eq!(scene.status(id).await, BatchStatus::Splitting);

    let end = scene.split(id).await;
    assert!(matches!(end, SplitEnd::Done(_)), "{end:?}");
    scene.assert_completed(id, 100).await;
    assert_eq!(scene.waiting(Queue::Finalize).await, 1);
}

#[tokio::test]
async fn the_report_is_a_recount_and_a_repeat_writes_the_same() {
    let scene = Scene::new();
    let list = format!(
        "{}{}\n{}\nnot a url\n",
        scene.good_list(3),
        scene.image(0),
        scene.origin.url("/status/404")
    );
    let (id, _) = scene.start_and_split(list, 2).await;
    assert_eq!(finalize(&scene.ports, id).await.unwrap(), None);
    assert_eq!(read_report(&scene.ports, id).await.unwrap(), None);
    for chunk in 0..3 {
        let message = crate::support::chunk_message(id, chunk);
        scene.analyze(message).await;
    }
    let report = finalize(&scene.ports, id).await.unwrap().unwrap();
    let recount: Counters = scene.results(id).await.iter().collect();
    assert_eq!(counted_by_part(&report), recount);
    assert_eq!((report.ok, report.failed), (3, 2));
    assert_eq!(report.counters.outcome(Outcome::DuplicateUrl), 1);
    assert_eq!(report.formats.len(), 1);
    assert_eq!(report.formats[0].rows, 3);
    assert_eq!(report.hosts, 1);
    let example = &report.examples[&Outcome::NotFound][0];
    assert_eq!(example.row, 4);
    assert!(scene.batch(id).await.report_ready);
    let stored = read_report(&scene.ports, id).await.unwrap();
    assert_eq!(stored.as_ref(), Some(&report));

    let again = finalize(&scene.ports, id).await.unwrap().unwrap();
    assert_eq!(again.counters, report.counters);
    assert_eq!(again.elapsed_s.to_bits(), report.elapsed_s.to_bits());
}

#[tokio::test]
async fn the_same_metrics_message_adds_once() {
    let scene = Scene::new();
    let (_, messages) = scene.start_and_split(scene.good_list(5), 3).await;
    for message in &messages {
        scene.analyze(*message).await;
        scene.analyze(*message).await;
    }
    let sent: Vec<MetricsMessage> = scene.take(Queue::Metrics).await;
    assert_eq!(sent.len(), 4, "a part that is done again sends again");
    let mut added = 0;
    for message in sent.iter().chain(&sent) {
        added += u32::from(record_metrics(&scene.ports, message).await.unwrap());
    }
    assert_eq!(added, 2);
    let sum = scene.indicators().await;
    assert_eq!((sum.parts, sum.counters.rows), (2, 5));
    assert_eq!(sum.counters.ok(), 5);
}
