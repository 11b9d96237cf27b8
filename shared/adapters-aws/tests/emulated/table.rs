//! What the table holds, beyond what the port promises.

use aws_emulators::Stack;
use domain::ports::{Advance, BatchChange, BatchQuery, PortErrorKind};
use domain::{Batch, BatchStatus, Minute, ShardRef};
use jiff::Timestamp;
use test_support::{a_batch, a_finished_part, a_kpi_delta, part};

const MINUTE: Minute = Minute(29_453_040);

#[tokio::test]
async fn a_shard_of_an_unknown_batch_is_rejected() {
    let store = crate::aws(&Stack::create().await).store();
    let batch = a_batch();
    let shard = ShardRef {
        batch: batch.id,
        shard: 0,
    };
    let fault = store.create_shard(shard, 1).await.unwrap_err();
    assert_eq!(fault.kind, PortErrorKind::Rejected);
    store.create_batch(&batch).await.unwrap();
    store.create_shard(shard, 1).await.unwrap();
}

#[tokio::test]
async fn a_deleted_batch_leaves_no_item_behind() {
    let stack = Stack::create().await;
    let store = crate::aws(&stack).store();
    let batch = a_batch();
    store.create_batch(&batch).await.unwrap();
    for shard in 0..60 {
        let shard = ShardRef {
            batch: batch.id,
            shard,
        };
        store.create_shard(shard, 1).await.unwrap();
    }
    let commit = a_finished_part(part(batch.id, 0));
    store.commit_part(&commit).await.unwrap();
    let delta = a_kpi_delta(1);
    store.add_kpis(commit.part, MINUTE, &delta).await.unwrap();
    assert_eq!(stack.items().await.len(), 63);
    store.delete_batch(batch.id).await.unwrap();
    let items = stack.items().await;
    assert_eq!(items.len(), 1, "{items:?}");
    assert_eq!(items[0]["sk"]["S"], "KPI");
}

#[tokio::test]
async fn marks_of_counted_indicators_expire_and_nothing_else_does() {
    let stack = Stack::create().await;
    let store = crate::aws(&stack).store();
    let batch = a_batch();
    store.create_batch(&batch).await.unwrap();
    let delta = a_kpi_delta(1);
    let part = part(batch.id, 7);
    store.add_kpis(part, MINUTE, &delta).await.unwrap();
    for item in stack.items().await {
        let expires_at = item["expires_at"]["N"].as_str();
        if item["sk"]["S"] == "M#7.0" {
            let expires_at: i64 = expires_at.unwrap().parse().unwrap();
            let days = (expires_at - Timestamp::now().as_second()) / 86_400;
            assert!((17..=18).contains(&days), "{days}");
        } else {
            assert_eq!(expires_at, None, "{item}");
        }
    }
}

#[tokio::test]
async fn a_part_counted_writes_to_no_index() {
    let stack = Stack::create().await;
    let store = crate::aws(&stack).store();
    let batch = a_batch();
    store.create_batch(&batch).await.unwrap();
    let shard = ShardRef {
        batch: batch.id,
        shard: 0,
    };
    store.create_shard(shard, 1).await.unwrap();
    let commit = a_finished_part(part(batch.id, 0));
    store.commit_part(&commit).await.unwrap();
    let delta = a_kpi_delta(1);
    store.add_kpis(commit.part, MINUTE, &delta).await.unwrap();
    for item in stack.items().await {
        let is_indexed = item.get("status").is_some() || item.get("owner").is_some();
        assert_eq!(is_indexed, item["sk"]["S"] == "BATCH", "{item}");
    }
}

#[tokio::test]
async fn a_report_moves_a_batch_in_the_index_whatever_state_it_is_in() {
    let store = crate::aws(&Stack::create().await).store();
    let batch = Batch {
        status: BatchStatus::Cancelled,
        ..a_batch()
    };
    store.create_batch(&batch).await.unwrap();
    let without_report = BatchQuery {
        without_report: true,
        limit: 10,
        ..BatchQuery::default()
    };
    for (report_ready, found) in [(true, 0), (false, 1)] {
        let change = BatchChange {
            report_ready: Some(report_ready),
            ..BatchChange::default()
        };
        let ended = [BatchStatus::Completed, BatchStatus::Cancelled];
        let now = Timestamp::now();
        let advance = store.advance(batch.id, &ended, &change, now).await.unwrap();
        assert_eq!(advance, Advance::Moved);
        let page = store.list_batches(&without_report).await.unwrap();
        assert_eq!(page.items.len(), found);
        let other = BatchStatus::OPEN;
        let advance = store.advance(batch.id, other, &change, now).await.unwrap();
        assert_eq!(advance, Advance::Stays(BatchStatus::Cancelled));
    }
}

#[tokio::test]
async fn indicators_of_more_than_a_month_are_rejected() {
    let store = crate::aws(&Stack::create().await).store();
    let month = 31 * 24 * 60;
    assert_eq!(store.kpis(Minute(1), Minute(month)).await.unwrap(), []);
    let fault = store.kpis(Minute(0), Minute(month)).await.unwrap_err();
    assert_eq!(fault.kind, PortErrorKind::Rejected);
    let fault = store.kpis(Minute(i64::MIN), Minute(i64::MAX)).await;
    assert_eq!(fault.unwrap_err().kind, PortErrorKind::Rejected);
}
