//! What operators see, from indicators as the engine writes them.

use std::collections::BTreeMap;

use domain::ports::{BatchStore, Clock};
use domain::{HostTally, KpiDelta, Minute, Outcome, PartRef, Vitals};
use http::StatusCode;
use serde_json::Value;
use test_support::a_batch;

use crate::support::{Api, assert_problem};

/// A part of the running minute in which a host was gone.
async fn record_a_bad_part(api: &Api) {
    let mut delta = KpiDelta {
        parts: 1,
        busy_ms: 900,
        vitals: Vitals {
            cpu_percent: domain::Gauge::of(40),
            ..Vitals::default()
        },
        ..KpiDelta::default()
    };
    for (outcome, rows) in [(Outcome::Ok, 50), (Outcome::ConnectError, 50)] {
        for _ in 0..rows {
            delta.counters.add_row(outcome, &[], 1, Some(100), Some(20));
            delta.latency.record(20);
        }
    }
    let tally = HostTally {
        rows: 50,
        failed: 50,
        by_outcome: BTreeMap::from([(Outcome::ConnectError, 50)]),
        ..HostTally::default()
    };
    delta.hosts.insert("gone.example".to_owned(), tally);
    let part = PartRef {
        batch: a_batch().id,
        chunk: 0,
        part: 0,
    };
    let minute = Minute::of(api.clock.now());
    let store: &dyn BatchStore = api.ports.store.as_ref();
    assert!(store.add_kpis(part, minute, &delta).await.unwrap());
}

async fn get(api: &Api, path: &str, token: &str) -> Value {
    let answer = api
        .ask("GET", &format!("/api/v1/monitoring/{path}"), Some(token))
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
    answer.body
}

#[tokio::test]
async fn a_host_that_is_gone_is_named_and_objectives_and_indicators_show_it() {
    let api = Api::new();
    record_a_bad_part(&api).await;
    let first = &get(&api, "bottlenecks", "alices").await["bottlenecks"][0];
    assert_eq!(first["rank"], 1);
    assert_eq!(first["kind"], "host");
    assert_eq!(first["host"], "gone.example");
    assert_eq!(first["severity"], "high");
    assert!(
        first["evidence"][0].as_str().unwrap().contains("50 of 50"),
        "{first}"
    );
    let slo = get(&api, "slo", "alices").await;
    assert_eq!(slo["healthy"], false);
    assert_eq!(slo["objectives"][0]["name"], "row_errors");
    assert_eq!(slo["objectives"][0]["violated"], true);
    let board = get(&api, "dashboard/kpi", "alices").await;
    assert_eq!(board["indicators"][0]["name"], "success_rate");
    assert_eq!(board["indicators"][0]["color"], "red");
    let performance = get(&api, "performance", "alices").await;
    assert_eq!(performance["now"]["rows"], 100);
    assert_eq!(performance["now"]["fetch"]["mean_ms"], 20.0);
    let system = get(&api, "system", "alices").await;
    assert_eq!(system["cpu_percent"], 40.0);
    assert_eq!(system["scaling_applied"], Value::Null, "{system}");
}

#[tokio::test]
async fn names_of_hosts_are_for_administrators() {
    let api = Api::new();
    let reader = api
        .make_token("reader", r#"{"name": "reader", "scope": "read"}"#)
        .await;
    record_a_bad_part(&api).await;
    let seen = get(&api, "bottlenecks", &reader).await;
    assert_eq!(seen["bottlenecks"][0]["kind"], "host");
    assert!(!seen.to_string().contains("gone.example"), "{seen}");
}

#[tokio::test]
async fn a_baseline_is_saved_by_administrators_and_compared_with() {
    let api = Api::new();
    let path = "/api/v1/monitoring/baseline";
    let empty = api.ask("POST", path, Some("alices")).await;
    assert_problem(&empty, StatusCode::CONFLICT, "/problems/no-figures");
    record_a_bad_part(&api).await;
    let saved = api.ask("POST", path, Some("alices")).await;
    assert_eq!(saved.body["rates"]["rows"], 100);
    let baseline = &get(&api, "performance", "alices").await["baseline"];
    assert_eq!(*baseline, saved.body);
}

#[tokio::test]
async fn metrics_count_what_this_process_answered() {
    let api = Api::new();
    api.ask("GET", "/api/v1/batches", Some("alices")).await;
    let text = api.text("/metrics", "alices").await;
    let count = "imgsweep_api_latency_milliseconds_count 1";
    assert!(text.lines().any(|line| line == count), "{text}");
}
