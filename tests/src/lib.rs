//! What tests that cross crates share.

pub mod lambda;
pub mod rights;
pub mod template;
