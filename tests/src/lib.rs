//! What tests that cross crates share.
