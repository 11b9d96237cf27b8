//! How many chunks are under way at once: as many as keep network and processors busy, and no more than memory bears.
//!
//! A chunk with slow hosts keeps its worker waiting and nothing else; another one then takes its place at the requests that could be made.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pipeline::memory_watch::MemoryWatch;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// How often a closed door is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How long a chunk that was let in has to start its requests, before the room that is left is looked at.
const SETTLING: Duration = Duration::from_millis(5);

/// Lets chunks in, one at a time.
pub(super) struct Admission {
    door: Arc<Mutex<()>>,
    under_way: Arc<AtomicUsize>,
    at_least: usize,
    has_room: Box<dyn Fn() -> bool + Send + Sync>,
    memory: Arc<MemoryWatch>,
}

/// The right to receive a message; given back when none came.
pub(super) struct Turn {
    door: OwnedMutexGuard<()>,
    under_way: Arc<AtomicUsize>,
    at_least: usize,
}

/// Counts a chunk as under way until it is dropped.
pub(super) struct UnderWay(Arc<AtomicUsize>);

impl Admission {
    /// A door that is open for the first `at_least` chunks, and for more while `has_room`.
    pub(super) fn new(
        at_least: usize,
        memory: Arc<MemoryWatch>,
        has_room: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            door: Arc::default(),
            under_way: Arc::default(),
            at_least,
            has_room: Box::new(has_room),
            memory,
        }
    }

    /// Counts the chunks under way, now and later.
    pub(super) fn under_way(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.under_way)
    }

    /// Waits until another chunk may be received.
    pub(super) async fn enter(&self) -> Turn {
        let door = Arc::clone(&self.door).lock_owned().await;
        while !self.is_open() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Turn {
            door,
            under_way: Arc::clone(&self.under_way),
            at_least: self.at_least,
        }
    }

    fn is_open(&self) -> bool {
        let under_way = self.under_way.load(Ordering::Relaxed);
        // One chunk always goes on: shedding all work would free nothing.
        if under_way == 0 {
            return true;
        }
        if self.memory.is_short() {
            return false;
        }
        under_way < self.at_least || (self.has_room)()
    }
}

impl Turn {
    /// A chunk came: it is under way until the answer is dropped. The door opens for the next one once it has settled, or at once
    /// if room need not be looked at for that one.
    pub(super) fn take(self) -> UnderWay {
        let under_way = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        let door = self.door;
        if under_way < self.at_least {
            return UnderWay(self.under_way);
        }
        tokio::spawn(async move {
            tokio::time::sleep(SETTLING).await;
            drop(door);
        });
        UnderWay(self.under_way)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn watch(limit_bytes: Option<u64>) -> Arc<MemoryWatch> {
        Arc::new(MemoryWatch::new(limit_bytes))
    }

    #[tokio::test]
    async fn more_chunks_are_let_in_only_while_there_is_room() {
        let has_room = Arc::new(AtomicBool::new(false));
        let room = Arc::clone(&has_room);
        let admission = Admission::new(2, watch(None), move || room.load(Ordering::Relaxed));
        let first = admission.enter().await.take();
        let _second = admission.enter().await.take();
        let waited = tokio::time::timeout(Duration::from_millis(60), admission.enter()).await;
        assert!(waited.is_err(), "two are under way and there is no room");
        has_room.store(true, Ordering::Relaxed);
        let _third = admission.enter().await.take();
        has_room.store(false, Ordering::Relaxed);
        drop(first);
        let waited = tokio::time::timeout(Duration::from_millis(60), admission.enter()).await;
        assert!(waited.is_err(), "two are under way again");
    }

    #[tokio::test]
    async fn short_memory_lets_one_chunk_in_and_no_more() {
        let admission = Admission::new(2, watch(Some(1)), || true);
        let first = admission.enter().await.take();
        let waited = tokio::time::timeout(Duration::from_millis(60), admission.enter()).await;
        assert!(waited.is_err());
        drop(first);
        let _next = admission.enter().await;
    }
}
