use std::sync::Arc;

use domain::ports::{BatchChange, BatchStore, RollUp};
use domain::{
    Batch, BatchId, BatchStatus, CHUNKS_PER_SHARD, ShardRef, SplitCheckpoint, SplitTotals,
};
use tokio::task::JoinSet;

use crate::{a_batch, a_finished_part, part};

/// A stored batch that is being split, with `shards` shards of one part each.
async fn a_batch_with_shards(store: &dyn BatchStore, shards: u32) -> BatchId {
    let batch = Batch {
        status: BatchStatus::Splitting,
        ..a_batch()
    };
    store.create_batch(&batch).await.unwrap();
    for shard in 0..shards {
        let shard = ShardRef {
            batch: batch.id,
            shard,
        };
        store.create_shard(shard, 1).await.unwrap();
    }
    batch.id
}

async fn complete(store: &dyn BatchStore, batch: BatchId, shard: u32) {
    let part = part(batch, shard * CHUNKS_PER_SHARD);
    let commit = store.commit_part(&a_finished_part(part)).await.unwrap();
    assert!(commit.shard_complete);
}

async fn close(store: &dyn BatchStore, batch: BatchId, shard: u32) -> RollUp {
    let shard = ShardRef { batch, shard };
    store.close_shard(shard).await.unwrap().unwrap()
}

/// The whole list is split into `shards` shards.
async fn end_split(store: &dyn BatchStore, batch: BatchId, shards: u32) {
    let change = BatchChange {
        checkpoint: Some(SplitCheckpoint {
            rows: 3 * u64::from(shards),
            chunks: shards,
            chunk_size: 3,
            is_handed_over: false,
        }),
        totals: Some(SplitTotals {
            rows: 3 * u64::from(shards),
            chunks: shards,
            shards,
        }),
        ..BatchChange::to(BatchStatus::Processing)
    };
    let now = "2026-01-01T12:10:00Z".parse().unwrap();
    store
        .advance(batch, &[BatchStatus::Splitting], &change, now)
        .await
        .unwrap();
}

/// Closing is asked for after every commit, early ones included.
pub async fn an_incomplete_shard_is_not_closed(store: Arc<dyn BatchStore>) {
    let batch = a_batch_with_shards(&*store, 1).await;
    assert_eq!(close(&*store, batch, 0).await.shards_done, 0);
    complete(&*store, batch, 0).await;
    assert_eq!(close(&*store, batch, 0).await.shards_done, 1);
}

/// A repeat does not count again.
pub async fn a_complete_shard_is_closed_once(store: Arc<dyn BatchStore>) {
    let batch = a_batch_with_shards(&*store, 2).await;
    complete(&*store, batch, 1).await;
    let first = close(&*store, batch, 1).await;
    assert_eq!((first.shards_done, first.is_new), (1, true));
    let repeated = RollUp {
        is_new: false,
        ..first
    };
    for _ in 0..3 {
        assert_eq!(close(&*store, batch, 1).await, repeated);
    }
}

/// As above, at the same time.
pub async fn concurrent_closes_of_one_shard_count_once(store: Arc<dyn BatchStore>) {
    let batch = a_batch_with_shards(&*store, 2).await;
    complete(&*store, batch, 0).await;
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { close(&*store, batch, 0).await });
    }
    let answers = tasks.join_all().await;
    assert!(answers.iter().all(|answer| answer.shards_done == 1));
    assert_eq!(answers.iter().filter(|answer| answer.is_new).count(), 1);
}

/// No mark is lost, and one of the callers sees them all: nobody else would end the batch.
pub async fn concurrent_closes_of_different_shards_all_count(store: Arc<dyn BatchStore>) {
    let batch = a_batch_with_shards(&*store, 20).await;
    end_split(&*store, batch, 20).await;
    let mut tasks = JoinSet::new();
    for shard in 0..20 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            complete(&*store, batch, shard).await;
            close(&*store, batch, shard).await
        });
    }
    let answers = tasks.join_all().await;
    assert!(answers.iter().any(RollUp::is_complete));
    assert_eq!(close(&*store, batch, 0).await.shards_done, 20);
}

/// A shard that was never created is not complete.
pub async fn a_shard_that_does_not_exist_is_not_closed(store: Arc<dyn BatchStore>) {
    let batch = a_batch_with_shards(&*store, 1).await;
    assert_eq!(close(&*store, batch, 5).await.shards_done, 0);
}

/// Before that, nobody can say.
pub async fn a_roll_up_knows_the_shards_in_all_once_the_list_is_split(store: Arc<dyn BatchStore>) {
    let batch = a_batch_with_shards(&*store, 2).await;
    complete(&*store, batch, 0).await;
    let during_split = close(&*store, batch, 0).await;
    assert_eq!(
        during_split,
        RollUp {
            status: BatchStatus::Splitting,
            shards: None,
            shards_done: 1,
            is_new: true,
        }
    );
    end_split(&*store, batch, 2).await;
    assert_eq!(
        close(&*store, batch, 0).await,
        RollUp {
            status: BatchStatus::Processing,
            shards: Some(2),
            shards_done: 1,
            is_new: false,
        }
    );
}

/// What moves a batch to `COMPLETED`.
pub async fn a_roll_up_is_complete_when_every_shard_of_a_processing_batch_is_closed(
    store: Arc<dyn BatchStore>,
) {
    let batch = a_batch_with_shards(&*store, 2).await;
    for shard in [0, 1] {
        complete(&*store, batch, shard).await;
        assert!(!close(&*store, batch, shard).await.is_complete());
    }
    end_split(&*store, batch, 2).await;
    assert!(close(&*store, batch, 1).await.is_complete());
}

/// The batch was deleted in the meantime.
pub async fn an_unknown_batch_has_no_roll_up(store: Arc<dyn BatchStore>) {
    let shard = ShardRef {
        batch: a_batch().id,
        shard: 0,
    };
    assert_eq!(store.close_shard(shard).await.unwrap(), None);
}
