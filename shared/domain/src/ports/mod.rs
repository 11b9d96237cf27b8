//! What the use cases need from outside: one trait a capability, each documented as a contract.
//!
//! Objects (lists, chunks, results, reports) go through `object_store::ObjectStore` itself; their keys are in
//! [`crate::keys`].

mod access;
mod announcements;
mod cache;
mod error;
mod keys;
mod monitoring;
mod queue;
mod scaler;
mod store;
mod time;
mod upload;

pub use access::AccessStore;
pub use announcements::Announcements;
pub use cache::{CacheClaim, CacheEntry, CacheLease, CacheStore, Invalidation};
pub use error::{PortError, PortErrorKind, PortResult};
pub use keys::{KeyRow, KeyStore};
pub use monitoring::{Call, CallEnd, CallObserver, MonitoringStore, TroubledHost};
pub use queue::{Delivery, Outgoing, Queue, QueueDepth, WorkQueue};
pub use scaler::Scaler;
pub use store::{
    Advance, BatchChange, BatchQuery, BatchStore, Commit, Creation, Intake, KeyClaim,
    MAX_KPI_MINUTES, Page, PartCommit, RollUp, Shard,
};
pub use time::{Clock, Ids, SystemClock, UlidIds};
pub use upload::{DownloadUrls, MAX_PARTS, MAX_PRESIGNED_BYTES, StoredPart, UploadUrl, UploadUrls};
