//! Whether new work is begun, in the whole system: for maintenance, or while something is wrong that must not be made worse.
//!
//! While the intake is paused, lists are taken in as ever and wait: no split and no chunk is begun. Parts under way end.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::ports::{Intake, Queue};
use serde::Serialize;

use crate::send::send_all;
use crate::{PipelineResult, Ports};

/// Longest time an answer of the store is taken for true.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a message that came during a pause stays away: short for somebody who resumes, and long enough that millions of them
/// going round cost little.
const PUT_OFF: Duration = Duration::from_secs(300);

/// Pauses or resumes the intake.
pub async fn set_paused(ports: &Ports, is_paused: bool) -> PipelineResult<Intake> {
    let current = ports.store.intake().await?;
    if current.is_paused == is_paused {
        return Ok(current);
    }
    let intake = Intake {
        is_paused,
        since: Some(ports.clock.now()),
    };
    ports.store.set_intake(&intake).await?;
    tracing::info!(is_paused, "intake set");
    Ok(intake)
}

/// Whether a queue feeds work that has to wait while the intake is paused. Reports and indicators do not.
pub const fn is_governed(queue: Queue) -> bool {
    matches!(queue, Queue::Split | Queue::Chunks)
}

/// One process's view of the intake; asks the store once a second at most, however often it is asked.
#[derive(Debug, Default)]
pub struct IntakeGate {
    seen: Mutex<Option<(Instant, bool)>>,
}

impl IntakeGate {
    /// Whether new work has to wait. When the store does not answer, what it said last holds.
    pub async fn is_paused(&self, ports: &Ports) -> bool {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, is_paused)) = seen
            && at.elapsed() < LOOK_EVERY
        {
            return is_paused;
        }
        let is_paused = match ports.store.intake().await {
            Ok(intake) => intake.is_paused,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "intake not looked at");
                seen.is_some_and(|(_, is_paused)| is_paused)
            }
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Some((Instant::now(), is_paused));
        is_paused
    }

    /// For a process that is handed its messages and cannot choose not to receive them: puts `message` off if it has to wait. `true`
    /// means that a copy was sent and this one is done with: were it given back instead, it would count as received in vain, and in
    /// the end as dead.
    pub async fn puts_off<M: Serialize + Sync>(
        &self,
        ports: &Ports,
        queue: Queue,
        message: &M,
    ) -> PipelineResult<bool> {
        if !is_governed(queue) || !self.is_paused(ports).await {
            return Ok(false);
        }
        send_all(ports, queue, std::slice::from_ref(message), PUT_OFF).await?;
        Ok(true)
    }
}
