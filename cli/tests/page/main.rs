//! The page, driven by a real browser without a window: `make check-page` says what it needs.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test stops where something is not as expected"
)]

mod browser;
mod journey;
mod outage;
mod server;
