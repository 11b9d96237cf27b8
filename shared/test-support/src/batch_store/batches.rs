use std::sync::Arc;

use domain::ports::{Advance, BatchChange, BatchQuery, BatchStore, Creation};
use domain::{
    Batch, BatchId, BatchOptions, BatchStatus, ListFormat, MeasureMode, Outcome, Retry,
    SplitCheckpoint, SplitTotals,
};
use jiff::Timestamp;
use tokio::task::JoinSet;

use crate::settle::settles_on;
use crate::{a_batch, batches_in_order};

fn later() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

/// A change that names every field.
fn a_full_change() -> BatchChange {
    BatchChange {
        status: Some(BatchStatus::Processing),
        list_bytes: Some(5_000_000_000),
        started_at: Some("2026-01-01T12:00:01Z".parse().unwrap()),
        ended_at: Some("2026-01-01T12:00:02Z".parse().unwrap()),
        failure: Some("line 7: no column named url".to_owned()),
        checkpoint: Some(SplitCheckpoint {
            chunks: 200,
            rows: 400_000,
            chunk_size: 2_000,
            is_handed_over: false,
        }),
        totals: Some(SplitTotals {
            rows: 400_100,
            chunks: 201,
            shards: 3,
        }),
        finalize_sent: Some(true),
        report_ready: Some(true),
        max_concurrency: Some(12),
        deleting: Some(true),
        in_generation: Some(0),
    }
}

fn all(limit: usize) -> BatchQuery {
    BatchQuery {
        limit,
        ..BatchQuery::default()
    }
}

async fn ids(store: &dyn BatchStore, query: &BatchQuery) -> (Vec<BatchId>, bool) {
    let page = store.list_batches(query).await.unwrap();
    let ids = page.items.iter().map(|batch| batch.id).collect();
    (ids, page.more)
}

async fn stored(store: &dyn BatchStore, id: BatchId) -> Batch {
    store.batch(id).await.unwrap().unwrap()
}

/// Creation keeps every field.
pub async fn a_new_batch_is_stored_as_it_was_given(store: Arc<dyn BatchStore>) {
    let plain = a_batch();
    let full = Batch {
        id: a_batch().id,
        name: "Frühjahr \"1\"\n".to_owned(),
        status: BatchStatus::Failed,
        options: BatchOptions {
            url_column: Some("image link".to_owned()),
            list_format: Some(ListFormat::Tsv),
            chunk_size: Some(500),
            measure: MeasureMode::Full,
            duplicates: Some(domain::DuplicateOptions {
                distance: 4,
                positions: domain::Positions::Turned,
                against: Some(a_batch().id),
            }),
            vision: Some(domain::VisionOptions {
                priority: domain::Priority::High,
                reuse: domain::VisionReuse::Near,
                budget_micro_usd: Some(1_500_000),
            }),
            since: Some(plain.id),
            rules: Vec::new(),
            webhook: Some("https://hooks.example.com/imgsweep".to_owned()),
        },
        list_bytes: u64::from(u32::MAX) + 1,
        awaits_list: true,
        auto_start: true,
        started_at: Some(later()),
        ended_at: Some(later()),
        failure: Some("cannot be read".to_owned()),
        checkpoint: SplitCheckpoint {
            chunks: 100,
            rows: 200_000,
            chunk_size: 2_000,
            is_handed_over: false,
        },
        totals: Some(SplitTotals {
            rows: 15_000_000,
            chunks: 7_500,
            shards: 75,
        }),
        finalize_sent: true,
        report_ready: true,
        max_concurrency: Some(7),
        retries: vec![Retry {
            outcomes: vec![Outcome::Timeout, Outcome::ServerError],
            requested_at: later(),
            ended_before: later(),
        }],
        deleting: true,
        ..a_batch()
    };
    for batch in [plain, full] {
        assert_eq!(store.create_batch(&batch).await.unwrap(), Creation::Created);
        assert_eq!(store.batch(batch.id).await.unwrap(), Some(batch));
    }
}

/// A repeat has no effect, whatever it carries.
pub async fn a_second_batch_with_the_same_id_leaves_the_first_as_it_was(
    store: Arc<dyn BatchStore>,
) {
    let first = a_batch();
    let second = Batch {
        name: "another".to_owned(),
        status: BatchStatus::Queued,
        ..first.clone()
    };
    store.create_batch(&first).await.unwrap();
    assert_eq!(
        store.create_batch(&second).await.unwrap(),
        Creation::AlreadyThere
    );
    assert_eq!(stored(&*store, first.id).await, first);
}

/// Exactly one of many callers hears that it created the batch.
pub async fn of_concurrent_creations_one_creates(store: Arc<dyn BatchStore>) {
    let batch = a_batch();
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let (store, batch) = (Arc::clone(&store), batch.clone());
        tasks.spawn(async move { store.create_batch(&batch).await.unwrap() });
    }
    let answers = tasks.join_all().await;
    let created = answers
        .iter()
        .filter(|answer| **answer == Creation::Created)
        .count();
    assert_eq!(created, 1);
}

/// A missing batch is no error.
pub async fn an_unknown_batch_is_none(store: Arc<dyn BatchStore>) {
    assert_eq!(store.batch(a_batch().id).await.unwrap(), None);
    settles_on((Vec::new(), false), async || ids(&*store, &all(10)).await).await;
}

/// Order of listings, whatever the order of creation.
pub async fn batches_are_listed_newest_first(store: Arc<dyn BatchStore>) {
    let batches = batches_in_order(5);
    for position in [2, 0, 4, 1, 3] {
        store.create_batch(&batches[position]).await.unwrap();
    }
    let newest_first: Vec<Batch> = batches.into_iter().rev().collect();
    settles_on((newest_first, false), async || {
        let page = store.list_batches(&all(10)).await.unwrap();
        (page.items, page.more)
    })
    .await;
}

/// Pages follow each other by the last batch of the page before; the last one says so, even when it is full.
pub async fn a_listing_is_cut_into_pages_without_gaps_or_repeats(store: Arc<dyn BatchStore>) {
    let batches = batches_in_order(6);
    for batch in &batches {
        store.create_batch(batch).await.unwrap();
    }
    let id = |position: usize| batches[position].id;
    for (before, limit, expected) in [
        (None, 4, (vec![id(5), id(4), id(3), id(2)], true)),
        (Some(id(2)), 4, (vec![id(1), id(0)], false)),
        (None, 6, ((0..6).rev().map(id).collect(), false)),
        (Some(id(3)), 3, (vec![id(2), id(1), id(0)], false)),
        (Some(id(3)), 2, (vec![id(2), id(1)], true)),
        (Some(id(0)), 4, (vec![], false)),
    ] {
        let query = BatchQuery {
            before,
            ..all(limit)
        };
        settles_on(expected, async || ids(&*store, &query).await).await;
    }
}

/// Each filter alone and both together.
pub async fn a_listing_is_narrowed_by_owner_and_state(store: Arc<dyn BatchStore>) {
    let mut batches = batches_in_order(4);
    for (batch, (owner, status)) in batches.iter_mut().zip([
        ("ann", BatchStatus::Pending),
        ("bob", BatchStatus::Pending),
        ("ann", BatchStatus::Completed),
        ("ann", BatchStatus::Pending),
    ]) {
        batch.owner = owner.to_owned();
        batch.status = status;
        store.create_batch(batch).await.unwrap();
    }
    let pending = Some(BatchStatus::Pending);
    for (owner, status, expected) in [
        (Some("ann"), None, vec![3, 2, 0]),
        (None, pending, vec![3, 1, 0]),
        (Some("ann"), pending, vec![3, 0]),
        (Some("bob"), Some(BatchStatus::Completed), vec![]),
        (Some("an"), None, vec![]),
    ] {
        let query = BatchQuery {
            owner: owner.map(str::to_owned),
            status,
            ..all(10)
        };
        let expected = expected
            .into_iter()
            .map(|position: usize| batches[position].id);
        settles_on((expected.collect(), false), async || {
            ids(&*store, &query).await
        })
        .await;
    }
}

/// Batches are found until their report is written.
pub async fn a_listing_of_batches_without_report_forgets_those_that_have_one(
    store: Arc<dyn BatchStore>,
) {
    let mut batches = batches_in_order(3);
    for batch in &mut batches {
        batch.status = BatchStatus::Completed;
        store.create_batch(batch).await.unwrap();
    }
    let reported = BatchChange {
        report_ready: Some(true),
        ..BatchChange::default()
    };
    let from = &[BatchStatus::Completed];
    store
        .advance(batches[1].id, from, &reported, later())
        .await
        .unwrap();
    for (status, expected) in [
        (None, vec![batches[2].id, batches[0].id]),
        (
            Some(BatchStatus::Completed),
            vec![batches[2].id, batches[0].id],
        ),
        (Some(BatchStatus::Pending), vec![]),
    ] {
        let query = BatchQuery {
            status,
            without_report: true,
            ..all(10)
        };
        settles_on((expected, false), async || ids(&*store, &query).await).await;
    }
}

/// A page counts the batches that pass the filters, not those it passed over.
pub async fn a_narrowed_listing_is_cut_into_pages_too(store: Arc<dyn BatchStore>) {
    let mut batches = batches_in_order(9);
    for (position, batch) in batches.iter_mut().enumerate() {
        let is_third = position % 3 == 0;
        batch.owner = String::from(if is_third { "ann" } else { "bob" });
        store.create_batch(batch).await.unwrap();
    }
    let page = |before| BatchQuery {
        owner: Some("ann".to_owned()),
        status: Some(BatchStatus::Pending),
        before,
        ..all(2)
    };
    let first = (vec![batches[6].id, batches[3].id], true);
    settles_on(first, async || ids(&*store, &page(None)).await).await;
    let second = (vec![batches[0].id], false);
    settles_on(second, async || {
        ids(&*store, &page(Some(batches[3].id))).await
    })
    .await;
}

/// A batch is listed under the state it is in, no longer under the one it left.
pub async fn a_listing_follows_a_batch_to_its_new_state(store: Arc<dyn BatchStore>) {
    let batch = a_batch();
    store.create_batch(&batch).await.unwrap();
    let to_queued = BatchChange::to(BatchStatus::Queued);
    store
        .advance(batch.id, &[BatchStatus::Pending], &to_queued, later())
        .await
        .unwrap();
    for (status, expected) in [
        (BatchStatus::Queued, vec![batch.id]),
        (BatchStatus::Pending, vec![]),
    ] {
        let query = BatchQuery {
            status: Some(status),
            ..all(10)
        };
        settles_on((expected, false), async || ids(&*store, &query).await).await;
    }
}

/// Every field of a change arrives.
pub async fn a_move_sets_what_the_change_names_and_the_time(store: Arc<dyn BatchStore>) {
    let batch = Batch {
        list_bytes: 0,
        awaits_list: true,
        ..a_batch()
    };
    store.create_batch(&batch).await.unwrap();
    let change = a_full_change();
    let advance = store
        .advance(batch.id, &[BatchStatus::Pending], &change, later())
        .await
        .unwrap();
    assert_eq!(advance, Advance::Moved);
    let expected = Batch {
        status: BatchStatus::Processing,
        list_bytes: change.list_bytes.unwrap(),
        awaits_list: false,
        updated_at: later(),
        started_at: change.started_at,
        ended_at: change.ended_at,
        failure: change.failure,
        checkpoint: change.checkpoint.unwrap(),
        totals: change.totals,
        finalize_sent: true,
        report_ready: true,
        max_concurrency: Some(12),
        deleting: true,
        ..batch
    };
    assert_eq!(stored(&*store, expected.id).await, expected);
}

/// `None` is not "unset".
pub async fn a_move_leaves_what_the_change_does_not_name(store: Arc<dyn BatchStore>) {
    let batch = a_batch();
    store.create_batch(&batch).await.unwrap();
    store
        .advance(batch.id, &[BatchStatus::Pending], &a_full_change(), later())
        .await
        .unwrap();
    let before = stored(&*store, batch.id).await;
    let end = later() + std::time::Duration::from_secs(60);
    store
        .advance(
            batch.id,
            &[BatchStatus::Processing],
            &BatchChange::to(BatchStatus::Completed),
            end,
        )
        .await
        .unwrap();
    let expected = Batch {
        status: BatchStatus::Completed,
        updated_at: end,
        ..before
    };
    assert_eq!(stored(&*store, batch.id).await, expected);
}

/// A change of fields only is conditional all the same.
pub async fn a_change_without_a_state_keeps_the_state(store: Arc<dyn BatchStore>) {
    let batch = a_batch();
    store.create_batch(&batch).await.unwrap();
    let change = BatchChange {
        finalize_sent: Some(true),
        ..BatchChange::default()
    };
    let advance = store
        .advance(batch.id, &[BatchStatus::Pending], &change, later())
        .await
        .unwrap();
    assert_eq!(advance, Advance::Moved);
    let after = stored(&*store, batch.id).await;
    assert_eq!(after.status, BatchStatus::Pending);
    assert!(after.finalize_sent);
    let advance = store
        .advance(batch.id, &[BatchStatus::Queued], &change, later())
        .await
        .unwrap();
    assert_eq!(advance, Advance::Stays(BatchStatus::Pending));
}

/// The condition fails: not one field changes, and the answer names the state.
pub async fn a_batch_in_another_state_stays_as_it_is(store: Arc<dyn BatchStore>) {
    let batch = Batch {
        status: BatchStatus::Cancelled,
        ..a_batch()
    };
    store.create_batch(&batch).await.unwrap();
    for from in [BatchStatus::OPEN, &[BatchStatus::Completed], &[]] {
        let advance = store
            .advance(batch.id, from, &a_full_change(), later())
            .await
            .unwrap();
        assert_eq!(advance, Advance::Stays(BatchStatus::Cancelled), "{from:?}");
    }
    assert_eq!(stored(&*store, batch.id).await, batch);
}

/// Any state of `from` will do.
pub async fn a_move_leaves_any_of_several_states(store: Arc<dyn BatchStore>) {
    for status in BatchStatus::OPEN {
        let batch = Batch {
            status: *status,
            ..a_batch()
        };
        store.create_batch(&batch).await.unwrap();
        let advance = store
            .advance(
                batch.id,
                BatchStatus::OPEN,
                &BatchChange::to(BatchStatus::Cancelled),
                later(),
            )
            .await
            .unwrap();
        assert_eq!(advance, Advance::Moved, "{status}");
    }
}

/// A caller that does not know whether its move was carried out may ask again.
pub async fn a_repeated_move_finds_the_batch_moved(store: Arc<dyn BatchStore>) {
    let batch = a_batch();
    store.create_batch(&batch).await.unwrap();
    let to_queued = BatchChange::to(BatchStatus::Queued);
    let from = [BatchStatus::Pending];
    store
        .advance(batch.id, &from, &to_queued, later())
        .await
        .unwrap();
    let before = stored(&*store, batch.id).await;
    let much_later = later() + std::time::Duration::from_secs(3_600);
    let again = store
        .advance(batch.id, &from, &to_queued, much_later)
        .await
        .unwrap();
    assert_eq!(again, Advance::Stays(BatchStatus::Queued));
    assert_eq!(stored(&*store, batch.id).await, before);
}

/// Exactly one of many callers moves the batch: what "exactly one COMPLETED" rests on.
pub async fn of_concurrent_moves_one_moves(store: Arc<dyn BatchStore>) {
    let batch = Batch {
        status: BatchStatus::Processing,
        ..a_batch()
    };
    store.create_batch(&batch).await.unwrap();
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let (store, id) = (Arc::clone(&store), batch.id);
        tasks.spawn(async move {
            let change = BatchChange::to(BatchStatus::Completed);
            store
                .advance(id, &[BatchStatus::Processing], &change, later())
                .await
                .unwrap()
        });
    }
    let mut moved = 0;
    for answer in tasks.join_all().await {
        match answer {
            Advance::Moved => moved += 1,
            other => assert_eq!(other, Advance::Stays(BatchStatus::Completed)),
        }
    }
    assert_eq!(moved, 1);
}

/// A move creates nothing.
pub async fn an_unknown_batch_cannot_move(store: Arc<dyn BatchStore>) {
    let id = a_batch().id;
    let advance = store
        .advance(id, BatchStatus::ALL, &a_full_change(), later())
        .await
        .unwrap();
    assert_eq!(advance, Advance::Missing);
    assert_eq!(store.batch(id).await.unwrap(), None);
}
