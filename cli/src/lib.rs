//! imgsweep on the command line: the whole pipeline on one machine.
//!
//! [`engine`] runs the use cases over the embedded adapters; `commands` has one file for each thing a person can ask;
//! `screen` is what they see of it.

pub mod args;
mod client;
mod commands;
pub mod engine;
mod list_run;
mod screen;

pub use commands::main;
