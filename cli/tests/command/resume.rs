//! `imgsweep run`, killed again and again.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::support::{Scene, output, read_ndjson, run_command};
use serde_json::Value;

const ROWS: usize = 2_000;
const KILLS: u64 = 20;
/// So far away that a whole run takes longer than all that are killed together.
const LATENCY: Duration = Duration::from_millis(40);
const REQUESTS_AT_ONCE: &str = "16";

/// Columns that tell when, not what.
const TIMINGS: &[&str] = &["batch", "elapsed_ms", "fetched_at", "attempts"];

fn without_timings(path: &Path) -> Vec<Value> {
    let mut rows = read_ndjson(path);
    for row in &mut rows {
        let columns = row.as_object_mut().expect("an object");
        for column in TIMINGS {
            columns.remove(*column);
        }
    }
    rows
}

/// Every row of every result object that is stored, by URL.
fn committed(output: &Path) -> Vec<String> {
    let mut urls = Vec::new();
    let results = output.join(".imgsweep/objects/results");
    let Ok(batches) = std::fs::read_dir(results) else {
        return urls;
    };
    for batch in batches.flatten() {
        for object in std::fs::read_dir(batch.path()).expect("a folder").flatten() {
            // Objects under construction have another ending.
            if object
                .path()
                .extension()
                .is_none_or(|ending| ending != "zst")
            {
                continue;
            }
            let bytes = std::fs::read(object.path()).expect("an object");
            let text = zstd::decode_all(bytes.as_slice()).expect("stored objects are whole");
            for line in String::from_utf8(text).expect("text").lines().skip(1) {
                let row: Value = serde_json::from_str(line).expect("a row");
                urls.push(row["url"].as_str().expect("a URL").to_owned());
            }
        }
    }
    urls
}

#[test]
fn a_run_killed_twenty_times_ends_with_the_same_table_and_fetches_nothing_again() {
    let scene = Scene::at_a_distance(LATENCY);
    let names = crate::support::image_names();
    let list = scene.write("list.csv", scene.good_list(ROWS, &names));
    let run_command = |output: &Path, requests: &str| {
        let mut command = run_command(&list, output);
        command.args(["--per-host", requests, "--chunk-size", "40"]);
        command
    };
    let undisturbed = scene.path("undisturbed");
    let whole = output(&mut run_command(&undisturbed, "128"));
    assert!(whole.status.success());

    let disturbed = scene.path("disturbed");
    let base = scene.origin.base_url();
    let mut seed = 0x5eed_u64;
    // Counts of requests for rows that were committed when a process died: none may grow.
    let mut settled: BTreeMap<String, u64> = BTreeMap::new();
    for _ in 0..KILLS {
        let mut child = run_command(&disturbed, REQUESTS_AT_ONCE)
            .spawn()
            .expect("the command starts");
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        std::thread::sleep(Duration::from_millis(60 + (seed >> 33) % 240));
        let ended = child.try_wait().expect("a child");
        assert_eq!(ended, None, "it ended before it could be killed");
        child.kill().expect("the child is ours");
        child.wait().expect("a child");
        for url in committed(&disturbed) {
            let path = url.strip_prefix(&base).expect("our origin").to_owned();
            let requests = scene.origin.requests_for(&path);
            let before = settled.entry(path).or_insert(requests);
            assert_eq!(
                *before, requests,
                "{url} was fetched again after it was committed"
            );
        }
    }
    let committed = settled.len();
    assert!(
        committed > 0 && committed < ROWS,
        "{committed} rows were committed between the kills"
    );
    let last = output(&mut run_command(&disturbed, "128"));
    assert!(
        last.status.success(),
        "{}",
        String::from_utf8_lossy(&last.stderr)
    );
    for (path, before) in &settled {
        assert_eq!(
            *before,
            scene.origin.requests_for(path),
            "{path} was fetched again after it was committed"
        );
    }
    assert_eq!(
        without_timings(&disturbed.join("results.ndjson")),
        without_timings(&undisturbed.join("results.ndjson"))
    );
}

#[test]
fn a_finished_run_started_again_fetches_nothing() {
    let scene = Scene::new();
    let list = scene.write(
        "list.csv",
        scene.good_list(50, &crate::support::image_names()),
    );
    let out = scene.path("out");
    assert!(output(&mut run_command(&list, &out)).status.success());
    let requests = scene.origin.requests();
    std::fs::remove_file(out.join("results.csv")).expect("it was there");
    assert!(output(&mut run_command(&list, &out)).status.success());
    assert_eq!(scene.origin.requests(), requests);
    assert!(out.join("results.csv").exists(), "tables are written anew");
}
