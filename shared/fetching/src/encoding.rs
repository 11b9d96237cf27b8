//! Bodies that come compressed although nobody asked for it: some hosts serve whatever file lies on their disk.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use crate::{FetchError, FetchErrorKind};

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
}

/// The encoding that an answer declares; an error if it is one that is not undone here.
pub(crate) fn of(headers: &HeaderMap) -> Result<Encoding, FetchError> {
    let mut encoding = Encoding::Identity;
    for value in headers.get_all(CONTENT_ENCODING) {
        let value = value
            .to_str()
            .unwrap_or("unreadable")
            .trim()
            .to_ascii_lowercase();
        match (value.as_str(), encoding) {
            ("" | "identity", _) => {}
            ("gzip" | "x-gzip", Encoding::Identity) => encoding = Encoding::Gzip,
            _ => {
                let name: String = value.escape_default().take(40).collect();
                let detail = format!("the body is encoded as {name}, which was not asked for");
                return Err(FetchError::new(FetchErrorKind::Unusable, detail));
            }
        }
    }
    Ok(encoding)
}

/// Unpacks `packed` as far as `max` bytes; one more and the body is too large. Runs as long as that takes.
pub(crate) fn gunzip(packed: &[u8], max: u64) -> Result<Bytes, FetchError> {
    let mut unpacked = Vec::new();
    let read = MultiGzDecoder::new(packed)
        .take(max.saturating_add(1))
        .read_to_end(&mut unpacked);
    match read {
        Ok(length) if length as u64 > max => Err(FetchError::new(
            FetchErrorKind::TooLarge,
            format!("the body is longer than {max} bytes once unpacked"),
        )),
        Ok(_) => Ok(unpacked.into()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(FetchError::new(
            FetchErrorKind::Truncated,
            "the body ended before the end of its gzip stream",
        )),
        Err(_) => Err(FetchError::new(
            FetchErrorKind::Unusable,
            "the body is declared as gzip and is something else",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn declared(values: &[&str]) -> Result<Encoding, FetchError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, value.parse().unwrap());
        }
        of(&headers)
    }

    #[test]
    fn only_one_layer_of_gzip_is_undone() {
        assert_eq!(declared(&[]), Ok(Encoding::Identity));
        assert_eq!(declared(&["identity"]), Ok(Encoding::Identity));
        assert_eq!(declared(&["GZip"]), Ok(Encoding::Gzip));
        for values in [
            &["br"][..],
            &["gzip, gzip"],
            &["gzip", "gzip"],
            &["deflate"],
        ] {
            assert_eq!(
                declared(values).unwrap_err().kind(),
                FetchErrorKind::Unusable,
                "{values:?}"
            );
        }
    }

    #[test]
    fn a_body_is_unpacked_up_to_the_limit_and_not_a_byte_further() {
        let packed = gzip(&vec![7; 100_000]);
        assert_eq!(gunzip(&packed, 100_000).unwrap().len(), 100_000);
        assert_eq!(
            gunzip(&packed, 99_999).unwrap_err().kind(),
            FetchErrorKind::TooLarge
        );
    }

    #[test]
    fn there_may_be_no_limit() {
        assert_eq!(gunzip(&gzip(&[7; 100]), u64::MAX).unwrap().len(), 100);
    }

    #[test]
    fn a_bomb_costs_no_more_memory_than_the_limit() {
        let bomb = gzip(&vec![0; 50_000_000]);
        assert!(bomb.len() < 100_000);
        assert_eq!(
            gunzip(&bomb, 1000).unwrap_err().kind(),
            FetchErrorKind::TooLarge
        );
    }

    #[test]
    fn damaged_streams_are_told_from_truncated_ones() {
        let packed = gzip(&[7; 1000]);
        assert_eq!(
            gunzip(&packed[..packed.len() - 9], 9999)
                .unwrap_err()
                .kind(),
            FetchErrorKind::Truncated
        );
        assert_eq!(
            gunzip(b"\xFF\xD8\xFF\xE0 no gzip at all", 9999)
                .unwrap_err()
                .kind(),
            FetchErrorKind::Unusable
        );
        assert_eq!(
            gunzip(b"", 9999).unwrap_err().kind(),
            FetchErrorKind::Truncated
        );
    }
}
