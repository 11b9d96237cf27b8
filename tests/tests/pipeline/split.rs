//! Cutting a list into chunks.

use std::io::Write;
use std::time::{Duration, Instant};

use domain::ports::{BatchChange, Queue};
use domain::{
    BatchStatus, ChunkMessage, ChunkRow, Outcome, SplitCheckpoint, SplitMessage, SplitTotals,
};
use pipeline::cancel::cancel;
use pipeline::split::{MAX_CONTINUATIONS, SplitEnd, SplitSettings, split};
use pipeline::sweep::{Swept, sweep};

use crate::faults::{Fault, Plan};
use crate::support::{Scene, split_message};

/// The rows of `chunks`, each of which has as many as it should.
fn rows_of(chunks: &[Vec<ChunkRow>], chunk_size: usize) -> Vec<ChunkRow> {
    let rows = chunks.concat();
    let sizes: Vec<usize> = chunks.iter().map(Vec::len).collect();
    let expected: Vec<usize> = rows.chunks(chunk_size).map(<[ChunkRow]>::len).collect();
    assert_eq!(sizes, expected);
    rows
}

fn outcome_of(row: &ChunkRow) -> Option<Outcome> {
    row.verdict.as_ref().map(|verdict| verdict.outcome)
}

#[tokio::test]
async fn chunks_hold_every_row_once_in_the_order_of_the_list() {
    let scene = Scene::new();
    let list = "sku,url,title\n\
        A,http://a.example/1.jpg,\"one, two\"\n\
        B,http://a.example/2.jpg,\n\
        C,http://a.example/3.jpg,three\n\
        D,http://a.example/4.jpg,four\n\
        E,http://a.example/5.jpg,five\n";
    let (id, messages) = scene.start_and_split(list, 2).await;
    let rows = rows_of(&scene.chunks(id).await, 2);
    let numbers: Vec<u64> = rows.iter().map(|row| row.row).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
    for row in &rows {
        assert_eq!(
            row.url,
            format!("http://a.example/{}.jpg", row.row + 1),
            "row {}",
            row.row
        );
        assert_eq!(row.verdict, None);
    }
    assert_eq!(rows[0].extra["sku"], "A");
    assert_eq!(rows[0].extra["title"], "one, two");
    assert_eq!(rows[4].extra["title"], "five");

    let chunks: Vec<u32> = messages.iter().map(|message| message.part.chunk).collect();
    assert_eq!(chunks, [0, 1, 2]);
    let batch = scene.batch(id).await;
    assert_eq!(batch.status, BatchStatus::Processing);
    let totals = SplitTotals {
        rows: 5,
        chunks: 3,
        shards: 1,
    };
    assert_eq!(batch.totals, Some(totals));
}

#[tokio::test]
async fn a_repeated_url_points_to_its_first_row_across_chunks() {
    let scene = Scene::new();
    let list = "http://a.example/1\nhttp://a.example/2\nhttp://a.example/1\nhttp://a.example/3\n\
        http://a.example/1\nhttp://a.example/3\n";
    let (id, _) = scene.start_and_split(list, 2).await;
    let rows = rows_of(&scene.chunks(id).await, 2);
    let repeats: Vec<Option<u64>> = rows
        .iter()
        .map(|row| {
            row.verdict
                .as_ref()
                .and_then(|verdict| verdict.duplicate_of)
        })
        .collect();
    assert_eq!(repeats, [None, None, Some(0), None, Some(0), Some(3)]);
    for row in rows.iter().filter(|row| row.verdict.is_some()) {
        assert_eq!(outcome_of(row), Some(Outcome::DuplicateUrl));
    }
}

#[tokio::test]
async fn a_bad_row_is_told_with_its_line_number_and_the_list_goes_on() {
    let scene = Scene::new();
    let list = "url,sku\n\
        http://a.example/1,A\n\
        ,B\n\
        \"not a\nurl\",C\n\
        http://a.example/2,D\n\
        ftp://a.example/3,E\n";
    let (id, _) = scene.start_and_split(list, 2).await;
    let rows = rows_of(&scene.chunks(id).await, 2);
    let outcomes: Vec<Option<Outcome>> = rows.iter().map(outcome_of).collect();
    let invalid = Some(Outcome::InvalidUrl);
    assert_eq!(outcomes, [None, invalid, invalid, None, invalid]);
    // The third row spans two lines.
    for (row, line) in [(1, "line 3"), (2, "line 4"), (4, "line 7")] {
        let verdict = rows[row].verdict.as_ref().unwrap();
        let detail = verdict.detail.as_deref().unwrap();
        assert!(detail.contains(line), "row {row}: {detail}");
    }
}

#[tokio::test]
async fn a_split_message_that_comes_again_changes_nothing() {
    let scene = Scene::new();
    let (id, _) = scene.start_and_split(scene.good_list(5), 2).await;
    let (batch, chunks) = (scene.batch(id).await, scene.chunks(id).await);
    assert_eq!(scene.split(id).await, SplitEnd::NothingToDo);
    assert_eq!(scene.waiting(Queue::Chunks).await, 0);
    assert_eq!(scene.batch(id).await, batch);
    assert_eq!(scene.chunks(id).await, chunks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_two_processes_split_at_once_is_counted_once() {
    let scene = Scene::new();
    let list = scene.good_list(7);
    let (other, _) = scene.start_and_split(list.clone(), 2).await;
    for _ in 0..5 {
        let id = scene.start(list.clone(), 2).await;
        tokio::join!(scene.split(id), scene.split(id), scene.split(id));
        assert_eq!(scene.chunks(id).await, scene.chunks(other).await);
        scene.drain().await;
        scene.assert_completed(id, 7).await;
    }
}

#[tokio::test]
async fn a_split_stops_at_its_deadline_and_continuations_come_to_the_same() {
    let scene = Scene::new();
    let mut list = scene.good_list(240);
    // Repeats in the last shard of URLs in the first.
    list += &list.lines().skip(1).take(10).collect::<Vec<_>>().join("\n");
    let (in_one_go, messages_in_one_go) = scene.start_and_split(list.clone(), 1).await;

    let id = scene.start(list, 1).await;
    let settings = SplitSettings {
        soft_deadline: Some(Instant::now()),
        ..scene.split_settings()
    };
    let mut ends = Vec::new();
    for continuation in 0..3 {
        let messages: Vec<SplitMessage> = scene.take(Queue::Split).await;
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].continuation, continuation);
        let end = split(&scene.ports, &settings, &messages[0]).await;
        ends.push(end.unwrap());
    }
    let totals = scene.batch(in_one_go).await.totals.unwrap();
    assert_eq!(totals.rows, 250);
    assert_eq!(totals.shards, 3);
    let out = |chunks: u32| {
        let rows = u64::from(chunks);
        SplitEnd::Continued(SplitCheckpoint {
            chunks,
            rows,
            chunk_size: 1,
            is_handed_over: false,
        })
    };
    assert_eq!(ends, [out(100), out(200), SplitEnd::Done(totals)]);
    assert_eq!(scene.waiting(Queue::Split).await, 0);

    assert_eq!(scene.chunks(id).await, scene.chunks(in_one_go).await);
    let chunks = |messages: Vec<ChunkMessage>| -> Vec<u32> {
        messages.iter().map(|message| message.part.chunk).collect()
    };
    let sent = chunks(scene.take(Queue::Chunks).await);
    assert_eq!(sent, chunks(messages_in_one_go));
    assert_eq!(
        scene.ports.store.shards(id).await.unwrap(),
        scene.ports.store.shards(in_one_go).await.unwrap()
    );
}

#[tokio::test]
async fn a_split_that_continues_more_often_than_lambda_lets_it_is_sent_for_by_the_sweep() {
    const SHARDS: usize = 18;
    let scene = Scene::new();
    let list = scene.good_list(SHARDS * 100 + 1);
    let id = scene.start(list, 1).await;
    let settings = SplitSettings {
        soft_deadline: Some(Instant::now()),
        ..scene.split_settings()
    };
    // Longer than any sweep of this test may wait before it looks after a batch.
    let grace = Duration::from_secs(3_600);
    let (mut in_a_row, mut most_in_a_row, mut hand_overs, mut processes) = (0, 0, 0, 0);
    loop {
        let messages: Vec<SplitMessage> = scene.take(Queue::Split).await;
        assert_eq!(messages.len(), 1);
        processes += 1;
        in_a_row += 1;
        most_in_a_row = most_in_a_row.max(in_a_row);
        let end = split(&scene.ports, &settings, &messages[0]).await.unwrap();
        match end {
            SplitEnd::Continued(_) => {
                // While somebody is at work on it, the sweep leaves it alone.
                let swept = sweep(&scene.ports, grace).await.unwrap();
                assert_eq!(swept, Swept::default());
            }
            SplitEnd::HandedOver(checkpoint) => {
                assert_eq!(scene.batch(id).await.checkpoint, checkpoint);
                assert_eq!(scene.waiting(Queue::Split).await, 0);
                // At once, and once.
                for expected in [1, 0] {
                    let swept = sweep(&scene.ports, grace).await.unwrap();
                    assert_eq!((swept.splits, swept.total()), (expected, expected));
                }
                (in_a_row, hand_overs) = (0, hand_overs + 1);
            }
            SplitEnd::Done(totals) => {
                assert_eq!(totals.rows, SHARDS as u64 * 100 + 1);
                break;
            }
            end => panic!("{end:?}"),
        }
    }
    assert_eq!((processes, hand_overs), (SHARDS + 1, 1));
    assert!(most_in_a_row <= 12, "{most_in_a_row} times by itself");
    let chunks: Vec<ChunkMessage> = scene.take(Queue::Chunks).await;
    let numbers = chunks.iter().map(|message| message.part.chunk);
    assert!(numbers.eq(0..=SHARDS as u32 * 100), "each chunk once");
    let batch = scene.batch(id).await;
    assert_eq!(batch.status, BatchStatus::Processing);
    assert!(batch.is_fanned_out() && !batch.checkpoint.is_handed_over);
}

#[tokio::test]
async fn a_cancelled_split_that_was_handed_over_is_split_to_its_end() {
    let scene = Scene::new();
    let id = scene.start(scene.good_list(150), 1).await;
    scene.take::<SplitMessage>(Queue::Split).await;
    let settings = SplitSettings {
        soft_deadline: Some(Instant::now()),
        ..scene.split_settings()
    };
    let last = SplitMessage {
        continuation: MAX_CONTINUATIONS - 1,
        ..split_message(id)
    };
    let end = split(&scene.ports, &settings, &last).await.unwrap();
    assert!(matches!(end, SplitEnd::HandedOver(_)), "{end:?}");
    cancel(&scene.ports, id).await.unwrap();
    let grace = Duration::from_secs(3_600);
    assert_eq!(sweep(&scene.ports, grace).await.unwrap().splits, 1);
    scene.drain().await;
    assert_eq!(scene.outcomes(id).await, vec![Outcome::Cancelled; 150]);
    scene.assert_counts_add_up(id, 150).await;
}

#[tokio::test]
async fn an_unreadable_list_fails_its_batch_with_a_reason() {
    let scene = Scene::new();
    let id = scene.start(&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], 10).await;
    let end = scene.split(id).await;
    let batch = scene.batch(id).await;
    assert_eq!(batch.status, BatchStatus::Failed);
    assert!(batch.ended_at.is_some());
    let reason = batch.failure.unwrap();
    assert!(reason.contains("not a list"), "{reason}");
    assert_eq!(end, SplitEnd::Failed(reason));
    assert_eq!(scene.waiting(Queue::Chunks).await, 0);
}

#[tokio::test]
async fn chunks_of_a_list_that_turns_out_unreadable_are_not_fetched() {
    let scene = Scene::new();
    let list = scene.good_list(150);
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    // Flushed, so that whole rows come out of the stream in front of the place where it is cut off.
    encoder.write_all(list.as_bytes()).unwrap();
    encoder.flush().unwrap();
    let cut_off = encoder.get_ref().clone();
    let id = scene.start(cut_off, 1).await;
    let end = scene.split(id).await;
    let SplitEnd::Failed(reason) = end else {
        panic!("{end:?}");
    };
    assert!(reason.contains("truncated"), "{reason}");
    assert_eq!(scene.waiting(Queue::Chunks).await, 100);

    scene.drain().await;
    assert_eq!(scene.origin.requests(), 0);
    assert_eq!(scene.status(id).await, BatchStatus::Failed);
    assert_eq!(scene.batch(id).await.failure, Some(reason));
}

#[tokio::test]
async fn a_fault_of_the_object_store_in_the_middle_of_a_list_does_not_fail_its_batch() {
    let scene = Scene::new();
    let id = scene.start(scene.good_list(20), 3).await;
    let (ports, _) = scene.tapped(Plan {
        call: "objects get lists/",
        nth: 1,
        fault: Fault::BodyBreaks,
    });
    let ended = split(&ports, &scene.split_settings(), &split_message(id)).await;
    let error = ended.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
    assert_eq!(scene.status(id).await, BatchStatus::Splitting);

    scene.drain().await;
    scene.assert_completed(id, 20).await;
}

#[tokio::test]
async fn messages_that_the_queue_did_not_accept_are_sent_again_and_only_those() {
    let scene = Scene::new();
    let id = scene.start(scene.good_list(7), 1).await;
    let (ports, tap) = scene.tapped(Plan {
        call: "queue send chunks",
        nth: 1,
        fault: Fault::HalfAccepted,
    });
    split(&ports, &scene.split_settings(), &split_message(id))
        .await
        .unwrap();
    assert!(tap.struck().is_some());
    let messages: Vec<ChunkMessage> = scene.take(Queue::Chunks).await;
    let mut chunks: Vec<u32> = messages.iter().map(|message| message.part.chunk).collect();
    chunks.sort_unstable();
    assert_eq!(chunks, [0, 1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_split_that_goes_on_keeps_the_chunk_size_it_began_with() {
    let scene = Scene::new();
    let list = scene.good_list(250);
    let options = domain::BatchOptions::default();
    let id = scene.start_with(list, options).await;
    let mut settings = SplitSettings {
        chunk_size: 2,
        soft_deadline: Some(Instant::now()),
        ..scene.split_settings()
    };
    let end = split(&scene.ports, &settings, &split_message(id)).await;
    let checkpoint = SplitCheckpoint {
        chunks: 100,
        rows: 200,
        chunk_size: 2,
        is_handed_over: false,
    };
    assert_eq!(end.unwrap(), SplitEnd::Continued(checkpoint));

    // A process with another default takes over.
    settings.chunk_size = 5;
    let end = split(&scene.ports, &settings, &split_message(id)).await;
    let totals = SplitTotals {
        rows: 250,
        chunks: 125,
        shards: 2,
    };
    assert_eq!(end.unwrap(), SplitEnd::Done(totals));
    let rows = rows_of(&scene.chunks(id).await, 2);
    let numbers: Vec<u64> = rows.iter().map(|row| row.row).collect();
    let expected: Vec<u64> = (0..250).collect();
    assert_eq!(numbers, expected);
}

#[tokio::test]
async fn a_split_that_crashed_before_its_first_checkpoint_keeps_its_chunk_size() {
    let scene = Scene::new();
    let options = domain::BatchOptions::default();
    let id = scene.start_with(scene.good_list(20), options).await;
    let (ports, tap) = scene.tapped(Plan {
        call: "queue send chunks",
        nth: 1,
        fault: Fault::AnswerLost,
    });
    let mut settings = SplitSettings {
        chunk_size: 2,
        ..scene.split_settings()
    };
    let ended = split(&ports, &settings, &split_message(id)).await;
    assert!(tap.struck().is_some() && ended.is_err());

    settings.chunk_size = 5;
    let end = split(&scene.ports, &settings, &split_message(id)).await;
    let totals = SplitTotals {
        rows: 20,
        chunks: 10,
        shards: 1,
    };
    assert_eq!(end.unwrap(), SplitEnd::Done(totals));
}

#[tokio::test]
async fn a_cancelled_batch_is_not_split() {
    let scene = Scene::new();
    let id = scene.start(scene.good_list(3), 2).await;
    let change = BatchChange::to(BatchStatus::Cancelled);
    let now = scene.ports.clock.now();
    let store = &scene.ports.store;
    store
        .advance(id, BatchStatus::OPEN, &change, now)
        .await
        .unwrap();
    assert_eq!(scene.split(id).await, SplitEnd::NothingToDo);
    assert!(scene.chunks(id).await.is_empty());
    assert_eq!(scene.status(id).await, BatchStatus::Cancelled);
}

#[tokio::test]
async fn a_split_of_a_batch_that_is_gone_does_nothing() {
    let scene = Scene::new();
    let id = scene.ports.ids.batch_id();
    assert_eq!(scene.split(id).await, SplitEnd::NothingToDo);
}
