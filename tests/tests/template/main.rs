//! `template.yaml`, `samconfig.toml` and `events/`: numbers that have to fit each other, rights that have to be justified, names that
//! have to be the same as in the code.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops where something is not as expected"
)]

mod events;
mod monitoring;
mod numbers;
mod planned;
mod rights;
mod scaling;
mod storage;
mod vision;
