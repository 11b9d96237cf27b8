//! What the table holds, beyond what the port promises.

use std::collections::BTreeMap;

use aws_emulators::Stack;
use domain::ports::{Advance, BatchChange, BatchQuery, PortErrorKind};
use domain::{Batch, BatchStatus, Gauge, HostTally, Minute, ShardRef, Vitals};
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
async fn what_belongs_to_a_batch_or_a_minute_expires_and_a_batch_before_its_shards() {
    let stack = Stack::create().await;
    let store = crate::aws(&stack).store();
    let batch = a_batch();
    store.create_batch(&batch).await.unwrap();
    let shard = ShardRef {
        batch: batch.id,
        shard: 0,
    };
    store.create_shard(shard, 1).await.unwrap();
    let delta = a_kpi_delta(1);
    let part = part(batch.id, 7);
    store.add_kpis(part, MINUTE, &delta).await.unwrap();
    let vitals = Vitals {
        workers: Gauge::of(1),
        ..Vitals::default()
    };
    let next = Minute(MINUTE.0 + 1);
    let monitoring = crate::aws(&stack).monitoring();
    monitoring.add_vitals(next, &vitals).await.unwrap();
    let mut expiries = BTreeMap::new();
    for item in stack.items().await {
        let expires_at = item["expires_at"]["N"].as_str();
        let expires_at: i64 = expires_at.unwrap().parse().unwrap();
        let days = (expires_at - Timestamp::now().as_second()) / 86_400;
        let name = format!("{} {}", item["pk"]["S"], item["sk"]["S"]);
        let expected = if name.contains("M#7.0") {
            17..=18
        } else {
            399..=400
        };
        assert!(expected.contains(&days), "{name}: {days}");
        expiries.insert(item["sk"]["S"].as_str().unwrap().to_owned(), expires_at);
    }
    assert_eq!(expiries.len(), 4, "{expiries:?}");
    assert!(expiries["BATCH"] <= expiries["S#00000000"]);
}

#[tokio::test]
async fn a_part_with_troubled_hosts_is_counted_once_and_takes_no_item_more() {
    let stack = Stack::create().await;
    let store = crate::aws(&stack).store();
    let part = part(a_batch().id, 7);
    let mut delta = a_kpi_delta(1);
    let tally = HostTally::default();
    delta.hosts = [("shop.example".to_owned(), tally)].into();
    for is_new in [true, false] {
        let added = store.add_kpis(part, MINUTE, &delta).await.unwrap();
        assert_eq!(added, is_new);
    }
    let items = stack.items().await;
    assert_eq!(items.len(), 2, "{items:?}");
    let monitoring = crate::aws(&stack).monitoring();
    let hosts = monitoring.troubled_hosts(MINUTE, MINUTE).await.unwrap();
    assert_eq!(hosts.len(), 1);
    assert_eq!(hosts[0].host, "shop.example");
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
