//! What tests that cross crates share.

pub mod labelling;
pub mod lambda;
pub mod rights;
pub mod stand_in;
pub mod template;
