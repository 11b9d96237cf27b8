//! From the working image to numbers.
//!
//! Hashes are computed of the colours as stored, without regard to alpha, as Pillow's conversion to luma does. Everything
//! else is computed of what a person sees on a white page: the colours over white.

mod color;
mod hash;
mod palette;
mod preview;
mod resample;
mod thumbhash;

use domain::Measurement;

use crate::decode::Working;
use crate::issues::Tones;

/// Fills in every feature of pixels. Returns what decides on flaws beside them.
pub(crate) fn measure(working: &Working, measurement: &mut Measurement) -> Tones {
    let seen = color::over_white(working);
    let statistics = color::Statistics::of(&seen);
    measurement.phash = Some(hash::phash(working));
    measurement.dhash = Some(hash::dhash(working));
    measurement.thumbhash = Some(preview::thumbhash(working));
    measurement.mean_rgb = Some(statistics.mean);
    measurement.palette = palette::dominant_colors(&seen);
    measurement.brightness = Some(statistics.brightness);
    measurement.contrast = Some(statistics.contrast);
    measurement.saturation = Some(statistics.saturation);
    measurement.entropy = Some(statistics.entropy);
    measurement.sharpness = working.sharpness;
    statistics.tones
}
