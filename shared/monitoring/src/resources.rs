//! What the processes stand on: processors and memory, the database, caches.

use serde::Serialize;

use crate::applied::AppliedScaling;
use crate::performance::Latency;
use crate::scaling::{Advice, advise};
use crate::{HOUR_MINUTES, NOW_MINUTES, Observations, rounded};

/// Bounds that the process that answers works within. `None` where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Limits {
    /// Processors.
    pub processors: Option<u64>,
    /// Resident size of a process, in MiB.
    pub memory_mb: Option<u64>,
    /// Chunks under way at once.
    pub workers: Option<u64>,
    /// Requests to hosts under way at once, in one process.
    pub concurrent_requests: Option<u64>,
    /// Requests to one host under way at once, in one process.
    pub concurrent_requests_per_host: Option<u64>,
}

/// `GET /api/v1/monitoring/system`. Means over the last five minutes; null where nothing was sampled.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct System {
    /// How busy the processors are, in percent of all of them.
    pub cpu_percent: Option<f64>,
    /// Resident size of a process, in MiB.
    pub memory_mb: Option<f64>,
    /// The same in percent of what it may take.
    pub memory_percent: Option<f64>,
    /// Chunks under way.
    pub active_workers: Option<f64>,
    /// Messages that wait, now.
    pub pending: u64,
    /// Messages being worked on, now.
    pub in_flight: u64,
    /// Messages in dead-letter queues, now.
    pub dead_letters: u64,
    /// The bounds.
    pub limits: Limits,
    /// Whether more or fewer workers would be better.
    pub scaling: Advice,
    /// What is done with that advice: the range, what is allowed now, the last changes with their reasons; null where nobody acts on it.
    pub scaling_applied: Option<AppliedScaling>,
}

/// Processors, memory and workers.
pub fn system(observed: &Observations, limits: Limits) -> System {
    let vitals = observed.last(NOW_MINUTES).sum.vitals;
    let mean = |gauge: domain::Gauge| gauge.mean().map(rounded);
    System {
        cpu_percent: mean(vitals.cpu_percent),
        memory_mb: mean(vitals.memory_mb),
        memory_percent: mean(vitals.memory_percent),
        active_workers: mean(vitals.workers),
        pending: observed.pending(),
        in_flight: observed.queues.iter().map(|queue| queue.in_flight).sum(),
        dead_letters: observed.dead_letters(),
        limits,
        scaling: advise(observed),
        scaling_applied: observed.applied.clone(),
    }
}

/// `GET /api/v1/monitoring/database`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Database {
    /// The last five minutes.
    pub now: DatabaseFigures,
    /// The last hour.
    pub last_hour: DatabaseFigures,
}

/// Calls to the database in some minutes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DatabaseFigures {
    /// Calls.
    pub calls: u64,
    /// Calls without an answer.
    pub failed: u64,
    /// Calls that were told to slow down.
    pub throttled: u64,
    /// Attempts beyond the first of each call.
    pub retried: u64,
    /// From the question to the answer.
    pub latency: Latency,
}

/// Calls to the database.
pub fn database(observed: &Observations) -> Database {
    let of = |minutes| {
        let stats = observed.last(minutes).sum.vitals.database;
        DatabaseFigures {
            calls: stats.calls,
            failed: stats.failed,
            throttled: stats.throttled,
            retried: stats.retried,
            latency: Latency::of_calls(&stats),
        }
    };
    Database {
        now: of(NOW_MINUTES),
        last_hour: of(HOUR_MINUTES),
    }
}

/// `GET /api/v1/monitoring/cache`, of the last hour.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Cache {
    /// Share of all questions that a cache answered, in percent; null when nothing was asked.
    pub hit_percent: Option<f64>,
    /// What the answers would have cost, in US dollars.
    pub saved_usd: f64,
    /// Level by level.
    pub levels: Vec<CacheLevel>,
    /// Rows whose URL stands in an earlier row: never fetched again.
    pub repeated_urls: u64,
}

/// One level.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CacheLevel {
    /// Its name.
    pub level: String,
    /// Answers from it.
    pub hits: u64,
    /// Questions that it could not answer.
    pub misses: u64,
    /// Share of its questions that it answered, in percent.
    pub hit_percent: Option<f64>,
    /// Bytes of its answers.
    pub bytes: u64,
    /// What its answers would have cost, in US dollars.
    pub saved_usd: f64,
}

/// What caches answered.
pub fn cache(observed: &Observations) -> Cache {
    let hour = observed.last(HOUR_MINUTES);
    let usd = |micro: u64| micro as f64 / 1e6;
    let caches = &hour.sum.vitals.caches;
    let levels = caches.iter().map(|(level, stats)| {
        let questions = stats.hits + stats.misses;
        CacheLevel {
            level: level.clone(),
            hits: stats.hits,
            misses: stats.misses,
            hit_percent: (questions > 0)
                .then(|| rounded(stats.hits as f64 * 100.0 / questions as f64)),
            bytes: stats.bytes,
            saved_usd: usd(stats.saved_micro_usd),
        }
    });
    Cache {
        hit_percent: hour.cache_hit_percent().map(rounded),
        saved_usd: usd(caches.values().map(|stats| stats.saved_micro_usd).sum()),
        levels: levels.collect(),
        repeated_urls: hour.sum.counters.outcome(domain::Outcome::DuplicateUrl),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observations::tests::at_minute_1000;
    use domain::{CacheStats, Gauge, KpiDelta};

    #[test]
    fn the_share_of_hits_counts_a_question_once_whatever_level_answers() {
        let mut delta = KpiDelta::default();
        let stats = |hits, misses| CacheStats {
            hits,
            misses,
            saved_micro_usd: 500_000,
            ..CacheStats::default()
        };
        // 100 questions: memory answers 60, the disk 20 of the rest.
        let caches = [("memory", stats(60, 40)), ("disk", stats(20, 20))];
        delta.vitals.caches = caches
            .map(|(level, stats)| (level.to_owned(), stats))
            .into();
        let cache = cache(&at_minute_1000(vec![(990, delta)]));
        assert_eq!(cache.hit_percent, Some(80.0));
        assert!((cache.saved_usd - 1.0).abs() < 1e-9);
        assert_eq!(cache.levels[1].hit_percent, Some(60.0));
    }

    #[test]
    fn what_was_not_sampled_is_null() {
        let idle = system(&at_minute_1000(vec![]), Limits::default());
        assert_eq!((idle.cpu_percent, idle.active_workers), (None, None));
        let mut delta = KpiDelta::default();
        delta.vitals.cpu_percent += Gauge::of(40);
        delta.vitals.cpu_percent += Gauge::of(60);
        let busy = system(&at_minute_1000(vec![(1_000, delta)]), Limits::default());
        assert_eq!(busy.cpu_percent, Some(50.0));
    }
}
