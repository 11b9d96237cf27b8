//! Untrusted list to rows: CSV, TSV, NDJSON, plain text, compressed or not, in bounded memory.
//!
//! ```text
//! source ─► decompress ─► decode ─► window ─► records ─► cells ─► ListRow
//!           gzip, zstd    UTF-8/16  bounded   where a    CSV, JSON,
//!           ratio cap     BOM       buffer    row ends   text
//! ```
//!
//! [`ListReader::open`] looks at the first 64 KB to tell compression, encoding, format, header and URL column.
//! [`ListReader::next_row`] then lends one row after the other. A bad row is a [`RowFault`] with its line number and the list goes
//! on; a [`ListError`] ends the list.

mod columns;
mod content;
mod decompress;
mod detect;
mod error;
mod fault;
mod ndjson;
mod reader;
mod records;
mod row;
mod scanner;
mod source;
mod table;
mod window;

pub use decompress::Compression;
pub use error::ListError;
pub use fault::RowFault;
pub use reader::{Detected, Encoding, ListOptions, ListReader};
pub use row::{Extra, ExtraIter, ListRow};
