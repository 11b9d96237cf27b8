//! The working image of planes of luma and colour, without a full-size picture of red, green and blue on the way.

use domain::MeasureMode;

use super::{Layout, Reducer, RowSums, Working};

/// Luma and two differences of colour, these at half the size each way, in the range of video (BT.601): a lossy WebP's way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planes<'a> {
    pub(crate) luma: &'a [u8],
    /// Blue, and at the same stride red, against luma.
    pub(crate) blue: &'a [u8],
    pub(crate) red: &'a [u8],
    /// Samples from a row of luma to the next; twice that of the colours.
    pub(crate) luma_stride: usize,
}

/// Means of rectangles of samples, then their colours: these are the means of the pixels' colours, but for pixels that only rounding
/// keeps within the range.
pub(crate) fn reduce_planes(
    planes: &Planes<'_>,
    (width, height): (u32, u32),
    mode: MeasureMode,
) -> Working {
    let mut reducer = Reducer::new(Layout::Gray, (width, height), mode);
    let (columns, step) = (width as usize, reducer.step);
    let halved = columns.div_ceil(2);
    let full_range = full_range_luma();
    let mut sums = PlaneSums {
        luma: RowSums::new(columns),
        blue: RowSums::new(halved),
        red: RowSums::new(halved),
    };
    let mut rows_summed = 0;
    for y in 0..height as usize {
        let luma = &planes.luma[y * planes.luma_stride..][..columns];
        let colours = y / 2 * (planes.luma_stride / 2);
        if let Some(edges) = &mut reducer.edges {
            edges.push_luma(|row| {
                row.clear();
                row.extend(luma.iter().map(|luma| full_range[usize::from(*luma)]));
            });
        }
        sums.luma.add(luma);
        sums.blue.add(&planes.blue[colours..][..halved]);
        sums.red.add(&planes.red[colours..][..halved]);
        rows_summed += 1;
        if rows_summed == step.1 || y + 1 == height as usize {
            sums.flush(&mut reducer, rows_summed);
            rows_summed = 0;
        }
    }
    reducer.finish()
}

/// Sums of samples since the last row of the working image.
struct PlaneSums {
    luma: RowSums,
    blue: RowSums,
    red: RowSums,
}

impl PlaneSums {
    fn flush(&mut self, reducer: &mut Reducer, rows: usize) {
        let step = reducer.step.0;
        let (luma_sums, blue_sums) = (self.luma.totals(), self.blue.totals());
        let red_sums = self.red.totals();
        for first in (0..luma_sums.len()).step_by(step) {
            let columns = first..(first + step).min(luma_sums.len());
            let share = 1.0 / (columns.len() * rows) as f32;
            let mean = |total: u32| total as f32 * share;
            let luma = mean(luma_sums[columns.clone()].iter().sum());
            let of_colour =
                |sums: &[u32]| mean(columns.clone().map(|column| sums[column / 2]).sum()) - 128.0;
            let (blue, red) = (of_colour(blue_sums), of_colour(red_sums));
            let light = (luma - 16.0) * (255.0 / 219.0);
            let [r, g, b] = [
                light + 1.596_03 * red,
                light - 0.812_97 * red - 0.391_76 * blue,
                light + 2.017_23 * blue,
            ]
            .map(|channel| channel.clamp(0.0, 255.0));
            reducer
                .rgb
                .push([r, g, b].map(|channel| (channel + 0.5) as u8));
            reducer.luma.push(r * 0.299 + g * 0.587 + b * 0.114);
        }
        self.luma.clear();
        self.blue.clear();
        self.red.clear();
    }
}

/// From luma in the range of video to that of pictures.
fn full_range_luma() -> [u8; 256] {
    std::array::from_fn(|luma| {
        ((luma as f32 - 16.0) * (255.0 / 219.0) + 0.5).clamp(0.0, 255.0) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_reduce_to_the_colours_they_stand_for() {
        // Left half red, right half green, of 300 × 260 pixels in macroblocks of 16.
        let (width, height, stride) = (300_u32, 260_u32, 304_usize);
        let is_left = |x: usize| x < 150;
        let plane = |stride: usize, rows: usize, scale: usize, of: [u8; 2]| -> Vec<u8> {
            (0..stride * rows)
                .map(|at| of[usize::from(!is_left(at % stride * scale))])
                .collect()
        };
        let planes = Planes {
            luma: &plane(stride, 272, 1, [82, 145]),
            blue: &plane(stride / 2, 136, 2, [90, 54]),
            red: &plane(stride / 2, 136, 2, [240, 34]),
            luma_stride: stride,
        };
        let working = reduce_planes(&planes, (width, height), MeasureMode::Fast);
        assert_eq!((working.width, working.height), (150, 130));
        for (at, expected) in [(0, [255, 0, 0]), (149, [0, 255, 0])] {
            for (channel, expected) in working.rgb[at].iter().zip(expected) {
                assert!(channel.abs_diff(expected) <= 2, "{:?}", working.rgb[at]);
            }
        }
        assert!(working.sharpness.unwrap() > 0.0);
    }
}
