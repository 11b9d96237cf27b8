//! What a list can do to us, as whole scenarios: addresses that must not be dialled, servers and files that mean harm, hosts that are
//! far away or ask for patience. Each runs the engine of `imgsweep run` over a list and looks at its result rows, at what reached the
//! hosts, and at the time and memory it took. Nothing leaves loop-back.
#![expect(
    clippy::unwrap_used,
    reason = "whatever a helper cannot do ends its test"
)]

mod addresses;
mod distant_hosts;
mod hostile;
mod memory;
mod rebinding;
mod servers;
mod special_ranges;
mod support;
