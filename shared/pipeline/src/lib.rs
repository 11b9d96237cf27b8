//! The use cases of imgsweep, one per file. They see ports, never adapters.
//!
//! | file | verb | started by |
//! |---|---|---|
//! | [`accept`] | store a list, create its batch, start it | a person |
//! | [`split`] | cut a list into chunks | a message on the split queue |
//! | [`analyze_chunk`] | fetch and measure the rows of a part | a message on the chunk queue |
//! | [`commit`] | make a finished part count, exactly once | the two around it |
//! | [`record_metrics`] | add a part to the indicators | a message on the metrics queue |
//! | [`finalize`] | write the report | a message on the finalize queue |
//! | [`sweep`] | find what stopped half way and set it going again | the schedule |
//! | [`progress`], [`results`], [`export`] | answer questions about a batch | a person |

pub mod accept;
pub mod analyze_chunk;
pub mod commit;
mod error;
pub mod export;
pub mod finalize;
mod hosts;
mod objects;
mod ports;
pub mod progress;
pub mod record_metrics;
mod repeated_urls;
pub mod report;
pub mod results;
mod send;
pub mod split;
pub mod sweep;

pub use error::{PipelineError, PipelineResult};
pub use ports::Ports;
pub use send::parse_message;
