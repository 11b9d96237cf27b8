//! Synthetic photographs: overlapping discs with texture and shading, which have the edges, the smooth areas and the falling
//! spectrum of real ones.

use image::RgbImage;
use jpeg_encoder::{ColorType, Encoder};

/// A small generator (xorshift64*), so that images are the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Uniform in `low..high`.
    fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * (self.next() >> 40) as f32 / (1_u32 << 24) as f32
    }
}

/// A photograph of the given size, without pixels so dark or bright that decoders clip them.
pub(crate) fn photograph(width: u32, height: u32, seed: u64) -> RgbImage {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut image = RgbImage::from_pixel(width, height, image::Rgb([90, 120, 150]));
    let longest = width.max(height) as f32;
    let discs = 40 + random.next() % 400;
    for _ in 0..discs {
        let size = random.between(0.0, 1.0);
        let radius = 3.0 + longest / 5.0 * size * size * size;
        let (x, y) = (
            random.between(0.0, width as f32),
            random.between(0.0, height as f32),
        );
        let color = [0; 3].map(|_: i32| random.between(60.0, 190.0));
        let shade = (
            random.between(-30.0, 30.0) / radius,
            random.between(-30.0, 30.0) / radius,
        );
        let grain = [0.0, 3.0, 10.0, 25.0][(random.next() % 4) as usize];
        let (left, right) = (
            (x - radius).max(0.0) as u32,
            ((x + radius) as u32 + 1).min(width),
        );
        let (top, bottom) = (
            (y - radius).max(0.0) as u32,
            ((y + radius) as u32 + 1).min(height),
        );
        for row in top..bottom {
            for column in left..right {
                let (dx, dy) = (column as f32 - x, row as f32 - y);
                if dx * dx + dy * dy < radius * radius {
                    let light = dx * shade.0 + dy * shade.1 + random.between(-grain, grain);
                    let pixel = color.map(|value| (value + light).clamp(30.0, 220.0) as u8);
                    image.put_pixel(column, row, image::Rgb(pixel));
                }
            }
        }
    }
    image
}

/// Encodes with a quality and whatever `configure` sets.
pub(crate) fn encode(
    image: &RgbImage,
    quality: u8,
    configure: impl FnOnce(&mut Encoder<&mut Vec<u8>>),
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, quality);
    configure(&mut encoder);
    encoder
        .encode(
            image.as_raw(),
            image.width() as u16,
            image.height() as u16,
            ColorType::Rgb,
        )
        .unwrap();
    bytes
}
