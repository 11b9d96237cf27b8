//! The threads that decode images, the memory they may take together, and the time each image may take.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

/// Runs on a thread of the decoders; `true` if that thread has been replaced meanwhile.
type Job = Box<dyn FnOnce() -> bool + Send>;

/// Why a job has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// It panicked.
    Panicked,
    /// It took too long. It goes on, and keeps its memory until it ends; its thread has been replaced.
    TooLong,
}

/// A fixed number of threads; they end when this is dropped.
///
/// Not the run time's threads for blocking work: there are many of those, each decodes now and then, and the allocator keeps for each
/// what its largest image needed.
pub(super) struct Decoders {
    jobs: Sender<Job>,
    waiting: Arc<Mutex<Receiver<Job>>>,
    /// Threads that have nothing to do.
    idle: Arc<Semaphore>,
    /// Kibibytes that are not taken.
    memory: Arc<Semaphore>,
    all_memory: u32,
    within: Duration,
}

impl Decoders {
    /// `threads` decoders, at least one, that may hold `bytes` together, and whose jobs have to end `within` some time.
    pub(super) fn start(threads: usize, bytes: u64, within: Duration) -> Self {
        let threads = threads.max(1);
        // At least one kibibyte, at most what a semaphore counts.
        let all_memory = (bytes / 1_024).clamp(1, u64::from(u32::MAX >> 3)) as u32;
        let (jobs, waiting) = channel();
        let decoders = Self {
            jobs,
            waiting: Arc::new(Mutex::new(waiting)),
            idle: Arc::new(Semaphore::new(threads)),
            memory: Arc::new(Semaphore::new(all_memory as usize)),
            all_memory,
            within,
        };
        for _ in 0..threads {
            decoders.start_thread();
        }
        decoders
    }

    fn start_thread(&self) {
        let waiting = Arc::clone(&self.waiting);
        thread::spawn(move || work(&waiting));
    }

    /// Whether a thread has nothing to do.
    pub(super) fn is_any_idle(&self) -> bool {
        self.idle.available_permits() > 0
    }

    /// Runs `job`, which may take `needed` bytes, as soon as there is a thread and memory for it; one that needs more than there
    /// is runs alone.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        needed: u64,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Lost> {
        let needed = needed.div_ceil(1_024).min(u64::from(self.all_memory)) as u32;
        // The semaphores are never closed.
        let memory = Arc::clone(&self.memory).acquire_many_owned(needed).await;
        let turn = Arc::clone(&self.idle).acquire_owned().await;
        let (sender, receiver) = oneshot::channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let was_replaced = Arc::clone(&is_over);
        let job = Box::new(move || {
            // Held by the job: it goes on when nobody waits for it any more.
            let held = (memory, turn);
            // Nobody does when the part was given up meanwhile.
            let _ = sender.send(catch_unwind(AssertUnwindSafe(job)).ok());
            // Whoever comes first decides: this thread goes on, or another one has its place.
            let was_replaced = was_replaced.swap(true, Ordering::AcqRel);
            let (_memory, turn) = held;
            if was_replaced && let Ok(turn) = turn {
                turn.forget();
            }
            was_replaced
        });
        self.jobs.send(job).map_err(|_| Lost::Panicked)?;
        if let Ok(ended) = timeout(self.within, receiver).await {
            return ended.ok().flatten().ok_or(Lost::Panicked);
        }
        if !is_over.swap(true, Ordering::AcqRel) {
            self.start_thread();
            self.idle.add_permits(1);
        }
        Err(Lost::TooLong)
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
        if job() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Waits for a number: a job gives back what it held a moment after its result is there.
    async fn becomes(expected: usize, number: impl Fn() -> usize) {
        for _ in 0..500 {
            if number() == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(number(), expected);
    }

    #[tokio::test]
    async fn a_job_that_panics_is_lost_and_leaves_its_thread_to_the_next() {
        let decoders = Decoders::start(1, 1_024, LONG);
        let panicked = decoders.run(0, || panic!("on purpose")).await;
        assert_eq!(panicked, Err::<(), _>(Lost::Panicked));
        assert_eq!(decoders.run(u64::MAX, || 7).await, Ok(7));
        assert_eq!(decoders.run(u64::MAX, || 8).await, Ok(8));
    }

    #[tokio::test]
    async fn a_job_that_does_not_end_is_given_up_and_its_thread_replaced() {
        let decoders = Decoders::start(1, 10 * 1_024, Duration::from_millis(50));
        let (end, ended) = channel::<()>();
        let endless = decoders.run(1_024, move || ended.recv().is_ok()).await;
        assert_eq!(endless, Err(Lost::TooLong));
        // What it took is still taken, and the decoders are as many as before.
        assert_eq!(decoders.memory.available_permits(), 9);
        assert_eq!(decoders.run(1_024, || 7).await, Ok(7));
        becomes(1, || decoders.idle.available_permits()).await;
        end.send(()).unwrap();
        becomes(10, || decoders.memory.available_permits()).await;
        assert_eq!(decoders.idle.available_permits(), 1);
        assert_eq!(decoders.run(1_024, || 8).await, Ok(8));
    }
}
