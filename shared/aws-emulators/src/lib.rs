//! Stand-ins for AWS services on this machine, for tests: dynoxide for DynamoDB, moto for SQS, SNS, S3 and Secrets Manager.
//!
//! [`Emulators::shared`] starts them once a process, and they end with it. [`Stack::create`] makes what `template.yaml` declares, table,
//! bucket and queues under names of their own, so that tests do not meet. [`Proxy`] stands in between to count requests, to note what
//! they need the right to, and to lose answers.
#![expect(clippy::unwrap_used, reason = "without its stand-ins a test ends")]

mod access;
mod client;
mod emulators;
mod proxy;
mod stack;
mod template;

pub use access::Access;
pub use emulators::Emulators;
pub use proxy::Proxy;
pub use stack::{Stack, Subscription};
pub use template::{QueueDeclaration, Template};
