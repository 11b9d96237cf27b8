//! Rows to groups of the same and of nearly the same image. Synchronous, exact, in bounded memory.
//!
//! ```text
//! images ──► Finder ──sort──► contents ──► representatives ──► groups ──► Findings
//!               └────sort──► hosts ──► placeholders ──────────────────────┘
//! ```
//!
//! * **Exact duplicates** have the same SHA-256. The earliest row is what the others repeat.
//! * **Near duplicates** have perceptual hashes within a distance of each other. In the order of rows, an image that is near no
//!   representative becomes one; any other belongs to the nearest. So representatives are never near each other, and every
//!   member is near its representative: nothing drifts along a chain (decision 8).
//! * **Placeholders** are the same bytes under many URLs of one host.
//!
//! Sorts spill to disk; only representatives are held in memory, at up to 48 bytes each. An index of a batch can be written, and
//! later batches matched against it.

mod error;
mod external_sort;
mod finder;
mod findings;
mod image;
mod index_file;
mod multi_index;
mod orientation;
mod placeholders;
mod records;
mod representatives;
mod settings;
mod summary;

pub use error::{DuplicatesError, DuplicatesResult};
pub use finder::Finder;
pub use findings::{Duplicate, Finding, Findings};
pub use image::{Image, Origin};
pub use orientation::positions;
pub use settings::{FlatImages, MAX_DISTANCE, Orientation, PlaceholderRule, Settings};
pub use summary::{Group, Repeated, Summary};
