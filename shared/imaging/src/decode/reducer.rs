//! Rows of pixels in, a small working image out. The full picture is never needed at once.

mod planes;

use domain::MeasureMode;

pub(crate) use planes::{Planes, reduce_planes};

/// How large the working image is: each side is shortened until it is below twice this.
///
/// The perceptual hash is made of 32 samples a side, so that the more there are for each, the fewer of its bits differ from
/// those of the full picture. Distances of the two hashes from `imagehash`, mean of 828 files: 0.26 and 0.40 bits with a side
/// of 64, 0.17 and 0.30 with 128, 0.11 and 0.14 with 256 (`tests/quality/compare_with_imagehash.py`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShortestSide(u32);

impl ShortestSide {
    pub(crate) const fn of(mode: MeasureMode) -> Self {
        match mode {
            MeasureMode::Header | MeasureMode::Fast => Self(128),
            MeasureMode::Full => Self(256),
        }
    }
}

/// Channels of a row, 8 bits each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    Gray,
    GrayAlpha,
    Rgb,
    Rgba,
}

impl Layout {
    pub(crate) const fn channels(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::GrayAlpha => 2,
            Self::Rgb => 3,
            Self::Rgba => 4,
        }
    }

    const fn has_alpha(self) -> bool {
        matches!(self, Self::GrayAlpha | Self::Rgba)
    }
}

/// The small image every feature is computed from: each pixel is the mean of a rectangle of the source.
#[derive(Debug, Clone)]
pub(crate) struct Working {
    /// Pixels across.
    pub(crate) width: usize,
    /// Pixels down.
    pub(crate) height: usize,
    /// Sides of the source in pixels of the working image: a fraction less than `width` and `height` where the last
    /// rectangle of a row or column is not a whole one.
    pub(crate) extent: (f64, f64),
    /// Sides of the source in its own pixels.
    pub(crate) source: (u32, u32),
    /// Luma of the colours without regard to alpha, 0 … 255, unrounded: what hashes are made of.
    pub(crate) luma: Vec<f32>,
    /// Colours without regard to alpha.
    pub(crate) rgb: Vec<[u8; 3]>,
    /// Alpha, for sources that have it.
    pub(crate) alpha: Option<Vec<u8>>,
    /// Variance of the Laplacian at full resolution; `None` for an image without an inner pixel.
    pub(crate) sharpness: Option<f32>,
}

/// Luma as Pillow computes it: BT.601 in 16-bit fixed point.
pub(crate) const fn luma(red: u8, green: u8, blue: u8) -> u8 {
    ((red as u32 * 19_595 + green as u32 * 38_470 + blue as u32 * 7_471 + 0x8000) >> 16) as u8
}

/// A channel over white.
pub(crate) const fn over_white(value: u8, alpha: u8) -> u8 {
    let alpha = alpha as u32;
    ((value as u32 * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

/// Takes rows from top to bottom.
#[derive(Debug)]
pub(crate) struct Reducer {
    layout: Layout,
    width: usize,
    source: (u32, u32),
    scale: u32,
    step: (usize, usize),
    /// Sums of the bytes of the rows since the last row of the working image.
    sums: RowSums,
    rows_summed: usize,
    /// At full size only: what a smaller image shows of edges is another thing.
    edges: Option<Edges>,
    luma: Vec<f32>,
    rgb: Vec<[u8; 3]>,
    alpha: Vec<u8>,
}

impl Reducer {
    /// For an image of these sides. The caller has checked them against the pixel limit.
    pub(crate) fn new(layout: Layout, (width, height): (u32, u32), mode: MeasureMode) -> Self {
        Self::of_scaled(layout, (width, height), (width, height), 1, mode)
    }

    /// For rows that are already smaller than their source: `scale` times, rounded up.
    pub(crate) fn of_scaled(
        layout: Layout,
        (width, height): (u32, u32),
        source: (u32, u32),
        scale: u32,
        mode: MeasureMode,
    ) -> Self {
        let ShortestSide(shortest) = ShortestSide::of(mode);
        let step = |side: u32| (side / shortest).max(1) as usize;
        let step = (step(width), step(height));
        let pixels = (width as usize).div_ceil(step.0) * (height as usize).div_ceil(step.1);
        let is_full_size = scale == 1;
        Self {
            layout,
            width: width as usize,
            source,
            scale,
            step,
            sums: RowSums::new(width as usize * layout.channels()),
            rows_summed: 0,
            edges: is_full_size.then(|| Edges::new((width, height), mode)),
            luma: Vec::with_capacity(pixels),
            rgb: Vec::with_capacity(pixels),
            alpha: Vec::new(),
        }
    }

    /// Adds the next row: `width` pixels.
    pub(crate) fn push(&mut self, row: &[u8]) {
        debug_assert_eq!(row.len(), self.width * self.layout.channels());
        if let Some(edges) = &mut self.edges {
            edges.push(row, self.layout);
        }
        if self.step == (1, 1) {
            self.take_over(row);
            return;
        }
        self.sums.add(row);
        self.rows_summed += 1;
        if self.rows_summed == self.step.1 {
            self.flush();
        }
    }

    /// Makes one row of the working image of a row that needs no reduction.
    fn take_over(&mut self, row: &[u8]) {
        match self.layout {
            Layout::Gray => self.rgb.extend(row.iter().map(|gray| [*gray; 3])),
            Layout::GrayAlpha => {
                let (pixels, _) = row.as_chunks::<2>();
                self.rgb.extend(pixels.iter().map(|[gray, _]| [*gray; 3]));
                self.alpha.extend(pixels.iter().map(|[_, alpha]| *alpha));
            }
            Layout::Rgb => self.rgb.extend_from_slice(row.as_chunks().0),
            Layout::Rgba => {
                let (pixels, _) = row.as_chunks::<4>();
                let colors = pixels
                    .iter()
                    .map(|[red, green, blue, _]| [*red, *green, *blue]);
                self.rgb.extend(colors);
                self.alpha.extend(pixels.iter().map(|[.., alpha]| *alpha));
            }
        }
        let taken = &self.rgb[self.luma.len()..];
        self.luma.extend(
            taken
                .iter()
                .map(|[red, green, blue]| f32::from(luma(*red, *green, *blue))),
        );
    }

    /// Turns the summed rows into one row of the working image.
    fn flush(&mut self) {
        match self.layout {
            Layout::Gray => self.flush_pixels::<1>(|[gray]| [gray; 3]),
            Layout::GrayAlpha => self.flush_pixels::<2>(|[gray, _]| [gray; 3]),
            Layout::Rgb => self.flush_pixels::<3>(|color| color),
            Layout::Rgba => self.flush_pixels::<4>(|[red, green, blue, _]| [red, green, blue]),
        }
        self.sums.clear();
        self.rows_summed = 0;
    }

    fn flush_pixels<const CHANNELS: usize>(
        &mut self,
        color_of: impl Fn([u32; CHANNELS]) -> [u32; 3],
    ) {
        let (pixels, _) = self.sums.totals().as_chunks::<CHANNELS>();
        for block in pixels.chunks(self.step.0) {
            let mut totals = [0; CHANNELS];
            for pixel in block {
                for (total, value) in totals.iter_mut().zip(pixel) {
                    *total += value;
                }
            }
            let count = block.len() * self.rows_summed;
            let share = 1.0 / count as f32;
            let mean = |total: u32| (total as f32 * share + 0.5) as u8;
            let [red, green, blue] = color_of(totals);
            let color = [mean(red), mean(green), mean(blue)];
            self.rgb.push(color);
            self.luma
                .push((red as f32 * 0.299 + green as f32 * 0.587 + blue as f32 * 0.114) * share);
            if self.layout.has_alpha() {
                self.alpha.push(mean(totals[CHANNELS - 1]));
            }
        }
    }

    /// The working image. Every row of the source has been pushed.
    pub(crate) fn finish(mut self) -> Working {
        if self.rows_summed > 0 {
            self.flush();
        }
        let working_width = self.width.div_ceil(self.step.0);
        let extent = |side: u32, step: usize| f64::from(side) / f64::from(self.scale) / step as f64;
        Working {
            width: working_width,
            height: self.rgb.len() / working_width,
            extent: (
                extent(self.source.0, self.step.0),
                extent(self.source.1, self.step.1),
            ),
            source: self.source,
            luma: self.luma,
            rgb: self.rgb,
            alpha: self.layout.has_alpha().then_some(self.alpha),
            sharpness: self.edges.and_then(|edges| edges.variance()),
        }
    }
}

/// Sums of rows, byte by byte. Kept in 16 bits as far as they fit, of which vector instructions add the most at once.
#[derive(Debug)]
struct RowSums {
    narrow: Vec<u16>,
    wide: Vec<u32>,
    rows: u16,
}

impl RowSums {
    /// Rows whose sums are sure to fit in 16 bits.
    const MOST_ROWS: u16 = 257;

    fn new(bytes: usize) -> Self {
        Self {
            narrow: vec![0; bytes],
            wide: vec![0; bytes],
            rows: 0,
        }
    }

    fn add(&mut self, row: &[u8]) {
        if self.rows == Self::MOST_ROWS {
            self.widen();
        }
        for (sum, byte) in self.narrow.iter_mut().zip(row) {
            *sum += u16::from(*byte);
        }
        self.rows += 1;
    }

    fn widen(&mut self) {
        for (wide, narrow) in self.wide.iter_mut().zip(&self.narrow) {
            *wide += u32::from(*narrow);
        }
        self.narrow.fill(0);
        self.rows = 0;
    }

    fn totals(&mut self) -> &[u32] {
        self.widen();
        &self.wide
    }

    fn clear(&mut self) {
        self.narrow.fill(0);
        self.wide.fill(0);
        self.rows = 0;
    }
}

/// Pixels that the variance of the Laplacian of a picture is content with, unless all are asked for.
const ENOUGH_PIXELS: u64 = 192 * 1024;
/// Rows of a band of which the Laplacian is taken. With the two rows around them they are read one after the other.
const BAND_ROWS: usize = 4;
/// Bands of which one at least is measured, lest a large picture is judged by a few stripes.
const MOST_BANDS_APART: u64 = 8;

/// Variance of the four-neighbour Laplacian over the inner pixels, from the last three rows of luma (over white): of all rows,
/// or of a large picture in fast mode of bands of rows, evenly spread.
#[derive(Debug, Default)]
struct Edges {
    /// Rows from the start of one measured band to that of the next; `None` where every row is measured.
    period: Option<usize>,
    above: Vec<u8>,
    middle: Vec<u8>,
    below: Vec<u8>,
    /// Rows of this period so far.
    rows: usize,
    sum: i64,
    sum_of_squares: u64,
    count: u64,
}

impl Edges {
    fn new((width, height): (u32, u32), mode: MeasureMode) -> Self {
        let pixels = u64::from(width) * u64::from(height);
        let bands_apart = (pixels / ENOUGH_PIXELS).clamp(1, MOST_BANDS_APART) as usize;
        let measures_all = mode == MeasureMode::Full || bands_apart == 1;
        Self {
            period: (!measures_all).then_some(bands_apart * BAND_ROWS),
            ..Self::default()
        }
    }

    fn push(&mut self, row: &[u8], layout: Layout) {
        self.push_luma(|luma| fill_luma(luma, row, layout));
    }

    /// Takes the next row, whose luma `fill` writes if this row is wanted.
    fn push_luma(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        if let Some(period) = self.period {
            if self.rows == period {
                self.rows = 0;
            }
            if self.rows >= BAND_ROWS + 2 {
                self.rows += 1;
                return;
            }
        }
        std::mem::swap(&mut self.above, &mut self.middle);
        std::mem::swap(&mut self.middle, &mut self.below);
        fill(&mut self.below);
        self.rows += 1;
        if self.rows >= 3 && self.below.len() >= 3 {
            self.add_middle_row();
        }
    }

    fn add_middle_row(&mut self) {
        /// A response is at most 4 × 255 in size, so that the squares of this many fit in 32 bits.
        const BLOCK: usize = 2048;
        let inner = self.middle.len() - 2;
        let mut at = 0;
        while at < inner {
            let length = BLOCK.min(inner - at);
            let middle = &self.middle[at..at + length + 2];
            let above = &self.above[at + 1..at + 1 + length];
            let below = &self.below[at + 1..at + 1 + length];
            let (mut sum, mut squares) = (0_i32, 0_i32);
            for index in 0..length {
                let neighbours = i16::from(middle[index])
                    + i16::from(middle[index + 2])
                    + i16::from(above[index])
                    + i16::from(below[index]);
                let response = neighbours - 4 * i16::from(middle[index + 1]);
                sum += i32::from(response);
                squares += i32::from(response) * i32::from(response);
            }
            self.sum += i64::from(sum);
            self.sum_of_squares += u64::from(squares.cast_unsigned());
            at += length;
        }
        self.count += inner as u64;
    }

    fn variance(&self) -> Option<f32> {
        if self.count == 0 {
            return None;
        }
        let mean = self.sum as f64 / self.count as f64;
        let mean_of_squares = self.sum_of_squares as f64 / self.count as f64;
        Some((mean_of_squares - mean * mean).max(0.0) as f32)
    }
}

fn fill_luma(into: &mut Vec<u8>, row: &[u8], layout: Layout) {
    into.clear();
    match layout {
        Layout::Gray => into.extend_from_slice(row),
        Layout::GrayAlpha => {
            let (pixels, _) = row.as_chunks::<2>();
            into.extend(pixels.iter().map(|[gray, alpha]| over_white(*gray, *alpha)));
        }
        Layout::Rgb => {
            let (pixels, _) = row.as_chunks::<3>();
            into.extend(
                pixels
                    .iter()
                    .map(|[red, green, blue]| luma(*red, *green, *blue)),
            );
        }
        Layout::Rgba => {
            let (pixels, _) = row.as_chunks::<4>();
            into.extend(
                pixels
                    .iter()
                    .map(|[red, green, blue, alpha]| over_white(luma(*red, *green, *blue), *alpha)),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reduce(
        layout: Layout,
        width: u32,
        height: u32,
        pixel: impl Fn(u32, u32) -> Vec<u8>,
    ) -> Working {
        let mut reducer = Reducer::new(layout, (width, height), MeasureMode::Fast);
        for y in 0..height {
            let row: Vec<u8> = (0..width).flat_map(|x| pixel(x, y)).collect();
            reducer.push(&row);
        }
        reducer.finish()
    }

    #[test]
    fn a_small_image_is_taken_as_it_is() {
        let working = reduce(Layout::Rgb, 3, 2, |x, y| vec![x as u8, y as u8, 9]);
        assert_eq!((working.width, working.height), (3, 2));
        assert_eq!(working.rgb[5], [2, 1, 9]);
        assert_eq!(working.luma[5] as u8, luma(2, 1, 9));
        assert_eq!(working.sharpness, None);
    }

    #[test]
    fn pixels_are_means_and_the_last_rectangle_may_be_smaller() {
        // Steps of 3 and 2: the last column is one pixel wide.
        let working = reduce(Layout::Gray, 400, 256, |x, _| {
            vec![if x == 399 { 200 } else { (x % 3) as u8 }]
        });
        assert_eq!((working.width, working.height), (134, 128));
        assert_eq!(working.rgb[0], [1, 1, 1]);
        assert_eq!(working.rgb[133], [200, 200, 200]);
        assert!((working.extent.0 - 400.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn sums_of_many_bright_rows_are_whole() {
        let working = reduce(Layout::Gray, 3, 300 * 128, |_, _| vec![255]);
        assert!(working.rgb.iter().all(|pixel| *pixel == [255; 3]));
    }

    #[test]
    fn either_side_stays_below_twice_the_shortest() {
        let working = reduce(Layout::Gray, 100_000, 3, |_, _| vec![7]);
        assert!(working.width < 256);
        assert_eq!(working.height, 3);
    }

    #[test]
    fn sharpness_is_the_variance_of_the_laplacian() {
        // One bright pixel in the middle: responses −4, 1, 1, 1, 1 and four zeros, times 10.
        let working = reduce(Layout::Gray, 5, 5, |x, y| {
            vec![if (x, y) == (2, 2) { 10 } else { 0 }]
        });
        let expected = (1600.0 + 4.0 * 100.0) / 9.0;
        assert!((working.sharpness.unwrap() - expected).abs() < 1e-3);
        let wide = reduce(Layout::Gray, 5000, 3, |x, y| {
            vec![if y == 1 && x % 2 == 0 { 255 } else { 0 }]
        });
        let (mean, squares) = (-255.0, f64::midpoint(1_040_400.0, 260_100.0));
        assert!((f64::from(wide.sharpness.unwrap()) - (squares - mean * mean)).abs() < 1.0);
    }

    #[test]
    fn the_sharpness_of_a_large_picture_is_near_that_of_all_its_rows() {
        // Texture that grows from left to right, in 1,000 × 800 pixels: of every fourth band of rows.
        let of = |mode| {
            let mut reducer = Reducer::new(Layout::Gray, (1000, 800), mode);
            for y in 0..800_u32 {
                let noise = |x: u32| ((x * 7919) ^ (y * 104_729)).wrapping_mul(2_654_435_761) >> 24;
                let row: Vec<u8> = (0..1000).map(|x| (noise(x) * x / 1000) as u8).collect();
                reducer.push(&row);
            }
            reducer.finish().sharpness.unwrap()
        };
        let share = of(MeasureMode::Fast) / of(MeasureMode::Full);
        assert!((0.97..1.03).contains(&share), "{share}");
        assert!(share.to_bits() != 1.0_f32.to_bits());
    }

    #[test]
    fn transparency_is_white_to_the_eye_and_absent_for_hashes() {
        let working = reduce(Layout::Rgba, 4, 4, |x, _| {
            vec![0, 0, 0, if x < 2 { 0 } else { 255 }]
        });
        assert!(working.luma.iter().all(|luma| *luma < 0.1));
        assert!(working.sharpness.unwrap() > 0.0);
        assert_eq!(working.alpha.unwrap()[..4], [0, 0, 255, 255]);
    }
}
