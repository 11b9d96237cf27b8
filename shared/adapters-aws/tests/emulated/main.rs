//! The AWS adapter over stand-ins for the services: the promises of the ports, and what only this adapter has to stand.
#![expect(clippy::unwrap_used, reason = "a fault ends the test")]

mod contract;
mod lost_answers;
mod objects;
mod secrets;
mod table;
mod wire;

use adapters_aws::{Aws, Settings};
use aws_emulators::Stack;

/// The deployment that a stack is the other side of.
fn aws(stack: &Stack) -> Aws {
    let settings = Settings::from_lookup(|name| stack.variables().get(name).cloned()).unwrap();
    Aws::new(settings).unwrap()
}
