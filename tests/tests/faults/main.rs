//! Storms: everything that can go wrong with messages, calls and processes goes wrong at once, again and again, in an order that follows
//! from a seed. Whatever happens, every row has one result, counts agree with a recount, and the batch ends once.
//!
//! `make test` plays a few seeds, `make faults` as many as it takes to believe it. A storm that breaks a promise tells its seed;
//! `STORM_SEED=<seed>` plays that one alone.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "whatever a helper cannot do ends its test, and a season says what it came to"
)]

mod model;
mod mutants;
mod oracle;
mod origin;
mod outages;
mod storm;
mod storms;
mod wishes;
mod workshop;
mod world;
