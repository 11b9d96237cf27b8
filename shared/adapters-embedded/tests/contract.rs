//! The embedded adapter keeps the promises of the ports.
#![expect(clippy::unwrap_used, reason = "a fault ends the test")]

use std::sync::Arc;

use adapters_embedded::DataFolder;
use domain::ports::{AccessStore, BatchStore, WorkQueue};
use tempfile::TempDir;

/// A data folder of the test's own. The folder is removed after it was closed.
fn an_empty_folder() -> (DataFolder, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(directory.path()).unwrap();
    (folder, directory)
}

mod batch_store {
    use super::*;

    #[expect(clippy::unused_async, reason = "other adapters need to wait here")]
    async fn an_empty_store() -> (Arc<dyn BatchStore>, (DataFolder, TempDir)) {
        let kept = an_empty_folder();
        (kept.0.store(), kept)
    }

    test_support::batch_store_contract!(an_empty_store);
}

mod work_queue {
    use super::*;

    #[expect(clippy::unused_async, reason = "other adapters need to wait here")]
    async fn empty_queues() -> (Arc<dyn WorkQueue>, (DataFolder, TempDir)) {
        let kept = an_empty_folder();
        (kept.0.queue(), kept)
    }

    test_support::work_queue_contract!(empty_queues);
}

mod access_store {
    use super::*;

    #[expect(clippy::unused_async, reason = "other adapters need to wait here")]
    async fn an_empty_store() -> (Arc<dyn AccessStore>, (DataFolder, TempDir)) {
        let kept = an_empty_folder();
        (kept.0.access(), kept)
    }

    test_support::access_store_contract!(an_empty_store);
}

mod monitoring_store {
    use super::*;
    use test_support::monitoring_store::MonitoringSubject;

    #[expect(clippy::unused_async, reason = "other adapters need to wait here")]
    async fn an_empty_store() -> (MonitoringSubject, (DataFolder, TempDir)) {
        let kept = an_empty_folder();
        let subject = MonitoringSubject {
            batches: kept.0.store(),
            monitoring: kept.0.monitoring(),
        };
        (subject, kept)
    }

    test_support::monitoring_store_contract!(an_empty_store);
}

mod key_store {
    use super::*;
    use domain::ports::KeyStore;

    #[expect(clippy::unused_async, reason = "other adapters need to wait here")]
    async fn an_empty_store() -> (Arc<dyn KeyStore>, (DataFolder, TempDir)) {
        let kept = an_empty_folder();
        (kept.0.keys(), kept)
    }

    test_support::key_store_contract!(an_empty_store);
}

mod cache_store {
    use super::*;
    use domain::ports::CacheStore;

    #[expect(clippy::unused_async, reason = "other adapters need to wait here")]
    async fn an_empty_store() -> (Arc<dyn CacheStore>, (DataFolder, TempDir)) {
        let kept = an_empty_folder();
        (kept.0.cache(), kept)
    }

    test_support::cache_store_contract!(an_empty_store);
}
