//! Who goes first where permits are short: images of high priority, of whatever batch.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::ports::Queue;
use jiff::Timestamp;

use crate::Ports;

/// How long a look at the queue is good for.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What one process knows of the queue of those that go first.
#[derive(Default)]
pub(super) struct Precedence {
    seen: Mutex<Option<(Timestamp, bool)>>,
}

impl Precedence {
    /// Whether images of high priority wait, for permits or for anything else: those of normal priority then take what is surplus.
    pub(super) async fn others_wait(&self, ports: &Ports) -> bool {
        let now = ports.clock.now();
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, waiting)) = seen
            && now < at + LOOK_EVERY
        {
            return waiting;
        }
        // A queue that does not tell is no reason to hold anybody up.
        let waiting = match ports.queue.depth(Queue::VisionHigh).await {
            Ok(depth) => depth.visible + depth.delayed + depth.in_flight > 0,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "the queue of high priority was not looked at");
                false
            }
        };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, waiting));
        waiting
    }
}
