//! From DC coefficients to one-eighth-scale planes and small images.

use std::borrow::Cow;

use crate::frame::{ColorModel, Component, Frame};
use crate::markers::Sampling;
use crate::tables::Quantization;

/// The quantized DC coefficients of a component, in whole coded units.
pub(crate) struct CoefficientPlane {
    pub(crate) coefficients: Vec<i16>,
    /// Blocks per row.
    stride: usize,
    visible: (usize, usize),
    sampling: Sampling,
}

impl CoefficientPlane {
    pub(crate) fn new(frame: &Frame, component: Component) -> Self {
        let (units_across, units_down) = frame.units();
        let Sampling {
            horizontal,
            vertical,
        } = component.sampling;
        let stride = units_across * usize::from(horizontal);
        let coefficients = vec![0; stride * units_down * usize::from(vertical)];
        Self {
            coefficients,
            stride,
            visible: frame.visible_blocks(component),
            sampling: component.sampling,
        }
    }

    pub(crate) fn visible_blocks(&self) -> usize {
        self.visible.0 * self.visible.1
    }

    /// The mean sample of each visible block.
    pub(crate) fn to_plane(&self, quantization: &Quantization) -> Plane {
        let (width, height) = self.visible;
        let sample_of = mean_of_dc(quantization[0]);
        let mut samples = Vec::with_capacity(width * height);
        for row in self.coefficients.chunks_exact(self.stride).take(height) {
            samples.extend(row[..width].iter().map(|&dc| sample_of(dc)));
        }
        Plane {
            width: width as u32,
            height: height as u32,
            horizontal_sampling: self.sampling.horizontal,
            vertical_sampling: self.sampling.vertical,
            samples,
        }
    }
}

/// From a quantized DC coefficient to the block's mean. The coefficient is eight times that, level-shifted (T.81, A.3.1 and A.3.3).
///
/// In 16 bits throughout, of which vector instructions handle the most at once: what is out of range before it is multiplied
/// is cut off to values that come to black or white all the same.
fn mean_of_dc(step: u16) -> impl Fn(i16) -> u8 {
    /// The mean is black or white from here on.
    const SATURATED: i16 = 8 * 256;
    let step = step.clamp(1, 16 * 1024).cast_signed();
    let limit = SATURATED / step + 1;
    move |dc| {
        let scaled = dc.clamp(-limit, limit) * step;
        (((scaled + 4) >> 3) + 128).clamp(0, 255) as u8
    }
}

/// One component at one eighth of its own resolution: a sample is the mean of an 8×8 block.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Plane {
    /// Samples across: an eighth of the component's width, rounded up.
    pub width: u32,
    /// Samples down, likewise.
    pub height: u32,
    /// The component's horizontal sampling factor, to be compared with those of the others.
    pub horizontal_sampling: u8,
    /// The component's vertical sampling factor.
    pub vertical_sampling: u8,
    /// Row by row, without padding.
    pub samples: Vec<u8>,
}

/// An image at one eighth of the size, rounded up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SmallImage {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Row by row, without padding; one byte per pixel of a luma image, three of an RGB image.
    pub pixels: Vec<u8>,
}

/// Planes on their way to an image of the given size.
pub(crate) struct Assembly<'a> {
    pub(crate) planes: &'a [Plane],
    pub(crate) color: ColorModel,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Assembly<'_> {
    pub(crate) fn luma(&self) -> SmallImage {
        let pixels = match (self.color, self.planes) {
            (ColorModel::Rgb, [red, green, blue]) => {
                let [red, green, blue] = [red, green, blue].map(|plane| self.full_size(plane));
                let pixels = red.iter().zip(green.iter()).zip(blue.iter());
                pixels
                    .map(|((&red, &green), &blue)| luma_of(red, green, blue))
                    .collect()
            }
            (_, [luma, ..]) => self.full_size(luma).into_owned(),
            _ => Vec::new(),
        };
        self.image(pixels)
    }

    pub(crate) fn rgb(&self) -> SmallImage {
        let mut bytes = vec![0; 3 * self.width as usize * self.height as usize];
        let (pixels, _) = bytes.as_chunks_mut::<3>();
        match self.planes {
            [first, second, third] => {
                let [first, second, third] =
                    [first, second, third].map(|plane| self.full_size(plane));
                let samples = first.iter().zip(second.iter()).zip(third.iter());
                for (pixel, ((&first, &second), &third)) in pixels.iter_mut().zip(samples) {
                    *pixel = match self.color {
                        ColorModel::Rgb => [first, second, third],
                        _ => rgb_of(first, second, third),
                    };
                }
            }
            [only, ..] => {
                for (pixel, &sample) in pixels.iter_mut().zip(self.full_size(only).iter()) {
                    *pixel = [sample; 3];
                }
            }
            [] => {}
        }
        self.image(bytes)
    }

    fn image(&self, pixels: Vec<u8>) -> SmallImage {
        SmallImage {
            width: self.width,
            height: self.height,
            pixels,
        }
    }

    /// A plane with as many samples as the image has pixels, interpolated linearly between sample centres where it is
    /// subsampled.
    fn full_size<'p>(&self, plane: &'p Plane) -> Cow<'p, [u8]> {
        let largest = |factor: fn(&Plane) -> u8| self.planes.iter().map(factor).max().unwrap_or(1);
        let horizontal = (
            plane.horizontal_sampling,
            largest(|plane| plane.horizontal_sampling),
        );
        let vertical = (
            plane.vertical_sampling,
            largest(|plane| plane.vertical_sampling),
        );
        if horizontal.0 == horizontal.1 && vertical.0 == vertical.1 {
            return Cow::Borrowed(&plane.samples);
        }
        let stretch = Stretch::new(self.width, plane.width, horizontal);
        let mut blended = vec![0_u16; plane.width as usize];
        let mut full = vec![0; self.width as usize * self.height as usize];
        let rows = taps(self.height, plane.height, vertical);
        for (row, full) in rows.iter().zip(full.chunks_exact_mut(self.width as usize)) {
            let line = |index: usize| {
                &plane.samples[index * plane.width as usize..][..plane.width as usize]
            };
            for ((blend, &near), &far) in blended.iter_mut().zip(line(row.near)).zip(line(row.far))
            {
                *blend = u16::from(near) * (TAP_ONE - row.weight) + u16::from(far) * row.weight;
            }
            stretch.apply(&blended, full);
        }
        Cow::Owned(full)
    }
}

/// How a line becomes as long as the image is wide.
enum Stretch {
    Not,
    /// To twice the length or one less, as almost always.
    Twice,
    Any(Vec<Tap>),
}

impl Stretch {
    fn new(length: u32, samples: u32, ratio: (u8, u8)) -> Self {
        match ratio {
            (factor, largest) if factor == largest => Self::Not,
            (factor, largest) if 2 * factor == largest => Self::Twice,
            _ => Self::Any(taps(length, samples, ratio)),
        }
    }

    /// `line` is in units of one [`TAP_ONE`]th.
    fn apply(&self, line: &[u16], full: &mut [u8]) {
        match self {
            Self::Not => {
                for (full, &sample) in full.iter_mut().zip(line) {
                    *full = ((sample + TAP_ONE / 2) / TAP_ONE) as u8;
                }
            }
            Self::Twice => twice(line, full),
            Self::Any(taps) => {
                for (full, tap) in full.iter_mut().zip(taps) {
                    let near = u32::from(line[tap.near]) * u32::from(TAP_ONE - tap.weight);
                    let far = u32::from(line[tap.far]) * u32::from(tap.weight);
                    let one = u32::from(TAP_ONE) * u32::from(TAP_ONE);
                    *full = ((near + far + one / 2) / one) as u8;
                }
            }
        }
    }
}

/// What the taps come to when the length doubles: three quarters of a sample and a quarter of one of its neighbours.
fn twice(line: &[u16], full: &mut [u8]) {
    const ONE: u16 = 4 * TAP_ONE;
    let blend = |near: u16, far: u16| ((3 * near + far + ONE / 2) / ONE) as u8;
    let (Some(&first), Some(&last)) = (line.first(), line.last()) else {
        return;
    };
    let middles = 2 * (line.len() - 1);
    if let [head, rest @ ..] = full {
        *head = blend(first, first);
        let (pairs, _) = rest.as_chunks_mut::<2>();
        for ((pair, &left), &right) in pairs.iter_mut().zip(line).zip(&line[1..]) {
            *pair = [blend(left, right), blend(right, left)];
        }
        // The outer half of the last sample, which an odd length leaves out.
        if let Some(tail) = rest.get_mut(middles) {
            *tail = blend(last, last);
        }
    }
}

/// The weights of both samples of a [`Tap`] add up to this.
const TAP_ONE: u16 = 64;

/// The two samples that a stretched sample lies between, and the weight of the farther.
struct Tap {
    near: usize,
    far: usize,
    weight: u16,
}

/// One tap per sample of a line stretched to `length` from `samples`, by the ratio of a component's sampling factor to the
/// largest one. Samples are taken to be at their centres, as every chroma upsampler does for JFIF.
fn taps(length: u32, samples: u32, (factor, largest): (u8, u8)) -> Vec<Tap> {
    let (scale, last) = (
        f64::from(factor) / f64::from(largest),
        samples.saturating_sub(1) as usize,
    );
    let tap = |index: u32| {
        let position = ((f64::from(index) + 0.5) * scale - 0.5).max(0.0);
        let near = (position as usize).min(last);
        let weight = ((position - near as f64).clamp(0.0, 1.0) * f64::from(TAP_ONE)).round() as u16;
        Tap {
            near,
            far: (near + 1).min(last),
            weight,
        }
    };
    (0..length).map(tap).collect()
}

/// ITU-R BT.601 luma in 16-bit fixed point.
fn luma_of(red: u8, green: u8, blue: u8) -> u8 {
    ((u32::from(red) * 19_595 + u32::from(green) * 38_470 + u32::from(blue) * 7_471 + 0x8000) >> 16)
        as u8
}

/// The JFIF conversion (ITU-T T.871, clause 7) in 16-bit fixed point.
#[inline(always)]
fn rgb_of(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let y = (i32::from(y) << 16) + 0x8000;
    let (cb, cr) = (i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + 91_881 * cr;
    let green = y - 22_554 * cb - 46_802 * cr;
    let blue = y + 116_130 * cb;
    [red, green, blue].map(|value| (value >> 16).clamp(0, 255) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halved_samples_are_interpolated_at_their_centres() {
        let taps = taps(5, 3, (1, 2));
        let weights: Vec<_> = taps
            .iter()
            .map(|tap| (tap.near, tap.far, tap.weight))
            .collect();
        assert_eq!(
            weights,
            [(0, 1, 0), (0, 1, 16), (0, 1, 48), (1, 2, 16), (1, 2, 48)]
        );
    }

    #[test]
    fn means_are_those_of_exact_arithmetic_for_every_coefficient_and_step() {
        for step in [1_u16, 2, 3, 7, 16, 99, 255, 256, 2048, 16_000, 16_384] {
            let sample_of = mean_of_dc(step);
            for dc in i16::MIN..=i16::MAX {
                let exact = ((i32::from(dc) * i32::from(step) + 4) >> 3) + 128;
                assert_eq!(
                    i32::from(sample_of(dc)),
                    exact.clamp(0, 255),
                    "{dc} × {step}"
                );
            }
        }
        assert_eq!(mean_of_dc(u16::MAX)(1), 255);
    }

    #[test]
    fn colours_convert_as_jfif_says() {
        assert_eq!(rgb_of(0, 128, 128), [0, 0, 0]);
        assert_eq!(rgb_of(255, 128, 128), [255, 255, 255]);
        assert_eq!(rgb_of(76, 85, 255), [254, 0, 0]);
        assert_eq!(luma_of(255, 0, 0), 76);
        assert_eq!(luma_of(255, 255, 255), 255);
    }
}
