//! The command, as a user starts it: one process a test, real files, a real origin on loop-back.

mod broken_lists;
mod resume;
mod run;
mod serve;
mod support;
