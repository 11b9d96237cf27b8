//! What the fuzz targets share: a limit on memory, for every target that links this crate, and how the target of the list reader
//! spells its options.

pub mod list_input;

use std::alloc::System;

use cap::Cap;

/// Bytes that may be allocated at once: many times what any target needs at its limits, and far less than a file can claim.
const MAX_ALLOCATED_BYTES: usize = 128 * 1024 * 1024;

/// Makes an allocation by a claimed size fail, and with it the target. The resident size, which libFuzzer watches, does not show
/// memory that is allocated and never touched.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, MAX_ALLOCATED_BYTES);
