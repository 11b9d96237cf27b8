//! One chosen call that goes wrong, and a note of every completion.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::{BatchId, BatchStatus};
use parking_lot::Mutex;
use pipeline::Ports;
use test_support::faults::{Process, Script};

pub(crate) use test_support::faults::Fault;

/// The call that goes wrong: the `nth` (from 1) whose name starts with `call`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) call: &'static str,
    pub(crate) nth: usize,
    pub(crate) fault: Fault,
}

/// A process, at most one call of which goes wrong.
pub(crate) struct Tap {
    process: Arc<Process>,
    script: Arc<OneFault>,
}

struct OneFault {
    plan: Option<Plan>,
    matching_calls: AtomicUsize,
    struck: Mutex<Option<String>>,
    completions: Arc<Mutex<Vec<BatchId>>>,
}

impl Script for OneFault {
    fn fault_of(&self, call: &str) -> Option<Fault> {
        let plan = self.plan.filter(|plan| call.starts_with(plan.call))?;
        let position = self.matching_calls.fetch_add(1, Ordering::SeqCst) + 1;
        if position != plan.nth {
            return None;
        }
        *self.struck.lock() = Some(call.to_owned());
        Some(plan.fault)
    }

    fn moved(&self, batch: BatchId, to: BatchStatus) {
        if to == BatchStatus::Completed {
            self.completions.lock().push(batch);
        }
    }
}

impl Tap {
    /// Ports over `real`, and their tap. Every move of a batch to `COMPLETED` is noted in `completions`.
    pub(crate) fn over(
        real: &Ports,
        plan: Option<Plan>,
        completions: &Arc<Mutex<Vec<BatchId>>>,
    ) -> (Ports, Arc<Self>) {
        let script = Arc::new(OneFault {
            plan,
            matching_calls: AtomicUsize::new(0),
            struck: Mutex::default(),
            completions: Arc::clone(completions),
        });
        let process = Process::new(Arc::clone(&script) as _);
        let ports = Ports {
            store: process.store(&real.store),
            queue: process.queue(&real.queue),
            objects: process.objects(&real.objects),
            ..real.clone()
        };
        (ports, Arc::new(Self { process, script }))
    }

    /// Does `work` to its end, or to the crash: `None`.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.process.run(work).await
    }

    /// The call that went wrong, or `None` when it never came to that.
    pub(crate) fn struck(&self) -> Option<String> {
        self.script.struck.lock().clone()
    }
}
