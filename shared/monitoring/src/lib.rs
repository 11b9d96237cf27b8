//! Indicators to answers: how fast, how well, what is in the way, what to do. No input, no output, no clock.
//!
//! Everything starts from [`Observations`]: the rows of the last minutes as the store has them, hosts that gave trouble, how much lies in the
//! queues. The same rows are written by the functions and by the embedded engine, so the answers mean the same on both.
//!
//! | module | answer |
//! |---|---|
//! | [`performance`] | rates and latencies against a baseline |
//! | [`resources`] | processors, memory, workers; database; caches |
//! | [`slo`] | objectives, their budgets and what is left of them |
//! | [`kpi`] | indicators with target, critical value and colour; time series |
//! | [`bottlenecks`] | what is in the way, the worst first, with evidence and remedy |
//! | [`scaling`] | more or fewer workers, and why |
//! | [`applied`] | what to change where somebody acts on that |
//! | [`exposition`] | counters in the text format of Prometheus |
//! | [`names`] | names of the metrics, the same everywhere |
//!
//! A row counts as an **error** when it ended in a way that is worth a retry: a time-out, a refused connection, a 500. That an image is not
//! there, or is no image, is an answer, and a fact about the list.

pub mod applied;
pub mod bottlenecks;
pub mod exposition;
pub mod kpi;
pub mod names;
mod observations;
pub mod performance;
pub mod resources;
pub mod scaling;
pub mod slo;

pub use observations::{Observations, QueueNow, Window, errors_of};

/// Minutes that "now" covers: the running one and those before it.
pub const NOW_MINUTES: i64 = 5;
/// Minutes that series and sums cover.
pub const HOUR_MINUTES: i64 = 60;

/// Two decimals are enough for a person, and a program can tell 0 from 0.001 by the counts beside it.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
