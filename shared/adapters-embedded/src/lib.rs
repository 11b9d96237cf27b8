//! The ports of `domain` on one machine: state and queues in one SQLite file, objects in a folder beside it.
//!
//! [`DataFolder`] is the way in: it takes the folder for this process alone and hands out the ports. A process that
//! starts on a folder left behind by another calls [`Database::release_interrupted`] before it receives anything.

mod database;
mod error;
mod folder;
mod queue;
mod store;

pub use database::Database;
pub use folder::{DataFolder, DataFolderError};
pub use queue::SqliteQueue;
pub use store::SqliteStore;
