//! One-eighth-scale planes and a sharpness measure from a JPEG entropy stream, without decoding it.
//!
//! The first coefficient of each 8×8 block, DC, is eight times the block's mean. So the DC coefficients are the image at one
//! eighth of the size, which is what perceptual hashes, mean colours and palettes are computed from; and reading them takes
//! no inverse transform, no upsampling and no memory for pixels. To get from one DC coefficient to the next in a sequential
//! file, all AC symbols in between have to be walked: their squares, per frequency, give the sharpness and texture of the
//! full-resolution image on the way ([`Detail`]). A progressive file has its DC coefficients in scans of their own; of the luma's
//! AC scans as much is walked as the detail needs, and everything else is jumped over.
//!
//! ```
//! # fn look(bytes: &[u8]) -> Result<(), jpeg_skim::Error> {
//! let skim = jpeg_skim::skim(bytes, &jpeg_skim::Options::default())?;
//! let small = skim.to_rgb8();
//! println!("{}×{}, at one eighth {}×{}", skim.width, skim.height, small.width, small.height);
//! # Ok(()) }
//! ```
//!
//! # What is skimmed
//!
//! Huffman-coded 8-bit files with one or three components: baseline (SOF0), extended sequential (SOF1) and progressive (SOF2),
//! with any sampling factors, scan structure and restart intervals. Everything else is a [`Declined`] error and meant for
//! a library decoder, as is a [`Corrupt`](Error::Corrupt) file: this crate is stricter than most decoders, which show something
//! whatever the flaw. References are to ITU-T T.81.
//!
//! # Cost
//!
//! `cargo run --release -p jpeg-skim --example skim_speed [FILE…]` measures it. On a 4 GHz x86-64 core sequential files take about
//! 4 ms per megabyte, a third of what a vectorised full decoder takes, and progressive ones about 5 ms, a tenth; without
//! the detail progressive files take a third of that.
//!
//! # Untrusted bytes
//!
//! No input panics. Memory follows the frame's size, which is checked against [`Limits`] first; time is bounded by the length of
//! the input plus, for each of at most some hundred scans, one step per block.

#![expect(
    clippy::inline_always,
    reason = "the walks are a tenth slower without: the bit reader has to stay in registers"
)]

mod baseline;
mod bits;
mod coefficients;
mod detail;
mod error;
mod frame;
mod huffman;
mod markers;
mod planes;
mod progressive;
mod scan;
mod skim;
mod tables;

pub use detail::Detail;
pub use error::{Declined, Error, Flaw};
pub use frame::{Coding, ColorModel};
pub use markers::{Header, Sampling, header};
pub use planes::{Plane, SmallImage};
pub use skim::{Limits, Options, Skim, skim};

/// Below this side length, in pixels, a skim has fewer than 8×8 samples, too few for a perceptual hash. It is not checked
/// here: callers decode smaller images in full, which costs next to nothing.
pub const SMALLEST_USEFUL_SIDE: u32 = 64;
