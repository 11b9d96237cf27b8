//! Flaws that the measurements of one image show, and the one table of their thresholds.

use domain::{Issue, Measurement};

/// Where a measurement becomes a flaw. Each comparison is strict.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// `dark` where even the brightest twentieth of the pixels starts below this luma (0 … 1). The mean would call every jewel on
    /// black velvet dark.
    pub dark_below_highlights: f32,
    /// `bright` where even the darkest twentieth ends above this luma. The mean would call every small product on white bright.
    pub bright_above_shadows: f32,
    /// `low_contrast` below this standard deviation of luma (0 … 0.5).
    pub low_contrast_below: f32,
    /// `blurry` where the variance of the Laplacian is below this share of the variance of luma. The variance of the Laplacian
    /// alone would call every picture of little contrast blurry. A photograph comes to 0.005 and more, one blurred by a Gaussian
    /// of two pixels to 0.001. (`sharpness` in result rows is the plain variance.)
    pub blurry_below_share: f32,
    /// `low_information` below this entropy of luma (0 … 8 bits). Half a bit is some 90 % of the pixels of one value.
    pub low_information_below_entropy: f32,
    /// `odd_aspect_ratio` above this ratio of the longer side to the shorter.
    pub odd_aspect_ratio_above: f64,
    /// `small` below this number of pixels in a frame.
    pub small_below_pixels: u64,
    /// A pixel counts as coloured above this distance between its largest and its smallest channel (0 … 255). JPEG
    /// rounding colours a gray pixel by up to some 4.
    pub coloured_above_spread: u8,
    /// `grayscale` below this share of coloured pixels (0 … 1).
    pub grayscale_below_coloured_share: f32,
}

/// The thresholds that are used.
pub const THRESHOLDS: Thresholds = Thresholds {
    dark_below_highlights: 0.25,
    bright_above_shadows: 0.75,
    low_contrast_below: 0.05,
    blurry_below_share: 0.002,
    low_information_below_entropy: 0.5,
    odd_aspect_ratio_above: 4.0,
    small_below_pixels: 200 * 200,
    coloured_above_spread: 12,
    grayscale_below_coloured_share: 0.005,
};

/// What decides on flaws and is not part of a result row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tones {
    /// Luma that a twentieth of the pixels is not above, 0 … 1.
    pub(crate) shadows: f32,
    /// Luma that a twentieth of the pixels is not below, 0 … 1.
    pub(crate) highlights: f32,
    /// Share of pixels that have a colour, 0 … 1.
    pub(crate) coloured_share: f32,
}

/// The flaws of an image, in the order of [`Issue::ALL`]. What was not measured shows none.
pub(crate) fn find(measurement: &Measurement, tones: Option<Tones>) -> Vec<Issue> {
    let limits = &THRESHOLDS;
    let has_tones =
        |test: fn(Tones, &Thresholds) -> bool| tones.is_some_and(|tones| test(tones, limits));
    let below = |value: Option<f32>, limit: f32| value.is_some_and(|value| value < limit);
    let (width, height) = (measurement.width, measurement.height);
    let (longer, shorter) = (width.max(height), width.min(height));
    let pixels = u64::from(width) * u64::from(height);
    let has = |issue: &Issue| match issue {
        Issue::Dark => has_tones(|tones, limits| tones.highlights < limits.dark_below_highlights),
        Issue::Bright => has_tones(|tones, limits| tones.shadows > limits.bright_above_shadows),
        Issue::LowContrast => below(measurement.contrast, limits.low_contrast_below),
        Issue::Blurry => is_blurry(measurement),
        Issue::LowInformation => below(measurement.entropy, limits.low_information_below_entropy),
        Issue::Grayscale => {
            has_tones(|tones, limits| tones.coloured_share < limits.grayscale_below_coloured_share)
        }
        Issue::OddAspectRatio => {
            f64::from(longer) > f64::from(shorter) * limits.odd_aspect_ratio_above
        }
        Issue::Small => pixels < limits.small_below_pixels,
        // Told by what is around the image: its answer, its host, the other rows.
        _ => false,
    };
    Issue::ALL.iter().copied().filter(has).collect()
}

fn is_blurry(measurement: &Measurement) -> bool {
    let (Some(sharpness), Some(contrast)) = (measurement.sharpness, measurement.contrast) else {
        return false;
    };
    let variance_of_luma = (255.0 * contrast).powi(2);
    sharpness < variance_of_luma * THRESHOLDS.blurry_below_share
}

#[cfg(test)]
mod tests {
    use domain::ImageFormat;

    use super::*;

    #[test]
    fn a_header_alone_shows_only_flaws_of_shape() {
        let banner = Measurement::of_header(ImageFormat::Png, 1000, 10);
        assert_eq!(find(&banner, None), [Issue::OddAspectRatio, Issue::Small]);
        let picture = Measurement::of_header(ImageFormat::Png, 800, 200);
        assert_eq!(find(&picture, None), []);
    }

    #[test]
    fn each_threshold_is_strict() {
        let mut measured = Measurement::of_header(ImageFormat::Png, 800, 600);
        measured.contrast = Some(THRESHOLDS.low_contrast_below);
        let mut tones = Tones {
            shadows: THRESHOLDS.bright_above_shadows,
            highlights: THRESHOLDS.dark_below_highlights,
            coloured_share: THRESHOLDS.grayscale_below_coloured_share,
        };
        assert_eq!(find(&measured, Some(tones)), []);
        tones.highlights = 0.2;
        tones.coloured_share = 0.0;
        measured.contrast = Some(0.04);
        measured.sharpness = Some(0.2);
        measured.entropy = Some(0.1);
        let all = [
            Issue::Dark,
            Issue::LowContrast,
            Issue::Blurry,
            Issue::LowInformation,
            Issue::Grayscale,
        ];
        assert_eq!(find(&measured, Some(tones)), all);
    }
}
