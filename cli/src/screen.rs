//! What a person sees: progress while it runs, a report at the end.

pub(crate) mod progress;
pub(crate) mod report;
