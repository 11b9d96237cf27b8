//! How many requests a host gets at once: as many as allowed at first, half as many each time it says that it is too many
//! (additive increase, multiplicative decrease, as in RFC 5681). And how far apart their beginnings have to be, for hosts with a pace.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{MutexGuard, Notify};
use tokio::time::{Instant, sleep_until};

use crate::hosts::Host;

/// Pause of the whole host after its first complaint; doubles with each further one until it serves something again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const MAX_PAUSE: Duration = Duration::from_secs(30);

pub(crate) struct Gate {
    max: usize,
    min_interval: Duration,
    state: Mutex<State>,
    freed: Notify,
    pace: tokio::sync::Mutex<PaceState>,
}

/// When a host with a pace may get its next request.
#[derive(Default)]
struct PaceState {
    next: Option<Instant>,
}

/// The right to begin the next request to a host with a pace. The others wait for it in line.
pub(crate) struct Pace<'a> {
    state: MutexGuard<'a, PaceState>,
    interval: Duration,
}

struct State {
    /// Least time between the beginnings of two requests.
    interval: Duration,
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

    pub(crate) fn new(max: usize, min_interval: Duration) -> Self {
        Self {
            max,
            min_interval,
            state: Mutex::new(State {
                interval: min_interval,
                in_flight: 0,
                allowed: max as f64,
                complaints: 0,
                paused_until: None,
            }),
            freed: Notify::new(),
            pace: tokio::sync::Mutex::default(),
        }
    }

    /// Has the beginnings of two requests lie at least `interval` apart from now on, and never less than configured.
    pub(crate) fn ask_interval(&self, interval: Duration) {
        self.state.lock().interval = interval.max(self.min_interval);
    }

    /// Waits until the next request may begin; nothing at once for a host without a pace. Callers are served in the order they came.
    pub(crate) async fn keep_pace(&self) -> Option<Pace<'_>> {
        let interval = self.state.lock().interval;
        if interval.is_zero() {
            return None;
        }
        let state = self.pace.lock().await;
        if let Some(next) = state.next {
            sleep_until(next).await;
        }
        Some(Pace { state, interval })
    }

    /// Waits for a turn at `host`. Callers are served in the order they came.
    pub(crate) async fn enter(host: &Arc<Host>) -> Turn {
        let gate = &host.gate;
        // Mostly a turn is free.
        if matches!(gate.state.lock().try_enter(), Entry::Open { .. }) {
            return Turn(Arc::clone(host));
        }
        let mut woken = Woken::not_yet(&gate.freed);
        loop {
            let mut freed = std::pin::pin!(gate.freed.notified());
            // Registered before the check, so that a turn given back in between is not missed.
            freed.as_mut().enable();
            let entry = gate.state.lock().try_enter();
            match entry {
                Entry::Open { is_room_left } => {
                    woken.is_to_pass_on = is_room_left;
                    return Turn(Arc::clone(host));
                }
                // Whoever has a turn wakes the next one when it gives it back.
                Entry::Full => woken.is_to_pass_on = false,
                Entry::Paused(until) => {
                    woken.is_to_pass_on = true;
                    sleep_until(until).await;
                    continue;
                }
            }
            freed.await;
            woken.is_to_pass_on = true;
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

    /// The host said that it grants no further request for this long: nobody asks it until then.
    pub(crate) fn note_quota_used_up(&self, reset_in: Duration) {
        let mut state = self.state.lock();
        let until = Instant::now() + reset_in.min(MAX_PAUSE);
        state.paused_until = state.paused_until.max(Some(until));
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

impl Pace<'_> {
    /// The request begins now.
    pub(crate) fn begin(mut self) {
        self.state.next = Some(Instant::now() + self.interval);
    }
}

/// Wakes the next in line when dropped, if that has to happen: one that was woken and gives up, or leaves room for more, must not be
/// the last to have heard of it.
struct Woken<'a> {
    freed: &'a Notify,
    is_to_pass_on: bool,
}

impl<'a> Woken<'a> {
    fn not_yet(freed: &'a Notify) -> Self {
        Self {
            freed,
            is_to_pass_on: false,
        }
    }
}

impl Drop for Woken<'_> {
    fn drop(&mut self) {
        if self.is_to_pass_on {
            self.freed.notify_one();
        }
    }
}

enum Entry {
    Open { is_room_left: bool },
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
        let is_room_left = self.in_flight < self.allowed as usize;
        Entry::Open { is_room_left }
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
        host_with(max_concurrent, Duration::ZERO)
    }

    fn host_with(max_concurrent: usize, min_interval: Duration) -> Arc<Host> {
        let url = TargetUrl::parse("http://example.com/", &Limits::default()).unwrap();
        Hosts::with(max_concurrent, min_interval).of(&url)
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
    async fn requests_to_a_host_with_a_pace_begin_that_far_apart() {
        let host = host(8);
        assert!(host.gate.keep_pace().await.is_none());
        host.gate.ask_interval(Duration::from_secs(2));
        let began = Instant::now();
        for expected in [0, 2, 4, 6] {
            let pace = host.gate.keep_pace().await.unwrap();
            assert_eq!(began.elapsed().as_secs(), expected);
            pace.begin();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_may_change_its_pace_but_not_below_the_configured_one() {
        let host = host_with(8, Duration::from_secs(3));
        for (asked, expected) in [(None, 3), (Some(5), 5), (Some(1), 3), (Some(0), 3)] {
            if let Some(asked) = asked {
                host.gate.ask_interval(Duration::from_secs(asked));
            }
            host.gate.keep_pace().await.unwrap().begin();
            let began = Instant::now();
            drop(host.gate.keep_pace().await);
            assert_eq!(began.elapsed().as_secs(), expected, "{asked:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_gives_up_its_place_costs_those_behind_it_nothing() {
        let host = host(8);
        host.gate.ask_interval(Duration::from_secs(2));
        host.gate.keep_pace().await.unwrap().begin();
        let began = Instant::now();
        for _ in 0..100 {
            let impatient = timeout(Duration::from_millis(1), host.gate.keep_pace());
            assert!(impatient.await.is_err());
        }
        host.gate.keep_pace().await.unwrap().begin();
        assert_eq!(began.elapsed().as_secs(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_gives_up_during_a_pause_wakes_the_next() {
        let host = host(1);
        let turn = Gate::enter(&host).await;
        let waiting = |patience: u64| {
            let host = Arc::clone(&host);
            let enter = async move { Gate::enter(&host).await };
            tokio::spawn(timeout(Duration::from_secs(patience), enter))
        };
        let (impatient, patient) = (waiting(1), waiting(60));
        tokio::task::yield_now().await;
        // The turn that is given back wakes the first, which finds the host paused and gives up meanwhile.
        host.gate.note_quota_used_up(Duration::from_secs(5));
        drop(turn);
        assert!(impatient.await.unwrap().is_err());
        assert!(patient.await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_pause_as_many_enter_as_are_allowed() {
        let host = host(8);
        let turns = turns(&host).await;
        let waiting: Vec<_> = (0..4)
            .map(|_| {
                let host = Arc::clone(&host);
                tokio::spawn(async move { std::mem::forget(Gate::enter(&host).await) })
            })
            .collect();
        tokio::task::yield_now().await;
        host.gate.note_complaint(None);
        drop(turns);
        for task in waiting {
            timeout(Duration::from_secs(60), task)
                .await
                .unwrap()
                .unwrap();
        }
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
