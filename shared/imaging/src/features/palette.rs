//! Up to five dominant colours: median cut for a start, then a few rounds of k-means. Whole numbers throughout, so that the
//! same pixels give the same colours everywhere.

use domain::Rgb;

/// Colours found at most.
const COLORS: usize = 5;
/// Pixels looked at, at most.
const MAX_PIXELS: usize = 2048;
/// Rounds of k-means: later ones hardly move a colour.
const ROUNDS: usize = 4;
/// Two colours closer than this (squared distance in RGB) are one to the eye.
const SAME_COLOR: u32 = 3 * 8 * 8;

type Color = [u8; 3];

/// The dominant colours of `pixels`, the most frequent first.
pub(super) fn dominant_colors(pixels: &[Color]) -> Vec<Rgb> {
    let mut sample: Vec<Color> = pixels
        .iter()
        .step_by(pixels.len().div_ceil(MAX_PIXELS).max(1))
        .copied()
        .collect();
    let mut centers = median_cut(&mut sample);
    let mut counts = vec![0; centers.len()];
    for _ in 0..ROUNDS {
        counts = assign(&sample, &mut centers);
    }
    let mut ranked: Vec<(u32, Color)> = counts.into_iter().zip(centers).collect();
    ranked.retain(|(count, _)| *count > 0);
    ranked.sort_unstable_by(|(count, color), (other_count, other)| {
        other_count.cmp(count).then(color.cmp(other))
    });
    let mut palette: Vec<Color> = Vec::with_capacity(COLORS);
    for (_, color) in ranked {
        if palette
            .iter()
            .all(|kept| distance(*kept, color) >= SAME_COLOR)
        {
            palette.push(color);
        }
    }
    palette.into_iter().map(Rgb).collect()
}

/// Splits the pixels' box along its longest side at the median, then the box worth most, and so on.
fn median_cut(sample: &mut [Color]) -> Vec<Color> {
    let mut boxes: Vec<&mut [Color]> = vec![sample];
    while boxes.len() < COLORS {
        let worth = |pixels: &[Color]| {
            let (_, side) = longest_side(pixels);
            u64::from(side) * pixels.len() as u64
        };
        let widest = (0..boxes.len()).max_by_key(|index| worth(&*boxes[*index]));
        let Some(widest) = widest.filter(|index| worth(&*boxes[*index]) > 0) else {
            break;
        };
        let pixels = boxes.swap_remove(widest);
        let (channel, _) = longest_side(pixels);
        let middle = pixels.len() / 2;
        pixels.select_nth_unstable_by_key(middle, |color| (color[channel], *color));
        let (lower, upper) = pixels.split_at_mut(middle);
        boxes.push(lower);
        boxes.push(upper);
    }
    boxes.iter().filter_map(|pixels| mean(pixels)).collect()
}

fn longest_side(pixels: &[Color]) -> (usize, u8) {
    let side = |channel: usize| {
        let values = pixels.iter().map(|color| color[channel]);
        let (lowest, highest) = values.fold((u8::MAX, 0), |(lowest, highest): (u8, u8), value| {
            (lowest.min(value), highest.max(value))
        });
        (channel, highest.saturating_sub(lowest))
    };
    let sides = [side(0), side(1), side(2)];
    let mut longest = sides[0];
    for side in sides {
        if side.1 > longest.1 {
            longest = side;
        }
    }
    longest
}

fn mean(pixels: &[Color]) -> Option<Color> {
    let count = u32::try_from(pixels.len())
        .ok()
        .filter(|count| *count > 0)?;
    let mut sums = [count / 2; 3];
    for color in pixels {
        for (sum, channel) in sums.iter_mut().zip(color) {
            *sum += u32::from(*channel);
        }
    }
    Some(sums.map(|sum| (sum / count) as u8))
}

/// One round of k-means: moves each centre to the mean of its pixels and says how many there are.
fn assign(sample: &[Color], centers: &mut [Color]) -> Vec<u32> {
    let mut sums = vec![[0_u32; 3]; centers.len()];
    let mut counts = vec![0_u32; centers.len()];
    for color in sample {
        let mut nearest = (u32::MAX, 0);
        for (index, center) in centers.iter().enumerate() {
            nearest = nearest.min((distance(*center, *color), index));
        }
        let (_, index) = nearest;
        counts[index] += 1;
        for (sum, channel) in sums[index].iter_mut().zip(color) {
            *sum += u32::from(*channel);
        }
    }
    for ((center, sum), count) in centers.iter_mut().zip(&sums).zip(&counts) {
        if *count > 0 {
            *center = sum.map(|sum| ((sum + count / 2) / count) as u8);
        }
    }
    counts
}

fn distance(a: Color, b: Color) -> u32 {
    let mut sum = 0;
    for (a, b) in a.into_iter().zip(b) {
        sum += u32::from(a.abs_diff(b)).pow(2);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_come_by_frequency() {
        let mut pixels = vec![[255, 0, 0]; 50];
        pixels.extend(vec![[0, 0, 255]; 200]);
        pixels.extend(vec![[0, 200, 0]; 100]);
        let expected = [[0, 0, 255], [0, 200, 0], [255, 0, 0]].map(Rgb);
        assert_eq!(dominant_colors(&pixels), expected);
    }

    #[test]
    fn one_colour_is_one_colour() {
        assert_eq!(dominant_colors(&[[1, 2, 3]; 10]), [Rgb([1, 2, 3])]);
        let nearly: Vec<Color> = (0..100).map(|index| [100 + index % 3, 100, 100]).collect();
        assert_eq!(dominant_colors(&nearly).len(), 1);
    }

    #[test]
    fn never_more_than_five() {
        let pixels: Vec<Color> = (0..20_000_u32)
            .map(|index| [(index * 7) as u8, (index / 3) as u8, (index / 77) as u8])
            .collect();
        assert_eq!(dominant_colors(&pixels).len(), COLORS);
    }
}
