use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use domain::ports::Clock;
use jiff::Timestamp;

/// A clock that stands still until it is told to go on. Whole milliseconds.
#[derive(Debug)]
pub struct ManualClock {
    milliseconds: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn at(start: Timestamp) -> Self {
        Self {
            milliseconds: AtomicI64::new(start.as_millisecond()),
        }
    }

    /// Moves it on.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap();
        self.milliseconds.fetch_add(by, Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    /// Noon of the first day of 2026, UTC.
    fn default() -> Self {
        Self::at("2026-01-01T12:00:00Z".parse().unwrap())
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.milliseconds.load(Ordering::SeqCst)).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::default();
        let start = clock.now();
        assert_eq!(clock.now(), start);
        clock.advance(Duration::from_millis(1_500));
        assert_eq!(clock.now().duration_since(start).as_millis(), 1_500);
    }
}
