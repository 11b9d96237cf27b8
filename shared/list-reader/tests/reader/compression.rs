//! gzip and zstd: told by content, capped, damage reported.

use std::io::{self, Read, Write};

use domain::Limits;
use flate2::write::GzEncoder;
use list_reader::{Compression, ListError, ListReader};

use crate::support::{Trickle, named, open, read_all, refusal, rows, urls};

const LIST: &[u8] = b"url,title\nhttp://a.example/1,one\nhttp://a.example/2,two\n";

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zstd(plain: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    // Like the command-line tool; without it, damage can go unnoticed.
    encoder.include_checksum(true).unwrap();
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// Rows that do not compress to nothing, so that half of a stream holds rows.
fn long_list() -> Vec<u8> {
    let mut list = b"url\n".to_vec();
    let mut state = 1_u64;
    for _ in 0..50_000 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        list.extend_from_slice(format!("http://a.example/{state:016x}\n").as_bytes());
    }
    list
}

#[test]
fn compression_is_told_by_content_whatever_the_name() {
    let plain = rows("list.csv", LIST);
    for name in [
        "list.csv",
        "list.csv.gz",
        "list.csv.zst",
        "list",
        "a.csv.gzip",
    ] {
        for (list, compression) in [
            (LIST.to_vec(), Compression::None),
            (gzip(LIST), Compression::Gzip),
            (zstd(LIST), Compression::Zstd),
        ] {
            assert_eq!(open(name, &list).detected().compression, compression);
            assert_eq!(rows(name, &list), plain);
        }
    }
}

#[test]
fn several_gzip_members_and_several_zstd_frames_are_one_list() {
    let (first, second) = LIST.split_at(20);
    for compress in [gzip, zstd] {
        let list = [compress(first), compress(second)].concat();
        assert_eq!(urls("list.csv", list).len(), 2);
    }
}

#[test]
fn a_zstd_list_may_begin_with_a_skippable_frame() {
    let list = [&b"\x50\x2a\x4d\x18\x03\0\0\0abc"[..], &zstd(LIST)].concat();
    assert_eq!(urls("list.csv", list).len(), 2);
}

#[test]
fn a_truncated_stream_gives_its_rows_and_then_says_that_it_is_truncated() {
    for compress in [gzip, zstd] {
        let list = compress(&long_list());
        let half = &list[..list.len() / 2];
        let (rows, error) = read_all(open("list.csv", half));
        assert!(rows.len() > 10_000, "{}", rows.len());
        assert!(
            rows.iter()
                .all(|row| row.cell.as_ref().is_ok_and(|url| url.len() == 33))
        );
        let error = error.unwrap();
        let Some(ListError::Truncated {
            rows: before,
            lines,
            ..
        }) = Some(&error)
        else {
            panic!("{error:?}");
        };
        assert_eq!(*before, rows.len() as u64);
        assert_eq!(*lines, rows.len() as u64 + 1);
        assert!(error.to_string().contains("truncated"), "{error}");
        assert!(!error.is_infrastructure());
    }
}

#[test]
fn a_stream_cut_within_its_first_bytes_is_truncated_and_not_empty() {
    for compress in [gzip, zstd] {
        let list = compress(LIST);
        for length in [4, 9, 15, list.len() - 1] {
            let opened = ListReader::open(&list[..length], &named("list.csv"), &Limits::default());
            let error = match opened {
                Err(error) => error,
                Ok(reader) => read_all(reader).1.unwrap(),
            };
            assert!(
                matches!(error, ListError::Truncated { .. }),
                "{length}: {error:?}"
            );
        }
    }
}

#[test]
fn a_damaged_stream_says_after_how_many_rows() {
    for compress in [gzip, zstd] {
        let mut list = compress(&long_list());
        let middle = list.len() / 2;
        list[middle..middle + 4_000].fill(0xa5);
        let (rows, error) = read_all(open("list.csv", &list));
        let error = error.unwrap();
        assert!(matches!(error, ListError::Corrupt { .. }), "{error:?}");
        assert!(
            error
                .to_string()
                .contains(&format!("after {} rows", rows.len())),
            "{error}"
        );
        assert!(rows.len() > 1_000);
    }
}

#[test]
fn a_wrong_checksum_is_damage() {
    let mut list = gzip(LIST);
    let checksum = list.len() - 8;
    list[checksum] ^= 1;
    let (rows, error) = read_all(open("list.csv", &list));
    assert_eq!(rows.len(), 2);
    assert!(
        matches!(error, Some(ListError::Corrupt { .. })),
        "{error:?}"
    );
}

#[test]
fn a_failing_source_is_infrastructure_and_no_damage() {
    for list in [LIST.to_vec(), gzip(&long_list()), zstd(&long_list())] {
        let source = Trickle {
            bytes: &list[..list.len() / 2],
            step: 1_000,
            failure: Some(io::ErrorKind::ConnectionReset),
        };
        let reader = ListReader::open(source, &named("list.csv"), &Limits::default()).unwrap();
        let error = read_all(reader).1.unwrap();
        assert!(error.is_infrastructure(), "{error:?}");
        assert!(
            matches!(&error, ListError::Source { source, .. } if source.kind() == io::ErrorKind::ConnectionReset)
        );
    }
}

#[test]
fn a_list_that_grows_too_much_is_stopped() {
    let line = [b"http://a.example/", &[b'x'; 1_000][..], b"\n"].concat();
    let megabytes = 80 * 1024 * 1024 / line.len();
    for compressed in [
        {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            for _ in 0..megabytes {
                encoder.write_all(&line).unwrap();
            }
            encoder.finish().unwrap()
        },
        {
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            for _ in 0..megabytes {
                encoder.write_all(&line).unwrap();
            }
            encoder.finish().unwrap()
        },
    ] {
        let limits = Limits {
            max_decompression_ratio: 20,
            ..Limits::default()
        };
        let mut reader = ListReader::open(&compressed[..], &named("list.txt"), &limits).unwrap();
        let error = loop {
            match reader.next_row().unwrap() {
                Ok(row) => assert!(row.cell.is_ok()),
                Err(error) => break error,
            }
        };
        assert!(
            matches!(error, ListError::TooCompressible { limit: 20, .. }),
            "{error:?}"
        );
        assert!(reader.rows_read() * line.len() as u64 > 60 * 1024 * 1024);
    }
}

#[test]
fn the_first_64_mib_may_come_out_of_very_little() {
    let line = [b"http://a.example/", &[b'x'; 1_000][..], b"\n"].concat();
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    let count = 50 * 1024 * 1024 / line.len();
    for _ in 0..count {
        encoder.write_all(&line).unwrap();
    }
    let list = encoder.finish().unwrap();
    let mut reader = open("list.txt", &list);
    while let Some(row) = reader.next_row() {
        assert!(row.unwrap().cell.is_ok());
    }
    assert_eq!(reader.rows_read(), count as u64);
}

#[test]
fn a_list_compressed_twice_is_refused() {
    for list in [gzip(&zstd(LIST)), zstd(&gzip(LIST)), gzip(&gzip(LIST))] {
        let error = refusal("list.csv.gz", list);
        assert!(
            matches!(error, ListError::CompressedTwice { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("compress it once"));
    }
}

#[test]
fn a_zstd_frame_that_claims_a_huge_window_is_refused() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(LIST).unwrap();
    let error = refusal("list.csv", encoder.finish().unwrap());
    assert!(
        matches!(error, ListError::Corrupt { rows: 0, .. }),
        "{error:?}"
    );
}

#[test]
fn a_source_that_trickles_reads_the_same() {
    let expected = rows("list.csv", LIST);
    for list in [LIST.to_vec(), gzip(LIST), zstd(LIST)] {
        for step in [1, 2, 3, 7] {
            let source = Trickle {
                bytes: &list,
                step,
                failure: None,
            };
            let reader = ListReader::open(source, &named("list.csv"), &Limits::default());
            assert_eq!(read_all(reader.unwrap()).0, expected);
        }
    }
}

#[test]
fn an_empty_stream_is_an_empty_list() {
    for list in [gzip(b""), zstd(b""), gzip(b" \n"), Vec::new()] {
        assert!(matches!(refusal("list.csv", list), ListError::Empty));
    }
}

#[test]
fn the_reader_moves_between_threads() {
    fn assert_send<T: Send>(_: &T) {}
    let source: Box<dyn Read + Send> = Box::new(LIST);
    assert_send(&ListReader::open(source, &named("list.csv"), &Limits::default()).unwrap());
}
