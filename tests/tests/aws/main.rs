//! The whole chain as it runs on AWS: the real binaries of the functions, over stand-ins for the services.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test stops where something is not as expected, and says what it counted"
)]

mod cancel;
mod deployment;
mod embedded;
mod faults;
mod journey;
mod labels;
mod rights;
mod upload;
