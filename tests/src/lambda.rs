//! AWS Lambda on this machine: the real binaries as child processes, between a runtime API and what calls them.
//!
//! | file | stands in for |
//! |---|---|
//! | [`Function`] | the service: starts execution environments, hands each of them one event at a time, ends them at the time-out |
//! | [`EventSource`] | an SQS event source mapping: batch size, window, partial batch responses |
//! | [`Gateway`] | an HTTP API with payload format 2.0 |

mod event_source;
mod function;
mod gateway;
mod runtime_api;

pub use event_source::EventSource;
pub use function::{Function, FunctionSettings, InvokeError};
pub use gateway::Gateway;
pub use runtime_api::{Answer, RuntimeApi};
