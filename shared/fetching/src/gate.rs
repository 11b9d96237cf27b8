//! How many requests a host gets at once: as many as allowed at first, half as many each time it says that it is too many
//! (additive increase, multiplicative decrease, as in RFC 5681).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::hosts::Host;

/// Pause of the whole host after its first complaint; doubles with each further one until it serves something again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(30);

pub(crate) struct Gate {
    max: usize,
    state: Mutex<State>,
    freed: Notify,
}

struct State {
    in_flight: usize,
    /// Requests allowed at once; its fraction is progress towards the next whole one.
    allowed: f64,
    complaints: u32,
    paused_until: Option<Instant>,
}

/// Permission for one request to a host; gives it back when dropped.
pub(crate) struct Turn(Arc<Host>);

impl Gate {
    /// Complaints in a row, nothing served in between, from which on they are taken to be about us and not about a URL.
    pub(crate) const SERIOUS_COMPLAINTS: u32 = 3;

    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            state: Mutex::new(State {
                in_flight: 0,
                allowed: max as f64,
                complaints: 0,
                paused_until: None,
            }),
            freed: Notify::new(),
        }
    }

    /// Waits for a turn at `host`. Callers are served in the order they came.
    pub(crate) async fn enter(host: &Arc<Host>) -> Turn {
        let gate = &host.gate;
        loop {
            let mut freed = std::pin::pin!(gate.freed.notified());
            // Registered before the check, so that a turn given back in between is not missed.
            freed.as_mut().enable();
            let entry = gate.state.lock().try_enter();
            match entry {
                Entry::Open => return Turn(Arc::clone(host)),
                Entry::Full => {}
                Entry::Paused(until) => {
                    sleep_until(until).await;
                    continue;
                }
            }
            freed.await;
        }
    }

    /// The host served something, whatever it was.
    pub(crate) fn note_served(&self) {
        let mut state = self.state.lock();
        state.complaints = 0;
        let before = state.allowed as usize;
        state.allowed = (state.allowed + 1.0 / state.allowed).min(self.max as f64);
        let grew = state.allowed as usize > before;
        drop(state);
        if grew {
            self.freed.notify_one();
        }
    }

    /// The host said that it gets too many requests, and perhaps how long to wait. Returns how often it did so in a row.
    pub(crate) fn note_complaint(&self, retry_after: Option<Duration>) -> u32 {
        let mut state = self.state.lock();
        let now = Instant::now();
        if state.paused_until.is_some_and(|until| until > now) {
            // One of the requests that were under way at the first complaint: the same complaint.
            return state.complaints;
        }
        state.allowed = (state.allowed / 2.0).max(1.0);
        let pause = (FIRST_PAUSE * 2_u32.saturating_pow(state.complaints)).min(MAX_PAUSE);
        state.complaints = (state.complaints + 1).min(16);
        // A single complaint may be about a single URL, so that a long wait is not imposed on the host's other URLs at once.
        let pause = retry_after.map_or(pause, |told| told.min(pause));
        state.paused_until = Some(now + pause);
        state.complaints
    }
}

enum Entry {
    Open,
    Full,
    Paused(Instant),
}

impl State {
    fn try_enter(&mut self) -> Entry {
        if let Some(until) = self.paused_until {
            if until > Instant::now() {
                return Entry::Paused(until);
            }
            self.paused_until = None;
        }
        if self.in_flight >= self.allowed as usize {
            return Entry::Full;
        }
        self.in_flight += 1;
        Entry::Open
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let gate = &self.0.gate;
        gate.state.lock().in_flight -= 1;
        gate.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use domain::Limits;
    use tokio::time::{advance, timeout};

    use super::*;
    use crate::TargetUrl;
    use crate::hosts::Hosts;

    fn host(max_concurrent: usize) -> Arc<Host> {
        let url = TargetUrl::parse("http://example.com/", &Limits::default()).unwrap();
        Hosts::new(max_concurrent).of(&url)
    }

    /// All the turns that can be had right now.
    async fn turns(host: &Arc<Host>) -> Vec<Turn> {
        let mut turns = Vec::new();
        while let Ok(turn) = timeout(Duration::ZERO, Gate::enter(host)).await {
            turns.push(turn);
        }
        turns
    }

    #[tokio::test(start_paused = true)]
    async fn each_complaint_halves_the_turns_down_to_one_and_pauses_longer() {
        let host = host(8);
        let mut longest = Duration::ZERO;
        for expected in [4, 2, 1, 1] {
            host.gate.note_complaint(None);
            // Requests under way complain as well; that is the same complaint.
            host.gate.note_complaint(None);
            assert_eq!(turns(&host).await.len(), 0, "paused");
            let began = Instant::now();
            drop(Gate::enter(&host).await);
            assert!(began.elapsed() > longest);
            longest = began.elapsed();
            assert_eq!(turns(&host).await.len(), expected);
        }
        assert!(longest >= FIRST_PAUSE * 8);
    }

    #[tokio::test(start_paused = true)]
    async fn turns_come_back_one_by_one_while_the_host_serves() {
        let host = host(4);
        host.gate.note_complaint(None);
        host.gate.note_complaint(None);
        advance(FIRST_PAUSE).await;
        assert_eq!(turns(&host).await.len(), 2);
        for (served, expected) in [(3, 3), (4, 4), (50, 4)] {
            for _ in 0..served {
                host.gate.note_served();
            }
            assert_eq!(turns(&host).await.len(), expected, "after {served} more");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_retry_after_shortens_the_pause_and_a_long_one_takes_effect_bit_by_bit() {
        let host = host(1);
        for (told, expected) in [(0, 0), (60, 200), (60, 400), (60, 800), (1, 1000)] {
            host.gate.note_complaint(Some(Duration::from_secs(told)));
            let began = Instant::now();
            drop(Gate::enter(&host).await);
            let waited = began.elapsed().as_millis();
            assert!(
                (expected..expected + 5).contains(&waited),
                "{waited} ms, not {expected} ms"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_given_back_goes_to_who_waited_longest() {
        let host = host(1);
        let turn = Gate::enter(&host).await;
        let order: Arc<Mutex<Vec<u32>>> = Arc::default();
        let waiting: Vec<_> = (0..5)
            .map(|number| {
                let (host, order) = (Arc::clone(&host), Arc::clone(&order));
                tokio::spawn(async move {
                    let _turn = Gate::enter(&host).await;
                    order.lock().push(number);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        drop(turn);
        for task in waiting {
            task.await.unwrap();
        }
        assert_eq!(*order.lock(), [0, 1, 2, 3, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_that_gives_up_does_not_take_a_turn_with_it() {
        let host = host(1);
        let turn = Gate::enter(&host).await;
        assert!(
            timeout(Duration::from_secs(1), Gate::enter(&host))
                .await
                .is_err()
        );
        drop(turn);
        assert_eq!(turns(&host).await.len(), 1);
    }
}
