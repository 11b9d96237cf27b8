//! Bodies that come compressed although nobody asked for it: some hosts serve whatever file lies on their disk.

use std::io::{self, Read};

use bytes::Bytes;
use flate2::bufread::GzDecoder;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, TRANSFER_ENCODING};

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

/// Refuses a body that was packed for its way (RFC 9112, section 7): that was not asked for, and the protocol layer takes the packed bytes for
/// the body.
pub(crate) fn check_transfer(headers: &HeaderMap) -> Result<(), FetchError> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    // Old servers say that nothing was done.
    let is_plain = codings.all(|coding| {
        let coding = coding.as_bytes().trim_ascii();
        coding.eq_ignore_ascii_case(b"chunked") || coding.eq_ignore_ascii_case(b"identity")
    });
    if is_plain {
        return Ok(());
    }
    let detail = "the body was packed for its way, which was not asked for";
    Err(FetchError::new(FetchErrorKind::Unusable, detail))
}

/// Parts of a stream, each packed by itself (RFC 1952, section 2.2), that are unpacked: an empty one costs time and no bytes.
const MAX_MEMBERS: usize = 10_000;
/// What a part begins with.
const MAGIC: &[u8] = &[0x1f, 0x8b];

/// What becomes of a body that is longer than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beyond {
    TooLarge,
    /// Its beginning does.
    Dropped,
}

/// Unpacks `packed` as far as `max` bytes. What follows the stream and is none is padding, as for gzip(1).
pub(crate) fn gunzip(packed: &[u8], max: u64, beyond: Beyond) -> Result<Bytes, FetchError> {
    let mut unpacked = Vec::new();
    let mut rest = packed;
    for _ in 0..MAX_MEMBERS {
        let left = max.saturating_sub(unpacked.len() as u64);
        let mut member = GzDecoder::new(rest);
        let read = (&mut member)
            .take(left.saturating_add(1))
            .read_to_end(&mut unpacked);
        read.map_err(|error| not_unpacked(&error))?;
        if unpacked.len() as u64 > max {
            if beyond == Beyond::TooLarge {
                let detail = format!("the body is longer than {max} bytes once unpacked");
                return Err(FetchError::new(FetchErrorKind::TooLarge, detail));
            }
            unpacked.truncate(max as usize);
            return Ok(unpacked.into());
        }
        rest = member.into_inner();
        if !rest.starts_with(MAGIC) {
            return Ok(unpacked.into());
        }
    }
    let detail = format!("the body is a gzip stream of more than {MAX_MEMBERS} parts");
    Err(FetchError::new(FetchErrorKind::Unusable, detail))
}

fn not_unpacked(error: &io::Error) -> FetchError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return FetchError::new(
            FetchErrorKind::Truncated,
            "the body ended before the end of its gzip stream",
        );
    }
    FetchError::new(
        FetchErrorKind::Unusable,
        "the body is declared as gzip and is something else",
    )
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

    fn whole(packed: &[u8], max: u64) -> Result<Bytes, FetchError> {
        gunzip(packed, max, Beyond::TooLarge)
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
        assert_eq!(whole(&packed, 100_000).unwrap().len(), 100_000);
        assert_eq!(
            whole(&packed, 99_999).unwrap_err().kind(),
            FetchErrorKind::TooLarge
        );
    }

    #[test]
    fn parts_are_joined_and_padding_is_none() {
        let mut packed = gzip(b"one, ");
        packed.extend(gzip(b"two"));
        assert_eq!(whole(&packed, 8).unwrap(), &b"one, two"[..]);
        assert_eq!(
            whole(&packed, 7).unwrap_err().kind(),
            FetchErrorKind::TooLarge
        );
        for padding in [&b"\n"[..], &[0; 512], b"rubbish"] {
            let padded = [&packed, padding].concat();
            assert_eq!(whole(&padded, 100).unwrap(), &b"one, two"[..]);
        }
    }

    #[test]
    fn parts_that_hold_nothing_come_to_an_end() {
        let packed = gzip(b"").repeat(MAX_MEMBERS + 1);
        assert_eq!(
            whole(&packed, 100).unwrap_err().kind(),
            FetchErrorKind::Unusable
        );
    }

    #[test]
    fn a_beginning_may_do() {
        let packed = gzip(&vec![7; 100_000]);
        let beginning = gunzip(&packed, 1000, Beyond::Dropped).unwrap();
        assert_eq!(beginning, vec![7; 1000]);
    }

    #[test]
    fn there_may_be_no_limit() {
        assert_eq!(whole(&gzip(&[7; 100]), u64::MAX).unwrap().len(), 100);
    }

    #[test]
    fn a_bomb_costs_no_more_memory_than_the_limit() {
        let bomb = gzip(&vec![0; 50_000_000]);
        assert!(bomb.len() < 100_000);
        assert_eq!(
            whole(&bomb, 1000).unwrap_err().kind(),
            FetchErrorKind::TooLarge
        );
    }

    #[test]
    fn damaged_streams_are_told_from_truncated_ones() {
        let packed = gzip(&[7; 1000]);
        assert_eq!(
            whole(&packed[..packed.len() - 9], 9999).unwrap_err().kind(),
            FetchErrorKind::Truncated
        );
        assert_eq!(
            whole(b"\xFF\xD8\xFF\xE0 no gzip at all", 9999)
                .unwrap_err()
                .kind(),
            FetchErrorKind::Unusable
        );
        assert_eq!(
            whole(b"", 9999).unwrap_err().kind(),
            FetchErrorKind::Truncated
        );
    }
}
