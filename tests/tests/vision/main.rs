//! The labelling of images across crates: what is paid, what waiting costs, what an owner reads in the end.
#![expect(clippy::unwrap_used, reason = "a fault ends the test")]

mod answers;
mod pay_once;
mod rekognition;
mod scene;
mod waiting;
