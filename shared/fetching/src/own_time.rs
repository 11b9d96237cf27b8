//! Time of a request that was ours and not the host's: it waits for memory or for its turn at the name servers. Deadlines are about
//! hosts, and move on by as much.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

/// A deadline that moves on while we wait for ourselves is looked at again after this long at the earliest.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Adds up the waits of one request. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnTime(Arc<Mutex<Waits>>);

#[derive(Debug, Default)]
struct Waits {
    ended: Duration,
    since: Option<Instant>,
}

/// A wait under way; ended when dropped, as a request that is given up ends it.
struct Wait<'a>(&'a OwnTime);

impl OwnTime {
    /// Waits for `future`, which is not the host's to hasten.
    pub(crate) async fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.lock().since = Some(Instant::now());
        let _wait = Wait(self);
        future.await
    }

    /// How long so far, a wait under way included.
    pub(crate) fn so_far(&self) -> Duration {
        let waits = self.0.lock();
        waits.ended + waits.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Runs `future` until `deadline`, which moves on by our own time; `None` if it did not end. `last` does not move.
    pub(crate) async fn run_until<T>(
        &self,
        deadline: Instant,
        last: Option<Instant>,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let before = self.so_far();
        let bounded = |at: Instant| last.map_or(at, |last| at.min(last));
        let mut future = std::pin::pin!(future);
        let mut until = bounded(deadline);
        loop {
            if let Ok(output) = timeout_at(until, future.as_mut()).await {
                return Some(output);
            }
            let moved = bounded(deadline + self.so_far().saturating_sub(before));
            let now = Instant::now();
            if moved <= now || last.is_some_and(|last| last <= now) {
                return None;
            }
            until = bounded(moved.max(now + LOOK_AGAIN_AFTER));
        }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut waits = self.0.0.lock();
        if let Some(since) = waits.since.take() {
            waits.ended += since.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_deadline_moves_on_while_we_wait_for_ourselves() {
        let own = OwnTime::default();
        let began = Instant::now();
        let request = async {
            own.wait(sleep(10 * SECOND)).await;
            sleep(SECOND).await;
        };
        let ended = own.run_until(began + 2 * SECOND, None, request).await;
        assert!(ended.is_some());
        assert_eq!(own.so_far(), 10 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_not_move_for_the_host() {
        let own = OwnTime::default();
        let began = Instant::now();
        let request = async {
            own.wait(sleep(3 * SECOND)).await;
            sleep(20 * SECOND).await;
        };
        let ended = own.run_until(began + 5 * SECOND, None, request).await;
        assert!(ended.is_none());
        assert_eq!(began.elapsed().as_secs(), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn the_callers_time_does_not_move() {
        let own = OwnTime::default();
        let began = Instant::now();
        let last = began + 4 * SECOND;
        let request = own.wait(sleep(60 * SECOND));
        assert!(
            own.run_until(began + SECOND, Some(last), request)
                .await
                .is_none()
        );
        assert_eq!(began.elapsed().as_secs(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_given_up_has_ended() {
        let own = OwnTime::default();
        let wait = own.wait(sleep(9 * SECOND));
        let given_up = tokio::time::timeout(SECOND, wait).await;
        assert!(given_up.is_err());
        sleep(SECOND).await;
        assert_eq!(own.so_far(), SECOND);
    }
}
