//! The threads that decode images, and the memory they may take together.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::{Semaphore, oneshot};

type Job = Box<dyn FnOnce() + Send>;

/// A fixed number of threads; they end when this is dropped.
///
/// Not the run time's threads for blocking work: there are many of those, each decodes now and then, and the allocator keeps for each
/// what its largest image needed.
pub(super) struct Decoders {
    jobs: Sender<Job>,
    /// Threads that have nothing to do.
    idle: Arc<Semaphore>,
    /// Kibibytes that are not taken.
    memory: Arc<Semaphore>,
    all_memory: u32,
}

impl Decoders {
    /// `threads` decoders, at least one, that may hold `bytes` together.
    pub(super) fn start(threads: usize, bytes: u64) -> Self {
        let threads = threads.max(1);
        // At least one kibibyte, at most what a semaphore counts.
        let all_memory = (bytes / 1_024).clamp(1, u64::from(u32::MAX >> 3)) as u32;
        let (jobs, waiting) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..threads {
            let waiting = Arc::clone(&waiting);
            thread::spawn(move || work(&waiting));
        }
        Self {
            jobs,
            idle: Arc::new(Semaphore::new(threads)),
            memory: Arc::new(Semaphore::new(all_memory as usize)),
            all_memory,
        }
    }

    /// Whether a thread has nothing to do.
    pub(super) fn is_any_idle(&self) -> bool {
        self.idle.available_permits() > 0
    }

    /// Runs `job`, which may take `needed` bytes, as soon as there is a thread and memory for it; one that needs more than there
    /// is runs alone. `None` if it panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        needed: u64,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let needed = needed.div_ceil(1_024).min(u64::from(self.all_memory)) as u32;
        // The semaphores are never closed.
        let memory = Arc::clone(&self.memory).acquire_many_owned(needed).await;
        let turn = Arc::clone(&self.idle).acquire_owned().await;
        let (sender, receiver) = oneshot::channel();
        let job = Box::new(move || {
            // Held by the job: it goes on when nobody waits for it any more.
            let _held = (memory, turn);
            // Nobody does when the part was given up meanwhile.
            let _ = sender.send(job());
        });
        self.jobs.send(job).ok()?;
        receiver.await.ok()
    }
}

fn work(waiting: &Mutex<Receiver<Job>>) {
    loop {
        let next = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(job) = next else {
            return;
        };
        // The hook has reported it, and whoever waits for the job finds its channel closed.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_job_that_panics_is_none_and_leaves_its_thread_to_the_next() {
        let decoders = Decoders::start(1, 1_024);
        assert_eq!(decoders.run(0, || panic!("on purpose")).await, None::<()>);
        assert_eq!(decoders.run(u64::MAX, || 7).await, Some(7));
        assert_eq!(decoders.run(u64::MAX, || 8).await, Some(8));
    }
}
