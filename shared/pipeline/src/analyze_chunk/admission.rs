//! Which rows may be begun: all of them while there is memory, one at a time while it is short.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::memory_watch::MemoryWatch;

/// How often it is looked whether memory is free again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Lets rows begin.
pub(super) struct Admission {
    memory: Arc<MemoryWatch>,
    under_way: AtomicUsize,
}

/// Counts a row as under way until it is dropped.
pub(super) struct Begun<'a>(&'a AtomicUsize);

impl Admission {
    pub(super) const fn new(memory: Arc<MemoryWatch>) -> Self {
        Self {
            memory,
            under_way: AtomicUsize::new(0),
        }
    }

    /// Waits until a row may begin; `None` if that is not before `until`. One row always goes on: to hold all of them back would free
    /// nothing.
    pub(super) async fn begin(&self, until: Option<Instant>) -> Option<Begun<'_>> {
        loop {
            if self.under_way.fetch_add(1, Ordering::AcqRel) == 0 || !self.memory.is_short() {
                return Some(Begun(&self.under_way));
            }
            self.under_way.fetch_sub(1, Ordering::AcqRel);
            if until.is_some_and(|until| until <= Instant::now()) {
                return None;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn while_memory_is_short_one_row_is_under_way() {
        let admission = Admission::new(Arc::new(MemoryWatch::new(Some(1))));
        let soon = Some(Instant::now() + Duration::from_millis(60));
        let first = admission.begin(soon).await.unwrap();
        assert!(admission.begin(soon).await.is_none());
        drop(first);
        assert!(admission.begin(soon).await.is_some());
    }

    #[tokio::test]
    async fn while_there_is_memory_all_rows_begin() {
        let admission = Admission::new(Arc::new(MemoryWatch::new(None)));
        let mut begun = Vec::new();
        for _ in 0..100 {
            begun.push(admission.begin(Some(Instant::now())).await.unwrap());
        }
    }
}
