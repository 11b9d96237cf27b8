//! Layers over the ports that let calls go wrong.
//!
//! A [`Process`] stands for one process: its ports lead through it, and a crash ends it as a real one would end, between two
//! instructions. What goes wrong at which call is up to its [`Script`]: one chosen call, or [`Chaos`], which draws from a seed. [`Turns`]
//! lets processes go on one at a time, in an order that follows from a seed too. [`mutants`] are ports that make the mistakes that all
//! of this is there to find.

mod chaos;
pub mod mutants;
mod objects;
mod queue;
mod store;
mod turns;

use std::future::{Future, pending};
use std::sync::Arc;

use domain::ports::{BatchStore, PortError, PortErrorKind, WorkQueue};
use domain::{BatchId, BatchStatus};
use futures::future::BoxFuture;
use object_store::ObjectStore;
use tokio::sync::Notify;

pub use chaos::{Chaos, SeededIds};
pub use turns::{Turns, TurnsOf};

/// What goes wrong at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It is refused, and nothing is done.
    Refused,
    /// The store or queue is asked too fast, and nothing is done.
    Throttled,
    /// It is carried out, and the caller sees a time-out.
    AnswerLost,
    /// It is carried out twice, as by a client that repeats what it has no answer to; the caller sees the second answer.
    Twice,
    /// Others have so many turns before it is carried out.
    Late(u32),
    /// The process dies before it is carried out.
    CrashBefore,
    /// The process dies after it was carried out.
    CrashAfter,
    /// Of a send, every other message is accepted.
    HalfAccepted,
    /// An object that is read was not yet there when the reader looked.
    NotThereYet,
    /// The body of an object that is read breaks off half way.
    BodyBreaks,
}

impl Fault {
    /// The faults that any call can have, and that the caller sees.
    pub const OF_ANY_CALL: [Self; 4] = [
        Self::Refused,
        Self::AnswerLost,
        Self::CrashBefore,
        Self::CrashAfter,
    ];
}

/// Decides what goes wrong.
pub trait Script: Send + Sync + 'static {
    /// What goes wrong at this call; `None` for nothing. Names are those that the layers give their calls, such as
    /// `store commit_part`, `queue send chunks` and `objects put results/…`.
    fn fault_of(&self, call: &str) -> Option<Fault>;

    /// A batch moved to another state. The call that moved it may still go wrong for its caller.
    fn moved(&self, _batch: BatchId, _to: BatchStatus) {}
}

/// One process's way to the ports.
pub struct Process {
    script: Arc<dyn Script>,
    turns: Option<TurnsOf>,
    crash: Notify,
}

impl Process {
    /// A process to which happens what `script` says.
    pub fn new(script: Arc<dyn Script>) -> Arc<Self> {
        Arc::new(Self {
            script,
            turns: None,
            crash: Notify::new(),
        })
    }

    /// The same, which takes its turn among others before every call.
    pub fn in_turns(script: Arc<dyn Script>, turns: TurnsOf) -> Arc<Self> {
        Arc::new(Self {
            script,
            turns: Some(turns),
            crash: Notify::new(),
        })
    }

    /// Its way to a store.
    pub fn store(self: &Arc<Self>, store: &Arc<dyn BatchStore>) -> Arc<dyn BatchStore> {
        Arc::new(Tapped::new(store, self))
    }

    /// Its way to queues.
    pub fn queue(self: &Arc<Self>, queue: &Arc<dyn WorkQueue>) -> Arc<dyn WorkQueue> {
        Arc::new(Tapped::new(queue, self))
    }

    /// Its way to objects.
    pub fn objects(self: &Arc<Self>, objects: &Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        Arc::new(Tapped::new(objects, self))
    }

    /// Does `work` to its end, or to the crash: `None`.
    pub fn run<T>(&self, work: impl Future<Output = T>) -> impl Future<Output = Option<T>> {
        // Use cases are large; whoever waits for one need not be.
        let work = Box::pin(work);
        async move {
            if let Some(turns) = &self.turns {
                turns.take().await;
            }
            let ended = tokio::select! {
                ended = work => Some(ended),
                () = self.crash.notified() => None,
            };
            if let Some(turns) = &self.turns {
                turns.leave();
            }
            ended
        }
    }

    async fn call<'a, T, E: Injected>(
        &self,
        name: &str,
        work: impl Fn() -> BoxFuture<'a, Result<T, E>>,
    ) -> Result<T, E> {
        self.call_with(self.fault_of(name).await, work).await
    }

    /// What goes wrong at a call, once it is this process's turn.
    async fn fault_of(&self, call: &str) -> Option<Fault> {
        if let Some(turns) = &self.turns {
            turns.take().await;
        }
        let fault = self.script.fault_of(call);
        if let (Some(turns), Some(Fault::Late(others))) = (&self.turns, fault) {
            turns.take_after(others).await;
        }
        fault
    }

    async fn call_with<'a, T, E: Injected>(
        &self,
        fault: Option<Fault>,
        work: impl Fn() -> BoxFuture<'a, Result<T, E>>,
    ) -> Result<T, E> {
        match fault {
            None | Some(Fault::Late(_)) => work().await,
            Some(Fault::Twice) => {
                drop(work().await);
                work().await
            }
            Some(Fault::AnswerLost) => {
                drop(work().await);
                Err(E::injected(PortErrorKind::TimedOut))
            }
            Some(Fault::CrashBefore) => self.die().await,
            Some(Fault::CrashAfter) => {
                drop(work().await);
                self.die().await
            }
            Some(Fault::Throttled) => Err(E::injected(PortErrorKind::Throttled)),
            Some(_) => Err(E::injected(PortErrorKind::TimedOut)),
        }
    }

    async fn die<T>(&self) -> T {
        self.crash.notify_one();
        pending().await
    }
}

/// An error that a fault shows to the caller.
trait Injected {
    fn injected(kind: PortErrorKind) -> Self;
}

impl Injected for PortError {
    fn injected(kind: PortErrorKind) -> Self {
        Self::new(kind, "tapped call", "a fault on purpose")
    }
}

impl Injected for object_store::Error {
    fn injected(_kind: PortErrorKind) -> Self {
        Self::Generic {
            store: "tapped",
            source: "a fault on purpose".into(),
        }
    }
}

/// A port as one process has it.
struct Tapped<P: ?Sized> {
    port: Arc<P>,
    process: Arc<Process>,
}

impl<P: ?Sized> Tapped<P> {
    fn new(port: &Arc<P>, process: &Arc<Process>) -> Self {
        Self {
            port: Arc::clone(port),
            process: Arc::clone(process),
        }
    }
}
