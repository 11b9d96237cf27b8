use std::collections::HashMap;
use std::io::Cursor;

use image::{AnimationDecoder, DynamicImage, GenericImageView, ImageDecoder, ImageReader, Pixel};

use super::*;

fn decode(sample: &Sample) -> DynamicImage {
    let reader = ImageReader::new(Cursor::new(&sample.bytes))
        .with_guessed_format()
        .unwrap();
    reader
        .decode()
        .unwrap_or_else(|error| panic!("{}: {error}", sample.name))
}

/// Mean absolute difference between neighbouring pixels: high for sharp pictures.
fn detail(picture: &DynamicImage) -> f64 {
    let luma = picture.to_luma8();
    let mut sum = 0_u64;
    for row in luma.chunks_exact(luma.width() as usize) {
        sum += row
            .windows(2)
            .map(|pair| u64::from(pair[0].abs_diff(pair[1])))
            .sum::<u64>();
    }
    sum as f64 / f64::from(luma.width() * luma.height())
}

fn brightness(picture: &DynamicImage) -> f64 {
    let luma = picture.to_luma8();
    luma.iter().map(|value| f64::from(*value)).sum::<f64>() / luma.len() as f64
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let first = Corpus::generate(7, 24);
    let second = Corpus::generate(7, 24);
    for (left, right) in first.images.iter().zip(&second.images) {
        assert_eq!(left.name, right.name);
        assert_eq!(left.bytes, right.bytes);
    }
}

#[test]
fn another_seed_gives_other_pictures() {
    // Few enough for no checked-in JPEG to be due.
    let jpegs = |seed| {
        let mut images = Corpus::generate(seed, 9).images;
        images.retain(|sample| sample.format == "jpeg");
        images
    };
    let first = jpegs(7);
    assert_eq!(first.len(), 7);
    for sample in jpegs(8) {
        assert!(
            first.iter().all(|other| other.bytes != sample.bytes),
            "{}",
            sample.name
        );
    }
}

#[test]
fn formats_come_in_the_documented_mix() {
    let count_by_format = |count| {
        let mut counts = HashMap::new();
        for sample in Corpus::generate(1, count).images {
            *counts.entry(sample.format).or_insert(0) += 1;
        }
        counts
    };
    let hundred = count_by_format(100);
    assert_eq!(
        (
            hundred["jpeg"],
            hundred["png"],
            hundred["webp"],
            hundred["gif"]
        ),
        (75, 12, 9, 3)
    );
    let three_hundred = count_by_format(300);
    assert_eq!(
        (
            three_hundred["jpeg"],
            three_hundred["png"],
            three_hundred["webp"],
            three_hundred["gif"]
        ),
        (225, 36, 27, 9)
    );
    assert_eq!(
        (
            three_hundred["bmp"],
            three_hundred["tiff"],
            three_hundred["avif"]
        ),
        (1, 1, 1)
    );
}

#[test]
fn every_file_decodes_to_its_stated_size_and_frames() {
    let corpus = Corpus::generate(3, 160);
    let mut animated = 0;
    for sample in corpus
        .images
        .iter()
        .filter(|sample| sample.format != "avif")
    {
        assert_eq!(
            decode(sample).dimensions(),
            (sample.width, sample.height),
            "{}",
            sample.name
        );
        if sample.frames == 1 {
            continue;
        }
        animated += 1;
        let bytes = Cursor::new(&sample.bytes);
        let frames = match sample.format {
            "gif" => image::codecs::gif::GifDecoder::new(bytes)
                .unwrap()
                .into_frames()
                .count(),
            "webp" => image::codecs::webp::WebPDecoder::new(bytes)
                .unwrap()
                .into_frames()
                .count(),
            other => panic!("no animation expected in {other}"),
        };
        assert_eq!(frames, sample.frames as usize, "{}", sample.name);
    }
    assert!(animated >= 2, "only {animated} animations");
}

#[test]
fn fixtures_hold_what_their_table_says() {
    let corpus = Corpus::fixtures();
    assert_eq!(corpus.images.len(), 12);
    for sample in corpus
        .images
        .iter()
        .filter(|sample| sample.format != "avif")
    {
        let picture = decode(sample);
        assert_eq!(
            picture.dimensions(),
            (sample.width, sample.height),
            "{}",
            sample.name
        );
        assert!(
            sample
                .name
                .contains(&format!("{}x{}", sample.width, sample.height)),
            "{}",
            sample.name
        );
    }
    let alpha = decode(corpus.get("lossy-alpha-256x256.webp").unwrap());
    assert!(alpha.color().has_alpha());
}

#[test]
fn the_orientation_of_an_exif_block_is_read_back() {
    let exif = exif::Exif {
        make: "Exemplar",
        model: "E-1",
        orientation: 6,
        taken_at: "2024:05:01 10:00:00",
        has_gps: true,
    };
    let options = JpegOptions {
        exif: Some(exif.to_bytes()),
        ..JpegOptions::default()
    };
    let file = encode::jpeg(&paint::photograph(1, 32, 32), &options);
    let mut decoder = image::codecs::jpeg::JpegDecoder::new(Cursor::new(file)).unwrap();
    assert_eq!(
        decoder.orientation().unwrap(),
        image::metadata::Orientation::Rotate90
    );
}

#[test]
fn avif_files_state_their_brand_and_box_lengths_add_up() {
    for repetition in 0..2 {
        let file = fixtures::AVIF[0].avif(repetition);
        assert_eq!(&file[4..12], b"ftypavif");
        let mut rest = &file[..];
        while !rest.is_empty() {
            let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
            rest = &rest[length..];
        }
    }
}

#[test]
fn names_are_unique_and_all_plain_samples_differ() {
    let corpus = Corpus::generate(5, 300);
    let mut names: Vec<_> = corpus.images.iter().map(|sample| &sample.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 300);
    let mut plain: Vec<_> = corpus
        .images
        .iter()
        .filter(|sample| sample.variant != Variant::ExactCopy)
        .collect();
    let count = plain.len();
    plain.sort_by(|left, right| left.bytes.cmp(&right.bytes));
    plain.dedup_by(|left, right| left.bytes == right.bytes);
    assert_eq!(plain.len(), count);
}

#[test]
fn the_jpegs_cover_the_encodings_found_on_the_web() {
    let corpus = Corpus::generate(2, 200);
    let (mut baseline, mut progressive, mut restarts, mut exif) = (0, 0, 0, 0);
    let mut samplings = Vec::new();
    for sample in corpus
        .images
        .iter()
        .filter(|sample| sample.format == "jpeg")
    {
        let mut rest = &sample.bytes[2..];
        loop {
            let (marker, length) = (rest[1], usize::from(u16::from_be_bytes([rest[2], rest[3]])));
            let body = &rest[4..2 + length];
            match marker {
                0xC0 | 0xC2 => {
                    if marker == 0xC0 {
                        baseline += 1;
                    } else {
                        progressive += 1;
                    }
                    samplings.push((body[5], body[7]));
                }
                0xDD => restarts += 1,
                0xE1 => exif += 1,
                0xDA => break,
                _ => {}
            }
            rest = &rest[2 + length..];
        }
    }
    assert_eq!(baseline + progressive, 150);
    assert!(
        baseline > 60 && progressive > 20 && restarts > 3 && exif > 20,
        "{baseline} {progressive} {restarts} {exif}"
    );
    for wanted in [(3, 0x22), (3, 0x21), (3, 0x11), (1, 0x11)] {
        assert!(samplings.contains(&wanted), "no JPEG with {wanted:x?}");
    }
}

#[test]
fn copies_in_a_corpus_point_to_their_original() {
    let corpus = Corpus::generate(4, 120);
    let copies: Vec<_> = corpus
        .images
        .iter()
        .filter_map(|sample| Some((sample, sample.copy_of?)))
        .collect();
    assert!(
        copies
            .iter()
            .any(|(copy, _)| copy.variant == Variant::NearCopy)
    );
    assert!(
        copies
            .iter()
            .any(|(copy, _)| copy.variant == Variant::ExactCopy)
    );
    for (copy, original) in copies {
        let original = &corpus.images[original];
        assert_eq!(
            copy.bytes == original.bytes,
            copy.variant == Variant::ExactCopy,
            "{}",
            copy.name
        );
    }
}

#[test]
fn each_variant_has_the_quality_it_is_named_for() {
    let corpus = Corpus::variants(11, 400, 300);
    let picture = |variant: Variant| {
        decode(
            corpus
                .images
                .iter()
                .find(|sample| sample.variant == variant)
                .unwrap(),
        )
    };
    let plain = picture(Variant::Plain);
    assert!(
        (90.0..170.0).contains(&brightness(&plain)),
        "{}",
        brightness(&plain)
    );
    assert!(detail(&picture(Variant::Blurred)) * 2.0 < detail(&plain));
    assert!(brightness(&picture(Variant::Dark)) < 30.0);
    assert!(brightness(&picture(Variant::Bright)) > 225.0);
    assert!(detail(&picture(Variant::Flat)) < 0.01);
    let is_gray = picture(Variant::Grayscale).pixels().all(|(_, _, pixel)| {
        let [red, green, blue] = pixel.to_rgb().0;
        red.abs_diff(green) < 4 && green.abs_diff(blue) < 4
    });
    assert!(is_gray);
    assert_eq!(
        corpus.get("plain.jpeg").unwrap().bytes,
        corpus.get("exact-copy.jpeg").unwrap().bytes
    );

    let near = picture(Variant::NearCopy);
    assert_eq!(near.dimensions(), (320, 240));
    let (small_plain, small_near) = (
        plain.thumbnail_exact(16, 16).to_luma8(),
        near.thumbnail_exact(16, 16).to_luma8(),
    );
    let furthest = small_plain
        .iter()
        .zip(small_near.iter())
        .map(|(left, right)| left.abs_diff(*right))
        .max();
    assert!(furthest.unwrap() < 12, "{furthest:?}");
}

#[test]
fn a_photograph_for_the_benchmark_has_a_realistic_file_size() {
    for seed in 0..4 {
        let picture = paint::photograph(seed, 1200, 900);
        let kilobytes = encode::jpeg(&picture, &JpegOptions::default()).len() / 1000;
        assert!(
            (60..400).contains(&kilobytes),
            "seed {seed}: {kilobytes} kB"
        );
    }
}

#[test]
fn the_smallest_pictures_can_be_painted() {
    for (width, height) in [(1, 1), (1, 90), (90, 1), (8, 8), (17, 33)] {
        assert_eq!(
            paint::photograph(1, width, height).dimensions(),
            (width, height)
        );
        assert_eq!(
            paint::graphic(1, width, height).dimensions(),
            (width, height)
        );
    }
}
