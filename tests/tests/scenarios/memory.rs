//! Peak memory of the command while everything that wants memory comes at once.

use std::process::{Command, Stdio};
use std::sync::Arc;

use domain::{Outcome, ResultRow};
use sample_origin::{Origin, OriginOptions, hostile};
use tempfile::TempDir;

use crate::support::{CORPUS, IMAGE, beside_others, describe, list_of};

const MAX_PEAK_KIB: u64 = 400 * 1024;
const HOSTS: u16 = 32;

/// Runs the command in a process of its own; returns its result rows and its peak resident size in KiB.
fn run_command(list: &[String], arguments: &[&str]) -> (Vec<ResultRow>, u64) {
    let folder: TempDir = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.ndjson");
    let out = folder.path().join("out");
    std::fs::write(&path, list_of(list)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_imgsweep-peak"));
    command.env_clear().stdin(Stdio::null());
    command.arg("run").arg(&path).arg("-o").arg(&out);
    command.args([
        "--allow-private",
        "127.0.0.0/8",
        "--concurrency",
        "128",
        "--attempts",
        "1",
    ]);
    let ended = command.args(arguments).output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success(), "{said}");
    let table = std::fs::read_to_string(out.join("results.ndjson")).unwrap();
    let rows = table
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let last = said.lines().last().unwrap();
    (
        rows.collect(),
        last.strip_prefix("peak ").unwrap().parse().unwrap(),
    )
}

fn origin() -> Origin {
    let options = OriginOptions {
        further_hosts: HOSTS,
        ..OriginOptions::default()
    };
    Origin::start_with(Arc::clone(&CORPUS), options).unwrap()
}

#[test]
fn a_list_full_of_attacks_takes_less_than_400_megabytes() {
    let _turn = futures::executor::block_on(beside_others());
    let origin = origin();
    let mut list = Vec::new();
    for row in 0..64 {
        // Twenty megabytes are read of each before it is refused, of all of them at once if nothing kept them.
        list.push(origin.url_on(1 + row % HOSTS, &format!("/huge?row={row}")));
        let mut push = |path: &str| {
            list.push(origin.url_on(1 + row % HOSTS, &format!("{path}?row={row}")));
        };
        match row % 4 {
            0 => push("/header-bytes/16000000"),
            1 => push("/headers/10000"),
            2 => push("/huge-declared"),
            _ => push("/gzip/plain.jpeg"),
        }
        for (name, _) in hostile::all() {
            push(&format!("/hostile/{name}"));
        }
        list.push(origin.url(&format!("/image/{IMAGE}?row={row}")));
    }
    let (rows, peak) = run_command(&list, &["--request-timeout", "60"]);
    assert!(peak < MAX_PEAK_KIB, "{} MB", peak / 1024);
    for (path, expected) in [
        ("/image/", Outcome::Ok),
        ("/gzip/", Outcome::Ok),
        ("/huge", Outcome::TooLarge),
        ("/header", Outcome::HeaderLimit),
        ("/gif-claims", Outcome::PixelLimit),
        ("/png-bomb", Outcome::PixelLimit),
        ("/png-ztxt-bomb", Outcome::Ok),
    ] {
        let of_path: Vec<&ResultRow> = rows.iter().filter(|row| row.url.contains(path)).collect();
        assert!(of_path.len() >= 16, "{path}");
        for row in of_path {
            assert_eq!(row.outcome, expected, "{}", describe(row));
        }
    }
}

#[test]
fn a_gif_that_claims_65535_by_32767_allocates_nothing() {
    let _turn = futures::executor::block_on(beside_others());
    let origin = origin();
    let list_of_claims = |count: u16| -> Vec<String> {
        let hosts = (0..count).map(|row| {
            origin.url_on(
                1 + row % HOSTS,
                &format!("/hostile/gif-claims-65535x32767?row={row}"),
            )
        });
        hosts.collect()
    };
    let (_, one) = run_command(&list_of_claims(1), &[]);
    let (rows, many) = run_command(&list_of_claims(512), &[]);
    assert_eq!(hostile::get("gif-claims-65535x32767").unwrap().len(), 35);
    assert!(
        rows.iter()
            .all(|row| row.outcome == Outcome::PixelLimit && row.bytes == Some(35))
    );
    // Two gigapixels would be gigabytes; what 512 rows and their connections need is a few megabytes.
    assert!(
        many < one + 48 * 1024,
        "{one} KiB for one, {many} KiB for 512"
    );
}
