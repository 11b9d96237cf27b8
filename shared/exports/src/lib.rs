//! The result table as a person takes it away: CSV, NDJSON, Parquet and SQLite, of all rows and columns or of those asked for.
//!
//! Everything is streamed: memory follows the size of a chunk and of a row group, not the number of rows.
//!
//! | file | what |
//! |---|---|
//! | [`columns`] | the columns of the contract, once for every format, with nested fields flattened |
//! | [`conditions`] | which rows are wanted: `outcome=ok`, `width>=500` |
//! | [`files`] | tables in a folder, with a manifest of their SHA-256, gone on with after an interruption |
//! | [`stream`] | one table into one sink |
//! | `csv_table`, `ndjson`, `parquet_table`, `sqlite_table` | one format each |

pub mod columns;
pub mod conditions;
mod csv_table;
mod data_set;
pub mod files;
mod ndjson;
mod parquet_table;
mod sqlite_table;
pub mod stream;

pub use files::{FilesRequest, Manifest, WrittenFile, write_files};
pub use stream::{Tables, check, export};

use std::io;

use domain::ResultRow;

/// A table being written. Rows come in ascending order.
trait TableWriter: Send {
    /// Adds rows.
    fn write(&mut self, rows: &[&ResultRow]) -> io::Result<()>;

    /// Writes what is still held back. A table that is dropped without it is not whole.
    fn finish(self: Box<Self>) -> io::Result<()>;
}
