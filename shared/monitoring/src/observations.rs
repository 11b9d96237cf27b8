//! What is known, and sums over parts of it.

use domain::ports::TroubledHost;
use domain::{Counters, KpiDelta, Minute};
use jiff::Timestamp;

use crate::applied::AppliedScaling;
use crate::performance::Baseline;
use crate::scaling::LastAdvice;

/// How much lies in one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueNow {
    /// Its name.
    pub name: &'static str,
    /// Messages that wait, delayed ones included.
    pub pending: u64,
    /// Messages being worked on.
    pub in_flight: u64,
    /// Messages in its dead-letter queue.
    pub dead: u64,
}

/// Everything that answers are made of.
#[derive(Debug, Clone, Default)]
pub struct Observations {
    /// When it was gathered.
    pub now: Timestamp,
    /// The indicators of at least the last hour, ascending; minutes without any may be left out.
    pub minutes: Vec<(Minute, KpiDelta)>,
    /// Hosts that gave trouble within the last minutes.
    pub hosts: Vec<TroubledHost>,
    /// The queues as they are.
    pub queues: Vec<QueueNow>,
    /// What operators saved to compare with.
    pub baseline: Option<Baseline>,
    /// The last advice to scale that was not to hold.
    pub last_advice: Option<LastAdvice>,
    /// What is done with such advice, if anything is.
    pub applied: Option<AppliedScaling>,
}

/// The sum over some minutes in a row.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// Minutes that the window is long.
    pub minutes: i64,
    /// Minutes of it in which something was recorded.
    pub active_minutes: u64,
    /// The sum.
    pub sum: KpiDelta,
}

impl Observations {
    /// The minute that is running.
    pub fn this_minute(&self) -> Minute {
        Minute::of(self.now)
    }

    /// The last `minutes` minutes, the running one included.
    pub fn last(&self, minutes: i64) -> Window {
        let to = self.this_minute();
        self.window(Minute(to.0 - minutes + 1), to)
    }

    /// The minutes `from ..= to`.
    pub fn window(&self, from: Minute, to: Minute) -> Window {
        let mut window = Window {
            minutes: (to.0 - from.0 + 1).max(0),
            ..Window::default()
        };
        for (minute, delta) in &self.minutes {
            if (from..=to).contains(minute) {
                window.active_minutes += u64::from(delta.counters.rows > 0);
                window.sum += delta;
            }
        }
        window
    }

    /// One delta for each of the last `minutes` minutes, oldest first; `None` where nothing was recorded.
    pub fn series(&self, minutes: i64) -> Vec<(Minute, Option<&KpiDelta>)> {
        let to = self.this_minute().0;
        let mut known = self.minutes.iter().peekable();
        let mut series = Vec::new();
        for minute in (to - minutes + 1)..=to {
            while known.next_if(|(at, _)| at.0 < minute).is_some() {}
            let delta = known.next_if(|(at, _)| at.0 == minute);
            series.push((Minute(minute), delta.map(|(_, delta)| delta)));
        }
        series
    }

    /// Messages that wait in all queues.
    pub fn pending(&self) -> u64 {
        self.queues.iter().map(|queue| queue.pending).sum()
    }

    /// Messages that wait or are worked on, in all queues.
    pub fn backlog(&self) -> u64 {
        let of = |queue: &QueueNow| queue.pending + queue.in_flight;
        self.queues.iter().map(of).sum()
    }

    /// Messages in all dead-letter queues.
    pub fn dead_letters(&self) -> u64 {
        self.queues.iter().map(|queue| queue.dead).sum()
    }
}

/// Rows that ended in a way that is worth a retry.
pub fn errors_of(counters: &Counters) -> u64 {
    let retryable = counters
        .by_outcome
        .iter()
        .filter(|(outcome, _)| outcome.is_retryable() && **outcome != domain::Outcome::Cancelled);
    retryable.map(|(_, rows)| rows).sum()
}

impl Window {
    /// Adds a minute.
    pub fn add(&mut self, minute: &KpiDelta) {
        self.minutes += 1;
        self.active_minutes += 1;
        self.sum += minute;
    }

    /// Rows that ended.
    pub fn rows(&self) -> u64 {
        self.sum.counters.rows
    }

    /// Share of the rows that are errors, in percent; `None` without rows.
    pub fn error_percent(&self) -> Option<f64> {
        let rows = self.rows();
        (rows > 0).then(|| errors_of(&self.sum.counters) as f64 * 100.0 / rows as f64)
    }

    /// Rows a minute, over the minutes that had any.
    pub fn rows_per_minute(&self) -> f64 {
        self.rows() as f64 / self.active_minutes.max(1) as f64
    }

    /// Share of the questions to all levels of caches together that the caches answered, in percent: a hit of any level answers a question,
    /// and what the last level misses is not answered. `None` without questions.
    pub fn cache_hit_percent(&self) -> Option<f64> {
        let caches = &self.sum.vitals.caches;
        let hits: u64 = caches.values().map(|stats| stats.hits).sum();
        // Whoever asks the next level missed this one: the fewest misses are those nobody answered.
        let unanswered = caches.values().map(|stats| stats.misses).min()?;
        let questions = hits + unanswered;
        (questions > 0).then(|| hits as f64 * 100.0 / questions as f64)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use domain::Outcome;

    /// Observations at a fixed time, the running minute being 1,000.
    pub(crate) fn at_minute_1000(minutes: Vec<(i64, KpiDelta)>) -> Observations {
        Observations {
            now: Timestamp::from_second(1_000 * 60 + 30).unwrap(),
            minutes: minutes
                .into_iter()
                .map(|(minute, delta)| (Minute(minute), delta))
                .collect(),
            ..Observations::default()
        }
    }

    /// A minute with these outcomes, each row of `elapsed_ms`.
    pub(crate) fn minute_of(outcomes: &[(Outcome, u64)], elapsed_ms: u64) -> KpiDelta {
        let mut delta = KpiDelta {
            parts: 1,
            busy_ms: 1_000,
            ..KpiDelta::default()
        };
        for (outcome, rows) in outcomes {
            for _ in 0..*rows {
                delta
                    .counters
                    .add_row(*outcome, &[], 1, Some(1_000), Some(elapsed_ms));
                delta.latency.record(elapsed_ms);
            }
        }
        delta
    }

    #[test]
    fn a_window_takes_both_its_ends_and_nothing_else() {
        let minute = |rows| minute_of(&[(Outcome::Ok, rows)], 10);
        let observed = at_minute_1000(vec![(995, minute(1)), (996, minute(2)), (1_000, minute(4))]);
        let window = observed.last(5);
        assert_eq!(
            (window.rows(), window.active_minutes, window.minutes),
            (6, 2, 5)
        );
        assert!((window.rows_per_minute() - 3.0).abs() < 1e-9);
        let rows: Vec<u64> = observed
            .series(6)
            .iter()
            .map(|(_, delta)| delta.map_or(0, |delta| delta.counters.rows))
            .collect();
        assert_eq!(rows, [1, 2, 0, 0, 0, 4]);
    }

    #[test]
    fn facts_about_the_list_are_no_errors() {
        let minute = minute_of(
            &[
                (Outcome::Ok, 6),
                (Outcome::NotFound, 2),
                (Outcome::Timeout, 2),
            ],
            10,
        );
        let window = at_minute_1000(vec![(1_000, minute)]).last(1);
        assert_eq!(window.error_percent(), Some(20.0));
        assert_eq!(Window::default().error_percent(), None);
    }
}
