//! JPEG: skimmed where that is good enough, decoded in full where it is not.

use domain::MeasureMode;
use jpeg_decoder::{Decoder, PixelFormat};
use jpeg_skim::{Declined, Error, Flaw, Skim};
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::reducer::{Layout, Reducer, Working};
use super::{Job, MOST_BYTES};
use crate::error::ImageError;
use crate::header::{ColorSpace as Inks, has_more_scans, is_interleaved};

/// Pixels that one sample of a skim stands for, in each direction.
const SKIM_SCALE: u32 = 8;

/// An image whose shorter side is below this is decoded in full: its skim would have fewer samples than the 32 that the
/// perceptual hash needs. The decode of so few pixels costs little.
const SHORTEST_SKIMMED_SIDE: u32 = 256;

/// Bytes of the largest pixel decoded to: four inks.
const LARGEST_PIXEL: usize = 4;

/// Scans of a file that is decoded scan by scan: each costs a pass over the image, and no encoder writes more than one a component.
const MAX_SCANS: usize = 16;

pub(super) fn decode(job: &Job<'_>) -> Result<Working, ImageError> {
    let skimmed = skim(job);
    check_integrity(job, &skimmed)?;
    let shorter_side = job.header.width.min(job.header.height);
    let is_to_be_skimmed = job.mode == MeasureMode::Fast || memory_to_decode(job) > MOST_BYTES;
    if is_to_be_skimmed
        && shorter_side >= SHORTEST_SKIMMED_SIDE
        && let Ok(skim) = &skimmed
    {
        job.check_size((skim.width, skim.height))?;
        return Ok(reduce_skim(skim, job.mode));
    }
    decode_fully(job).map_err(|error| match (error, skimmed) {
        (ImageError::Decode { format, .. }, Err(Error::Declined(coding)))
            if is_beyond_decoders(coding) =>
        {
            let coding = coding.to_string();
            ImageError::UnsupportedCoding { format, coding }
        }
        (error, _) => error,
    })
}

/// Whether a file that no decoder took is one that they do not know, rather than a damaged one.
const fn is_beyond_decoders(coding: Declined) -> bool {
    matches!(
        coding,
        Declined::ArithmeticCoding
            | Declined::Lossless
            | Declined::Hierarchical
            | Declined::Precision(_)
    )
}

fn skim(job: &Job<'_>) -> Result<Skim, Error> {
    let mut options = jpeg_skim::Options::default();
    options.limits.max_pixels = job.max_pixels;
    jpeg_skim::skim(job.bytes, &options)
}

/// Library decoders paint something over every gap; whether there is one, the skimmer says, in either mode. What it declines,
/// and flaws of headers that decoders put right, are left to the full decode.
fn check_integrity(job: &Job<'_>, skimmed: &Result<Skim, Error>) -> Result<(), ImageError> {
    match skimmed {
        Err(Error::Truncated { .. }) => Err(job.truncated()),
        Err(error @ Error::Corrupt { flaw, .. }) if is_in_the_picture(*flaw) => {
            Err(job.damaged(*error))
        }
        // All blocks of a sequential file may be there, though no marker says that it ends. Of a progressive one it cannot be
        // told whether a scan is missing.
        Ok(_) if !job.header.is_complete && is_progressive(job) => Err(job.truncated()),
        Err(_) if !job.header.is_complete => Err(job.truncated()),
        _ => Ok(()),
    }
}

const fn is_in_the_picture(flaw: Flaw) -> bool {
    matches!(
        flaw,
        Flaw::HuffmanCode | Flaw::Coefficients | Flaw::Marker | Flaw::MissingScan
    )
}

fn is_progressive(job: &Job<'_>) -> bool {
    jpeg_skim::header(job.bytes).is_ok_and(|header| header.is_progressive())
}

fn reduce_skim(skim: &Skim, mode: MeasureMode) -> Working {
    let small = skim.to_rgb8();
    let mut reducer = Reducer::of_scaled(
        Layout::Rgb,
        (small.width, small.height),
        (skim.width, skim.height),
        SKIM_SCALE,
        mode,
    );
    for row in small.pixels.chunks_exact(small.width as usize * 3) {
        reducer.push(row);
    }
    let mut working = reducer.finish();
    working.sharpness = skim.detail.map(|detail| detail.sharpness);
    working
}

/// Decodes every pixel. `zune-jpeg` is the faster decoder, but misreads sequential files whose components have a scan each
/// (zune-image issues 422 and 448): it returns wrong colours and no error.
fn decode_fully(job: &Job<'_>) -> Result<Working, ImageError> {
    job.check_memory(memory_to_decode(job))?;
    if is_interleaved(job.bytes) || is_progressive(job) {
        decode_with_zune(job)
    } else if has_more_scans(job.bytes, MAX_SCANS) {
        Err(job.damaged(format!("it has more than {MAX_SCANS} scans")))
    } else {
        decode_scan_by_scan(job)
    }
}

/// Bytes that the decoders take: the pixels as they come out, and before them the coefficients of a progressive file, or the components of
/// one that is decoded scan by scan.
fn memory_to_decode(job: &Job<'_>) -> u64 {
    let components = match job.header.color_space {
        Some(Inks::Gray) => 1,
        Some(Inks::Cmyk) => 4,
        _ => 3,
    };
    let bytes_per_pixel = if is_progressive(job) {
        components + 2 * components
    } else if is_interleaved(job.bytes) {
        components
    } else {
        2 * components
    };
    job.pixels() * bytes_per_pixel
}

fn decode_with_zune(job: &Job<'_>) -> Result<Working, ImageError> {
    let failed = |error: DecodeErrors| job.failed(error);
    let (width, height) = job.size();
    let options = DecoderOptions::default()
        .set_max_width(width as usize)
        .set_max_height(height as usize);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(job.bytes), options);
    decoder.decode_headers().map_err(failed)?;
    let (layout, output) = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => (Layout::Gray, ColorSpace::Luma),
        _ => (Layout::Rgb, ColorSpace::RGB),
    };
    decoder.set_options(options.jpeg_set_out_colorspace(output));
    let samples = decoder.decode().map_err(failed)?;
    let info = decoder.info().unwrap_or_default();
    job.check_size((u32::from(info.width), u32::from(info.height)))?;
    let mut reducer = Reducer::new(layout, (width, height), job.mode);
    for row in samples.chunks_exact(width as usize * layout.channels()) {
        reducer.push(row);
    }
    Ok(reducer.finish())
}

fn decode_scan_by_scan(job: &Job<'_>) -> Result<Working, ImageError> {
    let failed = |error: jpeg_decoder::Error| job.failed(error);
    let (width, height) = job.size();
    let mut decoder = Decoder::new(job.bytes);
    let pixels = width as usize * height as usize;
    decoder.set_max_decoding_buffer_size(pixels.saturating_mul(LARGEST_PIXEL));
    let samples = decoder.decode().map_err(failed)?;
    let Some(info) = decoder.info() else {
        return Err(job.damaged("there is no frame"));
    };
    job.check_size((u32::from(info.width), u32::from(info.height)))?;
    let rows = samples.chunks_exact(width as usize * info.pixel_format.pixel_bytes());
    let layout = match info.pixel_format {
        PixelFormat::L8 => Layout::Gray,
        PixelFormat::RGB24 | PixelFormat::CMYK32 => Layout::Rgb,
        PixelFormat::L16 => return Err(job.damaged("its samples are of more than 8 bits")),
    };
    let mut reducer = Reducer::new(layout, (width, height), job.mode);
    let mut converted = Vec::new();
    for row in rows {
        if info.pixel_format != PixelFormat::CMYK32 {
            reducer.push(row);
            continue;
        }
        converted.clear();
        let (pixels, _) = row.as_chunks::<4>();
        converted.extend(pixels.iter().flat_map(|inks| without_profile(*inks)));
        reducer.push(&converted);
    }
    Ok(reducer.finish())
}

/// Four inks as light, each ink and black taking away its share: what viewers show without a colour profile.
fn without_profile([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let light = |ink: u8| (u32::from(255 - ink) * u32::from(255 - black) / 255) as u8;
    [light(cyan), light(magenta), light(yellow)]
}
