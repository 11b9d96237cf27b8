//! Measurements that can be kept, compared and searched.
//!
//! | file | what |
//! |---|---|
//! | [`clock`] | processor time of a process, and what a fixed piece of work takes right now |
//! | [`machine`] | what the measurement was made on |
//! | [`record`] | a file of measurements: every sample, not only their mean |
//! | [`compare`] | whether a build has become slower, with how much certainty |
//! | [`sweep`] | the best of many settings, without measuring all of them at length |

pub mod clock;
pub mod compare;
pub mod machine;
pub mod record;
pub mod sweep;
