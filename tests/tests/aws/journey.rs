//! A list travels: handed in over HTTP, through processes, queues, table and bucket, to a finished report.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{BatchOptions, MeasureMode};
use http::{Method, StatusCode};
use sample_origin::{Corpus, Origin};
use serde_json::{Value, json};

use crate::deployment::Deployment;
use crate::embedded;

/// What differs between two runs over the same list: whose it is, when it was, and how patient the host made us be.
const OF_ONE_RUN: [&str; 5] = ["batch", "fetched_at", "elapsed_ms", "attempts", "detail"];

fn assert_same_results(ours: BTreeMap<u64, Value>, theirs: BTreeMap<u64, Value>) {
    assert_eq!(ours.len(), theirs.len());
    for ((number, mut ours), (same, mut theirs)) in ours.into_iter().zip(theirs) {
        assert_eq!(number, same);
        for name in OF_ONE_RUN {
            ours.as_object_mut().unwrap().remove(name);
            theirs.as_object_mut().unwrap().remove(name);
        }
        assert_eq!(ours, theirs, "row {number}");
    }
}

/// Good images under many addresses, repeated addresses, missing ones, and cells that are no address.
fn mixed_list(origin: &Origin, corpus: &Corpus, rows: usize) -> String {
    let mut list = "sku,image_url\n".to_owned();
    for row in 0..rows {
        let image = &corpus.images[row % corpus.images.len()].name;
        let url = match row % 20 {
            3 => origin.url(&format!("/image/none-{row}")),
            7 => "not an address".to_owned(),
            11 => "http://169.254.169.254/latest/meta-data/".to_owned(),
            13 => origin.url("/image/twice"),
            17 => origin.url(&format!("/html?row={row}")),
            _ => origin.url(&format!("/image/{image}?row={row}")),
        };
        writeln!(list, "{row},{url}").unwrap();
    }
    list
}

fn assert_counts_add_up(batch: &Value, rows: u64) {
    assert_eq!(batch["status"], "COMPLETED", "{batch:#}");
    let progress = &batch["progress"];
    assert_eq!(progress["rows_total"], rows);
    assert_eq!(progress["rows_done"], rows);
    let by_outcome = progress["by_outcome"].as_object().unwrap();
    let total: u64 = by_outcome.values().filter_map(Value::as_u64).sum();
    assert_eq!(total, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_2000_rows_in_a_form_comes_to_what_the_embedded_engine_makes_of_it() {
    let deployment = Deployment::start().await;
    let corpus = Arc::new(Corpus::variants(1, 96, 64));
    let origin = Origin::start(Arc::clone(&corpus)).unwrap();
    let list = mixed_list(&origin, &corpus, 2_000);
    let accepted = deployment.upload(&list, &[("chunk_size", "500")]).await;
    let id = accepted.accepted_id();

    let batch = deployment.ended(id).await;
    assert_counts_add_up(&batch, 2_000);
    let results = deployment.results(id).await;
    let theirs = embedded::results(&list, BatchOptions::default()).await;
    assert_same_results(results, theirs);
    let report = deployment.report(id).await;
    assert_eq!(report["rows"], 2_000);
    // What is shown as limits is what analyze works within.
    let system = deployment.get("/api/v1/monitoring/system").await;
    for limit in [
        "processors",
        "memory_mb",
        "workers",
        "concurrent_requests",
        "concurrent_requests_per_host",
    ] {
        assert!(system["limits"][limit].as_u64() > Some(0), "{system:#}");
    }
    // Each function that asks the table is counted.
    let database = deployment.get("/api/v1/monitoring/database").await;
    assert!(
        database["last_hour"]["calls"].as_u64() > Some(0),
        "{database:#}"
    );

    let schedule = json!({"detail-type": "Scheduled Event", "source": "aws.events"});
    let swept = deployment.janitor.invoke(&schedule).await.unwrap();
    for count in swept.as_object().unwrap().values() {
        assert_eq!(count, 0, "nothing stopped half way: {swept}");
    }
    let sample = metric_lines(&deployment.log("janitor")).pop().unwrap();
    assert_eq!(sample["DeadLetters"], 0);
    deployment.assert_rights_suffice();
    deployment.assert_secrets_are_kept();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_50000_rows_at_a_presigned_address_comes_to_what_the_embedded_engine_makes_of_it()
{
    let deployment = Deployment::start().await;
    let corpus = Arc::new(Corpus::variants(1, 96, 64));
    let origin = Origin::start(Arc::clone(&corpus)).unwrap();
    let list = mixed_list(&origin, &corpus, 50_000);
    let wanted =
        json!({"list_name": "list.csv", "name": "large", "options": {"measure": "header"}});
    let created = deployment
        .ask(
            Method::POST,
            "/api/v1/batches",
            "application/json",
            wanted.to_string(),
        )
        .await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.body);
    let id = created.body["batch_id"].as_str().unwrap();
    let url = created.body["upload"]["url"].as_str().unwrap();
    assert_eq!(deployment.put(url, list.clone()).await, StatusCode::OK);

    let batch = deployment.ended(id).await;
    assert_counts_add_up(&batch, 50_000);
    assert_eq!(batch["list"]["bytes"], list.len());
    let results = deployment.results(id).await;
    let options = BatchOptions {
        measure: MeasureMode::Header,
        ..BatchOptions::default()
    };
    let theirs = embedded::results(&list, options).await;
    assert_same_results(results, theirs);

    let counted = rows_in_metrics(&deployment).await;
    assert_eq!(counted, 50_000, "every part has one line of metrics");
    assert_cheap(&deployment, 50_000);
    deployment.assert_rights_suffice();
    deployment.assert_secrets_are_kept();
}

/// Rows in the lines of metrics, once they are all there: they are gathered for some seconds after the batch ended.
async fn rows_in_metrics(deployment: &Deployment) -> u64 {
    let begun = Instant::now();
    loop {
        let lines = metric_lines(&deployment.log("emit-metrics"));
        let rows = lines.iter().filter_map(|line| line["RowsTotal"].as_u64());
        let counted = rows.sum();
        if counted >= 50_000 || begun.elapsed() > Duration::from_secs(30) {
            return counted;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What the functions that work on a list ask of the services, at the wire: writes of the table a chunk, requests to each service a row.
fn assert_cheap(deployment: &Deployment, rows: usize) {
    let chunks = rows.div_ceil(2_000);
    let (mut writes, mut to_table, mut to_others) = (0, 0, 0);
    for function in ["fan-out", "analyze", "emit-metrics", "finalize"] {
        let [of_table, _] = deployment.accesses(function);
        for (access, count) in of_table {
            let is_write = ["PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem"]
                .iter()
                .any(|action| access.action.ends_with(action));
            writes += usize::from(is_write) * count;
        }
        let [table, others] = deployment.requests(function);
        to_table += table;
        to_others += others;
        println!("{function}: {table} requests to the table, {others} to other services");
    }
    let writes = writes as f64 / chunks as f64;
    println!("{writes:.2} writes a chunk");
    assert!(writes <= 4.0, "{writes} writes a chunk");
    for requests in [to_table, to_others] {
        let a_row = requests as f64 / rows as f64;
        println!("{a_row:.4} requests a row");
        assert!(a_row <= 0.01, "{a_row} requests a row");
    }
}

/// The lines that CloudWatch makes metrics of.
fn metric_lines(log: &str) -> Vec<Value> {
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines
        .filter(|line: &Value| line.get("_aws").is_some())
        .collect()
}
