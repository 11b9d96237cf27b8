//! The same list on the embedded engine, for comparison.

use std::collections::BTreeMap;

use adapters_embedded::DataFolder;
use bytes::Bytes;
use domain::{BatchOptions, BatchStatus, Limits};
use fetching::FetchOptions;
use imgsweep::engine::{Engine, EngineSettings};
use pipeline::accept::{NewBatch, create_batch, start, store_list};
use pipeline::results::{ResultFilter, results_page};
use serde_json::Value;

/// Every result row of `list`, by its number.
pub(crate) async fn results(list: &str, options: BatchOptions) -> BTreeMap<u64, Value> {
    let folder = tempfile::tempdir().unwrap();
    let data = DataFolder::open(folder.path()).unwrap();
    let settings = EngineSettings {
        limits: Limits::default(),
        fetch: FetchOptions {
            max_concurrent: 64,
            max_concurrent_per_host: 64,
            allow_private: vec!["127.0.0.0/8".parse().unwrap()],
            ..FetchOptions::default()
        },
        chunk_size: None,
        memory_limit_bytes: None,
        webhook: None,
        vision: None,
    };
    let engine = Engine::start(&data, settings, None).await.unwrap();
    let body = futures::stream::iter([Ok(Bytes::from(list.to_owned()))]);
    let stored = store_list(engine.ports(), body).await.unwrap();
    let request = NewBatch {
        name: "comparison".to_owned(),
        owner: "tests".to_owned(),
        list_name: "list.csv".to_owned(),
        options,
    };
    let batch = create_batch(engine.ports(), stored, request).await.unwrap();
    start(engine.ports(), batch.id).await.unwrap();
    engine.wait_for(batch.id).await.unwrap();
    let ended = engine.ports().store.batch(batch.id).await.unwrap().unwrap();
    assert_eq!(ended.status, BatchStatus::Completed);

    let mut rows = BTreeMap::new();
    let mut cursor = None;
    loop {
        let filter = ResultFilter::default();
        let page = results_page(engine.ports(), batch.id, &filter, cursor.as_ref(), 1_000)
            .await
            .unwrap();
        for row in page.rows {
            // Through text, as the other side's rows came: a short float has more digits as a value than as a text.
            let text = serde_json::to_string(&row).unwrap();
            rows.insert(row.row, serde_json::from_str(&text).unwrap());
        }
        let Some(next) = page.next else {
            return rows;
        };
        cursor = Some(next);
    }
}
