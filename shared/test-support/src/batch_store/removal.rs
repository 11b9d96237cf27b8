use std::sync::Arc;

use domain::ports::{Advance, BatchChange, BatchQuery, BatchStore, Creation, PortErrorKind};
use domain::{Batch, BatchStatus, CHUNKS_PER_SHARD, Minute, ShardRef};

use crate::settle::settles_on;
use crate::{a_batch, a_finished_part, a_kpi_delta, part};

const MINUTE: Minute = Minute(29_453_040);

/// A stored batch with two shards of one part each, the first of them done and closed.
async fn a_batch_under_way(store: &dyn BatchStore) -> Batch {
    let batch = a_batch();
    store.create_batch(&batch).await.unwrap();
    create_shards(store, &batch).await;
    let commit = a_finished_part(part(batch.id, 0));
    store.commit_part(&commit).await.unwrap();
    store.close_shard(first_shard(&batch)).await.unwrap();
    batch
}

async fn create_shards(store: &dyn BatchStore, batch: &Batch) {
    for shard in [0, 1] {
        let shard = ShardRef {
            batch: batch.id,
            shard,
        };
        store.create_shard(shard, 1).await.unwrap();
    }
}

fn first_shard(batch: &Batch) -> ShardRef {
    ShardRef {
        batch: batch.id,
        shard: 0,
    }
}

/// Nothing can be read, moved, counted or closed any more.
pub async fn a_deleted_batch_is_gone_with_its_shards(store: Arc<dyn BatchStore>) {
    let batch = a_batch_under_way(&*store).await;
    store.delete_batch(batch.id).await.unwrap();

    assert_eq!(store.batch(batch.id).await.unwrap(), None);
    assert_eq!(store.shards(batch.id).await.unwrap(), []);
    let first = first_shard(&batch);
    assert_eq!(store.close_shard(first).await.unwrap(), None);
    for chunk in [0, CHUNKS_PER_SHARD] {
        let commit = a_finished_part(part(batch.id, chunk));
        let fault = store.commit_part(&commit).await.unwrap_err();
        assert_eq!(fault.kind, PortErrorKind::Rejected);
    }
    let to_queued = BatchChange::to(BatchStatus::Queued);
    let advance = store
        .advance(batch.id, BatchStatus::ALL, &to_queued, batch.created_at)
        .await
        .unwrap();
    assert_eq!(advance, Advance::Missing);
    let query = BatchQuery {
        limit: 10,
        ..BatchQuery::default()
    };
    settles_on(Vec::new(), async || {
        store.list_batches(&query).await.unwrap().items
    })
    .await;
}

/// No mark of a counted part and no closed shard is left behind.
pub async fn a_deleted_batch_can_be_created_anew_and_counts_from_zero(store: Arc<dyn BatchStore>) {
    let batch = a_batch_under_way(&*store).await;
    store.delete_batch(batch.id).await.unwrap();

    assert_eq!(store.create_batch(&batch).await.unwrap(), Creation::Created);
    assert_eq!(store.shards(batch.id).await.unwrap(), []);
    create_shards(&*store, &batch).await;
    let roll_up = store.close_shard(first_shard(&batch)).await.unwrap();
    assert_eq!(roll_up.unwrap().shards_done, 0);
    let commit = a_finished_part(part(batch.id, 0));
    let answer = store.commit_part(&commit).await.unwrap();
    assert!(answer.is_new && answer.shard_complete);
}

/// Only what belongs to the batch goes.
pub async fn other_batches_outlive_a_deletion(store: Arc<dyn BatchStore>) {
    let kept = a_batch_under_way(&*store).await;
    let shards = store.shards(kept.id).await.unwrap();
    let deleted = a_batch_under_way(&*store).await;
    store.delete_batch(deleted.id).await.unwrap();

    assert_eq!(store.batch(kept.id).await.unwrap(), Some(kept.clone()));
    assert_eq!(store.shards(kept.id).await.unwrap(), shards);
    let repeat = a_finished_part(part(kept.id, 0));
    assert!(!store.commit_part(&repeat).await.unwrap().is_new);
    let roll_up = store.close_shard(first_shard(&kept)).await.unwrap();
    assert_eq!(roll_up.unwrap().shards_done, 1);
}

/// What was done in a minute stays true.
pub async fn indicators_outlive_their_batch(store: Arc<dyn BatchStore>) {
    let batch = a_batch_under_way(&*store).await;
    let delta = a_kpi_delta(3);
    store
        .add_kpis(part(batch.id, 0), MINUTE, &delta)
        .await
        .unwrap();
    store.delete_batch(batch.id).await.unwrap();
    let minutes = store.kpis(MINUTE, MINUTE).await.unwrap();
    assert_eq!(minutes, [(MINUTE, delta)]);
}

/// Nor is deleting one that never was.
pub async fn deleting_a_batch_again_is_no_error(store: Arc<dyn BatchStore>) {
    let batch = a_batch_under_way(&*store).await;
    for _ in 0..2 {
        store.delete_batch(batch.id).await.unwrap();
    }
    store.delete_batch(a_batch().id).await.unwrap();
}
