//! A cancelled batch: nothing more is fetched, every row has its result, and the report is written.

use std::time::{Duration, Instant};

use domain::ports::{Advance, Queue};
use domain::{BatchStatus, ChunkMessage, Outcome, SplitMessage};
use pipeline::analyze_chunk::Budget;
use pipeline::cancel::cancel;
use pipeline::finalize::read_report;
use pipeline::split::{SplitEnd, SplitSettings, split};

use crate::faults::{Fault, Plan};
use crate::support::{Scene, counted_by_part, split_message};

/// Counts add up to `rows`, the batch is cancelled, and its report says the same.
async fn assert_settled(scene: &Scene, id: domain::BatchId, rows: u64) {
    scene.assert_counts_add_up(id, rows).await;
    let batch = scene.batch(id).await;
    assert_eq!(batch.status, BatchStatus::Cancelled);
    assert!(batch.report_ready && batch.ended_at.is_some());
    assert_eq!(scene.completions(id), 0);
    let report = read_report(&scene.ports, id).await.unwrap().unwrap();
    assert_eq!(counted_by_part(&report), scene.counters(id).await);
    assert_eq!(report.batch.status, BatchStatus::Cancelled);
}

#[tokio::test]
async fn chunks_that_wait_when_their_batch_is_cancelled_are_settled_without_a_request() {
    let scene = Scene::new();
    let list = format!("{}not a url\n", scene.good_list(6));
    let (id, messages) = scene.start_and_split(list, 2).await;
    scene.analyze(messages[0]).await;
    assert_eq!(cancel(&scene.ports, id).await.unwrap(), Advance::Moved);
    let requests = scene.origin.requests();
    for message in &messages[1..] {
        scene.analyze(*message).await;
    }
    scene.drain().await;
    assert_eq!(scene.origin.requests(), requests);
    let mut expected = vec![Outcome::Ok; 2];
    expected.extend([Outcome::Cancelled; 4]);
    expected.push(Outcome::InvalidUrl);
    assert_eq!(scene.outcomes(id).await, expected);
    assert_settled(&scene, id, 7).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_under_way_end_as_cancelled_at_once_and_keep_nobody_waiting() {
    let scene = Scene::new();
    let mut list = scene.good_list(3);
    for row in 0..40 {
        list += &scene.origin.url(&format!("/stall/{row}"));
        list.push('\n');
    }
    let (id, messages) = scene.start_and_split(list, 100).await;
    let analyzer = scene.analyzer(&scene.ports);
    let work = analyzer.analyze_chunk(&messages[0], Budget::default());
    let stop = async {
        // Three images and the first of those that never answer.
        while scene.origin.requests() < 3 + 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancel(&scene.ports, id).await.unwrap();
        (Instant::now(), scene.origin.requests())
    };
    let (worked, (cancelled_at, requests)) = tokio::join!(work, stop);
    worked.unwrap();
    assert!(cancelled_at.elapsed() < Duration::from_secs(2));
    assert_eq!(scene.origin.requests(), requests);
    let outcomes = scene.outcomes(id).await;
    assert_eq!(outcomes[..3], [Outcome::Ok; 3]);
    assert_eq!(outcomes[3..], [Outcome::Cancelled; 40]);
    scene.drain().await;
    assert_settled(&scene, id, 43).await;
}

#[tokio::test]
async fn a_batch_cancelled_during_its_split_is_split_to_its_end() {
    let scene = Scene::new();
    let id = scene.start(scene.good_list(250), 1).await;
    scene.take::<SplitMessage>(Queue::Split).await;
    let settings = SplitSettings {
        soft_deadline: Some(Instant::now()),
        ..scene.split_settings()
    };
    let end = split(&scene.ports, &settings, &split_message(id)).await;
    assert!(matches!(end.unwrap(), SplitEnd::Continued(_)));
    cancel(&scene.ports, id).await.unwrap();
    // All that is out so far is settled before the rest comes.
    for message in scene.take::<ChunkMessage>(Queue::Chunks).await {
        scene.analyze(message).await;
    }
    assert_eq!(scene.counters(id).await.rows, 100);
    assert_eq!(scene.waiting(Queue::Finalize).await, 0);
    scene.drain().await;
    assert_eq!(scene.origin.requests(), 0);
    assert_eq!(scene.outcomes(id).await, vec![Outcome::Cancelled; 250]);
    assert_settled(&scene, id, 250).await;
}

#[tokio::test]
async fn a_cancelled_batch_whose_split_died_is_found_by_the_sweep() {
    let scene = Scene::new();
    let id = scene.start(scene.good_list(5), 2).await;
    scene.take::<SplitMessage>(Queue::Split).await;
    let (ports, tap) = scene.tapped(Plan {
        call: "queue send chunks",
        nth: 1,
        fault: Fault::CrashBefore,
    });
    let (settings, message) = (scene.split_settings(), split_message(id));
    assert!(tap.run(split(&ports, &settings, &message)).await.is_none());
    cancel(&scene.ports, id).await.unwrap();
    assert_eq!(scene.sweep().await.splits, 1);
    scene.drain().await;
    assert_settled(&scene, id, 5).await;
    assert_eq!(scene.sweep().await, pipeline::sweep::Swept::default());
}

#[tokio::test]
async fn a_batch_cancelled_before_its_split_has_no_rows() {
    let scene = Scene::new();
    let id = scene.start(scene.good_list(5), 2).await;
    cancel(&scene.ports, id).await.unwrap();
    scene.drain().await;
    assert!(scene.keys_below(&domain::keys::chunks(id)).await.is_empty());
    assert_settled(&scene, id, 0).await;
}

#[tokio::test]
async fn a_batch_that_failed_is_not_cancelled() {
    let scene = Scene::new();
    // The head of a gzip stream, and nothing that can be unpacked.
    let mut list = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    list.extend([0xff; 40]);
    let id = scene.start(list, 2).await;
    scene.take::<SplitMessage>(Queue::Split).await;
    let end = scene.split(id).await;
    assert!(matches!(end, SplitEnd::Failed(_)), "{end:?}");
    let advance = cancel(&scene.ports, id).await.unwrap();
    assert_eq!(advance, Advance::Stays(BatchStatus::Failed));
}

#[tokio::test]
async fn a_batch_that_ended_is_not_cancelled_and_one_that_is_cancelled_stays_so() {
    let scene = Scene::new();
    let (id, messages) = scene.start_and_split(scene.good_list(2), 2).await;
    scene.analyze(messages[0]).await;
    let advance = cancel(&scene.ports, id).await.unwrap();
    assert_eq!(advance, Advance::Stays(BatchStatus::Completed));
    scene.assert_completed(id, 2).await;

    let id = scene.start(scene.good_list(2), 2).await;
    assert_eq!(cancel(&scene.ports, id).await.unwrap(), Advance::Moved);
    let ended_at = scene.batch(id).await.ended_at;
    scene.clock.advance(Duration::from_secs(9));
    let advance = cancel(&scene.ports, id).await.unwrap();
    assert_eq!(advance, Advance::Stays(BatchStatus::Cancelled));
    assert_eq!(scene.batch(id).await.ended_at, ended_at);
    let unknown = "00000000000000000000000000".parse().unwrap();
    let advance = cancel(&scene.ports, unknown).await.unwrap();
    assert_eq!(advance, Advance::Missing);
}

#[tokio::test]
async fn whatever_goes_wrong_at_any_call_after_a_cancel_the_batch_is_settled() {
    let scene = Scene::new();
    for fault in Fault::OF_ANY_CALL {
        for nth in 1.. {
            let (id, messages) = scene.start_and_split(scene.good_list(4), 2).await;
            cancel(&scene.ports, id).await.unwrap();
            scene.analyze(messages[0]).await;
            let (ports, tap) = scene.tapped(Plan {
                call: "",
                nth,
                fault,
            });
            let analyzer = scene.analyzer(&ports);
            let work = analyzer.analyze_chunk(&messages[1], Budget::default());
            drop(tap.run(work).await);
            // The message comes again.
            scene.analyze(messages[1]).await;
            scene.drain().await;
            scene.sweep().await;
            scene.drain().await;
            assert_settled(&scene, id, 4).await;
            if tap.struck().is_none() {
                assert!(nth > 8, "a settlement of only {nth} calls?");
                break;
            }
        }
    }
    assert_eq!(scene.origin.requests(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_batch_follows_a_change_of_its_concurrency() {
    let scene = Scene::new();
    let list: String = (0..60)
        .map(|row| scene.origin.url(&format!("/slow/40/plain.jpeg?row={row}")) + "\n")
        .collect();
    let (id, messages) = scene.start_and_split(list, 100).await;
    limit(&scene, id, 1).await;
    let analyzer = scene.analyzer(&scene.ports);
    let work = analyzer.analyze_chunk(&messages[0], Budget::default());
    let observe = async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let alone = scene.origin.requests();
        limit(&scene, id, 16).await;
        alone
    };
    let started = Instant::now();
    let (worked, alone) = tokio::join!(work, observe);
    worked.unwrap();
    assert!(
        (2..=11).contains(&alone),
        "{alone} requests, one after the other"
    );
    // 60 rows one after the other would take 2.4 s and more.
    assert!(started.elapsed() < Duration::from_millis(2_000));
    scene.assert_completed(id, 60).await;
}

async fn limit(scene: &Scene, id: domain::BatchId, max_concurrency: u32) {
    let change = domain::ports::BatchChange {
        max_concurrency: Some(max_concurrency),
        ..domain::ports::BatchChange::default()
    };
    let now = scene.ports.clock.now();
    let store = &scene.ports.store;
    let advance = store.advance(id, BatchStatus::OPEN, &change, now).await;
    assert_eq!(advance.unwrap(), Advance::Moved);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_a_limit_kept_from_being_begun_in_time_are_left_over_without_harm() {
    let scene = Scene::new();
    let list: String = (0..12)
        .map(|row| scene.origin.url(&format!("/slow/100/plain.jpeg?row={row}")) + "\n")
        .collect();
    let (id, messages) = scene.start_and_split(list, 100).await;
    limit(&scene, id, 1).await;
    let mut message = messages[0];
    // As the last part that rows may be left over to because of time.
    message.deferrals = scene.limits.max_deferrals;
    let soft = Instant::now() + Duration::from_millis(350);
    let budget = Budget {
        soft_deadline: Some(soft),
        hard_deadline: Some(soft + Duration::from_secs(5)),
        interruptions: 0,
    };
    scene.analyze_within(message, budget).await;
    let done = scene.counters(id).await.rows;
    assert!((1..12).contains(&done), "{done} rows of 100 ms in 350 ms");
    limit(&scene, id, 100).await;
    scene.drain().await;
    assert_eq!(scene.outcomes(id).await, vec![Outcome::Ok; 12]);
    scene.assert_completed(id, 12).await;
}
