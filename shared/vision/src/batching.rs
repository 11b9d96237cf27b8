//! How many images go into one call, where a provider takes several: as many as keep its answers quick.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tuning::{Change, KnobName};

/// Slower answers mean fewer images …
const SLOW: Duration = Duration::from_secs(2);
/// … quicker ones more …
const QUICK: Duration = Duration::from_millis(500);
/// … by so many …
const STEP: usize = 5;
/// … within these bounds.
const LEAST: usize = 10;
const MOST: usize = 50;

/// Images in a call, by the time that calls take. May be shared.
#[derive(Debug)]
pub struct AdaptiveBatch {
    size: AtomicUsize,
    max: usize,
}

impl AdaptiveBatch {
    /// For a provider that takes up to `max` images.
    pub fn new(max: usize) -> Self {
        let max = max.clamp(1, MOST);
        Self {
            size: AtomicUsize::new(LEAST.min(max)),
            max,
        }
    }

    /// Images for the next call.
    pub fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// Takes in how long a call took. Says what changed with it, if anything did.
    pub fn record(&self, latency: Duration) -> Option<Change> {
        let adapted = |size: usize| {
            if latency > SLOW {
                size.saturating_sub(STEP).max(LEAST.min(self.max))
            } else if latency < QUICK {
                (size + STEP).min(self.max)
            } else {
                size
            }
        };
        let updated = self
            .size
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |size| {
                let to = adapted(size);
                (to != size).then_some(to)
            });
        let from = updated.ok()?;
        let (side, bound) = if latency > SLOW {
            ("more", SLOW)
        } else {
            ("less", QUICK)
        };
        let (took, bound) = (latency.as_secs_f64(), bound.as_secs_f64());
        Some(Change {
            knob: KnobName::BatchSize,
            from: from as u64,
            to: adapted(from) as u64,
            reason: format!("an answer took {took:.1} s, {side} than {bound} s"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_grows_with_quick_answers_and_shrinks_with_slow_ones() {
        let batch = AdaptiveBatch::new(32);
        let mut sizes = vec![batch.size()];
        for milliseconds in [
            100, 499, 500, 2_000, 100, 100, 100, 2_001, 3_000, 3_000, 3_000, 3_000,
        ] {
            batch.record(Duration::from_millis(milliseconds));
            sizes.push(batch.size());
        }
        assert_eq!(sizes, [10, 15, 20, 20, 20, 25, 30, 32, 27, 22, 17, 12, 10]);
    }

    #[test]
    fn every_change_has_its_reason() {
        let batch = AdaptiveBatch::new(12);
        let grown = batch.record(Duration::from_millis(120)).unwrap();
        assert_eq!((grown.from, grown.to), (10, 12));
        assert_eq!(grown.reason, "an answer took 0.1 s, less than 0.5 s");
        assert_eq!(
            batch.record(Duration::from_millis(120)),
            None,
            "at its most"
        );
        let shrunk = batch.record(Duration::from_millis(2_300)).unwrap();
        assert_eq!((shrunk.from, shrunk.to), (12, 10));
        assert_eq!(shrunk.reason, "an answer took 2.3 s, more than 2 s");
    }

    #[test]
    fn a_provider_that_takes_one_image_gets_one() {
        let batch = AdaptiveBatch::new(1);
        for milliseconds in [1, 5_000, 1] {
            batch.record(Duration::from_millis(milliseconds));
            assert_eq!(batch.size(), 1);
        }
    }
}
