//! Rows of a batch that had ended are done again: those that ended in a chosen way, and no others.

use std::time::{Duration, Instant};

use domain::ports::Queue;
use domain::{BatchId, BatchStatus, ChunkMessage, Issue, Outcome, SplitMessage};
use exports::export;
use pipeline::analyze_chunk::Budget;
use pipeline::cancel::cancel;
use pipeline::export::ExportFormat;
use pipeline::finalize::{finalize, read_report};
use pipeline::results::{ResultFilter, results_page};
use pipeline::retry::{Retried, retry, worth_a_retry};
use pipeline::split::{SplitEnd, SplitSettings, split};

use crate::faults::{Fault, Plan};
use crate::support::{Scene, counted_by_part, split_message};

const RETRIED: [Outcome; 2] = [Outcome::Timeout, Outcome::ServerError];

/// The path of an image that comes after a 503.
fn flaky(scene: &Scene, number: impl std::fmt::Display) -> String {
    scene.origin.url(&format!("/flaky/1/{number}"))
}

/// A batch of `rows` rows with a report; every third row failed with 503, and would not again.
async fn an_ended_batch(scene: &Scene, name: &str, rows: usize, chunk_size: u32) -> BatchId {
    let mut list = "url\n".to_owned();
    for row in 0..rows {
        let url = match row % 3 {
            0 => flaky(scene, format_args!("{name}-{row}")),
            1 => scene.image(row),
            _ => scene.origin.url(&format!("/status/404?{row}")),
        };
        list += &url;
        list.push('\n');
    }
    let (id, messages) = scene.start_and_split(list, chunk_size).await;
    for message in messages {
        scene.analyze(message).await;
    }
    scene.drain().await;
    assert!(scene.batch(id).await.report_ready);
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_rows_of_the_chosen_outcomes_are_fetched_again_and_the_table_has_their_latest() {
    let mut scene = Scene::new();
    let path = |row: usize| match row % 7 {
        0 | 1 => format!("/flaky/1/{row}"),
        2 => format!("/slow/500/plain.jpeg?row={row}"),
        3 => format!("/status/404?row={row}"),
        4 => "/image/plain.jpeg".to_owned(),
        _ => format!("/image/plain.jpeg?row={row}"),
    };
    let rows = 70;
    let list: String = (0..rows)
        .map(|row| scene.origin.url(&path(row)) + "\n")
        .collect();
    let (id, messages) = scene.start_and_split(format!("url\n{list}"), 9).await;
    let patient = scene.limits.clone();
    scene.limits.request_timeout = Duration::from_millis(200);
    let hasty = scene.analyzer(&scene.ports);
    for message in messages {
        let work = hasty.analyze_chunk(&message, Budget::default());
        work.await.unwrap();
    }
    scene.limits = patient;
    scene.drain().await;
    let before = scene.counters(id).await;
    assert_eq!(before.outcome(Outcome::ServerError), 20);
    assert_eq!(before.outcome(Outcome::Timeout), 10);
    let first_rows = scene.results(id).await;
    scene.clock.advance(Duration::from_secs(3_600));

    let begun = retry(&scene.ports, id, &RETRIED).await.unwrap();
    let expected = Retried::Begun {
        generation: 1,
        rows: 30,
    };
    assert_eq!(begun, expected);
    assert_eq!(scene.status(id).await, BatchStatus::Splitting);
    assert_eq!(
        read_report(&scene.ports, id)
            .await
            .unwrap()
            .unwrap()
            .retries,
        []
    );
    scene.drain().await;

    for row in 0..rows {
        let expected = match row % 7 {
            0..=2 => 2,
            // The same URL in many rows is fetched for the first, like any other.
            _ => 1,
        };
        assert_eq!(scene.origin.requests_for(&path(row)), expected, "row {row}");
    }
    scene.assert_counts_add_up(id, rows as u64).await;
    let results = scene.results(id).await;
    for (first, last) in first_rows.iter().zip(&results) {
        if RETRIED.contains(&first.outcome) {
            assert_eq!(last.outcome, Outcome::Ok);
            assert_eq!((first.attempts, last.attempts), (1, 2));
        } else {
            assert_eq!(first, last);
        }
    }
    let batch = scene.batch(id).await;
    assert_eq!(batch.status, BatchStatus::Completed);
    assert!(batch.report_ready && batch.finalize_sent);
    assert_eq!(scene.completions(id), 2);

    let report = read_report(&scene.ports, id).await.unwrap().unwrap();
    assert_eq!(counted_by_part(&report), scene.counters(id).await);
    assert_eq!(report.retries.len(), 1);
    let summary = &report.retries[0];
    assert_eq!((summary.generation, summary.rows), (1, 30));
    assert_eq!(summary.from[&Outcome::ServerError], 20);
    assert_eq!(summary.from[&Outcome::Timeout], 10);
    assert_eq!(summary.to.iter().collect::<Vec<_>>(), [(&Outcome::Ok, &30)]);
    assert!(
        report.elapsed_s < 3_600.0,
        "the hour between is not counted"
    );

    // Requests are counted when they are made, and once.
    assert_eq!(scene.indicators().await.counters.attempts, 70 - 9 + 30);
    assert_readers_agree(&scene, id).await;
}

/// Every way to read the table gives the rows that a recount gives.
async fn assert_readers_agree(scene: &Scene, id: BatchId) {
    let expected = scene.results(id).await;
    let mut table = Vec::new();
    let written = export(&scene.ports, id, ExportFormat::Ndjson, &mut table).await;
    assert_eq!(written.unwrap(), expected.len() as u64);
    let lines = String::from_utf8(table).unwrap();
    let rows = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let rows: Vec<domain::ResultRow> = rows.map(as_stored).collect();
    assert_eq!(rows, expected);

    let mut csv = Vec::new();
    let written = export(&scene.ports, id, ExportFormat::Csv, &mut csv).await;
    assert_eq!(written.unwrap(), expected.len() as u64);

    let mut paged = Vec::new();
    let mut after = None;
    loop {
        let filter = ResultFilter::default();
        let page = results_page(&scene.ports, id, &filter, after.as_ref(), 4).await;
        let page = page.unwrap();
        paged.extend(page.rows);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    paged.sort_by_key(|row| row.row);
    let paged: Vec<domain::ResultRow> = paged.into_iter().map(as_stored).collect();
    assert_eq!(paged, expected);
}

/// A row without what readers add to it: which others it duplicates.
fn as_stored(mut row: domain::ResultRow) -> domain::ResultRow {
    if row.outcome == Outcome::Ok {
        row.duplicate_of = None;
    }
    row.duplicate_group = None;
    let added = [
        Issue::Placeholder,
        Issue::ExactDuplicate,
        Issue::NearDuplicate,
    ];
    row.issues.retain(|issue| !added.contains(issue));
    row
}

#[tokio::test]
async fn rows_that_fail_again_can_be_retried_again_and_every_retry_is_reported() {
    let scene = Scene::new();
    let list = format!(
        "url\n{}\n{}\n{}\n",
        scene.origin.url("/flaky/2/twice"),
        scene.origin.url("/status/500"),
        scene.image(0)
    );
    let id = scene.start(list, 2).await;
    scene.drain().await;
    for generation in 1..=3 {
        let begun = retry(&scene.ports, id, &[Outcome::ServerError]).await;
        let rows = if generation < 3 { 2 } else { 1 };
        assert_eq!(begun.unwrap(), Retried::Begun { generation, rows });
        scene.drain().await;
        scene.assert_counts_add_up(id, 3).await;
    }
    let attempts: Vec<u32> = scene
        .results(id)
        .await
        .iter()
        .map(|row| row.attempts)
        .collect();
    assert_eq!(attempts, [3, 4, 1]);
    let report = read_report(&scene.ports, id).await.unwrap().unwrap();
    let became: Vec<Vec<(Outcome, u64)>> = report
        .retries
        .iter()
        .map(|retry| {
            retry
                .to
                .iter()
                .map(|(outcome, rows)| (*outcome, *rows))
                .collect()
        })
        .collect();
    let (ok, error) = ((Outcome::Ok, 1), (Outcome::ServerError, 1));
    assert_eq!(
        became,
        [
            vec![(Outcome::ServerError, 2)],
            vec![ok, error],
            vec![error]
        ]
    );
    assert_eq!(report.counters.attempts, 8);
    assert_readers_agree(&scene, id).await;
}

#[tokio::test]
async fn what_cannot_be_retried_is_said() {
    let scene = Scene::new();
    let list = format!("{}not a url\n", scene.good_list(1));
    let (id, messages) = scene.start_and_split(list, 2).await;
    let ask = async |outcomes: &[Outcome]| retry(&scene.ports, id, outcomes).await.unwrap();
    let processing = BatchStatus::Processing;
    assert_eq!(ask(&RETRIED).await, Retried::NotEnded(processing));
    scene.analyze(messages[0]).await;
    assert_eq!(ask(&RETRIED).await, Retried::Settling);
    scene.drain().await;
    assert_eq!(ask(&RETRIED).await, Retried::NoSuchRows);
    assert_eq!(ask(&worth_a_retry()).await, Retried::NoSuchRows);
    let never = Outcome::InvalidUrl;
    assert_eq!(
        ask(&[Outcome::Timeout, never]).await,
        Retried::NeverFetched(never)
    );
    let unknown = "00000000000000000000000000".parse().unwrap();
    let asked = retry(&scene.ports, unknown, &RETRIED).await.unwrap();
    assert_eq!(asked, Retried::Missing);
    scene.assert_completed(id, 2).await;
}

#[tokio::test]
async fn a_walk_goes_on_at_its_checkpoint_and_takes_back_every_row_once() {
    let scene = Scene::new();
    let id = an_ended_batch(&scene, "walk", 240, 1).await;
    retry(&scene.ports, id, &RETRIED).await.unwrap();
    scene.take::<SplitMessage>(Queue::Split).await;
    let settings = SplitSettings {
        soft_deadline: Some(Instant::now()),
        ..scene.split_settings()
    };
    let message = split_message(id);
    for chunks in [100, 200] {
        let end = split(&scene.ports, &settings, &message).await.unwrap();
        let SplitEnd::Continued(checkpoint) = end else {
            panic!("{end:?}");
        };
        assert_eq!(checkpoint.chunks, chunks);
    }
    // Whatever is out by now is done before the walk ends, and shards are complete that must not be closed yet.
    for message in scene.take::<ChunkMessage>(Queue::Chunks).await {
        scene.analyze(message).await;
    }
    assert_eq!(scene.status(id).await, BatchStatus::Splitting);
    let end = split(&scene.ports, &settings, &message).await.unwrap();
    assert!(matches!(end, SplitEnd::Done(_)), "{end:?}");
    scene.drain().await;
    scene.assert_counts_add_up(id, 240).await;
    assert_eq!(scene.counters(id).await.outcome(Outcome::ServerError), 0);
    assert_eq!(scene.completions(id), 2);
    let late = split(&scene.ports, &settings, &message).await.unwrap();
    assert_eq!(late, SplitEnd::NothingToDo);
}

#[tokio::test]
async fn a_retry_that_failed_or_died_at_any_call_is_made_good() {
    let scene = Scene::new();
    let mut number = 0;
    for fault in Fault::OF_ANY_CALL {
        for nth in 1.. {
            number += 1;
            let id = an_ended_batch(&scene, &format!("fault-{number}"), 6, 2).await;
            let plan = Plan {
                call: "",
                nth,
                fault,
            };
            let (ports, tap) = scene.tapped(plan);
            let (settings, message) = (scene.split_settings(), split_message(id));
            let both = async {
                retry(&ports, id, &RETRIED).await?;
                split(&ports, &settings, &message).await
            };
            drop(tap.run(both).await);
            let struck = tap.struck();
            let context = format!("{plan:?} at {struck:?}");
            if scene.batch(id).await.generation() == 0 {
                // The owner was not told that it began, and asks again.
                retry(&scene.ports, id, &RETRIED).await.unwrap();
            }
            scene.drain().await;
            scene.sweep().await;
            scene.drain().await;
            scene.assert_counts_add_up(id, 6).await;
            let batch = scene.batch(id).await;
            assert_eq!(batch.status, BatchStatus::Completed, "{context}");
            assert!(batch.report_ready, "{context}");
            assert_eq!(batch.generation(), 1, "{context}");
            let counters = scene.counters(id).await;
            assert_eq!(counters.outcome(Outcome::Ok), 4, "{context}");
            assert_eq!(counters.attempts, 6 + 2, "{context}");
            if struck.is_none() {
                assert!(nth > 15, "a retry of only {nth} calls?");
                break;
            }
        }
    }
}

#[tokio::test]
async fn every_message_twice_and_old_ones_late_change_nothing() {
    let scene = Scene::new();
    let (first, second) = (flaky(&scene, "a"), flaky(&scene, "b"));
    let list = format!("url\n{first}\n{}\n{second}\n", scene.image(0));
    let (id, old) = scene.start_and_split(list, 2).await;
    for message in &old {
        scene.analyze(*message).await;
    }
    scene.drain().await;
    retry(&scene.ports, id, &RETRIED).await.unwrap();
    for message in &old {
        scene.analyze(*message).await;
    }
    scene.split(id).await;
    scene.split(id).await;
    let new: Vec<ChunkMessage> = scene.take(Queue::Chunks).await;
    for message in new.iter().chain(&old).chain(&new).chain(&new) {
        scene.analyze(*message).await;
    }
    scene.drain().await;
    finalize(&scene.ports, id).await.unwrap();
    scene.assert_counts_add_up(id, 3).await;
    assert_eq!(scene.outcomes(id).await, [Outcome::Ok; 3]);
    assert_eq!(scene.completions(id), 2);
    assert_eq!(scene.origin.requests(), 3 + 2);
}

#[tokio::test]
async fn a_cancelled_batch_can_be_taken_up_again_by_a_retry_of_its_cancelled_rows() {
    let scene = Scene::new();
    let (id, messages) = scene.start_and_split(scene.good_list(6), 2).await;
    scene.analyze(messages[0]).await;
    cancel(&scene.ports, id).await.unwrap();
    for message in messages {
        scene.analyze(message).await;
    }
    scene.drain().await;
    assert_eq!(scene.status(id).await, BatchStatus::Cancelled);
    let begun = retry(&scene.ports, id, &worth_a_retry()).await.unwrap();
    assert!(matches!(begun, Retried::Begun { rows: 4, .. }), "{begun:?}");
    scene.drain().await;
    assert_eq!(scene.outcomes(id).await, [Outcome::Ok; 6]);
    scene.assert_completed(id, 6).await;
    assert_eq!(scene.origin.requests(), 6);
}

#[tokio::test]
async fn a_retry_that_is_cancelled_leaves_rows_it_did_not_come_to_as_they_were() {
    let scene = Scene::new();
    let id = an_ended_batch(&scene, "cancelled", 240, 1).await;
    retry(&scene.ports, id, &RETRIED).await.unwrap();
    scene.take::<SplitMessage>(Queue::Split).await;
    let settings = SplitSettings {
        soft_deadline: Some(Instant::now()),
        ..scene.split_settings()
    };
    let end = split(&scene.ports, &settings, &split_message(id)).await;
    assert!(matches!(end.unwrap(), SplitEnd::Continued(_)));
    cancel(&scene.ports, id).await.unwrap();
    scene.drain().await;
    scene.sweep().await;
    scene.drain().await;
    scene.assert_counts_add_up(id, 240).await;
    let counters = scene.counters(id).await;
    // The first shard had been looked through; of the others nothing was taken back.
    assert_eq!(counters.outcome(Outcome::Cancelled), 34);
    assert_eq!(counters.outcome(Outcome::ServerError), 80 - 34);
    let batch = scene.batch(id).await;
    assert_eq!(batch.status, BatchStatus::Cancelled);
    assert!(batch.report_ready);
}

#[tokio::test]
async fn a_walk_that_is_given_up_ends_the_retry_with_what_was_taken_back() {
    let scene = Scene::new();
    let id = an_ended_batch(&scene, "given-up", 6, 2).await;
    retry(&scene.ports, id, &RETRIED).await.unwrap();
    scene.let_die(Queue::Split).await;
    pipeline::sweep::sweep(&scene.ports, Duration::from_secs(3_600))
        .await
        .unwrap();
    scene.drain().await;
    let batch = scene.batch(id).await;
    assert_eq!(batch.status, BatchStatus::Completed);
    assert!(batch.report_ready);
    scene.assert_counts_add_up(id, 6).await;
}
