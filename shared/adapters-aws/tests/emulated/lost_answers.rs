//! Requests that were carried out, and their answers lost on the way: the SDK repeats them, and must not be taken for somebody else.

use std::sync::Arc;

use aws_emulators::{Emulators, Proxy, Stack};
use domain::ports::{Advance, BatchChange, BatchQuery, BatchStore, Creation, Outgoing, Queue};
use domain::{BatchStatus, Minute, ShardRef};
use jiff::Timestamp;
use test_support::{a_batch, a_finished_part, a_kpi_delta, part};

const MINUTE: Minute = Minute(29_453_040);

async fn a_store() -> (Arc<dyn BatchStore>, Proxy) {
    let proxy = Proxy::before(Emulators::shared().dynamodb()).await;
    let stack = Stack::create().await;
    let stack = stack.with_endpoint("DYNAMODB", &proxy.address());
    (crate::aws(&stack).store(), proxy)
}

#[tokio::test]
async fn a_creation_whose_answer_was_lost_created_the_batch() {
    let (store, proxy) = a_store().await;
    let batch = a_batch();
    proxy.lose_answers("PutItem", 2);
    assert_eq!(store.create_batch(&batch).await.unwrap(), Creation::Created);
    assert_eq!(proxy.counts()["PutItem"], 3);
    let again = store.create_batch(&batch).await.unwrap();
    assert_eq!(again, Creation::AlreadyThere);
}

#[tokio::test]
async fn a_move_whose_answer_was_lost_moved_the_batch() {
    let (store, proxy) = a_store().await;
    let batch = a_batch();
    store.create_batch(&batch).await.unwrap();
    let change = BatchChange::to(BatchStatus::Queued);
    let from = [BatchStatus::Pending];
    proxy.lose_answers("UpdateItem", 1);
    let moved = store
        .advance(batch.id, &from, &change, Timestamp::now())
        .await;
    assert_eq!(moved.unwrap(), Advance::Moved);
    assert_eq!(proxy.counts()["UpdateItem"], 2);
    let again = store
        .advance(batch.id, &from, &change, Timestamp::now())
        .await;
    assert_eq!(again.unwrap(), Advance::Stays(BatchStatus::Queued));
}

#[tokio::test]
async fn a_part_whose_commit_was_answered_by_nobody_is_counted_once() {
    let (store, proxy) = a_store().await;
    let batch = a_batch();
    let shard = ShardRef {
        batch: batch.id,
        shard: 0,
    };
    store.create_batch(&batch).await.unwrap();
    proxy.lose_answers("TransactWriteItems", 1);
    store.create_shard(shard, 1).await.unwrap();
    let commit = a_finished_part(part(batch.id, 0));
    proxy.lose_answers("UpdateItem", 2);
    assert!(store.commit_part(&commit).await.unwrap().shard_complete);
    let shards = store.shards(batch.id).await.unwrap();
    assert_eq!((shards[0].expected, shards[0].done), (1, 1));
    assert_eq!(shards[0].counters, commit.counters);
    proxy.lose_answers("UpdateItem", 1);
    let roll_up = store.close_shard(shard).await.unwrap().unwrap();
    assert_eq!(roll_up.shards_done, 1);
}

#[tokio::test]
async fn indicators_whose_answer_was_lost_are_added_once_and_were_new() {
    let (store, proxy) = a_store().await;
    let delta = a_kpi_delta(3);
    let part = part(a_batch().id, 0);
    proxy.lose_answers("TransactWriteItems", 2);
    assert!(store.add_kpis(part, MINUTE, &delta).await.unwrap());
    assert!(!store.add_kpis(part, MINUTE, &delta).await.unwrap());
    assert_eq!(store.kpis(MINUTE, MINUTE).await.unwrap(), [(MINUTE, delta)]);
}

#[tokio::test]
async fn a_deletion_goes_on_after_answers_were_lost() {
    let (store, proxy) = a_store().await;
    let batch = a_batch();
    store.create_batch(&batch).await.unwrap();
    for shard in 0..30 {
        let shard = ShardRef {
            batch: batch.id,
            shard,
        };
        store.create_shard(shard, 1).await.unwrap();
    }
    for operation in ["Query", "BatchWriteItem", "DeleteItem"] {
        proxy.lose_answers(operation, 1);
    }
    store.delete_batch(batch.id).await.unwrap();
    assert_eq!(store.batch(batch.id).await.unwrap(), None);
    assert_eq!(store.shards(batch.id).await.unwrap(), []);
    let all = BatchQuery {
        limit: 10,
        ..BatchQuery::default()
    };
    assert_eq!(store.list_batches(&all).await.unwrap().items, []);
}

#[tokio::test]
async fn a_deletion_whose_answer_was_lost_is_no_error() {
    let proxy = Proxy::before(Emulators::shared().others()).await;
    let stack = Stack::create().await.with_endpoint("SQS", &proxy.address());
    let queue = crate::aws(&stack).queue();
    let messages = [Outgoing::now("done".to_owned())];
    queue.send(Queue::Chunks, &messages).await.unwrap();
    let minute = std::time::Duration::from_secs(60);
    let deliveries = queue
        .receive(Queue::Chunks, 1, minute, minute)
        .await
        .unwrap();
    let receipts = [deliveries[0].receipt.clone()];
    proxy.lose_answers("DeleteMessageBatch", 1);
    queue.delete(Queue::Chunks, &receipts).await.unwrap();
    assert_eq!(queue.depth(Queue::Chunks).await.unwrap().in_flight, 0);
}
