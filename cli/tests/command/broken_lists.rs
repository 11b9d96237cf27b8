//! Lists that are broken in every way we could think of: a clear error or a row outcome, never a panic.

use std::io::Write;
use std::process::Output;

use crate::support::{Scene, output, read_ndjson, run_command};

struct Ended {
    code: Option<i32>,
    said: String,
    outcomes: Vec<String>,
}

fn run(name: &str, content: impl AsRef<[u8]>) -> Ended {
    let scene = Scene::new();
    let list = scene.write(name, content);
    let out = scene.path("out");
    let Output { status, stderr, .. } = output(&mut run_command(&list, &out));
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert!(!said.contains("panicked"), "{said}");
    let results = out.join("results.ndjson");
    let rows = if results.exists() {
        read_ndjson(&results)
    } else {
        Vec::new()
    };
    let outcomes = rows
        .iter()
        .map(|row| row["outcome"].as_str().expect("an outcome").to_owned())
        .collect();
    Ended {
        code: status.code(),
        said,
        outcomes,
    }
}

/// The list cannot be read: exit status 1, and the reason contains every one of `words`.
fn assert_refused(name: &str, content: impl AsRef<[u8]>, words: &[&str]) {
    let ended = run(name, content);
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    for word in words {
        assert!(
            ended.said.contains(word),
            "{word} is missing in: {}",
            ended.said
        );
    }
    assert!(ended.outcomes.is_empty(), "{:?}", ended.outcomes);
}

/// The list is read; the rows end like this.
fn assert_outcomes(name: &str, content: impl AsRef<[u8]>, outcomes: &[&str]) {
    let ended = run(name, content);
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(ended.outcomes, outcomes, "{}", ended.said);
}

const BLOCKED: &str = "http://10.0.0.1/a.jpg";

#[test]
fn an_empty_list_is_refused() {
    assert_refused("list.csv", "", &["empty"]);
}

#[test]
fn a_list_of_a_header_only_is_refused() {
    assert_refused("list.csv", "sku,url\n", &["no rows"]);
}

#[test]
fn a_list_without_urls_is_refused_and_its_columns_are_named() {
    assert_refused(
        "list.csv",
        "sku,price\nA,1\nB,2\n",
        &["sku", "price", "--url-column"],
    );
}

#[test]
fn a_missing_file_is_a_bad_argument() {
    let scene = Scene::new();
    let ended = output(&mut run_command(
        &scene.path("nowhere.csv"),
        &scene.path("out"),
    ));
    assert_eq!(ended.status.code(), Some(2));
}

#[test]
fn an_unbalanced_quote_costs_its_own_row_only() {
    let list = format!("sku,url\nA,{BLOCKED}?1\n\"B,{BLOCKED}?2\nC,{BLOCKED}?3\n");
    assert_outcomes(
        "list.csv",
        list,
        &["blocked_address", "invalid_url", "blocked_address"],
    );
}

#[test]
fn a_nul_costs_its_own_row_only() {
    let list = format!("url\n{BLOCKED}?1\nhttp://10.0.0.1/\0.jpg\n{BLOCKED}?2\n");
    assert_outcomes(
        "list.csv",
        list,
        &["blocked_address", "invalid_url", "blocked_address"],
    );
}

#[test]
fn utf_16_with_a_byte_order_mark_is_read() {
    let text = format!("url\r\n{BLOCKED}\r\n");
    let mut bytes = vec![0xff, 0xfe];
    bytes.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    assert_outcomes("list.csv", bytes, &["blocked_address"]);
}

#[test]
fn a_byte_order_mark_and_mixed_line_ends_do_not_matter() {
    let list = format!("\u{feff}url\r\n{BLOCKED}?1\n{BLOCKED}?2\r\n");
    assert_outcomes("list.csv", list, &["blocked_address", "blocked_address"]);
}

#[test]
fn a_cell_of_fifty_megabytes_costs_its_own_row_only() {
    let mut list = format!("url\n{BLOCKED}?1\nhttp://10.0.0.1/").into_bytes();
    list.resize(list.len() + 50_000_000, b'a');
    list.extend_from_slice(format!("\n{BLOCKED}?2\n").as_bytes());
    assert_outcomes(
        "list.csv",
        list,
        &["blocked_address", "invalid_url", "blocked_address"],
    );
}

#[test]
fn a_picture_is_refused_for_what_it_is() {
    assert_refused(
        "list.csv",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\0",
        &["PNG"],
    );
}

#[test]
fn noise_is_refused() {
    let noise: Vec<u8> = (0..100_000u32)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let ended = run("list.csv", noise);
    assert_eq!(ended.code, Some(1), "{}", ended.said);
}

#[test]
fn a_truncated_gzip_stream_is_refused_and_says_so() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writeln!(encoder, "url").expect("memory takes everything");
    for row in 0..5_000 {
        writeln!(encoder, "{BLOCKED}?{row}").expect("memory takes everything");
    }
    let mut bytes = encoder.finish().expect("memory takes everything");
    bytes.truncate(bytes.len() / 2);
    assert_refused("list.csv.gz", bytes, &["gzip"]);
}

#[test]
fn a_mended_list_may_go_into_the_folder_of_a_refused_one() {
    let scene = Scene::new();
    let out = scene.path("out");
    let broken = scene.write("list.csv", "sku,price\nA,1\n");
    assert_eq!(
        output(&mut run_command(&broken, &out)).status.code(),
        Some(1)
    );
    let mended = scene.write("list.csv", format!("sku,url\nA,{BLOCKED}\n"));
    assert_eq!(
        output(&mut run_command(&mended, &out)).status.code(),
        Some(0)
    );
}
