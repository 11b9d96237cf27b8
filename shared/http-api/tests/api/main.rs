//! The router over the embedded adapters, without a socket and without an engine: what is asked and what is answered.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops where something is not as expected"
)]

mod control;
mod idempotency;
mod monitoring;
mod page;
mod presigned;
mod routes;
mod support;
mod tokens;
mod vision;
mod walk;
