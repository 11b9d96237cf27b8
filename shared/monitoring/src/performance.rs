//! How fast: rates and latencies, beside what they were before.

use domain::{LatencyHistogram, OperationStats};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{HOUR_MINUTES, NOW_MINUTES, Observations, Window, rounded};

/// A figure is slower when it is this many times its baseline (source C7 of the product's requirements).
pub const SLOWER_FACTOR: f64 = 1.5;
/// Without a saved baseline the hour before the last five minutes is one, if it had at least this many rows.
const ROWS_OF_A_BASELINE: u64 = 500;

/// Percentiles and mean in milliseconds. Percentiles are upper edges of their histogram's buckets: at most 19 % above the truth.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Latency {
    /// Median.
    pub p50_ms: Option<f64>,
    /// 95th percentile.
    pub p95_ms: Option<f64>,
    /// 99th percentile.
    pub p99_ms: Option<f64>,
    /// Mean.
    pub mean_ms: Option<f64>,
}

impl Latency {
    /// Of a histogram whose latencies come to `elapsed_ms` together.
    pub fn of(histogram: &LatencyHistogram, elapsed_ms: u64) -> Self {
        let quantile = |share| histogram.quantile(share).map(rounded);
        let total = histogram.total();
        Self {
            p50_ms: quantile(0.5),
            p95_ms: quantile(0.95),
            p99_ms: quantile(0.99),
            mean_ms: (total > 0).then(|| rounded(elapsed_ms as f64 / total as f64)),
        }
    }

    pub(crate) fn of_calls(stats: &OperationStats) -> Self {
        Self::of(&stats.latency, stats.elapsed_ms)
    }
}

/// Rates and latencies of some minutes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rates {
    /// Rows that ended.
    pub rows: u64,
    /// Rows a minute, over the minutes in which any ended.
    pub rows_per_minute: f64,
    /// Requests to hosts, redirects not counted.
    pub requests: u64,
    /// Bytes of bodies a second, over the same minutes.
    pub bytes_per_second: f64,
    /// Share of rows that ended in a way that is worth a retry, in percent.
    pub error_percent: Option<f64>,
    /// From the first attempt at a row to its last byte.
    pub fetch: Latency,
    /// Requests to the API.
    pub api: Latency,
    /// Requests to the API, a minute.
    pub api_requests_per_minute: f64,
}

impl Rates {
    fn of(window: &Window) -> Self {
        let counters = &window.sum.counters;
        let seconds = window.active_minutes.max(1) as f64 * 60.0;
        let api = &window.sum.vitals.api;
        Self {
            rows: counters.rows,
            rows_per_minute: rounded(window.rows_per_minute()),
            requests: counters.attempts,
            bytes_per_second: rounded(counters.bytes as f64 / seconds),
            error_percent: window.error_percent().map(rounded),
            fetch: Latency::of(&window.sum.latency, counters.elapsed_ms),
            api: Latency::of_calls(api),
            api_requests_per_minute: rounded(api.calls as f64 / window.minutes.max(1) as f64),
        }
    }
}

/// What to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Baseline {
    /// When it was saved; null for one that is made of the hour before.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub saved_at: Option<Timestamp>,
    /// The figures.
    pub rates: Rates,
}

/// A figure that is worse than its baseline by half or more.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Slower {
    /// Which.
    pub figure: &'static str,
    /// Its value.
    pub now: f64,
    /// What it was.
    pub baseline: f64,
    /// How many times worse; 1.5 and above.
    pub factor: f64,
}

/// `GET /api/v1/monitoring/performance`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Performance {
    /// The last five minutes.
    pub now: Rates,
    /// The last hour.
    pub last_hour: Rates,
    /// What was saved to compare with, or else the hour before the last five minutes; null when there was too little of it.
    pub baseline: Option<Baseline>,
    /// Figures of the last five minutes that are worse than their baseline by half or more.
    pub slower: Vec<Slower>,
}

/// The figures to save as a baseline: those of the last hour. `None` when nothing ended.
pub fn baseline_of(observed: &Observations) -> Option<Baseline> {
    let window = observed.last(HOUR_MINUTES);
    (window.rows() > 0).then(|| Baseline {
        saved_at: Some(observed.now),
        rates: Rates::of(&window),
    })
}

/// How fast, now and before.
pub fn performance(observed: &Observations) -> Performance {
    let now = Rates::of(&observed.last(NOW_MINUTES));
    let baseline = observed.baseline.or_else(|| hour_before(observed));
    Performance {
        slower: baseline.map_or_else(Vec::new, |baseline| {
            slower(&now, sure_rate(observed), &baseline.rates)
        }),
        baseline,
        now,
        last_hour: Rates::of(&observed.last(HOUR_MINUTES)),
    }
}

fn hour_before(observed: &Observations) -> Option<Baseline> {
    let to = observed.this_minute().0 - NOW_MINUTES;
    let window = observed.window(domain::Minute(to - HOUR_MINUTES + 1), domain::Minute(to));
    (window.rows() >= ROWS_OF_A_BASELINE).then(|| Baseline {
        saved_at: None,
        rates: Rates::of(&window),
    })
}

/// Rows of the busiest of the last minutes that are over. The running minute is not full yet, and neither are the first and the last of a
/// batch: so at least two have to be there, and only when the best of them is slow, work is.
fn sure_rate(observed: &Observations) -> Option<f64> {
    let running = observed.this_minute().0;
    let minutes = (running - NOW_MINUTES + 1..running).map(domain::Minute);
    let rows = minutes.map(|minute| observed.window(minute, minute).rows());
    let busy: Vec<u64> = rows.filter(|rows| *rows > 0).collect();
    let best = busy.iter().max().filter(|_| busy.len() > 1);
    best.map(|rows| *rows as f64)
}

fn slower(now: &Rates, sure_rate: Option<f64>, baseline: &Rates) -> Vec<Slower> {
    let mut slower = Vec::new();
    for (figure, now, baseline) in [
        ("fetch p50_ms", now.fetch.p50_ms, baseline.fetch.p50_ms),
        ("fetch p95_ms", now.fetch.p95_ms, baseline.fetch.p95_ms),
        ("fetch p99_ms", now.fetch.p99_ms, baseline.fetch.p99_ms),
        ("fetch mean_ms", now.fetch.mean_ms, baseline.fetch.mean_ms),
        ("api p95_ms", now.api.p95_ms, baseline.api.p95_ms),
        ("api mean_ms", now.api.mean_ms, baseline.api.mean_ms),
    ] {
        if let (Some(now), Some(baseline)) = (now, baseline)
            && baseline > 0.0
        {
            push_if_worse(&mut slower, figure, (now, baseline), now / baseline);
        }
    }
    // A rate is worse when it falls; of an idle minute nothing can be said.
    if let Some(now) = sure_rate {
        let before = baseline.rows_per_minute;
        push_if_worse(&mut slower, "rows_per_minute", (now, before), before / now);
    }
    slower
}

fn push_if_worse(slower: &mut Vec<Slower>, figure: &'static str, values: (f64, f64), factor: f64) {
    if factor >= SLOWER_FACTOR {
        slower.push(Slower {
            figure,
            now: values.0,
            baseline: values.1,
            factor: rounded(factor),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observations::tests::{at_minute_1000, minute_of};
    use domain::Outcome;

    #[test]
    fn half_as_slow_again_is_flagged_and_less_is_not() {
        let before = minute_of(&[(Outcome::Ok, 600)], 100);
        for (elapsed_ms, is_slower) in [(110, false), (200, true)] {
            let now = minute_of(&[(Outcome::Ok, 600)], elapsed_ms);
            let observed = at_minute_1000(vec![(980, before.clone()), (1_000, now)]);
            let performance = performance(&observed);
            let flagged: Vec<&str> = performance.slower.iter().map(|slow| slow.figure).collect();
            assert_eq!(flagged.contains(&"fetch mean_ms"), is_slower, "{flagged:?}");
            assert_eq!(flagged.contains(&"fetch p95_ms"), is_slower, "{flagged:?}");
        }
    }

    #[test]
    fn a_saved_baseline_goes_before_the_hour_before() {
        let slow = minute_of(&[(Outcome::Ok, 600)], 300);
        let mut observed = at_minute_1000(vec![(980, slow.clone()), (1_000, slow)]);
        assert_eq!(performance(&observed).slower, []);
        let fast = minute_of(&[(Outcome::Ok, 600)], 100);
        observed.baseline = baseline_of(&at_minute_1000(vec![(990, fast)]));
        assert!(!performance(&observed).slower.is_empty());
    }

    #[test]
    fn a_falling_rate_is_flagged_and_a_quiet_system_is_not() {
        let before = minute_of(&[(Outcome::Ok, 600)], 100);
        let now = || minute_of(&[(Outcome::Ok, 200)], 100);
        let observed = at_minute_1000(vec![(980, before.clone()), (998, now()), (999, now())]);
        let flagged = performance(&observed).slower;
        assert_eq!(flagged.len(), 1);
        assert_eq!(flagged[0].figure, "rows_per_minute");
        assert!((flagged[0].factor - 3.0).abs() < 1e-9);
        // Minutes that were not full say nothing: the running one, and one alone.
        for minutes in [vec![1_000], vec![999, 1_000]] {
            let mut seen = vec![(980, before.clone())];
            seen.extend(minutes.into_iter().map(|minute| (minute, now())));
            assert_eq!(performance(&at_minute_1000(seen)).slower, []);
        }
        let quiet = performance(&at_minute_1000(vec![(980, before)]));
        assert_eq!(quiet.slower, []);
        assert_eq!(quiet.now.fetch.p95_ms, None);
    }
}
