//! Paints pictures from a seed: photographs (noise at every scale, objects in and out of focus, sensor noise) and flat graphics.

use fastrand::Rng;
use image::{Rgb, RgbImage};

use super::noise::{Grid, NoiseTable, Octaves};

/// Centre and half extents of an object, in shares of the picture's width and height.
struct Outline {
    centre: (f32, f32),
    half: (f32, f32),
    is_ellipse: bool,
}

impl Outline {
    fn random(rng: &mut Rng) -> Self {
        Self {
            centre: (rng.f32(), rng.f32()),
            half: (half_extent(rng), half_extent(rng)),
            is_ellipse: rng.u8(0..3) > 0,
        }
    }

    /// Calls `paint(x, y, distance)` for every pixel of the bounding box, distance being 1 on the outline and 0 at the centre.
    fn for_each_pixel(
        &self,
        width: usize,
        height: usize,
        mut paint: impl FnMut(usize, usize, f32),
    ) {
        let (centre_x, centre_y) = (self.centre.0 * width as f32, self.centre.1 * height as f32);
        let (half_x, half_y) = (
            (self.half.0 * width as f32).max(1.0),
            (self.half.1 * height as f32).max(1.0),
        );
        let columns = span(centre_x, half_x, width);
        for y in span(centre_y, half_y, height) {
            let down = (y as f32 - centre_y) / half_y;
            for x in columns.clone() {
                let right = (x as f32 - centre_x) / half_x;
                let distance = if self.is_ellipse {
                    right * right + down * down
                } else {
                    right.abs().max(down.abs())
                };
                paint(x, y, distance);
            }
        }
    }
}

/// Something in the picture with its own brightness and colour.
struct Object {
    outline: Outline,
    luma: f32,
    blue: f32,
    red: f32,
    /// Share of the underlying texture that shows on the object.
    texture: f32,
    /// Width of the edge in pixels of the full picture: 1 is in focus.
    edge: f32,
}

impl Object {
    fn random(rng: &mut Rng, colourfulness: f32) -> Self {
        let is_in_focus = rng.u8(0..4) > 0;
        Self {
            outline: Outline::random(rng),
            luma: between(rng, 25.0, 230.0),
            blue: between(rng, -1.0, 1.0) * colourfulness * 2.0,
            red: between(rng, -1.0, 1.0) * colourfulness * 2.0,
            texture: between(rng, 0.05, 0.7),
            edge: if is_in_focus {
                between(rng, 1.0, 2.5)
            } else {
                between(rng, 6.0, 20.0)
            },
        }
    }

    /// Blends `target` into the plane; `middle` is the plane's neutral value and `scale` its size over the picture's.
    fn draw(&self, plane: &mut Grid, target: f32, middle: f32, scale: f32) {
        let shorter = (self.outline.half.0 * plane.width as f32)
            .min(self.outline.half.1 * plane.height as f32);
        let steepness = shorter / (self.edge * scale);
        let (width, height) = (plane.width, plane.height);
        self.outline
            .for_each_pixel(width, height, |x, y, distance| {
                let cover = ((1.0 - distance) * steepness).clamp(0.0, 1.0);
                let value = &mut plane.values[y * width + x];
                let painted = target + self.texture * (*value - middle);
                *value += cover * (painted - *value);
            });
    }
}

/// Paints a picture that compresses and hashes as a photograph does. Equal arguments give equal pixels.
pub fn photograph(seed: u64, width: u32, height: u32) -> RgbImage {
    let mut rng = Rng::with_seed(seed);
    let table = NoiseTable::new(&mut rng);
    let (columns, rows) = (width.max(1) as usize, height.max(1) as usize);
    let colourfulness = between(&mut rng, 4.0, 20.0);
    let mean = between(&mut rng, 100.0, 150.0);
    let sensor_noise = between(&mut rng, 0.8, 3.5);

    let octaves = Octaves {
        mean,
        deviation: between(&mut rng, 34.0, 56.0),
        persistence: between(&mut rng, 0.62, 0.77),
        local: true,
    };
    let mut luma = Grid::fractal(columns, rows, &octaves, &table, &mut rng);
    // Colour changes more slowly than brightness: half the resolution, one octave less.
    let octaves = Octaves {
        mean: 0.0,
        deviation: colourfulness,
        persistence: 0.45,
        local: false,
    };
    let quarter = (columns.div_ceil(4) + 2, rows.div_ceil(4) + 2);
    let half = (columns.div_ceil(2), rows.div_ceil(2));
    let mut blue =
        Grid::fractal(quarter.0, quarter.1, &octaves, &table, &mut rng).enlarged(half.0, half.1);
    let mut red =
        Grid::fractal(quarter.0, quarter.1, &octaves, &table, &mut rng).enlarged(half.0, half.1);

    for _ in 0..rng.u8(12..48) {
        let object = Object::random(&mut rng, colourfulness);
        object.draw(&mut luma, object.luma, mean, 1.0);
        object.draw(&mut blue, object.blue, 0.0, 0.5);
        object.draw(&mut red, object.red, 0.0, 0.5);
    }
    table.add_to(&mut luma.values, sensor_noise, &mut rng);
    to_rgb(&luma, &blue, &red)
}

/// Paints a picture with few flat colours and hard edges, as logos, diagrams and screenshots have. Equal arguments give equal pixels.
pub fn graphic(seed: u64, width: u32, height: u32) -> RgbImage {
    let mut rng = Rng::with_seed(seed);
    let (width, height) = (width.max(1), height.max(1));
    let mut colours = Vec::new();
    for _ in 0..6 {
        colours.push(Rgb([rng.u8(..), rng.u8(..), rng.u8(..)]));
    }
    let mut picture = RgbImage::from_pixel(
        width,
        height,
        Rgb([rng.u8(220..=255), rng.u8(220..=255), rng.u8(220..=255)]),
    );
    for _ in 0..rng.u8(8..20) {
        let colour = colours[rng.usize(..colours.len())];
        Outline::random(&mut rng).for_each_pixel(
            width as usize,
            height as usize,
            |x, y, distance| {
                if distance <= 1.0 {
                    picture.put_pixel(x as u32, y as u32, colour);
                }
            },
        );
    }
    draw_lines_of_text(&mut picture, &mut rng);
    picture
}

/// Rows of short dark bars: from far away, text.
fn draw_lines_of_text(picture: &mut RgbImage, rng: &mut Rng) {
    let (width, height) = picture.dimensions();
    let line_height = (height / 40).max(3);
    let mut y = height / 8 + rng.u32(0..=height / 4);
    for _ in 0..rng.u8(3..10) {
        let mut x = width / 10;
        while x < width - width / 10 {
            let bar = 1 + rng.u32(0..=line_height);
            for row in y..(y + line_height / 2).min(height) {
                for column in x..(x + bar).min(width) {
                    picture.put_pixel(column, row, Rgb([32, 32, 40]));
                }
            }
            x += bar + 1 + rng.u32(0..=2);
        }
        y += line_height;
    }
}

fn to_rgb(luma: &Grid, blue: &Grid, red: &Grid) -> RgbImage {
    let mut picture = RgbImage::new(luma.width as u32, luma.height as u32);
    let rows = picture
        .chunks_exact_mut(luma.width * 3)
        .zip(luma.values.chunks_exact(luma.width));
    for (y, (pixels, lumas)) in rows.enumerate() {
        let blues = &blue.values[y / 2 * blue.width..][..blue.width];
        let reds = &red.values[y / 2 * red.width..][..red.width];
        let pairs = pixels
            .chunks_mut(6)
            .zip(lumas.chunks(2))
            .zip(blues.iter().zip(reds));
        for ((pixels, lumas), (blue, red)) in pairs {
            // ITU-R BT.601, the matrix of JFIF. The casts saturate.
            let (add_red, add_green, add_blue) =
                (1.402 * red, -0.344 * blue - 0.714 * red, 1.772 * blue);
            for (pixel, luma) in pixels.chunks_exact_mut(3).zip(lumas) {
                pixel[0] = (luma + add_red) as u8;
                pixel[1] = (luma + add_green) as u8;
                pixel[2] = (luma + add_blue) as u8;
            }
        }
    }
    picture
}

/// Small objects are commoner than large ones.
fn half_extent(rng: &mut Rng) -> f32 {
    let share = rng.f32();
    0.01 + 0.24 * share * share
}

fn between(rng: &mut Rng, low: f32, high: f32) -> f32 {
    low + rng.f32() * (high - low)
}

fn span(centre: f32, half: f32, limit: usize) -> std::ops::Range<usize> {
    // Negative floats become 0 in the cast.
    (centre - half) as usize..((centre + half) as usize + 1).min(limit)
}
