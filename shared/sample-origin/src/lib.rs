//! A seeded corpus of real images and a loop-back host that serves them well, slowly, broken or lying.
//!
//! [`corpus`] paints and encodes pictures; the same seed gives the same bytes on every machine. [`hostile`] holds files that attack a
//! decoder. [`origin`] serves both on 127.0.0.1, with a route for each way a host can misbehave.

pub mod corpus;
pub mod hostile;
pub mod origin;

pub use corpus::{Corpus, Profile, Sample, Variant};
pub use origin::{HostLoad, Origin, OriginError, OriginOptions};
