//! Image files made from a seed, in the mix of formats, sizes and encodings met on the web.

pub mod encode;
pub mod exif;
mod fixtures;
mod noise;
pub mod paint;
mod plan;
mod variant;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;

use encode::JpegOptions;
use plan::Plan;
pub use variant::{Variant, blurred};

/// How large the pictures are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Sides of 64…640 pixels; one JPEG in ten blurred, dark, a copy or otherwise noteworthy. Made in milliseconds each.
    #[default]
    Demo,
    /// Photographs of 800 × 600 … 1600 × 1200 and some of 3000 × 2000, all different.
    Bench,
}

/// One image file.
#[derive(Debug, Clone)]
pub struct Sample {
    /// File name, unique within its corpus, of characters that need no escaping in a URL.
    pub name: String,
    /// The file.
    pub bytes: Bytes,
    /// `jpeg`, `png`, `webp`, `gif`, `bmp`, `tiff` or `avif`.
    pub format: &'static str,
    /// Stored width in pixels, before any Exif orientation.
    pub width: u32,
    /// Stored height in pixels, before any Exif orientation.
    pub height: u32,
    /// Number of frames; 1 for stills.
    pub frames: u32,
    /// What was done to the picture.
    pub variant: Variant,
    /// Index of the sample this one is an exact or near copy of.
    pub copy_of: Option<usize>,
}

impl Sample {
    /// The media type of the file, such as `image/jpeg`.
    pub fn content_type(&self) -> &'static str {
        match self.format {
            "jpeg" => "image/jpeg",
            "png" => "image/png",
            "webp" => "image/webp",
            "gif" => "image/gif",
            "bmp" => "image/bmp",
            "tiff" => "image/tiff",
            "avif" => "image/avif",
            _ => "application/octet-stream",
        }
    }
}

/// A set of image files. Tests may also fill `images` with files of their own.
#[derive(Debug, Clone, Default)]
pub struct Corpus {
    /// The files, their formats mixed.
    pub images: Vec<Sample>,
}

impl Corpus {
    /// Makes `count` files of the demo profile. The same arguments give the same bytes.
    pub fn generate(seed: u64, count: usize) -> Self {
        Self::generate_profile(Profile::Demo, seed, count)
    }

    /// Makes `count` files on all processors: 75 % JPEG, 12 % PNG, 9 % WebP, 3 % GIF, the rest BMP, TIFF and AVIF.
    ///
    /// The same arguments give the same bytes. Half of the WebP files and all AVIF files repeat nine fixed pictures, each time
    /// with bytes of their own.
    pub fn generate_profile(profile: Profile, seed: u64, count: usize) -> Self {
        let plans = plan::plans(profile, seed, count);
        let next = AtomicUsize::new(0);
        let workers = thread::available_parallelism()
            .map_or(1, usize::from)
            .min(count.max(1));
        let mut numbered = Vec::with_capacity(count);
        thread::scope(|scope| {
            let handles: Vec<_> = (0..workers)
                .map(|_| scope.spawn(|| make_samples(&plans, &next)))
                .collect();
            for handle in handles {
                match handle.join() {
                    Ok(made) => numbered.extend(made),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
        });
        numbered.sort_by_key(|(index, _)| *index);
        Self {
            images: numbered.into_iter().map(|(_, sample)| sample).collect(),
        }
    }

    /// One photograph as baseline JPEG in every [`Variant`], the plain one first.
    pub fn variants(seed: u64, width: u32, height: u32) -> Self {
        let plain = paint::photograph(seed, width, height);
        let mut images = Vec::new();
        for variant in [Variant::Plain].into_iter().chain(Variant::CHANGED) {
            let picture = variant.apply(plain.clone());
            let quality = if variant == Variant::NearCopy { 72 } else { 85 };
            let bytes = encode::jpeg(
                &picture,
                &JpegOptions {
                    quality,
                    ..JpegOptions::default()
                },
            );
            images.push(Sample {
                name: format!("{}.jpeg", variant.name()),
                bytes,
                format: "jpeg",
                width: picture.width(),
                height: picture.height(),
                frames: 1,
                variant,
                copy_of: matches!(variant, Variant::ExactCopy | Variant::NearCopy).then_some(0),
            });
        }
        Self { images }
    }

    /// The checked-in files, once each: lossy and animated WebP, AVIF, JPEG with successive approximation or four components.
    pub fn fixtures() -> Self {
        let groups = [
            ("webp", &fixtures::LOSSY_WEBP[..]),
            ("avif", &fixtures::AVIF[..]),
            ("jpeg", &fixtures::JPEG[..]),
        ];
        let mut images = Vec::new();
        for (format, group) in groups {
            for fixture in group {
                images.push(Sample {
                    name: fixture.name.to_owned(),
                    bytes: fixture.bytes(),
                    format,
                    width: fixture.width,
                    height: fixture.height,
                    frames: fixture.frames,
                    variant: Variant::Plain,
                    copy_of: None,
                });
            }
        }
        Self { images }
    }

    /// The file of this name.
    pub fn get(&self, name: &str) -> Option<&Sample> {
        self.images.iter().find(|sample| sample.name == name)
    }
}

fn make_samples(plans: &[Plan], next: &AtomicUsize) -> Vec<(usize, Sample)> {
    let mut made = Vec::new();
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        let Some(plan) = plans.get(index) else {
            return made;
        };
        made.push((index, plan.make()));
    }
}

#[cfg(test)]
mod tests;
