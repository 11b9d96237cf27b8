//! Objectives: what was promised, what it is, and how much of the room for failure is used up.
//!
//! Budgets are those of sources D1, B11 and C12 of the product's requirements.

use domain::{KpiDelta, Minute};
use jiff::Timestamp;
use serde::Serialize;

use crate::{HOUR_MINUTES, NOW_MINUTES, Observations, Window, errors_of, rounded};

/// Violations named at most, the latest first.
const VIOLATIONS_SHOWN: usize = 20;
/// 95 of 100 requests to the API are answered within this.
const API_P95_MS: f64 = 200.0;
/// 95 of 100 calls to the database are answered within this.
const DATABASE_P95_MS: f64 = 100.0;
/// A part takes less than this on average.
const PART_SECONDS: f64 = 30.0;
/// More rows than this, in percent, end without an error.
const ROW_ERROR_PERCENT: f64 = 0.1;
/// Requests to the API that may fail through a fault of ours, in percent: 99.9 % are available.
const UNAVAILABLE_PERCENT: f64 = 0.1;
/// Messages that may wait.
const PENDING: f64 = 1_000.0;

/// One objective.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Objective {
    /// Its name; never changes.
    pub name: &'static str,
    /// What is promised, in a sentence.
    pub objective: &'static str,
    /// Unit of budget and actual.
    pub unit: &'static str,
    /// The value not to be exceeded.
    pub budget: f64,
    /// The value over the last five minutes; null when there was nothing to measure.
    pub actual: Option<f64>,
    /// How many times the budget is used: 1 is all of it. Over the last five minutes.
    pub burn: Option<f64>,
    /// The same over the last hour.
    pub burn_last_hour: Option<f64>,
    /// Whether the budget is exceeded now.
    pub violated: bool,
    /// Minutes of the last hour in which it was exceeded, the latest first, twenty at most.
    pub violations: Vec<Violation>,
}

/// A minute in which a budget was exceeded.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Violation {
    /// When the minute began.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub minute: Timestamp,
    /// The value then.
    pub actual: f64,
}

/// `GET /api/v1/monitoring/slo`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Objectives {
    /// Whether no budget is exceeded now.
    pub healthy: bool,
    /// Each objective.
    pub objectives: Vec<Objective>,
}

/// What is promised, and how it is read off some minutes.
struct Promise {
    name: &'static str,
    objective: &'static str,
    unit: &'static str,
    budget: f64,
    actual: fn(&KpiDelta) -> Option<f64>,
}

const PROMISES: &[Promise] = &[
    Promise {
        name: "row_errors",
        objective: "Fewer than 1 row in 1,000 ends in a way that is worth a retry.",
        unit: "percent",
        budget: ROW_ERROR_PERCENT,
        actual: |delta| share(errors_of(&delta.counters), delta.counters.rows),
    },
    Promise {
        name: "api_latency_p95",
        objective: "95 of 100 requests to the API are answered within 200 ms.",
        unit: "milliseconds",
        budget: API_P95_MS,
        actual: |delta| delta.vitals.api.latency.quantile(0.95),
    },
    Promise {
        name: "api_availability",
        objective: "99.9 % of the requests to the API are answered without a fault of ours.",
        unit: "percent",
        budget: UNAVAILABLE_PERCENT,
        actual: |delta| share(delta.vitals.api.failed, delta.vitals.api.calls),
    },
    Promise {
        name: "part_duration",
        objective: "A part of a chunk takes less than 30 seconds on average.",
        unit: "seconds",
        budget: PART_SECONDS,
        actual: |delta| {
            (delta.parts > 0).then(|| delta.busy_ms as f64 / 1_000.0 / delta.parts as f64)
        },
    },
    Promise {
        name: "database_latency_p95",
        objective: "95 of 100 calls to the database are answered within 100 ms.",
        unit: "milliseconds",
        budget: DATABASE_P95_MS,
        actual: |delta| delta.vitals.database.latency.quantile(0.95),
    },
    Promise {
        name: "queue_length",
        objective: "Fewer than 1,000 messages wait.",
        unit: "messages",
        budget: PENDING,
        actual: |delta| delta.vitals.pending.mean(),
    },
];

fn share(of: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| of as f64 * 100.0 / all as f64)
}

/// Every objective.
pub fn objectives(observed: &Observations) -> Objectives {
    let (now, hour) = (observed.last(NOW_MINUTES), observed.last(HOUR_MINUTES));
    let objectives: Vec<Objective> = PROMISES
        .iter()
        .map(|promise| objective(promise, observed, &now, &hour))
        .collect();
    Objectives {
        healthy: objectives.iter().all(|objective| !objective.violated),
        objectives,
    }
}

fn objective(promise: &Promise, observed: &Observations, now: &Window, hour: &Window) -> Objective {
    let burn =
        |window: &Window| (promise.actual)(&window.sum).map(|actual| actual / promise.budget);
    let actual = (promise.actual)(&now.sum);
    let mut violations = Vec::new();
    for (minute, delta) in observed.series(HOUR_MINUTES).into_iter().rev() {
        let Some(actual) = delta.and_then(promise.actual) else {
            continue;
        };
        if actual > promise.budget && violations.len() < VIOLATIONS_SHOWN {
            violations.push(Violation {
                minute: start_of(minute),
                actual: rounded(actual),
            });
        }
    }
    Objective {
        name: promise.name,
        objective: promise.objective,
        unit: promise.unit,
        budget: promise.budget,
        actual: actual.map(rounded),
        burn: burn(now).map(rounded),
        burn_last_hour: burn(hour).map(rounded),
        violated: actual.is_some_and(|actual| actual > promise.budget),
        violations,
    }
}

/// When a minute began.
pub(crate) fn start_of(minute: Minute) -> Timestamp {
    Timestamp::from_second(minute.0.saturating_mul(60)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observations::tests::{at_minute_1000, minute_of};
    use domain::Outcome;

    fn row_errors(observed: &Observations) -> Objective {
        objectives(observed).objectives.swap_remove(0)
    }

    #[test]
    fn a_budget_is_violated_when_it_is_exceeded_and_says_when() {
        let fine = minute_of(&[(Outcome::Ok, 1_000)], 10);
        let bad = minute_of(&[(Outcome::Ok, 990), (Outcome::ConnectError, 10)], 10);
        let observed = at_minute_1000(vec![(970, bad.clone()), (999, fine.clone()), (1_000, bad)]);
        let objective = row_errors(&observed);
        assert!(objective.violated && !objectives(&observed).healthy);
        assert_eq!(objective.actual, Some(0.5));
        assert_eq!(objective.burn, Some(5.0));
        let minutes: Vec<i64> = objective
            .violations
            .iter()
            .map(|violation| violation.minute.as_second() / 60)
            .collect();
        assert_eq!(minutes, [1_000, 970]);
        assert!(!row_errors(&at_minute_1000(vec![(1_000, fine)])).violated);
    }

    #[test]
    fn a_violation_passes_with_its_window_and_stays_in_the_record() {
        let bad = minute_of(&[(Outcome::Timeout, 10)], 10);
        let objective = row_errors(&at_minute_1000(vec![(990, bad)]));
        assert!(!objective.violated);
        assert_eq!(objective.actual, None);
        assert_eq!(objective.violations.len(), 1);
        assert_eq!(objective.burn_last_hour, Some(1_000.0));
    }
}
