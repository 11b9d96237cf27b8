//! Labels by a model, through the function that asks for them.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sample_origin::{Corpus, Origin};
use serde_json::{Value, json};
use test_support::rekognition_server::RekognitionServer;
use test_support::vision_provider::{KeyRules, StandInProvider};
use test_support::vision_server::VisionServer;

use crate::deployment::{Circumstances, Deployment};

const ROWS: usize = 120;
/// Found in no log, as any key.
const KEYS: [&str; 2] = ["canary-of-a-key", "canary-of-a-stranger"];

fn list(origin: &Origin, corpus: &Corpus) -> String {
    let mut list = "url\n".to_owned();
    for row in 0..ROWS {
        let image = &corpus.images[row % corpus.images.len()].name;
        let url = origin.url(&format!("/image/{image}?row={row}"));
        writeln!(list, "{url}").unwrap();
    }
    list
}

/// Hands a list in, and waits for its end.
async fn labelled(deployment: &Deployment, list: &str, vision: &str) -> (Value, Vec<Value>) {
    let fields = [("vision", vision), ("chunk_size", "40")];
    let accepted = deployment.upload(list, &fields).await;
    let id = accepted.accepted_id();
    let batch = deployment.ended(id).await;
    assert_eq!(batch["status"], "COMPLETED", "{batch:#}");
    let rows = deployment.results(id).await;
    (deployment.report(id).await, rows.into_values().collect())
}

fn distinct(rows: &[Value]) -> u64 {
    let hashes: BTreeSet<&str> = rows
        .iter()
        .filter_map(|row| row["sha256"].as_str())
        .collect();
    hashes.len() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_labelled_once_by_the_function_and_what_it_counts_is_seen() {
    let rules = KeyRules {
        per_minute: 100_000,
        ..KeyRules::default()
    };
    let keys = [(KEYS[0].to_owned(), rules)];
    let provider = Arc::new(StandInProvider::new(keys, Duration::from_millis(50)));
    let model = VisionServer::start(Arc::clone(&provider)).await;
    let vision = [
        ("VISION_PROVIDER", "openai".to_owned()),
        ("VISION_MODEL", "stand-in".to_owned()),
        ("VISION_BASE_URL", model.base_url()),
        ("VISION_START_RPM", "600".to_owned()),
        ("VISION_MAX_RPM", "60000".to_owned()),
        ("VISION_BURST", "60".to_owned()),
        ("VISION_PRICE_PER_CALL", "0.001".to_owned()),
    ];
    let deployment = Deployment::start_in(Circumstances {
        variables: vision.to_vec(),
        vision_keys: KEYS.to_vec(),
        ..Circumstances::default()
    })
    .await;
    // More in every chunk than one key has permits for: each key is asked.
    let corpus = Arc::new(Corpus::generate(1, ROWS));
    let origin = Origin::start(Arc::clone(&corpus)).unwrap();
    let list = list(&origin, &corpus);

    let (report, rows) = labelled(&deployment, &list, r#"{"budget_micro_usd": 5000000}"#).await;
    let paid = distinct(&rows);
    assert!(paid >= 20, "{paid}");
    assert_eq!(provider.paid_calls(), paid);
    for row in &rows {
        assert_eq!(row["vision"]["provider"], "openai/stand-in", "{row}");
    }
    let vision = &report["vision"];
    assert_eq!(vision["labelled"], ROWS);
    assert_eq!(
        (&vision["calls"], &vision["micro_usd"]),
        (&json!(paid), &json!(paid * 1_000))
    );

    // Of high priority, with nothing left to pay for.
    let (report, _) = labelled(&deployment, &list, r#"{"priority": "high"}"#).await;
    assert_eq!(provider.paid_calls(), paid);
    assert_eq!(report["vision"]["reused"], ROWS);

    // What functions saw of themselves comes some seconds after the batch ended.
    let begun = Instant::now();
    loop {
        let cache = deployment.get("/api/v1/monitoring/cache").await;
        let levels = cache["levels"].as_array().into_iter().flatten();
        let hits: u64 = levels.filter_map(|level| level["hits"].as_u64()).sum();
        let bottlenecks = deployment.get("/api/v1/monitoring/bottlenecks").await;
        if hits > 0 && bottlenecks.to_string().contains("vision_keys") {
            break;
        }
        let waited = begun.elapsed();
        assert!(
            waited < Duration::from_secs(30),
            "{cache:#}\n{bottlenecks:#}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let log = deployment.log("vision");
    assert!(log.contains("key retired"), "{log}");
    assert!(!log.contains("canary"), "a key is in the log");
    deployment.assert_rights_suffice();
    deployment.assert_secrets_are_kept();
}

#[tokio::test(flavor = "multi_thread")]
async fn rekognition_labels_with_the_rights_of_the_function() {
    let service = RekognitionServer::start().await;
    let deployment = Deployment::start_in(Circumstances {
        variables: vec![
            ("VISION_PROVIDER", "rekognition".to_owned()),
            ("AWS_ENDPOINT_URL_REKOGNITION", service.url()),
        ],
        ..Circumstances::default()
    })
    .await;
    let corpus = Arc::new(Corpus::variants(1, 12, 64));
    let origin = Origin::start(Arc::clone(&corpus)).unwrap();
    let (report, rows) = labelled(&deployment, &list(&origin, &corpus), "true").await;
    let images = distinct(&rows);
    assert_eq!(service.calls("DetectLabels"), images);
    assert_eq!(service.calls("DetectModerationLabels"), images);
    for row in &rows {
        let vision = &row["vision"];
        assert_eq!(vision["provider"], "rekognition", "{row}");
        assert_eq!(vision["labels"][0]["name"], "Shoe");
        assert_eq!(vision["safety"]["safe"], true);
    }
    // 0.00275 US dollars an image.
    assert_eq!(report["vision"]["micro_usd"], images * 2_750);
}
