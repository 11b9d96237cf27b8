//! Image bytes to measurements: synchronous, no input or output.
//!
//! ```text
//! bytes ── content::sniff ── header::probe ── limits ── decode ── Working ── features ── issues ── Measured
//! ```
//!
//! * [`sniff`] says what the bytes are, image or not; [`probe`] and [`probe_prefix`] read an image's header, without a pixel.
//! * [`Measurer::measure`] does everything: header, limits, first frame, hashes, colours, flaws.
//!
//! Every byte is untrusted. Nothing is allocated by a claimed size before the pixel limit was checked, the parsers of
//! headers have no recursion that bytes steer, and a panicking decoder is one failed image.

mod content;
mod decode;
mod error;
mod exif;
mod features;
mod header;
mod ifd;
mod issues;
mod measurer;
mod scaled;
mod view;

pub use content::{Content, sniff, type_mismatch};
pub use error::ImageError;
pub use header::{ColorSpace, Header, Probe, probe, probe_prefix};
pub use issues::{THRESHOLDS, Thresholds};
pub use measurer::{Measured, Measurer};
pub use scaled::{memory_to_scale, scaled_jpeg};
