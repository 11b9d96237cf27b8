//! What bytes are, told from the first of them: magic numbers, then the looks of a text.

use std::fmt;

use domain::ImageFormat;

/// Bytes looked at to tell kinds of text apart.
const TEXT_WINDOW: usize = 1024;

/// What bytes turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Content {
    /// An image of this format.
    Image(ImageFormat),
    /// An HTML page.
    Html,
    /// XML that is not SVG.
    Xml,
    /// JSON.
    Json,
    /// Text of no recognised kind.
    Text,
    /// PDF.
    Pdf,
    /// A ZIP archive, office documents included.
    Zip,
    /// gzip-compressed data.
    Gzip,
    /// A video in an ISO base media file (MP4, `QuickTime`).
    Mp4,
    /// No bytes at all.
    Empty,
    /// Binary data of no recognised kind.
    Unknown,
}

impl fmt::Display for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Image(format) => return write!(formatter, "an image ({format})"),
            Self::Html => "an HTML page",
            Self::Xml => "an XML document",
            Self::Json => "a JSON document",
            Self::Text => "plain text",
            Self::Pdf => "a PDF document",
            Self::Zip => "a ZIP archive",
            Self::Gzip => "gzip-compressed data",
            Self::Mp4 => "a video",
            Self::Empty => "empty",
            Self::Unknown => "binary data of an unknown kind",
        };
        formatter.pad(name)
    }
}

/// Tells what `bytes` are from their beginning. Any length will do; the more of the first 1,024 bytes, the surer.
pub fn sniff(bytes: &[u8]) -> Content {
    if bytes.is_empty() {
        return Content::Empty;
    }
    if let Some(content) = by_magic_number(bytes) {
        return content;
    }
    if let Some(content) = by_file_type_box(bytes) {
        return content;
    }
    by_text(bytes)
}

fn by_magic_number(bytes: &[u8]) -> Option<Content> {
    use ImageFormat::{Gif, Ico, Jp2, Jpeg, Jxl, Png, Psd, Tiff, Webp};
    const MAGIC: &[(&[u8], Content)] = &[
        (b"\xff\xd8\xff", Content::Image(Jpeg)),
        (b"\x89PNG\r\n\x1a\n", Content::Image(Png)),
        (b"GIF87a", Content::Image(Gif)),
        (b"GIF89a", Content::Image(Gif)),
        (b"II*\0", Content::Image(Tiff)),
        (b"MM\0*", Content::Image(Tiff)),
        (b"II+\0\x08\0\0\0", Content::Image(Tiff)),
        (b"MM\0+\0\x08\0\0", Content::Image(Tiff)),
        (b"\xff\x0a", Content::Image(Jxl)),
        (b"\0\0\0\x0cJXL \r\n\x87\n", Content::Image(Jxl)),
        (b"\0\0\0\x0cjP  \r\n\x87\n", Content::Image(Jp2)),
        (b"\xff\x4f\xff\x51", Content::Image(Jp2)),
        (b"8BPS\0\x01", Content::Image(Psd)),
        (b"8BPS\0\x02", Content::Image(Psd)),
        (b"%PDF-", Content::Pdf),
        (b"PK\x03\x04", Content::Zip),
        (b"PK\x05\x06", Content::Zip),
        (b"\x1f\x8b", Content::Gzip),
    ];
    for (magic, content) in MAGIC {
        if bytes.starts_with(magic) {
            return Some(*content);
        }
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        return Some(Content::Image(Webp));
    }
    if bytes.starts_with(b"BM") && is_bitmap_header(bytes) {
        return Some(Content::Image(ImageFormat::Bmp));
    }
    // An icon's directory: type 1, at least one entry, whose fourth byte is reserved as zero.
    let is_icon = bytes.starts_with(b"\0\0\x01\0")
        && bytes.get(4..6).is_some_and(|count| count != [0, 0])
        && bytes.get(9) == Some(&0);
    is_icon.then_some(Content::Image(Ico))
}

/// Two letters are too little to tell a bitmap from a text: the header's length has to be one that exists.
fn is_bitmap_header(bytes: &[u8]) -> bool {
    const HEADER_LENGTHS: [u8; 8] = [12, 16, 40, 52, 56, 64, 108, 124];
    matches!(bytes.get(14..18), Some([length, 0, 0, 0]) if HEADER_LENGTHS.contains(length))
}

/// ISO/IEC 14496-12: the first box names the brands the file is readable as.
fn by_file_type_box(bytes: &[u8]) -> Option<Content> {
    const LONGEST: usize = 256;
    if bytes.get(4..8) != Some(b"ftyp") {
        return None;
    }
    let claimed = u32::from_be_bytes(*bytes.first_chunk::<4>()?) as usize;
    let content = &bytes[8..claimed.clamp(8, LONGEST).min(bytes.len()).max(8)];
    let (brands, _) = content.as_chunks::<4>();
    // The second word is the minor version, not a brand.
    let has = |wanted: &[&[u8; 4]]| {
        brands
            .iter()
            .enumerate()
            .any(|(index, brand)| index != 1 && wanted.contains(&brand))
    };
    if has(&[b"avif", b"avis"]) {
        return Some(Content::Image(ImageFormat::Avif));
    }
    let heif = [
        b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1",
    ];
    if has(&heif) {
        return Some(Content::Image(ImageFormat::Heif));
    }
    Some(Content::Mp4)
}

fn by_text(bytes: &[u8]) -> Content {
    const HTML: [&str; 9] = [
        "<!doctype html",
        "<html",
        "<head",
        "<body",
        "<title",
        "<meta",
        "<script",
        "<div",
        "<h1",
    ];
    let window = &bytes[..bytes.len().min(TEXT_WINDOW)];
    let Some(text) = readable(window) else {
        return Content::Unknown;
    };
    let text = text.trim_start().to_ascii_lowercase();
    if HTML.iter().any(|start| text.starts_with(start)) {
        return Content::Html;
    }
    if text.starts_with('<') {
        let svg = text.find("<svg");
        let html = text.find("<html");
        return match (svg, html) {
            (Some(svg), Some(html)) if html < svg => Content::Html,
            (Some(_), _) => Content::Image(ImageFormat::Svg),
            (None, Some(_)) => Content::Html,
            (None, None) if text.starts_with("<?xml") || text.starts_with("<!doctype") => {
                Content::Xml
            }
            (None, None) if text.contains("</") || text.contains("/>") => Content::Xml,
            (None, None) => Content::Text,
        };
    }
    if looks_like_json(&text) {
        return Content::Json;
    }
    Content::Text
}

/// The window as text, if it is one: UTF-8 (a character cut at its end is fine) or UTF-16 with a byte order mark, no control characters.
fn readable(window: &[u8]) -> Option<String> {
    let utf16 = |read: fn([u8; 2]) -> u16, bytes: &[u8]| {
        let (pairs, _) = bytes.as_chunks::<2>();
        char::decode_utf16(pairs.iter().map(|pair| read(*pair)))
            .map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER))
            .collect::<String>()
    };
    let text = match window {
        [0xff, 0xfe, rest @ ..] => utf16(u16::from_le_bytes, rest),
        [0xfe, 0xff, rest @ ..] => utf16(u16::from_be_bytes, rest),
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest)?.to_owned(),
        plain => utf8(plain)?.to_owned(),
    };
    let is_text = |character: char| !character.is_control() || "\t\n\r\u{c}".contains(character);
    text.chars().all(is_text).then_some(text)
}

fn utf8(bytes: &[u8]) -> Option<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    }
}

fn looks_like_json(text: &str) -> bool {
    let mut rest = text.chars();
    let first = rest.next();
    let next = rest.find(|character| !character.is_whitespace());
    match first {
        Some('{') => matches!(next, Some('"' | '}')),
        Some('[') => {
            matches!(
                next,
                Some('{' | '[' | ']' | '"' | '-' | '0'..='9' | 't' | 'f' | 'n')
            )
        }
        _ => false,
    }
}

/// Whether a Content-Type names another kind of content than `format`. A type that promises nothing (none, `image/*`,
/// `application/octet-stream`) contradicts nothing.
pub fn type_mismatch(declared: &str, format: ImageFormat) -> bool {
    let essence = declared
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let promises_nothing = matches!(
        essence.as_str(),
        "" | "*/*"
            | "image/*"
            | "image"
            | "application/octet-stream"
            | "binary/octet-stream"
            | "application/x-www-form-urlencoded"
            | "application/binary"
            | "application/unknown"
            | "application/force-download"
            | "application/download"
    );
    if promises_nothing {
        return false;
    }
    !media_types(format).contains(&essence.as_str())
}

/// The media types a format goes by, registered and customary.
fn media_types(format: ImageFormat) -> &'static [&'static str] {
    match format {
        ImageFormat::Jpeg => &[
            "image/jpeg",
            "image/jpg",
            "image/pjpeg",
            "image/jfif",
            "image/x-jpeg",
            "image/mpo",
        ],
        ImageFormat::Png => &[
            "image/png",
            "image/x-png",
            "image/apng",
            "image/vnd.mozilla.apng",
        ],
        ImageFormat::Webp => &["image/webp", "image/x-webp"],
        ImageFormat::Gif => &["image/gif"],
        ImageFormat::Bmp => &[
            "image/bmp",
            "image/x-bmp",
            "image/x-ms-bmp",
            "image/x-windows-bmp",
            "image/vnd.ms-bmp",
        ],
        ImageFormat::Tiff => &["image/tiff", "image/tif", "image/x-tiff", "image/x-tif"],
        ImageFormat::Avif => &["image/avif", "image/avif-sequence"],
        ImageFormat::Heif => &[
            "image/heif",
            "image/heic",
            "image/heif-sequence",
            "image/heic-sequence",
        ],
        ImageFormat::Jxl => &["image/jxl"],
        ImageFormat::Jp2 => &["image/jp2", "image/jpx", "image/jpm", "image/j2c"],
        ImageFormat::Ico => &["image/x-icon", "image/vnd.microsoft.icon", "image/ico"],
        ImageFormat::Svg => &["image/svg+xml", "image/svg"],
        ImageFormat::Psd => &[
            "image/vnd.adobe.photoshop",
            "image/x-photoshop",
            "image/psd",
            "application/x-photoshop",
        ],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magic_numbers_name_their_format() {
        let cases: &[(&[u8], ImageFormat)] = &[
            (b"\xff\xd8\xff\xe0\0\x10JFIF", ImageFormat::Jpeg),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", ImageFormat::Png),
            (b"RIFF\x24\0\0\0WEBPVP8 ", ImageFormat::Webp),
            (b"GIF89a\x01\0\x01\0", ImageFormat::Gif),
            (b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", ImageFormat::Bmp),
            (b"II*\0\x08\0\0\0", ImageFormat::Tiff),
            (b"MM\0*\0\0\0\x08", ImageFormat::Tiff),
            (b"\0\0\0\x1cftypavif\0\0\0\0mif1miaf", ImageFormat::Avif),
            (b"\0\0\0\x18ftypmif1\0\0\0\0avifmiaf", ImageFormat::Avif),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", ImageFormat::Heif),
            (b"\xff\x0a\xfa\x1f", ImageFormat::Jxl),
            (b"\0\0\0\x0cJXL \r\n\x87\n", ImageFormat::Jxl),
            (b"\0\0\0\x0cjP  \r\n\x87\n", ImageFormat::Jp2),
            (b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0", ImageFormat::Ico),
            (b"8BPS\0\x01\0\0", ImageFormat::Psd),
            (
                b"<?xml version=\"1.0\"?>\n<!-- a -->\n<svg xmlns=\"\">",
                ImageFormat::Svg,
            ),
            (b"\n <SVG width=\"1\">", ImageFormat::Svg),
        ];
        for (bytes, format) in cases {
            assert_eq!(sniff(bytes), Content::Image(*format));
        }
    }

    #[test]
    fn what_is_no_image_is_named() {
        let cases: &[(&[u8], Content)] = &[
            (b"", Content::Empty),
            (b"<!DOCTYPE html><title>404</title>", Content::Html),
            (b"\xef\xbb\xbf  <html><svg>", Content::Html),
            (b"<!-- x --><html><body><svg>", Content::Html),
            (b"\xff\xfe<\0h\0t\0m\0l\0>\0", Content::Html),
            (b"<?xml version='1.0'?><Error/>", Content::Xml),
            (b"{\"error\": \"not found\"}", Content::Json),
            (b"[1, 2]", Content::Json),
            (b"BMW is a maker of cars and more", Content::Text),
            (b"not found\n", Content::Text),
            (b"%PDF-1.7", Content::Pdf),
            (b"PK\x03\x04\x14\0", Content::Zip),
            (b"\x1f\x8b\x08\0", Content::Gzip),
            (b"\0\0\0\x18ftypisom\0\0\0\0mp42", Content::Mp4),
            (b"\x00\x01\x02\x03\x04\xfe", Content::Unknown),
            (b"\0\0\0\0ftyp", Content::Mp4),
        ];
        for (bytes, content) in cases {
            assert_eq!(sniff(bytes), *content, "{:?}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_declared_type_is_held_against_the_content() {
        assert!(!type_mismatch(
            "Image/JPG; charset=binary",
            ImageFormat::Jpeg
        ));
        assert!(!type_mismatch(
            "application/octet-stream",
            ImageFormat::Webp
        ));
        assert!(!type_mismatch("", ImageFormat::Webp));
        assert!(type_mismatch("image/jpeg", ImageFormat::Webp));
        assert!(type_mismatch("text/html", ImageFormat::Png));
    }
}
