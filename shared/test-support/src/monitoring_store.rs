//! What every [`domain::ports::MonitoringStore`] must do, beside the [`BatchStore`] that it shares the minutes with.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::ports::{BatchStore, MonitoringStore, TroubledHost};
use domain::{
    CacheStats, Gauge, HostTally, KpiDelta, Minute, OperationStats, Outcome, PartRef, Vitals,
};
use serde_json::json;

use crate::{a_batch, a_kpi_delta, part};

/// Runs the suite against the stores that `$make` answers with: `async fn() -> (MonitoringSubject, impl Sized)`.
#[macro_export]
macro_rules! monitoring_store_contract {
    ($make:path) => {
        $crate::contract_tests!(monitoring_store, $make,
            vitals_come_back_with_the_indicators_of_their_minute
            vitals_add_up
            the_vitals_of_a_part_are_added_with_it
            hosts_of_a_part_are_kept_apart_from_its_indicators
            hosts_of_other_minutes_are_left_out
            a_repeated_part_names_its_hosts_once
            a_document_is_what_was_set_last
        );
    };
}

/// One place, seen through both ports.
#[derive(Clone)]
pub struct MonitoringSubject {
    /// Indicators of parts.
    pub batches: Arc<dyn BatchStore>,
    /// The port under test.
    pub monitoring: Arc<dyn MonitoringStore>,
}

const MINUTE: Minute = Minute(29_453_040);

fn some_vitals() -> Vitals {
    let mut api = OperationStats {
        calls: 3,
        failed: 1,
        throttled: 1,
        retried: 2,
        elapsed_ms: 321,
        ..OperationStats::default()
    };
    for milliseconds in [1, 20, 300] {
        api.latency.record(milliseconds);
    }
    let memory = CacheStats {
        hits: 5,
        misses: 2,
        bytes: 700,
        saved_micro_usd: 90,
    };
    Vitals {
        database: api.clone(),
        api,
        caches: BTreeMap::from([("memory".to_owned(), memory)]),
        cpu_percent: Gauge::of(71),
        memory_mb: Gauge::of(210),
        memory_percent: Gauge::of(12),
        workers: Gauge::of(4),
        pending: Gauge::of(17),
        dead_letters: Gauge::of(1),
        retired_keys: 2,
    }
}

async fn of_minute(subject: &MonitoringSubject, minute: Minute) -> KpiDelta {
    let minutes = subject.batches.kpis(minute, minute).await.unwrap();
    minutes.into_iter().next().unwrap().1
}

fn delta_with(host: &str, failed: u64) -> KpiDelta {
    let tally = HostTally {
        rows: failed + 1,
        failed,
        deferred: 2,
        elapsed_ms: 40,
        by_outcome: BTreeMap::from([(Outcome::Timeout, failed)]),
    };
    KpiDelta {
        hosts: BTreeMap::from([(host.to_owned(), tally)]),
        ..a_kpi_delta(failed + 1)
    }
}

/// The sum over what came for each host: it may come in pieces.
fn merged(hosts: Vec<TroubledHost>) -> BTreeMap<String, HostTally> {
    let mut sums: BTreeMap<String, HostTally> = BTreeMap::new();
    for host in hosts {
        *sums.entry(host.host).or_default() += &host.tally;
    }
    sums
}

/// Every field arrives, in a minute of its own or beside what parts add.
pub async fn vitals_come_back_with_the_indicators_of_their_minute(subject: MonitoringSubject) {
    let vitals = some_vitals();
    subject
        .monitoring
        .add_vitals(MINUTE, &vitals)
        .await
        .unwrap();
    assert_eq!(of_minute(&subject, MINUTE).await.vitals, vitals);
    let delta = a_kpi_delta(3);
    let added = subject
        .batches
        .add_kpis(part(a_batch().id, 0), MINUTE, &delta);
    assert!(added.await.unwrap());
    let both = of_minute(&subject, MINUTE).await;
    assert_eq!((both.counters, both.vitals), (delta.counters, vitals));
}

/// Processes add to one minute, each what it saw.
pub async fn vitals_add_up(subject: MonitoringSubject) {
    let vitals = some_vitals();
    let mut sum = Vitals::default();
    for _ in 0..3 {
        subject
            .monitoring
            .add_vitals(MINUTE, &vitals)
            .await
            .unwrap();
        sum += &vitals;
    }
    assert_eq!(of_minute(&subject, MINUTE).await.vitals, sum);
}

/// They travel in the part's message.
pub async fn the_vitals_of_a_part_are_added_with_it(subject: MonitoringSubject) {
    let delta = KpiDelta {
        vitals: some_vitals(),
        ..a_kpi_delta(3)
    };
    let part = part(a_batch().id, 0);
    for is_new in [true, false] {
        let added = subject.batches.add_kpis(part, MINUTE, &delta).await;
        assert_eq!(added.unwrap(), is_new);
    }
    assert_eq!(of_minute(&subject, MINUTE).await, delta);
}

/// The row of a minute must not grow with the hosts of every list.
pub async fn hosts_of_a_part_are_kept_apart_from_its_indicators(subject: MonitoringSubject) {
    let batch = a_batch().id;
    for (chunk, host) in [(0, "a.example"), (1, "b.example"), (2, "a.example")] {
        let delta = delta_with(host, u64::from(chunk) + 1);
        let added = subject.batches.add_kpis(part(batch, chunk), MINUTE, &delta);
        assert!(added.await.unwrap());
    }
    assert_eq!(of_minute(&subject, MINUTE).await.hosts, BTreeMap::new());
    let hosts = subject.monitoring.troubled_hosts(MINUTE, MINUTE).await;
    let hosts = merged(hosts.unwrap());
    assert_eq!(hosts.len(), 2);
    let worst = &hosts["a.example"];
    assert_eq!((worst.rows, worst.failed, worst.deferred), (6, 4, 4));
    assert_eq!(worst.by_outcome[&Outcome::Timeout], 4);
}

/// Both ends of the range are part of it.
pub async fn hosts_of_other_minutes_are_left_out(subject: MonitoringSubject) {
    let batch = a_batch().id;
    for chunk in 0..5 {
        let minute = Minute(MINUTE.0 + i64::from(chunk));
        let delta = delta_with("a.example", 1);
        let added = subject.batches.add_kpis(part(batch, chunk), minute, &delta);
        assert!(added.await.unwrap());
    }
    let range = (Minute(MINUTE.0 + 1), Minute(MINUTE.0 + 3));
    let hosts = subject.monitoring.troubled_hosts(range.0, range.1).await;
    let mut minutes: Vec<i64> = hosts.unwrap().iter().map(|host| host.minute.0).collect();
    minutes.sort_unstable();
    assert_eq!(minutes, [MINUTE.0 + 1, MINUTE.0 + 2, MINUTE.0 + 3]);
}

/// A redelivered message.
pub async fn a_repeated_part_names_its_hosts_once(subject: MonitoringSubject) {
    let part = PartRef {
        batch: a_batch().id,
        chunk: 0,
        part: 0,
    };
    for _ in 0..3 {
        let delta = delta_with("a.example", 3);
        subject
            .batches
            .add_kpis(part, MINUTE, &delta)
            .await
            .unwrap();
    }
    let hosts = subject.monitoring.troubled_hosts(MINUTE, MINUTE).await;
    assert_eq!(merged(hosts.unwrap())["a.example"].failed, 3);
}

/// Documents are apart by name.
pub async fn a_document_is_what_was_set_last(subject: MonitoringSubject) {
    let store = &subject.monitoring;
    assert_eq!(store.document("baseline").await.unwrap(), None);
    for document in [json!({"p95_ms": 12.5}), json!(["other"])] {
        store.set_document("baseline", &document).await.unwrap();
        assert_eq!(store.document("baseline").await.unwrap(), Some(document));
    }
    assert_eq!(store.document("advice").await.unwrap(), None);
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_function_of_the_suite_is_run() {
        let source = include_str!("monitoring_store.rs");
        assert_eq!(crate::functions_in(source), crate::names_listed_in(source));
    }
}
