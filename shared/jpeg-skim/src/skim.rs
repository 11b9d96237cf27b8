//! The walk through a file: segments, tables, scans, until everything wanted is known.

use std::rc::Rc;

use crate::baseline::{self, RowSampling};
use crate::detail::{Detail, FrequencyEnergy};
use crate::error::{Declined, Error, Flaw};
use crate::frame::{Coding, ColorModel, Frame};
use crate::markers::{
    ApplicationData, DEFINE_HUFFMAN_TABLES, DEFINE_QUANTIZATION_TABLES, DEFINE_RESTART_INTERVAL,
    END_OF_IMAGE, START_OF_SCAN, Segments, is_start_of_frame, parse_restart_interval,
};
use crate::planes::{Assembly, CoefficientPlane, Plane, SmallImage};
use crate::progressive::{self, AcBands};
use crate::scan::{Cause, Interrupted, Layout, ScanHeader};
use crate::tables::{Quantization, Tables};

/// Bounds on what a file may claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Width times height, checked before anything is allocated. A skim takes about 0.15 bytes of memory per pixel at
    /// most, of a progressive file that is measured 0.28.
    pub max_pixels: u64,
}

impl Default for Limits {
    /// 50 megapixels.
    fn default() -> Self {
        Self {
            max_pixels: 50_000_000,
        }
    }
}

/// What to skim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bounds on what a file may claim.
    pub limits: Limits,
    /// Whether to measure [`Detail`]. Without it a progressive file is read only up to its last DC scan.
    pub measure_detail: bool,
}

impl Default for Options {
    /// Default limits, detail measured.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            measure_detail: true,
        }
    }
}

/// What the entropy-coded data of a JPEG tells without decoding it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Skim {
    /// Of the full image, in pixels.
    pub width: u32,
    /// Of the full image, in pixels.
    pub height: u32,
    /// The components at one eighth of their resolution: one or three.
    pub components: Vec<Plane>,
    /// How the components make a colour.
    pub color: ColorModel,
    /// Sharpness and texture; `None` unless [`Options::measure_detail`] was set.
    pub detail: Option<Detail>,
    /// Whether an end-of-image marker was met. A file without it is missing its end, if only a few bytes of padding.
    pub has_end_of_image: bool,
}

impl Skim {
    /// The luma at one eighth of the size.
    pub fn to_luma8(&self) -> SmallImage {
        self.assembly().luma()
    }

    /// The image at one eighth of the size; a greyscale image has equal channels.
    ///
    /// Subsampled chroma is interpolated between the means of its blocks, each of which covers several pixels here: colours
    /// are right on average, but their edges are softer than in a decoded image that is scaled down.
    pub fn to_rgb8(&self) -> SmallImage {
        self.assembly().rgb()
    }

    fn assembly(&self) -> Assembly<'_> {
        Assembly {
            planes: &self.components,
            color: self.color,
            width: self.width.div_ceil(8),
            height: self.height.div_ceil(8),
        }
    }
}

/// Skims a whole JPEG file.
///
/// Bytes before or after the image are not looked for; the first byte must be that of the start-of-image marker.
pub fn skim(bytes: &[u8], options: &Options) -> Result<Skim, Error> {
    let mut segments = Segments::new(bytes)?;
    let mut skimmer = Skimmer::new(bytes, *options);
    let walked = skimmer.walk(&mut segments);
    walked.map_err(|error| error.with_decoded_fraction(skimmer.decoded_fraction()))?;
    skimmer.finish(segments)
}

struct Skimmer<'a> {
    bytes: &'a [u8],
    options: Options,
    tables: Tables,
    application: ApplicationData,
    restart_interval: u16,
    picture: Option<Picture>,
    has_end_of_image: bool,
}

/// What comes to be known of a frame.
struct Picture {
    frame: Frame,
    color: ColorModel,
    planes: Vec<CoefficientPlane>,
    progress: Vec<Progress>,
    /// Index of the component whose AC coefficients are measured.
    measured: Option<usize>,
    energy: FrequencyEnergy,
    bands: AcBands,
}

/// How far a component is.
#[derive(Clone, Default)]
struct Progress {
    /// The quantization table that was in force at the first scan.
    quantization: Option<Rc<Quantization>>,
    /// Low bits missing of the DC coefficients; `None` before their first scan is complete.
    dc_low_bits: Option<u8>,
    /// Share of the DC coefficients that were read at all.
    fraction: f32,
}

impl<'a> Skimmer<'a> {
    fn new(bytes: &'a [u8], options: Options) -> Self {
        Self {
            bytes,
            options,
            tables: Tables::default(),
            application: ApplicationData::default(),
            restart_interval: 0,
            picture: None,
            has_end_of_image: false,
        }
    }

    /// Reads segments and scans until all is known.
    fn walk(&mut self, segments: &mut Segments<'a>) -> Result<(), Error> {
        while let Some(segment) = segments.next()? {
            let payload = segment.payload;
            match segment.marker {
                DEFINE_QUANTIZATION_TABLES => self.tables.define_quantization(payload)?,
                DEFINE_HUFFMAN_TABLES => self.tables.define_huffman(payload)?,
                DEFINE_RESTART_INTERVAL => self.restart_interval = parse_restart_interval(payload)?,
                START_OF_SCAN => {
                    let end = self.scan(payload, segments.position())?;
                    segments.set_position(end);
                    if self.is_complete() {
                        return Ok(());
                    }
                }
                END_OF_IMAGE => {
                    self.has_end_of_image = true;
                    return self.check_every_component_is_there();
                }
                marker if is_start_of_frame(marker) => {
                    if self.picture.is_some() {
                        return Err(Flaw::Frame.into());
                    }
                    self.picture = Some(Picture::new(
                        Frame::parse(&segment)?,
                        &self.application,
                        &self.options,
                    )?);
                }
                _ => self.application.observe(&segment),
            }
        }
        Err(Error::truncated())
    }

    fn scan(&mut self, payload: &[u8], start: usize) -> Result<usize, Error> {
        let picture = self.picture.as_mut().ok_or(Flaw::Scan)?;
        let scan = ScanHeader::parse(payload, &picture.frame)?;
        picture.latch_quantization(&scan, &self.tables)?;
        let source = Source {
            data: self.bytes,
            start,
            restart_interval: self.restart_interval,
            tables: &self.tables,
        };
        if picture.frame.coding != Coding::Progressive {
            picture.sequential_scan(&scan, &source)
        } else if scan.spectral_start == 0 {
            picture.progressive_dc_scan(&scan, &source)
        } else {
            picture.progressive_ac_scan(&scan, &source)
        }
    }

    fn is_complete(&self) -> bool {
        self.picture.as_ref().is_some_and(Picture::is_complete)
    }

    fn check_every_component_is_there(&self) -> Result<(), Error> {
        let picture = self.picture.as_ref().ok_or(Flaw::Scan)?;
        let is_there = |progress: &Progress| progress.dc_low_bits.is_some();
        if picture.progress.iter().all(is_there) {
            Ok(())
        } else {
            Err(Flaw::MissingScan.into())
        }
    }

    fn decoded_fraction(&self) -> f32 {
        let Some(picture) = &self.picture else {
            return 0.0;
        };
        let (mut read, mut all) = (0.0, 0.0);
        for (plane, progress) in picture.planes.iter().zip(&picture.progress) {
            let blocks = plane.visible_blocks() as f32;
            read += progress.fraction * blocks;
            all += blocks;
        }
        read / all
    }

    fn finish(self, mut segments: Segments<'a>) -> Result<Skim, Error> {
        let mut has_end_of_image = self.has_end_of_image;
        // What is left matters no more, except whether it ends as it should.
        while !has_end_of_image && let Ok(Some(segment)) = segments.next() {
            has_end_of_image = segment.marker == END_OF_IMAGE;
        }
        let picture = self.picture.ok_or(Flaw::Scan)?;
        let mut components = Vec::with_capacity(picture.planes.len());
        for (plane, progress) in picture.planes.iter().zip(&picture.progress) {
            components.push(
                plane.to_plane(
                    progress
                        .quantization
                        .as_ref()
                        .ok_or(Declined::MissingTables)?,
                ),
            );
        }
        let detail = match picture.measured {
            None => None,
            Some(index) => {
                let quantization = picture.progress[index]
                    .quantization
                    .as_ref()
                    .ok_or(Declined::MissingTables)?;
                let is_progressive = picture.frame.coding == Coding::Progressive;
                let energy = if is_progressive {
                    &picture.bands.energy
                } else {
                    &picture.energy
                };
                Some(energy.detail(quantization))
            }
        };
        Ok(Skim {
            width: picture.frame.width,
            height: picture.frame.height,
            components,
            color: picture.color,
            detail,
            has_end_of_image,
        })
    }
}

/// Where a scan's coded data is, and what is needed to read it.
struct Source<'a> {
    data: &'a [u8],
    start: usize,
    restart_interval: u16,
    tables: &'a Tables,
}

impl Picture {
    /// Checks the frame against what is supported and the limits, then allocates for it.
    fn new(frame: Frame, application: &ApplicationData, options: &Options) -> Result<Self, Error> {
        frame.check_supported()?;
        let pixels = u64::from(frame.width) * u64::from(frame.height);
        let limit = options.limits.max_pixels;
        if pixels > limit {
            return Err(Error::TooManyPixels { pixels, limit });
        }
        let planes: Vec<_> = frame
            .components
            .iter()
            .map(|component| CoefficientPlane::new(&frame, *component))
            .collect();
        let color = frame.color_model(application);
        let most_like_luma = usize::from(color == ColorModel::Rgb);
        let measured = options.measure_detail.then_some(most_like_luma);
        let bands = AcBands::new(planes[measured.unwrap_or(0)].visible_blocks());
        Ok(Self {
            progress: vec![Progress::default(); planes.len()],
            frame,
            color,
            planes,
            measured,
            energy: FrequencyEnergy {
                sums: [0; 64],
                unit: 1.0,
                blocks: 0,
            },
            bands,
        })
    }

    /// A component keeps the table in force at its first scan, even if the slot is redefined later.
    fn latch_quantization(&mut self, scan: &ScanHeader, tables: &Tables) -> Result<(), Error> {
        for component in &scan.components {
            let progress = &mut self.progress[component.index];
            if progress.quantization.is_none() {
                let slot = self.frame.components[component.index].quantization_table;
                progress.quantization = Some(tables.quantization(slot)?);
            }
        }
        Ok(())
    }

    fn sequential_scan(&mut self, scan: &ScanHeader, source: &Source<'_>) -> Result<usize, Error> {
        if (
            scan.spectral_start,
            scan.spectral_end,
            scan.previous_low_bits,
            scan.low_bits,
        ) != (0, 63, 0, 0)
        {
            return Err(Flaw::Scan.into());
        }
        self.begin_dc(scan)?;
        let layout = Layout::new(scan, &self.frame, source.restart_interval)?;
        let coders = baseline::coders(scan, source.tables, self.measured)?;
        let measured_blocks = self.planes[self.measured.unwrap_or(0)].visible_blocks();
        let walked = baseline::decode(
            source.data,
            source.start,
            &layout,
            &coders,
            &mut self.planes,
            RowSampling::new(measured_blocks),
            &mut self.energy,
        );
        self.end_dc(scan, walked)
    }

    fn progressive_dc_scan(
        &mut self,
        scan: &ScanHeader,
        source: &Source<'_>,
    ) -> Result<usize, Error> {
        if scan.spectral_end != 0 {
            return Err(Flaw::Scan.into());
        }
        self.begin_dc(scan)?;
        let layout = Layout::new(scan, &self.frame, source.restart_interval)?;
        let tables = progressive::dc_tables(scan, source.tables)?;
        let walked = progressive::decode_dc(
            source.data,
            source.start,
            scan,
            &layout,
            &tables,
            &mut self.planes,
        );
        self.end_dc(scan, walked)
    }

    fn progressive_ac_scan(
        &mut self,
        scan: &ScanHeader,
        source: &Source<'_>,
    ) -> Result<usize, Error> {
        let [component] = &scan.components[..] else {
            return Err(Flaw::Scan.into());
        };
        check_refinement(scan)?;
        if self.measured != Some(component.index) {
            return Ok(source.start);
        }
        self.bands.begin(scan)?;
        let code = source.tables.ac(component.ac_table)?;
        self.bands
            .decode(
                source.data,
                source.start,
                scan,
                code,
                source.restart_interval,
            )
            .map_err(error_of)
    }

    /// Checks that a scan of DC coefficients comes in order.
    fn begin_dc(&self, scan: &ScanHeader) -> Result<(), Flaw> {
        check_refinement(scan)?;
        let previous = (scan.previous_low_bits > 0).then_some(scan.previous_low_bits);
        let is_in_order = |index: usize| self.progress[index].dc_low_bits == previous;
        if scan
            .components
            .iter()
            .all(|component| is_in_order(component.index))
        {
            Ok(())
        } else {
            Err(Flaw::ScanOrder)
        }
    }

    /// Notes how far a scan of DC coefficients got.
    fn end_dc(
        &mut self,
        scan: &ScanHeader,
        walked: Result<usize, Interrupted>,
    ) -> Result<usize, Error> {
        let fraction = walked
            .as_ref()
            .map_or_else(|interrupted| interrupted.fraction, |_| 1.0);
        for component in &scan.components {
            let progress = &mut self.progress[component.index];
            progress.fraction = progress.fraction.max(fraction);
            if walked.is_ok() {
                progress.dc_low_bits = Some(scan.low_bits);
            }
        }
        walked.map_err(error_of)
    }

    /// Whether nothing more is wanted of the file.
    fn is_complete(&self) -> bool {
        let is_dc_complete = self
            .progress
            .iter()
            .all(|progress| progress.dc_low_bits == Some(0));
        let needs_bands = self.measured.is_some() && self.frame.coding == Coding::Progressive;
        is_dc_complete && (!needs_bands || self.bands.is_complete())
    }
}

/// A refinement sends one more bit (T.81, G.1.1.1.2).
fn check_refinement(scan: &ScanHeader) -> Result<(), Flaw> {
    const MAX_LOW_BITS: u8 = 13;
    let is_refinement = scan.previous_low_bits > 0;
    if scan.low_bits > MAX_LOW_BITS || is_refinement && scan.previous_low_bits != scan.low_bits + 1
    {
        return Err(Flaw::ScanOrder);
    }
    Ok(())
}

fn error_of(interrupted: Interrupted) -> Error {
    match interrupted.cause {
        Cause::Truncated => Error::truncated(),
        Cause::Corrupt(flaw) => Error::corrupt(flaw),
    }
}
