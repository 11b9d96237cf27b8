//! Fetching and measuring the rows of a part.

use std::time::{Duration, Instant};

use domain::ports::{BatchChange, Queue};
use domain::{
    BatchOptions, BatchStatus, ChunkMessage, Counters, ImageFormat, MeasureMode, MetricsMessage,
    Outcome,
};
use pipeline::analyze_chunk::Budget;
use pipeline::retry::{Retried, retry};
use serde_json::json;

use crate::faults::{Fault, Plan};
use crate::support::{Scene, chunk_message, image_path};

#[tokio::test]
async fn every_row_ends_with_what_its_host_and_its_bytes_say() {
    let scene = Scene::new();
    let url = |path: &str| scene.origin.url(path);
    let list = [
        url("/image/plain.jpeg"),
        url("/status/404"),
        url("/html"),
        url("/truncated/plain.jpeg"),
        url("/redirect/2/dark.jpeg"),
        "http://10.0.0.1/a.jpg".to_owned(),
        url("/image/plain.jpeg"),
        "not a url".to_owned(),
    ];
    let (id, _) = scene.start_and_split(list.join("\n"), 3).await;
    for chunk in 0..3 {
        scene.analyze(chunk_message(id, chunk)).await;
    }
    let expected = [
        Outcome::Ok,
        Outcome::NotFound,
        Outcome::NotAnImage,
        Outcome::Truncated,
        Outcome::Ok,
        Outcome::BlockedAddress,
        Outcome::DuplicateUrl,
        Outcome::InvalidUrl,
    ];
    assert_eq!(scene.outcomes(id).await, expected);
    scene.assert_counts_add_up(id, 8).await;

    let rows = scene.results(id).await;
    let good = &rows[0];
    assert_eq!(good.format, Some(ImageFormat::Jpeg));
    assert_eq!((good.width, good.height), (Some(96), Some(64)));
    assert_eq!(good.sha256.as_ref().map(String::len), Some(64));
    assert_eq!(good.attempts, 1);
    assert!(good.elapsed_ms.is_some() && good.fetched_at.is_some());
    assert_eq!(rows[4].final_url, Some(url("/image/dark.jpeg")));
    for row in &rows {
        assert_eq!(row.detail.is_none(), row.outcome == Outcome::Ok, "{row:?}");
        assert_eq!(row.url, list[row.row as usize]);
    }
}

#[tokio::test]
async fn rows_whose_end_the_split_knew_are_not_fetched() {
    let scene = Scene::new();
    let path = image_path(0);
    let url = scene.origin.url(&path);
    let list = format!("{url}\n{url}\n{url}\nnot a url\n");
    let (id, messages) = scene.start_and_split(list, 2).await;
    for message in messages {
        scene.analyze(message).await;
    }
    assert_eq!(scene.origin.requests_for(&path), 1);
    assert_eq!(scene.origin.requests(), 1);
    let rows = scene.results(id).await;
    assert_eq!(rows[1].duplicate_of, Some(0));
    assert_eq!(rows[2].duplicate_of, Some(0));
    assert_eq!(rows[3].outcome, Outcome::InvalidUrl);
    scene.assert_counts_add_up(id, 4).await;
}

#[tokio::test]
async fn a_redelivered_chunk_is_counted_once_and_not_fetched_again() {
    let scene = Scene::new();
    let (id, messages) = scene.start_and_split(scene.good_list(4), 2).await;
    scene.analyze(messages[0]).await;
    let counters = scene.counters(id).await;
    assert_eq!(counters.rows, 2);
    for _ in 0..3 {
        scene.analyze(messages[0]).await;
    }
    assert_eq!(scene.counters(id).await, counters);
    assert_eq!(scene.origin.requests_for(&image_path(0)), 1);
    assert_eq!(scene.origin.requests_for(&image_path(1)), 1);
    assert_eq!(scene.status(id).await, BatchStatus::Processing);

    scene.analyze(messages[1]).await;
    scene.analyze(messages[1]).await;
    scene.analyze(messages[0]).await;
    scene.assert_completed(id, 4).await;
    assert_eq!(scene.origin.requests(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunk_that_two_processes_analyse_at_once_is_counted_once() {
    let scene = Scene::new();
    for round in 0..5 {
        // The first of the two gets a 503, the second an image: the attempts differ, one of them counts.
        let list = format!(
            "{}\n{}\n",
            scene.origin.url(&format!("/flaky/1/{round}")),
            scene
                .origin
                .url(&format!("/slow/50/plain.jpeg?round={round}"))
        );
        let (id, messages) = scene.start_and_split(list, 10).await;
        let (one, other) = (scene.analyzer(&scene.ports), scene.analyzer(&scene.ports));
        let (first, second) = tokio::join!(
            one.analyze_chunk(&messages[0], Budget::default()),
            other.analyze_chunk(&messages[0], Budget::default()),
        );
        first.unwrap();
        second.unwrap();
        assert_eq!(scene.parts(id).await.len(), 1);
        scene.assert_completed(id, 2).await;
    }
}

#[tokio::test]
async fn what_counts_is_the_stored_object_not_the_attempt() {
    let scene = Scene::new();
    let list = scene.origin.url("/flaky/1/key");
    let (id, messages) = scene.start_and_split(list, 10).await;
    scene.analyze(messages[0]).await;
    assert_eq!(scene.outcomes(id).await, [Outcome::ServerError]);
    let sent: Vec<MetricsMessage> = scene.take(Queue::Metrics).await;
    assert_eq!(sent.len(), 1);

    // Another process looked for results before they were there, and came to another end.
    let (ports, tap) = scene.tapped(Plan {
        call: "objects get results/",
        nth: 1,
        fault: Fault::NotThereYet,
    });
    let late = scene.analyzer(&ports);
    late.analyze_chunk(&messages[0], Budget::default())
        .await
        .unwrap();
    assert!(tap.struck().is_some());
    assert_eq!(scene.origin.requests(), 2);
    assert_eq!(scene.outcomes(id).await, [Outcome::ServerError]);
    scene.assert_completed(id, 1).await;
    let sent_again: Vec<MetricsMessage> = scene.take(Queue::Metrics).await;
    assert_eq!(sent_again, sent);
}

#[tokio::test]
async fn rows_for_which_no_time_is_left_go_to_the_next_part_and_end_with_the_last() {
    let scene = Scene::new();
    let mut list = scene.good_list(3);
    list += "not a url\n";
    let (id, mut messages) = scene.start_and_split(list, 10).await;
    let past = Budget {
        soft_deadline: Some(Instant::now()),
        hard_deadline: Some(Instant::now()),
        interruptions: 0,
    };
    for (part, pause_ms) in [(0, 5_000), (1, 10_000), (2, 20_000)] {
        assert_eq!(messages.len(), 1);
        let message = messages[0];
        assert_eq!((message.part.part, message.deferrals), (part, part));
        scene.analyze_within(message, past).await;
        assert_eq!(scene.origin.requests(), 0);
        assert_eq!(scene.counters(id).await.rows, 1, "the bad row is done");
        assert_eq!(scene.status(id).await, BatchStatus::Processing);

        scene.clock.advance(Duration::from_millis(pause_ms - 1));
        messages = scene.take(Queue::Chunks).await;
        assert!(messages.is_empty(), "part {part} waits {pause_ms} ms");
        scene.clock.advance(Duration::from_millis(1));
        messages = scene.take(Queue::Chunks).await;
    }
    assert_eq!(messages[0].deferrals, scene.limits.max_deferrals);
    scene.analyze_within(messages[0], past).await;
    assert_eq!(scene.waiting(Queue::Chunks).await, 0);
    let timeout = Outcome::Timeout;
    let expected = [timeout, timeout, timeout, Outcome::InvalidUrl];
    assert_eq!(scene.outcomes(id).await, expected);
    scene.assert_completed(id, 4).await;
}

#[tokio::test]
async fn rows_whose_turn_never_comes_end_with_the_last_part_that_their_chunk_may_have() {
    let mut scene = Scene::new();
    scene.limits.max_parts = 2;
    // The first row takes the one turn that there is for as long as it lasts.
    let list = [scene.origin.url("/stall"), scene.image(0), scene.image(1)];
    let (id, mut messages) = scene.start_and_split(list.join("\n"), 10).await;
    let change = BatchChange {
        max_concurrency: Some(1),
        ..BatchChange::default()
    };
    let (store, now) = (&scene.ports.store, scene.ports.clock.now());
    let from = BatchStatus::OPEN;
    store.advance(id, from, &change, now).await.unwrap();
    for part in 0..2 {
        assert_eq!(messages.len(), 1);
        assert_eq!(
            (messages[0].part.part, messages[0].parts_before),
            (part, part)
        );
        let soft_deadline = Instant::now() + Duration::from_millis(200);
        let budget = Budget {
            soft_deadline: Some(soft_deadline),
            hard_deadline: Some(soft_deadline + Duration::from_millis(100)),
            interruptions: 0,
        };
        scene.analyze_within(messages[0], budget).await;
        scene.clock.advance(Duration::from_secs(60));
        messages = scene.take(Queue::Chunks).await;
    }
    assert_eq!(messages, []);
    let rows = scene.results(id).await;
    let ends: Vec<Outcome> = rows.iter().map(|row| row.outcome).collect();
    let expected = [Outcome::Timeout, Outcome::Poisoned, Outcome::Poisoned];
    assert_eq!(ends, expected);
    let detail = rows[1].detail.as_deref().unwrap();
    assert!(detail.contains("its turn never came"), "{detail}");
    assert_eq!(scene.origin.requests(), 2);
    scene.assert_completed(id, 3).await;

    // A retry counts its parts anew.
    scene.drain().await;
    let retried = retry(&scene.ports, id, &[Outcome::Poisoned]).await.unwrap();
    assert!(matches!(retried, Retried::Begun { .. }), "{retried:?}");
    scene.split(id).await;
    messages = scene.take(Queue::Chunks).await;
    assert_eq!((messages[0].part.part, messages[0].parts_before), (3, 0));
    scene.analyze(messages[0]).await;
    let ends = scene.outcomes(id).await;
    assert_eq!(ends, [Outcome::Timeout, Outcome::Ok, Outcome::Ok]);
}

#[tokio::test]
async fn a_part_that_is_halved_leaves_nothing_over_if_it_is_the_last() {
    let scene = Scene::new();
    let (id, messages) = scene.start_and_split(scene.good_list(8), 10).await;
    let message = ChunkMessage {
        parts_before: scene.limits.max_parts - 1,
        ..messages[0]
    };
    let interrupted = Budget {
        interruptions: 1,
        ..Budget::default()
    };
    scene.analyze_within(message, interrupted).await;
    assert_eq!(scene.waiting(Queue::Chunks).await, 0);
    let ends = scene.outcomes(id).await;
    assert_eq!(ends[..4], [Outcome::Ok; 4]);
    assert_eq!(ends[4..], [Outcome::Poisoned; 4]);
    scene.assert_completed(id, 8).await;
}

#[tokio::test]
async fn rows_that_were_left_over_are_fetched_when_there_is_time() {
    let scene = Scene::new();
    let (id, messages) = scene.start_and_split(scene.good_list(5), 3).await;
    let past = Budget {
        soft_deadline: Some(Instant::now()),
        ..Budget::default()
    };
    for message in &messages {
        scene.analyze_within(*message, past).await;
    }
    scene.drain().await;
    scene.assert_completed(id, 5).await;
    assert_eq!(scene.outcomes(id).await, [Outcome::Ok; 5]);
    assert_eq!(scene.origin.requests(), 5);
    assert_eq!(scene.parts(id).await.len(), 4);
}

#[tokio::test]
async fn a_slow_row_does_not_keep_the_others_of_its_part() {
    let scene = Scene::new();
    let list = [scene.image(0), scene.origin.url("/stall"), scene.image(1)];
    let (id, messages) = scene.start_and_split(list.join("\n"), 10).await;
    let budget = Budget {
        soft_deadline: Some(Instant::now() + Duration::from_millis(700)),
        ..Budget::default()
    };
    scene.analyze_within(messages[0], budget).await;
    let manifests = scene.manifests(id).await;
    assert_eq!(manifests[0]["leftover"], json!([1]));
    let rows = scene.results(id).await;
    let done: Vec<u64> = rows.iter().map(|row| row.row).collect();
    assert_eq!(done, [0, 2]);
    assert_eq!(scene.counters(id).await, rows.iter().collect::<Counters>());
}

#[tokio::test]
async fn a_part_that_only_waits_for_a_slow_host_hands_its_open_rows_on() {
    let scene = Scene::new();
    let list = [scene.image(0), scene.origin.url("/stall"), scene.image(1)];
    let (id, messages) = scene.start_and_split(list.join("\n"), 10).await;
    scene.analyze(messages[0]).await;
    let rows = scene.results(id).await;
    let done: Vec<u64> = rows.iter().map(|row| row.row).collect();
    assert_eq!(done, [0, 2]);
    assert_eq!(scene.counters(id).await.rows, 2);

    scene.clock.advance(Duration::from_secs(5));
    let next: Vec<ChunkMessage> = scene.take(Queue::Chunks).await;
    assert_eq!(next.len(), 1);
    assert_eq!((next[0].part.part, next[0].deferrals), (1, 1));
}

#[tokio::test]
async fn an_interruption_halves_the_part_and_leaves_the_rest_to_the_next_at_once() {
    let scene = Scene::new();
    let (id, _) = scene.start_and_split(scene.good_list(8), 10).await;
    let interrupted = |interruptions| Budget {
        interruptions,
        ..Budget::default()
    };
    scene
        .analyze_within(chunk_message(id, 0), interrupted(1))
        .await;
    let next: Vec<ChunkMessage> = scene.take(Queue::Chunks).await;
    assert_eq!(next.len(), 1, "the next part waits for nothing");
    assert_eq!((next[0].part.part, next[0].deferrals), (1, 0));
    assert_eq!(scene.counters(id).await.rows, 4);

    scene.analyze_within(next[0], interrupted(2)).await;
    let next: Vec<ChunkMessage> = scene.take(Queue::Chunks).await;
    assert_eq!((next[0].part.part, next[0].deferrals), (2, 0));
    scene.analyze(next[0]).await;
    let sizes: Vec<usize> = scene.parts(id).await.iter().map(Vec::len).collect();
    assert_eq!(sizes, [4, 1, 3]);
    scene.assert_completed(id, 8).await;
    assert_eq!(scene.origin.requests(), 8);
}

#[tokio::test]
async fn a_process_that_stopped_with_a_chunk_in_hand_counts_as_an_interruption() {
    let scene = Scene::new();
    let id = scene.start(scene.good_list(6), 10).await;
    scene.split(id).await;
    scene.receive(Queue::Chunks).await;
    let database = scene.data.database();
    assert!(database.release_interrupted().await.unwrap() >= 1);
    let deliveries = scene.receive(Queue::Chunks).await;
    let [delivery] = &deliveries[..] else {
        panic!("{deliveries:?}");
    };
    let budget = Budget {
        interruptions: delivery.interruptions,
        ..Budget::default()
    };
    scene
        .handle(&scene.ports, Queue::Chunks, &delivery.body, budget)
        .await
        .unwrap();
    assert_eq!(scene.counters(id).await.rows, 3);
    scene.delete(Queue::Chunks, delivery).await;
    scene.drain().await;
    scene.assert_completed(id, 6).await;
}

#[tokio::test]
async fn a_row_that_stops_every_process_ends_alone_and_the_others_go_on() {
    let scene = Scene::new();
    let (id, _) = scene.start_and_split(scene.good_list(4), 10).await;
    // Twice halved, the part holds one row; with it in hand the process stopped as often as a message may be received.
    let budget = Budget {
        interruptions: 2 + Queue::MAX_RECEIVES,
        ..Budget::default()
    };
    scene.analyze_within(chunk_message(id, 0), budget).await;
    assert_eq!(scene.outcomes(id).await, [Outcome::Poisoned]);
    assert_eq!(scene.origin.requests(), 0);
    scene.drain().await;
    let ok = Outcome::Ok;
    let expected = [Outcome::Poisoned, ok, ok, ok];
    assert_eq!(scene.outcomes(id).await, expected);
    scene.assert_completed(id, 4).await;
}

#[tokio::test]
async fn rows_of_a_cancelled_batch_end_without_a_request() {
    let scene = Scene::new();
    let mut list = scene.good_list(3);
    list += "not a url\n";
    let (id, messages) = scene.start_and_split(list, 2).await;
    let change = BatchChange::to(BatchStatus::Cancelled);
    let now = scene.ports.clock.now();
    let store = &scene.ports.store;
    store
        .advance(id, BatchStatus::OPEN, &change, now)
        .await
        .unwrap();
    for message in messages {
        scene.analyze(message).await;
    }
    let cancelled = Outcome::Cancelled;
    let expected = [cancelled, cancelled, cancelled, Outcome::InvalidUrl];
    assert_eq!(scene.outcomes(id).await, expected);
    assert_eq!(scene.origin.requests(), 0);
    scene.assert_counts_add_up(id, 4).await;
    scene.sweep().await;
    assert_eq!(scene.status(id).await, BatchStatus::Cancelled);
}

#[tokio::test]
async fn header_mode_tells_the_dimensions_and_hashes_nothing() {
    let scene = Scene::new();
    let options = BatchOptions {
        measure: MeasureMode::Header,
        ..BatchOptions::default()
    };
    let id = scene.start_with(scene.good_list(1), options).await;
    scene.split(id).await;
    scene.analyze(chunk_message(id, 0)).await;
    let rows = scene.results(id).await;
    let row = &rows[0];
    assert_eq!(row.outcome, Outcome::Ok);
    assert_eq!(row.format, Some(ImageFormat::Jpeg));
    assert_eq!((row.width, row.height), (Some(96), Some(64)));
    assert_eq!(row.sha256, None);
    assert_eq!((row.phash, row.brightness), (None, None));
    scene.assert_completed(id, 1).await;
}

#[tokio::test]
async fn a_part_of_a_batch_that_is_gone_is_dropped() {
    let scene = Scene::new();
    let (id, messages) = scene.start_and_split(scene.good_list(2), 1).await;
    scene.ports.store.delete_batch(id).await.unwrap();
    scene.analyze(messages[0]).await;
    assert_eq!(scene.origin.requests(), 0);
    assert!(scene.parts(id).await.is_empty());
    for queue in Queue::ALL {
        assert_eq!(scene.waiting(*queue).await, 0, "{queue}");
    }
}
