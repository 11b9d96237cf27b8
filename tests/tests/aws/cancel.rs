//! An owner changes their mind while functions are at work.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use sample_origin::{Corpus, Origin, OriginOptions};
use serde_json::Value;

use crate::deployment::Deployment;

/// Enough for two functions to be at work for twenty seconds.
const ROWS: u64 = 12_000;

#[tokio::test(flavor = "multi_thread")]
async fn no_request_leaves_two_seconds_after_a_cancel_and_the_counts_add_up_to_the_list() {
    let deployment = Deployment::start().await;
    let options = OriginOptions {
        latency: Duration::from_millis(200),
        record_loads: true,
        ..OriginOptions::default()
    };
    let corpus = Arc::new(Corpus::variants(1, 4, 64));
    let image = corpus.images[0].name.clone();
    let origin = Origin::start_with(corpus, options).unwrap();
    let mut list = "url\n".to_owned();
    for row in 0..ROWS {
        let url = origin.url(&format!("/image/{image}?row={row}"));
        writeln!(list, "{url}").unwrap();
    }
    let fields = [("chunk_size", "6000"), ("measure", "header")];
    let accepted = deployment.upload(&list, &fields).await;
    let id = accepted.accepted_id();
    while origin.requests() < 200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let path = format!("/api/v1/batches/{id}/cancel");
    let json = "application/json";
    let answer = deployment.ask(Method::POST, &path, json, "").await;
    let acknowledged = Instant::now();
    assert_eq!(answer.body["status"], "CANCELLED", "{}", answer.body);
    let batch = deployment.ended(id).await;
    let arrivals: Vec<Instant> = origin.loads().remove(0).1.arrivals;
    let last = arrivals.iter().max().unwrap();
    let after = last.saturating_duration_since(acknowledged);
    println!("the last request {after:?} after the cancel");
    assert!(after < Duration::from_secs(2), "{after:?} after the cancel");
    assert_eq!(batch["status"], "CANCELLED");
    let progress = &batch["progress"];
    assert_eq!(progress["rows_done"], ROWS);
    let by_outcome = progress["by_outcome"].as_object().unwrap();
    let total: u64 = by_outcome.values().filter_map(Value::as_u64).sum();
    assert_eq!(total, ROWS);
    assert!(by_outcome["cancelled"].as_u64() > Some(0), "{progress}");
}
