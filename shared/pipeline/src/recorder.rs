//! What this process sees of itself: counted in memory, added to the minute's row from time to time.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::ports::{Call, CallEnd, CallObserver, MonitoringStore};
use domain::{KpiDelta, Minute, Vitals};
use parking_lot::Mutex;

use crate::sweep::Swept;
use crate::{PipelineResult, Ports};

/// Operations that take longer are named in the log (source E3 of the product's requirements).
pub const SLOW: Duration = Duration::from_secs(1);

/// Counts; cheap to write to from anywhere.
#[derive(Debug, Default)]
pub struct Recorder {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Not yet in the store.
    pending: Vitals,
    /// Since the process started.
    totals: KpiDelta,
    /// The last sample of each gauge.
    last: Vitals,
    /// What sweeps did, by kind.
    repairs: BTreeMap<&'static str, u64>,
    /// The last minute that was asked about with [`Recorder::is_first_of`].
    minute: i64,
}

impl Recorder {
    /// A request to the API ended.
    pub fn api(&self, elapsed: Duration, is_failed: bool, is_throttled: bool) {
        let milliseconds = elapsed.as_millis() as u64;
        self.each(|vitals| {
            vitals.api.calls += 1;
            vitals.api.failed += u64::from(is_failed);
            vitals.api.throttled += u64::from(is_throttled);
            vitals.api.elapsed_ms += milliseconds;
            vitals.api.latency.record(milliseconds);
        });
    }

    /// Others of this process counted something: caches, keys.
    pub fn add(&self, news: &Vitals) {
        self.each(|vitals| *vitals += news);
    }

    /// Gauges were sampled; what else is in `sample` is added, too.
    pub fn sample(&self, sample: &Vitals) {
        let mut inner = self.inner.lock();
        inner.pending += sample;
        inner.last = sample.clone();
    }

    /// Indicators of a part were added to the store.
    pub fn part(&self, delta: &KpiDelta) {
        let mut sum = delta.clone();
        sum.hosts.clear();
        // Counted when they were seen, if this process saw them.
        sum.vitals = Vitals::default();
        self.inner.lock().totals += &sum;
    }

    /// A sweep did something.
    pub fn swept(&self, swept: &Swept) {
        let mut inner = self.inner.lock();
        for (kind, count) in swept.kinds() {
            *inner.repairs.entry(kind).or_default() += count;
        }
    }

    /// What sweeps did since the process started, by kind.
    pub fn repairs(&self) -> BTreeMap<&'static str, u64> {
        self.inner.lock().repairs.clone()
    }

    /// Whether nobody asked about this minute or a later one before.
    pub fn is_first_of(&self, minute: i64) -> bool {
        let mut inner = self.inner.lock();
        let is_first = inner.minute < minute;
        inner.minute = inner.minute.max(minute);
        is_first
    }

    /// What is not yet in the store; the caller puts it there.
    pub fn drain(&self) -> Vitals {
        std::mem::take(&mut self.inner.lock().pending)
    }

    /// What was drained did not get into the store.
    pub fn put_back(&self, drained: &Vitals) {
        self.inner.lock().pending += drained;
    }

    /// Everything since the process started, and the last samples.
    pub fn totals(&self) -> (KpiDelta, Vitals) {
        let inner = self.inner.lock();
        (inner.totals.clone(), inner.last.clone())
    }

    /// Adds what is not yet in the store to the running minute. What a store refuses is counted with the next minute.
    pub async fn flush(
        &self,
        ports: &Ports,
        monitoring: &dyn MonitoringStore,
    ) -> PipelineResult<()> {
        let vitals = self.drain();
        if vitals.is_empty() {
            return Ok(());
        }
        let minute = Minute::of(ports.clock.now());
        let added = monitoring.add_vitals(minute, &vitals).await;
        if added.is_err() {
            self.put_back(&vitals);
        }
        Ok(added?)
    }

    fn each(&self, count: impl Fn(&mut Vitals)) {
        let mut inner = self.inner.lock();
        count(&mut inner.pending);
        count(&mut inner.totals.vitals);
    }
}

impl CallObserver for Recorder {
    fn called(&self, call: Call<'_>) {
        let milliseconds = call.elapsed.as_millis() as u64;
        if call.elapsed > SLOW {
            tracing::warn!(
                db.operation = call.operation,
                db.elapsed_ms = milliseconds,
                db.attempts = call.attempts,
                "slow operation"
            );
        }
        self.each(|vitals| {
            vitals.database.calls += 1;
            vitals.database.failed += u64::from(call.end == CallEnd::Failed);
            vitals.database.throttled += u64::from(call.end == CallEnd::Throttled);
            vitals.database.retried += u64::from(call.attempts.saturating_sub(1));
            vitals.database.elapsed_ms += milliseconds;
            vitals.database.latency.record(milliseconds);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_call(milliseconds: u64, attempts: u32, end: CallEnd) -> Call<'static> {
        Call {
            operation: "read batch",
            elapsed: Duration::from_millis(milliseconds),
            attempts,
            end,
        }
    }

    #[test]
    fn what_was_drained_is_not_drained_again_and_stays_in_the_totals() {
        let recorder = Recorder::default();
        recorder.called(a_call(5, 3, CallEnd::Answered));
        recorder.called(a_call(5, 1, CallEnd::Throttled));
        recorder.api(Duration::from_millis(7), true, false);
        let mut news = Vitals::default();
        let memory = news.caches.entry("memory".to_owned()).or_default();
        (memory.hits, memory.misses, memory.bytes) = (1, 1, 100);
        recorder.add(&news);
        let drained = recorder.drain();
        assert_eq!((drained.database.calls, drained.database.retried), (2, 2));
        assert_eq!((drained.database.throttled, drained.api.failed), (1, 1));
        let memory = drained.caches["memory"];
        assert_eq!((memory.hits, memory.misses, memory.bytes), (1, 1, 100));
        assert!(recorder.drain().is_empty());
        assert_eq!(recorder.totals().0.vitals.database.calls, 2);
    }
}
