//! `imgsweep bench`: what it keeps can be compared with, and a slow-down on purpose is found.

use serde_json::Value;

use crate::support::{imgsweep, output};

#[test]
fn a_saved_measurement_is_compared_and_a_slow_down_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    let saved = folder.path().join("before.json");
    // Measuring images is what a neighbour disturbs least.
    let bench = |arguments: &[&str]| {
        let mut command = imgsweep();
        command
            .args(["bench", "--suite", "store", "--quick", "--json"])
            .args(arguments);
        output(&mut command)
    };
    let path = saved.to_str().expect("text");
    let first = bench(&["--save", path]);
    assert!(
        first.status.success(),
        "{}",
        String::from_utf8_lossy(&first.stderr)
    );
    let record: Value =
        serde_json::from_slice(&std::fs::read(&saved).expect("saved")).expect("JSON");
    assert_eq!(record["schema"], 1);
    assert!(record["machine"]["processor"].is_string());
    let cases = record["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 3);
    for case in cases {
        assert!(
            case["samples"]
                .as_array()
                .is_some_and(|samples| samples.len() >= 9),
            "{case}"
        );
        assert!(case["samples"][0]["failed"] == 0, "{case}");
    }
    // Far from the threshold, so that no noise can hide it: the fine line is drawn by `make bench-gate`.
    let slowed = bench(&["--compare", path, "--slow-down", "3"]);
    assert_eq!(slowed.status.code(), Some(1));
    let said = String::from_utf8_lossy(&slowed.stderr);
    assert!(
        said.contains("slower than") && said.contains("all together"),
        "{said}"
    );
    let answer: Value = serde_json::from_slice(&slowed.stdout).expect("JSON");
    assert!(
        answer["comparison"]["cpu"]
            .as_f64()
            .is_some_and(|ratio| ratio > 1.5),
        "{said}"
    );
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("list.csv");
    std::fs::write(&file, "url\n").expect("written");
    let output = output(
        imgsweep()
            .args(["bench", "--quick", "--compare"])
            .arg(&file),
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no record"));
}
