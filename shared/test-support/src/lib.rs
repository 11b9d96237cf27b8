//! Port contract suites, layers of faults over the ports, and builders for tests.
//!
//! A suite holds one function for every promise of a port's documentation. An adapter runs all of them as separately
//! named tests:
//!
//! ```text
//! async fn an_empty_store() -> (Arc<dyn BatchStore>, tempfile::TempDir) { … }
//!
//! test_support::batch_store_contract!(an_empty_store);
//! ```
//!
//! The function is called once a test. It answers with an empty store or queue of the test's own, and with whatever must
//! live as long as the test.
#![expect(
    clippy::unwrap_used,
    reason = "a fault of the port under test ends the test"
)]

pub mod access_store;
pub mod batch_store;
mod builders;
pub mod cache_store;
mod clock;
pub mod faults;
pub mod key_store;
pub mod lambda_server;
pub mod monitoring_store;
pub mod rekognition_server;
mod scaler;
mod serving;
mod settle;
pub mod vision_provider;
pub mod vision_server;
pub mod work_queue;

pub use builders::{a_batch, a_finished_part, a_kpi_delta, batches_in_order, counters_of, part};
pub use clock::ManualClock;
pub use scaler::ManualScaler;

/// Runs every function of a suite as a test. Use [`batch_store_contract!`] and [`work_queue_contract!`].
#[doc(hidden)]
#[macro_export]
macro_rules! contract_tests {
    ($suite:ident, $make:path, $($name:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let (subject, _kept) = $make().await;
                $crate::$suite::$name(subject).await;
            }
        )+
    };
}

/// The functions of a suite's source, for comparison with its list of tests.
#[cfg(test)]
fn functions_in(source: &str) -> std::collections::BTreeSet<&str> {
    source
        .lines()
        .filter_map(|line| line.strip_prefix("pub async fn "))
        .filter_map(|rest| rest.split_once('(').map(|(name, _)| name))
        .collect()
}

/// The names listed in a suite's macro.
#[cfg(test)]
fn names_listed_in(source: &str) -> std::collections::BTreeSet<&str> {
    source
        .lines()
        .skip_while(|line| !line.contains("contract_tests!"))
        .skip(1)
        .map(str::trim)
        .take_while(|line| *line != ");")
        .flat_map(|line| line.split_whitespace())
        .collect()
}
