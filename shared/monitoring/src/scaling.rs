//! Advice to take on more workers, or fewer (sources A12 and B9 of the product's requirements).

use domain::Minute;
use domain::ports::Queue;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Observations, Window, rounded};

/// Minutes looked at before more workers are advised.
const SAMPLES_UP: i64 = 5;
/// Minutes looked at before fewer are.
const SAMPLES_DOWN: i64 = 10;
/// Processors above this, with a queue that grows, want more.
const CPU_UP_PERCENT: f64 = 80.0;
/// Processors below this want fewer.
const CPU_DOWN_PERCENT: f64 = 30.0;
/// More messages waiting than this want more workers, whatever the processors.
const PENDING_UP: u64 = 200;
/// Fewer than this may want fewer.
const PENDING_DOWN: u64 = 50;
/// Messages that one worker should have before it.
const PENDING_PER_WORKER: u64 = 100;
/// A system with more errors than this is not made smaller.
const ERRORS_DOWN_PERCENT: f64 = 5.0;
/// Workers at least and at most.
const WORKERS: std::ops::RangeInclusive<u64> = 1..=100;
/// Where workers can be had, queues should be empty after this long.
const MINUTES_TO_CLEAR: f64 = 5.0;
/// Workers of which this share is busy could be more; of others there are enough.
const BUSY_SHARE: f64 = 0.8;
/// Name of the queue whose messages the workers take.
pub(crate) const CHUNKS: &str = Queue::Chunks.as_str();
/// No further advice for this long after one was given.
pub(crate) const COOL_DOWN: SignedDuration = SignedDuration::from_mins(5);

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Take on more workers.
    ScaleUp,
    /// Leave it as it is.
    Hold,
    /// Let workers go.
    ScaleDown,
}

/// The last advice that was not to hold; kept between looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAdvice {
    /// When.
    pub at: Timestamp,
    /// What.
    pub action: Action,
    /// To how many workers.
    pub workers: u64,
}

/// Advice with its reasons.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Advice {
    /// What to do.
    pub action: Action,
    /// Chunks under way: on average over the last minutes as processes saw it, or now as the queue does, whichever is more.
    pub workers: u64,
    /// How many there should be.
    pub advised_workers: u64,
    /// Why.
    pub reasons: Vec<String>,
    /// Minutes until the queues are empty at the present rate; null when nothing ends, or nothing waits.
    pub minutes_to_clear: Option<f64>,
    /// Until when no further advice is given.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub cool_down_until: Option<Timestamp>,
}

/// What to do now.
pub fn advise(observed: &Observations) -> Advice {
    let recent = observed.last(SAMPLES_UP);
    let workers = recent.sum.vitals.workers.mean();
    let chunks = observed.queues.iter().find(|queue| queue.name == CHUNKS);
    // A process that analyses one chunk sees one worker, however many processes there are.
    let workers = workers
        .map_or(1, |mean| mean.ceil() as u64)
        .max(chunks.map_or(1, |queue| queue.in_flight))
        .max(1);
    let minutes_to_clear = minutes_to_clear(observed, &recent);
    let (action, wanted, mut reasons) = match to_clear(observed, minutes_to_clear, workers) {
        Some((wanted, reasons)) => (Action::ScaleUp, wanted, reasons),
        None => wanted(observed, &recent, workers),
    };
    let cool_down_until = observed
        .last_advice
        .map(|last| last.at + COOL_DOWN)
        .filter(|until| *until > observed.now);
    let is_cooling = cool_down_until.is_some() && action != Action::Hold;
    if let (true, Some(last)) = (is_cooling, observed.last_advice) {
        reasons.push(format!(
            "{} workers were advised less than {} minutes ago: wait and see what comes of it",
            last.workers,
            COOL_DOWN.as_mins()
        ));
    }
    Advice {
        action: if is_cooling { Action::Hold } else { action },
        workers,
        advised_workers: if is_cooling { workers } else { wanted },
        reasons,
        minutes_to_clear,
        cool_down_until,
    }
}

/// Where somebody acts on advice: as many workers as empty the queues in time, if those that are allowed are busy and do not.
fn to_clear(
    observed: &Observations,
    minutes: Option<f64>,
    workers: u64,
) -> Option<(u64, Vec<String>)> {
    let applied = observed.applied.as_ref()?;
    let minutes = minutes.filter(|minutes| *minutes > MINUTES_TO_CLEAR)?;
    let allowed = applied.allowed as f64;
    if observed.pending() <= PENDING_UP || (workers as f64) < allowed * BUSY_SHARE {
        return None;
    }
    let wanted = (allowed * minutes / MINUTES_TO_CLEAR).ceil() as u64;
    let wanted = wanted.min(observed.backlog()).min(applied.most);
    let reasons = vec![
        format!(
            "the queues are empty in {minutes:.0} minutes at the present rate, later than in {MINUTES_TO_CLEAR:.0}"
        ),
        format!(
            "{workers} workers are busy of {} allowed at once",
            applied.allowed
        ),
    ];
    (wanted > applied.allowed).then_some((wanted, reasons))
}

fn wanted(observed: &Observations, recent: &Window, workers: u64) -> (Action, u64, Vec<String>) {
    let pending = observed.pending();
    let cpu = recent.sum.vitals.cpu_percent.mean();
    let growth = growth(observed);
    let by_queue = pending
        .div_ceil(PENDING_PER_WORKER)
        .clamp(*WORKERS.start(), *WORKERS.end());
    if let (Some(cpu), Some((from, to))) = (cpu, growth)
        && cpu > CPU_UP_PERCENT
        && to > from
    {
        let reasons = vec![
            format!("the processors are {cpu:.0} % busy over {SAMPLES_UP} minutes"),
            format!("the queues grew from {from:.0} to {to:.0} messages"),
        ];
        let wanted = by_queue.max(workers + 1).min(*WORKERS.end());
        return (Action::ScaleUp, wanted, reasons);
    }
    if pending > PENDING_UP && by_queue > workers {
        let reason = format!(
            "{pending} messages wait, more than {PENDING_UP}; a worker should have {PENDING_PER_WORKER} before it"
        );
        return (Action::ScaleUp, by_queue, vec![reason]);
    }
    let long = observed.last(SAMPLES_DOWN);
    let is_idle = long
        .sum
        .vitals
        .cpu_percent
        .mean()
        .is_some_and(|cpu| cpu < CPU_DOWN_PERCENT);
    let has_few_errors = long
        .error_percent()
        .is_none_or(|share| share < ERRORS_DOWN_PERCENT);
    let fewer = by_queue.max(*WORKERS.start());
    if pending < PENDING_DOWN && is_idle && has_few_errors && fewer < workers {
        let cpu = long.sum.vitals.cpu_percent.mean().unwrap_or_default();
        let reasons = vec![
            format!("the processors are {cpu:.0} % busy over {SAMPLES_DOWN} minutes"),
            format!("{pending} messages wait, fewer than {PENDING_DOWN}"),
        ];
        return (Action::ScaleDown, fewer, reasons);
    }
    (
        Action::Hold,
        workers,
        vec![format!("{pending} messages wait")],
    )
}

/// Messages waiting at the beginning and at the end of the last minutes; `None` without two samples.
fn growth(observed: &Observations) -> Option<(f64, f64)> {
    let sampled = |(_, delta): &(Minute, Option<&domain::KpiDelta>)| {
        delta.and_then(|delta| delta.vitals.pending.mean())
    };
    let series = observed.series(SAMPLES_UP);
    let mut samples = series.iter().filter_map(sampled);
    let first = samples.next()?;
    Some((first, samples.next_back()?))
}

fn minutes_to_clear(observed: &Observations, recent: &Window) -> Option<f64> {
    let parts = recent.sum.parts as f64 / recent.active_minutes.max(1) as f64;
    let backlog = observed.backlog();
    (parts > 0.0 && backlog > 0).then(|| rounded(backlog as f64 / parts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::QueueNow;
    use crate::observations::tests::at_minute_1000;
    use domain::{Gauge, KpiDelta};

    fn sampled(cpu: u64, pending: u64, workers: u64) -> KpiDelta {
        let mut delta = KpiDelta::default();
        delta.vitals.cpu_percent = Gauge::of(cpu);
        delta.vitals.pending = Gauge::of(pending);
        delta.vitals.workers = Gauge::of(workers);
        delta
    }

    fn observed(samples: Vec<KpiDelta>, pending: u64) -> Observations {
        let first = 1_001 - samples.len() as i64;
        let minutes = (first..).zip(samples).collect();
        let mut observed = at_minute_1000(minutes);
        observed.queues.push(QueueNow {
            name: "chunks",
            pending,
            in_flight: 0,
            dead: 0,
        });
        observed
    }

    #[test]
    fn busy_processors_and_a_growing_queue_want_more() {
        let samples = (0..5)
            .map(|minute| sampled(90, 100 + 10 * minute, 2))
            .collect();
        let advice = advise(&observed(samples, 150));
        assert_eq!(advice.action, Action::ScaleUp);
        assert_eq!((advice.workers, advice.advised_workers), (2, 3));
        assert_eq!(advice.reasons.len(), 2);
    }

    #[test]
    fn busy_processors_with_a_shrinking_queue_are_as_they_should_be() {
        let samples = (0..5)
            .map(|minute| sampled(95, 150 - 10 * minute, 2))
            .collect();
        assert_eq!(advise(&observed(samples, 110)).action, Action::Hold);
    }

    #[test]
    fn a_long_queue_wants_a_worker_for_every_hundred_messages() {
        let samples = (0..5).map(|_| sampled(50, 1_000, 3)).collect();
        let advice = advise(&observed(samples, 1_050));
        assert_eq!(
            (advice.action, advice.advised_workers),
            (Action::ScaleUp, 11)
        );
    }

    #[test]
    fn an_idle_system_wants_fewer_unless_it_has_errors() {
        let idle = || (0..10).map(|_| sampled(5, 0, 8)).collect::<Vec<_>>();
        let advice = advise(&observed(idle(), 0));
        assert_eq!(
            (advice.action, advice.advised_workers),
            (Action::ScaleDown, 1)
        );
        let mut failing = idle();
        failing[9]
            .counters
            .add_row(domain::Outcome::Timeout, &[], 1, None, None);
        assert_eq!(advise(&observed(failing, 0)).action, Action::Hold);
    }

    #[test]
    fn no_further_advice_is_given_during_the_cool_down() {
        let samples = (0..5).map(|_| sampled(50, 1_000, 3)).collect();
        let mut observed = observed(samples, 1_050);
        let last = |ago: i64| LastAdvice {
            at: observed.now - SignedDuration::from_mins(ago),
            action: Action::ScaleUp,
            workers: 11,
        };
        let (recent, old) = (last(4), last(6));
        observed.last_advice = Some(recent);
        let advice = advise(&observed);
        assert_eq!((advice.action, advice.advised_workers), (Action::Hold, 3));
        assert!(advice.cool_down_until.is_some());
        observed.last_advice = Some(old);
        assert_eq!(advise(&observed).action, Action::ScaleUp);
    }
}
