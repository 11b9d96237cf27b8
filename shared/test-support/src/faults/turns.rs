//! One process at a time, in an order that follows from a seed.
//!
//! A process that has its turn goes on to its next call to a port, and there the next turn is drawn. So the order of all calls is the
//! same whenever the seed is, as long as what processes do between two calls is.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::watch;

/// Hands out turns.
#[derive(Debug, Clone)]
pub struct Turns(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    random: fastrand::Rng,
    joined: u64,
    /// Whose turn it is.
    holder: Option<u64>,
    /// Turns drawn so far.
    drawn: u64,
    /// By process: from which draw on it may have a turn.
    waiting: BTreeMap<u64, u64>,
    news: watch::Sender<u64>,
}

impl Turns {
    /// Turns in the order of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            random: fastrand::Rng::with_seed(seed),
            joined: 0,
            holder: None,
            drawn: 0,
            waiting: BTreeMap::new(),
            news: watch::Sender::new(0),
        })))
    }

    /// The turns of one more process, which waits for its first one from now on.
    pub fn join(&self) -> TurnsOf {
        let mut state = self.0.lock();
        state.joined += 1;
        let process = state.joined;
        state.waiting.insert(process, 0);
        if state.holder.is_none() {
            state.draw();
        }
        TurnsOf(Arc::new(Member {
            process,
            state: Arc::downgrade(&self.0),
        }))
    }
}

impl State {
    /// Gives the turn to one that waits. One that has to let others pass does so as long as there are others.
    fn draw(&mut self) {
        self.drawn += 1;
        let now = self.drawn;
        let ready = self.waiting.iter().filter(|(_, from)| **from <= now);
        let mut candidates: Vec<u64> = ready.map(|(process, _)| *process).collect();
        if candidates.is_empty() {
            candidates.extend(self.waiting.keys());
        }
        self.holder = self.random.choice(candidates);
        if let Some(holder) = self.holder {
            self.waiting.remove(&holder);
        }
        self.news.send_modify(|news| *news += 1);
    }
}

/// The turns of one process; clones are calls of the same one.
#[derive(Debug, Clone)]
pub struct TurnsOf(Arc<Member>);

#[derive(Debug)]
struct Member {
    process: u64,
    state: Weak<Mutex<State>>,
}

impl TurnsOf {
    /// Ends the turn, if there is one, and waits for the next.
    pub async fn take(&self) {
        self.take_after(0).await;
    }

    /// The same, after so many turns of others.
    pub async fn take_after(&self, others: u32) {
        let process = self.0.process;
        let Some(state) = self.0.state.upgrade() else {
            return;
        };
        let mut news = {
            let mut state = state.lock();
            let from = state.drawn + 1 + u64::from(others);
            // Another call of the same process may wait already.
            state.waiting.entry(process).or_insert(from);
            if state.holder.is_none_or(|holder| holder == process) {
                state.draw();
            }
            state.news.subscribe()
        };
        loop {
            if state.lock().holder == Some(process) {
                return;
            }
            // Never closed while the state lives.
            if news.changed().await.is_err() {
                return;
            }
        }
    }

    /// Ends the turn, if there is one, for good.
    pub fn leave(&self) {
        self.0.leave();
    }
}

impl Member {
    fn leave(&self) {
        let Some(state) = self.state.upgrade() else {
            return;
        };
        let mut state = state.lock();
        state.waiting.remove(&self.process);
        if state.holder == Some(self.process) {
            state.holder = None;
            if !state.waiting.is_empty() {
                state.draw();
            }
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.leave();
    }
}
