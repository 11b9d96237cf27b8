//! What stopped half way is found, what was given up is settled.

use std::time::Duration;

use domain::ports::{BatchChange, Outgoing, Queue};
use domain::{BatchStatus, ChunkMessage, FinalizeMessage, Outcome, SplitMessage, keys};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use pipeline::analyze_chunk::Budget;
use pipeline::finalize::read_report;
use pipeline::split::split;
use pipeline::sweep::{Swept, sweep};

use crate::faults::{Fault, Plan};
use crate::support::{Scene, chunk_message, counted_by_part, split_message};

const GRACE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_batch_whose_split_message_was_lost_is_set_going_again() {
    let scene = Scene::new();
    let id = scene.start(scene.good_list(3), 2).await;
    scene.take::<SplitMessage>(Queue::Split).await;
    let swept = scene.sweep().await;
    assert_eq!(swept.splits, 1);
    assert_eq!(scene.waiting(Queue::Split).await, 1);
    scene.drain().await;
    scene.assert_completed(id, 3).await;
}

#[tokio::test]
async fn a_split_that_died_is_set_going_again() {
    let scene = Scene::new();
    let id = scene.start(scene.good_list(3), 2).await;
    scene.take::<SplitMessage>(Queue::Split).await;
    let (ports, tap) = scene.tapped(Plan {
        call: "queue send chunks",
        nth: 1,
        fault: Fault::CrashBefore,
    });
    let (settings, message) = (scene.split_settings(), split_message(id));
    let ended = tap.run(split(&ports, &settings, &message)).await;
    assert!(ended.is_none());
    assert_eq!(scene.status(id).await, BatchStatus::Splitting);
    assert_eq!(scene.sweep().await.splits, 1);
    scene.drain().await;
    scene.assert_completed(id, 3).await;
}

#[tokio::test]
async fn a_batch_that_moved_within_the_grace_is_left_alone() {
    let scene = Scene::new();
    scene.start(scene.good_list(3), 2).await;
    scene.clock.advance(Duration::from_millis(29_999));
    let swept = sweep(&scene.ports, GRACE).await.unwrap();
    assert_eq!(swept, Swept::default());
    scene.clock.advance(Duration::from_millis(1));
    let swept = sweep(&scene.ports, GRACE).await.unwrap();
    assert_eq!(swept.splits, 1);
}

#[tokio::test]
async fn a_split_set_going_again_has_another_grace() {
    let scene = Scene::new();
    scene.start(scene.good_list(3), 2).await;
    scene.clock.advance(GRACE);
    for expected in [1, 0, 0] {
        let swept = sweep(&scene.ports, GRACE).await.unwrap();
        assert_eq!(swept.splits, expected);
        scene.clock.advance(GRACE / 3);
    }
    scene.clock.advance(GRACE);
    assert_eq!(sweep(&scene.ports, GRACE).await.unwrap().splits, 1);
}

#[tokio::test]
async fn every_stale_batch_is_found_however_many_there_are() {
    let scene = Scene::new();
    // More than a page.
    for _ in 0..130 {
        scene.start("url\nhttp://a.example/1\n", 2).await;
    }
    assert_eq!(scene.sweep().await.splits, 130);
}

#[tokio::test]
async fn a_completed_batch_whose_finalize_message_never_left_gets_it() {
    let scene = Scene::new();
    let (id, messages) = scene.start_and_split(scene.good_list(2), 2).await;
    let (ports, tap) = scene.tapped(Plan {
        call: "queue send finalize",
        nth: 1,
        fault: Fault::CrashBefore,
    });
    let analyzer = scene.analyzer(&ports);
    let work = analyzer.analyze_chunk(&messages[0], Budget::default());
    assert!(tap.run(work).await.is_none());
    scene.assert_completed(id, 2).await;
    assert!(!scene.batch(id).await.finalize_sent);

    assert_eq!(scene.sweep().await.outbox, 1);
    let sent: Vec<FinalizeMessage> = scene.take(Queue::Finalize).await;
    assert_eq!(
        sent,
        [FinalizeMessage {
            batch: id,
            notice: None
        }]
    );
    assert!(scene.batch(id).await.finalize_sent);
}

#[tokio::test]
async fn a_report_that_nobody_wrote_is_sent_for_again() {
    let scene = Scene::new();
    let (id, messages) = scene.start_and_split(scene.good_list(2), 2).await;
    scene.analyze(messages[0]).await;
    scene.take::<FinalizeMessage>(Queue::Finalize).await;
    // Once a grace.
    scene.clock.advance(GRACE);
    for expected in [1, 0] {
        let swept = sweep(&scene.ports, GRACE).await.unwrap();
        assert_eq!(swept.reports, expected);
        assert_eq!(swept.total(), expected);
    }
    scene.drain().await;
    let report = read_report(&scene.ports, id).await.unwrap().unwrap();
    assert_eq!(counted_by_part(&report), scene.counters(id).await);
    assert_eq!(scene.sweep().await, Swept::default());
}

#[tokio::test]
async fn a_lost_roll_up_is_found() {
    let scene = Scene::new();
    let (id, messages) = scene.start_and_split(scene.good_list(2), 2).await;
    let (ports, tap) = scene.tapped(Plan {
        call: "store close_shard",
        nth: 1,
        fault: Fault::CrashBefore,
    });
    let analyzer = scene.analyzer(&ports);
    let work = analyzer.analyze_chunk(&messages[0], Budget::default());
    assert!(tap.run(work).await.is_none());
    assert_eq!(scene.status(id).await, BatchStatus::Processing);
    let swept = scene.sweep().await;
    assert_eq!((swept.roll_ups, swept.outbox), (1, 0));
    scene.assert_completed(id, 2).await;
    assert_eq!(scene.waiting(Queue::Finalize).await, 1);
}

#[tokio::test]
async fn a_batch_at_work_is_no_repair_and_is_looked_at_once_a_grace() {
    let scene = Scene::new();
    // Two shards, of which one is done.
    let (id, messages) = scene.start_and_split(scene.good_list(101), 1).await;
    for message in &messages[..100] {
        scene.analyze(*message).await;
    }
    scene.clock.advance(GRACE);
    assert_eq!(sweep(&scene.ports, GRACE).await.unwrap(), Swept::default());
    let looked_at = scene.batch(id).await.updated_at;
    assert_eq!(looked_at, scene.ports.clock.now());
    scene.clock.advance(GRACE / 2);
    sweep(&scene.ports, GRACE).await.unwrap();
    assert_eq!(scene.batch(id).await.updated_at, looked_at);
}

#[tokio::test]
async fn rows_of_a_dead_chunk_end_as_poisoned_and_their_batch_completes() {
    let scene = Scene::new();
    let mut list = scene.good_list(3);
    list += "not a url\n";
    let id = scene.start(list, 2).await;
    scene.take::<SplitMessage>(Queue::Split).await;
    scene.split(id).await;
    scene.let_die(Queue::Chunks).await;
    assert_eq!(scene.waiting(Queue::Chunks).await, 0);

    assert_eq!(scene.sweep().await.dead_letters, 2);
    let poisoned = Outcome::Poisoned;
    let expected = [poisoned, poisoned, poisoned, Outcome::InvalidUrl];
    assert_eq!(scene.outcomes(id).await, expected);
    scene.assert_completed(id, 4).await;
    assert_eq!(scene.origin.requests(), 0);
    assert_eq!(scene.sweep().await.dead_letters, 0);
}

#[tokio::test]
async fn the_rows_of_a_dead_chunk_that_cannot_be_read_are_known_by_their_numbers() {
    let scene = Scene::new();
    let id = scene.start(scene.good_list(5), 2).await;
    scene.take::<SplitMessage>(Queue::Split).await;
    scene.split(id).await;
    scene.put_rubbish(&keys::chunk(id, 0)).await;
    // The last one, which is shorter.
    let lost = Path::from(keys::chunk(id, 2));
    scene.data.objects().delete(&lost).await.unwrap();
    scene.let_die(Queue::Chunks).await;

    assert_eq!(scene.sweep().await.dead_letters, 3);
    scene.assert_completed(id, 5).await;
    for row in scene.results(id).await {
        assert_eq!(row.outcome, Outcome::Poisoned);
        let is_lost = !matches!(row.row, 2 | 3);
        assert_eq!(row.url.is_empty(), is_lost);
        assert_eq!(row.detail.unwrap().contains("the URL is lost"), is_lost);
    }
}

#[tokio::test]
async fn of_a_dead_part_that_cannot_be_read_only_what_was_left_over_to_it_is_lost() {
    let scene = Scene::new();
    let (id, messages) = scene.start_and_split(scene.good_list(4), 4).await;
    let halved = Budget {
        interruptions: 1,
        ..Budget::default()
    };
    scene.analyze_within(messages[0], halved).await;
    scene.put_rubbish(&keys::chunk(id, 0)).await;
    scene.let_die(Queue::Chunks).await;
    scene.sweep().await;
    let (ok, poisoned) = (Outcome::Ok, Outcome::Poisoned);
    assert_eq!(scene.outcomes(id).await, [ok, ok, poisoned, poisoned]);
    scene.assert_completed(id, 4).await;
}

#[tokio::test]
async fn a_dead_chunk_of_unknown_length_waits_for_the_end_of_the_split() {
    let scene = Scene::new();
    let id = scene.start(scene.good_list(3), 2).await;
    scene.take::<SplitMessage>(Queue::Split).await;
    let (ports, tap) = scene.tapped(Plan {
        call: "store advance",
        nth: 2,
        fault: Fault::CrashBefore,
    });
    let (settings, message) = (scene.split_settings(), split_message(id));
    let ended = tap.run(split(&ports, &settings, &message)).await;
    assert!(ended.is_none());
    assert_eq!(scene.waiting(Queue::Chunks).await, 2);
    scene.put_rubbish(&keys::chunk(id, 0)).await;
    scene.let_die(Queue::Chunks).await;
    assert_eq!(scene.sweep().await.dead_letters, 1);
    assert_eq!(scene.outcomes(id).await, [Outcome::Poisoned]);

    // The split that was set going again mends the chunk.
    scene.drain().await;
    scene.clock.advance(Duration::from_secs(60));
    assert_eq!(scene.sweep().await.dead_letters, 1);
    let (ok, poisoned) = (Outcome::Ok, Outcome::Poisoned);
    assert_eq!(scene.outcomes(id).await, [ok, ok, poisoned]);
    scene.assert_completed(id, 3).await;
}

#[tokio::test]
async fn a_dead_chunk_whose_results_are_stored_keeps_them() {
    let scene = Scene::new();
    let id = scene.start(scene.good_list(2), 2).await;
    scene.take::<SplitMessage>(Queue::Split).await;
    scene.split(id).await;
    let (ports, tap) = scene.tapped(Plan {
        call: "store commit_part",
        nth: 1,
        fault: Fault::CrashBefore,
    });
    let analyzer = scene.analyzer(&ports);
    let message = chunk_message(id, 0);
    let work = analyzer.analyze_chunk(&message, Budget::default());
    assert!(tap.run(work).await.is_none());
    assert_eq!(scene.counters(id).await.rows, 0);
    scene.let_die(Queue::Chunks).await;

    assert_eq!(scene.sweep().await.dead_letters, 1);
    assert_eq!(scene.outcomes(id).await, [Outcome::Ok; 2]);
    scene.assert_completed(id, 2).await;
}

#[tokio::test]
async fn a_dead_part_poisons_only_the_rows_that_were_left_over_to_it() {
    let scene = Scene::new();
    let (id, messages) = scene.start_and_split(scene.good_list(4), 4).await;
    let halved = Budget {
        interruptions: 1,
        ..Budget::default()
    };
    scene.analyze_within(messages[0], halved).await;
    scene.let_die(Queue::Chunks).await;
    scene.sweep().await;
    let (ok, poisoned) = (Outcome::Ok, Outcome::Poisoned);
    assert_eq!(scene.outcomes(id).await, [ok, ok, poisoned, poisoned]);
    scene.assert_completed(id, 4).await;

    // The same letter once more, and the first part's message, change nothing.
    scene.analyze(messages[0]).await;
    scene.drain().await;
    scene.assert_completed(id, 4).await;
}

#[tokio::test]
async fn a_sweep_that_failed_or_died_while_it_settled_a_dead_chunk_is_made_good_by_the_next() {
    for fault in Fault::OF_ANY_CALL {
        let scene = Scene::new();
        for nth in 1.. {
            let id = scene.start(scene.good_list(3), 2).await;
            scene.take::<SplitMessage>(Queue::Split).await;
            scene.split(id).await;
            scene.let_die(Queue::Chunks).await;
            let (ports, tap) = scene.tapped(Plan {
                call: "",
                nth,
                fault,
            });
            drop(tap.run(sweep(&ports, Duration::ZERO)).await);
            let struck = tap.struck();

            // Letters that the dead process held show up again.
            scene.clock.advance(Duration::from_secs(60));
            scene.sweep().await;
            scene.drain().await;
            scene.sweep().await;
            scene.drain().await;
            scene.assert_completed(id, 3).await;
            let batch = scene.batch(id).await;
            assert!(batch.report_ready, "{fault:?}, call {nth}: {struck:?}");
            if struck.is_none() {
                assert!(nth > 20, "a sweep of only {nth} calls?");
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_dead_split_fails_its_batch_for_a_person_to_read_why() {
    let scene = Scene::new();
    let id = scene.start(scene.good_list(2), 2).await;
    scene.let_die(Queue::Split).await;
    // Within the grace, so that it is not set going again first.
    let swept = sweep(&scene.ports, Duration::from_secs(3600)).await;
    assert_eq!(swept.unwrap().dead_letters, 1);
    let batch = scene.batch(id).await;
    assert_eq!(batch.status, BatchStatus::Failed);
    assert!(batch.failure.unwrap().contains("could not be split"));
    assert!(batch.ended_at.is_some());
}

#[tokio::test]
async fn a_dead_split_message_does_not_fail_a_batch_that_another_one_split() {
    let scene = Scene::new();
    let id = scene.start(scene.good_list(2), 2).await;
    scene.let_die(Queue::Split).await;
    scene.split(id).await;
    assert_eq!(scene.status(id).await, BatchStatus::Processing);
    scene.sweep().await;
    assert_eq!(scene.status(id).await, BatchStatus::Processing);
    scene.drain().await;
    scene.assert_completed(id, 2).await;
}

#[tokio::test]
async fn dead_letters_that_cannot_be_settled_do_not_keep_the_others() {
    let scene = Scene::new();
    let id = scene.start(scene.good_list(4), 2).await;
    scene.take::<SplitMessage>(Queue::Split).await;
    scene.split(id).await;
    let damaged = keys::result(chunk_message(id, 0).part);
    scene.put_rubbish(&damaged).await;
    let garbage = Outgoing::now("{\"part\": 7}".to_owned());
    for queue in Queue::ALL {
        let send = scene
            .ports
            .queue
            .send(*queue, std::slice::from_ref(&garbage));
        send.await.unwrap();
        scene.let_die(*queue).await;
    }
    scene.sweep().await;
    assert_eq!(scene.counters(id).await.rows, 2);
    for queue in Queue::ALL {
        let dead = scene.ports.queue.depth(*queue).await.unwrap().dead;
        let expected = u64::from(*queue == Queue::Chunks);
        assert_eq!(dead, expected, "{queue}");
    }
}

#[tokio::test]
async fn a_batch_that_cannot_be_repaired_does_not_keep_the_others() {
    let scene = Scene::new();
    let mut batches = Vec::new();
    for _ in 0..3 {
        batches.push(scene.start(scene.good_list(1), 1).await);
    }
    scene.take::<SplitMessage>(Queue::Split).await;
    let (ports, _) = scene.tapped(Plan {
        call: "queue send split",
        nth: 2,
        fault: Fault::Refused,
    });
    let swept = sweep(&ports, Duration::ZERO).await.unwrap();
    assert_eq!(swept.splits, 2);
    let sent: Vec<SplitMessage> = scene.take(Queue::Split).await;
    assert_eq!(sent.len(), 2);
    scene.sweep().await;
    scene.drain().await;
    for id in batches {
        scene.assert_completed(id, 1).await;
    }
}

#[tokio::test]
async fn a_cancelled_batch_stays_cancelled_through_sweeps_and_dead_letters() {
    let scene = Scene::new();
    let id = scene.start(scene.good_list(2), 1).await;
    scene.take::<SplitMessage>(Queue::Split).await;
    scene.split(id).await;
    let change = BatchChange::to(BatchStatus::Cancelled);
    let now = scene.ports.clock.now();
    let store = &scene.ports.store;
    store
        .advance(id, BatchStatus::OPEN, &change, now)
        .await
        .unwrap();
    scene.let_die(Queue::Chunks).await;
    scene.sweep().await;
    scene.assert_counts_add_up(id, 2).await;
    assert_eq!(scene.outcomes(id).await, [Outcome::Cancelled; 2]);
    let messages: Vec<ChunkMessage> = scene.take(Queue::Chunks).await;
    assert!(messages.is_empty());
    scene.drain().await;
    scene.sweep().await;
    scene.drain().await;
    let batch = scene.batch(id).await;
    assert_eq!(batch.status, BatchStatus::Cancelled);
    assert!(batch.report_ready);
}
