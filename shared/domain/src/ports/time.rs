//! Time and identity, as ports so that tests control them.

use jiff::Timestamp;
use ulid::Ulid;

use crate::BatchId;

/// The wall clock.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// Hands out identities. Every call gives another one; later calls in one process do not sort before earlier ones
/// of another millisecond.
pub trait Ids: Send + Sync + 'static {
    /// A new batch id.
    fn batch_id(&self) -> BatchId;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Random ULIDs.
#[derive(Debug, Clone, Copy, Default)]
pub struct UlidIds;

impl Ids for UlidIds {
    fn batch_id(&self) -> BatchId {
        BatchId::new(Ulid::generate())
    }
}
