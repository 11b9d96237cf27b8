//! `ThumbHash`: a blurred preview in some 25 bytes.

use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::thumbhash::encode;
use crate::decode::Working;

/// Longest side of the image the hash is made of. It keeps three and a half waves across at most; more pixels
/// than these, of the 100 allowed, change nothing that can be seen.
const LONGEST_SIDE: f64 = 32.0;

/// The hash of the image with its alpha, as stored: no orientation applied. Base 64, standard alphabet, padded.
pub(super) fn thumbhash(working: &Working) -> String {
    let (width, height) = (f64::from(working.source.0), f64::from(working.source.1));
    let scale = (LONGEST_SIDE / width.max(height)).min(1.0);
    let side = |source: f64, working: usize| ((source * scale).round() as usize).clamp(1, working);
    let width = side(width, working.width);
    let height = side(height, working.height);
    let mut pixels = Vec::with_capacity(width * height);
    for y in 0..height {
        let rows = share(y, height, working.height);
        for x in 0..width {
            let columns = share(x, width, working.width);
            pixels.push(match &working.alpha {
                None => opaque_mean(working, rows.clone(), columns),
                Some(alpha) => mean(working, alpha, rows.clone(), columns),
            });
        }
    }
    STANDARD.encode(encode(width, &pixels))
}

/// The source samples behind one of `to` target samples: at least one, since a target is never larger.
fn share(index: usize, to: usize, from: usize) -> Range<usize> {
    index * from / to..(index + 1) * from / to
}

fn opaque_mean(working: &Working, rows: Range<usize>, columns: Range<usize>) -> [u8; 4] {
    let mut sums = [0_u32; 3];
    let count = (rows.len() * columns.len()) as u32;
    for y in rows {
        let line = &working.rgb[y * working.width..][columns.clone()];
        for color in line {
            for (sum, channel) in sums.iter_mut().zip(color) {
                *sum += u32::from(*channel);
            }
        }
    }
    let [red, green, blue] = sums.map(|sum| (sum / count) as u8);
    [red, green, blue, 255]
}

/// Mean colour, each pixel weighing as much as it is opaque, and mean alpha.
fn mean(working: &Working, alpha: &[u8], rows: Range<usize>, columns: Range<usize>) -> [u8; 4] {
    let (mut sums, mut alphas, mut count) = ([0_u32; 3], 0, 0);
    for y in rows {
        for x in columns.clone() {
            let at = y * working.width + x;
            let alpha = u32::from(alpha[at]);
            for (sum, channel) in sums.iter_mut().zip(working.rgb[at]) {
                *sum += u32::from(channel) * alpha;
            }
            alphas += alpha;
            count += 1;
        }
    }
    let [red, green, blue] = sums.map(|sum| sum.checked_div(alphas).unwrap_or(0) as u8);
    [red, green, blue, (alphas / count) as u8]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::working_of_luma;

    fn decoded(hash: &str) -> (usize, usize, Vec<u8>) {
        let bytes = STANDARD.decode(hash).unwrap();
        ::thumbhash::thumb_hash_to_rgba(&bytes).unwrap()
    }

    #[test]
    fn the_preview_shows_light_where_light_is() {
        let working = working_of_luma(300, 100, |x, _| if x < 150 { 20 } else { 230 });
        let (width, height, pixels) = decoded(&thumbhash(&working));
        assert!(width > 2 * height);
        let middle = height / 2 * width;
        let left = pixels[4 * (middle + 2)];
        let right = pixels[4 * (middle + width - 3)];
        assert!(left < 80 && right > 180, "{left} {right}");
    }

    #[test]
    fn an_image_of_one_pixel_has_a_preview() {
        let working = working_of_luma(1, 1, |_, _| 128);
        assert!(!thumbhash(&working).is_empty());
    }
}
