use std::sync::Arc;

use domain::ports::{Advance, BatchChange, BatchStore, PartCommit};
use domain::{
    Batch, BatchId, BatchStatus, Counters, Outcome, PartRef, Retry, ShardRef, SplitCheckpoint,
    SplitTotals,
};
use jiff::Timestamp;
use tokio::task::JoinSet;

use crate::{a_batch, a_finished_part, counters_of, part};

fn later() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn a_retry() -> Retry {
    Retry {
        outcomes: vec![Outcome::NotFound],
        requested_at: "2026-01-02T00:00:00Z".parse().unwrap(),
        ended_before: "2026-01-01T13:00:00Z".parse().unwrap(),
    }
}

/// A batch that ended, of two chunks in two shards, both counted and closed; its report is written.
async fn an_ended_batch(store: &dyn BatchStore, status: BatchStatus) -> Batch {
    let batch = Batch {
        status,
        checkpoint: SplitCheckpoint {
            chunks: 2,
            rows: 6,
            chunk_size: 3,
            is_handed_over: false,
        },
        totals: Some(SplitTotals {
            rows: 6,
            chunks: 2,
            shards: 2,
        }),
        started_at: Some(a_batch().created_at),
        ended_at: Some(a_retry().ended_before),
        finalize_sent: true,
        report_ready: true,
        ..a_batch()
    };
    store.create_batch(&batch).await.unwrap();
    for shard in [0, 1] {
        let shard = ShardRef {
            batch: batch.id,
            shard,
        };
        store.create_shard(shard, 1).await.unwrap();
        let commit = a_finished_part(first_part(batch.id, shard.shard));
        store.commit_part(&commit).await.unwrap();
        store.close_shard(shard).await.unwrap();
    }
    batch
}

fn first_part(batch: BatchId, shard: u32) -> PartRef {
    part(batch, shard * domain::CHUNKS_PER_SHARD)
}

/// Takes the one row back that was not found.
fn taking_back(part: PartRef) -> PartCommit {
    PartCommit {
        part,
        counters: Counters::default(),
        has_leftover: true,
        begins_labelling: false,
        retracted: Some(counters_of(&[(Outcome::NotFound, 1)])),
    }
}

async fn begin_retry(store: &dyn BatchStore, batch: BatchId) {
    let begun = store.begin_retry(batch, 1, &a_retry(), later()).await;
    assert_eq!(begun.unwrap(), Advance::Moved);
}

async fn shards_done(store: &dyn BatchStore, batch: BatchId, shard: u32) -> u32 {
    let shard = ShardRef { batch, shard };
    let roll_up = store.close_shard(shard).await.unwrap();
    roll_up.unwrap().shards_done
}

async fn end_walk(store: &dyn BatchStore, batch: &Batch) {
    let change = BatchChange {
        checkpoint: Some(batch.checkpoint),
        ..BatchChange::to(BatchStatus::Processing)
    };
    let from = &[BatchStatus::Splitting];
    store
        .advance(batch.id, from, &change, later())
        .await
        .unwrap();
}

/// It is split again, from its first chunk, and what was known of its end is forgotten.
pub async fn a_retry_begins_a_new_generation(store: Arc<dyn BatchStore>) {
    for status in [BatchStatus::Completed, BatchStatus::Cancelled] {
        let batch = an_ended_batch(&*store, status).await;
        let begun = store.begin_retry(batch.id, 1, &a_retry(), later()).await;
        assert_eq!(begun.unwrap(), Advance::Moved);
        let expected = Batch {
            status: BatchStatus::Splitting,
            checkpoint: SplitCheckpoint {
                chunks: 0,
                rows: 0,
                chunk_size: 3,
                is_handed_over: false,
            },
            ended_at: None,
            finalize_sent: false,
            report_ready: false,
            retries: vec![a_retry()],
            updated_at: later(),
            ..batch.clone()
        };
        assert_eq!(store.batch(batch.id).await.unwrap(), Some(expected));
    }
}

/// Another time means another generation; the same one begins once.
pub async fn of_concurrent_retries_one_begins(store: Arc<dyn BatchStore>) {
    let batch = an_ended_batch(&*store, BatchStatus::Completed).await;
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let store = Arc::clone(&store);
        let id = batch.id;
        tasks.spawn(async move { store.begin_retry(id, 1, &a_retry(), later()).await.unwrap() });
    }
    let answers = tasks.join_all().await;
    let moved = answers.iter().filter(|answer| **answer == Advance::Moved);
    assert_eq!(moved.count(), 1);
    let batch = store.batch(batch.id).await.unwrap().unwrap();
    assert_eq!(batch.retries.len(), 1);
}

/// A request that waited while another retry came and went asks about rows that are no longer the latest.
pub async fn a_retry_that_does_not_follow_the_current_generation_does_not_begin(
    store: Arc<dyn BatchStore>,
) {
    let batch = an_ended_batch(&*store, BatchStatus::Completed).await;
    for generation in [0, 2] {
        let begun = store
            .begin_retry(batch.id, generation, &a_retry(), later())
            .await;
        assert_eq!(begun.unwrap(), Advance::Stays(BatchStatus::Completed));
    }
    assert_eq!(store.batch(batch.id).await.unwrap(), Some(batch));
}

/// A walk over an earlier generation that comes to itself late must not move a later one.
pub async fn a_change_for_another_generation_is_not_made(store: Arc<dyn BatchStore>) {
    let batch = an_ended_batch(&*store, BatchStatus::Completed).await;
    for (generation, expected) in [
        (1, Advance::Stays(BatchStatus::Completed)),
        (0, Advance::Moved),
    ] {
        let change = BatchChange {
            in_generation: Some(generation),
            ..BatchChange::default()
        };
        let advance = store
            .advance(batch.id, BatchStatus::ALL, &change, later())
            .await;
        assert_eq!(advance.unwrap(), expected);
    }
    begin_retry(&*store, batch.id).await;
    let late = BatchChange {
        in_generation: Some(0),
        ..BatchChange::to(BatchStatus::Processing)
    };
    let advance = store.advance(batch.id, BatchStatus::ALL, &late, later());
    let expected = Advance::Stays(BatchStatus::Splitting);
    assert_eq!(advance.await.unwrap(), expected);
}

/// Neither one under way, nor one without its report, nor one on its way out.
pub async fn only_a_settled_batch_can_be_retried(store: Arc<dyn BatchStore>) {
    let ended = Batch {
        status: BatchStatus::Completed,
        report_ready: true,
        ..a_batch()
    };
    for batch in [
        Batch {
            status: BatchStatus::Processing,
            ..ended.clone()
        },
        Batch {
            status: BatchStatus::Failed,
            ..ended.clone()
        },
        Batch {
            report_ready: false,
            ..ended.clone()
        },
        Batch {
            deleting: true,
            ..ended.clone()
        },
    ] {
        let batch = Batch {
            id: a_batch().id,
            ..batch
        };
        store.create_batch(&batch).await.unwrap();
        let begun = store.begin_retry(batch.id, 1, &a_retry(), later()).await;
        assert_eq!(begun.unwrap(), Advance::Stays(batch.status));
        assert_eq!(store.batch(batch.id).await.unwrap(), Some(batch));
    }
    let unknown = a_batch().id;
    let begun = store.begin_retry(unknown, 1, &a_retry(), later()).await;
    assert_eq!(begun.unwrap(), Advance::Missing);
}

/// Nobody waited for the part itself, and its rows are waited for as well.
pub async fn a_part_that_begins_a_retry_takes_counts_back_and_is_waited_for(
    store: Arc<dyn BatchStore>,
) {
    let batch = an_ended_batch(&*store, BatchStatus::Completed).await;
    begin_retry(&*store, batch.id).await;
    let commit = taking_back(first_part(batch.id, 0).next());
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let (store, commit) = (Arc::clone(&store), commit.clone());
        tasks.spawn(async move { store.commit_part(&commit).await.unwrap() });
    }
    let answers = tasks.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_new).count(), 1);
    assert!(answers.iter().all(|answer| !answer.shard_complete));
    let shards = store.shards(batch.id).await.unwrap();
    assert_eq!((shards[0].expected, shards[0].done), (3, 2));
    assert_eq!(shards[0].counters, counters_of(&[(Outcome::Ok, 2)]));
    assert_eq!((shards[1].expected, shards[1].done), (1, 1));
}

/// A late repeat of an old message must not mark what is complete only until the retry comes by.
pub async fn no_shard_is_closed_while_a_retry_looks_through_its_batch(store: Arc<dyn BatchStore>) {
    let batch = an_ended_batch(&*store, BatchStatus::Completed).await;
    begin_retry(&*store, batch.id).await;
    for shard in [0, 1] {
        assert_eq!(shards_done(&*store, batch.id, shard).await, 0);
    }
    let taken_back = first_part(batch.id, 0).next();
    store.commit_part(&taking_back(taken_back)).await.unwrap();
    end_walk(&*store, &batch).await;
    assert_eq!(shards_done(&*store, batch.id, 0).await, 0);
    assert_eq!(shards_done(&*store, batch.id, 1).await, 1);

    let again = PartCommit {
        counters: counters_of(&[(Outcome::Ok, 1)]),
        ..a_finished_part(taken_back.next())
    };
    let answer = store.commit_part(&again).await.unwrap();
    assert!(answer.is_new && answer.shard_complete);
    let shard = ShardRef {
        batch: batch.id,
        shard: 0,
    };
    let roll_up = store.close_shard(shard).await.unwrap().unwrap();
    assert!(roll_up.is_complete());
    let shards = store.shards(batch.id).await.unwrap();
    assert_eq!(shards[0].counters, counters_of(&[(Outcome::Ok, 3)]));
}

/// Its report can be written.
pub async fn a_roll_up_is_complete_when_every_shard_of_a_cancelled_batch_is_closed(
    store: Arc<dyn BatchStore>,
) {
    let batch = an_ended_batch(&*store, BatchStatus::Cancelled).await;
    let shard = ShardRef {
        batch: batch.id,
        shard: 1,
    };
    let roll_up = store.close_shard(shard).await.unwrap().unwrap();
    assert_eq!(roll_up.status, BatchStatus::Cancelled);
    assert!(roll_up.is_complete());
}
