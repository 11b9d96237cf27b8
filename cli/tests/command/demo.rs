//! `imgsweep demo`, as somebody starts it first.

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::{imgsweep, output, read_ndjson, report_outcomes};
use serde_json::Value;

#[test]
fn the_demo_ends_by_itself_without_a_terminal_and_shows_what_there_is_to_see() {
    let folder = tempfile::tempdir().expect("a folder");
    let demo = output(imgsweep().arg("demo").env("TMPDIR", folder.path()));
    assert!(
        demo.status.success(),
        "{}",
        String::from_utf8_lossy(&demo.stderr)
    );
    let shown = String::from_utf8(demo.stdout).expect("text");
    let kept = std::fs::read_dir(folder.path()).expect("a folder");
    let written = kept
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.join("report.json").exists())
        .expect("the demo keeps its files");
    let report: Value = serde_json::from_slice(&read(&written.join("report.json"))).expect("JSON");
    let by_outcome: BTreeMap<String, u64> = report_outcomes(&report);
    assert!(by_outcome.len() >= 12, "{by_outcome:?}");
    for outcome in by_outcome.keys() {
        assert!(shown.contains(outcome.as_str()), "{outcome} is not shown");
    }
    let images: std::collections::BTreeSet<String> = read_ndjson(&written.join("results.ndjson"))
        .iter()
        .filter(|row| row["outcome"] == "ok")
        .filter_map(|row| row["sha256"].as_str().map(str::to_owned))
        .collect();
    assert!(images.len() >= 300, "{} different images", images.len());
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("it is there")
}
