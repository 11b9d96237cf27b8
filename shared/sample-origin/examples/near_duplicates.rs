//! Writes a corpus of near duplicates whose answer is known, for `tests/duplicates/compare.py`: originals, every change that
//! leaves a picture the same to a person, and look-alikes that are other pictures.
//!
//! A file is named `<picture>.<what was done>.<format>`: two files show the same picture if and only if the first part is the same.
//!
//! `cargo run --release -p sample-origin --example near_duplicates -- FOLDER PICTURES`

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use image::imageops::{self, FilterType};
use image::{DynamicImage, Rgb, RgbImage};
use sample_origin::corpus::encode::{JpegOptions, jpeg, png};
use sample_origin::corpus::paint;

const SEED: u64 = 41;
const SIZES: [(u32, u32); 4] = [(640, 480), (480, 640), (600, 600), (720, 405)];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, count] = arguments.as_slice() else {
        return Err("usage: near_duplicates FOLDER PICTURES".into());
    };
    let count: u64 = count.parse()?;
    let folder = Folder(PathBuf::from(folder));
    fs::create_dir_all(&folder.0)?;
    for number in 0..count {
        let (width, height) = SIZES[number as usize % SIZES.len()];
        let seed = SEED + number;
        // A quarter as shops have them: one thing on white.
        let (kind, picture) = match number % 4 {
            0 => ("product", product(seed, width, height)),
            1 => ("graphic", paint::graphic(seed, width, height)),
            _ => ("photograph", paint::photograph(seed, width, height)),
        };
        folder.write_changes(&format!("{kind}-{number:04}"), &picture)?;
    }
    for number in 0..count {
        let (width, height) = SIZES[number as usize % SIZES.len()];
        let seed = SEED + count + number;
        let (kind, picture) = match number % 3 {
            0 => ("other-product", product(seed, width, height)),
            1 => ("other-scene", same_place(seed, number, width, height)),
            _ => ("other-sky", sky(seed, width, height)),
        };
        folder.write(&format!("{kind}-{number:04}"), "plain", &picture, 85)?;
    }
    Ok(())
}

struct Folder(PathBuf);

impl Folder {
    fn write_changes(&self, name: &str, picture: &RgbImage) -> Result<(), Box<dyn Error>> {
        let (width, height) = picture.dimensions();
        self.write(name, "plain", picture, 90)?;
        self.write(name, "reencoded", picture, 40)?;
        let half = imageops::resize(picture, width / 2, height / 2, FilterType::CatmullRom);
        self.write(name, "resized", &half, 85)?;
        // Two per cent of each side, half of it on either end.
        let (left, top) = (width / 100, height / 100);
        let (inner, lower) = (width - 2 * left, height - 2 * top);
        let cropped = imageops::crop_imm(picture, left, top, inner, lower).to_image();
        self.write(name, "cropped", &cropped, 85)?;
        self.write(name, "watermarked", &watermarked(picture), 85)?;
        let brighter = imageops::brighten(picture, 18);
        self.write(name, "brightened", &brighter, 85)?;
        self.write(name, "mirrored", &imageops::flip_horizontal(picture), 85)?;
        self.write(name, "turned", &imageops::rotate90(picture), 85)?;
        let path = self.path(name, "png", "png");
        fs::write(path, png(&DynamicImage::ImageRgb8(picture.clone())))?;
        Ok(())
    }

    fn write(
        &self,
        name: &str,
        change: &str,
        picture: &RgbImage,
        quality: u8,
    ) -> Result<(), Box<dyn Error>> {
        let options = JpegOptions {
            quality,
            ..JpegOptions::default()
        };
        fs::write(self.path(name, change, "jpeg"), jpeg(picture, &options))?;
        Ok(())
    }

    fn path(&self, name: &str, change: &str, format: &str) -> PathBuf {
        Path::new(&self.0).join(format!("{name}.{change}.{format}"))
    }
}

/// Half-transparent bars in the lower right corner, over a tenth of the picture's width and height and more, as a logo is.
fn watermarked(picture: &RgbImage) -> RgbImage {
    let (width, height) = picture.dimensions();
    let mut marked = picture.clone();
    for y in height * 84 / 100..height * 95 / 100 {
        for x in width * 65 / 100..width * 96 / 100 {
            if (x + y) / 6 % 2 == 0 {
                let pixel = marked.get_pixel_mut(x, y);
                pixel.0 = pixel.0.map(|value| value.midpoint(255));
            }
        }
    }
    marked
}

/// One thing on white: a cut of a photograph in an outline of its own, somewhere near the middle.
fn product(seed: u64, width: u32, height: u32) -> RgbImage {
    let mut rng = Rng::with_seed(seed);
    let mut picture = RgbImage::from_pixel(width, height, Rgb([255; 3]));
    let surface = paint::photograph(seed, width, height);
    let (center_x, center_y) = (
        f64::from(width) * (0.45 + 0.1 * rng.f64()),
        f64::from(height) * (0.45 + 0.1 * rng.f64()),
    );
    // Radius by angle: a few waves around a circle.
    let radius = f64::from(width.min(height)) * (0.22 + 0.18 * rng.f64());
    let waves: Vec<(f64, f64, f64)> = (1..5)
        .map(|number| {
            (
                f64::from(number),
                0.35 * rng.f64(),
                std::f64::consts::TAU * rng.f64(),
            )
        })
        .collect();
    let stretch = 0.6 + 0.8 * rng.f64();
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        let (dx, dy) = ((f64::from(x) - center_x) * stretch, f64::from(y) - center_y);
        let angle = dy.atan2(dx);
        let bulge: f64 = waves
            .iter()
            .map(|(number, height, phase)| height * (number * angle + phase).sin() / number)
            .sum();
        if dx.hypot(dy) < radius * (1.0 + bulge) {
            *pixel = *surface.get_pixel(x, y);
        }
    }
    picture
}

/// The background of one of the originals, with another large thing before it.
fn same_place(seed: u64, number: u64, width: u32, height: u32) -> RgbImage {
    let place = SEED + number;
    let mut picture = paint::photograph(place, width, height);
    let thing = product(seed, width, height);
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        let before = thing.get_pixel(x, y);
        if *before != Rgb([255; 3]) {
            *pixel = *before;
        }
    }
    picture
}

/// A soft gradient in one of a few blues, as skies and backdrops are: nearly flat, nearly alike, and each of its own.
fn sky(seed: u64, width: u32, height: u32) -> RgbImage {
    let mut rng = Rng::with_seed(seed);
    let (top, bottom) = (rng.f64() * 30.0, rng.f64() * 30.0);
    let tilt = rng.f64() * 10.0 - 5.0;
    RgbImage::from_fn(width, height, |x, y| {
        let down = f64::from(y) / f64::from(height);
        let across = f64::from(x) / f64::from(width);
        let shade = 180.0 + top + (bottom - top) * down + tilt * across;
        let noise = 2.0 * rng.f64() - 1.0;
        let value = |offset: f64| (shade + offset + noise).clamp(0.0, 255.0) as u8;
        Rgb([value(-40.0), value(-10.0), value(25.0)])
    })
}
