//! The use cases over the embedded adapters and an origin on loop-back: repeats, crashes, lost answers, and a recount of the result
//! objects at the end. The test plays every stage, so that it decides what is delivered when.
#![expect(
    clippy::unwrap_used,
    reason = "whatever a helper cannot do ends its test"
)]

mod accept;
mod analyze;
mod cancel;
mod chain;
mod changes;
mod chunk_size;
mod completion;
mod delete;
mod duplicates;
mod export;
mod faults;
mod idempotency;
mod intake;
mod interrupted_analysis;
mod interrupted_split;
mod retry;
mod scale;
mod split;
mod support;
mod sweep;
mod tables;
mod uploaded;
mod webhook;
