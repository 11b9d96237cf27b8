//! What the owner of a batch may change while its parts are under way: whether they go on, and how many requests they may make
//! at once.
//!
//! Parts do not each ask the store: as long as parts of a batch are under way in this process, one task asks for all of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use domain::{Batch, BatchId, BatchStatus};
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::Ports;

/// How a process follows what owners change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlSettings {
    /// How often the state of a batch is looked at while parts of it are under way.
    pub check_every: Duration,
    /// Processes that may be at work on a batch at once: each takes its share of the batch's concurrency, which is at least one.
    pub processes: u32,
}

impl ControlSettings {
    /// Pause between two looks where each is paid for. A cancel holds within the two seconds that its owner was promised, with half a second
    /// to spare for the look; and for a chunk of 2,000 rows that takes twenty seconds, looks are less than one request in a hundred rows.
    pub const CHECK_WHERE_PAID: Duration = Duration::from_millis(1_500);
}

impl Default for ControlSettings {
    /// One process, which looks twice a second, where that costs nothing.
    fn default() -> Self {
        Self {
            check_every: Duration::from_millis(500),
            processes: 1,
        }
    }
}

/// Why a part must not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Its owner cancelled the batch: open rows end so.
    Cancelled,
    /// The batch failed or is gone: nobody needs the part any more.
    Pointless,
}

impl Stop {
    /// What a batch in this state means for its parts.
    pub(crate) fn of(batch: Option<&Batch>) -> Option<Self> {
        match batch {
            Some(batch) if batch.deleting => Some(Self::Pointless),
            Some(batch) if batch.status == BatchStatus::Failed => Some(Self::Pointless),
            Some(batch) if batch.status == BatchStatus::Cancelled => Some(Self::Cancelled),
            Some(_) => None,
            None => Some(Self::Pointless),
        }
    }
}

/// The batches that have parts under way in this process.
#[derive(Default)]
pub(crate) struct Control {
    settings: ControlSettings,
    followed: Mutex<HashMap<BatchId, Weak<Followed>>>,
}

impl Control {
    pub(crate) fn new(settings: ControlSettings) -> Self {
        Self {
            settings,
            followed: Mutex::default(),
        }
    }

    /// Follows a batch for as long as any answer for it lives.
    pub(crate) fn follow(&self, ports: &Ports, batch: &Batch) -> Arc<Followed> {
        let mut all = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, followed| followed.strong_count() > 0);
        let there = all.get(&batch.id).and_then(Weak::upgrade);
        let followed = there.unwrap_or_else(|| {
            let followed = Followed::start(ports.clone(), batch.id, self.settings);
            all.insert(batch.id, Arc::downgrade(&followed));
            followed
        });
        followed.state.note(Some(batch));
        followed
    }
}

/// A batch with parts under way.
pub(crate) struct Followed {
    state: Arc<State>,
    _task: AbortOnDropHandle<()>,
}

struct State {
    processes: u32,
    stop: watch::Sender<Option<Stop>>,
    /// Rows that may be fetched at once; `usize::MAX` for as many as there is room for.
    limit: AtomicUsize,
    in_use: AtomicUsize,
    freed: Notify,
}

impl Followed {
    fn start(ports: Ports, id: BatchId, settings: ControlSettings) -> Arc<Self> {
        let state = Arc::new(State {
            processes: settings.processes.max(1),
            stop: watch::Sender::new(None),
            limit: AtomicUsize::new(usize::MAX),
            in_use: AtomicUsize::new(0),
            freed: Notify::new(),
        });
        let noted = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(settings.check_every).await;
                match ports.store.batch(id).await {
                    Ok(batch) => noted.note(batch.as_ref()),
                    // The next look may succeed; until then what was last seen holds.
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::debug!(batch = %id, error, "batch not looked at");
                    }
                }
            }
        });
        Arc::new(Self {
            state,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// Waits until parts of the batch must not go on, for as long as that takes.
    pub(crate) async fn stopped(&self) -> Stop {
        let mut stop = self.state.stop.subscribe();
        loop {
            let seen = *stop.borrow_and_update();
            if let Some(stop) = seen {
                return stop;
            }
            if stop.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether its parts must not go on.
    pub(crate) fn is_stopped(&self) -> bool {
        self.state.stop.borrow().is_some()
    }

    /// Whether the batch may take less than there is room for.
    pub(crate) fn is_limited(&self) -> bool {
        self.state.limit.load(Ordering::Relaxed) != usize::MAX
    }

    /// Waits for the right to fetch a row of the batch; `None` when `until` came first.
    pub(crate) async fn turn(&self, until: Option<Instant>) -> Option<Turn> {
        if let Some(turn) = self.try_turn() {
            return Some(turn);
        }
        let turn = async {
            loop {
                let mut freed = std::pin::pin!(self.state.freed.notified());
                // From here on no turn that is given back is missed.
                freed.as_mut().enable();
                if let Some(turn) = self.try_turn() {
                    return turn;
                }
                freed.await;
            }
        };
        match until {
            Some(until) => tokio::time::timeout_at(until.into(), turn).await.ok(),
            None => Some(turn.await),
        }
    }

    fn try_turn(&self) -> Option<Turn> {
        let limit = self.state.limit.load(Ordering::SeqCst);
        let taken = self
            .state
            .in_use
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |in_use| {
                (in_use < limit).then(|| in_use + 1)
            });
        let state = Arc::clone(&self.state);
        taken.ok().map(|_| Turn(state))
    }
}

impl State {
    fn note(&self, batch: Option<&Batch>) {
        let stop = Stop::of(batch);
        self.stop.send_if_modified(|noted| {
            let is_other = *noted != stop;
            *noted = stop;
            is_other
        });
        let max = batch.and_then(|batch| batch.max_concurrency);
        let limit = max.map_or(usize::MAX, |max| {
            max.div_ceil(self.processes).max(1) as usize
        });
        if self.limit.swap(limit, Ordering::SeqCst) < limit {
            self.freed.notify_waiters();
        }
    }
}

/// The right to fetch a row; given back when dropped.
pub(crate) struct Turn(Arc<State>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.in_use.fetch_sub(1, Ordering::SeqCst);
        self.0.freed.notify_one();
    }
}
