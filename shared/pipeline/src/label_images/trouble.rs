//! Whether it is any use to ask a provider at all: an address or a model that does not exist must not be told to every image in turn.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// Nobody is asked for so long after a provider turned out to be asked in the wrong way.
const PAUSE: Duration = Duration::from_secs(60);
/// A provider that refused so many questions, and answered none yet, is asked in the wrong way.
const REFUSED_IN_VAIN: u32 = 10;

/// What one process has seen of its provider.
#[derive(Default)]
pub(super) struct Trouble {
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// From then on the way of asking is known to be right, and what is refused is refused for what it is.
    has_answered: bool,
    refused: u32,
    stopped: Option<(Timestamp, String)>,
}

impl Trouble {
    /// The provider answered a question.
    pub(super) fn answered(&self) {
        self.seen().has_answered = true;
    }

    /// The provider refused a question. Whether that can be held against the image.
    pub(super) fn refused(&self, reason: &str, now: Timestamp) -> bool {
        let mut seen = self.seen();
        if seen.has_answered {
            return true;
        }
        seen.refused += 1;
        if seen.refused >= REFUSED_IN_VAIN {
            drop(seen);
            self.stop(reason, now);
        }
        false
    }

    /// The provider cannot be asked like this.
    pub(super) fn stop(&self, reason: &str, now: Timestamp) {
        tracing::error!(reason, "the provider cannot be asked like this");
        let mut seen = self.seen();
        seen.refused = 0;
        seen.stopped = Some((now + PAUSE, reason.to_owned()));
    }

    /// Why nobody is to be asked now.
    pub(super) fn reason(&self, now: Timestamp) -> Option<String> {
        let seen = self.seen();
        let (until, reason) = seen.stopped.as_ref()?;
        (now < *until).then(|| reason.clone())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_that_only_refuses_is_left_alone_for_a_while() {
        let trouble = Trouble::default();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        for _ in 1..REFUSED_IN_VAIN {
            assert!(!trouble.refused("no such format", now));
            assert_eq!(trouble.reason(now), None);
        }
        assert!(!trouble.refused("no such format", now));
        assert_eq!(trouble.reason(now).as_deref(), Some("no such format"));
        assert_eq!(trouble.reason(now + PAUSE), None);
    }

    #[test]
    fn a_provider_that_has_answered_refuses_images_for_what_they_are() {
        let trouble = Trouble::default();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        trouble.answered();
        for _ in 0..100 {
            assert!(trouble.refused("not for the general public", now));
        }
        assert_eq!(trouble.reason(now), None);
    }
}
