//! gzip and zstd, told by their magic bytes, with a cap on how much a list may grow.

use std::fmt;
use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use crate::source::{Peeked, Source};

/// Output that may come out of any input: small lists compress extremely well for honest reasons.
const FREE_OUTPUT_BYTES: u64 = 64 * 1024 * 1024;

/// 8 MiB, the window every decoder should support (RFC 8878, section 3.1.1.1.2) and the largest that levels up to 19 use. A frame
/// can claim much more, and the decoder would allocate it.
const MAX_ZSTD_WINDOW_LOG: u32 = 23;

/// Compressed bytes read at once.
const INPUT_BYTES: usize = 64 * 1024;

/// How a list is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952), one member or several.
    Gzip,
    /// Zstandard (RFC 8878), one frame or several.
    Zstd,
}

impl Compression {
    /// The name as users know it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// Tells the compression of a stream by its first bytes.
    pub(crate) const fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or a skippable frame in front of one.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// The output outgrew the input by more than is allowed.
#[derive(Debug, thiserror::Error)]
#[error("decompressed to more than {limit} times its size")]
pub(crate) struct RatioExceeded {
    pub(crate) limit: u64,
}

type Compressed<R> = BufReader<Peeked<Source<R>>>;

enum Stream<R> {
    Plain(Peeked<Source<R>>),
    Gzip(Box<MultiGzDecoder<Compressed<R>>>),
    Zstd(Box<zstd::Decoder<'static, Compressed<R>>>),
}

/// The decompressed bytes of a source.
pub(crate) struct Decompressor<R> {
    stream: Stream<R>,
    output: u64,
    max_ratio: u64,
}

impl<R: Read> Decompressor<R> {
    /// Tells the compression of `source` and starts to undo it.
    pub(crate) fn new(source: Peeked<Source<R>>, max_ratio: u64) -> io::Result<Self> {
        let stream = match Compression::of(source.head()) {
            Compression::None => Stream::Plain(source),
            Compression::Gzip => {
                let input = BufReader::with_capacity(INPUT_BYTES, source);
                Stream::Gzip(Box::new(MultiGzDecoder::new(input)))
            }
            Compression::Zstd => {
                let input = BufReader::with_capacity(INPUT_BYTES, source);
                let mut decoder = zstd::Decoder::with_buffer(input)?;
                decoder.window_log_max(MAX_ZSTD_WINDOW_LOG)?;
                Stream::Zstd(Box::new(decoder))
            }
        };
        Ok(Self {
            stream,
            output: 0,
            max_ratio,
        })
    }

    fn check_ratio(&self) -> io::Result<()> {
        let beyond_free = self.output.saturating_sub(FREE_OUTPUT_BYTES);
        if beyond_free == 0 {
            return Ok(());
        }
        let input = match &self.stream {
            Stream::Plain(_) => return Ok(()),
            Stream::Gzip(decoder) => decoder.get_ref().get_ref().get_ref().bytes(),
            Stream::Zstd(decoder) => decoder.get_ref().get_ref().get_ref().bytes(),
        };
        if beyond_free > input.saturating_mul(self.max_ratio) {
            let limit = self.max_ratio;
            return Err(io::Error::other(RatioExceeded { limit }));
        }
        Ok(())
    }
}

impl<R: Read> Read for Decompressor<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.stream {
            Stream::Plain(source) => source.read(buffer)?,
            Stream::Gzip(decoder) => decoder.read(buffer)?,
            Stream::Zstd(decoder) => decoder.read(buffer)?,
        };
        self.output += read as u64;
        self.check_ratio()?;
        Ok(read)
    }
}

impl<R> fmt::Debug for Decompressor<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Decompressor")
            .field("output", &self.output)
            .field("max_ratio", &self.max_ratio)
            .finish_non_exhaustive()
    }
}
