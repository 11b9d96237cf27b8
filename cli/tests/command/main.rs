//! The command, as a user starts it: one process a test, real files, a real origin on loop-back.

#![expect(
    clippy::expect_used,
    reason = "a test stops where something is not as expected"
)]

mod bench;
mod broken_lists;
mod control;
mod demo;
mod doctor;
mod plan;
mod remote;
mod resume;
mod run;
mod serve;
mod support;
mod vision;
