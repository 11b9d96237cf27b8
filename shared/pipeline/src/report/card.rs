//! The report card: what was promised for a list of this length and of the system as a whole, and what came of it.

use domain::ports::MAX_KPI_MINUTES;
use domain::{Batch, Counters, Minute};
use jiff::Timestamp;
use monitoring::{Window, errors_of};
use serde::{Deserialize, Serialize};

use crate::{PipelineResult, Ports};

/// A line of the card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CardLine {
    /// Its name.
    pub name: String,
    /// What a person calls it.
    pub title: String,
    /// Whether it is a target for lists of this length, or an indicator of the system.
    pub kind: CardKind,
    /// Its unit.
    pub unit: String,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// What was promised.
    pub target: f64,
    /// What came of it; `None` where it was not measured.
    pub actual: Option<f64>,
    /// Whether the promise was kept; `None` where it was not measured.
    pub passed: Option<bool>,
}

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CardKind {
    /// A target for lists of this length.
    Target,
    /// An indicator of the system while the batch ran.
    Indicator,
}

/// Targets by the length of the list.
struct Targets {
    /// Rows at most.
    rows: u64,
    seconds: f64,
    rows_per_minute: f64,
    error_percent: f64,
    memory_mb: f64,
}

const TARGETS: [Targets; 3] = [
    Targets {
        rows: 1_000,
        seconds: 300.0,
        rows_per_minute: 60.0,
        error_percent: 2.0,
        memory_mb: 2_048.0,
    },
    Targets {
        rows: 100_000,
        seconds: 3_600.0,
        rows_per_minute: 100.0,
        error_percent: 5.0,
        memory_mb: 4_096.0,
    },
    Targets {
        rows: u64::MAX,
        seconds: 86_400.0,
        rows_per_minute: 150.0,
        error_percent: 10.0,
        memory_mb: 8_192.0,
    },
];

/// What was seen of the system while `batch` was worked on. Of processes whose indicators are still on their way, nothing.
pub(crate) async fn window(ports: &Ports, batch: &Batch) -> PipelineResult<Window> {
    let (from, to) = minutes_of(batch, ports.clock.now());
    let mut window = Window::default();
    for (_, delta) in ports.store.kpis(from, to).await? {
        window.add(&delta);
    }
    Ok(window)
}

/// From the begin of a batch to its end. Of one that was retried long after, the last days that can be asked for.
fn minutes_of(batch: &Batch, now: Timestamp) -> (Minute, Minute) {
    let from = Minute::of(batch.started_at.unwrap_or(now));
    let to = Minute::of(batch.ended_at.unwrap_or(now));
    (from.max(Minute(to.0 - (MAX_KPI_MINUTES - 1))), to)
}

/// The card of a batch that took `elapsed_s`.
pub(crate) fn card(counters: &Counters, elapsed_s: f64, window: &Window) -> Vec<CardLine> {
    let rows = counters.rows;
    let of_length = TARGETS.iter().find(|targets| rows <= targets.rows);
    let Some(targets) = of_length else {
        return Vec::new();
    };
    let measured = rows > 0;
    let rate = rows as f64 * 60.0 / elapsed_s.max(0.001);
    let errors = errors_of(counters) as f64 * 100.0 / rows.max(1) as f64;
    let target = |name: &str, title: &str, unit: &str, higher, target, actual: Option<f64>| {
        line(CardKind::Target, name, title, unit, higher, target, actual)
    };
    let mut lines = vec![
        target(
            "time",
            "Time for the whole list",
            "seconds",
            false,
            targets.seconds,
            measured.then_some(elapsed_s),
        ),
        target(
            "rate",
            "Rows a minute",
            "rows",
            true,
            targets.rows_per_minute,
            measured.then_some(rate),
        ),
        target(
            "errors",
            "Rows that ended in a way worth a retry",
            "percent",
            false,
            targets.error_percent,
            measured.then_some(errors),
        ),
        target(
            "memory",
            "Memory of a process, on average",
            "MiB",
            false,
            targets.memory_mb,
            window.sum.vitals.memory_mb.mean(),
        ),
    ];
    for goal in monitoring::kpi::goals(window) {
        lines.push(line(
            CardKind::Indicator,
            goal.name,
            goal.title,
            goal.unit,
            goal.higher_is_better,
            goal.target,
            goal.now,
        ));
    }
    lines
}

fn line(
    kind: CardKind,
    name: &str,
    title: &str,
    unit: &str,
    higher_is_better: bool,
    target: f64,
    actual: Option<f64>,
) -> CardLine {
    let keeps = |actual: f64| {
        if higher_is_better {
            actual >= target
        } else {
            actual <= target
        }
    };
    CardLine {
        name: name.to_owned(),
        title: title.to_owned(),
        kind,
        unit: unit.to_owned(),
        higher_is_better,
        target,
        actual,
        passed: actual.map(keeps),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Outcome;
    use test_support::a_batch;

    fn counters(ok: u64, timeouts: u64) -> Counters {
        let mut counters = Counters::default();
        for _ in 0..ok {
            counters.add_row(Outcome::Ok, &[], 1, None, None);
        }
        for _ in 0..timeouts {
            counters.add_row(Outcome::Timeout, &[], 1, None, None);
        }
        counters
    }

    fn passed(lines: &[CardLine], name: &str) -> Option<bool> {
        let mut targets = lines.iter().filter(|line| line.kind == CardKind::Target);
        targets.find(|line| line.name == name).unwrap().passed
    }

    #[test]
    fn no_more_minutes_are_asked_for_than_a_store_answers() {
        let day = std::time::Duration::from_secs(24 * 60 * 60);
        let begun: Timestamp = "2026-01-01T00:00:30Z".parse().unwrap();
        let mut batch = a_batch();
        batch.started_at = Some(begun);
        batch.ended_at = Some(begun + day);
        let (from, to) = minutes_of(&batch, begun + day * 50);
        assert_eq!((from, to.0 - from.0), (Minute::of(begun), 24 * 60));
        // Retried after seven weeks.
        batch.ended_at = Some(begun + day * 49);
        let (from, to) = minutes_of(&batch, begun + day * 50);
        assert_eq!(to, Minute::of(begun + day * 49));
        assert_eq!(to.0 - from.0 + 1, MAX_KPI_MINUTES);
    }

    #[test]
    fn targets_follow_the_length_of_the_list() {
        let nothing = Window::default();
        let short = card(&counters(980, 20), 300.0, &nothing);
        assert_eq!(passed(&short, "time"), Some(true));
        assert_eq!(passed(&short, "rate"), Some(true));
        assert_eq!(passed(&short, "errors"), Some(true));
        assert_eq!(passed(&short, "memory"), None);
        let late = card(&counters(979, 21), 301.0, &nothing);
        assert_eq!(passed(&late, "time"), Some(false));
        assert_eq!(passed(&late, "errors"), Some(false));
        let longer = card(&counters(980, 21), 1_000.0, &nothing);
        assert_eq!(passed(&longer, "time"), Some(true));
        assert_eq!(passed(&longer, "errors"), Some(true));
        assert_eq!(passed(&longer, "rate"), Some(false));
    }

    #[test]
    fn indicators_come_from_the_minutes_of_the_batch() {
        let mut delta = domain::KpiDelta {
            counters: counters(99, 1),
            ..domain::KpiDelta::default()
        };
        delta.vitals.cpu_percent = domain::Gauge::of(95);
        delta.vitals.memory_mb = domain::Gauge::of(300);
        let mut window = Window::default();
        window.add(&delta);
        let lines = card(&counters(99, 1), 1.0, &window);
        let indicator = |name: &str| {
            let mut lines = lines.iter().filter(|line| line.kind == CardKind::Indicator);
            lines.find(|line| line.name == name).unwrap()
        };
        assert_eq!(indicator("success_rate").passed, Some(true));
        assert_eq!(indicator("cpu").passed, Some(false));
        assert_eq!(indicator("cache_hit_rate").passed, None);
        assert_eq!(passed(&lines, "memory"), Some(true));
    }

    #[test]
    fn nothing_is_said_of_a_list_without_rows() {
        let lines = card(&Counters::default(), 0.0, &Window::default());
        assert!(lines.iter().all(|line| line.passed.is_none()));
    }
}
