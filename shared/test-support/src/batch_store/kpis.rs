use std::sync::Arc;

use domain::ports::BatchStore;
use domain::{Issue, KpiDelta, Minute, PartRef};
use tokio::task::JoinSet;

use crate::{a_batch, a_kpi_delta, part};

const MINUTE: Minute = Minute(29_453_040);

fn some_part(chunk: u32) -> PartRef {
    part(a_batch().id, chunk)
}

async fn add(store: &dyn BatchStore, part: PartRef, minute: Minute, delta: &KpiDelta) -> bool {
    store.add_kpis(part, minute, delta).await.unwrap()
}

async fn of_minute(store: &dyn BatchStore, minute: Minute) -> Option<KpiDelta> {
    let minutes = store.kpis(minute, minute).await.unwrap();
    assert!(minutes.len() <= 1);
    minutes.into_iter().next().map(|(_, delta)| delta)
}

/// Every field arrives.
pub async fn indicators_come_back_as_they_were_added(store: Arc<dyn BatchStore>) {
    let mut delta = a_kpi_delta(3);
    delta.counters.by_issue.insert(Issue::Dark, 1);
    delta.latency.record(40_000);
    assert!(add(&*store, some_part(0), MINUTE, &delta).await);
    assert_eq!(of_minute(&*store, MINUTE).await, Some(delta));
}

/// A redelivered metrics message.
pub async fn a_part_adds_its_indicators_once(store: Arc<dyn BatchStore>) {
    let part = some_part(0);
    let delta = a_kpi_delta(3);
    assert!(add(&*store, part, MINUTE, &delta).await);
    for _ in 0..3 {
        assert!(!add(&*store, part, MINUTE, &delta).await);
    }
    assert_eq!(of_minute(&*store, MINUTE).await, Some(delta));
}

/// A part's message may be written twice, by two attempts that ended in different minutes.
pub async fn a_repeat_in_another_minute_adds_nothing(store: Arc<dyn BatchStore>) {
    let part = some_part(0);
    assert!(add(&*store, part, MINUTE, &a_kpi_delta(3)).await);
    let next = Minute(MINUTE.0 + 1);
    assert!(!add(&*store, part, next, &a_kpi_delta(5)).await);
    assert_eq!(of_minute(&*store, next).await, None);
}

/// Parts of one chunk, of other chunks and of other batches are different parts.
pub async fn indicators_of_one_minute_add_up(store: Arc<dyn BatchStore>) {
    let first = some_part(0);
    let other_chunk = PartRef { chunk: 1, ..first };
    let mut sum = KpiDelta::default();
    for (part, rows) in [
        (first, 1),
        (first.next(), 2),
        (other_chunk, 3),
        (some_part(0), 4),
    ] {
        let delta = a_kpi_delta(rows);
        assert!(add(&*store, part, MINUTE, &delta).await, "{part}");
        sum += &delta;
    }
    assert_eq!(of_minute(&*store, MINUTE).await, Some(sum));
}

/// No update of the shared row is lost.
pub async fn concurrent_parts_all_add_to_their_minute(store: Arc<dyn BatchStore>) {
    let batch = a_batch().id;
    let mut tasks = JoinSet::new();
    for chunk in 0..50 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { add(&*store, part(batch, chunk), MINUTE, &a_kpi_delta(2)).await });
    }
    let answers = tasks.join_all().await;
    assert!(answers.into_iter().all(|is_new| is_new));
    let sum = of_minute(&*store, MINUTE).await.unwrap();
    assert_eq!((sum.parts, sum.counters.rows), (50, 100));
}

/// The same message delivered to many at the same time.
pub async fn concurrent_repeats_of_one_part_add_once(store: Arc<dyn BatchStore>) {
    let part = some_part(0);
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { add(&*store, part, MINUTE, &a_kpi_delta(2)).await });
    }
    let answers = tasks.join_all().await;
    assert_eq!(answers.into_iter().filter(|is_new| *is_new).count(), 1);
    assert_eq!(of_minute(&*store, MINUTE).await, Some(a_kpi_delta(2)));
}

/// Order and bounds of a range.
pub async fn minutes_are_ascending_both_ends_included_and_empty_ones_left_out(
    store: Arc<dyn BatchStore>,
) {
    let at = |offset: i64| Minute(MINUTE.0 + offset);
    for offset in [20, 3, 0, 100, 5] {
        let delta = a_kpi_delta(offset as u64 + 1);
        add(&*store, some_part(0), at(offset), &delta).await;
    }
    let minutes = store.kpis(at(3), at(20)).await.unwrap();
    let expected = [3, 5, 20].map(|offset| (at(offset), a_kpi_delta(offset as u64 + 1)));
    assert_eq!(minutes, expected);
    assert_eq!(store.kpis(at(6), at(19)).await.unwrap(), []);
    assert_eq!(store.kpis(at(20), at(3)).await.unwrap(), []);
}
