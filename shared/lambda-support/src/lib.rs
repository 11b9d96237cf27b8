//! What the Lambda functions share, so that each of them is a table of contents, a handler and its wiring.
//!
//! | module | what |
//! |---|---|
//! | [`environment`] | variables, read once, every fault reported together |
//! | [`settings`] | what the variables mean: profile, limits, manners |
//! | [`manners`] | how other people's servers are asked |
//! | [`notices`] | whoever tells of reports |
//! | [`scaling`] | whether advice to scale is acted on |
//! | [`logging`] | one JSON object a line |
//! | [`sqs`] | an event of messages, handled one by one, answered with those that failed |
//! | [`notification`] | what the bucket says when an object arrived |
//! | `http` | state of the router, with tokens from a secret (feature `http`) |
//! | `wiring` | the ports over AWS |
//! | [`metrics`] | names of the metrics, and the lines that carry them |

pub mod environment;
#[cfg(feature = "http")]
pub mod http;
pub mod logging;
pub mod manners;
pub mod metrics;
pub mod notices;
pub mod notification;
pub mod scaling;
pub mod settings;
pub mod sqs;
pub mod vision;
mod wiring;

pub use environment::{ConfigurationError, Environment};
pub use wiring::{Observed, observed, observed_and_scaled};
