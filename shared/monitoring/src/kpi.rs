//! Indicators for a board: target, critical value, now, colour (source E7 of the product's requirements), and how they went.

use domain::KpiDelta;
use jiff::Timestamp;
use serde::Serialize;

use crate::slo::start_of;
use crate::{HOUR_MINUTES, NOW_MINUTES, Observations, Window, errors_of, rounded};

/// How an indicator stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Color {
    /// On target.
    Green,
    /// Between target and critical value.
    Amber,
    /// Critical.
    Red,
    /// Nothing to measure.
    Grey,
}

/// One indicator.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Indicator {
    /// Its name; never changes.
    pub name: &'static str,
    /// Its name for a person.
    pub title: &'static str,
    /// Unit of all its values.
    pub unit: &'static str,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// The value to reach.
    pub target: f64,
    /// The value at which somebody should get up.
    pub critical: f64,
    /// The value over the last five minutes; null when there was nothing to measure.
    pub now: Option<f64>,
    /// How it stands.
    pub color: Color,
}

/// A minute of the time series. Null where nothing was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Point {
    /// When the minute began.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub minute: Timestamp,
    /// Rows that ended.
    pub rows: u64,
    /// Of them, errors.
    pub errors: u64,
    /// 95th percentile of the time a row took, in milliseconds.
    pub fetch_p95_ms: Option<f64>,
    /// 95th percentile of the API, in milliseconds.
    pub api_p95_ms: Option<f64>,
    /// How busy the processors were, in percent.
    pub cpu_percent: Option<f64>,
    /// Memory, in percent of what may be taken.
    pub memory_percent: Option<f64>,
    /// Messages that waited.
    pub pending: Option<f64>,
}

/// `GET /api/v1/monitoring/dashboard/kpi`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Board {
    /// When it was made.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// The indicators.
    pub indicators: Vec<Indicator>,
    /// The last hour, oldest first.
    pub series: Vec<Point>,
}

/// A line of the table of targets.
struct Goal {
    name: &'static str,
    title: &'static str,
    unit: &'static str,
    target: f64,
    critical: f64,
    now: fn(&Window) -> Option<f64>,
}

const GOALS: &[Goal] = &[
    Goal {
        name: "success_rate",
        title: "Success rate",
        unit: "percent",
        target: 99.0,
        critical: 95.0,
        now: |window| window.error_percent().map(|errors| 100.0 - errors),
    },
    Goal {
        name: "error_rate",
        title: "Error rate",
        unit: "percent",
        target: 1.0,
        critical: 5.0,
        now: Window::error_percent,
    },
    Goal {
        name: "api_p95",
        title: "API response time, 95th percentile",
        unit: "milliseconds",
        target: 500.0,
        critical: 1_000.0,
        now: |window| window.sum.vitals.api.latency.quantile(0.95),
    },
    Goal {
        name: "database_p95",
        title: "Database response time, 95th percentile",
        unit: "milliseconds",
        target: 100.0,
        critical: 500.0,
        now: |window| window.sum.vitals.database.latency.quantile(0.95),
    },
    Goal {
        name: "cache_hit_rate",
        title: "Cache hit rate",
        unit: "percent",
        target: 80.0,
        critical: 60.0,
        now: Window::cache_hit_percent,
    },
    Goal {
        name: "cpu",
        title: "Processors",
        unit: "percent",
        target: 70.0,
        critical: 90.0,
        now: |window| window.sum.vitals.cpu_percent.mean(),
    },
    Goal {
        name: "memory",
        title: "Memory",
        unit: "percent",
        target: 80.0,
        critical: 95.0,
        now: |window| window.sum.vitals.memory_percent.mean(),
    },
    Goal {
        name: "queue",
        title: "Messages that wait",
        unit: "messages",
        target: 1_000.0,
        critical: 5_000.0,
        now: |window| window.sum.vitals.pending.mean(),
    },
];

/// The board.
pub fn board(observed: &Observations) -> Board {
    let now = observed.last(NOW_MINUTES);
    Board {
        at: observed.now,
        indicators: GOALS.iter().map(|goal| indicator(goal, &now)).collect(),
        series: observed
            .series(HOUR_MINUTES)
            .into_iter()
            .map(|(minute, delta)| point(start_of(minute), delta))
            .collect(),
    }
}

/// The indicators over a window of the caller's choice.
pub fn goals(window: &Window) -> Vec<Indicator> {
    GOALS.iter().map(|goal| indicator(goal, window)).collect()
}

fn indicator(goal: &Goal, window: &Window) -> Indicator {
    let higher_is_better = goal.target > goal.critical;
    let now = (goal.now)(window);
    Indicator {
        name: goal.name,
        title: goal.title,
        unit: goal.unit,
        higher_is_better,
        target: goal.target,
        critical: goal.critical,
        now: now.map(rounded),
        color: now.map_or(Color::Grey, |now| color(goal, now, higher_is_better)),
    }
}

fn color(goal: &Goal, now: f64, higher_is_better: bool) -> Color {
    let sign = if higher_is_better { -1.0 } else { 1.0 };
    if now * sign > goal.critical * sign {
        Color::Red
    } else if now * sign > goal.target * sign {
        Color::Amber
    } else {
        Color::Green
    }
}

fn point(minute: Timestamp, delta: Option<&KpiDelta>) -> Point {
    let vitals = delta.map(|delta| &delta.vitals);
    let mean = |gauge: Option<domain::Gauge>| gauge.and_then(domain::Gauge::mean).map(rounded);
    Point {
        minute,
        rows: delta.map_or(0, |delta| delta.counters.rows),
        errors: delta.map_or(0, |delta| errors_of(&delta.counters)),
        fetch_p95_ms: delta
            .and_then(|delta| delta.latency.quantile(0.95))
            .map(rounded),
        api_p95_ms: vitals
            .and_then(|vitals| vitals.api.latency.quantile(0.95))
            .map(rounded),
        cpu_percent: mean(vitals.map(|vitals| vitals.cpu_percent)),
        memory_percent: mean(vitals.map(|vitals| vitals.memory_percent)),
        pending: mean(vitals.map(|vitals| vitals.pending)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observations::tests::{at_minute_1000, minute_of};
    use domain::Outcome;

    fn of(ok: u64, failed: u64) -> Vec<Indicator> {
        let minute = minute_of(&[(Outcome::Ok, ok), (Outcome::ConnectError, failed)], 10);
        board(&at_minute_1000(vec![(1_000, minute)])).indicators
    }

    #[test]
    fn colours_turn_at_target_and_critical_value_in_both_directions() {
        for (failed, expected) in [(0, Color::Green), (30, Color::Amber), (60, Color::Red)] {
            let indicators = of(1_000 - failed, failed);
            assert_eq!(indicators[0].color, expected, "success, {failed} failed");
            assert_eq!(indicators[1].color, expected, "errors, {failed} failed");
        }
    }

    #[test]
    fn what_was_not_measured_is_grey_and_the_series_has_every_minute() {
        let board = board(&at_minute_1000(vec![]));
        assert!(board.indicators.iter().all(|one| one.color == Color::Grey));
        assert_eq!(board.series.len(), 60);
        assert_eq!(board.series[59].minute.as_second(), 60_000);
    }
}
