//! The use cases of imgsweep, one per file. They see ports, never adapters.
//!
//! | file | verb | started by |
//! |---|---|---|
//! | [`accept`] | store a list, create its batch, start it | a person |
//! | [`uploaded`] | take in a list that was handed in at a presigned address | news from the object store |
//! | [`split`] | cut a list into chunks | a message on the split queue |
//! | [`analyze_chunk`] | fetch and measure the rows of a part | a message on the chunk queue |
//! | [`commit`] | make a finished part count, exactly once | the two around it |
//! | [`label_images`] | ask a model what the images of a part show | a message on a vision queue |
//! | [`earlier`] | gather what an earlier batch knows of the same URLs | the split, where a batch is compared |
//! | [`record_metrics`] | add a part to the indicators | a message on the metrics queue |
//! | [`find_duplicates`] | find images that are the same, or nearly | the next |
//! | [`finalize`] | write the report | a message on the finalize queue |
//! | [`notify`] | tell the address that a batch names that its report is there | the same message, and again later |
//! | [`sweep`] | find what stopped half way and set it going again | the schedule |
//! | [`scale`] | advise on workers, and act on it where that is wished | the schedule |
//! | [`mod@chunk_size`] | let the rows in a chunk follow what is measured | the schedule, the split |
//! | [`cancel`], [`retry`], [`delete`], [`intake`] | stop a batch, do rows of it again, remove it; hold all new work | a person |
//! | [`idempotency`] | carry out a request once that is sent twice | a person's client |
//! | [`control`] | let parts under way follow what their owner changes | the analyser |
//! | [`progress`], [`results`], [`export`] | answer questions about a batch | a person |
//! | [`downloads`], [`table_pieces`] | write tables that are too large for an answer; in pieces | a person, a message on the finalize queue |
//! | [`preview`] | show how a list would be read | a person |
//! | [`memory_watch`] | tell when a process had better begin nothing further | every process that analyses |
//! | [`recorder`], [`observe`] | count what a process sees of itself; gather what monitoring needs | every process |

pub mod accept;
pub mod analyze_chunk;
mod annotations;
pub mod cancel;
pub mod chunk_size;
pub mod commit;
pub mod control;
pub mod delete;
pub mod downloads;
pub mod duplicate_index;
pub mod earlier;
mod error;
pub mod expire;
pub mod export;
pub mod finalize;
pub mod find_duplicates;
mod hosts;
pub mod idempotency;
pub mod intake;
pub mod label_images;
mod leftovers;
pub mod memory_watch;
pub mod notify;
mod objects;
pub mod observe;
mod parts;
mod ports;
pub mod preview;
mod process_vitals;
pub mod progress;
pub mod record_metrics;
pub mod recorder;
mod repeated_urls;
pub mod report;
pub mod results;
pub mod retry;
pub mod rule_packs;
pub mod scale;
mod send;
pub mod split;
pub mod sweep;
pub mod table_pieces;
pub mod uploaded;
mod vision_answers;

pub use error::{PipelineError, PipelineResult};
pub use ports::Ports;
pub use send::parse_message;
