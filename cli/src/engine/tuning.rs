//! Requests under way at once follow what is measured (source C9 of the product's requirements).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use domain::ports::MonitoringStore;
use pipeline::analyze_chunk::Analyzer;
use serde_json::json;
use tokio::sync::watch;
use tuning::{Change, Knob, KnobName, Patience, Tuner};

/// The document that holds what was changed last, and why.
const DOCUMENT: &str = "tuning";
/// Changes that it holds.
const KEPT_CHANGES: usize = 50;
/// How often it is looked whether there is work.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Within what, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TuningSettings {
    /// Requests under way at once, at least.
    pub least: usize,
    /// And at most.
    pub most: usize,
    /// How long a setting is measured.
    pub window: Duration,
}

impl TuningSettings {
    /// How long a setting is measured unless somebody says otherwise: some hundred rows of ordinary hosts.
    pub const WINDOW: Duration = Duration::from_secs(3);
}

/// Measures window after window and turns the knob, until told to stop.
pub(super) async fn tune(
    settings: TuningSettings,
    analyzer: Arc<Analyzer>,
    under_way: Arc<AtomicUsize>,
    monitoring: Arc<dyn MonitoringStore>,
    mut stopped: watch::Receiver<bool>,
) {
    let (least, most) = (settings.least as u64, settings.most as u64);
    let start = analyzer.concurrency() as u64;
    let knob = Knob::new(KnobName::Concurrency, least, most, start);
    let mut tuner = Tuner::new(vec![knob], Patience::default());
    analyzer.expect_concurrency(settings.most);
    analyzer.set_concurrency(knob.value as usize);
    let mut changes: Vec<Change> = Vec::new();
    loop {
        let rate = tokio::select! {
            rate = busy_window(settings.window, &analyzer, &under_way) => rate,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        // Nothing to do for a while says nothing about the setting.
        let Some(rate) = rate else {
            continue;
        };
        let turned = tuner.window(rate);
        if turned.is_empty() {
            continue;
        }
        turned.iter().for_each(Change::log);
        if let Some(value) = tuner.value(KnobName::Concurrency) {
            analyzer.set_concurrency(value as usize);
        }
        changes.extend(turned);
        changes.drain(..changes.len().saturating_sub(KEPT_CHANGES));
        let document = json!({ "concurrency": analyzer.concurrency(), "changes": changes });
        if let Err(error) = monitoring.set_document(DOCUMENT, &document).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "what was tuned is not kept");
        }
    }
}

/// Rows a second over a window in which there was work all the time; `None` if there was not.
async fn busy_window(
    window: Duration,
    analyzer: &Analyzer,
    under_way: &AtomicUsize,
) -> Option<f64> {
    let (started, before) = (Instant::now(), analyzer.ended_rows());
    let mut was_busy = true;
    while started.elapsed() < window {
        tokio::time::sleep(LOOK_EVERY.min(window)).await;
        was_busy &= under_way.load(Ordering::Relaxed) > 0;
    }
    let ended = analyzer.ended_rows() - before;
    (was_busy && ended > 0).then(|| ended as f64 / started.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::io;

    use adapters_embedded::DataFolder;
    use bytes::Bytes;
    use domain::{BatchOptions, Limits};
    use fetching::FetchOptions;
    use pipeline::accept::{self, NewBatch};
    use sample_origin::{Corpus, Origin, OriginOptions};

    use super::*;
    use crate::engine::{Engine, EngineSettings, ports};

    /// From one request at a time, over hosts that are 30 ms away, with the engine itself.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_bad_start_is_left_behind_and_every_change_has_its_reason() {
        let mut corpus = Corpus::generate(7, 20);
        corpus.images.sort_by_key(|image| image.bytes.len());
        let name = corpus.images[0].name.clone();
        let options = OriginOptions {
            latency: Duration::from_millis(30),
            ..OriginOptions::default()
        };
        let origin = Origin::start_with(Arc::new(corpus), options).unwrap();
        let mut list = "url\n".to_owned();
        for row in 0..3_000 {
            writeln!(list, "{}", origin.url(&format!("/image/{name}?row={row}"))).unwrap();
        }
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        let settings = EngineSettings {
            webhook: None,
            limits: Limits::default(),
            fetch: FetchOptions {
                max_concurrent: 1,
                max_concurrent_per_host: 256,
                allow_private: vec!["127.0.0.0/8".parse().unwrap()],
                ..FetchOptions::default()
            },
            chunk_size: None,
            memory_limit_bytes: None,
            vision: None,
        };
        let mut engine = Engine::start(&data, settings, None).await.unwrap();
        engine.tune(TuningSettings {
            least: 1,
            most: 256,
            window: Duration::from_millis(250),
        });
        let ports = ports(&data);
        let list = futures::stream::iter([io::Result::Ok(Bytes::from(list))]);
        let stored = accept::store_list(&ports, list).await.unwrap();
        let request = NewBatch {
            name: "tuned".to_owned(),
            owner: "tuned".to_owned(),
            list_name: "tuned.csv".to_owned(),
            options: BatchOptions::default(),
        };
        let batch = accept::create_batch(&ports, stored, request).await.unwrap();
        accept::start(&ports, batch.id).await.unwrap();
        // One request at a time is 33 rows a second at best: a hundred of them would take three seconds, all of them a minute and a half.
        let done = tokio::time::timeout(Duration::from_secs(60), engine.wait_for(batch.id)).await;
        done.unwrap().unwrap();
        let kept = data.monitoring().document(DOCUMENT).await.unwrap().unwrap();
        let changes: Vec<Change> = serde_json::from_value(kept["changes"].clone()).unwrap();
        assert_eq!((changes[0].from, changes[0].to), (1, 4));
        assert!(changes.iter().any(|change| change.to >= 16), "{changes:?}");
        assert!(changes.iter().all(|change| !change.reason.is_empty()));
    }
}
