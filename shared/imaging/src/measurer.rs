//! The one way in: bytes and a mode, measurement or error.

use std::panic::{AssertUnwindSafe, catch_unwind};

use domain::{ImageFormat, Limits, MeasureMode, Measurement};
use sha2::{Digest, Sha256};

use crate::decode::{self, Job};
use crate::error::ImageError;
use crate::features;
use crate::header::{self, Header};
use crate::issues;

/// The pixel limit is never above this: sums over the pixels of an image are kept in 32 bits.
const HARD_PIXEL_LIMIT: u64 = 1 << 30;

/// Longest side that is decoded, twice what most formats can say: decoders hold whole rows, so that one row of all the pixels
/// the limit lets through would take many times the memory of a square.
const LONGEST_SIDE: u32 = 131_072;

/// Measures images under limits. Cheap to make and to share.
#[derive(Debug, Clone)]
pub struct Measurer {
    max_pixels: u64,
}

/// What became of one image's bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Everything measured.
    pub measurement: Measurement,
    /// SHA-256 of the bytes (FIPS 180-4); `None` in header mode, where not all of them may be at hand.
    pub sha256: Option<[u8; 32]>,
}

impl Measurer {
    /// A measurer under these limits.
    pub fn new(limits: &Limits) -> Self {
        Self {
            max_pixels: limits.max_pixels.min(HARD_PIXEL_LIMIT),
        }
    }

    /// Measures `bytes`: a whole file, or in [`MeasureMode::Header`] any beginning of one that holds its dimensions.
    ///
    /// AVIF is measured from its header in every mode.
    ///
    /// # Errors
    ///
    /// See [`ImageError`]. A decoder that panics is [`ImageError::Decode`]; the process's panic hook still runs.
    pub fn measure(&self, bytes: &[u8], mode: MeasureMode) -> Result<Measured, ImageError> {
        let header = match mode {
            MeasureMode::Header => header::probe_leniently(bytes)?,
            MeasureMode::Fast | MeasureMode::Full => header::probe(bytes)?,
        };
        self.check_pixels(&header)?;
        let mut measurement = header.to_measurement();
        if mode == MeasureMode::Header {
            measurement.issues = issues::find(&measurement, None);
            return Ok(Measured {
                measurement,
                sha256: None,
            });
        }
        check_sides(&header)?;
        // A JPEG may lack nothing but the marker at its end, which its decoder finds out.
        if !header.is_complete && header.format != ImageFormat::Jpeg {
            return Err(ImageError::Truncated {
                format: header.format,
                bytes: bytes.len() as u64,
            });
        }
        let mut tones = None;
        if header.format != ImageFormat::Avif {
            let job = Job {
                bytes,
                header: &header,
                mode,
                max_pixels: self.max_pixels,
            };
            let working = catch_unwind(AssertUnwindSafe(|| job.run())).unwrap_or_else(|_| {
                let reason = "the decoder stopped on an error of its own";
                Err(ImageError::decode(header.format, reason))
            })?;
            tones = Some(features::measure(&working, &mut measurement));
        }
        measurement.issues = issues::find(&measurement, tones);
        Ok(Measured {
            measurement,
            sha256: Some(Sha256::digest(bytes).into()),
        })
    }

    /// Bytes of memory that measuring an image with this header may take at its peak, beside the file itself: what a
    /// caller's allowance has to cover.
    pub fn memory_needed(&self, header: &Header, mode: MeasureMode) -> u64 {
        if mode == MeasureMode::Header {
            return 0;
        }
        let pixels = u64::from(header.width) * u64::from(header.height);
        decode::memory_needed(header.format, pixels.min(self.max_pixels))
    }

    fn check_pixels(&self, header: &Header) -> Result<(), ImageError> {
        if header.pixels() <= self.max_pixels {
            return Ok(());
        }
        Err(ImageError::PixelLimit {
            width: header.width,
            height: header.height,
            frames: header.frames.unwrap_or(1),
            limit: self.max_pixels,
        })
    }
}

fn check_sides(header: &Header) -> Result<(), ImageError> {
    let longer_side = header.width.max(header.height);
    if longer_side <= LONGEST_SIDE {
        return Ok(());
    }
    let reason = format!("a side of {longer_side} pixels is longer than {LONGEST_SIDE}");
    Err(ImageError::TooLarge {
        format: header.format,
        reason,
    })
}
