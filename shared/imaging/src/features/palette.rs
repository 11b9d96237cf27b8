//! Up to five dominant colours: median cut for a start, then a few rounds of k-means. Whole numbers throughout, so that the
//! same pixels give the same colours everywhere.

use domain::Rgb;

/// Colours found at most.
const COLORS: usize = 5;
/// Pixels looked at, at most.
const MAX_PIXELS: usize = 1024;
/// Rounds of k-means: later ones hardly move a colour.
const ROUNDS: usize = 4;
/// Two colours closer than this (squared distance in RGB) are one to the eye.
const SAME_COLOR: u32 = 3 * 8 * 8;

type Color = [u8; 3];

/// Red, green and blue, below a byte that median cut sorts by.
type Packed = u32;

fn unpacked(color: Packed) -> Color {
    let [_, color @ ..] = color.to_be_bytes();
    color
}

/// The dominant colours of `pixels`, the most frequent first.
pub(super) fn dominant_colors(pixels: &[Color]) -> Vec<Rgb> {
    let mut sample: Vec<Packed> = pixels
        .iter()
        .step_by(pixels.len().div_ceil(MAX_PIXELS).max(1))
        .map(|[red, green, blue]| Packed::from_be_bytes([0, *red, *green, *blue]))
        .collect();
    let mut centers = median_cut(&mut sample);
    let mut counts = vec![0; centers.len()];
    let planes = Planes::new(&sample);
    for _ in 0..ROUNDS {
        let before = centers.clone();
        counts = assign(&planes, &mut centers);
        if centers == before {
            break;
        }
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
fn median_cut(sample: &mut [Packed]) -> Vec<Color> {
    let mut boxes = vec![ColorBox::new(sample)];
    while boxes.len() < COLORS {
        let widest = (0..boxes.len()).max_by_key(|index| boxes[*index].worth());
        let Some(widest) = widest.filter(|index| boxes[*index].worth() > 0) else {
            break;
        };
        let ColorBox {
            pixels, channel, ..
        } = boxes.swap_remove(widest);
        let middle = pixels.len() / 2;
        for color in &mut *pixels {
            let [_, red, green, blue] = color.to_be_bytes();
            let key = [red, green, blue][channel];
            *color = Packed::from_be_bytes([key, red, green, blue]);
        }
        pixels.select_nth_unstable(middle);
        let (lower, upper) = pixels.split_at_mut(middle);
        boxes.push(ColorBox::new(lower));
        boxes.push(ColorBox::new(upper));
    }
    boxes.iter().filter_map(|each| mean(each.pixels)).collect()
}

/// Pixels, and the channel in which they differ most.
struct ColorBox<'a> {
    pixels: &'a mut [Packed],
    channel: usize,
    side: u8,
}

impl<'a> ColorBox<'a> {
    fn new(pixels: &'a mut [Packed]) -> Self {
        let (mut lowest, mut highest) = ([u8::MAX; 3], [0; 3]);
        for color in &*pixels {
            let color = unpacked(*color);
            for channel in 0..3 {
                lowest[channel] = color[channel].min(lowest[channel]);
                highest[channel] = color[channel].max(highest[channel]);
            }
        }
        let (mut channel, mut side) = (0, 0);
        for (index, (lowest, highest)) in lowest.into_iter().zip(highest).enumerate() {
            let length: u8 = highest.saturating_sub(lowest);
            if length > side {
                (channel, side) = (index, length);
            }
        }
        Self {
            pixels,
            channel,
            side,
        }
    }

    fn worth(&self) -> u64 {
        u64::from(self.side) * self.pixels.len() as u64
    }
}

fn mean(pixels: &[Packed]) -> Option<Color> {
    let count = u32::try_from(pixels.len())
        .ok()
        .filter(|count| *count > 0)?;
    let mut sums = [count / 2; 3];
    for color in pixels {
        for (sum, channel) in sums.iter_mut().zip(unpacked(*color)) {
            *sum += u32::from(channel);
        }
    }
    Some(sums.map(|sum| (sum / count) as u8))
}

/// One round of k-means: moves each centre to the mean of its pixels and says how many there are.
fn assign(planes: &Planes, centers: &mut [Color]) -> Vec<u32> {
    let wanted: Vec<[f32; 3]> = centers.iter().map(|center| center.map(f32::from)).collect();
    let mut tallies = vec![[[0.0_f32; LANES]; 4]; centers.len()];
    for block in &planes.0 {
        let [red, green, blue, weight] = block;
        let mut nearest = [f32::MAX; LANES];
        let mut indexes = [0.0_f32; LANES];
        for (index, center) in wanted.iter().enumerate() {
            let index = index as f32;
            for lane in 0..LANES {
                let (red, green, blue) = (
                    red[lane] - center[0],
                    green[lane] - center[1],
                    blue[lane] - center[2],
                );
                let distance = red * red + green * green + blue * blue;
                let is_nearer = distance < nearest[lane];
                nearest[lane] = if is_nearer { distance } else { nearest[lane] };
                indexes[lane] = if is_nearer { index } else { indexes[lane] };
            }
        }
        for (index, tally) in tallies.iter_mut().enumerate() {
            let index = index as f32;
            let [reds, greens, blues, counts] = tally;
            for lane in 0..LANES {
                let is_here = indexes[lane].to_bits() == index.to_bits();
                let share = if is_here { weight[lane] } else { 0.0 };
                reds[lane] += share * red[lane];
                greens[lane] += share * green[lane];
                blues[lane] += share * blue[lane];
                counts[lane] += share;
            }
        }
    }
    let mut found = Vec::with_capacity(centers.len());
    for (center, tally) in centers.iter_mut().zip(&tallies) {
        let [red, green, blue, count] =
            tally.map(|lanes| lanes.iter().map(|lane| *lane as u32).sum::<u32>());
        if count > 0 {
            *center = [red, green, blue].map(|sum| ((sum + count / 2) / count) as u8);
        }
        found.push(count);
    }
    found
}

/// Pixels side by side, so that the loops over them become vector instructions.
const LANES: usize = 8;

/// Blocks of red, green, blue, and 1 where there is a pixel. Whole numbers below 2²⁴, which 32 bits of floating point hold exactly.
struct Planes(Vec<[[f32; LANES]; 4]>);

impl Planes {
    fn new(sample: &[Packed]) -> Self {
        let mut blocks = Vec::with_capacity(sample.len().div_ceil(LANES));
        for colors in sample.chunks(LANES) {
            let mut block = [[0.0; LANES]; 4];
            for (lane, color) in colors.iter().enumerate() {
                for (plane, channel) in block.iter_mut().zip(unpacked(*color)) {
                    plane[lane] = f32::from(channel);
                }
                block[3][lane] = 1.0;
            }
            blocks.push(block);
        }
        Self(blocks)
    }
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
