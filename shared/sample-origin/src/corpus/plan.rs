//! Decides what each sample of a corpus is, and makes it.

use bytes::Bytes;
use fastrand::Rng;
use image::imageops;
use image::{DynamicImage, RgbImage};

use super::encode::{self, JpegOptions, Subsampling};
use super::exif::Exif;
use super::fixtures;
use super::{Profile, Sample, Variant, paint};

/// Formats and their shares in thousandths.
const MIX: [(Format, usize); 7] = [
    (Format::Jpeg, 750),
    (Format::Png, 120),
    (Format::WebP, 90),
    (Format::Gif, 30),
    (Format::Bmp, 4),
    (Format::Tiff, 3),
    (Format::Avif, 3),
];
/// One JPEG in so many is changed in the demo profile, the benchmark profile has plain ones only.
const JPEGS_PER_VARIANT: usize = 10;

/// The checked-in JPEGs appear once each, one among so many.
const JPEGS_PER_FIXTURE: usize = 12;

const USUAL_SIZES: [(u32, u32); 9] = [
    (800, 600),
    (1024, 768),
    (1200, 900),
    (1280, 720),
    (900, 1200),
    (1000, 1000),
    (1200, 800),
    (1080, 1350),
    (1600, 1200),
];
const LARGE_SIZE: (u32, u32) = (3000, 2000);

const CAMERAS: [(&str, &str); 4] = [
    ("Exemplar", "E-100"),
    ("Exemplar", "E-200 Mark II"),
    ("Northlight", "Field 5"),
    ("Pocket Co", "P9"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Jpeg,
    Png,
    WebP,
    Gif,
    Bmp,
    Tiff,
    Avif,
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::WebP => "webp",
            Self::Gif => "gif",
            Self::Bmp => "bmp",
            Self::Tiff => "tiff",
            Self::Avif => "avif",
        }
    }
}

/// Everything that decides a sample's bytes, so that samples can be made in any order.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    index: usize,
    format: Format,
    /// How many samples of the same format come before this one.
    rank: usize,
    seed: u64,
    variant: Variant,
    copy_of: Option<usize>,
    profile: Profile,
}

/// Plans `count` samples in a shuffled order, each format having its share to the nearest whole.
pub(super) fn plans(profile: Profile, seed: u64, count: usize) -> Vec<Plan> {
    let mut rng = Rng::with_seed(seed);
    let mut formats = formats(count);
    rng.shuffle(&mut formats);

    let mut plans: Vec<Plan> = Vec::with_capacity(count);
    let mut ranks = [0; MIX.len()];
    let mut last_plain_jpeg: Option<usize> = None;
    let mut changed = 0;
    for (index, format) in formats.into_iter().enumerate() {
        let rank = ranks[format as usize];
        ranks[format as usize] += 1;
        let mut plan = Plan {
            index,
            format,
            rank,
            seed: rng.u64(..),
            variant: Variant::Plain,
            copy_of: None,
            profile,
        };
        let is_changed =
            profile == Profile::Demo && format == Format::Jpeg && rank % JPEGS_PER_VARIANT == 2;
        if is_changed {
            plan.variant = Variant::CHANGED[changed % Variant::CHANGED.len()];
            changed += 1;
        }
        if matches!(plan.variant, Variant::ExactCopy | Variant::NearCopy) {
            plan.copy_of = last_plain_jpeg;
        }
        if let Some(original) = plan.copy_of {
            plan.seed = plans[original].seed;
        }
        let is_painted_jpeg = format == Format::Jpeg && plan.jpeg_fixture().is_none();
        if is_painted_jpeg && plan.variant == Variant::Plain {
            last_plain_jpeg = Some(index);
        }
        plans.push(plan);
    }
    plans
}

/// Largest-remainder apportionment of `count` over [`MIX`].
fn formats(count: usize) -> Vec<Format> {
    let mut formats = Vec::with_capacity(count);
    let mut remainders = Vec::new();
    for (format, share) in MIX {
        formats.extend(std::iter::repeat_n(format, count * share / 1000));
        remainders.push((count * share % 1000, format));
    }
    // A stable sort: equal remainders go to the commoner format.
    remainders.sort_by_key(|&(remainder, _)| std::cmp::Reverse(remainder));
    for (_, format) in remainders {
        if formats.len() < count {
            formats.push(format);
        }
    }
    formats
}

impl Plan {
    /// Paints and encodes the sample.
    pub(super) fn make(&self) -> Sample {
        let mut rng = Rng::with_seed(self.seed);
        match self.format {
            Format::Jpeg => self.make_jpeg(&mut rng),
            Format::Png => self.make_png(&mut rng),
            Format::WebP => self.make_webp(&mut rng),
            Format::Gif => self.make_gif(&mut rng),
            Format::Bmp => self.make_uncompressed(&mut rng, encode::bmp),
            Format::Tiff => self.make_uncompressed(&mut rng, encode::tiff),
            Format::Avif => self.make_avif(),
        }
    }

    fn make_jpeg(&self, rng: &mut Rng) -> Sample {
        if let Some(fixture) = self.jpeg_fixture() {
            return self.sample(
                fixture.bytes(),
                fixture.width,
                fixture.height,
                fixture.frames,
            );
        }
        let (width, height) = self.photograph_size(rng);
        let mut options = JpegOptions {
            quality: [60, 75, 80, 85, 85, 90, 95][rng.usize(..7)],
            progressive: rng.u8(0..10) < 3,
            subsampling: subsampling(rng),
            restart_interval: if rng.u8(0..10) == 0 {
                rng.u16(1..64)
            } else {
                0
            },
            // Rare: this encoder then writes one scan a component, which few other tools do.
            optimised_tables: rng.u8(0..16) == 0,
            exif: exif(rng),
        };
        let picture = self
            .variant
            .apply(paint::photograph(rng.u64(..), width, height));
        match self.variant {
            // A re-encoded copy has other bytes in every part.
            Variant::NearCopy => {
                options = JpegOptions {
                    quality: 72,
                    progressive: !options.progressive,
                    exif: None,
                    ..options
                };
            }
            Variant::Grayscale => options.subsampling = Subsampling::Yuv420,
            _ => {}
        }
        self.sample(
            encode::jpeg(&picture, &options),
            picture.width(),
            picture.height(),
            1,
        )
    }

    fn jpeg_fixture(&self) -> Option<&'static fixtures::Fixture> {
        let is_due = self.rank % JPEGS_PER_FIXTURE == 7;
        if is_due {
            fixtures::JPEG.get(self.rank / JPEGS_PER_FIXTURE)
        } else {
            None
        }
    }

    fn make_png(&self, rng: &mut Rng) -> Sample {
        let (width, height) = self.graphic_size(rng);
        let seed = rng.u64(..);
        let picture = match self.rank % 5 {
            0 => DynamicImage::ImageRgb8(paint::photograph(seed, width * 3 / 4, height * 3 / 4)),
            1 => DynamicImage::ImageRgb8(paint::graphic(seed, width, height)),
            2 => with_alpha(paint::graphic(seed, width, height)),
            3 => {
                DynamicImage::ImageLuma8(imageops::grayscale(&paint::graphic(seed, width, height)))
            }
            _ => DynamicImage::ImageRgb16(
                DynamicImage::ImageRgb8(paint::graphic(seed, width / 2, height / 2)).into_rgb16(),
            ),
        };
        self.sample(encode::png(&picture), picture.width(), picture.height(), 1)
    }

    fn make_webp(&self, rng: &mut Rng) -> Sample {
        if self.rank.is_multiple_of(2) {
            let turn = self.rank / 2;
            let fixture = &fixtures::LOSSY_WEBP[turn % fixtures::LOSSY_WEBP.len()];
            let repetition = turn / fixtures::LOSSY_WEBP.len();
            return self.sample(
                fixture.webp(repetition as u32),
                fixture.width,
                fixture.height,
                fixture.frames,
            );
        }
        let (width, height) = self.graphic_size(rng);
        let seed = rng.u64(..);
        let picture = match self.rank % 8 {
            1 => DynamicImage::ImageRgb8(paint::photograph(seed, width / 2, height / 2)),
            3 => with_alpha(paint::graphic(seed, width, height)),
            _ => DynamicImage::ImageRgb8(paint::graphic(seed, width, height)),
        };
        self.sample(encode::webp(&picture), picture.width(), picture.height(), 1)
    }

    fn make_gif(&self, rng: &mut Rng) -> Sample {
        let (width, height) = self.graphic_size(rng);
        let (width, height) = (width / 2, height / 2);
        let picture = paint::graphic(rng.u64(..), width, height);
        let frame_count = if self.rank.is_multiple_of(3) {
            rng.u32(3..9)
        } else {
            1
        };
        let mut frames = Vec::new();
        for number in 0..frame_count {
            frames.push(shifted(&picture, number * width / 16));
        }
        self.sample(encode::gif(&frames), width, height, frame_count)
    }

    fn make_uncompressed(&self, rng: &mut Rng, encode: fn(&RgbImage) -> Bytes) -> Sample {
        let (width, height) = self.graphic_size(rng);
        let picture = paint::photograph(rng.u64(..), width / 2, height / 2);
        self.sample(encode(&picture), picture.width(), picture.height(), 1)
    }

    fn make_avif(&self) -> Sample {
        let fixture = &fixtures::AVIF[self.rank % fixtures::AVIF.len()];
        let repetition = self.rank / fixtures::AVIF.len();
        self.sample(
            fixture.avif(repetition as u32),
            fixture.width,
            fixture.height,
            fixture.frames,
        )
    }

    fn photograph_size(&self, rng: &mut Rng) -> (u32, u32) {
        if self.profile == Profile::Demo {
            return demo_size(rng);
        }
        if rng.u8(0..100) < 6 {
            LARGE_SIZE
        } else {
            USUAL_SIZES[rng.usize(..USUAL_SIZES.len())]
        }
    }

    /// Graphics of the benchmark profile are smaller than photographs, as on the web.
    fn graphic_size(&self, rng: &mut Rng) -> (u32, u32) {
        match self.profile {
            Profile::Demo => demo_size(rng),
            Profile::Bench => {
                [(800, 600), (640, 480), (1024, 768), (1280, 720), (600, 600)][rng.usize(..5)]
            }
        }
    }

    fn sample(&self, bytes: Bytes, width: u32, height: u32, frames: u32) -> Sample {
        let format = self.format.name();
        let index = self.index;
        let name = match self.variant {
            Variant::Plain => format!("{index:05}.{format}"),
            changed => format!("{index:05}-{}.{format}", changed.name()),
        };
        Sample {
            name,
            bytes,
            format,
            width,
            height,
            frames,
            variant: self.variant,
            copy_of: self.copy_of,
        }
    }
}

fn demo_size(rng: &mut Rng) -> (u32, u32) {
    let width = rng.u32(64..=640);
    let ratio = [0.67, 0.75, 0.75, 1.0, 1.33, 0.5][rng.usize(..6)];
    (width, ((width as f32 * ratio) as u32).clamp(64, 640))
}

fn subsampling(rng: &mut Rng) -> Subsampling {
    match rng.u8(0..20) {
        0..=11 => Subsampling::Yuv420,
        12..=14 => Subsampling::Yuv422,
        15..=18 => Subsampling::Yuv444,
        _ => Subsampling::Grayscale,
    }
}

fn exif(rng: &mut Rng) -> Option<Vec<u8>> {
    if rng.u8(0..10) >= 3 {
        return None;
    }
    let (make, model) = CAMERAS[rng.usize(..CAMERAS.len())];
    let orientation = [1, 1, 1, 6, 8, 3][rng.usize(..6)];
    let taken_at = format!(
        "20{:02}:{:02}:{:02} 12:30:00",
        rng.u8(10..25),
        rng.u8(1..=12),
        rng.u8(1..=28)
    );
    Some(
        Exif {
            make,
            model,
            orientation,
            taken_at: &taken_at,
            has_gps: rng.u8(0..4) == 0,
        }
        .to_bytes(),
    )
}

/// Fades the picture out towards the right.
fn with_alpha(picture: RgbImage) -> DynamicImage {
    let width = picture.width();
    let mut picture = DynamicImage::ImageRgb8(picture).into_rgba8();
    for (x, _, pixel) in picture.enumerate_pixels_mut() {
        pixel.0[3] = (255 - 255 * u64::from(x) / u64::from(width)) as u8;
    }
    DynamicImage::ImageRgba8(picture)
}

/// The picture moved to the left, what leaves coming back on the right.
fn shifted(picture: &RgbImage, by: u32) -> RgbImage {
    let mut frame = picture.clone();
    let row_length = picture.width() as usize * 3;
    for row in frame.chunks_exact_mut(row_length) {
        row.rotate_left(by as usize * 3 % row_length);
    }
    frame
}
